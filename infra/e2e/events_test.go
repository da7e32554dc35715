package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// events are what a consumer is told of accounts.
func events() []guarantee {
	return []guarantee{
		{"what_happens_to_accounts_is_told_once_and_in_order", eventsOfAFlow},
		{"events_are_filtered_paged_and_of_one_tenant", eventsAsked},
		{"F50_the_end_of_each_account_that_a_removal_deletes_is_told_once", eventsOfRemovals},
	}
}

const eventPrefix = "pipes.connected_account."

// told awaits n events that a query of GET /events finds, oldest first.
func (c client) told(query string, n int) []map[string]any {
	c.t.Helper()
	var rows []map[string]any
	await(c.t, fmt.Sprintf("%d events of %q", n, query), func() bool {
		rows = c.do("GET", "/events?order=asc&limit=100&"+query, nil).is(200).rows()
		return len(rows) >= n
	})
	return rows
}

func eventsOfAFlow(t *testing.T, k *target) {
	shop := k.newShop(t)
	integration := shop.register("openai").text("id")
	account := shop.upsert("openai", m{"user_id": "ada|1", "secret": newSecret()})
	inOrganization := shop.upsert("openai", m{"user_id": "ada|1", "organization_id": "org:1", "secret": newSecret()})
	again := m{"user_id": "ada|1", "secret": newSecret()}
	for range 2 { // F23: a repeat is no second event
		shop.do("PUT", "/data-integrations/openai/api-key", again, "Idempotency-Key", "rotation").is(200)
	}
	shop.do("PUT", connected("ada|1", "openai", ""), m{"state": "needs_reauthorization"}).is(200)
	shop.do("PUT", connected("ada|1", "openai", ""), m{"state": "needs_reauthorization"}).is(200)
	shop.do("PUT", connected("ada|1", "openai", ""), m{"state": "connected"}).is(200)
	shop.do("PATCH", "/keyvend/accounts/"+account.text("id"), m{"metadata": m{"plan": "pro"}})
	shop.do("DELETE", connected("ada|1", "openai", ""), nil).is(204)
	shop.do("POST", "/data-integrations", m{"provider": "stripe", "auth_methods": []string{"api_key"}, "enabled": true,
		"api_key": m{"user_id": "bo", "secret": newSecret()}}).is(201)

	rows := shop.told("", 7)
	var alone, others []string
	for _, e := range rows {
		data := e["data"].(map[string]any)
		name := strings.TrimPrefix(e["event"].(string), eventPrefix)
		switch data["id"] {
		case account.text("id"):
			alone = append(alone, name)
			if data["user_id"] != "ada|1" || data["organization_id"] != nil || data["data_integration_id"] != integration || data["provider_slug"] != "openai" {
				t.Errorf("%v", e)
			}
		case inOrganization.text("id"):
			others = append(others, name)
			if data["organization_id"] != "org:1" {
				t.Errorf("%v", e)
			}
		default:
			others = append(others, name+" "+data["user_id"].(string))
		}
	}
	if want := []string{"connected", "rotated", "reauthorization_needed", "recovered", "disconnected"}; !slices.Equal(alone, want) {
		t.Errorf("of the account: %v, want %v", alone, want)
	}
	if want := []string{"connected", "connected bo"}; !slices.Equal(others, want) {
		t.Errorf("of others: %v, want %v", others, want)
	}
}

// eventsOfRemovals removes an integration and offboards a user and an
// organization, and lets the sweep do the rest.
func eventsOfRemovals(t *testing.T, k *target) {
	shop := k.newShop(t)
	gone, stays := map[any]m{}, map[any]bool{}
	made := func(slug string, owner m, goes bool) {
		t.Helper()
		body := m{"secret": newSecret()}
		maps.Copy(body, owner)
		id := shop.upsert(slug, body).text("id")
		if stays[id] = !goes; goes {
			gone[id] = m{"provider_slug": slug, "user_id": owner["user_id"], "organization_id": owner["organization_id"]}
		}
	}
	removed := shop.register("openai").text("id")
	shop.register("linear")
	for _, slug := range []string{"openai", "linear"} {
		ofOpenAI := slug == "openai"
		made(slug, m{"user_id": "ada"}, ofOpenAI)
		made(slug, m{"user_id": "bo", "organization_id": "org:1"}, true)
		made(slug, m{"user_id": "bo", "organization_id": "org:2"}, ofOpenAI)
		made(slug, m{"user_id": "di", "organization_id": "org:1"}, true)
		made(slug, m{"user_id": "cy"}, true)
		made(slug, m{"user_id": "cy", "organization_id": "org:2"}, true)
	}
	shop.do("DELETE", "/data-integrations/openai", nil).is(204)
	shop.do("DELETE", "/keyvend/users/cy", nil).is(202)
	shop.do("DELETE", "/keyvend/organizations/org:1", nil).is(202)
	renewed := shop.register("openai").text("id")
	made("openai", m{"user_id": "ada"}, false) // perhaps over the old row
	made("linear", m{"user_id": "bo", "organization_id": "org:1"}, false)

	const query = "events=" + eventPrefix + "disconnected"
	for range 2 { // what a second sweep finds is told already
		if k.sweep != nil {
			k.sweep(t)
		}
		told := map[any]int{}
		for _, e := range shop.told(query, len(gone)) {
			data := e["data"].(map[string]any)
			told[data["id"]]++
			for name, want := range gone[data["id"]] {
				if data[name] != want {
					t.Errorf("%s is %v, want %v: %v", name, data[name], want, e)
				}
			}
			if of := data["data_integration_id"]; of == renewed || (of == removed) != (data["provider_slug"] == "openai") {
				t.Errorf("told of the integration %v: %v", of, e)
			}
		}
		for id, owner := range gone {
			if told[id] != 1 {
				t.Errorf("the end of %v of %v was told %d times", id, owner, told[id])
			}
		}
		for id, lives := range stays {
			if lives && told[id] != 0 {
				t.Errorf("the end of %v was told, which lives", id)
			}
		}
	}
}

