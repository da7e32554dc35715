package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// writers upsert keys side by side, each for users of its own, and know what
// they were told.
type writers struct {
	count, each int

	mu       sync.Mutex
	answered int
	last     map[string]string          // user → secret of the last upsert that was answered 200
	pending  map[string]map[string]bool // user → secrets that were sent later and never answered
	ids      map[string]string          // user → account id, which stays
	broken   []string                   // answers that should not be
}

func newWriters(count, each int) *writers {
	return &writers{count: count, each: each, last: map[string]string{}, pending: map[string]map[string]bool{}, ids: map[string]string{}}
}

// run sends count × each upserts to openai, and calls progress after each that
// was answered 200 with their number so far. It goes on when the target is
// gone: what is not answered is not promised.
func (w *writers) run(c client, progress func(int)) {
	var wait sync.WaitGroup
	for writer := range w.count {
		wait.Go(func() {
			for n := range w.each {
				w.upsert(c, fmt.Sprintf("writer-%d-user-%d", writer, n/3), progress)
			}
		})
	}
	wait.Wait()
	for _, sentence := range w.broken {
		c.t.Error(sentence)
	}
}

func (w *writers) upsert(c client, user string, progress func(int)) {
	secret := newSecret()
	w.mu.Lock()
	if w.pending[user] == nil {
		w.pending[user] = map[string]bool{}
	}
	w.pending[user][secret] = true
	w.mu.Unlock()
	r := request{method: http.MethodPut, path: "/data-integrations/openai/api-key", body: m{"user_id": user, "secret": secret},
		header: http.Header{"Authorization": {"Bearer " + c.key}}}
	a, err := c.try(r)
	if err != nil || a.status != http.StatusOK {
		return
	}
	w.mu.Lock()
	w.answered++
	w.last[user], w.pending[user] = secret, nil
	if id := a.text("id"); w.ids[user] != "" && w.ids[user] != id {
		w.broken = append(w.broken, fmt.Sprintf("%s: the account was %s, now %s", user, w.ids[user], id))
	} else {
		w.ids[user] = id
	}
	if a.text("api_key_last_4") != last4(secret) {
		w.broken = append(w.broken, fmt.Sprintf("%s: stored …%s, answered …%s", user, last4(secret), a.text("api_key_last_4")))
	}
	answered := w.answered
	w.mu.Unlock()
	progress(answered)
}

// kept are the users whose key was answered for.
func (w *writers) kept() map[string]string { return w.last }

// verify asserts that every user has the key that was answered for, or one that
// was sent later and not answered, whole and under the same account.
func (w *writers) verify(c client) {
	c.t.Helper()
	for user, secret := range w.last {
		vended := c.vend("openai", m{"user_id": user}).text("credential.value")
		if vended != secret && !w.pending[user][vended] {
			c.t.Errorf("%s: the key that was answered for is lost (vended %d bytes)", user, len(vended))
		}
		found := c.do("GET", connected(user, "openai", ""), nil).is(200)
		if found.text("id") != w.ids[user] {
			c.t.Errorf("%s: the account was %s, is %s", user, w.ids[user], found.text("id"))
		}
		if vended != "" && found.text("api_key_last_4") != last4(vended) {
			c.t.Errorf("%s: last four %q of another secret", user, found.text("api_key_last_4"))
		}
	}
	c.t.Logf("%d upserts were answered, of %d users", w.answered, len(w.last))
}

// concurrency is what holds when many write at once.
func concurrency() []guarantee {
	return []guarantee{
		{"F22_upserts_of_one_account_at_once_leave_one_whole", upsertsAtOnce},
	}
}

func upsertsAtOnce(t *testing.T, k *target) {
	const rounds, rivals = 12, 4
	shop := k.newShop(t)
	shop.register("openai")
	for round := range rounds {
		user := fmt.Sprintf("user-%d", round%3) // a first install, then rotations
		before := shop.do("GET", connected(user, "openai", ""), nil)
		secrets := make([]string, rivals)
		answers := make([]answer, rivals)
		var wait sync.WaitGroup
		for i := range rivals {
			secrets[i] = newSecret()
			wait.Go(func() {
				a, err := shop.try(request{method: http.MethodPut, path: "/data-integrations/openai/api-key",
					header: http.Header{"Authorization": {"Bearer " + shop.key}}, body: m{"user_id": user, "secret": secrets[i]}})
				if err != nil {
					t.Error(err)
				}
				answers[i] = a
			})
		}
		wait.Wait()
		found := shop.do("GET", connected(user, "openai", ""), nil).is(200)
		id, won := found.text("id"), shop.vend("openai", m{"user_id": user}).text("credential.value")
		if before.status == http.StatusOK && before.text("id") != id {
			t.Errorf("round %d: the account was %s, is %s", round, before.text("id"), id)
		}
		if found.text("api_key_last_4") != last4(won) {
			t.Errorf("round %d: last four %q beside the secret of another", round, found.text("api_key_last_4"))
		}
		var stored []string
		for i, a := range answers {
			switch {
			case a.status == http.StatusServiceUnavailable && a.text("code") == "concurrent_request" && a.header.Get("Retry-After") != "":
				continue
			case a.status != http.StatusOK:
				t.Errorf("round %d: %v: %s", round, a, a.body)
				continue
			}
			stored = append(stored, secrets[i])
			if a.text("id") != id || a.text("api_key_last_4") != last4(secrets[i]) {
				t.Errorf("round %d: stored …%s under %s, answered %s", round, last4(secrets[i]), id, a.body)
			}
		}
		if !slices.Contains(stored, won) {
			t.Errorf("round %d: what is vended is none of the %d keys that were answered for", round, len(stored))
		}
	}
}
