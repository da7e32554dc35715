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
	must(t, s.SaveBreaker(ctx, provider, &health.Breaker{Failures: 1}))
	for _, sk := range []string{"PACE", "ASKED", "BREAKER"} {
		k := table.Key{PK: "S#PROVIDER#" + tenantID + "/acme", SK: sk}
		found, err := s.engine.Get(ctx, k)
		if err != nil || !found[k].ExpiresAt.Equal(start.Add(7*24*time.Hour)) {
			t.Errorf("%s: %+v %v", sk, found, err)
		}
	}
}
