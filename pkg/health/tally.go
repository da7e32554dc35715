package health

import (
	"crypto/rand"
	"slices"
	"time"
)

// Tally remembers when keys were verified before they were stored, so that
// nobody finds out with keyvend which of many stolen keys work. Its JSON form is
// the stored one.
type Tally struct {
	Times []time.Time `json:"times"` // oldest first
	// By is of the last one alone: of two at the same moment, a table would hold the
	// second for a repeat of the first.
	By string `json:"by,omitempty"`

	Revision int64 `json:"-"`
}

// Limit is how many verifications there may be within a time.
type Limit struct {
	Most   int
	Within time.Duration
}

// The limits on verification: of one user for one integration, and of a tenant.
var (
	UserLimits   = []Limit{{5, 10 * time.Minute}, {20, TallyLasts}}
	TenantLimits = []Limit{{100, time.Minute}}
)

// TallyLasts is the longest time that a limit looks back.
const TallyLasts = 24 * time.Hour

// skew is how far the clocks of those who count may differ. What one of them
// counts counts for all, or many verifications at once would be let through.
const skew = time.Minute

// Full is how long it takes until one more is allowed, 0 when it is now.
func (t *Tally) Full(now time.Time, limits []Limit) time.Duration {
	t.Times = slices.DeleteFunc(t.Times, func(at time.Time) bool { return at.After(now.Add(skew)) }) // of a clock that was wrong
	var wait time.Duration
	for _, l := range limits {
		if len(t.Times) < l.Most {
			continue
		}
		until := t.Times[len(t.Times)-l.Most].Add(l.Within)
		wait = max(wait, until.Sub(now))
	}
	return wait
}

// Add counts one more, and forgets what no limit looks back to.
func (t *Tally) Add(now time.Time, limits []Limit) {
	most := 0
	for _, l := range limits {
		most = max(most, l.Most)
	}
	kept := t.Times[max(0, len(t.Times)-most+1):]
	t.Times, t.By = append(slices.Clone(kept), now), rand.Text()
	slices.SortFunc(t.Times, time.Time.Compare)
}
