package health_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stored is v after a way through its stored form.
func stored[T any](t interface{ Fatal(...any) }, v *T) *T {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	read := new(T)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	return read
}

// keyed is an account that has its nth secret, as its row says at a revision.
func keyed(id string, n int, revision int64) *account.Account {
	return &account.Account{
		ID: id, Tenant: "acme", Slug: "openai", IntegrationID: "data_integration_1", Owner: account.User("anna", ""),
		Secrets: map[account.Slot]account.Secret{account.Current: {ID: fmt.Sprintf("secret_%d", n)}}, Revision: revision,
	}
}

// findings are all that a look can find, as package health says what is found.
var findings = []health.Finding{
	{Verdict: catalog.Valid, Reason: health.Works},
	{Verdict: catalog.Limited, Reason: health.Restricted},
	{Verdict: catalog.Invalid, Reason: health.Refused},
	{Verdict: catalog.Invalid, Reason: health.Refused},
	{Verdict: health.Unknown, Reason: health.RefusedThere},
	{Verdict: health.Unknown, Reason: health.RateLimited},
	{Verdict: health.Unknown, Reason: health.Trouble},
	{Verdict: health.Unknown, Reason: health.TimedOut},
	{Verdict: health.Unknown, Reason: health.Unreachable},
	{Verdict: health.Unknown, Reason: health.Private},
	{Verdict: health.Unknown, Reason: health.Unexpected},
	{Verdict: health.Unknown, Reason: health.NotConfigured},
	{Verdict: health.Unknown, Reason: health.NotAsked},
	{Verdict: health.Unknown, Reason: health.NoCheck},
}

// history is what is known of one secret in the plainest way: all that happened.
type history struct {
	standing health.Verdict
	refusals []time.Time // since it was taken last, or since it was known to be bad
	reports  []time.Time // that nothing has come of yet
}

// find says what stands after a finding, by the rules as people read them.
func (h *history) find(f health.Finding) {
	good := h.standing == catalog.Valid || h.standing == catalog.Limited
	switch {
	case f.Verdict == catalog.Valid, f.Verdict == catalog.Limited:
		*h = history{standing: f.Verdict} // any good answer is the last word
	case f.Verdict == catalog.Invalid, f.Reason == health.RefusedThere && good:
		if h.confirmed(f.At) {
			*h = history{standing: catalog.Invalid}
		} else {
			h.refusals = append(h.refusals, f.At)
		}
	}
}

// confirmed: it was bad already, somebody reported it within the hour, or it was
// refused minutes ago.
func (h *history) confirmed(now time.Time) bool {
	return h.standing == catalog.Invalid ||
		len(h.reports) > 0 && now.Sub(h.reports[len(h.reports)-1]).Abs() < time.Hour ||
		slices.ContainsFunc(h.refusals, func(at time.Time) bool { return now.Sub(at) >= 2*time.Minute })
}

// Two definite refusals minutes apart, or a report and one look that confirms it,
// make a key invalid, and nothing else does; unknown changes nothing; a good
// answer mends; another secret begins anew; old news change nothing.
func TestF32_TheStateOfAKeyIsWhatItsWholeHistorySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, revision, secret := start, int64(1), 1
		c := health.Of(keyed("a", secret, revision), now)
		known := history{}
		broke, mended := 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 30, 119, 120, 121, 3599, 3600, 86400, -1, -130, -4000}).Draw(t, "seconds")) * time.Second)
			before, was := *c, known.standing
			switch rapid.SampledFrom([]string{"look", "look", "look", "look", "report", "rotate", "old news", "lease", "await"}).Draw(t, "step") {
			case "look":
				f := rapid.SampledFrom(findings).Draw(t, "finding")
				f.At = now
				turn := c.Record(f, health.Scheduled, 24*time.Hour)
				known.find(f)
				want := health.Steady
				switch {
				case was != catalog.Invalid && known.standing == catalog.Invalid:
					want, broke = health.Broke, broke+1
				case was == catalog.Invalid && known.standing != catalog.Invalid:
					want, mended = health.Mended, mended+1
				}
				if turn != want {
					t.Fatalf("turn %v, want %v", turn, want)
				}
				if f.Verdict == health.Unknown && f.Reason != health.RefusedThere && (c.Standing != before.Standing || c.Unknowns != before.Unknowns+1) {
					t.Fatalf("%s changed what stands: %+v", f.Reason, c)
				}
				if c.Verdict != health.Unknown && c.Awaited(now) {
					t.Fatal("who asks from now on joins a look that is thrown away")
				}
				if e := c.History[0]; e.At != now || e.SecretID != c.SecretID || e.Verdict != c.Verdict || len(c.History) > 20 {
					t.Fatalf("history %+v", c.History)
				}
			case "report": // as the checker notes one
				c.ReportedAt = now
				known.reports = append(known.reports, now)
			case "rotate":
				secret, revision = secret+1, revision+2
				if !c.Follow(keyed("a", secret, revision), now) {
					t.Fatal("a new secret is not noticed")
				}
				known = history{}
				if len(c.History) != len(before.History) || c.Verdict != "" || c.DueAt.IsZero() {
					t.Fatalf("after a new secret: %+v", c)
				}
			case "old news":
				old := keyed("a", rapid.IntRange(0, secret).Draw(t, "secret"), rapid.Int64Range(0, revision).Draw(t, "revision"))
				if c.Follow(old, now) || !reflect.DeepEqual(*c, before) {
					t.Fatalf("older news changed %+v to %+v", before, c)
				}
			case "lease":
				c.Take(now)
			case "await":
				c.AwaitedAt = now.Add(time.Minute)
			}
			if c.Standing != known.standing {
				t.Fatalf("%q stands, want %q", c.Standing, known.standing)
			}
			if bad := c.Standing == catalog.Invalid; bad == c.FirstBadAt.IsZero() {
				t.Fatalf("bad: %v, since %v", bad, c.FirstBadAt)
			}
			c = again(t, c)
		}
		if mended > broke {
			t.Fatalf("it mended %d times and broke %d times", mended, broke)
		}
	})
}

