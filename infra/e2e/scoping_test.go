package e2e

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/api"
	"keyvend/pkg/operator"
)

// same compares values by their JSON.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// organizations are about accounts inside and outside of an organization.
func organizations() []guarantee {
	return []guarantee{
		{"an_account_in_an_organization_and_one_without_are_two", twoScopes},
		{"connected_account_id_has_to_be_the_users_own", accountIDs},
		{"an_organization_can_switch_an_integration_off_for_its_own", switchedOff},
		{"a_freeze_refuses_the_next_vend_and_keeps_everything", frozen},
	}
}

func twoScopes(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secrets := map[string]string{"": newSecret(), "org_1": newSecret(), "org_2": newSecret()}
	owner := func(organization string) m {
		if organization == "" {
			return m{"user_id": "ada"}
		}
		return m{"user_id": "ada", "organization_id": organization}
	}
	ids := map[string]bool{}
	for organization, secret := range secrets {
		body := owner(organization)
		body["secret"] = secret
		a := shop.upsert("openai", body)
		ids[a.text("id")] = true
		if a.text("organization_id") != organization {
			t.Errorf("%s", a.body)
		}
	}
	if len(ids) != 3 {
		t.Errorf("three owners have %d accounts", len(ids))
	}
	for organization, secret := range secrets {
		shop.vends("openai", owner(organization), secret)
		found := shop.do("GET", connected("ada", "openai", organization), nil).is(200)
		row := shop.do("GET", dataProviders("ada", organization), nil).is(200).row("openai")
		account, _ := row["connected_account"].(map[string]any)
		if found.text("api_key_last_4") != last4(secret) || account["id"] != found.text("id") {
			t.Errorf("%q: GET finds %s, data_providers %v", organization, found.body, account)
		}
	}
	shop.vends("openai", owner("org_3"), "")
	shop.do("GET", connected("ada", "openai", "org_3"), nil).is(404, "not_found")
	shop.do("DELETE", connected("ada", "openai", "org_3"), nil).is(404, "not_found")

	shop.do("PUT", connected("ada", "openai", "org_1"), m{"state": "needs_reauthorization"}).is(200)
	shop.vends("openai", owner(""), secrets[""])
	shop.vends("openai", owner("org_2"), secrets["org_2"])
	shop.do("DELETE", connected("ada", "openai", ""), nil).is(204)
	shop.vends("openai", owner(""), "")
	shop.vends("openai", owner("org_2"), secrets["org_2"])
}

func accountIDs(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	first := newSecret()
	adas := shop.upsert("openai", m{"user_id": "ada", "secret": first}).text("id")
	bos := shop.upsert("openai", m{"user_id": "bo", "secret": newSecret()}).text("id")
	put := func(user, id string, more m) answer {
		body := m{"user_id": user, "secret": newSecret(), "connected_account_id": id}
		for name, value := range more {
			body[name] = value
		}
		return shop.do("PUT", "/data-integrations/openai/api-key", body)
	}
	put("ada", bos, nil).is(404)
	put("ada", "data_installation_01HZZZZZZZZZZZZZZZZZZZZZZZ", nil).is(404)
	put("ada", "nonsense", nil).is(404)
	put("ada", adas, m{"organization_id": "org"}).is(404)
	put("nobody", adas, nil).is(404)
	shop.vends("openai", m{"user_id": "ada"}, first)
	if a := put("ada", adas, nil).is(200); a.text("id") != adas {
		t.Errorf("%s", a.body)
	}

	only := func(id string) m { return m{"user_id": "ada", "connected_account_id": id} }
	path := func(id string) string { return connected("ada", "openai", "") + "?connected_account_id=" + id }
	for _, id := range []string{bos, "data_installation_01HZZZZZZZZZZZZZZZZZZZZZZZ", "nonsense"} {
		shop.do("POST", "/data-integrations/openai/credentials", only(id)).is(404, "not_found")
		shop.do("GET", path(id), nil).is(404, "not_found")
		shop.do("PUT", path(id), m{"state": "needs_reauthorization"}).is(404, "not_found")
		shop.do("DELETE", path(id), nil).is(404, "not_found")
	}
	if a := shop.do("POST", "/data-integrations/openai/credentials", only(adas)).is(200); a.field("active") != true {
		t.Errorf("by its own id: %d bytes", len(a.body))
	}
	shop.do("GET", path(adas), nil).is(200)
	shop.do("PUT", path(adas), m{"state": "connected"}).is(200)

	add := m{"user_id": "ada", "secret": newSecret(), "connection_intent": "add"}
	shop.do("POST", "/data-integrations/openai/api-key", add).is(404, "multiple_connections_unavailable")
	add["user_id"] = "cy"
	if a := shop.do("POST", "/data-integrations/openai/api-key", add).is(200); a.text("user_id") != "cy" {
		t.Errorf("%s", a.body)
	}
	shop.vends("openai", m{"user_id": "cy"}, add["secret"].(string))
	shop.do("POST", "/data-integrations/openai/api-key", add).is(404, "multiple_connections_unavailable")
	add["connection_intent"] = "multiply"
	shop.do("POST", "/data-integrations/openai/api-key", add).is(422)
	shop.do("DELETE", path(adas), nil).is(204)
	shop.vends("openai", m{"user_id": "ada"}, "")
}

