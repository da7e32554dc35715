package health

import (
	crand "crypto/rand"
	"math/rand/v2"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
)

// Cause is why a key was looked at.
type Cause string

// The causes.
const (
	Scheduled Cause = "schedule" // its time had come
	Asked     Cause = "request"  // an operator asked for it
	Report    Cause = "report"   // somebody reported that the provider refused it
	Confirm   Cause = "confirm"  // it was refused once
	Save      Cause = "save"     // it was about to be stored
)

// Check is the row of what is known of an account's key. It is small and apart
// from the account's, so that a lease neither fights an upsert nor floods the
// feed. Its JSON form is the stored one.
type Check struct {
	Tenant string        `json:"-"` // as in the row's key
	Slug   string        `json:"-"` // as in the row's key
	Owner  account.Owner `json:"-"` // as in the row's key

	AccountID     string `json:"account_id"`
	IntegrationID string `json:"integration_id"`
	SecretID      string `json:"secret_id"` // what all but the history is about
	// Seen is the account's revision that named the secret. Older news of the
	// account, which a feed may deliver again, change nothing.
	Seen int64 `json:"seen"`

	Verdict    Verdict   `json:"verdict,omitempty"` // of the last look; "" before the first
	Reason     Reason    `json:"reason,omitempty"`
	CheckedAt  time.Time `json:"checked_at,omitzero"`
	Standing   Verdict   `json:"standing,omitempty"` // the last verdict that was not Unknown
	LastGoodAt time.Time `json:"last_good_at,omitzero"`
	FirstBadAt time.Time `json:"first_bad_at,omitzero"` // since when it has been refused
	Unknowns   int       `json:"unknowns,omitempty"`    // looks in a row that found nothing
	RefusedAt  time.Time `json:"refused_at,omitzero"`   // a refusal that waits for a second one
	ReportedAt time.Time `json:"reported_at,omitzero"`  // a report that waits for a look
	RemarkedAt time.Time `json:"remarked_at,omitzero"`  // the last report that was told of, since no look can confirm it
	AwaitedAt  time.Time `json:"awaited_at,omitzero"`   // the slot of a look that somebody asked for
	Host       string    `json:"host,omitempty"`        // a finding's Host, of the last look
	History    []Entry   `json:"history,omitempty"`     // newest first, of all the account's keys

	// DueAt is when the key is to be looked at; zero is never. To lease a check
	// is to put it off for as long as the lease lasts.
	DueAt time.Time `json:"due_at,omitzero"`
	// Slotted: DueAt is a slot in its provider's pace that was reserved for it.
	Slotted bool `json:"slotted,omitempty"`
	Tries   int  `json:"tries,omitempty"` // leases since the last finding
	// By is of the last lease alone: of two at once for the same slot, a table would
	// hold the second for a repeat of the first.
	By string `json:"by,omitempty"`

	Revision int64 `json:"-"`
	// Damaged: the row is there and cannot be read. Nothing is known but its key.
	Damaged bool `json:"-"`
}

// Entry is one look in a check's history.
type Entry struct {
	Verdict  Verdict   `json:"verdict"`
	Reason   Reason    `json:"reason"`
	At       time.Time `json:"at"`
	Cause    Cause     `json:"cause"`
	SecretID string    `json:"secret_id"`
}

const (
	remembered = 20              // entries of a history
	apart      = 2 * time.Minute // between two refusals that count as two
	reportHeld = time.Hour       // how long a report waits for the look that confirms it
	remarkHeld = time.Hour       // how long further reports are part of one that was told of
	recheck    = 5 * time.Minute // until the first look after one that found nothing
	appeal     = time.Hour       // until the look after the one that found a key to be bad
	jitter     = 0.25            // of an interval, to either side
	// LookAgain is how long no check is left alone, so that a shorter interval is
	// noticed.
	LookAgain = 24 * time.Hour
	// Lease is how long a worker has to come to a finding; then the check is
	// anybody's again. Each further lease lasts twice as long, so that no outage of
	// some hours uses up all tries.
	Lease = 5 * time.Minute
	// MaxTries is how often a check is leased without a finding before it is left
	// for an operator.
	MaxTries = 5
)

// Of makes the check of an account's current secret, due now.
func Of(a *account.Account, now time.Time) *Check {
	c := &Check{Tenant: a.Tenant, Slug: a.Slug, Owner: a.Owner}
	c.Follow(a, now)
	return c
}

