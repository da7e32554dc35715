package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/vault"
)

// keyHealth is what keyvend finds out of keys, with fake providers.
func keyHealth() []guarantee {
	return []guarantee{
		{"a_revoked_key_is_found_by_one_report_and_recovers_when_it_is_restored", revokedAndRestored},
		{"F32_F33_F34_no_bad_day_of_a_provider_turns_a_key", badDays},
		{"F34_an_answer_without_an_end_is_cut_off_and_its_status_counts", endlessAnswer},
		{"an_EU_key_that_is_asked_at_an_assumed_US_host_stays_usable", assumedRegion},
		{"a_key_that_its_provider_refuses_is_not_saved_where_that_is_required", refusedOnSaving},
		{"a_report_of_what_is_not_stored_any_more_is_told_so", staleReports},
	}
}

// fakes controls the fake providers of a target.
type fakes interface {
	Revoke(key string)
	Restore(key string)
}

// overHTTP controls those of infra/local.
type overHTTP struct{ p *localProcess }

func (o overHTTP) Revoke(key string)  { o.post("revoke", key) }
func (o overHTTP) Restore(key string) { o.post("restore", key) }

func (o overHTTP) post(what, key string) {
	body, _ := json.Marshal(m{"key": key}) // texts always encode
	url := o.p.env["KEYVEND_URL"] + fakeprovider.ControlPath + "keys/" + what
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		o.p.t.Error(err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		o.p.t.Error(err)
		return
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		o.p.t.Errorf("%s a fake key: %d", what, answer.StatusCode)
	}
}

// worker makes the checks of a target in this process.
type worker struct {
	checker func() *vault.Checker
	log     *lines
}

// Send implements vault.CheckQueue.
func (w *worker) Send(_ context.Context, requests []vault.CheckRequest) []error {
	for _, r := range requests {
		time.AfterFunc(max(time.Until(r.Slot), 0), func() {
			if err := w.checker().Check(context.Background(), r); err != nil {
				fmt.Fprintf(w.log, "a check was not made: %v\n", err)
			}
		})
	}
	return make([]error, len(requests))
}

var fakeKeys atomic.Int32

// fakeKey is a key of the fake providers that nobody else uses.
func fakeKey(kind string) string {
	return fmt.Sprintf("sk-canary-fake-%s-%04d", kind, fakeKeys.Add(1))
}

// enlist registers a fake provider.
func (s shop) enlist(f fakeprovider.Fake) {
	s.t.Helper()
	if err := f.Register(s.t.Context(), s.target.url, s.key); err != nil {
		s.t.Fatal(err)
	}
}

// health awaits a verdict and state of an account.
func (s shop) health(id, state, verdict string) answer {
	s.t.Helper()
	var a answer
	await(s.t, fmt.Sprintf("the account is %s and its key %s", state, verdict), func() bool {
		a = s.do("GET", "/keyvend/accounts/"+id, nil)
		health, _ := a.object()["health"].(map[string]any)
		return a.status == 200 && a.text("state") == state && health["verdict"] == verdict
	})
	return a
}

// look asks for a check until it is accepted: an account is found by its id a
// little later than it is stored.
func (s shop) look(id string) {
	s.t.Helper()
	await(s.t, "a check is accepted", func() bool {
		a := s.do("POST", "/keyvend/accounts/"+id+"/check", nil)
		return a.status == 202 && a.object()["accepted"] == true
	})
}

