package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/api"
	"keyvend/pkg/apikey"
	"keyvend/pkg/boot/boottest"
)

// methods are all that a route may take.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// every lists all paths that are served, their variables filled in.
func every(a acme) []string {
	fill := strings.NewReplacer(
		"{slug}", "openai", "{user_id}", "anna", "{organization_id}", "org", "{api_key_id}", keyIDOf(a.token),
		"{account_id}", a.account, "{tenant}", a.tenant,
	)
	var all []string
	for _, served := range api.Routes() {
		for _, path := range served {
			if !api.IsPage(path) {
				all = append(all, fill.Replace(path))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// scopeSets are all sets of scopes but the empty one.
func scopeSets() [][]string {
	var sets [][]string
	all := apikey.AllScopes()
	for bits := 1; bits < 1<<len(all); bits++ {
		var set []string
		for i, scope := range all {
			if bits&(1<<i) != 0 {
				set = append(set, string(scope))
			}
		}
		sets = append(sets, set)
	}
	return sets
}

// needed is the scope that the design gives a method and path; "" is none.
func needed(method, path string) string {
	switch {
	case path == "/healthz" || path == "/openapi.json" || strings.HasPrefix(path, "/_widgets/"):
		return ""
	case strings.HasSuffix(path, "/credentials") && path != "/client-credentials" && strings.HasPrefix(path, "/data-integrations/"),
		strings.HasSuffix(path, "/token") && strings.HasPrefix(path, "/data-integrations/"),
		path == "/keyvend/vend", path == "/keyvend/reports":
		return "vend"
	case path == "/widgets/token":
		return "widget"
	case method == "GET":
		return "read"
	default:
		return "manage"
	}
}

func TestEveryRouteNeedsTheScopeOfTheDesignAndNamesItWhenItIsMissing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	includes := func(set []string, need string) bool {
		return slices.Contains(set, need) || (need == "read" || need == "widget") && slices.Contains(set, "manage")
	}
	tokens := map[string][]string{}
	for _, set := range scopeSets() {
		tokens[a.Key(a.tenant, set...)] = set
	}
	for _, path := range every(a) {
		for _, method := range methods {
			need := needed(method, path)
			for token, set := range tokens {
				if need == "" || includes(set, need) {
					continue // what is allowed is done, and walked below
				}
				got := a.Do(token, method, path, "{}")
				if got.Status == http.StatusMethodNotAllowed {
					continue
				}
				if got.Status != http.StatusForbidden || got.Code() != "insufficient_scope" || !strings.Contains(got.Text("message"), need) {
					t.Errorf("%s %s with %v: %d %s, want a 403 that names %s", method, path, set, got.Status, got.Body, need)
				}
			}
			if got := a.Do("", method, path, "{}"); need != "" && got.Status != http.StatusUnauthorized && got.Status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s without a key: %d %s", method, path, got.Status, got.Body)
			}
		}
	}
	a.vends(t, key)
}

func TestEveryRouteThatAScopeAllowsLetsItIn(t *testing.T) {
	for _, need := range apikey.AllScopes() {
		a := newAcme(t, boottest.Config{})
		token := a.Key(a.tenant, string(need))
		for _, path := range every(a) {
			for _, method := range methods {
				if needed(method, path) != string(need) {
					continue
				}
				if got := a.Do(token, method, path, "{}"); got.Code() == "insufficient_scope" || got.Status == http.StatusUnauthorized || got.Status >= 500 {
					t.Errorf("%s %s with %s: %d %s", method, path, need, got.Status, got.Body)
				}
			}
		}
	}
}

// bodies are what a walker sends: each has something that some route may take.
var bodies = []string{
	"", "{}", `{"user_id":"anna"}`, `{"user_id":"anna","slug":"openai"}`,
	`{"user_id":"anna","secret":"walked-0123456789"}`,
	`{"enabled":true}`, `{"state":"connected"}`, `{"reason":"why"}`,
	`{"provider":"stripe","enabled":true,"auth_methods":["api_key"]}`,
	`{"name":"walker","scopes":["vend"]}`, `{"name":"walker","scopes":["manage","vend"]}`,
	`{"name":"walker","scopes":["manage"]}`, `{"name":"walker","scopes":["read","widget"]}`,
	`{"organization_id":"org","user_id":"anna"}`,
}

// walk sends everything to every route with a token and returns the API keys
// that it was given. The world itself fails the test on a canary.
func (a acme) walk(t *testing.T, token string) []string {
	t.Helper()
	var issued []string
	for _, method := range methods {
		if method == "DELETE" {
			continue // what is gone cannot be read; the last walk deletes
		}
		for _, path := range every(a) {
			for _, body := range bodies {
				got := a.Do(token, method, path, body)
				if got.Status == http.StatusOK && strings.HasSuffix(path, "/credentials") && method == "POST" {
					t.Errorf("%s %s %s: %d", method, path, body, got.Status)
				}
				if strings.Contains(got.Body, "walked-0123456789") {
					t.Errorf("%s %s %s tells a secret: %s", method, path, body, got.Body)
				}
				if strings.HasPrefix(got.Text("token"), "sk_kv_") {
					issued = append(issued, got.Text("token"))
				}
			}
		}
	}
	return issued
}

func TestF60_NoChainOfRequestsWithoutVendEndsWithASecret(t *testing.T) {
	for _, set := range scopeSets() {
		if slices.Contains(set, "vend") && len(set) > 1 {
			continue // vends; what else it holds adds nothing to vend alone
		}
		t.Run(fmt.Sprint(set), func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			token := a.Key(a.tenant, set...)
			if slices.Contains(set, "vend") {
				a.issuesNothing(t, token)
				return
			}
			for hop, tokens := 0, []string{token}; hop < 2 && len(tokens) > 0; hop++ {
				next := map[string]string{} // one of each kind is enough
				for _, from := range tokens {
					for _, issued := range a.walk(t, from) {
						next[fmt.Sprint(a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(issued)))["scopes"])] = issued
						a.noVend(t, issued)
					}
				}
				tokens = slices.Collect(maps.Values(next))
			}
		})
	}
}

