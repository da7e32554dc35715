package health_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/health"
)

// Whatever is tried and whenever: no window of time has more verifications than
// its limit allows, and whoever waits for as long as he is told gets one.
func TestATallyNeverCountsTooFewAndNeverKeepsAnybodyOutForLongerThanItSays(t *testing.T) {
	for name, limits := range map[string][]health.Limit{"user": health.UserLimits, "tenant": health.TenantLimits} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				tally, now := &health.Tally{}, start
				var made []time.Time
				for range rapid.IntRange(1, 150).Draw(t, "tries") {
					now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 100, 5_000, 90_000, 600_000, 20_000_000}).Draw(t, "ms")) * time.Millisecond)
					wait := tally.Full(now, limits)
					if want := waits(made, now, limits); wait != want {
						t.Fatalf("wait %v, want %v, after %v", wait, want, made)
					}
					if wait > 0 && rapid.Bool().Draw(t, "waits") {
						now = now.Add(wait)
						wait = tally.Full(now, limits)
					}
					if wait == 0 {
						tally.Add(now, limits)
						made = append(made, now)
					}
					tally = stored(t, tally)
					if len(tally.Times) > 100 {
						t.Fatalf("%d times are kept", len(tally.Times))
					}
				}
				for _, l := range limits {
					for i := l.Most; i < len(made); i++ {
						if within := made[i].Sub(made[i-l.Most]); within < l.Within {
							t.Fatalf("%d within %v", l.Most+1, within)
						}
					}
				}
			})
		})
	}
}

// waits is how long until one more would keep every limit.
func waits(made []time.Time, now time.Time, limits []health.Limit) (wait time.Duration) {
	for _, l := range limits {
		var within []time.Time
		for _, at := range made {
			if now.Sub(at) < l.Within {
				within = append(within, at)
			}
		}
		if len(within) >= l.Most { // until so many have left the window that one more has room
			wait = max(wait, within[len(within)-l.Most].Add(l.Within).Sub(now))
		}
	}
	return wait
}

// The functions that verify have clocks of their own. What one counted counts for
// another whose clock is behind, or many at once would all be let through.
func TestWhatAClockALittleAheadHasCountedCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tally, made := &health.Tally{}, 0
		for range 40 {
			skew := time.Duration(rapid.IntRange(-30_000, 30_000).Draw(t, "skew")) * time.Millisecond
			now := start.Add(skew)
			if tally.Full(now, health.UserLimits) == 0 {
				tally.Add(now, health.UserLimits)
				made++
			}
			tally = stored(t, tally)
			if !slices.IsSortedFunc(tally.Times, time.Time.Compare) {
				t.Fatalf("not in order: %v", tally.Times)
			}
		}
		if made != health.UserLimits[0].Most {
			t.Fatalf("%d are let through within a minute, want %d", made, health.UserLimits[0].Most)
		}
	})
}

// What a clock far ahead has counted keeps nobody out.
func TestF21_WhatAClockFarAheadHasCountedIsForgotten(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, 24 * time.Hour, 365 * 24 * time.Hour} {
		tally := &health.Tally{}
		for range 5 {
			tally.Add(start.Add(ahead), health.UserLimits)
		}
		if wait := tally.Full(start, health.UserLimits); wait != 0 {
			t.Errorf("%v ahead: wait %v", ahead, wait)
		}
	}
}