// inside is how somebody's vend in an organization is asked for.
func inside(organization string) m { return m{"user_id": "ada", "organization_id": organization} }

func switchedOff(t *testing.T, k *target) {
	shop := k.newShop(t)
	id := shop.register("openai").text("id")
	secrets := map[string]string{}
	for _, organization := range []string{"org_1", "org_2"} {
		secrets[organization] = newSecret()
		shop.upsert("openai", m{"user_id": "ada", "organization_id": organization, "secret": secrets[organization]})
	}
	alone := newSecret()
	shop.upsert("openai", m{"user_id": "ada", "secret": alone})

	const path = "/organizations/org_1/data_integration_configurations"
	if row := shop.do("GET", path, nil).is(200).row("openai"); row["enabled"] != true || row["organization_id"] != "org_1" || row["id"] != id {
		t.Errorf("before: %v", row)
	}
	if a := shop.do("PUT", path+"/openai", m{"enabled": false}).is(200); a.field("enabled") != false || a.text("name") != "OpenAI" {
		t.Errorf("%s", a.body)
	}
	shop.do("POST", "/data-integrations/openai/credentials", inside("org_1")).is(403, "data_integration_disabled")
	shop.vends("openai", inside("org_2"), secrets["org_2"])
	shop.vends("openai", m{"user_id": "ada"}, alone)
	if row := shop.do("GET", dataProviders("ada", "org_1"), nil).is(200).row("openai"); row != nil {
		t.Errorf("an organization's people are offered what it switched off: %v", row)
	}
	shop.do("PUT", path+"/openai", m{"enabled": true}).is(200)
	shop.vends("openai", inside("org_1"), secrets["org_1"])
	shop.do("PUT", path+"/no-such", m{"enabled": true}).is(404, "not_found")

	// A switch cannot turn on what is off for all, and dies with its integration.
	shop.do("PUT", "/data-integrations/openai", m{"enabled": false}).is(200)
	shop.do("POST", "/data-integrations/openai/credentials", inside("org_1")).is(403, "data_integration_disabled")
	shop.do("PUT", path+"/openai", m{"enabled": false}).is(200)
	shop.do("DELETE", "/data-integrations/openai", nil).is(204)
	shop.register("openai")
	shop.vends("openai", inside("org_1"), "")
}

func frozen(t *testing.T, k *target) {
	shop, other := k.newShop(t), k.newShop(t)
	secret := newSecret()
	for _, s := range []client{shop.client, other.client} {
		s.register("openai")
		s.register("stripe")
		s.upsert("openai", m{"user_id": "ada", "organization_id": "org_1", "secret": secret})
		s.upsert("stripe", m{"user_id": "ada", "organization_id": "org_2", "secret": secret})
	}
	for path, hit := range map[string][2]bool{ // whether openai in org_1 and stripe in org_2 are frozen
		"/keyvend/freeze":                     {true, true},
		"/keyvend/integrations/openai/freeze": {true, false},
		"/keyvend/organizations/org_1/freeze": {true, false},
	} {
		if a := shop.do("GET", path, nil).is(200); a.field("frozen") != false || a.text("reason") != "" {
			t.Errorf("%s before it is frozen: %v", path, a)
		}
		shop.do("PUT", path, m{"reason": "an incident"}).is(200)
		if a := shop.do("GET", path, nil).is(200); a.field("frozen") != true || a.text("reason") != "an incident" || a.text("since") == "" {
			t.Errorf("%s frozen: %v", path, a)
		}
		for i, ask := range []func(client) answer{
			func(c client) answer { return c.do("POST", "/data-integrations/openai/credentials", inside("org_1")) },
			func(c client) answer { return c.do("POST", "/data-integrations/stripe/credentials", inside("org_2")) },
		} {
			if a := ask(shop.client); hit[i] {
				a.is(403, "frozen")
			} else if a.text("credential.value") != secret {
				t.Errorf("%s froze too much: %v", path, a)
			}
			ask(other.client).is(200)
		}
		shop.do("DELETE", path, nil).is(204)
		shop.do("DELETE", path, nil).is(404)
		shop.vends("openai", inside("org_1"), secret)
		shop.vends("stripe", inside("org_2"), secret)
	}
}

