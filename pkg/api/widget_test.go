package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/table/tabletest"
)

// page is the origin of the product's page that shows the widget.
const page = "https://app.example.com"

// widgeted is acme whose page shows the widget to anna.
type widgeted struct {
	acme
	anna string // her widget token
}

func newWidgeted(t testing.TB, cfg boottest.Config) widgeted {
	t.Helper()
	a := newAcme(t, cfg)
	a.allow(page)
	return widgeted{a, a.WidgetToken(a.token, "anna", "")}
}

func (a acme) allow(origin string) {
	a.Must(200, a.Key(a.tenant, "manage"), "PUT", "/keyvend/settings", `{"allowed_origins":["`+origin+`"]}`)
}

// browse sends a request as a browser does from the product's page.
func (a acme) browse(token, method, path, body string) boottest.Answer {
	return a.Do(token, method, path, body, "Origin", page, "Sec-Fetch-Site", "cross-site")
}

const (
	mine       = "/_widgets/DataIntegrations/mine"
	myKey      = "/_widgets/DataIntegrations/openai/api-key"
	myAccounts = "/_widgets/DataIntegrations/installations/"
	switches   = "/_widgets/DataIntegrations/configurations"
	mySwitch   = "/_widgets/DataIntegrations/openai/configuration"
	offers     = "/_widgets/keyvend/providers"
	itsReads   = "/_widgets/keyvend/accounts/"
)

// calls are all that a widget may send.
func (a acme) calls() []request {
	return []request{
		{path: "GET /_widgets/settings"}, {path: "GET " + mine},
		{path: "PUT " + myKey, body: `{"secret":"` + boottest.Canary + `planted-0001"}`},
		{path: "DELETE " + myAccounts + a.account},
		{path: "GET " + switches}, {path: "PUT " + mySwitch, body: `{"enabled":false}`},
		{path: "GET " + offers}, {path: "GET " + itsReads + a.account + "/reads"},
	}
}

// row is the row of a provider in a list of the widget's.
func row(t *testing.T, a boottest.Answer, slug string) map[string]any {
	t.Helper()
	var list struct{ Data []map[string]any }
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, row := range list.Data {
		if row["slug"] == slug {
			return row
		}
	}
	return nil
}

func TestAUserConnectsRotatesAndDisconnectsInTheWidget(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	bob := a.WidgetToken(a.token, "bob", "")
	if got := row(t, a.browse(bob, "GET", mine, ""), "openai"); got["installation"] != nil || fmt.Sprint(got["authMethods"]) != "[api_key]" {
		t.Errorf("before: %v", got)
	}
	put := func(secret string) boottest.Answer {
		return a.browse(bob, "PUT", myKey, `{"secret":"`+boottest.Canary+secret+`"}`)
	}
	first := put("first-0001")
	if first.Status != 200 || first.Text("object") != "connected_account" || first.Text("api_key_last_4") != "0001" || first.Text("user_id") != "bob" {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	if second := put("second-0002"); second.Text("id") != first.Text("id") {
		t.Errorf("the rotation is another account: %s", second.Body)
	}
	if got := a.Vend(a.token, "openai", "bob"); got.Text("credential.value") != boottest.Canary+"second-0002" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	installation := row(t, a.browse(bob, "GET", mine, ""), "openai")["installation"].(map[string]any)
	if installation["api_key_last_4"] != "0002" || installation["state"] != "connected" || installation["auth_method"] != "api_key" {
		t.Errorf("%v", installation)
	}
	gone := a.browse(bob, "DELETE", myAccounts+first.Text("id"), "")
	if gone.Status != 200 || gone.Body != `{"success":true}` {
		t.Errorf("%d %s", gone.Status, gone.Body)
	}
	if again := a.browse(bob, "DELETE", myAccounts+first.Text("id"), ""); again.Status != 404 || again.Text("message") == "" {
		t.Errorf("%d %s", again.Status, again.Body)
	}
	if third := put("third-0003"); third.Text("id") == first.Text("id") {
		t.Error("a disconnected account came back")
	}
	a.vends(t, key) // anna's is as it was
}

func TestWhatIsSwitchedOffIsNeitherShownNorTaken(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	inOrg := a.WidgetToken(a.token, "anna", "org")
	body := `{"secret":"` + boottest.Canary + `switched-0001"}`
	off := func(token string) {
		t.Helper()
		if got := row(t, a.browse(token, "GET", mine, ""), "openai"); got != nil {
			t.Errorf("shown: %v", got)
		}
		if got := a.browse(token, "PUT", myKey, body); got.Status != 404 {
			t.Errorf("taken: %d %s", got.Status, got.Body)
		}
	}
	a.Must(200, a.token, "PUT", "/organizations/org/data_integration_configurations/openai", `{"enabled":false}`)
	off(inOrg)
	if got := row(t, a.browse(a.anna, "GET", mine, ""), "openai"); got == nil {
		t.Error("another organization's switch took it away")
	}
	a.Must(200, a.token, "PUT", "/data-integrations/openai", `{"enabled":false}`)
	off(a.anna)
}

func TestAWidgetTokenIsForItsUserInItsOrganizationAlone(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	otherTenant, otherToken := a.other()
	a.Must(200, a.Key(otherTenant, "manage"), "PUT", "/keyvend/settings", `{"allowed_origins":["`+page+`"]}`)
	for name, token := range map[string]string{
		"another user":                     a.WidgetToken(a.token, "bob", ""),
		"the same in an organization":      a.WidgetToken(a.token, "anna", "org"),
		"an admin of one":                  a.WidgetToken(a.token, "anna", "org", "widgets:pipes:manage"),
		"the same name in another tenant":  a.WidgetToken(otherToken, "anna", ""),
		"a user whose id begins like hers": a.WidgetToken(a.token, "anna.", ""),
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{mine, offers} {
				got := a.browse(token, "GET", path, "")
				if got.Status != 200 || strings.Contains(got.Body, a.account) || strings.Contains(got.Body, "cdef") {
					t.Errorf("%s: %d %s", path, got.Status, got.Body)
				}
			}
			nobodys := "data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV"
			for _, call := range []string{"DELETE " + myAccounts, "GET " + itsReads} {
				method, path, _ := strings.Cut(call, " ")
				tail := ""
				if method == "GET" {
					tail = "/reads"
				}
				hers, none := a.browse(token, method, path+a.account+tail, ""), a.browse(token, method, path+nobodys+tail, "")
				if hers.Status != 404 || face(hers) != face(none) {
					t.Errorf("%s: %s, and for what there is not %s", call, face(hers), face(none))
				}
			}
			if got := a.browse(token, "PUT", myKey, `{"secret":"`+boottest.Canary+`other-0001","user_id":"anna"}`); got.Status != 200 || got.Text("id") == a.account {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			a.vends(t, key)
		})
	}
}

