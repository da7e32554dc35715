package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/table/tabletest"
)

// claimed are the claims of any token, as anyone can read them.
func claimed(t *testing.T, token string) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestAWidgetTokenIsMintedForTheUserThatIsNamed(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	minter := a.Key(a.tenant, "widget")
	for body, want := range map[string]string{
		`{"user_id":"anna"}`: "anna <nil> []",
		`{"user_id":"auth0|a@b+c=d~e,f:g","organization_id":"org"}`:                         "auth0|a@b+c=d~e,f:g org []",
		`{"user_id":"anna","organization_id":null,"scopes":null}`:                           "anna <nil> []",
		`{"user_id":"anna","organization_id":"org","scopes":[]}`:                            "anna org []",
		`{"user_id":"anna","organization_id":"org","scopes":["widgets:pipes:manage"]}`:      "anna org [widgets:pipes:manage]",
		`{"user_id":"` + strings.Repeat("~", 128) + `","unknown":1,"organization_id":"o~"}`: strings.Repeat("~", 128) + " o~ []",
	} {
		got := a.Do(minter, "POST", "/widgets/token", body)
		if got.Status != 201 {
			t.Fatalf("%s: %d %s", body, got.Status, got.Body)
		}
		c := claimed(t, got.Text("token"))
		if said := fmt.Sprint(c["sub"], " ", c["org_id"], " ", c["permissions"]); said != want {
			t.Errorf("%s: %s", body, said)
		}
		if life := time.Unix(int64(c["exp"].(float64)), 0).Sub(a.Clock.Now()); life > time.Hour || life < time.Hour-time.Second {
			t.Errorf("it lives for %v", life)
		}
		if c["tenant"] != a.tenant || c["api_key"] != keyIDOf(minter) {
			t.Errorf("%v", c)
		}
	}
	for body, status := range map[string]int{
		``: 400, `[]`: 400, `{}`: 422, `{"user_id":""}`: 422, `{"user_id":"a b"}`: 422, `{"user_id":7}`: 400,
		`{"user_id":"anna","organization_id":""}`:                                                     422,
		`{"user_id":"anna","scopes":["widgets:pipes:manage"]}`:                                        422,
		`{"user_id":"anna","organization_id":"org","scopes":["widgets:users-table:manage"]}`:          422,
		`{"user_id":"anna","organization_id":"org","scopes":["widgets:pipes:manage","vend"]}`:         422,
		`{"user_id":"anna","organization_id":"org","scopes":"widgets:pipes:manage"}`:                  400,
		`{"user_id":"anna","organization_id":"org","scopes":["` + strings.Repeat("x", 65<<10) + `"]}`: 413,
	} {
		if got := a.Do(minter, "POST", "/widgets/token", body); got.Status != status {
			t.Errorf("%.80s: %d %s", body, got.Status, got.Body)
		}
	}
}

func TestADashboardSessionStandsForTheAPIKeyItWasBegunWith(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	session := a.Session(a.Key(a.tenant, "manage"))
	for _, path := range every(a) {
		for _, method := range methods {
			need := needed(method, path)
			if need == "" || strings.HasPrefix(path, "/_widgets/") || method == "DELETE" || path == "/keyvend/sessions" {
				continue
			}
			got := a.Do(session, method, path, "{}")
			switch {
			case got.Status == http.StatusMethodNotAllowed:
			case need == "vend" && got.Status != http.StatusUnauthorized:
				t.Errorf("%s %s takes a session: %d %s", method, path, got.Status, got.Body)
			case need != "vend" && (got.Status == http.StatusUnauthorized || got.Code() == "insufficient_scope" || got.Status >= 500):
				t.Errorf("%s %s: %d %s", method, path, got.Status, got.Body)
			}
		}
	}
	a.vends(t, key)
}

