package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/api/apitest"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// guarded is acme whose page shows the widgets to anna, an admin of her
// organization, so that her token is good for every widget route.
type guarded struct {
	acme
	engine *tabletest.Memory
	token  string // hers
	other  string // another tenant
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	g := guarded{engine: tabletest.NewMemory()}
	g.acme = newAcme(t, boottest.Config{Engine: g.engine})
	g.allow(page)
	g.account = g.Must(200, g.acme.token, "PUT", "/data-integrations/openai/api-key",
		`{"user_id":"anna","organization_id":"org","secret":"`+boottest.Canary+`hers-wxyz"}`).Text("id")
	g.token = g.WidgetToken(g.acme.token, "anna", "org", "widgets:pipes:manage")
	var stranger string
	g.other, stranger = g.acme.other()
	g.Must(200, stranger, "PUT", "/keyvend/settings", `{"allowed_origins":["`+page+`"]}`)
	return g
}

// backend is the product's API key.
func (g guarded) backend() string { return g.acme.token }

// call is a request of a widget.
type call struct{ method, path, body string }

// calls are one for each widget route that keyvend says it has.
func (a acme) calls() []call {
	described, err := apitest.Served()
	if err != nil {
		panic(err) // every test of this package needs it
	}
	var all []call
	for _, o := range described.Operations() {
		if strings.HasPrefix(o.Path, "/_widgets/") {
			path := strings.NewReplacer("{slug}", "openai", "{account_id}", a.account).Replace(o.Path)
			all = append(all, call{o.Method, path, string(o.Example)})
		}
	}
	return all
}

// everyRow is the whole store, as text.
func (g guarded) everyRow() string {
	var all strings.Builder
	for _, item := range g.engine.Items() {
		fmt.Fprintln(&all, item.Key, item.Revision, item.ExpiresAt, item.Index, string(item.Doc))
	}
	return all.String()
}

func TestAGoodTokenIsTakenOnEveryWidgetRoute(t *testing.T) {
	calls := newGuarded(t).calls()
	for i := range calls {
		g := newGuarded(t)
		c := g.calls()[i]
		if got := g.browse(g.token, c.method, c.path, c.body); got.Status != 200 {
			t.Errorf("%v: %d %s: what is refused below may be refused for this reason", c, got.Status, got.Body)
		}
	}
	if len(calls) < 8 {
		t.Errorf("only %d routes are described", len(calls))
	}
}

// part64 is a part of a token.
func part64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forge makes a token of any text, signed by who has got hold of a tenant's keys.
func (g guarded) forge(t *testing.T, tenant string, kind seal.TokenKind, header, claims string) string {
	t.Helper()
	message := part64(header) + "." + part64(claims)
	return message + "." + base64.RawURLEncoding.EncodeToString(g.forger(t, tenant).Sign(kind, []byte(message)))
}

// restated is the good token with changed claims, signed as those of a kind are.
func (g guarded) restated(t *testing.T, change func(*session.Claims), signer string) string {
	t.Helper()
	c := stated(t, g.token)
	change(&c)
	return signed(t, seal.WidgetToken, c, g.forger(t, signer))
}

const (
	widgetHeader    = `{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`
	dashboardHeader = `{"alg":"EdDSA","typ":"keyvend-dashboard+jwt"}`
)

