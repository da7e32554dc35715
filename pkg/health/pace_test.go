package health_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/integration"
)

// paces are both lanes of one provider.
type paces map[health.Lane]*health.Pace

func newPaces() paces { return paces{health.ScheduledLane: {}, health.AskedLane: {}} }

var lanes = []health.Lane{health.ScheduledLane, health.AskedLane}

// apart is the least time between two slots: even if each is used up to Slack late,
// or half of that early, no minute has more questions than are allowed.
func apart(perMinute int) time.Duration {
	return (time.Minute + health.Slack + health.Slack/2) / time.Duration(perMinute)
}

// Whoever reserves, for either lane and however far ahead: every slot is given
// once, lies where it was asked for, and is far enough from all others.
func TestF29_NoTwoSlotsAreCloserThanTheProvidersPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.IntRange(1, 600).Draw(t, "per minute")
		p, now := newPaces(), start
		var all []time.Time
		for range rapid.IntRange(1, 25).Draw(t, "reservations") {
			now = now.Add(time.Duration(rapid.IntRange(0, 600_000).Draw(t, "ms")) * time.Millisecond)
			lane := rapid.SampledFrom(lanes).Draw(t, "lane")
			from := now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, -10, 60, 3600}).Draw(t, "from")) * time.Second)
			until := from.Add(time.Duration(rapid.IntRange(0, 86_400).Draw(t, "ahead")) * time.Second)
			n := rapid.IntRange(0, 50).Draw(t, "n")
			slots := p[lane].Reserve(lane, perMinute, n, from, until)
			if len(slots) > n || !slices.IsSortedFunc(slots, time.Time.Compare) {
				t.Fatalf("%d slots, of %d: %v", len(slots), n, slots)
			}
			for _, slot := range slots {
				if slot.Before(from) || slot.After(until) {
					t.Fatalf("the slot %v, between %v and %v", slot, from, until)
				}
			}
			all = append(all, slots...)
			p[lane] = stored(t, p[lane])
		}
		slices.SortFunc(all, time.Time.Compare)
		for i := 1; i < len(all); i++ {
			if gap := all[i].Sub(all[i-1]); gap < apart(perMinute) {
				t.Fatalf("%v and %v are %v apart, at %d a minute", all[i-1], all[i], gap, perMinute)
			}
		}
	})
}

// Slots of both lanes that are used early and late, as far as that is allowed, and in
// the worst order.
func TestF29_NoMinuteHasMoreQuestionsThanAProviderTakesHoweverEarlyOrLateTheyCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.IntRange(1, 120).Draw(t, "per minute")
		p := newPaces()
		var used []time.Time
		for _, lane := range lanes {
			for _, slot := range p[lane].Reserve(lane, perMinute, 400, start, start.Add(4*time.Minute)) {
				at := slot.Add(time.Duration(rapid.IntRange(-int(health.Slack/2/time.Millisecond), int(health.Slack/time.Millisecond)).Draw(t, "late")) * time.Millisecond)
				if !health.Usable(slot, at) {
					t.Fatalf("%v cannot be used at %v", slot, at)
				}
				used = append(used, at)
			}
		}
		slices.SortFunc(used, time.Time.Compare)
		for first, i := 0, 0; i < len(used); i++ {
			for used[i].Sub(used[first]) >= time.Minute {
				first++
			}
			if n := i - first + 1; n > perMinute {
				t.Fatalf("%d questions in the minute before %v, and %d are allowed", n, used[i], perMinute)
			}
		}
	})
}

// Who reserves one slot after another gets all that there are: three of four for
// the schedule, one of four for people.
func TestEachLaneGetsItsShareWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.IntRange(1, 600).Draw(t, "per minute")
		p := newPaces()
		const round = time.Hour
		fair := map[health.Lane]float64{health.ScheduledLane: 3. / 4, health.AskedLane: 1. / 4}
		for lane, share := range fair {
			n := 0
			for {
				some := rapid.IntRange(1, 5000).Draw(t, "some")
				slots := p[lane].Reserve(lane, perMinute, some, start, start.Add(round))
				n += len(slots)
				if len(slots) < some {
					break
				}
			}
			want := share * float64(round) / float64(apart(perMinute))
			if float64(n) < want-2 || float64(n) > want+2 {
				t.Fatalf("%s has %d slots of %.0f", lane, n, want)
			}
			if more := p[lane].Reserve(lane, perMinute, 1, start, start.Add(round)); len(more) > 0 {
				t.Fatalf("%s has a slot twice: %v", lane, more)
			}
		}
	})
}

// A clock that was wrong takes no slots away: whoever is right again gets one
// within two hours of what he would have got, which is how far clocks that are
// believed may differ, and without delay when it was wrong by more.
func TestF21_APaceGoesOnAfterAClockThatWasWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.IntRange(1, 600).Draw(t, "per minute")
		lane := rapid.SampledFrom(lanes).Draw(t, "lane")
		p, now := &health.Pace{}, start
		for range rapid.IntRange(1, 4).Draw(t, "jumps") {
			ahead := time.Duration(rapid.IntRange(-400*24*60, 400*24*60).Draw(t, "minutes")) * time.Minute
			for range rapid.IntRange(1, 3).Draw(t, "reservations") {
				p.Reserve(lane, perMinute, rapid.IntRange(1, 100).Draw(t, "n"), now.Add(ahead), now.Add(ahead+24*time.Hour))
			}
			taken := p.Next
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "later")) * time.Minute)
			slots := p.Reserve(lane, perMinute, 1, now, now.Add(24*time.Hour))
			latest := now.Add(4 * (apart(perMinute) + time.Microsecond))
			if ahead <= 3*time.Hour { // what it took may still count
				latest = latest.Add(max(0, taken.Sub(now)))
			}
			if latest.After(now.Add(24 * time.Hour)) {
				continue
			}
			if len(slots) != 1 || slots[0].After(latest) {
				t.Fatalf("after a clock that was %v ahead the next slot is %v after now", ahead, slots)
			}
		}
	})
}

