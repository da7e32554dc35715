package e2e

import (
	"slices"
	"testing"

	"keyvend/pkg/api/apitest"
)

// flow is what keyvend is for, from the first call to the last.
func flow() []guarantee {
	return []guarantee{
		{"a_key_is_brought_vended_rotated_seen_suspended_and_taken_away", wholeFlow},
		{"an_integration_can_come_with_its_first_key", firstKeyInline},
		{"the_catalog_can_be_read", catalogIsThere},
		{"lists_come_in_pages", pages},
		{"the_api_describes_itself_to_anyone", description},
	}
}

func wholeFlow(t *testing.T, k *target) {
	shop := k.newShop(t)
	ada := m{"user_id": "user_ada"}

	made := shop.do("POST", "/data-integrations", m{
		"provider": "openai", "auth_methods": []string{"api_key"}, "enabled": true, "description": "Summaries of your notes",
	}).is(201)
	for field, want := range map[string]any{
		"object": "data_integration", "slug": "openai", "integration_type": "openai", "ownership": "user", "enabled": true, "state": "valid",
		"description": "Summaries of your notes", "redirect_uri": "", "credentials": nil, "scopes": nil, "installation": nil, "custom_provider": nil,
	} {
		if got := made.field(field); got != want {
			t.Errorf("integration.%s is %v, want %v", field, got, want)
		}
	}
	if got := shop.do("GET", "/data-integrations/openai", nil).is(200).object(); !same(got, made.object()) {
		t.Errorf("GET says %v, POST said %s", got, made.body)
	}
	shop.vends("openai", ada, "")

	first := newSecret()
	stored := shop.upsert("openai", m{"user_id": "user_ada", "secret": first})
	for field, want := range map[string]any{
		"object": "connected_account", "user_id": "user_ada", "organization_id": nil, "auth_method": "api_key", "state": "connected",
		"api_key_last_4": last4(first), "connection_role": "standard", "account_identifier": nil, "account_display_name": nil,
	} {
		if got := stored.field(field); got != want {
			t.Errorf("account.%s is %v, want %v", field, got, want)
		}
	}
	vended := shop.vend("openai", ada)
	if vended.field("active") != true || vended.text("credential.value") != first || vended.text("credential.auth_method") != "api_key" {
		t.Errorf("%v: %d bytes", vended, len(vended.body))
	}

	second := newSecret()
	rotated := shop.upsert("openai", m{"user_id": "user_ada", "secret": second})
	if rotated.text("id") != stored.text("id") || rotated.text("created_at") != stored.text("created_at") {
		t.Errorf("a rotation made another account: %s, then %s", stored.body, rotated.body)
	}
	if rotated.text("api_key_last_4") != last4(second) || rotated.text("updated_at") < stored.text("updated_at") {
		t.Errorf("a rotation shows as %s", rotated.body)
	}
	shop.vends("openai", ada, second)

	providers := shop.do("GET", dataProviders("user_ada", ""), nil).is(200)
	row := providers.row("openai")
	account, _ := row["connected_account"].(map[string]any)
	if row["id"] != made.text("id") || row["ownership"] != "userland_user" || row["credentials_type"] != "custom" || row["name"] != "OpenAI" ||
		account["id"] != stored.text("id") || account["userlandUserId"] != "user_ada" || account["api_key_last_4"] != last4(second) {
		t.Errorf("data_providers: %s", providers.body)
	}
	if got := shop.do("GET", connected("user_ada", "openai", ""), nil).is(200).object(); !same(got, rotated.object()) {
		t.Errorf("GET says %v, the upsert said %s", got, rotated.body)
	}

	suspended := shop.do("PUT", connected("user_ada", "openai", ""), m{"state": "needs_reauthorization"}).is(200)
	if suspended.text("state") != "needs_reauthorization" || suspended.text("id") != stored.text("id") {
		t.Errorf("%v: %s", suspended, suspended.body)
	}
	if refused := shop.vend("openai", ada); refused.field("active") != false || refused.text("error") != "needs_reauthorization" {
		t.Errorf("a suspended account: %d bytes", len(refused.body))
	}
	shop.do("PUT", connected("user_ada", "openai", ""), m{"state": "connected"}).is(200)
	shop.vends("openai", ada, second)
	shop.do("PUT", connected("user_ada", "openai", ""), m{"state": "needs_reauthorization"}).is(200)
	third := newSecret()
	if back := shop.upsert("openai", m{"user_id": "user_ada", "secret": third}); back.text("state") != "connected" || back.text("id") != stored.text("id") {
		t.Errorf("an upsert does not reconnect: %s", back.body)
	}
	shop.vends("openai", ada, third)

	shop.do("DELETE", connected("user_ada", "openai", ""), nil).is(204)
	shop.vends("openai", ada, "")
	shop.do("GET", connected("user_ada", "openai", ""), nil).is(404, "not_found")
	shop.do("DELETE", connected("user_ada", "openai", ""), nil).is(404, "not_found")
	if row := shop.do("GET", dataProviders("user_ada", ""), nil).is(200).row("openai"); row == nil || row["connected_account"] != nil {
		t.Errorf("after the disconnect data_providers has %v", row)
	}
	again := newSecret()
	if back := shop.upsert("openai", m{"user_id": "user_ada", "secret": again}); back.text("id") == stored.text("id") {
		t.Error("an account that was disconnected came back under its old id")
	}
	shop.vends("openai", ada, again)
}