// again is c as its row gives it back.
func again(t *rapid.T, c *health.Check) *health.Check {
	read := stored(t, c)
	read.Tenant, read.Slug, read.Owner, read.Revision = c.Tenant, c.Slug, c.Owner, c.Revision
	return read
}

// Whatever is found, whatever the interval: a key whose provider can be asked is
// looked at again, not at once, and not later than a day and a quarter.
func TestEveryFindingIsFollowedByAnotherLookInItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now := health.Of(keyed("a", 1, 1), start), start
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			f := rapid.SampledFrom(findings).Draw(t, "finding")
			f.At, f.RetryAfter = now, time.Duration(rapid.IntRange(0, 200_000).Draw(t, "retry after"))*time.Second
			every := time.Duration(rapid.SampledFrom([]int{0, 15, 60, 24 * 60, 30 * 24 * 60}).Draw(t, "every")) * time.Minute
			c.Record(f, health.Scheduled, every)
			wait := c.DueAt.Sub(now)
			switch {
			case f.Reason == health.NoCheck:
				if !c.DueAt.IsZero() {
					t.Fatalf("no check, and due at %v", c.DueAt)
				}
			case c.Reason == health.RefusedOnce:
				if wait < 2*time.Minute || wait > 4*time.Minute+f.RetryAfter {
					t.Fatalf("the second look comes %v after a refusal", wait)
				}
			case wait < min(3*time.Minute, every/2) || wait > 30*time.Hour:
				t.Fatalf("the next look after %s comes after %v", c.Reason, wait)
			case f.Verdict == health.Unknown && wait < min(f.RetryAfter, 30*time.Hour):
				t.Fatalf("%s asks for %v, and the next look comes after %v", c.Reason, f.RetryAfter, wait)
			}
			if c.Slotted || c.Tries != 0 || c.By != "" {
				t.Fatalf("a lease outlives its finding: %+v", c)
			}
			now = now.Add(max(wait, time.Minute))
		}
	})
}

// A provider that stays in trouble is asked about one key ever less often.
func TestF32_LooksThatFindNothingComeEverLessOften(t *testing.T) {
	c, now := health.Of(keyed("a", 1, 1), start), start
	for n := range 40 {
		c.Record(health.Finding{Verdict: health.Unknown, Reason: health.Trouble, At: now}, health.Scheduled, 24*time.Hour)
		wait, middle := c.DueAt.Sub(now), min(24*time.Hour, 5*time.Minute<<min(n, 10))
		if wait < middle*3/4 || wait > middle*5/4 {
			t.Errorf("after %d looks that found nothing the next comes after %v", n+1, wait)
		}
		now = c.DueAt
	}
}

// A lease keeps others away for five minutes, each further one for twice as long,
// and two at once are told apart.
func TestF30_EachFurtherLeaseLastsTwiceAsLongAndIsLikeNoOther(t *testing.T) {
	c := health.Of(keyed("a", 1, 1), start)
	twin := *c
	for n := range health.MaxTries {
		c.Take(start)
		if lasts := c.DueAt.Sub(start); lasts != health.Lease<<n {
			t.Errorf("lease %d lasts %v", n, lasts)
		}
	}
	if c.Tries != health.MaxTries {
		t.Errorf("%d tries", c.Tries)
	}
	first := twin
	first.Take(start)
	second := twin
	second.Take(start)
	if first.By == second.By {
		t.Error("two leases for the same slot are the same row")
	}
	second.GiveBack(start.Add(time.Hour))
	if second.Tries != 0 || !second.DueAt.Equal(start.Add(time.Hour)) {
		t.Errorf("given back: %+v", second)
	}
}