// spoilt are all ways in which a token can be bad: each makes one of a good one, or
// ends that.
func spoilt(g guarded) map[string]func(*testing.T) string {
	parts := strings.Split(g.token, ".")
	header, claims, signature := parts[0], parts[1], parts[2]
	text, _ := base64.RawURLEncoding.DecodeString(claims)
	same := func(token string) func(*testing.T) string { return func(*testing.T) string { return token } }
	after := func(do func()) func(*testing.T) string {
		return func(*testing.T) string { do(); return g.token }
	}
	restated := func(change func(*session.Claims), signer string) func(*testing.T) string {
		return func(t *testing.T) string { return g.restated(t, change, signer) }
	}
	const nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	all := map[string]func(*testing.T) string{
		"none": same(""), "garbage": same("x.y.z"), "dots": same(".."), "blanks": same(" . . "),

		"wrong kind: an API key":              same(g.Key(g.tenant, "widget")),
		"wrong kind: an API key that may all": same(g.Key(g.tenant, "manage", "read", "vend", "widget")),
		"wrong kind: a session":               same(g.Session(g.Key(g.tenant, "manage"))),
		"wrong kind: signed as a session": func(t *testing.T) string {
			return g.forge(t, g.tenant, seal.DashboardSession, widgetHeader, string(text))
		},
		"wrong kind: a session's header": func(t *testing.T) string {
			return g.forge(t, g.tenant, seal.WidgetToken, dashboardHeader, string(text))
		},
		"wrong kind: a session with this signature": func(t *testing.T) string {
			return g.forge(t, g.tenant, seal.DashboardSession, dashboardHeader, string(text))
		},

		"expired":             after(func() { g.Clock.Pass(time.Hour) }),
		"F21 a day passed":    after(func() { g.Clock.Pass(24 * time.Hour) }),
		"F21 clock set back":  after(func() { g.Clock.Pass(-24 * time.Hour) }),
		"longer than an hour": restated(func(c *session.Claims) { c.ExpiresAt = c.IssuedAt.Add(2 * time.Hour) }, g.tenant),
		"from the future":     restated(func(c *session.Claims) { c.IssuedAt = c.IssuedAt.Add(time.Minute) }, g.tenant),

		"revoked: all sessions ended": after(func() { g.Must(204, g.backend(), "DELETE", "/keyvend/sessions", "") }),
		"revoked: sessions_not_before": after(func() {
			g.Must(200, g.backend(), "PUT", "/keyvend/settings", `{"sessions_not_before":"`+g.Clock.Now().Add(time.Second).Format(time.RFC3339)+`"}`)
		}),
		"revoked: its user offboarded":         after(func() { g.Must(202, g.backend(), "DELETE", "/keyvend/users/anna", "") }),
		"revoked: its organization offboarded": after(func() { g.Must(202, g.backend(), "DELETE", "/keyvend/organizations/org", "") }),
		"revoked: its API key":                 after(func() { g.Must(204, g.backend(), "DELETE", "/keyvend/api_keys/"+keyIDOf(g.backend()), "") }),
		"revoked: the tenant's epoch":          after(func() { g.Edit(boottest.TenantRow(g.tenant), func(r boottest.Row) { r["epoch"] = 1 }) }),
		"revoked: the tenant shredded":         after(func() { g.Edit(boottest.TenantRow(g.tenant), func(r boottest.Row) { r["status"] = "shredded" }) }),
		"its API key expired": func(*testing.T) string {
			ends := g.Clock.Now().Add(10 * time.Minute)
			minter := g.Must(201, g.Key(g.tenant, "manage"), "POST", "/keyvend/api_keys", `{"name":"short","scopes":["widget"],"expires_at":"`+ends.Format(time.RFC3339)+`"}`).Text("token")
			token := g.WidgetToken(minter, "anna", "org")
			g.Clock.Pass(10 * time.Minute)
			return token
		},
		"of an API key that there is not": restated(func(c *session.Claims) { c.APIKey = "api_key_" + nobody }, g.tenant),

		"another tenant's: its signature":   restated(func(*session.Claims) {}, g.other),
		"another tenant's: named":           restated(func(c *session.Claims) { c.Tenant = g.other }, g.tenant),
		"a tenant that there is not: named": restated(func(c *session.Claims) { c.Tenant = "tenant_" + nobody }, g.tenant),

		"tampered: no signature": same(header + "." + claims + "."), "tampered: two parts": same(header + "." + claims),
		"tampered: four parts": same(g.token + "." + signature), "tampered: a line break": same(g.token + "\n"),
		"tampered: padding": same(g.token + "=="), "tampered: a shorter signature": same(g.token[:len(g.token)-2]),
		"tampered: another's signature": func(*testing.T) string {
			bobs := strings.Split(g.WidgetToken(g.backend(), "bob", "org", "widgets:pipes:manage"), ".")
			return header + "." + claims + "." + bobs[2]
		},
	}
	for i, name := range []string{"header", "claims", "signature"} {
		for _, at := range []int{0, len(parts[i]) / 2, len(parts[i]) - 3} {
			changed := slices.Clone(parts)
			changed[i] = parts[i][:at] + string(rune('A'+(parts[i][at]-'A'+1)%25)) + parts[i][at+1:]
			all[fmt.Sprintf("tampered: character %d of the %s", at, name)] = same(strings.Join(changed, "."))
		}
	}
	var stands map[string]any
	_ = json.Unmarshal(text, &stands) // it is ours
	for name, value := range map[string]any{
		"sub": "bob", "org_id": "other", "tenant": g.other, "api_key": "api_key_" + nobody, "exp": 4e9, "iat": 1, "epoch": 7,
		"aud": "keyvend-dashboard", "iss": "somebody", "permissions": []string{}, "jti": "x", "scopes": []string{"vend"},
	} {
		claims := maps.Clone(stands)
		claims[name] = value
		changed, _ := json.Marshal(claims)
		all["tampered: the claim "+name] = same(header + "." + part64(string(changed)) + "." + signature)
		if name == "aud" || name == "iss" {
			all["wrong kind: signed with another "+name] = func(t *testing.T) string {
				return g.forge(t, g.tenant, seal.WidgetToken, widgetHeader, string(changed))
			}
		}
	}
	for _, none := range []string{
		`{"alg":"none"}`, `{"alg":"None","typ":"keyvend-widget+jwt"}`, `{"alg":"NONE"}`, `{"alg":"","typ":"keyvend-widget+jwt"}`, `{"alg":"none","typ":"keyvend-widget+jwt"}`,
		`{"typ":"keyvend-widget+jwt"}`, `{}`, `{"alg":"EdDSA","typ":"JWT"}`, `{"alg":"EdDSA", "typ":"keyvend-widget+jwt"}`, `{"alg":"EdDSA","typ":"keyvend-widget+jwt","crit":["x"]}`,
	} {
		all["alg: none: "+none] = same(part64(none) + "." + claims + ".")
		all["alg: none: "+none+" and a signature"] = func(t *testing.T) string { return g.forge(t, g.tenant, seal.WidgetToken, none, string(text)) }
	}
	all["alg: HS256 with the public key"] = func(t *testing.T) string {
		of, err := g.Store.Tenant(t.Context(), g.tenant)
		if err != nil {
			t.Fatal(err)
		}
		message := part64(`{"alg":"HS256","typ":"keyvend-widget+jwt"}`) + "." + claims
		mac := hmac.New(sha256.New, of.Keys.TokenKeys[seal.WidgetToken])
		mac.Write([]byte(message))
		return message + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return all
}

// nothingDone sends every call and fails the test unless each is refused alike, on
// no more than one read, and the store is what it was.
func (g guarded) nothingDone(t *testing.T, code string, send func(call) boottest.Answer) {
	t.Helper()
	before, want := g.everyRow(), ""
	for _, c := range g.calls() {
		gets, ranges := g.Table.Calls(tabletest.Get), g.Table.Calls(tabletest.Query)
		got := send(c)
		if got.Status != http.StatusForbidden || got.Code() != code {
			t.Errorf("%v: %d %s", c, got.Status, got.Body)
		}
		if want == "" {
			want = face(got)
		}
		if face(got) != want {
			t.Errorf("%v: %s, and elsewhere %s", c, face(got), want)
		}
		if g.Table.Calls(tabletest.Query) != ranges || g.Table.Calls(tabletest.Get) > gets+1 {
			t.Errorf("%v: more is read than who asks", c)
		}
	}
	if after := g.everyRow(); after != before {
		t.Errorf("something was written:\n%s\nbefore\n%s", after, before)
	}
	if lines, waiting, asked := g.Audit.Lines(), g.Checks.Waiting(), g.Providers.Asked(); len(lines)+waiting+len(asked) > 0 {
		t.Errorf("audit %v, %d checks, asked %v", lines, waiting, asked)
	}
}

func TestF47_ABadTokenIsOneConstantAnswerAndNothingIsDoneOnAnyWidgetRoute(t *testing.T) {
	for name := range spoilt(newGuarded(t)) {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			token := spoilt(g)[name](t)
			if token == g.token && g.browse(token, "GET", mine, "").Status == 200 {
				t.Fatal("it is the good one")
			}
			g.nothingDone(t, "invalid_widget_token", func(c call) boottest.Answer {
				got := g.browse(token, c.method, c.path, c.body)
				if got.Header.Get("Access-Control-Allow-Origin") != page {
					t.Errorf("%v: the page cannot read the answer: %v", c, got.Header)
				}
				return got
			})
		})
	}
}

