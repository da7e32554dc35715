package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// idempotency is about requests that are sent again under an Idempotency-Key.
func idempotency() []guarantee {
	return []guarantee{
		{"F23_an_upsert_repeated_under_its_key_is_done_once", repeatedUpsert},
		{"F23_a_registration_repeated_under_its_key_is_done_once", repeatedRegistration},
		{"F24_a_key_used_for_another_request_is_refused", reusedKey},
		{"F24_the_same_key_of_another_tenant_is_another_key", foreignKey},
		{"the_fifth_key_makes_the_first_forgotten", fifthKey},
	}
}

const idempotencyKey = "Idempotency-Key"

func repeatedUpsert(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	for _, method := range []string{"PUT", "POST"} {
		body := m{"user_id": "user-" + method, "secret": newSecret()}
		send := func() answer {
			return shop.do(method, "/data-integrations/openai/api-key", body, idempotencyKey, "key-1").is(200)
		}
		first := send()
		before := k.storedOf(t, shop.tenant)
		if again := send(); string(again.body) != string(first.body) {
			t.Errorf("%s: first %s, then %s", method, first.body, again.body)
		}
		k.unchanged(t, shop.tenant, before)
		// The row as it stands is the answer, also when it has moved on.
		shop.do("PUT", connected("user-"+method, "openai", ""), m{"state": "needs_reauthorization"}).is(200)
		if later := send(); later.text("state") != "needs_reauthorization" || later.text("id") != first.text("id") {
			t.Errorf("%s: a repeat after a change: %s", method, later.body)
		}
	}
}

func repeatedRegistration(t *testing.T, k *target) {
	shop := k.newShop(t)
	body := m{"provider": "openai", "auth_methods": []string{"api_key"}, "enabled": true, "api_key": m{"user_id": "ada", "secret": newSecret()}}
	create := func() answer {
		return shop.do("POST", "/data-integrations", body, idempotencyKey, "create").is(201)
	}
	first := create()
	before := k.storedOf(t, shop.tenant)
	if again := create(); string(again.body) != string(first.body) {
		t.Errorf("first %s, then %s", first.body, again.body)
	}
	k.unchanged(t, shop.tenant, before)

	change := m{"description": "new", "api_key": m{"user_id": "ada", "secret": newSecret()}}
	update := func() answer {
		return shop.do("PUT", "/data-integrations/openai", change, idempotencyKey, "update").is(200)
	}
	changed := update()
	account := shop.do("GET", connected("ada", "openai", ""), nil).is(200)
	before = k.storedOf(t, shop.tenant)
	if again := update(); string(again.body) != string(changed.body) {
		t.Errorf("first %s, then %s", changed.body, again.body)
	}
	if after := shop.do("GET", connected("ada", "openai", ""), nil).is(200); string(after.body) != string(account.body) {
		t.Errorf("a repeat wrote the account again: %s, then %s", account.body, after.body)
	}
	k.unchanged(t, shop.tenant, before)
}

func reusedKey(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secret := newSecret()
	path := "/data-integrations/openai/api-key"
	body := fmt.Sprintf(`{"user_id":"ada","secret":%q}`, secret)
	shop.do("PUT", path, body, idempotencyKey, "one").is(200)
	before := k.storedOf(t, shop.tenant)
	for name, a := range map[string]answer{
		"another secret": shop.do("PUT", path, m{"user_id": "ada", "secret": newSecret()}, idempotencyKey, "one"),
		"another method": shop.do("POST", path, body, idempotencyKey, "one"),
		"another field":  shop.do("PUT", path, strings.Replace(body, "}", `,"metadata":{"a":"b"}}`, 1), idempotencyKey, "one"),
	} {
		if a.status != 422 {
			t.Errorf("%s: %v: %s", name, a, a.body)
		}
	}
	k.unchanged(t, shop.tenant, before)
	shop.vends("openai", m{"user_id": "ada"}, secret)
	shop.do("PUT", path, body, idempotencyKey, strings.Repeat("k", 256)).is(422)
	shop.do("PUT", path, body, idempotencyKey, strings.Repeat("k", 255)).is(200)

	shop.do("PUT", "/data-integrations/openai", m{"enabled": true}, idempotencyKey, "two").is(200)
	shop.do("PUT", "/data-integrations/openai", m{"enabled": false}, idempotencyKey, "two").is(422)
	create := m{"provider": "stripe", "auth_methods": []string{"api_key"}}
	shop.do("POST", "/data-integrations", create, idempotencyKey, "three").is(201)
	create["enabled"] = true
	shop.do("POST", "/data-integrations", create, idempotencyKey, "three").is(422)
	shop.do("POST", "/data-integrations", create, idempotencyKey, "four").is(409)
}

func foreignKey(t *testing.T, k *target) {
	a, b := k.newShop(t), k.newShop(t)
	for _, shop := range []shop{a, b} {
		shop.register("openai")
		secret := newSecret()
		shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": "ada", "secret": secret}, idempotencyKey, "shared").is(200)
		shop.vends("openai", m{"user_id": "ada"}, secret)
		// Nor does another user's account of the same tenant remember it.
		other := newSecret()
		shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": "bo", "secret": other}, idempotencyKey, "shared").is(200)
		shop.vends("openai", m{"user_id": "bo"}, other)
	}
}

func fifthKey(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secrets := make([]string, 6)
	put := func(n int) answer {
		return shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": "ada", "secret": secrets[n]}, idempotencyKey, fmt.Sprintf("key-%d", n)).is(200)
	}
	for n := range 5 {
		secrets[n] = newSecret()
		put(n)
	}
	before := k.storedOf(t, shop.tenant)
	for n := 1; n < 5; n++ { // the newest four are known: nothing is done again
		put(n)
	}
	k.unchanged(t, shop.tenant, before)
	shop.vends("openai", m{"user_id": "ada"}, secrets[4])
	put(0) // forgotten: done again
	shop.vends("openai", m{"user_id": "ada"}, secrets[0])
}

// storedOf is rows, or nil where the target cannot tell.
func (k *target) storedOf(t testing.TB, tenant string) []string {
	t.Helper()
	if k.rows == nil {
		return nil
	}
	rows := k.rows(t, tenant)
	if len(rows) == 0 {
		t.Error("the tenant has no rows: this test sees nothing")
	}
	return rows
}

// unchanged asserts that nothing was stored of a tenant since before.
func (k *target) unchanged(t testing.TB, tenant string, before []string) {
	t.Helper()
	if after := k.storedOf(t, tenant); !same(before, after) {
		t.Errorf("%d rows were stored, now %d, or they changed", len(before), len(after))
	}
}
