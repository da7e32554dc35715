package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// badInput is about requests that nobody should send.
func badInput() []guarantee {
	return []guarantee{
		{"F39_a_body_that_cannot_be_read_is_refused_and_nothing_stored", badBodies},
		{"F39_values_that_are_missing_or_forbidden_are_refused_by_name", badValues},
		{"F40_odd_paths_and_methods_have_a_json_answer", oddPaths},
		{"unknown_slugs_are_not_found_wherever_they_stand", unknownSlugs},
		{"list_parameters_out_of_range_are_refused", badLists},
		{"explicit_nulls_and_unknown_fields_are_accepted", nulls},
	}
}

// stocked is a tenant with an integration and a user's account, and what is
// stored of it.
func stocked(t *testing.T, k *target) (s shop, secret string, before []string) {
	t.Helper()
	s, secret = k.newShop(t), newSecret()
	s.register("openai")
	s.upsert("openai", m{"user_id": "ada", "secret": secret})
	return s, secret, k.storedOf(t, s.tenant)
}

// intact asserts that nothing of a stocked tenant changed.
func (s shop) intact(secret string, before []string) {
	s.t.Helper()
	s.target.unchanged(s.t, s.tenant, before)
	s.vends("openai", m{"user_id": "ada"}, secret)
	if all := s.do("GET", "/data-integrations", nil).is(200).rows(); len(all) != 1 {
		s.t.Errorf("%d integrations, want 1", len(all))
	}
}

func badBodies(t *testing.T, k *target) {
	shop, secret, before := stocked(t, k)
	nested := strings.Repeat("[", 20_000)
	bodies := []struct {
		name, body string
		status     int
	}{
		{"empty", "", 400},
		{"spaces", " \n ", 400},
		{"null", "null", 400},
		{"a list", "[]", 400},
		{"a text", `"sk-canary-text"`, 400},
		{"a number", "5", 400},
		{"half an object", `{"user_id":"ada","secret":"sk-canary-half"`, 400},
		{"no quotes", `{user_id:"ada",secret:"sk-canary-bare"}`, 400},
		{"single quotes", `{'user_id':'ada','secret':'sk-canary-single'}`, 400},
		{"a comma too many", `{"user_id":"ada","secret":"sk-canary-comma",}`, 400},
		{"trailing data", `{"user_id":"ada","secret":"sk-canary-trail"} sk-canary-more`, 400},
		{"two objects", `{"user_id":"ada","secret":"sk-canary-two"}{"user_id":"bo"}`, 400},
		{"a name twice", `{"user_id":"ada","user_id":"bo","secret":"sk-canary-twice","provider":"stripe"}`, 400},
		{"a secret for a name, twice", `{"user_id":"ada","sk-canary-name":1,"sk-canary-name":2}`, 400},
		{"a name twice inside", `{"user_id":"ada","secret":"sk-canary-inside","x":{"a":1,"a":2}}`, 400},
		{"invalid UTF-8", "{\"user_id\":\"ada\xff\",\"secret\":\"sk-canary-utf\"}", 400},
		{"invalid UTF-8 where nobody looks", "{\"user_id\":\"ada\",\"secret\":\"sk-canary-utf\",\"x\":\"\xc3\x28\"}", 400},
		{"half a surrogate pair", `{"user_id":"ada\ud800","secret":"sk-canary-pair"}`, 400},
		{"a byte order mark", "\xef\xbb\xbf" + `{"user_id":"ada","secret":"sk-canary-bom"}`, 400},
		{"UTF-16", "\xff\xfe{\x00}\x00", 400},
		{"a control character", "{\"user_id\":\"ada\x01\",\"secret\":\"sk-canary-ctl\"}", 400},
		{"20,000 open brackets", `{"x":` + nested, 400},
		{"20,000 brackets", `{"x":` + nested + strings.Repeat("]", 20_000) + `}`, 400},
		{"20,000 open braces", strings.Repeat(`{"x":`, 12_000), 400},
		{"70 KB", `{"user_id":"ada","secret":"sk-canary-` + strings.Repeat("x", 70_000) + `"}`, 413},
		{"70 KB of nothing", strings.Repeat(" ", 70_000), 413},
		{"form data", "user_id=ada&secret=sk-canary-form", 400},
		{"user_id of the wrong type", `{"user_id":5,"secret":"sk-canary-type","provider":5,"enabled":"yes","state":5}`, 400},
		{"a list for a text", `{"user_id":["sk-canary-list"],"provider":["a"],"description":["a"],"state":["a"]}`, 400},
		{"an object for a text", `{"user_id":{"sk-canary":"x"},"provider":{},"enabled":{},"state":{}}`, 400},
	}
	for _, route := range []struct{ method, path string }{
		{"POST", "/data-integrations"},
		{"PUT", "/data-integrations/openai"},
		{"PUT", "/data-integrations/openai/api-key"},
		{"POST", "/data-integrations/openai/api-key"},
		{"POST", "/data-integrations/openai/credentials"},
		{"PUT", connected("ada", "openai", "")},
	} {
		for _, b := range bodies {
			a := shop.do(route.method, route.path, b.body)
			code := "invalid_request_body"
			if b.status == http.StatusRequestEntityTooLarge {
				code = a.text("code")
			}
			if a.status != b.status || a.text("code") != code {
				t.Errorf("%s: %v, want %d: %s", b.name, a, b.status, a.body)
			}
			// Who is nobody learns nothing of what is wrong with his request.
			if b.name == "half an object" {
				client{t: t, target: k, key: "sk_kv_nobody"}.do(route.method, route.path, b.body).is(401)
			}
		}
	}
	for _, field := range []string{"metadata", "config"} {
		body := fmt.Sprintf(`{"user_id":"ada","secret":"sk-canary-x",%q:{"sk-canary-name":5}}`, field)
		shop.do("PUT", "/data-integrations/openai/api-key", body).is(400, "invalid_request_body")
		inline := fmt.Sprintf(`{"api_key":{"user_id":"ada","secret":"sk-canary-x",%q:{"sk-canary-name":5}}}`, field)
		shop.do("PUT", "/data-integrations/openai", inline).is(400, "invalid_request_body")
	}
	shop.intact(secret, before)
}

