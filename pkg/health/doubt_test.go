package health_test

import (
	"fmt"
	"testing"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

// refuseMany has n keys refused that worked, a second apart.
func refuseMany(d *health.Doubt, n int, at time.Time) time.Time {
	for i := range n {
		at = at.Add(time.Second)
		d.Record(health.Finding{Verdict: catalog.Invalid, Reason: health.Refused, At: at}, fmt.Sprint(i), true)
	}
	return at
}

func TestF32_FiveKeysThatWorkedAndAreRefusedAtOnceMakeAProviderDoubtedForAnHour(t *testing.T) {
	d := health.Doubt{}
	if at := refuseMany(&d, 4, start); d.Holds(at) {
		t.Error("four are enough")
	}
	at := refuseMany(&d, 5, start)
	if !d.Holds(at) || !d.Holds(at.Add(59*time.Minute)) || d.Holds(at.Add(time.Hour)) {
		t.Errorf("doubted until %v, at %v", d.Until, at)
	}
}

// One good key and some that can be revoked at will keep nobody's revoked key from
// being found out.
func TestAProviderIsDoubtedOnceADayAtMost(t *testing.T) {
	d := health.Doubt{}
	at := refuseMany(&d, 5, start)
	d.Record(health.Finding{Verdict: catalog.Valid, Reason: health.Works, At: at}, "good", true)
	if d.Holds(at.Add(time.Second)) {
		t.Error("it is doubted though it took a key")
	}
	for at = at.Add(time.Minute); at.Before(start.Add(24 * time.Hour)); at = at.Add(20 * time.Minute) {
		if now := refuseMany(&d, 6, at); d.Holds(now) {
			t.Fatalf("it is doubted again at %v", now)
		}
	}
	if now := refuseMany(&d, 6, start.Add(25*time.Hour)); !d.Holds(now) {
		t.Error("it is not doubted the day after")
	}
}

// What a clock said that was a week ahead is over when it is right again.
func TestF21_ADoubtOfAClockThatWasAheadDoesNotHold(t *testing.T) {
	d := health.Doubt{}
	refuseMany(&d, 5, start.Add(7*24*time.Hour))
	if d.Holds(start) {
		t.Errorf("it holds until %v", d.Until)
	}
	if now := refuseMany(&d, 6, start); !d.Holds(now) {
		t.Error("it keeps the provider from being doubted")
	}
}