// forger signs tokens with the keys of a tenant that it has got hold of.
func (a acme) forger(t *testing.T, tenant string) *seal.SigningKey {
	t.Helper()
	ring := seal.NewRing(a.Wrapper, seal.Config{App: "keyvend", Environment: "test", KeyID: "fake"})
	of, err := a.Store.Tenant(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := a.Store.SessionBlob(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Signing(t.Context(), of.Keys, func(context.Context) ([]byte, error) { return blob, nil })
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stated are the claims of a token.
func stated(t *testing.T, token string) session.Claims {
	t.Helper()
	parsed, ok := session.Parse(seal.WidgetToken, token)
	if !ok {
		t.Fatalf("%q is no widget token", token)
	}
	return parsed.Claims()
}

func signed(t *testing.T, kind seal.TokenKind, c session.Claims, key *seal.SigningKey) string {
	t.Helper()
	text, err := session.Sign(kind, c, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text.Reveal())
}

func TestF47_ARefusedWidgetTokenIsOneConstantAnswerAndNothingIsDone(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, widgeted) string{
		"none":              func(*testing.T, widgeted) string { return "" },
		"garbage":           func(*testing.T, widgeted) string { return "x.y.z" },
		"an API key":        func(_ *testing.T, a widgeted) string { return a.token },
		"a session":         func(_ *testing.T, a widgeted) string { return a.Session(a.Key(a.tenant, "manage")) },
		"expired":           func(_ *testing.T, a widgeted) string { a.Clock.Pass(time.Hour); return a.anna },
		"F21 a day passed":  func(_ *testing.T, a widgeted) string { a.Clock.Pass(24 * time.Hour); return a.anna },
		"F21 the clock set": func(_ *testing.T, a widgeted) string { a.Clock.Pass(-24 * time.Hour); return a.anna },
		"tampered": func(_ *testing.T, a widgeted) string {
			bobs := strings.Split(a.WidgetToken(a.token, "bob", ""), ".")
			annas := strings.Split(a.anna, ".")
			return annas[0] + "." + annas[1] + "." + bobs[2]
		},
		"alg none": func(_ *testing.T, a widgeted) string {
			return "eyJhbGciOiJub25lIn0." + strings.Split(a.anna, ".")[1] + "."
		},
		"signed by another tenant": func(t *testing.T, a widgeted) string {
			tenant, _ := a.other()
			return signed(t, seal.WidgetToken, stated(t, a.anna), a.forger(t, tenant))
		},
		"signed as a session": func(t *testing.T, a widgeted) string {
			key := a.forger(t, a.tenant)
			parts := strings.Split(a.anna, ".")
			session := strings.Split(signed(t, seal.DashboardSession, stated(t, a.anna), key), ".")
			return parts[0] + "." + parts[1] + "." + session[2]
		},
		"for another tenant": func(t *testing.T, a widgeted) string {
			tenant, _ := a.other()
			c := stated(t, a.anna)
			c.Tenant = tenant
			return signed(t, seal.WidgetToken, c, a.forger(t, a.tenant))
		},
		"for a tenant that there is not": func(t *testing.T, a widgeted) string {
			c := stated(t, a.anna)
			c.Tenant = "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"
			return signed(t, seal.WidgetToken, c, a.forger(t, a.tenant))
		},
		"of an API key that there is not": func(t *testing.T, a widgeted) string {
			c := stated(t, a.anna)
			c.APIKey = "api_key_01ARZ3NDEKTSV4RRFFQ69G5FAV"
			return signed(t, seal.WidgetToken, c, a.forger(t, a.tenant))
		},
		"longer than an hour": func(t *testing.T, a widgeted) string {
			c := stated(t, a.anna)
			c.ExpiresAt = c.IssuedAt.Add(2 * time.Hour)
			return signed(t, seal.WidgetToken, c, a.forger(t, a.tenant))
		},
		"its API key revoked": func(_ *testing.T, a widgeted) string {
			minter := a.Key(a.tenant, "widget")
			token := a.WidgetToken(minter, "anna", "")
			a.Must(204, a.token, "DELETE", "/keyvend/api_keys/"+keyIDOf(minter), "")
			return token
		},
		"its API key expired": func(_ *testing.T, a widgeted) string {
			ends := a.Clock.Now().Add(10 * time.Minute)
			minter := a.Must(201, a.Key(a.tenant, "manage"), "POST", "/keyvend/api_keys", `{"name":"short","scopes":["widget"],"expires_at":"`+ends.Format(time.RFC3339)+`"}`).Text("token")
			token := a.WidgetToken(minter, "anna", "")
			a.Clock.Pass(10 * time.Minute)
			return token
		},
		"all ended": func(_ *testing.T, a widgeted) string {
			a.Must(204, a.token, "DELETE", "/keyvend/sessions", "")
			return a.anna
		},
		"ended in the settings": func(_ *testing.T, a widgeted) string {
			a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+a.Clock.Now().Add(time.Second).Format(time.RFC3339)+`"}`)
			return a.anna
		},
		"the tenant's epoch raised": func(_ *testing.T, a widgeted) string {
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["epoch"] = 1 })
			return a.anna
		},
		"the tenant shredded": func(_ *testing.T, a widgeted) string {
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["status"] = "shredded" })
			return a.anna
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newWidgeted(t, boottest.Config{})
			token := spoil(t, a)
			before := string(a.Item(boottest.AccountRow(a.tenant, "anna", "openai", "")).Doc)
			writes, want := a.Table.Calls(tabletest.Write), ""
			for _, call := range a.calls() {
				method, path, _ := strings.Cut(call.path, " ")
				got := a.browse(token, method, path, call.body)
				if got.Status != 403 || got.Code() != "invalid_widget_token" || got.Header.Get("Access-Control-Allow-Origin") != page {
					t.Errorf("%s: %d %s", call.path, got.Status, got.Body)
				}
				if want == "" {
					want = face(got)
				}
				if face(got) != want {
					t.Errorf("%s: %s, and elsewhere %s", call.path, face(got), want)
				}
			}
			if a.Table.Calls(tabletest.Write) != writes || string(a.Item(boottest.AccountRow(a.tenant, "anna", "openai", "")).Doc) != before {
				t.Error("something was written")
			}
		})
	}
}