// tenants are about what one tenant can learn of another, and about API keys
// that have ended.
func tenants() []guarantee {
	return []guarantee{
		{"F1_F5_two_tenants_see_nothing_of_each_other", strangers},
		{"F44_a_revoked_api_key_opens_nothing_from_the_next_request_on", revoked},
		{"F44_an_expired_api_key_opens_nothing", expired},
	}
}

// strangers compares, byte for byte, what a tenant is told of another's rows
// with what he is told of rows that nobody has.
func strangers(t *testing.T, k *target) {
	a, b := k.newShop(t), k.newShop(t)
	secret := newSecret()
	a.register("openai")
	a.register("stripe")
	account := a.upsert("openai", m{"user_id": "ada", "secret": secret})
	a.upsert("stripe", m{"user_id": "ada", "secret": newSecret()})
	b.register("openai")

	for _, r := range []struct {
		method, theirs, nobodys string
		body                    string // of both; USER is who it is about
	}{
		{"POST", "/data-integrations/openai/credentials", "/data-integrations/openai/credentials", `{"user_id":"USER"}`},
		{"POST", "/data-integrations/stripe/credentials", "/data-integrations/linear/credentials", `{"user_id":"USER"}`},
		{"POST", "/data-integrations/stripe/token", "/data-integrations/linear/token", `{"user_id":"USER"}`},
		{"GET", "/data-integrations/stripe", "/data-integrations/linear", ""},
		{"PUT", "/data-integrations/stripe", "/data-integrations/linear", `{"enabled":false}`},
		{"DELETE", "/data-integrations/stripe", "/data-integrations/linear", ""},
		{"PUT", "/data-integrations/stripe/api-key", "/data-integrations/linear/api-key", `{"user_id":"USER","secret":"sk-canary-of-b"}`},
		{"GET", connected("ada", "openai", ""), connected("eve", "openai", ""), ""},
		{"PUT", connected("ada", "openai", ""), connected("eve", "openai", ""), `{"state":"needs_reauthorization"}`},
		{"DELETE", connected("ada", "openai", ""), connected("eve", "openai", ""), ""},
		{"GET", dataProviders("ada", ""), dataProviders("eve", ""), ""},
		{"PUT", "/data-integrations/openai/api-key", "/data-integrations/openai/api-key",
			`{"user_id":"USER","secret":"sk-canary-of-b","connected_account_id":"` + account.text("id") + `"}`},
	} {
		ask := func(path, user string) string {
			var body any
			if r.body != "" {
				body = strings.ReplaceAll(r.body, "USER", user)
			}
			x := b.do(r.method, path, body)
			return regexp.MustCompile(`X-Request-Id: .*|Date: .*|Apigw-Requestid: .*`).ReplaceAllString(head(x), "") + string(x.body)
		}
		if theirs, nobodys := ask(r.theirs, "ada"), ask(r.nobodys, "eve"); theirs != nobodys {
			t.Errorf("%s %s tells a stranger something:\n%s\nwhere nobody's says\n%s", r.method, r.theirs, theirs, nobodys)
		}
	}
	if list := b.do("GET", "/data-integrations", nil).is(200).rows(); len(list) != 1 {
		t.Errorf("a stranger lists %v", list)
	}
	a.vends("openai", m{"user_id": "ada"}, secret)
	if kept := a.do("GET", connected("ada", "openai", ""), nil).is(200); kept.text("state") != "connected" {
		t.Errorf("a stranger changed the account: %s", kept.body)
	}
	// One tenant's key with another's tenant, or key id, in it is no key.
	for name, key := range map[string]string{
		"another tenant": splice(a.key, b.key, 1, 17), "another key id": splice(a.key, b.key, 17, 33), "another tag": splice(a.key, b.key, 55, 71),
	} {
		stranger := client{t: t, target: k, key: key}
		if x := stranger.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}); x.status != http.StatusUnauthorized {
			t.Errorf("F5: %s: %v", name, x)
		}
	}
}