func TestOneRefusalAloneIsNoVerdictAndTheNextLookIsNotTooEarly(t *testing.T) {
	c := health.Of(keyed("a", 1, 1), start)
	refused := health.Finding{Verdict: catalog.Invalid, Reason: health.Refused, At: start}
	if turn := c.Record(refused, health.Scheduled, time.Hour); turn != health.Steady || c.Verdict != health.Unknown || c.Reason != health.RefusedOnce {
		t.Errorf("%v %s %s", turn, c.Verdict, c.Reason)
	}
	if c.Why(start) != health.Confirm || !c.Early(start.Add(2*time.Minute-1)) || c.Early(start.Add(2*time.Minute)) || c.Early(c.DueAt) {
		t.Errorf("%s, early %v", c.Why(start), c.Early(c.DueAt))
	}
	refused.At = c.DueAt
	if turn := c.Record(refused, health.Confirm, time.Hour); turn != health.Broke || c.Standing != catalog.Invalid || !c.FirstBadAt.Equal(refused.At) {
		t.Errorf("%v %s %v", turn, c.Standing, c.FirstBadAt)
	}
}

// Who found a key to be bad by itself looks again in an hour; from then on, and
// where somebody reported it, it is as bad as it seems.
func TestF32_AKeyThatNobodyReportedIsLookedAtAgainAnHourAfterItWasFoundToBeBad(t *testing.T) {
	for _, every := range []time.Duration{15 * time.Minute, 24 * time.Hour, 30 * 24 * time.Hour} {
		for _, reported := range []bool{false, true} {
			c, now := health.Of(keyed("a", 1, 1), start), start
			refused := func(cause health.Cause) (wait time.Duration) {
				c.Record(health.Finding{Verdict: catalog.Invalid, Reason: health.Refused, At: now}, cause, every)
				if next := c.NextLook(every); !next.Equal(c.DueAt) && !c.Resting(c.DueAt, every) {
					t.Errorf("the row is due at %v, and the next look is said to be at %v", c.DueAt, next)
				}
				wait, now = c.NextLook(every).Sub(now), c.NextLook(every)
				return wait
			}
			var wait time.Duration
			if reported {
				c.ReportedAt = now
				wait = refused(health.Report)
			} else {
				refused(health.Scheduled)
				wait = refused(health.Confirm)
			}
			if c.Standing != catalog.Invalid {
				t.Fatalf("it is %s", c.Standing)
			}
			usual := every - every/4
			if soon := min(every, time.Hour); !reported && (wait < soon*3/4 || wait > soon*5/4) || reported && wait < usual {
				t.Errorf("every %v, reported %v: the next look comes %v after it was found to be bad", every, reported, wait)
			}
			if wait := refused(health.Scheduled); wait < usual {
				t.Errorf("every %v, reported %v: the look after that comes after %v", every, reported, wait)
			}
		}
	}
}

// A refusal whose clock was far ahead does not keep later ones from counting.
func TestF21_ARefusalByAClockThatWasAheadCountsForOneMore(t *testing.T) {
	c := health.Of(keyed("a", 1, 1), start)
	for i, at := range []time.Time{start.Add(24 * time.Hour), start, start.Add(time.Minute), start.Add(2 * time.Minute)} {
		turn := c.Record(health.Finding{Verdict: catalog.Invalid, Reason: health.Refused, At: at}, health.Confirm, time.Hour)
		if last := i == 3; last != (turn == health.Broke) {
			t.Errorf("refusal %d: %v", i+1, turn)
		}
	}
}

// A key of another account in the same place has nothing of the one before.
func TestTheCheckOfAnotherAccountBeginsWithoutHistory(t *testing.T) {
	c := health.Of(keyed("a", 1, 1), start)
	c.Record(health.Finding{Verdict: catalog.Valid, Reason: health.Works, At: start}, health.Scheduled, time.Hour)
	if !c.Follow(keyed("b", 1, 2), start) || len(c.History) != 0 || c.AccountID != "b" || !c.LookedAt().IsZero() {
		t.Errorf("%+v", c)
	}
}

// Where checks are days apart, or off, their rows are looked at daily and
// nobody is asked; what somebody waits for is not put off.
func TestAKeyRestsForAsLongAsItsIntervalSays(t *testing.T) {
	works := health.Finding{Verdict: catalog.Valid, Reason: health.Works, At: start}
	for name, row := range map[string]struct {
		every, later time.Duration
		reported     bool
		rests        bool
	}{
		"weekly, a day later":           {7 * 24 * time.Hour, 24 * time.Hour, false, true},
		"weekly, five days later":       {7 * 24 * time.Hour, 5 * 24 * time.Hour, false, true},
		"weekly, six days later":        {7 * 24 * time.Hour, 6 * 24 * time.Hour, false, false},
		"daily":                         {24 * time.Hour, 20 * time.Hour, false, false},
		"off":                           {0, 1000 * time.Hour, false, true},
		"off, and somebody reported it": {0, 24 * time.Hour, true, false},
	} {
		c := health.Of(keyed("a", 1, 1), start)
		c.Record(works, health.Scheduled, row.every)
		now := start.Add(row.later)
		if row.reported {
			c.ReportedAt = now
		}
		if rests := c.Resting(now, row.every); rests != row.rests {
			t.Errorf("%s: rests %v", name, rests)
		} else if rests && (!c.DueAt.After(now) || c.DueAt.After(now.Add(30*time.Hour))) {
			t.Errorf("%s: rests until %v after", name, c.DueAt.Sub(now))
		}
	}
}
