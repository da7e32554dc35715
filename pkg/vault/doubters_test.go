package vault_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

// street is a clinic whose tenant shares a provider of the catalog with others.
type street struct {
	*clinic
	tokens map[string]string // by tenant
	ids    map[string]string // by user

	mu   sync.Mutex
	dead map[string]bool // keys that the provider refuses
	down bool            // it refuses all
}

// newStreet has so many users of each tenant, whose keys are known to work.
func newStreet(t *testing.T, users map[string]int) *street {
	t.Helper()
	s := &street{clinic: newClinic(t), tokens: map[string]string{}, ids: map[string]string{}, dead: map[string]bool{}}
	s.Providers.Answer(s.answer)
	n := 0
	for tenant, users := range users {
		s.tokens[tenant] = s.Key(s.Tenant(), "vend", "manage")
		s.Register(s.tokens[tenant], "stripe")
		for i := range users {
			user := fmt.Sprint(tenant, i)
			s.ids[user] = s.Upsert(s.tokens[tenant], "stripe", user, keyOf(tenant, i)).Text("id")
			n++
		}
	}
	s.follow()
	if made := s.rounds(3); made != n {
		t.Fatalf("%d of %d keys were looked at", made, n)
	}
	s.Clock.Pass(time.Hour)
	return s
}

func keyOf(tenant string, i int) string {
	return fmt.Sprintf("%s%s%d-0123456789", boottest.Canary, tenant, i)
}

func (s *street) answer(ask catalog.Ask) (health.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimPrefix(string(ask.Header["Authorization"].Reveal()), "Bearer ")
	if s.down || s.dead[key] {
		return boottest.Says(http.StatusUnauthorized, `{}`), nil
	}
	return boottest.Says(http.StatusOK, `{}`), nil
}

// die has the provider refuse the key of a tenant's user.
func (s *street) die(tenant string, i int) { s.dead[keyOf(tenant, i)] = true }

// look has the key of a tenant's user looked at, and returns what is known of it.
func (s *street) look(tenant string, i int) string {
	s.t.Helper()
	path := "/keyvend/accounts/" + s.ids[fmt.Sprint(tenant, i)]
	s.Must(http.StatusAccepted, s.tokens[tenant], "POST", path+"/check", "")
	for s.World.Check(); s.Checks.Waiting() > 0; s.World.Check() {
		s.Clock.Pass(5 * time.Second)
	}
	return s.Must(http.StatusOK, s.tokens[tenant], "GET", path, "").Text("health.reason")
}

// twice looks at a key twice, so far apart that two refusals count.
func (s *street) twice(tenant string, i int) string {
	s.t.Helper()
	s.look(tenant, i)
	s.Clock.Pass(3 * time.Minute)
	return s.look(tenant, i)
}

func TestTheDeadKeysOfOneTenantDoNotKeepThoseOfOthersFromBeingFoundOut(t *testing.T) {
	s := newStreet(t, map[string]int{"a": 7, "b": 2})
	for range 3 { // a provider that takes a key may be doubted again
		for i := range 6 {
			s.die("a", i)
			s.look("a", i)
		}
		if got := s.twice("a", 0); got != "doubted" {
			t.Errorf("the tenant's own refusal is %s", got)
		}
		s.die("b", 0)
		if got := s.twice("b", 0); got != "refused" {
			t.Errorf("another tenant's refusal is %s", got)
		}
		if got := s.look("a", 6); got != "works" {
			t.Errorf("the good key %s", got)
		}
		s.dead = map[string]bool{}
		for i := range 6 {
			s.look("a", i)
		}
		s.look("b", 0)
	}
}

func TestF32_AProviderThatRefusesKeysOfMoreThanOneTenantIsDoubtedForAll(t *testing.T) {
	s := newStreet(t, map[string]int{"a": 5, "b": 2, "c": 1})
	s.down = true
	for i := range 5 {
		s.look("a", i)
	}
	for i := range 2 {
		s.look("b", i)
	}
	if got := s.twice("c", 0); got != "doubted" {
		t.Errorf("the only key of a third tenant is %s", got)
	}
	s.down = false
	for tenant, users := range map[string]int{"a": 5, "b": 2, "c": 1} {
		for i := range users {
			if got := s.look(tenant, i); got != "works" {
				t.Errorf("%s%d: %s", tenant, i, got)
			}
		}
	}
	s.die("c", 0)
	if got := s.twice("c", 0); got != "refused" {
		t.Errorf("after it, a dead key is %s", got)
	}
}

// Who took no key of a tenant for an hour meant it, whichever way that was found.
func TestATenantsOwnDoubtEndsAfterAnHourAndDoesNotComeAgainThatDay(t *testing.T) {
	s := newStreet(t, map[string]int{"a": 6})
	for i := range 6 {
		s.die("a", i)
	}
	for i := range 6 {
		s.look("a", i)
	}
	if got := s.twice("a", 5); got != "doubted" {
		t.Errorf("a refusal is %s", got)
	}
	s.Clock.Pass(time.Hour)
	for i := range 6 {
		if got := s.twice("a", i); got != "refused" {
			t.Errorf("an hour later a refusal is %s", got)
		}
	}
}