func TestF47_AGoodTokenInTheWrongPlaceIsNone(t *testing.T) {
	for name, headers := range map[string]func(token string) []string{
		"lower case":   func(token string) []string { return []string{"Authorization", "bearer " + token} },
		"another word": func(token string) []string { return []string{"Authorization", "Basic " + token} },
		"two spaces":   func(token string) []string { return []string{"Authorization", "Bearer  " + token} },
		"twice": func(token string) []string {
			return []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}
		},
		"joined":       func(token string) []string { return []string{"Authorization", "Bearer " + token + ",Bearer " + token} },
		"no word":      func(token string) []string { return []string{"Authorization", token} },
		"a cookie":     func(token string) []string { return []string{"Cookie", "token=" + token} },
		"another name": func(token string) []string { return []string{"X-Elevated-Access-Token", token} },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			g.nothingDone(t, "invalid_widget_token", func(c call) boottest.Answer {
				return g.Do("", c.method, c.path, c.body, append(headers(g.token), "Origin", page)...)
			})
		})
	}
	g := newGuarded(t)
	g.nothingDone(t, "invalid_widget_token", func(c call) boottest.Answer { // F41
		return g.browse(g.token, c.method, c.path+"?access_token="+g.token, c.body)
	})
}

// badOrigins are headers with which no page may use a tenant's tokens.
func badOrigins() [][]string {
	return [][]string{
		{"Origin", "null"}, {"Origin", ""}, {"Origin", "https://evil.example"}, {"Origin", page + ".evil.example"}, {"Origin", page + "."}, {"Origin", page + ":443"},
		{"Origin", page + ":8443"}, {"Origin", page + "/"}, {"Origin", page + "/path"}, {"Origin", " " + page}, {"Origin", page + "\t"}, {"Origin", "http://app.example.com"},
		{"Origin", "https://evil-app.example.com"}, {"Origin", "https://evilapp.example.com"}, {"Origin", "https://example.com"}, {"Origin", "https://app.example.co"},
		{"Origin", "https://APP.example.com"}, {"Origin", "HTTPS://app.example.com"}, {"Origin", "https://sub.app.example.com"}, {"Origin", "https://user@app.example.com"},
		{"Origin", page + "," + page}, {"Origin", page + " " + page}, {"Origin", "*"}, {"Origin", "app.example.com"}, {"Origin", "//app.example.com"}, {"Origin", "https://app.example.com%2eevil.example"},
		{"Origin", page, "Origin", "https://evil.example"}, {"Origin", "https://evil.example", "Origin", page},
		{"Origin", "http://localhost:3000"}, {"Origin", "http://127.0.0.1:3000"}, {"Origin", "http://[::1]:3000"}, {"Origin", "file://"}, {"Origin", "chrome-extension://abc"},
		{}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "none"}, {"Sec-Fetch-Site", "Same-Origin"},
		{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, {"Referer", page}, {"X-Forwarded-Host", "app.example.com"}, {"Host", "app.example.com"},
	}
}

