package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// registrations are about data integrations: what may be registered, and what
// becomes of the keys of one that was removed.
func registrations() []guarantee {
	return []guarantee{
		{"F6_a_provider_that_is_registered_anew_has_none_of_its_old_keys", registeredAnew},
		{"a_provider_has_one_auth_method_and_here_it_is_api_key", authMethods},
		{"a_custom_provider_needs_only_a_name_and_may_not_shadow_the_catalog", customProviders},
		{"an_organizations_own_accounts_are_refused_with_a_sentence", organizationOwned},
		{"null_clears_a_description_and_silence_keeps_it", descriptions},
		{"oauth_credentials_have_no_place_in_an_api_key_integration", oauthCredentials},
		{"a_disabled_integration_keeps_its_accounts_and_vends_none", disabled},
		{"oauth_endpoints_name_the_mismatch", mismatches},
	}
}

func registeredAnew(t *testing.T, k *target) {
	shop := k.newShop(t)
	first := shop.register("openai")
	users := []m{{"user_id": "ada"}, {"user_id": "bo"}, {"user_id": "ada", "organization_id": "org"}}
	ids := map[string]bool{first.text("id"): true}
	for _, user := range users {
		body := m{"secret": newSecret()}
		for name, value := range user {
			body[name] = value
		}
		ids[shop.upsert("openai", body).text("id")] = true
	}
	shop.do("DELETE", "/data-integrations/openai", nil).is(204)
	shop.do("GET", "/data-integrations/openai", nil).is(404, "not_found")
	shop.do("DELETE", "/data-integrations/openai", nil).is(404, "not_found")
	for _, user := range users {
		shop.do("POST", "/data-integrations/openai/credentials", user).is(404, "not_found")
	}
	shop.do("GET", connected("ada", "openai", ""), nil).is(404, "not_found")
	if rows := shop.do("GET", dataProviders("ada", ""), nil).is(200).rows(); len(rows) != 0 {
		t.Errorf("a removed provider is listed: %v", rows)
	}

	second := shop.register("openai")
	for _, user := range users {
		shop.vends("openai", user, "")
	}
	shop.do("GET", connected("ada", "openai", "org"), nil).is(404, "not_found")
	shop.do("PUT", connected("ada", "openai", ""), m{"state": "connected"}).is(404, "not_found")
	shop.do("DELETE", connected("ada", "openai", ""), nil).is(404, "not_found")
	if row := shop.do("GET", dataProviders("ada", ""), nil).is(200).row("openai"); row["connected_account"] != nil {
		t.Errorf("an old account shows under the new registration: %v", row)
	}
	fresh := newSecret()
	back := shop.upsert("openai", m{"user_id": "ada", "secret": fresh})
	if ids[second.text("id")] || ids[back.text("id")] {
		t.Error("an old id came back")
	}
	shop.vends("openai", m{"user_id": "ada"}, fresh)
	shop.vends("openai", m{"user_id": "bo"}, "")
}

func authMethods(t *testing.T, k *target) {
	shop := k.newShop(t)
	for _, body := range []m{
		{"provider": "openai"},
		{"provider": "openai", "auth_methods": nil},
		{"provider": "openai", "auth_methods": []string{}},
		{"provider": "openai", "auth_methods": []string{"oauth"}},
		{"provider": "openai", "auth_methods": []string{"client_credentials"}},
		{"provider": "openai", "auth_methods": []string{"api_key", "oauth"}},
		{"provider": "openai", "auth_methods": []string{"api_key", "api_key"}},
		{"provider": "openai", "auth_methods": []string{"API_KEY"}},
		{"provider": "github", "auth_methods": []string{"oauth"}, "credentials": m{"type": "custom", "client_id": "id", "client_secret": "sk-canary-oauth"}},
	} {
		shop.do("POST", "/data-integrations", body).is(422, "auth_method_not_supported")
	}
	shop.register("openai")
	shop.do("POST", "/data-integrations", m{"provider": "openai", "auth_methods": []string{"api_key"}}).is(409)
	if off := shop.do("POST", "/data-integrations", m{"provider": "stripe", "auth_methods": []string{"api_key"}}).is(201); off.field("enabled") != false {
		t.Errorf("enabled does not default to false: %s", off.body)
	}
}