func eventsAsked(t *testing.T, k *target) {
	mine, other := k.newShop(t), k.newShop(t)
	for _, s := range []shop{mine, other} {
		s.register("openai")
	}
	before := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	var accounts []string
	for i := range 5 {
		a := mine.upsert("openai", m{"user_id": fmt.Sprintf("u%d", i), "organization_id": fmt.Sprintf("org%d", i%2), "secret": newSecret()})
		accounts = append(accounts, a.text("id"))
	}
	other.upsert("openai", m{"user_id": "u0", "secret": newSecret()})
	ids := func(rows []map[string]any) (all []string) {
		for _, e := range rows {
			all = append(all, e["id"].(string))
		}
		return all
	}
	all := mine.told("", 5)
	for i, e := range all {
		alone := (i == 0 || e["created_at"] != all[i-1]["created_at"]) && (i == len(all)-1 || e["created_at"] != all[i+1]["created_at"])
		if alone && e["data"].(map[string]any)["id"] != accounts[i] {
			t.Errorf("event %d is of %v, want %s", i, e["data"], accounts[i])
		}
	}
	for query, want := range map[string]int{
		"organization_id=org1": 2, "organization_id=org0": 3, "organization_id=org9": 0,
		"events=" + eventPrefix + "connected": 5, "events=" + eventPrefix + "rotated": 0, "events=dsync.user.created": 0,
		"range_start=" + before: 5, "range_end=" + before: 0,
	} {
		if got := mine.told(query, want); len(got) != want {
			t.Errorf("%s: %d, want %d", query, len(got), want)
		}
	}
	var paged []string
	for after := ""; ; {
		a := mine.do("GET", "/events?order=asc&limit=2"+after, nil).is(200)
		paged = append(paged, ids(a.rows())...)
		if a.field("list_metadata.after") == nil {
			break
		}
		after = "&after=" + a.text("list_metadata.after")
	}
	if !slices.Equal(paged, ids(all)) {
		t.Errorf("page by page %v, at once %v", paged, ids(all))
	}
	newest := mine.do("GET", "/events?limit=1", nil).is(200)
	if got := ids(newest.rows()); !slices.Equal(got, paged[4:]) {
		t.Errorf("the newest is %v, want %v", got, paged[4:])
	}
	if got := other.told("", 1); len(got) != 1 || slices.Contains(paged, got[0]["id"].(string)) {
		t.Errorf("F1: the other tenant sees %v", got)
	}
	mine.do("GET", "/events?range_start=yesterday", nil).is(422, "invalid_request_parameters")
	mine.with("vend").do("GET", "/events", nil).is(403, "insufficient_scope")
	mine.with("read").do("GET", "/events", nil).is(200)
}

// TestAKilledProcessTellsLaterWhatItHadNotToldYet kills infra/local with SIGKILL
// among its writes, and starts it again on the same folder.
func TestAKilledProcessTellsLaterWhatItHadNotToldYet(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	first := startLocal(t, dir)
	shop := first.demo(t)
	shop.register("openai")
	for n := range 40 {
		shop.upsert("openai", m{"user_id": fmt.Sprintf("u%d", n), "secret": newSecret()})
	}
	first.kill()

	second := startLocal(t, dir)
	rows := second.demo(t).told("", 40)
	seen := map[any]bool{}
	for _, e := range rows {
		user := e["data"].(map[string]any)["user_id"]
		if seen[user] || e["event"] != eventPrefix+"connected" {
			t.Errorf("%v twice, or not connected: %v", user, e)
		}
		seen[user] = true
	}
	if len(seen) != 40 {
		t.Errorf("told of %d accounts", len(seen))
	}
	second.interrupt()
	noCanary(t, second.target())
}