// noVend fails the test if an API key that was issued over HTTP has anything to
// do with vending.
func (a acme) noVend(t *testing.T, token string) {
	t.Helper()
	row := a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(token)))
	if strings.Contains(fmt.Sprint(row["scopes"]), "vend") || row["vend_mac"] != nil {
		t.Errorf("issued over HTTP: %v", row)
	}
	if got := a.Vend(token, "openai", "anna"); got.Status != http.StatusForbidden {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// issuesNothing fails the test if a key that can only vend can issue keys.
func (a acme) issuesNothing(t *testing.T, token string) {
	t.Helper()
	for _, path := range every(a) {
		for _, method := range methods {
			for _, body := range bodies {
				if got := a.Do(token, method, path, body); strings.HasPrefix(got.Text("token"), "sk_kv_") {
					t.Errorf("%s %s: %s", method, path, got.Body)
				}
			}
		}
	}
}

func TestEveryAnswerIsJSONThatNoCacheKeepsAndHasARequestID(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	seen := map[string]bool{}
	for _, path := range append(every(a), "/", "//", "/data-integrations/", "/nothing/here", "/DATA-INTEGRATIONS", "/data-integrations//api-key", "/%2e%2e", "/keyvend") {
		for _, method := range append(methods, "HEAD", "OPTIONS", "TRACE", "BREW") {
			got := a.Do(a.Key(a.tenant, "read"), method, path, "")
			h := got.Header
			if got.Status != http.StatusNoContent && h.Get("Content-Type") != "application/json; charset=utf-8" ||
				h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Location") != "" ||
				h.Get("Content-Security-Policy") != "default-src 'none'; frame-ancestors 'none'" {
				t.Errorf("%s %s: %d %v", method, path, got.Status, h)
			}
			if id := h.Get("X-Request-ID"); id == "" || seen[id] {
				t.Errorf("%s %s: request id %q", method, path, id)
			}
			seen[h.Get("X-Request-ID")] = true
			if got.Status >= 300 && got.Status < 400 || got.Status >= 500 {
				t.Errorf("%s %s: %d", method, path, got.Status)
			}
			if got.Status == http.StatusMethodNotAllowed && (h.Get("Allow") == "" || strings.Contains(h.Get("Allow"), method)) {
				t.Errorf("%s %s: Allow %q", method, path, h.Get("Allow"))
			}
		}
	}
}