func TestF49_OnlyListedOriginsGetAnAnswerAndNothingIsDoneForOthersOnAnyWidgetRoute(t *testing.T) {
	g := newGuarded(t)
	for _, sent := range badOrigins() {
		t.Run(fmt.Sprint(sent), func(t *testing.T) {
			g.nothingDone(t, "origin_not_allowed", func(c call) boottest.Answer {
				return g.Do(g.token, c.method, c.path, c.body, sent...)
			})
		})
	}
	for _, sent := range [][]string{{"Origin", page}, {"Origin", page, "Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://keyvend.test", "Sec-Fetch-Site", "same-origin"}} {
		if got := g.Do(g.token, "GET", mine, "", sent...); got.Status != 200 {
			t.Errorf("%v: %d %s", sent, got.Status, got.Body)
		}
	}
	g.allow("https://elsewhere.example")
	g.nothingDone(t, "origin_not_allowed", func(c call) boottest.Answer { return g.browse(g.token, c.method, c.path, c.body) })
}

// F47: a good token of somebody else.
func TestF47_AnothersTokenReadsAndChangesNothingOfHersOnAnyWidgetRoute(t *testing.T) {
	for name, mint := range map[string]func(guarded) string{
		"another user":                     func(g guarded) string { return g.WidgetToken(g.backend(), "bob", "org") },
		"another user, whose id begins so": func(g guarded) string { return g.WidgetToken(g.backend(), "anna.", "org") },
		"the same user in no organization": func(g guarded) string { return g.WidgetToken(g.backend(), "anna", "") },
		"an admin of another organization": func(g guarded) string { return g.WidgetToken(g.backend(), "anna", "org2", "widgets:pipes:manage") },
		"the same names in another tenant": func(g guarded) string {
			return g.WidgetToken(g.Key(g.other, "widget"), "anna", "org", "widgets:pipes:manage")
		},
		"another user, minted by a session": func(g guarded) string { return g.WidgetToken(g.Session(g.Key(g.tenant, "manage")), "bob", "org") },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			theirs := mint(g)
			for _, c := range g.calls() {
				before := g.hers()
				got := g.browse(theirs, c.method, c.path, c.body)
				if strings.Contains(got.Body, g.account) || strings.Contains(got.Body, "wxyz") {
					t.Errorf("%v tells of hers: %s", c, got.Body)
				}
				if after := g.hers(); after != before {
					t.Errorf("%v changes hers:\n%s\nbefore\n%s", c, after, before)
				}
			}
		})
	}
}