// Follow takes note of an account's row, and reports whether that changes
// anything: whether it is of another secret than the one that was known.
func (c *Check) Follow(a *account.Account, now time.Time) bool {
	s := a.Secrets[account.Current]
	if a.Revision <= c.Seen || c.AccountID == a.ID && c.SecretID == s.ID {
		return false
	}
	next := Check{
		Tenant: c.Tenant, Slug: c.Slug, Owner: c.Owner, Revision: c.Revision,
		AccountID: a.ID, IntegrationID: a.IntegrationID, SecretID: s.ID, Seen: a.Revision,
		DueAt: now,
	}
	if c.AccountID == a.ID {
		next.History = c.History
		if c.HasSlot(now) { // a later one is all that it would get
			next.DueAt, next.Slotted = c.DueAt, true
		}
	}
	*c = next
	return true
}

// Adopt records what the provider said of the account's secret before it was
// stored, if it was asked.
func (c *Check) Adopt(a *account.Account, every time.Duration) {
	if said := a.Secrets[account.Current].Verified; said != nil {
		c.Record(Finding{Verdict: Verdict(said.Verdict), Reason: Reason(said.Reason), At: said.At}, Save, every)
	}
}

// Turn is what a finding changes for whoever depends on the key.
type Turn int

// The turns.
const (
	Steady Turn = iota
	Broke       // it works no longer, as of this finding
	Mended      // it works again
)

// Record takes a finding into account. every is the time between checks, 0 when
// there are none on schedule.
func (c *Check) Record(f Finding, cause Cause, every time.Duration) Turn {
	c.Host = f.Host
	f = c.weigh(c.sure(f))
	c.Verdict, c.Reason, c.CheckedAt, c.Tries, c.By = f.Verdict, f.Reason, f.At, 0, ""
	entry := Entry{f.Verdict, f.Reason, f.At, cause, c.SecretID}
	c.History = append([]Entry{entry}, c.History[:min(len(c.History), remembered-1)]...)
	turn := c.stand(f)
	c.DueAt, c.Slotted = f.At.Add(c.until(f, every)), false
	if f.Reason == NoCheck {
		c.DueAt = time.Time{}
	}
	if f.Definite() { // a look that was asked for before is wanted no more
		c.AwaitedAt = time.Time{}
	}
	return turn
}

// sure makes of a refusal at an assumed address a real one, if the same key has
// been taken at the same address before.
func (c *Check) sure(f Finding) Finding {
	if f.Reason == RefusedThere && c.Worked() {
		f.Verdict, f.Reason = catalog.Invalid, Refused
	}
	return f
}

// Worked reports whether the key was good when something was known of it last.
func (c *Check) Worked() bool { return c.Standing == catalog.Valid || c.Standing == catalog.Limited }

// weigh makes of a refusal that stands alone what it is: nothing definite yet.
// It counts when it is the second, minutes after the first, or when somebody
// else saw the provider refuse the key.
func (c *Check) weigh(f Finding) Finding {
	switch {
	case f.Verdict == Unknown:
		return f
	case f.Verdict != catalog.Invalid:
		c.RefusedAt, c.ReportedAt = time.Time{}, time.Time{}
		return f
	case c.Standing == catalog.Invalid, c.reported(f.At):
		c.RefusedAt, c.ReportedAt = time.Time{}, time.Time{}
		return f
	case f.Doubted:
		return Finding{Verdict: Unknown, Reason: Doubted, At: f.At}
	case c.RefusedAt.IsZero(), c.RefusedAt.After(f.At): // by a clock that was ahead
		c.RefusedAt = f.At
	case f.At.Sub(c.RefusedAt) >= apart:
		c.RefusedAt, c.ReportedAt = time.Time{}, time.Time{}
		return f
	}
	return Finding{Verdict: Unknown, Reason: RefusedOnce, At: f.At}
}

// Concede has a refusal count that stood alone, if it was seen since the key was
// reported at that time: whichever look saw it, the report waits for no other.
func (c *Check) Concede(reported time.Time, every time.Duration) (turn Turn, conceded bool) {
	seen := c.RefusedAt
	if c.Reason == RefusedOnce || c.Reason == Doubted {
		seen = c.CheckedAt
	}
	if since := seen.Sub(reported); since <= 0 || since >= reportHeld {
		return Steady, false
	}
	c.ReportedAt = reported
	return c.Record(Finding{Verdict: catalog.Invalid, Reason: Refused, At: seen, Host: c.Host}, Report, every), true
}

// stand moves what is known for certain.
func (c *Check) stand(f Finding) Turn {
	before := c.Standing
	switch f.Verdict {
	case Unknown:
		c.Unknowns++
		return Steady
	case catalog.Invalid:
		c.Standing, c.Unknowns = f.Verdict, 0
		if before != catalog.Invalid {
			c.FirstBadAt = f.At
			return Broke
		}
	default:
		c.Standing, c.Unknowns = f.Verdict, 0
		c.LastGoodAt, c.FirstBadAt = f.At, time.Time{}
		if before == catalog.Invalid {
			return Mended
		}
	}
	return Steady
}

