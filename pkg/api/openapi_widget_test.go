package api_test

import (
	"net/http"
	"strings"
	"time"
)

// What is there to provoke of the routes for browsers stands apart from the rest:
// what they bring is no API key.

// actAsBrowser has the trial bring what its operation takes, if that is not the key
// of every scope.
func (d *trial) actAsBrowser() {
	switch {
	case strings.HasSuffix(d.Path, "/configurations"), strings.HasSuffix(d.Path, "/configuration"):
		d.token = d.WidgetToken(d.token, "user_1", "org_1", "widgets:pipes:manage")
	case strings.HasPrefix(d.Path, "/_widgets/"):
		d.token = d.WidgetToken(d.token, "user_1", "")
	case d.String() == "POST /keyvend/sessions":
		d.token = d.Key(d.tenant, "manage")
	}
	d.Site = "same-origin"
}

// provokedByBrowsers are the requests of provoked for these routes. What is done
// beforehand is done with a key of its own: the trial's may not do it.
func provokedByBrowsers(d *trial) []request {
	foreign := request{before: func(d *trial) { d.Site = "cross-site" }}
	switch d.String() {
	case "POST /widgets/token":
		return []request{{body: `{"user_id":"user_1","scopes":["widgets:pipes:manage"]}`}}
	case "POST /keyvend/sessions":
		return []request{
			{before: func(d *trial) { d.token = d.Key(d.tenant, "vend", "manage") }},
			{before: func(d *trial) { d.token = d.Session(d.Key(d.tenant, "manage")) }},
			{before: func(d *trial) {
				d.token = d.Key(d.tenant, "manage")
				d.Must(200, d.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+d.Clock.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
			}},
		}
	case "GET /_widgets/DataIntegrations/configurations", "PUT /_widgets/DataIntegrations/{slug}/configuration":
		return []request{foreign, {before: func(d *trial) {
			d.Site = "same-origin"
			d.token = d.WidgetToken(d.Key(d.tenant, "widget"), "user_1", "org_1")
		}}}
	case "PUT /_widgets/DataIntegrations/{slug}/api-key":
		return []request{foreign, {before: func(d *trial) { d.Site = "same-origin"; d.refusedHere() }}, {before: func(d *trial) {
			for range 20 {
				d.Do(d.token, d.Method, d.there(d.Path), string(d.Example))
			}
		}}}
	default:
		if strings.HasPrefix(d.Path, "/_widgets/") {
			return []request{foreign}
		}
		return nil
	}
}

// refusedHere has the provider asked about each key before it is stored, and refuse
// them all.
func (d *trial) refusedHere() {
	d.Must(200, d.Key(d.tenant, "manage"), "PATCH", "/keyvend/integrations/openai", `{"verify_on_save":"require"}`)
	d.Providers.Say(http.StatusUnauthorized, `{"error":{"code":"invalid_api_key"}}`)
}