func TestAKeyThatVendsSignsInNowhereAndIsToldWhatToDo(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, scopes := range [][]string{{"manage", "vend"}, {"manage", "read", "vend", "widget"}} {
		got := a.Do(a.Key(a.tenant, scopes...), "POST", "/keyvend/sessions", "")
		if got.Status != 403 || got.Code() != "key_vends" || !strings.Contains(got.Text("message"), "/keyvend/api_keys") {
			t.Errorf("%v: %d %s", scopes, got.Status, got.Body)
		}
	}
	for _, scopes := range [][]string{{"vend"}, {"read"}, {"widget"}} {
		if got := a.Do(a.Key(a.tenant, scopes...), "POST", "/keyvend/sessions", ""); got.Code() != "insufficient_scope" {
			t.Errorf("%v: %d %s", scopes, got.Status, got.Body)
		}
	}
	got := a.Must(201, a.Key(a.tenant, "manage", "read"), "POST", "/keyvend/sessions", "")
	if got.Text("scopes") != "[manage read]" || got.Text("tenant_id") != a.tenant || got.Text("expires_at") != "2026-03-01T13:00:00.000Z" {
		t.Errorf("%s", got.Body)
	}
}

func TestF21_NoTokenThatASessionMintsOutlivesIt(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	session := a.Session(a.Key(a.tenant, "manage"))
	a.Clock.Pass(50 * time.Minute)
	if got := a.Do(session, "POST", "/keyvend/sessions", ""); got.Status != 403 || got.Code() != "api_key_required" {
		t.Errorf("a session begins another: %d %s", got.Status, got.Body)
	}
	widget := a.WidgetToken(session, "anna", "")
	if claimed(t, widget)["exp"] != claimed(t, session)["exp"] {
		t.Errorf("widget token %v, session %v", claimed(t, widget), claimed(t, session))
	}
	a.Clock.Pass(10*time.Minute - time.Second)
	a.Must(200, session, "GET", "/data-integrations", "")
	a.Clock.Pass(time.Second)
	a.Must(401, session, "GET", "/data-integrations", "")
	a.Must(401, session, "POST", "/widgets/token", `{"user_id":"anna"}`)
}

// An admin issues the keys of his backend in the dashboard: they stay, and tell where
// they are from, so that whoever looks after a theft finds them.
func TestAPIKeysThatASessionIssuesOutliveItAndTellWhoIssuedThem(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	minter := a.Key(a.tenant, "manage")
	session := a.Session(minter)
	issued := a.Must(201, session, "POST", "/keyvend/api_keys", `{"name":"backend","scopes":["manage"]}`)
	direct := a.Must(201, issued.Text("token"), "POST", "/keyvend/api_keys", `{"name":"direct","scopes":["read"]}`)
	for _, c := range []struct {
		of         boottest.Answer
		by, placed string
	}{{issued, keyIDOf(minter), "dashboard"}, {direct, issued.Text("id"), "api"}} {
		if c.of.Text("issued_by") != c.by || c.of.Text("issued_in") != c.placed {
			t.Errorf("%s", c.of.Body)
		}
	}
	a.Must(204, a.token, "DELETE", "/keyvend/sessions", "")
	a.Must(204, a.token, "DELETE", "/keyvend/api_keys/"+keyIDOf(minter), "")
	list := a.Must(200, issued.Text("token"), "GET", "/keyvend/api_keys", "").Body
	for _, told := range []string{`"issued_by":"` + keyIDOf(minter) + `","issued_in":"dashboard"`, `"issued_by":"` + issued.Text("id") + `","issued_in":"api"`, `"issued_by":null,"issued_in":null`} {
		if !strings.Contains(list, told) {
			t.Errorf("%s is not in %s", told, list)
		}
	}
	// Who writes the table cannot hide it.
	a.Edit(boottest.APIKeyRow(a.tenant, issued.Text("id")), func(r boottest.Row) { delete(r, "issued_by"); delete(r, "in_session") })
	a.Must(401, issued.Text("token"), "GET", "/data-integrations", "")
}