func TestF49_OnlyListedOriginsGetAnAnswerAndNothingIsDoneForOthers(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	for _, sent := range [][]string{
		{"Origin", "null"}, {"Origin", ""}, {"Origin", "https://evil.example"}, {"Origin", page + ".evil.example"}, {"Origin", page + ":443"},
		{"Origin", page + "/"}, {"Origin", "http://app.example.com"}, {"Origin", "https://evil-app.example.com"}, {"Origin", "https://example.com"},
		{"Origin", "https://APP.example.com"}, {"Origin", "https://sub.app.example.com"}, {"Origin", page + "," + page}, {"Origin", "*"},
		{"Origin", page, "Origin", "https://evil.example"}, {"Origin", "https://evil.example", "Origin", page},
		{"Origin", "http://localhost:3000"}, {"Origin", "http://127.0.0.1:3000"},
		{}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"},
		{"Referer", page}, {"X-Forwarded-Host", "app.example.com"},
	} {
		writes := a.Table.Calls(tabletest.Write)
		for _, call := range a.calls() {
			method, path, _ := strings.Cut(call.path, " ")
			got := a.Do(a.anna, method, path, call.body, sent...)
			if got.Status != 403 || got.Code() != "origin_not_allowed" {
				t.Errorf("%v: %s: %d %s", sent, call.path, got.Status, got.Body)
			}
		}
		if a.Table.Calls(tabletest.Write) != writes {
			t.Errorf("%v: something was written", sent)
		}
	}
	for _, sent := range [][]string{{"Origin", page}, {"Origin", page, "Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://keyvend.test", "Sec-Fetch-Site", "same-origin"}} {
		if got := a.Do(a.anna, "GET", mine, "", sent...); got.Status != 200 {
			t.Errorf("%v: %d %s", sent, got.Status, got.Body)
		}
	}
	a.allow("https://elsewhere.example")
	if got := a.browse(a.anna, "GET", mine, ""); got.Code() != "origin_not_allowed" {
		t.Errorf("an origin that was taken off the list: %d %s", got.Status, got.Body)
	}
	a.vends(t, key)
}

