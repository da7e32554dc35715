package health

import (
	"slices"
	"time"

	"keyvend/pkg/catalog"
)

// Doubt is whether a provider's refusals count: one that refuses many keys at once
// that worked, and takes none, has a bad day rather than they. Its JSON form is
// the stored one.
type Doubt struct {
	Refused []string  `json:"refused,omitempty"` // accounts, since a key was taken last
	At      time.Time `json:"at,omitzero"`       // when the last of them was refused
	// Until is until when refusals say nothing. Once it has passed, without a key
	// that was taken, they count for a day.
	Until time.Time `json:"until,omitzero"`
}

const (
	doubtAfter = 5                // keys that worked and are refused
	together   = 15 * time.Minute // at most, from one refusal of those to the next
	doubtLasts = time.Hour        // at most: then the keys are bad after all
	doubtAgain = 24 * time.Hour   // after a doubt that ran its time
)

// Record takes a finding about the key of an account into account, and reports
// whether that changed anything. worked: the key was good until then.
func (d *Doubt) Record(f Finding, account string, worked bool) (changed bool) {
	switch {
	case f.Verdict == catalog.Valid, f.Verdict == catalog.Limited:
		ends := f.At.Before(d.Until)
		changed = len(d.Refused) > 0 || ends
		d.Refused = nil
		if ends { // and may come again
			*d = Doubt{}
		}
		return changed
	case !worked || f.Reason != Refused && f.Reason != RefusedThere:
		return false
	case !d.Until.IsZero():
		if f.At.Sub(d.Until).Abs() < doubtAgain {
			return false
		}
		*d = Doubt{}
	case f.At.Sub(d.At).Abs() > together:
		*d = Doubt{}
	}
	if slices.Contains(d.Refused, account) {
		return false
	}
	d.Refused, d.At = append(d.Refused, account), f.At
	if len(d.Refused) == doubtAfter {
		d.Until = f.At.Add(doubtLasts)
	}
	return true
}

// Holds reports whether refusals say nothing at that time.
func (d *Doubt) Holds(at time.Time) bool {
	left := d.Until.Sub(at)
	return 0 < left && left <= doubtLasts // one that ends later is of a clock that was ahead
}
