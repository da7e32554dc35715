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
	Refused []Refusal `json:"refused,omitempty"` // since a key was taken last, one of an account
	At      time.Time `json:"at,omitzero"`       // when the last of them was refused
	// Until is until when refusals say nothing. Once it has passed, without a key
	// that was taken, they count for a day.
	Until time.Time `json:"until,omitzero"`
}

// Refusal is of a key that worked.
type Refusal struct {
	Tenant  string `json:"tenant,omitempty"` // "" where the provider is one tenant's alone
	Account string `json:"account"`
}

const (
	doubtAfter = 5                // keys that worked and are refused
	ofOne      = 3                // at most, of one of the tenants that share a provider
	together   = 15 * time.Minute // at most, from one refusal of those to the next
	doubtLasts = time.Hour        // at most: then the keys are bad after all
	doubtAgain = 24 * time.Hour   // after a doubt that ran its time
)

// Record takes a finding about a key into account, and reports whether that changed
// anything. worked: the key was good until then.
func (d *Doubt) Record(f Finding, of Refusal, worked bool) (changed bool) {
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
	case d.settled(f.At):
		return false
	case !d.Until.IsZero(), f.At.Sub(d.At).Abs() > together:
		*d = Doubt{}
	}
	if slices.Contains(d.Refused, of) || d.full(of.Tenant) {
		return false
	}
	d.Refused, d.At = append(d.Refused, of), f.At
	if len(d.Refused) == doubtAfter {
		d.Until = f.At.Add(doubtLasts)
	}
	return true
}

// full reports whether as many refusals of the tenant are counted as may be.
func (d *Doubt) full(tenant string) bool {
	n := 0
	for _, r := range d.Refused {
		if r.Tenant == tenant {
			n++
		}
	}
	return tenant != "" && n >= ofOne
}

// settled reports whether no other doubt can begin at that time.
func (d *Doubt) settled(at time.Time) bool {
	return !d.Until.IsZero() && at.Sub(d.Until).Abs() < doubtAgain
}

// over reports whether nothing of it counts any more at that time.
func (d *Doubt) over(at time.Time) bool {
	return !d.settled(at) && (len(d.Refused) == 0 || at.Sub(d.At).Abs() > together)
}

// Holds reports whether refusals say nothing at that time.
func (d *Doubt) Holds(at time.Time) bool {
	left := d.Until.Sub(at)
	return 0 < left && left <= doubtLasts // one that ends later is of a clock that was ahead
}