func TestPreflightsAreAnsweredForEveryWidgetPathAndForNothingElse(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	ask := func(path string) boottest.Answer {
		return a.Do("", "OPTIONS", path, "", "Origin", page, "Access-Control-Request-Method", "PUT",
			"Access-Control-Request-Headers", "authorization,content-type,workos-widgets-type,workos-widgets-version")
	}
	reads := a.Table.Calls(tabletest.Get)
	for _, path := range []string{mine, myKey, myAccounts + "x", "/_widgets/no/such/path"} {
		got := ask(path)
		h := got.Header
		allowed := strings.Split(h.Get("Access-Control-Allow-Headers"), ", ")
		for _, name := range []string{"authorization", "content-type", "workos-widgets-type", "workos-widgets-version"} {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s: no %s in %v", path, name, allowed)
			}
		}
		if got.Status != 204 || got.Body != "" || h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Methods") != "GET, PUT, DELETE" ||
			h.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(h.Get("Vary"), "Origin") {
			t.Errorf("%s: %d %v", path, got.Status, h)
		}
	}
	if a.Table.Calls(tabletest.Get) != reads {
		t.Error("a preflight reads the table")
	}
	for _, path := range []string{"/data-integrations", "/keyvend/sessions", "/widgets/token", "/keyvend/vend", "/dashboard", "/_widgets"} {
		if got := ask(path); got.Status == 204 || got.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", path, got.Status, got.Header)
		}
	}
}

func TestPagesReadTheErrorsOfWidgetPaths(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.Providers.Say(401, `{"error":{"code":"invalid_api_key"}}`)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		before             func()
	}{
		"a path that there is not": {"GET", "/_widgets/no/such", "", 404, nil},
		"another method":           {"POST", mine, "", 405, nil},
		"a bad body":               {"PUT", myKey, "[]", 400, nil},
		"a bad value":              {"PUT", myKey, `{"secret":""}`, 422, nil},
		"a large body":             {"PUT", myKey, strings.Repeat(" ", 64<<10+1), 413, nil},
		"another provider":         {"PUT", "/_widgets/DataIntegrations/stripe/api-key", `{"secret":"x"}`, 404, nil},
		"a table in trouble":       {"GET", mine, "", 503, func() { a.Table.Fail(tabletest.Next(tabletest.Get)) }},
	} {
		if c.before != nil {
			c.before()
		}
		got := a.browse(a.anna, c.method, c.path, c.body)
		if got.Status != c.status || got.Text("message") == "" || got.Header.Get("Access-Control-Allow-Origin") != page {
			t.Errorf("%s: %d %s %v", name, got.Status, got.Body, got.Header)
		}
	}
}

func TestAProvidersRefusalReachesTheUserInWords(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.Must(200, a.token, "PATCH", "/keyvend/integrations/openai", `{"verify_on_save":"require"}`)
	a.Providers.Say(401, `{"error":{"code":"invalid_api_key"}}`)
	got := a.browse(a.anna, "PUT", myKey, `{"secret":"`+boottest.Canary+`refused-0001"}`)
	if got.Status != 422 || got.Code() != "key_refused" || !strings.HasPrefix(got.Text("message"), "The provider refuses this key.") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.vends(t, key)
}