func TestNeitherSessionsNorWidgetTokensOutliveTheirAPIKey(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	ends := a.Clock.Now().Add(10 * time.Minute)
	short := a.Must(201, a.Key(a.tenant, "manage"), "POST", "/keyvend/api_keys", `{"name":"short","scopes":["manage"],"expires_at":"`+ends.Format(time.RFC3339)+`"}`).Text("token")
	session := a.Session(short)
	for _, token := range []string{session, a.WidgetToken(short, "anna", ""), a.WidgetToken(session, "anna", "")} {
		if got := claimed(t, token)["exp"].(float64); int64(got) != ends.Unix() {
			t.Errorf("it ends at %v", got)
		}
	}
	// Nor does what the session issues.
	got := a.Do(session, "POST", "/keyvend/api_keys", `{"name":"longer","scopes":["manage"]}`)
	if got.Status != 422 || !strings.Contains(got.Text("message"), "cannot outlive it") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestSessionsEndAtOnce(t *testing.T) {
	for name, end := range map[string]func(*testing.T, acme, string){
		"by DELETE": func(_ *testing.T, a acme, _ string) { a.Must(204, a.token, "DELETE", "/keyvend/sessions", "") },
		"by itself": func(_ *testing.T, a acme, session string) { a.Must(204, session, "DELETE", "/keyvend/sessions", "") },
		"with its API key": func(t *testing.T, a acme, session string) {
			a.Must(204, a.token, "DELETE", "/keyvend/api_keys/"+fmt.Sprint(claimed(t, session)["api_key"]), "")
		},
		"with the tenant's epoch": func(_ *testing.T, a acme, _ string) {
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["epoch"] = 7 })
		},
		"by the settings": func(_ *testing.T, a acme, _ string) {
			a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+a.Clock.Now().Add(time.Second).Format(time.RFC3339)+`"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			session := a.Session(a.Key(a.tenant, "manage"))
			a.Must(200, session, "GET", "/data-integrations", "")
			end(t, a, session)
			a.Must(401, session, "GET", "/data-integrations", "")
			a.Must(401, session, "GET", "/keyvend/accounts", "")
			// Those of after hold, at the same moment too.
			a.Must(200, a.Session(a.Key(a.tenant, "manage")), "GET", "/data-integrations", "")
		})
	}
}

func TestEndingSessionsLeavesTheOtherSettingsAndALaterEndAlone(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.allow(page)
	a.Must(204, a.token, "DELETE", "/keyvend/sessions", "")
	if got := a.Must(200, a.token, "GET", "/keyvend/settings", ""); !strings.Contains(got.Body, page) {
		t.Errorf("%s", got.Body)
	}
	later := a.Clock.Now().Add(time.Hour).Format("2006-01-02T15:04:05.000Z")
	a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+later+`"}`)
	a.Must(204, a.token, "DELETE", "/keyvend/sessions", "")
	if got := a.Must(200, a.token, "GET", "/keyvend/settings", "").Text("sessions_not_before"); got != later {
		t.Errorf("sessions may begin at %s", got)
	}
	if got := a.Do(a.token, "POST", "/widgets/token", `{"user_id":"anna"}`); got.Status != 422 || !strings.Contains(got.Text("message"), "sessions_not_before") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestWhatWasEndedStaysEnded(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.Clock.Pass(time.Second)
	a.Must(204, a.token, "DELETE", "/keyvend/sessions", "")
	set := a.Must(200, a.token, "GET", "/keyvend/settings", "").Text("sessions_not_before")
	for _, earlier := range []string{"1970-01-01T00:00:00Z", a.Clock.Now().Add(-61 * time.Second).Format(time.RFC3339)} {
		got := a.Do(a.token, "PUT", "/keyvend/settings", `{"allowed_origins":[],"sessions_not_before":"`+earlier+`"}`)
		if got.Status != 422 || !slices.Equal(wrongFields(got), []string{"sessions_not_before"}) || !strings.Contains(got.Text("message"), "stay so") {
			t.Errorf("%q: %d %s", earlier, got.Status, got.Body)
		}
	}
	a.Must(403, a.anna, "GET", mine, "", "Origin", page)
	for _, body := range []string{`{"sessions_not_before":"` + set + `"}`, `{"sessions_not_before":null}`, `{"allowed_origins":["` + page + `"]}`, `{}`} {
		if got := a.Must(200, a.token, "PUT", "/keyvend/settings", body).Text("sessions_not_before"); got != set {
			t.Errorf("after %s it is %q", body, got)
		}
	}
	// The present is that of who sends it: it moves nothing back.
	for _, present := range []string{a.Clock.Now().Format(time.RFC3339), a.Clock.Now().Add(-59 * time.Second).Format(time.RFC3339)} {
		if got := a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+present+`"}`).Text("sessions_not_before"); got != set {
			t.Errorf("after %s it is %q", present, got)
		}
	}
	a.Must(403, a.anna, "GET", mine, "", "Origin", page)
}

func TestATimeAheadIsTakenBackByThePresent(t *testing.T) {
	for what, ahead := range map[string]time.Duration{"an hour": time.Hour, "a second": 2 * time.Second} {
		a := newWidgeted(t, boottest.Config{})
		a.Clock.Pass(time.Second)
		a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+a.Clock.Now().Add(ahead).Format(time.RFC3339)+`"}`)
		a.Must(422, a.token, "POST", "/widgets/token", `{"user_id":"anna"}`)
		present := a.Clock.Now()
		a.Clock.Pass(300 * time.Millisecond)
		got := a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+present.Format(time.RFC3339)+`"}`).Text("sessions_not_before")
		if set, err := time.Parse(time.RFC3339, got); err != nil || set.Before(a.Clock.Now()) || set.Sub(a.Clock.Now()) > time.Second {
			t.Errorf("%s: it is %s at %s", what, got, a.Clock.Now())
		}
		a.Must(403, a.anna, "GET", mine, "", "Origin", page)
		a.WidgetToken(a.token, "anna", "")
		a.Clock.Pass(time.Minute)
		a.Must(403, a.anna, "GET", mine, "", "Origin", page)
		a.Must(200, a.WidgetToken(a.token, "anna", ""), "GET", mine, "", "Origin", page)
	}
}