func customProviders(t *testing.T, k *target) {
	shop := k.newShop(t)
	made := shop.do("POST", "/data-integrations", m{"provider": "in-house_2", "auth_methods": []string{"api_key"}, "enabled": true,
		"custom_provider": m{"name": "In-house"}}).is(201)
	if made.text("custom_provider.name") != "In-house" {
		t.Errorf("%s", made.body)
	}
	secret := newSecret()
	shop.upsert("in-house_2", m{"user_id": "ada", "secret": secret})
	shop.vends("in-house_2", m{"user_id": "ada"}, secret)
	renamed := shop.do("PUT", "/data-integrations/in-house_2", m{"custom_provider": m{"name": "Ours"}}).is(200)
	if renamed.text("custom_provider.name") != "Ours" || renamed.text("id") != made.text("id") {
		t.Errorf("%s", renamed.body)
	}
	if row := shop.do("GET", dataProviders("ada", ""), nil).is(200).row("in-house_2"); row["name"] != "Ours" {
		t.Errorf("%v", row)
	}
	for slug, name := range map[string]string{
		"openai": "Mine", "": "Mine", "Upper": "Mine", "-x": "Mine", "_x": "Mine", "a/b": "Mine", "a b": "Mine", "é": "Mine", "a#b": "Mine",
		strings.Repeat("a", 65): "Mine", "no-name": "", "control": "a\x00b",
	} {
		shop.do("POST", "/data-integrations", m{"provider": slug, "auth_methods": []string{"api_key"}, "custom_provider": m{"name": name}}).is(422)
	}
	shop.do("POST", "/data-integrations", m{"provider": "unknown-to-all", "auth_methods": []string{"api_key"}}).is(422)
	longest := strings.Repeat("a", 64)
	shop.do("POST", "/data-integrations", m{"provider": longest, "auth_methods": []string{"api_key"}, "enabled": true, "custom_provider": m{"name": "Long"}}).is(201)
	shop.vends(longest, m{"user_id": "ada"}, "")
}

func organizationOwned(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.do("POST", "/data-integrations", m{"provider": "openai", "auth_methods": []string{"api_key"}, "ownership": "organization"}).is(422)
	shop.do("POST", "/data-integrations", m{"provider": "openai", "auth_methods": []string{"api_key"}, "ownership": "user", "enabled": true}).is(201)
	for _, r := range []struct{ method, path string }{
		{"GET", "/data-integrations/openai/organization"},
		{"PUT", "/data-integrations/openai/organization"},
		{"DELETE", "/data-integrations/openai/organization"},
		{"GET", "/organizations/org_1/connected_accounts/openai"},
		{"POST", "/organizations/org_1/connected_accounts/openai"},
		{"PUT", "/organizations/org_1/connected_accounts/openai"},
		{"DELETE", "/organizations/org_1/connected_accounts/openai"},
		{"GET", "/organizations/org_1/data_providers"},
	} {
		shop.do(r.method, r.path, nil).is(422)
	}
	for _, body := range []m{
		{"user_id": "ada", "secret": newSecret(), "connection_owner": "organization"},
		{"user_id": "ada", "secret": newSecret(), "connection_owner": "nobody"},
	} {
		shop.do("PUT", "/data-integrations/openai/api-key", body).is(422)
	}
	shop.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada", "connection_owner": "organization"}).is(422)
	shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": "ada", "secret": newSecret(), "connection_owner": "user"}).is(200)
}

func descriptions(t *testing.T, k *target) {
	shop := k.newShop(t)
	made := shop.do("POST", "/data-integrations", m{"provider": "openai", "auth_methods": []string{"api_key"}, "description": "why"}).is(201)
	for _, step := range []struct {
		body    string
		want    any
		enabled bool
	}{
		{`{}`, "why", false},
		{`{"enabled":true}`, "why", true},
		{`{"enabled":null,"credentials":null,"api_key":null,"custom_provider":null,"scopes":null,"config":null}`, "why", true},
		{`{"description":null}`, nil, true},
		{`{"description":"\u00fcber\nzwei"}`, "über\nzwei", true},
		{`{"description":""}`, "", true},
	} {
		a := shop.do("PUT", "/data-integrations/openai", step.body).is(200)
		if a.field("description") != step.want || a.field("enabled") != step.enabled || a.text("id") != made.text("id") {
			t.Errorf("%s: %s", step.body, a.body)
		}
	}
	shop.do("PUT", "/data-integrations/openai", m{"description": 5}).is(400, "invalid_request_body")
	shop.do("PUT", "/data-integrations/openai", m{"description": strings.Repeat("x", 5000)}).is(422)
	shop.do("PUT", "/data-integrations/no-such", m{"description": "x"}).is(404, "not_found")
}