func revokedAndRestored(t *testing.T, k *target) {
	shop := k.newShop(t)
	fake := fakeprovider.Bearer()
	shop.enlist(fake)
	key := fakeKey("valid")
	id := shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": key}).text("id")
	shop.look(id)
	shop.health(id, "connected", "valid")

	k.fakes.Revoke(key)
	report := m{"slug": fake.Slug(), "user_id": "ada", "status": 401}
	if a := shop.do("POST", "/keyvend/reports", report).is(202); a.object()["accepted"] != true {
		t.Errorf("%v", a)
	}
	shop.health(id, "needs_reauthorization", "invalid")
	if a := shop.vend(fake.Slug(), m{"user_id": "ada"}); a.text("error") != "needs_reauthorization" {
		t.Errorf("%v", a)
	}
	detailed := shop.do("POST", "/keyvend/vend", m{"slug": fake.Slug(), "user_id": "ada"}).is(200)
	if detailed.text("account_id") != id || detailed.text("verdict") != "invalid" {
		t.Errorf("%v", detailed)
	}

	k.fakes.Restore(key)
	shop.look(id)
	shop.health(id, "connected", "valid")
	shop.vends(fake.Slug(), m{"user_id": "ada"}, key)
	told := []string{}
	for _, e := range shop.told("", 3) {
		told = append(told, strings.TrimPrefix(e["event"].(string), eventPrefix))
	}
	if want := []string{"connected", "reauthorization_needed", "recovered"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	looks := shop.do("GET", "/keyvend/accounts/"+id+"/history", nil).is(200).rows()
	if len(looks) < 3 || looks[0]["verdict"] != "valid" || looks[0]["cause"] != "request" {
		t.Errorf("history %v", looks)
	}
}

func badDays(t *testing.T, k *target) {
	shop := k.newShop(t)
	fakes := []fakeprovider.Fake{fakeprovider.Header(), fakeprovider.BasicPassword(), fakeprovider.Query(), fakeprovider.Path()}
	for _, fake := range fakes {
		shop.enlist(fake)
	}
	for i, kind := range []string{"error", "ratelimited", "lying", "lying-401", "lying-403", "redirect"} {
		user, fake := fmt.Sprint("user-", i), fakes[i%len(fakes)] // each has its own pace
		id := shop.upsert(fake.Slug(), m{"user_id": user, "secret": fakeKey(kind)}).text("id")
		shop.do("POST", "/keyvend/reports", m{"slug": fake.Slug(), "user_id": user, "status": 401}).is(202)
		a := shop.health(id, "connected", "unknown")
		if health := a.object()["health"].(map[string]any); health["sentence"] == "" || health["next_check_at"] == nil {
			t.Errorf("%s: %v", kind, health)
		}
	}
}

func endlessAnswer(t *testing.T, k *target) {
	shop := k.newShop(t)
	fake := fakeprovider.Header()
	shop.enlist(fake)
	id := shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": fakeKey("endless")}).text("id")
	shop.do("POST", "/keyvend/reports", m{"slug": fake.Slug(), "user_id": "ada", "status": 401}).is(202)
	shop.health(id, "connected", "valid")
}

func assumedRegion(t *testing.T, k *target) {
	shop := k.newShop(t)
	fake := fakeprovider.Region()
	shop.enlist(fake)
	id := shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": "sk-canary-fake-valid-eu-" + fmt.Sprint(fakeKeys.Add(1))}).text("id")
	shop.do("POST", "/keyvend/reports", m{"slug": fake.Slug(), "user_id": "ada", "status": 401}).is(202)
	a := shop.health(id, "connected", "unknown")
	if health := a.object()["health"].(map[string]any); health["reason"] != "refused_there" {
		t.Errorf("%v", health)
	}
}

func refusedOnSaving(t *testing.T, k *target) {
	shop := k.newShop(t)
	fake := fakeprovider.BasicUser()
	shop.enlist(fake)
	shop.do("PATCH", "/keyvend/integrations/"+fake.Slug(), m{"verify_on_save": "require"}).is(200)
	path := "/data-integrations/" + fake.Slug() + "/api-key"
	if a := shop.do("PUT", path, m{"user_id": "ada", "secret": fakeKey("revoked")}); a.status != 422 || a.text("code") != "key_refused" || a.text("verdict") != "invalid" {
		t.Errorf("%v", a)
	}
	if rows := shop.told("", 1); rows[0]["event"] != eventPrefix+"connection_failed" {
		t.Errorf("%v", rows)
	}
	id := shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": fakeKey("valid")}).text("id")
	shop.health(id, "connected", "valid")
	shop.upsert(fake.Slug(), m{"user_id": "bo", "secret": fakeKey("error")})
}

func staleReports(t *testing.T, k *target) {
	shop := k.newShop(t)
	fake := fakeprovider.Query()
	shop.enlist(fake)
	shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": fakeKey("valid")})
	first := shop.do("POST", "/keyvend/vend", m{"slug": fake.Slug(), "user_id": "ada"}).is(200)
	shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": fakeKey("valid")})
	a := shop.do("POST", "/keyvend/reports", m{"slug": fake.Slug(), "user_id": "ada", "status": 401, "secret_id": first.text("secret_id")}).is(202)
	if a.object()["accepted"] != false || a.text("reason") != "stale_secret" {
		t.Errorf("%v", a)
	}
}

// TestTheWholeLoopOfChecksRunsOnLambda goes from the schedule over the queue to
// the provider, and back over the table's stream to an event.
func TestTheWholeLoopOfChecksRunsOnLambda(t *testing.T) {
	t.Parallel()
	f := deploy(t, fleetConfig{})
	shop := f.target().newShop(t)
	fake := fakeprovider.Path()
	shop.enlist(fake)
	good := shop.upsert(fake.Slug(), m{"user_id": "ada", "secret": fakeKey("valid")}).text("id")
	limited := shop.upsert(fake.Slug(), m{"user_id": "bo", "secret": fakeKey("limited")}).text("id")
	bad := shop.upsert(fake.Slug(), m{"user_id": "cy", "secret": fakeKey("revoked")}).text("id")
	await(t, "the schedule has had every key looked at", func() bool {
		if _, err := f.stack.Tick(t.Context(), "sweep"); err != nil {
			t.Log(err) // a busy machine's; the next minute brings the next try
			return false
		}
		f.stack.Advance(time.Minute) // of the queue: nobody waits for slots
		return f.fakes.Asked(fake).Count >= 3
	})
	shop.health(good, "connected", "valid")
	shop.health(limited, "connected", "limited")
	shop.health(bad, "connected", "unknown") // refused once
	shop.do("POST", "/keyvend/reports", m{"slug": fake.Slug(), "user_id": "cy", "status": 401}).is(202)
	shop.health(bad, "needs_reauthorization", "invalid")
	rows := shop.told("events="+eventPrefix+"reauthorization_needed", 1)
	if data := rows[0]["data"].(map[string]any); data["id"] != bad || data["reason"] != "refused" {
		t.Errorf("%v", data)
	}
	if denied := f.stack.Denied(); len(denied) > 0 {
		t.Errorf("refused by their roles: %v", denied)
	}
}
