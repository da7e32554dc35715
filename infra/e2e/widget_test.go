package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/operator"
)

// browserTokens are about what browsers bring.
func browserTokens() []guarantee {
	return []guarantee{
		{"a_widget_token_is_for_its_user's_own_accounts", widgetFlow},
		{"a_dashboard_session_stands_for_its_API_key_until_it_is_ended", dashboardSession},
		{"an_event_names_who_did_it_and_where", actors},
		{"an_offboarded_user's_or_organization's_widget_tokens_end_at_once", offboardedVisitors},
		{"F47_refused_widget_tokens_get_one_answer_and_nothing_is_done", refusedTokens},
		{"F49_only_listed_origins_get_an_answer", foreignOrigins},
		{"F60_no_chain_that_begins_in_a_browser_ends_with_a_secret", browserChains},
	}
}

const site = "https://app.example.com"

// visitor is a page of the product that has a token.
type visitor struct {
	client
	origin string
}

// visit shows the product's page to a user.
func (s shop) visit(user string, more m) visitor {
	s.t.Helper()
	s.do("PUT", "/keyvend/settings", m{"allowed_origins": []string{site}}).is(200)
	body := m{"user_id": user}
	for name, value := range more {
		body[name] = value
	}
	token := s.with("widget").do("POST", "/widgets/token", body).is(201).text("token")
	return visitor{client{t: s.t, target: s.target, key: token}, site}
}

func (v visitor) ask(method, path string, body any) answer {
	v.t.Helper()
	return v.do(method, path, body, "Origin", v.origin, "Sec-Fetch-Site", "cross-site")
}

// widgetToken is what widget tokens begin with: their header.
const widgetToken = "eyJhbGciOiJFZERTQSIsInR5cCI6ImtleXZlbmQtd2lkZ2V0K2p3dCJ9."

const (
	mine       = "/_widgets/DataIntegrations/mine"
	ownKey     = "/_widgets/DataIntegrations/openai/api-key"
	ownAccount = "/_widgets/DataIntegrations/installations/"
)

func widgetFlow(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	const user = "auth0|ada@b.co~>" // which base64url would spell with - and _
	ada, bob := shop.visit(user, nil), shop.visit("bob", nil)
	first, second := newSecret(), newSecret()
	account := ada.ask("PUT", ownKey, m{"secret": first}).is(200)
	if account.text("api_key_last_4") != last4(first) || account.header.Get("Access-Control-Allow-Origin") != site {
		t.Errorf("%v: %s", account, account.body)
	}
	if again := ada.ask("PUT", ownKey, m{"secret": second}).is(200); again.text("id") != account.text("id") {
		t.Errorf("%s", again.body)
	}
	shop.vends("openai", m{"user_id": user}, second)
	if row := ada.ask("GET", mine, nil).is(200).row("openai"); row["installation"] == nil {
		t.Errorf("%v", row)
	}
	if row := bob.ask("GET", mine, nil).is(200).row("openai"); row["installation"] != nil {
		t.Errorf("bob sees %v", row)
	}
	bob.ask("DELETE", ownAccount+account.text("id"), nil).is(404, "not_found")
	bob.ask("GET", "/_widgets/keyvend/accounts/"+account.text("id")+"/reads", nil).is(404, "not_found")
	if offer := ada.ask("GET", "/_widgets/keyvend/providers", nil).is(200).row("openai"); offer["key_hint"] == nil || offer["account"] == nil {
		t.Errorf("%v", offer)
	}
	ada.ask("GET", "/_widgets/keyvend/accounts/"+account.text("id")+"/reads", nil).is(200)
	ada.ask("GET", "/_widgets/settings", nil).is(200)
	if gone := ada.ask("DELETE", ownAccount+account.text("id"), nil).is(200); string(gone.body) != `{"success":true}` {
		t.Errorf("%s", gone.body)
	}
	ada.ask("DELETE", ownAccount+account.text("id"), nil).is(404, "not_found")

	admin := shop.visit("ada", m{"organization_id": "org", "scopes": []string{"widgets:pipes:manage"}})
	ada.ask("GET", "/_widgets/DataIntegrations/configurations", nil).is(403, "insufficient_permission")
	admin.ask("PUT", "/_widgets/DataIntegrations/openai/configuration", m{"enabled": false}).is(200)
	if row := admin.ask("GET", "/_widgets/DataIntegrations/configurations", nil).is(200).row("openai"); row["enabled"] != false {
		t.Errorf("%v", row)
	}
	if row := admin.ask("GET", mine, nil).is(200).row("openai"); row != nil {
		t.Errorf("what is off is shown: %v", row)
	}
	preflight := client{t: t, target: k}.do("OPTIONS", mine, nil, "Origin", site, "Access-Control-Request-Method", "GET",
		"Access-Control-Request-Headers", "authorization,content-type,workos-widgets-type,workos-widgets-version").is(204)
	if !strings.Contains(preflight.header.Get("Access-Control-Allow-Headers"), "workos-widgets-version") {
		t.Errorf("%v", preflight.header)
	}
}