func badValues(t *testing.T, k *target) {
	shop, secret, before := stocked(t, k)
	for _, r := range []struct {
		method, path, body string
		field              string // that the answer names
	}{
		{"POST", "/data-integrations", `{}`, "provider"},
		{"POST", "/data-integrations", `{"provider":null,"auth_methods":["api_key"]}`, "provider"},
		{"POST", "/data-integrations", `{"provider":"","auth_methods":["api_key"]}`, "provider"},
		{"POST", "/data-integrations", `{"provider":"stripe\u0000","auth_methods":["api_key"]}`, "provider"},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"],"config":{"region":"eu"}}`, "config"},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"],"description":"\u0000"}`, "description"},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"],"api_key":{"user_id":"ada"}}`, "secret"},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"],"api_key":{"secret":"sk-canary-nobody"}}`, "user_id"},
		{"PUT", "/data-integrations/openai/api-key", `{}`, "user_id"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":null,"secret":null}`, "user_id"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada"}`, "secret"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","secret":""}`, "secret"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","secret":"   "}`, "secret"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada\u0000","secret":"sk-canary-nul"}`, "user_id"},
		{"PUT", "/data-integrations/openai/api-key", `{"User_ID":"ada","secret":"sk-canary-case"}`, "user_id"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","secret":"sk-canary-x","expires_at":"tomorrow"}`, "expires_at"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","secret":"sk-canary-x","config":{"no_such":"x"}}`, "config.no_such"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","secret":"sk-canary-x","metadata":{"":"x"}}`, "metadata"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","secret":"sk-canary-x","metadata":{"a":"` + strings.Repeat("x", 5000) + `"}}`, "metadata"},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"ada","organization_id":"a b","secret":"sk-canary-x"}`, "organization_id"},
		{"POST", "/data-integrations/openai/credentials", `{}`, "user_id"},
		{"POST", "/data-integrations/openai/credentials", `{"user_id":""}`, "user_id"},
		{"PUT", connected("ada", "openai", ""), `{"state":"gone"}`, "state"},
	} {
		a := shop.do(r.method, r.path, r.body)
		// The message alone says it: of a 422 with errors the Node client would show
		// their codes in its place.
		if a.status != 422 || a.text("code") != "unprocessable_entity" || !strings.Contains(a.text("message"), r.field) || strings.Contains(string(a.body), `"errors"`) {
			t.Errorf("%v %s, want 422 about %s: %s", a, r.body, r.field, a.body)
		}
	}
	shop.intact(secret, before)
}

func oddPaths(t *testing.T, k *target) {
	shop, secret, before := stocked(t, k)
	key := http.Header{"Authorization": {"Bearer " + shop.key}}
	for _, path := range []string{
		"/", "//", "//data-integrations", "/data-integrations//", "/data-integrations/", "/data-integrations/openai/", "/Data-Integrations",
		"/data-integrations/../data-integrations", "/x/../data-integrations", "/./data-integrations", "/data-integrations/.", "/data-integrations/..",
		"/data-integrations/%2e%2e", "/data-integrations/%2E%2E/openai", "/data-integrations/open%2Fai", "/data-integrations%2F", "%2Fdata-integrations",
		"/data-integrations/%00", "/data-integrations/openai%00", "/data-integrations/%", "/data-integrations/%zz", "/data-integrations/%25",
		"/data-integrations/%25%30%30", "/data-integrations/open ai%20", "/data-integrations/openai%20", "/data-integrations/%0d%0aX-Evil:1",
		"/data-integrations/OPENAI", "/data-integrations/%C3%A9", "/data-integrations/%ff", "/data-integrations/openai/credentials/more",
		"/data-integrations/" + strings.Repeat("a", 5000), "/" + strings.Repeat("a/", 2000), "/prod/data-integrations", "/data-integrations;x=1",
		"/user_management/users//connected_accounts/openai", "/user_management/users/ada/connected_accounts/", "/favicon.ico", "/.env", "/openapi.yaml",
	} {
		for _, method := range []string{"GET", "DELETE"} {
			a := shop.raw(request{method: method, path: path, header: key}, path)
			if a.status < 400 || a.status > 499 {
				t.Errorf("%v: %q", a, a.body)
			}
			// What is no HTTP at all is refused before keyvend sees it, in plain text.
			noHTTP := a.status == http.StatusBadRequest && strings.HasPrefix(string(a.body), "400 Bad Request")
			if message := a.text("message"); message == "" && !noHTTP {
				t.Errorf("%v: no JSON message: %q", a, a.body)
			}
			a.keepsSecrets()
		}
	}
	for _, r := range []struct{ method, path, allowed string }{
		{"POST", "/data-integrations/openai", "GET, PUT, DELETE"},
		{"PATCH", "/data-integrations/openai", "GET, PUT, DELETE"},
		{"GET", "/data-integrations/openai/credentials", "POST"},
		{"DELETE", "/data-integrations/openai/api-key", "PUT, POST"},
		{"HEAD", "/data-integrations", "POST, GET"},
		{"HEAD", "/data-integrations/openai/credentials", "POST"},
		{"OPTIONS", "/data-integrations", "POST, GET"},
		{"TRACE", "/data-integrations", "POST, GET"},
		{"BREW", "/data-integrations", "POST, GET"},
		{"get", "/data-integrations", "POST, GET"},
	} {
		a := shop.raw(request{method: r.method, path: r.path, header: key}, r.path)
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != r.allowed {
			t.Errorf("%v, Allow %q, want %q: %s", a, a.header.Get("Allow"), r.allowed, a.body)
		}
		if hasBody := len(a.body) > 0; hasBody == (r.method == "HEAD") || hasBody && a.text("message") == "" {
			t.Errorf("%v: %q", a, a.body)
		}
	}
	for _, target := range []string{"*", "http://evil.example/data-integrations"} {
		if a := shop.raw(request{method: "OPTIONS", path: target, header: key}, target); a.status < 400 || a.status > 499 {
			t.Errorf("OPTIONS %s: %d %q", target, a.status, a.body)
		}
	}
	shop.intact(secret, before)
}

func unknownSlugs(t *testing.T, k *target) {
	shop, secret, before := stocked(t, k)
	for _, slug := range []string{"stripe", "no-such", "Openai", "openai.", "%6Fpenai-", strings.Repeat("a", 64), strings.Repeat("a", 65)} {
		base := "/data-integrations/" + slug
		ada := m{"user_id": "ada"}
		for _, a := range []answer{
			shop.do("GET", base, nil),
			shop.do("PUT", base, m{"enabled": false}),
			shop.do("DELETE", base, nil),
			shop.do("PUT", base+"/api-key", m{"user_id": "ada", "secret": newSecret()}),
			shop.do("POST", base+"/api-key", m{"user_id": "ada", "secret": newSecret(), "connection_intent": "add"}),
			shop.do("POST", base+"/credentials", ada),
			shop.do("GET", connected("ada", slug, ""), nil),
			shop.do("PUT", connected("ada", slug, ""), m{"state": "connected"}),
			shop.do("DELETE", connected("ada", slug, ""), nil),
		} {
			if a.status != http.StatusNotFound || a.text("code") != "not_found" {
				t.Errorf("%v: %s", a, a.body)
			}
		}
	}
	shop.intact(secret, before)
}

func badLists(t *testing.T, k *target) {
	shop := k.newShop(t)
	id := shop.register("openai").text("id")
	for _, query := range []string{
		"limit=0", "limit=101", "limit=abc", "limit=-1", "limit=1.5", "limit=", "limit=1e1", "limit=9999999999999999999999",
		"order=up", "order=ASC", "before=x", "after=x", "after=data_installation_01HZZZZZZZZZZZZZZZZZZZZZZZ",
		"after=" + strings.ToLower(id), "before=" + id + "&after=" + id,
	} {
		shop.do("GET", "/data-integrations?"+query, nil).is(422, "invalid_request_parameters")
	}
	for _, query := range []string{
		"limit=1", "limit=100", "order=asc", "order=desc", "order=normal", "limit=5&order=desc&unknown=x",
		"after=data_integration_01HZZZZZZZZZZZZZZZZZZZZZZZ", "before=data_integration_01HZZZZZZZZZZZZZZZZZZZZZZZ",
	} {
		shop.do("GET", "/data-integrations?"+query, nil).is(200)
	}
	shop.do("GET", connected("ada", "openai", "")+"?organization_id=", nil).is(422)
}

func nulls(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.do("POST", "/data-integrations", `{"provider":"openai","auth_methods":["api_key"],"enabled":true,"description":null,"ownership":null,
		"scopes":null,"config":null,"credentials":null,"api_key":null,"custom_provider":null,"from_the_future":{"a":[1]}}`).is(201)
	secret := newSecret()
	shop.do("PUT", "/data-integrations/openai/api-key", fmt.Sprintf(`{"user_id":"ada","secret":%q,"organization_id":null,"config":null,"metadata":null,
		"expires_at":null,"connection_owner":null,"connected_account_id":null,"connection_intent":null,"from_the_future":1}`, secret)).is(200)
	a := shop.do("POST", "/data-integrations/openai/credentials", `{"user_id":"ada","organization_id":null,"connection_owner":null,"connected_account_id":null}`).is(200)
	if a.text("credential.value") != secret {
		t.Errorf("%v: not the secret", a)
	}
	shop.do("PUT", connected("ada", "openai", ""), `{"state":"connected","access_token":null,"refresh_token":null,"expires_at":null,"scopes":null}`).is(200)
	// Some clients send a Content-Type on requests that have no body, and none on
	// those that have one.
	shop.do("GET", "/data-integrations/openai", nil, "Content-Type", "application/json").is(200)
	shop.do("PUT", "/data-integrations/openai", `{}`, "Content-Type", "text/plain").is(200)
	shop.do("PUT", "/data-integrations/openai", `{}`, "Content-Type", "application/x-www-form-urlencoded").is(200)
	shop.do("DELETE", connected("ada", "openai", ""), nil, "Content-Type", "application/json").is(204)
}