func TestAnOrganizationsAdminDecidesWhatItsPeopleMayConnect(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.Register(a.token, "stripe")
	a.Must(200, a.token, "PUT", "/data-integrations/stripe", `{"enabled":false}`)
	admin := a.WidgetToken(a.token, "anna", "org", "widgets:pipes:manage")
	for name, token := range map[string]string{"a user": a.anna, "one of the organization": a.WidgetToken(a.token, "anna", "org")} {
		for _, call := range a.calls() {
			method, path, _ := strings.Cut(call.path, " ")
			if path != switches && path != mySwitch {
				continue
			}
			if got := a.browse(token, method, path, call.body); got.Status != 403 || got.Code() != "insufficient_permission" {
				t.Errorf("%s: %s: %d %s", name, call.path, got.Status, got.Body)
			}
		}
	}
	if got := row(t, a.browse(admin, "GET", switches, ""), "openai"); got["enabled"] != true || fmt.Sprint(got["authMethods"]) != "[api_key]" {
		t.Errorf("%v", got)
	}
	if got := row(t, a.browse(admin, "GET", switches, ""), "stripe"); got != nil {
		t.Errorf("what is off for all is offered to admins: %v", got)
	}
	if got := a.browse(admin, "PUT", mySwitch, `{"enabled":false}`); got.Status != 200 || got.Text("enabled") != "false" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := a.Do(a.token, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna","organization_id":"org"}`); got.Code() != "data_integration_disabled" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.vends(t, key) // the switch is that organization's alone
}

func TestAWarmWidgetAsksKMSForNothingAndReadsItsRowsOnce(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.browse(a.anna, "GET", mine, "")
	for _, c := range []struct {
		call         string
		gets, ranges int
		writes       int
	}{
		{"GET " + mine, 1, 2, 0},
		{"GET " + offers, 3, 2, 0}, // the checks and last uses of his accounts
		{"GET /_widgets/settings", 1, 0, 0},
		{"PUT " + myKey, 1, 0, 1},
		{"DELETE " + myAccounts + a.account, 2, 1, 1},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		body := ""
		if method == "PUT" {
			body = `{"secret":"` + boottest.Canary + `warm-0001"}`
		}
		unwraps, gets, ranges, writes := a.Wrapper.Unwraps(), a.Table.Calls(tabletest.Get), a.Table.Calls(tabletest.Query), a.Table.Calls(tabletest.Write)
		if got := a.browse(a.anna, method, path, body); got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", c.call, got.Status, got.Body)
		}
		got := []int{a.Wrapper.Unwraps() - unwraps, a.Table.Calls(tabletest.Get) - gets, a.Table.Calls(tabletest.Query) - ranges, a.Table.Calls(tabletest.Write) - writes}
		if want := []int{0, c.gets, c.ranges, c.writes}; !slices.Equal(got, want) {
			t.Errorf("%s: unwraps, gets, queries, writes %v, want %v", c.call, got, want)
		}
	}
}

func TestF43_AForgedTokenCostsNoIOOnceTheTenantsKeyIsInMemory(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.browse(a.anna, "GET", mine, "")
	a.Do(a.Key(a.tenant, "manage"), "GET", "/data-integrations", "")
	other, _ := a.other()
	forged := signed(t, seal.WidgetToken, stated(t, a.anna), a.forger(t, other))
	session := signed(t, seal.DashboardSession, stated(t, a.anna), a.forger(t, other))
	gets, unwraps := a.Table.Calls(tabletest.Get), a.Wrapper.Unwraps()
	for range 50 {
		if got := a.browse(forged, "GET", mine, ""); got.Status != 403 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		if got := a.Do(session, "GET", "/data-integrations", ""); got.Status != 401 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	if a.Table.Calls(tabletest.Get) != gets || a.Wrapper.Unwraps() != unwraps {
		t.Errorf("%d reads, %d unwraps", a.Table.Calls(tabletest.Get)-gets, a.Wrapper.Unwraps()-unwraps)
	}
}

func TestF43_WhoGuessesWidgetTokensHasToWaitAndUsersDoNot(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	from := func(token string) boottest.Answer {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://keyvend.test"+mine, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Origin", page)
		r.RemoteAddr = "203.0.113.7:1234"
		return a.Send(r)
	}
	if got := from(a.anna); got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for range 120 {
		from("x.y.z")
	}
	if got := from("x.y.z"); got.Status != 429 || got.Header.Get("Retry-After") == "" || got.Header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := from(a.anna); got.Status != 200 {
		t.Errorf("who shares the address: %d %s", got.Status, got.Body)
	}
}