// until is how long after a finding the next look is due.
func (c *Check) until(f Finding, every time.Duration) time.Duration {
	if f.Reason == RefusedOnce {
		return apart + time.Duration(rand.Int64N(int64(apart))) //nolint:gosec // spreads work, keeps no secret
	}
	wait := every
	if every == 0 {
		wait = LookAgain
	}
	if c.fresh() {
		wait = min(wait, appeal)
	}
	if f.Strained() {
		wait = min(wait, recheck<<min(max(c.Unknowns-1, 0), 10))
	}
	return min(max(spread(wait), f.RetryAfter), LookAgain+LookAgain/4)
}

// fresh reports whether the last look found the key to be bad, as nobody had known
// or reported: then its provider may have had a bad day.
func (c *Check) fresh() bool {
	return c.Verdict == catalog.Invalid && c.FirstBadAt.Equal(c.CheckedAt) && c.History[0].Cause != Report
}

func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64())) //nolint:gosec // spreads work, keeps no secret
}

// NextLook is when the key is asked about next if nothing happens, zero when it
// is not.
func (c *Check) NextLook(every time.Duration) time.Time {
	if c.Why(c.DueAt) != Scheduled {
		return c.DueAt
	}
	if every == 0 {
		return time.Time{}
	}
	if rest := c.resting(every); rest.After(c.DueAt) {
		return rest
	}
	return c.DueAt
}

// resting is until when a key that was looked at is left alone, where checks are
// further apart than looks at their rows.
func (c *Check) resting(every time.Duration) time.Time {
	if every <= LookAgain || c.CheckedAt.IsZero() || c.Verdict == Unknown || c.fresh() {
		return time.Time{}
	}
	return c.CheckedAt.Add(every - every/4)
}

// Resting reports whether a due check needs no asking yet, and puts it off.
func (c *Check) Resting(now time.Time, every time.Duration) bool {
	rest := c.resting(every)
	switch {
	case c.Why(now) != Scheduled: // somebody waits for it
		return false
	case every == 0:
		rest = now.Add(LookAgain)
	case !rest.After(now):
		return false
	}
	c.DueAt, c.Slotted = now.Add(min(rest.Sub(now), spread(LookAgain))), false
	return true
}

// Why is the cause of a look at that time: Scheduled, unless somebody waits for it.
func (c *Check) Why(at time.Time) Cause {
	switch {
	case c.reported(at):
		return Report
	case !c.RefusedAt.IsZero():
		return Confirm
	default:
		return Scheduled
	}
}

// reported reports whether a report waits for a look at that time.
func (c *Check) reported(at time.Time) bool {
	return !c.ReportedAt.IsZero() && at.Sub(c.ReportedAt).Abs() < reportHeld
}

// Awaited reports whether a look that somebody asked for has a slot ahead. One
// that is further ahead than any is of a clock that was wrong.
func (c *Check) Awaited(now time.Time) bool {
	ahead := c.AwaitedAt.Sub(now)
	return 0 < ahead && ahead <= AskedAhead
}

// Remarked reports whether a report at that time has been told of already, with
// an earlier one.
func (c *Check) Remarked(at time.Time) bool {
	return !c.RemarkedAt.IsZero() && at.Sub(c.RemarkedAt).Abs() < remarkHeld
}

// Early reports whether a look now could not confirm the refusal that waits for
// a second one.
func (c *Check) Early(now time.Time) bool {
	since := now.Sub(c.RefusedAt)
	return !c.RefusedAt.IsZero() && c.ReportedAt.IsZero() && 0 <= since && since < apart
}

// Take leases the check for a look at the given time.
func (c *Check) Take(at time.Time) {
	c.DueAt, c.Slotted = at.Add(Lease<<min(max(c.Tries, 0), MaxTries)), false
	c.Tries++
	c.By = crand.Text()
}

// GiveBack ends a lease without a look; the next is due at the given time.
func (c *Check) GiveBack(due time.Time) {
	c.DueAt, c.Slotted = due, false
	c.Tries--
}

// PutOff keeps a slot for the check.
func (c *Check) PutOff(slot time.Time) { c.DueAt, c.Slotted = slot, true }

// Wait has the check wait for its provider to have slots again, about that long.
func (c *Check) Wait(now time.Time, about time.Duration) {
	c.DueAt, c.Slotted = now.Add(spread(about)), false
}

// HasSlot reports whether the check has a slot in its provider's pace, now or
// later. If those that were missed counted, they would all be used at once.
func (c *Check) HasSlot(now time.Time) bool {
	return c.Slotted && !c.DueAt.Before(Reachable(now))
}

// LookedAt is when one of the account's keys was last looked at, zero for never.
func (c *Check) LookedAt() time.Time {
	if len(c.History) == 0 {
		return time.Time{}
	}
	return c.History[0].At
}
