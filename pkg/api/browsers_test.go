package api_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
)

// kind says what a token is good for: of each kind one is enough to walk with.
func (a acme) kind(t *testing.T, token string) string {
	t.Helper()
	if strings.HasPrefix(token, "sk_kv_") {
		return fmt.Sprint("API key ", a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(token)))["scopes"])
	}
	c := claimed(t, token)
	return fmt.Sprint(c["aud"], c["scopes"], c["permissions"], c["sub"] != nil)
}

// roam sends everything to every route with a token, from a page that is let in,
// and returns all that it was given to bring along.
func (a acme) roam(t *testing.T, token string) []string {
	t.Helper()
	more := append(slices.Clone(bodies),
		`{"secret":"walked-0123456789"}`,
		`{"user_id":"anna","organization_id":"org","scopes":["widgets:pipes:manage"]}`,
		`{"allowed_origins":["`+page+`"]}`,
	)
	var given []string
	for _, method := range methods {
		if method == "DELETE" {
			continue // what is gone cannot be read
		}
		for _, path := range every(a) {
			for _, body := range more {
				got := a.Do(token, method, path, body, "Origin", page, "Sec-Fetch-Site", "same-origin")
				if got.Status == 200 && needed(method, path) == "vend" {
					t.Errorf("%s %s %s: %d %s", method, path, body, got.Status, got.Body)
				}
				if strings.Contains(got.Body, boottest.Canary) || strings.Contains(got.Body, "walked-0123456789") {
					t.Errorf("%s %s %s ends with a secret: %s", method, path, body, got.Body)
				}
				if text := got.Text("token"); text != "" {
					given = append(given, text)
				}
			}
		}
	}
	return given
}

func TestF60_NoChainThatBeginsInABrowserEndsWithASecret(t *testing.T) {
	for name, begin := range map[string]func(acme) string{
		"a dashboard session":                 func(a acme) string { return a.Session(a.Key(a.tenant, "manage", "read", "widget")) },
		"a widget token":                      func(a acme) string { return a.WidgetToken(a.token, "anna", "") },
		"a widget token of an admin":          func(a acme) string { return a.WidgetToken(a.token, "anna", "org", "widgets:pipes:manage") },
		"a key that mints widget tokens":      func(a acme) string { return a.Key(a.tenant, "widget") },
		"a widget token of a dashboard's":     func(a acme) string { return a.WidgetToken(a.Session(a.Key(a.tenant, "manage")), "anna", "") },
		"a session of a key that may do more": func(a acme) string { return a.Session(a.Key(a.tenant, "manage")) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			a.allow(page)
			token := begin(a)
			walked := map[string]bool{}
			for tokens := []string{token}; len(tokens) > 0; {
				next := map[string]string{}
				for _, from := range tokens {
					walked[a.kind(t, from)] = true
					for _, given := range a.roam(t, from) {
						next[a.kind(t, given)] = given
						if strings.HasPrefix(given, "sk_kv_") {
							a.noVend(t, given)
						}
					}
				}
				maps.DeleteFunc(next, func(kind, _ string) bool { return walked[kind] })
				tokens = slices.Collect(maps.Values(next))
			}
			if strings.Contains(name, "session") && len(walked) < 5 {
				t.Errorf("only %d kinds of tokens were walked with: %v", len(walked), walked)
			}
		})
	}
}

func TestVendAndReportsTakeNoBrowsersToken(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	session := a.Session(a.Key(a.tenant, "manage"))
	for _, token := range []string{session, a.anna, a.WidgetToken(a.token, "anna", "org", "widgets:pipes:manage")} {
		for _, path := range every(a.acme) {
			for _, method := range methods {
				if needed(method, path) != "vend" {
					continue
				}
				for _, header := range [][]string{nil, {"Origin", page}, {"Sec-Fetch-Site", "same-origin"}} {
					got := a.Do(token, method, path, `{"user_id":"anna","slug":"openai","status":401}`, header...)
					if got.Status != 401 && got.Status != 405 {
						t.Errorf("%s %s: %d %s", method, path, got.Status, got.Body)
					}
				}
			}
		}
	}
	if lines := a.Audit.Lines(); len(lines) > 0 {
		t.Errorf("the audit trail tells of %v", lines)
	}
	if a.Checks.Waiting() > 0 {
		t.Error("a check was asked for")
	}
}