func head(a answer) string {
	var b strings.Builder
	b.WriteString(http.StatusText(a.status) + "\n")
	_ = a.header.Write(&b)
	return b.String()
}

func revoked(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	shop.upsert("openai", m{"user_id": "ada", "secret": newSecret()})
	issued := k.issue(t, shop.tenant, "manage", "vend")
	c := client{t: t, target: k, key: issued.Token}
	use := func() (statuses [3]int) {
		statuses[0] = c.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}).status
		statuses[1] = c.do("GET", "/data-integrations", nil).status
		statuses[2] = c.do("GET", dataProviders("ada", ""), nil).status
		return statuses
	}
	if got := use(); got != [3]int{200, 200, 200} {
		t.Fatalf("before: %v", got)
	}
	k.must(t, operator.Request{Action: operator.RevokeAPIKey, Tenant: shop.tenant, APIKey: issued.APIKey.ID})
	if got := use(); got != [3]int{401, 401, 401} {
		t.Errorf("after: %v", got)
	}
	shop.do("GET", "/data-integrations", nil).is(200) // the tenant's other keys go on
	k.must(t, operator.Request{Action: operator.RevokeAPIKey, Tenant: shop.tenant, APIKey: issued.APIKey.ID})
}

func expired(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	ends := time.Now().Add(3 * time.Second)
	issued := k.must(t, operator.Request{Action: operator.IssueAPIKey, Tenant: shop.tenant, Name: "short", Scopes: []string{"manage", "vend"}, ExpiresAt: &ends})
	c := client{t: t, target: k, key: issued.Token}
	await(t, "the key expires", func() bool {
		status := c.do("GET", "/data-integrations", nil).status
		if status != http.StatusOK && time.Now().Before(ends.Add(-time.Millisecond)) {
			t.Fatalf("%d before it expires", status)
		}
		return status == http.StatusUnauthorized
	})
	c.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}).is(401)
	past := time.Now().Add(-time.Hour)
	if _, err := k.operate(t.Context(), operator.Request{Action: operator.IssueAPIKey, Tenant: shop.tenant, Name: "past", Scopes: []string{"read"}, ExpiresAt: &past}); err == nil {
		t.Error("a key that has expired already was issued")
	}
}

// scopes are about what an API key may do.
func scopes() []guarantee {
	return []guarantee{
		{"F60_without_vend_no_route_ends_with_a_secret", everyRoute},
		{"a_key_lacks_a_scope_is_told_which", lackingScope},
	}
}