func oauthCredentials(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	credentials := m{"type": "custom", "client_id": "id", "client_secret": newSecret()}
	shop.do("PUT", "/data-integrations/openai", m{"credentials": credentials, "api_key": m{"user_id": "ada", "secret": newSecret()}}).is(422)
	shop.do("PUT", "/data-integrations/openai", m{"credentials": credentials}).is(422)
	shop.do("POST", "/data-integrations", m{"provider": "stripe", "auth_methods": []string{"api_key"}, "credentials": credentials}).is(422)
	shop.do("PUT", "/data-integrations/openai", m{"custom_provider": m{"name": "Mine"}}).is(422)
	shop.vends("openai", m{"user_id": "ada"}, "")
}

func disabled(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secret := newSecret()
	account := shop.upsert("openai", m{"user_id": "ada", "secret": secret})
	shop.do("PUT", "/data-integrations/openai", m{"enabled": false}).is(200)
	shop.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}).is(403, "data_integration_disabled")
	shop.do("POST", "/data-integrations/openai/credentials", m{"user_id": "nobody"}).is(403, "data_integration_disabled")
	if kept := shop.do("GET", connected("ada", "openai", ""), nil).is(200); kept.text("id") != account.text("id") {
		t.Errorf("the account is %s", kept.body)
	}
	if row := shop.do("GET", dataProviders("ada", ""), nil).is(200).row("openai"); row != nil {
		t.Errorf("a disabled provider is offered: %v", row)
	}
	shop.do("PUT", "/data-integrations/openai", m{"enabled": true}).is(200)
	shop.vends("openai", m{"user_id": "ada"}, secret)
}

func mismatches(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	ada := m{"user_id": "ada"}
	const code = "auth_method_mismatch"
	for _, slug := range []struct {
		name   string
		status int
		code   string
	}{{"openai", 422, code}, {"no-such", 404, "not_found"}} {
		base := "/data-integrations/" + slug.name
		shop.do("POST", base+"/authorize", ada).is(slug.status, slug.code)
		shop.do("POST", base+"/token", ada).is(slug.status, slug.code)
		shop.do("PUT", base+"/client-credentials", m{"user_id": "ada", "client_id": "c", "client_secret": newSecret()}).is(slug.status, slug.code)
		shop.do("POST", connected("ada", slug.name, ""), m{"access_token": newSecret(), "state": "connected"}).is(slug.status, slug.code)
	}
	shop.upsert("openai", m{"user_id": "ada", "secret": newSecret()})
	shop.do("PUT", connected("ada", "openai", ""), m{"access_token": newSecret()}).is(422, code)
	shop.do("PUT", connected("ada", "openai", ""), m{"state": "disconnected"}).is(422)
	shop.do("PUT", connected("ada", "openai", ""), m{}).is(422)
}

// TestF6_TheSweepRemovesDeadRowsAndEndsAfterFifteenMinutes turns the clock of
// the handlers in one process.
func TestF6_TheSweepRemovesDeadRowsAndEndsAfterFifteenMinutes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	k, app := inProcessApp(t, clock)
	shop := k.newShop(t)
	shop.register("openai")
	for n := range 25 {
		shop.upsert("openai", m{"user_id": fmt.Sprintf("user-%d", n), "secret": newSecret()})
	}
	shop.do("DELETE", "/data-integrations/openai", nil).is(204)
	shop.register("openai")
	kept := newSecret()
	shop.upsert("openai", m{"user_id": "user-3", "secret": kept})

	deleted, finished := 0, 0
	sweep := func() {
		swept, err := app.Sweep(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		deleted += swept.Accounts
		finished += swept.Finished
	}
	for range 4 {
		sweep()
	}
	if deleted != 24 {
		t.Errorf("%d rows were deleted, want 24: all but the one that was written over", deleted)
	}
	if finished != 0 {
		t.Error("the job ended although a late write could still come")
	}
	mu.Lock()
	now = now.Add(16 * time.Minute)
	mu.Unlock()
	for range 2 {
		sweep()
	}
	if finished != 1 || deleted != 24 {
		t.Errorf("%d jobs ended, %d rows were deleted in all; want 1 and 24", finished, deleted)
	}
	shop.vends("openai", m{"user_id": "user-3"}, kept)
	shop.vends("openai", m{"user_id": "user-4"}, "")
	if swept, err := app.Sweep(t.Context(), nil); err != nil || swept.Jobs != 0 {
		t.Errorf("a job is left: %+v, %v", swept, err)
	}
	k.stop()
	noCanary(t, k)
}