// A slip of a year would lock everybody out, the dashboard too.
func TestNobodyIsLockedOutForMoreThanAnHour(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, later := range []string{"2099-01-01T00:00:00Z", a.Clock.Now().Add(time.Hour + time.Second).Format(time.RFC3339)} {
		got := a.Do(a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+later+`"}`)
		if got.Status != 422 || !slices.Equal(wrongFields(got), []string{"sessions_not_before"}) || !strings.Contains(got.Text("message"), "present time") {
			t.Errorf("%s: %d %s", later, got.Status, got.Body)
		}
	}
	a.Must(201, a.token, "POST", "/widgets/token", `{"user_id":"anna"}`)

	// Where one is set already, it can be sent back as it was read, and taken back.
	const set = "2099-01-01T00:00:00.000Z"
	a.allow(page)
	a.Edit(boottest.SettingsRow(a.tenant), func(r boottest.Row) { r["sessions_not_before"] = set })
	a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+set+`"}`)
	a.Must(422, a.token, "POST", "/widgets/token", `{"user_id":"anna"}`)
	a.Must(200, a.token, "PUT", "/keyvend/settings", `{"sessions_not_before":"`+a.Clock.Now().Format(time.RFC3339)+`"}`)
	a.Must(201, a.token, "POST", "/widgets/token", `{"user_id":"anna"}`)
}

