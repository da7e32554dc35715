package health_test

import (
	"encoding/json"
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
		d.Record(health.Finding{Verdict: catalog.Invalid, Reason: health.Refused, At: at}, health.Refusal{Account: fmt.Sprint(i)}, true)
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

func take(d *health.Doubt, at time.Time) {
	d.Record(health.Finding{Verdict: catalog.Valid, Reason: health.Works, At: at}, health.Refusal{Account: "good"}, true)
}

// Who took no key for an hour meant it: for a day refusals count at once.
func TestAProviderIsNotDoubtedForADayAfterADoubtThatRanItsHour(t *testing.T) {
	d := health.Doubt{}
	ended := refuseMany(&d, 5, start).Add(time.Hour)
	for at := ended; at.Before(ended.Add(24 * time.Hour)); at = at.Add(20 * time.Minute) {
		if now := refuseMany(&d, 6, at); d.Holds(now) {
			t.Fatalf("it is doubted again at %v", now)
		}
		take(&d, at.Add(10*time.Minute))
	}
	if now := refuseMany(&d, 6, ended.Add(24*time.Hour)); !d.Holds(now) {
		t.Error("it is not doubted the day after")
	}
}

// A provider that flaps, or a few keys of one tenant, must not use up what keeps
// all others from an outage later that day.
func TestF32_ADoubtThatATakenKeyEndedMayComeAgain(t *testing.T) {
	d, at := health.Doubt{}, start
	for range 5 {
		at = refuseMany(&d, 5, at)
		if !d.Holds(at) {
			t.Fatalf("it is not doubted at %v", at)
		}
		if take(&d, at); d.Holds(at.Add(time.Second)) {
			t.Fatal("it is doubted though it took a key")
		}
		if now := refuseMany(&d, 4, at); d.Holds(now) {
			t.Fatal("four are enough")
		}
		take(&d, at.Add(10*time.Second))
		at = at.Add(time.Minute)
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

// The row of a provider's breaker is read and written with looks of all tenants.
func TestBudget_ABreakerOfVeryManyTenantsStaysSmall(t *testing.T) {
	var b health.Breaker
	at, largest := start, 0
	for i := range 5000 {
		at = at.Add(time.Minute)
		for account := range 1 + i%6 {
			refused := health.Finding{Verdict: catalog.Invalid, Reason: health.Refused, At: at}
			b.Learn(refused, health.Refusal{Tenant: fmt.Sprintf("tenant_%024d", i), Account: fmt.Sprintf("data_installation_%026d", account)}, true)
		}
		row, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(row))
	}
	if largest > 4<<10 {
		t.Errorf("the row has %d bytes", largest)
	}
}