func dashboardSession(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secret := newSecret()
	shop.upsert("openai", m{"user_id": "ada", "secret": secret})
	shop.do("POST", "/keyvend/sessions", nil).is(403, "key_vends")
	manager := shop.with("manage")
	begin := func() client {
		return client{t: t, target: k, key: manager.do("POST", "/keyvend/sessions", nil).is(201).text("token")}
	}
	session := begin()
	session.do("GET", "/data-integrations", nil).is(200)
	session.do("PUT", "/data-integrations/openai", m{"description": "why"}).is(200)
	session.do("GET", connected("ada", "openai", ""), nil).is(200)
	session.do("GET", "/keyvend/accounts?user_id=ada", nil).is(200)
	session.do("POST", "/keyvend/sessions", nil).is(403, "api_key_required")
	for _, path := range []string{"/data-integrations/openai/credentials", "/data-integrations/openai/token", "/keyvend/vend", "/keyvend/reports"} {
		session.do("POST", path, m{"user_id": "ada", "slug": "openai", "status": 401}).is(401)
	}
	session.do("DELETE", "/keyvend/sessions", nil).is(204)
	session.do("GET", "/data-integrations", nil).is(401)
	// Those of after hold.
	issued := k.issue(t, shop.tenant, "manage")
	manager.key = issued.Token
	next := begin()
	next.do("GET", "/data-integrations", nil).is(200)
	k.must(t, operator.Request{Action: operator.RevokeAPIKey, Tenant: shop.tenant, APIKey: issued.APIKey.ID})
	next.do("GET", "/data-integrations", nil).is(401)
	shop.vends("openai", m{"user_id": "ada"}, secret)
}