// F58: who can write the table cannot widen what a session may do.
func TestF58_AnEditedAPIKeyGivesItsSessionsNothing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	minter := a.Key(a.tenant, "manage")
	session := a.Session(minter)
	widget := a.WidgetToken(minter, "anna", "")
	a.Edit(boottest.APIKeyRow(a.tenant, keyIDOf(minter)), func(r boottest.Row) {
		r["scopes"] = []string{"manage", "read", "vend", "widget"}
		r["expires_at"] = "2099-01-01T00:00:00Z"
	})
	a.Must(401, session, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	got := a.Do(session, "POST", "/keyvend/api_keys", `{"name":"x","scopes":["vend"]}`)
	if got.Code() != "insufficient_scope" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.allow(page)
	for _, call := range []string{"GET /data-integrations", "POST /data-integrations/openai/credentials", "POST /widgets/token"} {
		method, path, _ := strings.Cut(call, " ")
		if got := a.Do(widget, method, path, `{"user_id":"anna"}`); got.Status != 401 {
			t.Errorf("a widget token at %s: %d %s", call, got.Status, got.Body)
		}
	}
	// A session that states what no key could have signed in with.
	forged := signedSession(t, a, []apikey.Scope{"vend", "manage"})
	a.Must(401, forged, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	if got := a.Do(forged, "POST", "/keyvend/api_keys", `{"name":"x","scopes":["vend"]}`); got.Status < 400 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// signedSession is a session with scopes of one's choice, made by who has the
// tenant's signing key.
func signedSession(t *testing.T, a acme, scopes []apikey.Scope) string {
	t.Helper()
	c := session.Claims{
		Tenant: a.tenant, APIKey: keyIDOf(a.token), IssuedAt: a.Clock.Now(), ExpiresAt: a.Clock.Now().Add(time.Hour), Scopes: scopes,
	}
	return signed(t, seal.DashboardSession, c, a.forger(t, a.tenant))
}

// F57: who can write the table cannot have tokens of his own taken.
func TestF57_AReplacedTokenKeyStopsTheTenant(t *testing.T) {
	a := newWidgeted(t, boottest.Config{TTL: -1})
	other, _ := a.other()
	keys := a.Row(boottest.TenantRow(other)).In("keys")["token_keys"]
	a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r.In("keys")["token_keys"] = keys })
	forged := signed(t, seal.WidgetToken, stated(t, a.anna), a.forger(t, other))
	for _, token := range []string{forged, a.anna} {
		if got := a.browse(token, "GET", mine, ""); got.Status != 500 {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
	if !slices.Contains(a.Log.Alarms(), "integrity") {
		t.Errorf("alarms %v", a.Log.Alarms())
	}
}

func TestF3_ASessionBlobOfAnotherTenantMintsNothing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	other, _ := a.other()
	a.WriteDoc(boottest.SessionBlobRow(a.tenant), a.Item(boottest.SessionBlobRow(other)).Doc)
	if got := a.Do(a.token, "POST", "/widgets/token", `{"user_id":"anna"}`); got.Status != 500 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if !slices.Contains(a.Log.Alarms(), "integrity") {
		t.Errorf("alarms %v", a.Log.Alarms())
	}
}

func TestMintingIsOneReadAndNoCallToKMSOnceWarm(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.WidgetToken(a.token, "anna", "")
	unwraps, gets, writes := a.Wrapper.Unwraps(), a.Table.Calls(tabletest.Get), a.Table.Calls(tabletest.Write)
	a.WidgetToken(a.token, "bob", "")
	if got := []int{a.Wrapper.Unwraps() - unwraps, a.Table.Calls(tabletest.Get) - gets, a.Table.Calls(tabletest.Write) - writes}; !slices.Equal(got, []int{0, 1, 0}) {
		t.Errorf("unwraps, reads, writes %v", got)
	}
}

func TestF41_ATokenInTheQueryIsRefused(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	session := a.Session(a.Key(a.tenant, "manage"))
	a.Must(200, session, "GET", "/data-integrations?x=1", "")
	a.Must(401, session, "GET", "/data-integrations?access_token="+session, "")
	if got := a.browse(a.anna, "GET", mine+"?token="+a.anna, ""); got.Status != 403 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