func firstKeyInline(t *testing.T, k *target) {
	shop := k.newShop(t)
	first := newSecret()
	made := shop.do("POST", "/data-integrations", m{"provider": "stripe", "auth_methods": []string{"api_key"}, "enabled": true,
		"api_key": m{"user_id": "bo", "organization_id": "org_1", "secret": first}}).is(201)
	if made.text("installation.user_id") != "bo" || made.text("installation.organization_id") != "org_1" || made.text("installation.api_key_last_4") != last4(first) {
		t.Errorf("the installation is %v", made.field("installation"))
	}
	account := shop.do("GET", connected("bo", "stripe", "org_1"), nil).is(200)
	if account.text("id") != made.text("installation.id") {
		t.Errorf("the account is %s, the installation said %s", account.text("id"), made.text("installation.id"))
	}
	if shown := shop.do("GET", "/data-integrations/stripe", nil).is(200); shown.field("installation") != nil {
		t.Errorf("GET shows an installation: %s", shown.body)
	}
	second := newSecret()
	shop.do("PUT", "/data-integrations/stripe", m{"description": "new", "api_key": m{"user_id": "bo", "organization_id": "org_1", "secret": second}}).is(200)
	shop.vends("stripe", m{"user_id": "bo", "organization_id": "org_1"}, second)
	if rotated := shop.do("GET", connected("bo", "stripe", "org_1"), nil).is(200); rotated.text("id") != account.text("id") {
		t.Errorf("the rotation made another account")
	}
}

func catalogIsThere(t *testing.T, k *target) {
	shop := k.newShop(t)
	all := shop.do("GET", "/keyvend/catalog", nil).is(200)
	if all.row("openai") == nil {
		t.Errorf("the catalog has no openai among %d providers", len(all.rows()))
	}
	if one := shop.do("GET", "/keyvend/catalog/openai", nil).is(200); one.text("slug") != "openai" {
		t.Errorf("%v: %s", one, one.body)
	}
	shop.do("GET", "/keyvend/catalog/no-such", nil).is(404, "not_found")
}

func pages(t *testing.T, k *target) {
	shop := k.newShop(t)
	var ids []string
	slugs := map[string]string{}
	for _, slug := range []string{"openai", "stripe", "linear", "anthropic", "notion"} {
		id := shop.register(slug).text("id")
		ids, slugs[id] = append(ids, id), slug
	}
	slices.Sort(ids) // oldest first; ids of one millisecond are in no order
	list := func(query string) (got []string, before, after any) {
		a := shop.do("GET", "/data-integrations"+query, nil).is(200)
		for _, row := range a.rows() {
			got = append(got, row["id"].(string))
		}
		return got, a.field("list_metadata.before"), a.field("list_metadata.after")
	}
	expect := func(query string, want []string, wantBefore, wantAfter any) {
		t.Helper()
		got, before, after := list(query)
		if !same(got, want) || before != wantBefore || after != wantAfter {
			t.Errorf("%s: %v before %v after %v, want %v before %v after %v", query, got, before, after, want, wantBefore, wantAfter)
		}
	}
	pick := func(at ...int) (some []string) {
		for _, i := range at {
			some = append(some, ids[i])
		}
		return some
	}
	expect("", pick(4, 3, 2, 1, 0), nil, nil)
	expect("?order=desc&limit=2", pick(4, 3), nil, ids[3])
	expect("?order=desc&limit=2&after="+ids[3], pick(2, 1), ids[2], ids[1])
	expect("?order=desc&limit=2&after="+ids[1], pick(0), ids[0], nil)
	expect("?order=desc&limit=2&before="+ids[2], pick(4, 3), nil, ids[3])
	expect("?order=asc&limit=2", pick(0, 1), nil, ids[1])
	expect("?order=asc&limit=3&after="+ids[1], pick(2, 3, 4), ids[2], nil)
	// Normal is descending with the cursors turned round: after is newer.
	expect("?order=normal&limit=2", pick(4, 3), ids[3], nil)
	expect("?order=normal&limit=2&before="+ids[3], pick(2, 1), ids[1], ids[2])
	// A cursor is compared and never looked up: its object may be gone.
	shop.do("DELETE", "/data-integrations/"+slugs[ids[2]], nil).is(204)
	expect("?order=asc&limit=2&after="+ids[2], pick(3, 4), ids[3], nil)
	if a := shop.do("GET", dataProviders("nobody", ""), nil).is(200); len(a.rows()) != 4 || a.field("list_metadata") == nil {
		t.Errorf("data_providers: %s", a.body)
	}
}

func description(t *testing.T, k *target) {
	a := client{t: t, target: k}.do("GET", "/openapi.json", nil).is(200)
	if string(a.body) != string(file(t, "../../"+apitest.File)) {
		t.Errorf("%v: %d bytes that are not the description's", a, len(a.body))
	}
}
