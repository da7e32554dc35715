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
		for _, c := range a.calls() {
			if !strings.Contains(c.path, "/configuration") {
				continue
			}
			if got := a.browse(token, c.method, c.path, c.body); got.Status != 403 || got.Code() != "insufficient_permission" {
				t.Errorf("%s: %v: %d %s", name, c, got.Status, got.Body)
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

// from sends a request with a token as if from a remote address.
func (a widgeted) from(remote, method, path, token string) boottest.Answer {
	r, _ := http.NewRequest(method, "http://keyvend.test"+path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Origin", page)
	r.RemoteAddr = remote
	return a.Send(r)
}

func TestF43_WhoseTokenHasEndedGuessesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(*testing.T, widgeted)
		guesses bool
	}{
		"expired":   {func(_ *testing.T, a widgeted) { a.Clock.Pass(time.Hour) }, false},
		"all ended": {func(_ *testing.T, a widgeted) { a.Must(204, a.token, "DELETE", "/keyvend/sessions", "") }, false},
		"user gone": {func(_ *testing.T, a widgeted) { a.Must(202, a.token, "DELETE", "/keyvend/users/anna", "") }, false},
		"forged":    {func(*testing.T, widgeted) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newWidgeted(t, boottest.Config{TTL: -1}) // no key stays in memory, so that nobody is recognized
			session := a.Session(a.Key(a.tenant, "manage"))
			token := a.anna
			if c.guesses {
				token = token[:len(token)-4] + "AAAA"
				session = session[:len(session)-4] + "AAAA"
			}
			c.end(t, a)
			for range burst {
				if got := a.from(attacker, "GET", mine, token); got.Status != 403 || got.Code() != "invalid_widget_token" {
					t.Fatalf("%d %s", got.Status, got.Body)
				}
				if got := a.from(attacker, "GET", "/data-integrations", session); name != "user gone" && got.Status != 401 {
					t.Fatalf("a session: %d %s", got.Status, got.Body)
				}
				if c.guesses {
					break
				}
			}
			for range burst { // a stranger, whose bucket is full unless somebody drained it
				if got := a.from(attacker, "GET", mine, "x.y.z"); limited(got) {
					if !c.guesses {
						t.Error("others at the address have to wait")
					}
					return
				}
			}
			if c.guesses {
				t.Error("what was forged costs nothing")
			}
		})
	}
}

func TestF43_AnExpiredTokenCostsNoIOOnceTheTenantsKeyIsInMemory(t *testing.T) {
	a := newWidgeted(t, boottest.Config{TTL: 2 * time.Hour})
	session := a.Session(a.Key(a.tenant, "manage"))
	a.Must(200, session, "GET", "/data-integrations", "")
	if got := a.browse(a.anna, "GET", mine, ""); got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	a.Clock.Pass(time.Hour)
	gets, unwraps := a.Table.Calls(tabletest.Get), a.Wrapper.Unwraps()
	if got := a.browse(a.anna, "GET", mine, ""); got.Code() != "invalid_widget_token" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Must(401, session, "GET", "/data-integrations", "")
	if a.Table.Calls(tabletest.Get) != gets || a.Wrapper.Unwraps() != unwraps {
		t.Errorf("%d reads, %d unwraps", a.Table.Calls(tabletest.Get)-gets, a.Wrapper.Unwraps()-unwraps)
	}
}

func TestF43_WhoBringsNoWidgetTokenGuessesNothingAndIsToldToBringOne(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	bare := func() boottest.Answer {
		r, _ := http.NewRequest("GET", "http://keyvend.test"+mine, http.NoBody)
		r.Header.Set("Origin", page)
		r.RemoteAddr = attacker
		return a.Send(r)
	}
	reads := a.Table.Calls(tabletest.Get)
	for range burst + 1 {
		if got := bare(); got.Status != 403 || got.Code() != "invalid_widget_token" {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	for range burst {
		if got := a.from(attacker, "GET", mine, "x.y.z"); got.Status != 403 {
			t.Fatalf("others at the address have to wait: %d", got.Status)
		}
	}
	if got := a.from(attacker, "GET", mine, "x.y.z"); !limited(got) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := bare(); got.Status != 403 {
		t.Errorf("a widget that has no token yet has to wait for others: %d %s", got.Status, got.Body)
	}
	if a.Table.Calls(tabletest.Get) != reads {
		t.Error("something is read for who brings nothing")
	}
}

func TestF43_WhoGuessesWidgetTokensHasToWaitAndUsersDoNot(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	from := func(token string) boottest.Answer { return a.from(attacker, "GET", mine, token) }
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