// everyRoute walks over all routes with every set of scopes, and uses whatever
// API keys it is given on the way.
func everyRoute(t *testing.T, k *target) {
	shop := k.newShop(t)
	secret := newSecret()
	restore := func() { // what a step took away or switched off
		for _, freeze := range []string{"/keyvend/freeze", "/keyvend/integrations/openai/freeze", "/keyvend/organizations/org/freeze"} {
			shop.do("DELETE", freeze, nil)
		}
		shop.do("PUT", "/organizations/org/data_integration_configurations/openai", m{"enabled": true})
		if shop.do("PUT", "/data-integrations/openai", m{"enabled": true}).status == http.StatusNotFound {
			shop.register("openai")
		}
		shop.upsert("openai", m{"user_id": "ada", "secret": secret})
	}
	restore()
	routes := shop.routes()
	if len(routes) < 30 {
		t.Fatalf("only %d routes: %v", len(routes), routes)
	}
	names := []string{"vend", "manage", "read", "widget"}
	for set := 1; set < 1<<len(names); set++ {
		var held []string
		for i, name := range names {
			if set&(1<<i) != 0 {
				held = append(held, name)
			}
		}
		issue := slices.DeleteFunc(append([]string{"widget"}, held...), func(name string) bool { return name == "vend" })
		c := shop.with(held...)
		for _, route := range routes {
			if strings.HasPrefix(route.path, "/_widgets/") {
				continue // it takes no API key, as another test sees
			}
			var body any
			if route.method == http.MethodPost || route.method == http.MethodPut || route.method == http.MethodPatch {
				body = m{"user_id": "ada", "secret": secret, "provider": "openai", "auth_methods": []string{"api_key"}, "state": "connected",
					"name": "mine", "scopes": issue, "reason": "a walk", "enabled": true}
			}
			a := c.do(route.method, route.path, body)
			need := route.scope()
			if refused := a.status == http.StatusForbidden && a.text("code") == "insufficient_scope"; need != "" && refused == allows(held, need) {
				t.Errorf("%v with %v, where %s is needed: %s", a, held, need, a.body)
			}
			if !slices.Contains(held, "vend") {
				noSecret(a, secret)
				for _, key := range regexp.MustCompile(keyPrefix+`[\w-]+`).FindAllString(string(a.body), -1) {
					restore()
					stranger := client{t: t, target: k, key: key}
					noSecret(stranger.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}), secret)
				}
			}
			if route.method != http.MethodGet && a.status < 300 {
				restore()
			}
		}
	}
	// Nor does anyone get a key that vends, whoever asks.
	if slices.Contains(routes, route{"POST", "/keyvend/api_keys"}) {
		shop.do("POST", "/keyvend/api_keys", m{"name": "mine", "scopes": []string{"vend"}}).is(403, "insufficient_scope")
	}
	shop.vends("openai", m{"user_id": "ada"}, secret)
}

func noSecret(a answer, secret string) {
	a.t.Helper()
	if strings.Contains(string(a.body), secret) {
		a.t.Errorf("F60: %v ends with a secret", a)
	}
}

// allows says whether keys with the scopes held may do what needs one.
func allows(held []string, need string) bool {
	return slices.Contains(held, need) || need != "vend" && slices.Contains(held, "manage")
}

// route is one method of one path.
type route struct{ method, path string }

// scope is what a route needs, "" for nothing.
func (r route) scope() string {
	last := r.path[strings.LastIndexByte(r.path, '/')+1:]
	switch {
	case r.path == "/healthz" || r.path == "/openapi.json" || strings.HasPrefix(r.path, "/_widgets/"):
		return ""
	case last == "credentials" || r.path == "/data-integrations/openai/token" || r.path == "/keyvend/vend" || r.path == "/keyvend/reports":
		return "vend"
	case r.path == "/widgets/token":
		return "widget"
	case r.method == http.MethodGet:
		return "read"
	}
	return "manage"
}

// routes asks each path of the project's list for its methods.
func (s shop) routes() []route {
	s.t.Helper()
	values := map[string]string{"{slug}": "openai", "{organization_id}": "org", "{organizationId}": "org"}
	var all []route
	for _, paths := range api.Routes() {
		for _, path := range paths {
			if api.IsPage(path) {
				continue
			}
			path = regexp.MustCompile(`\{\w+\}`).ReplaceAllStringFunc(path, func(name string) string { return cmp.Or(values[name], "ada") })
			allowed := s.do("BREW", path, nil).is(405).header.Get("Allow")
			for method := range strings.SplitSeq(allowed, ", ") {
				all = append(all, route{method, path})
			}
		}
	}
	slices.SortFunc(all, func(a, b route) int { return cmp.Compare(a.path+a.method, b.path+b.method) })
	return all
}

func lackingScope(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	for _, step := range []struct {
		held         string
		method, path string
		lacks        string
	}{
		{"manage", "POST", "/data-integrations/openai/credentials", "vend"},
		{"vend", "GET", "/data-integrations", "read"},
		{"read", "DELETE", "/data-integrations/openai", "manage"},
		{"widget", "GET", "/data-integrations", "read"},
	} {
		a := shop.with(step.held).do(step.method, step.path, m{"user_id": "ada"}).is(403, "insufficient_scope")
		if !strings.Contains(a.text("message"), step.lacks) {
			t.Errorf("%v does not name %q: %s", a, step.lacks, a.body)
		}
	}
	shop.do("GET", "/data-integrations/openai", nil).is(200)
}
