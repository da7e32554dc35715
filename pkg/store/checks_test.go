package store_test

import (
	"testing"
	"time"

	"keyvend/pkg/health"
	"keyvend/pkg/table"
)

// A custom provider leaves nothing behind for good; what holds for a day after a
// doubt is kept for longer.
func TestPaceAndBreakerOfAProviderThatNobodyAsksExpire(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	provider := tenantID + "/acme"
	must(t, s.SavePace(ctx, provider, health.ScheduledLane, &health.Pace{Next: start}))
	must(t, s.SavePace(ctx, provider, health.AskedLane, &health.Pace{Next: start}))
	must(t, s.SaveBreaker(ctx, health.Place{Provider: provider}, &health.Breaker{Failures: 1}))
	for _, sk := range []string{"PACE", "ASKED", "BREAKER"} {
		k := table.Key{PK: "S#PROVIDER#" + tenantID + "/acme", SK: sk}
		found, err := s.engine.Get(ctx, k)
		if err != nil || !found[k].ExpiresAt.Equal(start.Add(7*24*time.Hour)) {
			t.Errorf("%s: %+v %v", sk, found, err)
		}
	}
}

// Accounts may name any number of hosts.
func TestABreakerOfAHostIsKeptForAsLongAsItMeansSomething(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	until := start.Add(time.Hour)
	for host, c := range map[string]struct {
		health.Breaker
		lasts time.Duration
	}{
		"a.example": {health.Breaker{Failures: 9, OpenUntil: until}, 2 * time.Hour},
		"b.example": {health.Breaker{Doubt: health.Doubt{At: start, Refused: []health.Refusal{{Account: "one"}}}}, 2 * time.Hour},
		"c.example": {health.Breaker{Doubt: health.Doubt{Until: until}}, 25 * time.Hour},
		"d.example": {health.Breaker{Own: map[string]health.Doubt{"one": {Until: until}, "two": {Until: start}}}, 25 * time.Hour},
	} {
		must(t, s.SaveBreaker(ctx, health.Place{Provider: "gitlab-pat", Host: host}, &c.Breaker))
		k := table.Key{PK: "S#PROVIDER#gitlab-pat", SK: "BREAKER#" + host}
		found, err := s.engine.Get(ctx, k)
		if err != nil || !found[k].ExpiresAt.Equal(start.Add(c.lasts)) {
			t.Errorf("%s: until %s %v", host, found[k].ExpiresAt, err)
		}
		if b, err := s.Breaker(ctx, health.Place{Provider: "gitlab-pat"}); err != nil || b.Revision != 0 {
			t.Errorf("%s: the provider has %+v %v", host, b, err)
		}
	}
}