func TestF21_ATenantHasItsShareAgainAfterAClockThatWasWrong(t *testing.T) {
	p, ahead := &health.Pace{}, start.Add(5*time.Hour)
	for range 100 {
		p.ReserveFor("acme", health.AskedLane, 60, ahead, ahead.Add(health.AskedAhead))
	}
	slot := p.ReserveFor("acme", health.AskedLane, 60, start, start.Add(health.AskedAhead))
	if slot.IsZero() || slot.After(start.Add(time.Minute)) {
		t.Errorf("the next slot is %v", slot)
	}
}

func TestASlotIsUsableFromShortlyBeforeItUntilItsSlackIsOver(t *testing.T) {
	for late, want := range map[time.Duration]bool{
		-health.Slack/2 - 1: false, -health.Slack / 2: true, 0: true, health.Slack: true, health.Slack + 1: false, -time.Hour: false,
	} {
		if got := health.Usable(start, start.Add(late)); got != want {
			t.Errorf("%v late: %v", late, got)
		}
	}
	if !health.Usable(health.Reachable(start), start) {
		t.Error("what is said to be reachable is not usable")
	}
}

func TestTenantsShareThePaceOfAProviderAndHaveThatOfTheirOwn(t *testing.T) {
	shared := &integration.Integration{Tenant: "acme", Slug: "openai"}
	own := &integration.Integration{Tenant: "acme", Slug: "openai", Custom: &integration.CustomProvider{}}
	other := &integration.Integration{Tenant: "other", Slug: "openai"}
	if health.ProviderKey(shared) != health.ProviderKey(other) || health.ProviderKey(shared) == health.ProviderKey(own) {
		t.Errorf("%s %s %s", health.ProviderKey(shared), health.ProviderKey(other), health.ProviderKey(own))
	}
}

// strains are the reasons for which a provider is left alone.
var strains = []health.Reason{health.RateLimited, health.Trouble, health.TimedOut, health.Unreachable}

// A breaker by its rules: it opens with the fifth failure in a row, with the third
// when the provider asks for a pause; answers to questions that were on their way
// do not count; after the pause one more failure opens it for twice as long, an
// hour at most; any answer closes it.
func TestF32_ABreakerOpensAfterFailuresInARowIsTriedAfterThePauseAndClosesWithAnAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, now := &health.Breaker{}, start
		failures, open := 0, time.Time{}
		for range rapid.IntRange(1, 60).Draw(t, "findings") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 59, 60, 61, 600, 4000}).Draw(t, "seconds")) * time.Second)
			if rapid.IntRange(0, 9).Draw(t, "answers") == 0 {
				changed := b.Record(health.Finding{Verdict: catalog.Valid, Reason: health.Works, At: now})
				if changed != (failures > 0) {
					t.Fatalf("an answer changed it: %v, after %d failures", changed, failures)
				}
				failures, open = 0, time.Time{}
			} else {
				f := health.Finding{Verdict: health.Unknown, Reason: rapid.SampledFrom(strains).Draw(t, "reason"), At: now}
				f.RetryAfter = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 30, 300, 100_000}).Draw(t, "retry after")) * time.Second
				changed := b.Record(f)
				if counts := !open.After(now); changed != counts {
					t.Fatalf("a failure changed it: %v, and it was open until %v at %v", changed, open, now)
				} else if counts {
					failures++
					if pause := pauseAfter(failures, f); pause > 0 {
						open = now.Add(pause)
					}
				}
			}
			b = stored(t, b)
			if want := open; !want.After(now) {
				if !b.Pause(now).IsZero() {
					t.Fatalf("open until %v after %d failures", b.Pause(now), failures)
				}
			} else if !b.Pause(now).Equal(want) {
				t.Fatalf("open until %v, want %v", b.Pause(now), want)
			}
		}
	})
}

// pauseAfter is how long a provider is left alone after so many failures in a row,
// of which f is the last.
func pauseAfter(failures int, f health.Finding) time.Duration {
	var pause time.Duration
	switch {
	case failures >= 5:
		pause = time.Minute
		for range failures - 5 {
			pause = min(2*pause, time.Hour)
		}
	case failures >= 3 && f.RetryAfter > 0:
		pause = time.Minute
	default:
		return 0
	}
	if f.Reason == health.RateLimited {
		pause = max(pause, min(f.RetryAfter, time.Hour))
	}
	return pause
}

// A breaker that a clock far ahead has opened is nobody's: the provider is asked,
// and left alone again when it fails again.
func TestF21_ABreakerThatAClockAheadHasOpenedDoesNotStopTheChecks(t *testing.T) {
	trouble := func(at time.Time) health.Finding {
		return health.Finding{Verdict: health.Unknown, Reason: health.Trouble, At: at}
	}
	for _, ahead := range []time.Duration{3 * time.Hour, 24 * time.Hour, 365 * 24 * time.Hour} {
		b := &health.Breaker{}
		for range 5 {
			b.Record(trouble(start.Add(ahead)))
		}
		if until := b.Pause(start); !until.IsZero() {
			t.Errorf("%v ahead: open until %v", ahead, until)
		}
		if !b.Record(trouble(start)) || b.Pause(start).IsZero() || b.Pause(start).After(start.Add(time.Hour)) {
			t.Errorf("%v ahead: after another failure open until %v", ahead, b.Pause(start))
		}
	}
}