// actors changes an account in each way that there is.
func actors(t *testing.T, k *target) {
	shop := k.newShop(t)
	fake := fakeprovider.Bearer()
	shop.enlist(fake)
	shop.do("PATCH", "/keyvend/integrations/"+fake.Slug(), m{"verify_on_save": "require"}).is(200)
	minter := k.issue(t, shop.tenant, "manage")
	manager := client{t: t, target: k, key: minter.Token}
	session := client{t: t, target: k, key: manager.do("POST", "/keyvend/sessions", nil).is(201).text("token")}
	ada := shop.visit("ada", nil)
	key := "/_widgets/DataIntegrations/" + fake.Slug() + "/api-key"

	manager.do("PUT", "/data-integrations/"+fake.Slug()+"/api-key", m{"user_id": "ada", "secret": fakeKey("valid")}).is(200)
	session.do("PUT", connected("ada", fake.Slug(), ""), m{"state": "needs_reauthorization"}).is(200)
	ada.ask("PUT", key, m{"secret": fakeKey("valid")}).is(200)
	ada.ask("PUT", key, m{"secret": fakeKey("revoked")}).is(422, "key_refused")

	got := map[string]string{}
	for _, e := range shop.told("", 4) {
		actor := e["context"].(map[string]any)["actor"].(map[string]any)
		got[strings.TrimPrefix(e["event"].(string), eventPrefix)] = fmt.Sprint(actor["source"], " ", actor["id"])
	}
	if want := map[string]string{
		"connected":              "api " + minter.APIKey.ID,
		"reauthorization_needed": "dashboard " + minter.APIKey.ID,
		"rotated":                "api ada",
		"connection_failed":      "api ada",
	}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// offboardedVisitors offboards one of two who look at the product's page.
func offboardedVisitors(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	inOrganization := m{"organization_id": "org"}
	ada, adaInOrg, bobInOrg, bob := shop.visit("ada", nil), shop.visit("ada", inOrganization), shop.visit("bob", inOrganization), shop.visit("bob", nil)
	for _, v := range []visitor{ada, adaInOrg, bobInOrg, bob} {
		v.ask("PUT", ownKey, m{"secret": newSecret()}).is(200)
	}
	refused := func(v visitor) {
		t.Helper()
		v.ask("GET", mine, nil).is(403, "invalid_widget_token")
		v.ask("PUT", ownKey, m{"secret": newSecret()}).is(403, "invalid_widget_token")
	}
	shop.do("DELETE", "/keyvend/users/ada", nil).is(202)
	refused(ada)
	refused(adaInOrg)
	bobInOrg.ask("GET", mine, nil).is(200)
	shop.do("DELETE", "/keyvend/organizations/org", nil).is(202)
	refused(bobInOrg)
	bob.ask("GET", mine, nil).is(200)
	// Who comes back gets a token that holds at once, and finds nothing of before.
	for _, v := range []visitor{shop.visit("ada", nil), shop.visit("ada", inOrganization), shop.visit("bob", inOrganization)} {
		if row := v.ask("GET", mine, nil).is(200).row("openai"); row["installation"] != nil {
			t.Errorf("%v", row)
		}
		v.ask("PUT", ownKey, m{"secret": newSecret()}).is(200)
	}
}

func refusedTokens(t *testing.T, k *target) {
	shop, other := k.newShop(t), k.newShop(t)
	shop.register("openai")
	secret := newSecret()
	account := shop.upsert("openai", m{"user_id": "ada", "secret": secret}).text("id")
	ada, bob, stranger := shop.visit("ada", nil), shop.visit("bob", nil), other.visit("ada", nil)
	part := func(v visitor, i int) string { return strings.Split(v.key, ".")[i] }
	ended := shop.visit("ada", nil)
	shop.do("DELETE", "/keyvend/sessions", nil).is(204)
	gone := shop.visit("gone", nil)
	shop.do("DELETE", "/keyvend/users/gone", nil).is(202)
	minter := k.issue(t, shop.tenant, "widget")
	revoked := client{t: t, target: k, key: minter.Token}.do("POST", "/widgets/token", m{"user_id": "ada"}).is(201).text("token")
	k.must(t, operator.Request{Action: operator.RevokeAPIKey, Tenant: shop.tenant, APIKey: minter.APIKey.ID})

	var calls []route
	for _, r := range shop.routes() {
		if strings.HasPrefix(r.path, "/_widgets/") {
			r.path = strings.NewReplacer("installations/ada", "installations/"+account, "accounts/ada", "accounts/"+account).Replace(r.path)
			calls = append(calls, r)
		}
	}
	if len(calls) < 8 {
		t.Errorf("only %v", calls)
	}
	var before []string
	if k.rows != nil {
		before = k.rows(t, shop.tenant)
	}
	want := ""
	for name, token := range map[string]string{
		"none": "", "garbage": "x.y.z", "an API key": shop.key,
		"a session":                shop.with("manage").do("POST", "/keyvend/sessions", nil).is(201).text("token"),
		"another's claims":         part(bob, 0) + "." + part(ada, 1) + "." + part(bob, 2),
		"alg none":                 "eyJhbGciOiJub25lIn0." + part(ada, 1) + ".",
		"signed by another tenant": part(ada, 0) + "." + part(ada, 1) + "." + part(stranger, 2),
		"ended":                    ended.key,
		"of an offboarded user":    gone.key,
		"of a revoked API key":     revoked,
	} {
		v := visitor{client{t: t, target: k, key: token}, site}
		for _, r := range calls {
			var body any
			if r.method == http.MethodPut {
				body = m{"secret": newSecret(), "enabled": false}
			}
			a := v.ask(r.method, r.path, body).is(http.StatusForbidden, "invalid_widget_token")
			said := regexp.MustCompile(`X-Request-Id: .*|Date: .*|Apigw-Requestid: .*`).ReplaceAllString(head(a), "") + string(a.body)
			if want == "" {
				want = said
			}
			if said != want {
				t.Errorf("%s: %v: %s, and elsewhere %s", name, a, said, want)
			}
		}
	}
	if k.rows != nil {
		// API keys that this test issued meanwhile are no writes of what was refused.
		accounts := func(rows []string) []string {
			return slices.DeleteFunc(slices.Clone(rows), func(row string) bool {
				return !strings.Contains(row, "U#"+shop.tenant) && !strings.Contains(row, "O#"+shop.tenant)
			})
		}
		if after := k.rows(t, shop.tenant); !slices.Equal(accounts(before), accounts(after)) {
			t.Errorf("something was written: %v", after)
		}
	}
	shop.vends("openai", m{"user_id": "ada"}, secret)
}

func foreignOrigins(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	ada := shop.visit("ada", nil)
	for _, headers := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", site + ".evil.example"}, {"Origin", "https://evil" + site[8:]}, {"Origin", site + ":443"},
		{"Origin", site, "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {},
	} {
		ada.do("GET", mine, nil, headers...).is(403, "origin_not_allowed")
		ada.do("PUT", ownKey, m{"secret": newSecret()}, headers...).is(403, "origin_not_allowed")
	}
	shop.vends("openai", m{"user_id": "ada"}, "")
	ada.do("GET", mine, nil, "Sec-Fetch-Site", "same-origin").is(200)
	ada.do("GET", mine, nil, "Origin", site).is(200)
}

// browserChains walks over the routes with what browsers bring, and with whatever
// that is given on the way. Where a token is none at all it is tried once or twice
// only: an address that is refused too often has to wait, here as anywhere.
func browserChains(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secret := newSecret()
	shop.upsert("openai", m{"user_id": "ada", "secret": secret})
	begin := []string{
		shop.with("manage").do("POST", "/keyvend/sessions", nil).is(201).text("token"),
		shop.visit("ada", nil).key,
		shop.visit("ada", m{"organization_id": "org", "scopes": []string{"widgets:pipes:manage"}}).key,
	}
	token := regexp.MustCompile(keyPrefix + `[\w-]+|eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	walk := func(tokens []string) (given []string) {
		for _, key := range tokens {
			c := client{t: t, target: k, key: key}
			forWidgets := strings.HasPrefix(key, widgetToken)
			for _, r := range shop.routes() {
				if r.method == http.MethodDelete || strings.HasSuffix(r.path, "/freeze") {
					continue // what is gone, or frozen, ends with nothing
				}
				if foreign := strings.HasPrefix(r.path, "/_widgets/") != forWidgets; foreign && r.scope() != "vend" && r.path != mine && r.path != "/data-integrations" {
					continue
				}
				var body any
				if r.method != http.MethodGet {
					body = m{"user_id": "ada", "organization_id": "org", "secret": "walked-0123456789", "provider": "openai", "auth_methods": []string{"api_key"},
						"name": "mine", "scopes": []string{"manage"}, "enabled": true, "slug": "openai", "status": 401}
				}
				a := c.do(r.method, r.path, body, "Sec-Fetch-Site", "same-origin")
				noSecret(a, secret)
				if r.scope() == "vend" && a.status < 400 {
					t.Errorf("F60: %v", a)
				}
				given = append(given, token.FindAllString(string(a.body), -1)...)
			}
		}
		return given
	}
	given := walk(begin)
	if len(given) == 0 {
		t.Error("nothing was given on the way: this test sees nothing")
	}
	slices.Sort(given)
	// One of each kind is enough.
	walk(slices.CompactFunc(given, func(a, b string) bool {
		return a[:58] == b[:58] || strings.HasPrefix(a, keyPrefix) && strings.HasPrefix(b, keyPrefix)
	}))
}