// hers are the rows of anna in her organization, and what both decide for her.
func (g guarded) hers() string {
	var all strings.Builder
	for _, item := range g.engine.Items() {
		own := item.Key == boottest.AccountRow(g.tenant, "anna", "openai", "org") || item.PK == boottest.OrganizationRow(g.tenant, "org").PK
		if own || slices.Contains([]table.Key{boottest.TenantRow(g.tenant), boottest.SettingsRow(g.tenant), boottest.IntegrationRow(g.tenant, "openai")}, item.Key) {
			fmt.Fprintln(&all, item.Key, item.Revision, string(item.Doc))
		}
	}
	return all.String()
}

// F47: on every route that takes an API key or a session, what is neither, or is no
// more, is one constant answer, and nothing is done.
func TestF47_ABadSessionIsOneConstantAnswerAndNothingIsDoneOnAnyRoute(t *testing.T) {
	described, err := apitest.Served()
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*testing.T, guarded, string) string{
		"a widget token":     func(_ *testing.T, g guarded, _ string) string { return g.token },
		"a user's":           func(_ *testing.T, g guarded, _ string) string { return g.WidgetToken(g.backend(), "anna", "") },
		"expired":            func(_ *testing.T, g guarded, s string) string { g.Clock.Pass(time.Hour); return s },
		"F21 clock set back": func(_ *testing.T, g guarded, s string) string { g.Clock.Pass(-24 * time.Hour); return s },
		"ended": func(_ *testing.T, g guarded, s string) string {
			g.Must(204, s, "DELETE", "/keyvend/sessions", "")
			return s
		},
		"tampered":            func(_ *testing.T, _ guarded, s string) string { return s[:len(s)-4] + "AAAA" },
		"without a signature": func(_ *testing.T, _ guarded, s string) string { return s[:strings.LastIndex(s, ".")+1] },
		"alg none": func(_ *testing.T, _ guarded, s string) string {
			return part64(`{"alg":"none"}`) + s[strings.Index(s, "."):strings.LastIndex(s, ".")+1]
		},
		"signed as a widget's": func(t *testing.T, g guarded, s string) string { return g.resigned(t, s, g.tenant, seal.WidgetToken) },
		"another tenant's": func(t *testing.T, g guarded, s string) string {
			return g.resigned(t, s, g.other, seal.DashboardSession)
		},
		"its API key revoked": func(t *testing.T, g guarded, s string) string {
			g.Must(204, g.backend(), "DELETE", "/keyvend/api_keys/"+fmt.Sprint(claimed(t, s)["api_key"]), "")
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			token := spoil(t, g, g.Session(g.Key(g.tenant, "manage")))
			before, want, asked := g.everyRow(), "", 0
			for _, o := range described.Operations() {
				if strings.HasPrefix(o.Path, "/_widgets/") || len(o.Answers) == 1 { // what anyone may ask
					continue
				}
				asked++
				path := strings.NewReplacer("{slug}", "openai", "{account_id}", g.account, "{user_id}", "anna", "{organization_id}", "org", "{api_key_id}", keyIDOf(g.backend())).Replace(o.Path)
				got := g.browse(token, o.Method, path, string(o.Example))
				if want == "" {
					want = face(got)
				}
				if got.Status != http.StatusUnauthorized || face(got) != want {
					t.Errorf("%s %s: %s, and elsewhere %s", o.Method, path, face(got), want)
				}
			}
			if after := g.everyRow(); after != before || asked < 40 {
				t.Errorf("%d routes, and something was written:\n%s\nbefore\n%s", asked, after, before)
			}
		})
	}
}

// resigned is a token with the signature of another tenant, or of another kind.
func (g guarded) resigned(t *testing.T, token, tenant string, kind seal.TokenKind) string {
	t.Helper()
	message := token[:strings.LastIndex(token, ".")]
	return message + "." + base64.RawURLEncoding.EncodeToString(g.forger(t, tenant).Sign(kind, []byte(message)))
}
