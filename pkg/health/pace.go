package health

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"keyvend/pkg/integration"
)

// Lane is for whom slots of a provider are.
type Lane string

// The lanes. Of each four slots three are for the schedule, and one is for what
// people ask for.
const (
	ScheduledLane Lane = "PACE"
	AskedLane     Lane = "ASKED"
)

const shares = 4

// owns reports whether the slot of that number is one of the lane's.
func (l Lane) owns(number int64) bool {
	return (l == AskedLane) == (number%shares == shares-1)
}

// Slack is how long after its slot a provider may still be asked; half as long
// before it may do so who comes early, or by a clock that is ahead. Slots are so far
// apart that even then, whatever comes early and whatever late, no minute has more
// questions than the provider may be asked.
const (
	Slack = 20 * time.Second
	early = Slack / 2
)

// gap is the time between two slots of a provider that may be asked so often a
// minute.
func gap(perMinute int) time.Duration {
	n := time.Duration(perMinute)
	return (early + time.Minute + Slack + n - 1) / n
}

// Usable reports whether a provider may be asked in a slot now. One that lies far
// ahead is of a clock that was wrong.
func Usable(slot, now time.Time) bool {
	late := now.Sub(slot)
	return -early <= late && late <= Slack
}

// Reachable is the oldest slot that whoever sets out now can use.
func Reachable(now time.Time) time.Time { return now.Add(-early) }

// Pace says which slots of a provider's lane are taken: nobody may ask but in a
// slot that was reserved. Its JSON form is the stored one.
type Pace struct {
	Next time.Time `json:"next"` // no slot from here on is taken
	// From is when the last reservation began, by the clock of whoever made it.
	From time.Time `json:"from,omitzero"`
	// Ahead are the slots from then on, in unix seconds, that each tenant has of a
	// lane of which none may have all.
	Ahead map[string][]int64 `json:"ahead,omitempty"`
	// By is of the last reservation alone: of two that take the same slots at once,
	// a table would hold the second for a repeat of the first.
	By string `json:"by,omitempty"`

	Revision int64 `json:"-"`
}

// astray is how far one reservation may begin behind the one before it: a provider
// that has trouble is left alone for an hour at most.
const astray = 2 * time.Hour

// Reserve takes the lane's next n slots, none before from and none after until:
// there may be fewer of them.
func (p *Pace) Reserve(l Lane, perMinute, n int, from, until time.Time) []time.Time {
	p.forget(from)
	p.From = from
	if p.Next.After(from) {
		from = p.Next
	}
	step := int64(gap(perMinute))
	var slots []time.Time
	for number := (from.UnixNano() + step - 1) / step; len(slots) < n; number++ {
		slot := time.Unix(0, number*step).UTC()
		if slot.After(until) {
			break
		}
		if l.owns(number) {
			slots = append(slots, slot)
			p.Next = slot.Add(1)
		}
	}
	p.By = rand.Text()
	return slots
}

// forget gives back what was taken by a clock that was ahead.
func (p *Pace) forget(now time.Time) {
	if p.From.After(now.Add(astray)) {
		p.Next, p.From, p.Ahead = time.Time{}, time.Time{}, nil
	}
}

// ReserveFor takes the lane's next slot for a tenant, none before from and none
// after until; zero is none. Of what people ask for, a tenant has only his share of
// the slots ahead, so that one who asks for very much leaves others some.
func (p *Pace) ReserveFor(tenant string, l Lane, perMinute int, from, until time.Time) time.Time {
	p.forget(from)
	p.prune(from)
	shared := l == AskedLane && tenant != ""
	if shared && len(p.Ahead[tenant]) >= p.share(tenant, perMinute) {
		return time.Time{}
	}
	slots := p.Reserve(l, perMinute, 1, from, until)
	if len(slots) == 0 {
		return time.Time{}
	}
	if shared {
		p.Ahead[tenant] = append(p.Ahead[tenant], slots[0].Unix())
	}
	return slots[0]
}

// firstLooks is which part of his share of the slots for what people ask for a tenant
// may have ahead for first looks of the schedule's.
const firstLooks = 4

// ReserveFirst is ReserveFor, of the slots for what people ask for, for the first look
// at a key that would come late on schedule. Most of the tenant's share is left for
// what is asked for.
func (p *Pace) ReserveFirst(tenant string, perMinute int, from, until time.Time) time.Time {
	p.forget(from)
	p.prune(from)
	if len(p.Ahead[tenant]) >= max(1, p.share(tenant, perMinute)/firstLooks) {
		return time.Time{}
	}
	return p.ReserveFor(tenant, AskedLane, perMinute, from, until)
}

// prune leaves the slots of Ahead that are still ahead.
func (p *Pace) prune(now time.Time) {
	ahead := map[string][]int64{}
	for tenant, slots := range p.Ahead {
		slots = slices.DeleteFunc(slices.Clone(slots), func(slot int64) bool { return slot < now.Unix() })
		if len(slots) > 0 {
			ahead[tenant] = slots
		}
	}
	p.Ahead = ahead
}

// AskedAhead is how far ahead slots of what people ask for are taken.
const AskedAhead = 15 * time.Minute

// share is how many slots ahead a tenant may have: as if there were one tenant more
// than there are with slots ahead.
func (p *Pace) share(tenant string, perMinute int) int {
	others := len(p.Ahead)
	if len(p.Ahead[tenant]) > 0 {
		others--
	}
	all := int(AskedAhead / (shares * gap(perMinute)))
	return max(1, all/(others+2))
}

// ProviderKey names whose pace and breaker an integration has: the provider's,
// over all tenants, or its own when the tenant defined the provider.
func ProviderKey(in *integration.Integration) string {
	if in.Custom == nil {
		return in.Slug
	}
	return in.Tenant + "/" + in.Slug
}

// Place is what a breaker is of: a provider, or one host of a provider whose hosts
// accounts name.
type Place struct {
	Provider string // as ProviderKey names it
	Host     string // "" is the provider
}

// Places are those whose breakers a finding is told to. Trouble is the host's alone
// that was asked, so that no account's host keeps keys of others from being looked at.
// What it says of keys also tells of the provider, most of whose hosts may be of one
// account each.
func Places(in *integration.Integration, f Finding) []Place {
	whole := Place{Provider: ProviderKey(in)}
	host := Place{whole.Provider, f.Host}
	switch {
	case f.Host == "":
		return []Place{whole}
	case f.Strained():
		return []Place{host}
	default:
		return []Place{host, whole}
	}
}

// Breaker keeps keyvend from asking a provider that has trouble, and from believing
// one that refuses every key. Its JSON form is the stored one.
type Breaker struct {
	Failures  int       `json:"failures"` // in a row
	OpenUntil time.Time `json:"open_until,omitzero"`
	Doubt     Doubt     `json:"doubt,omitzero"`
	// Own are doubts of the tenants that share the provider, each for his keys alone.
	Own map[string]Doubt `json:"own,omitempty"`
	By  string           `json:"by,omitempty"` // as in Pace

	Revision int64 `json:"-"`
}

const (
	tolerated  = 5 // failures in a row before the provider is left alone
	warned     = 3 // of them when it asks for a pause itself, which may be about one key
	firstPause = time.Minute
	maxPause   = time.Hour
)

// Learn takes a finding about a key into account and reports whether that changed
// the breaker. worked: the key was good until then.
func (b *Breaker) Learn(f Finding, of Refusal, worked bool) bool {
	b.By = rand.Text()
	changed := b.Record(f)
	forAll := b.Doubt.Record(f, of, worked)
	own := b.learnOwn(f, of, worked)
	return changed || forAll || own
}

// learnOwn is Learn for the doubts that tenants have of their own. None begins while
// the provider is doubted for all, or once that ran its time.
func (b *Breaker) learnOwn(f Finding, of Refusal, worked bool) (changed bool) {
	if of.Tenant == "" {
		return false
	}
	worked = worked && !b.Doubt.settled(f.At)
	own := map[string]Doubt{of.Tenant: {}}
	maps.Copy(own, b.Own)
	for tenant, d := range own {
		changed = d.Record(f, Refusal{Account: of.Account}, worked && tenant == of.Tenant) || changed
		own[tenant] = d
	}
	if changed {
		maps.DeleteFunc(own, func(_ string, d Doubt) bool { return d.over(f.At) })
		b.Own = own
	}
	return changed
}

// Doubted reports whether refusals of a tenant's keys say nothing at that time.
func (b *Breaker) Doubted(tenant string, at time.Time) bool {
	own := b.Own[tenant]
	return b.Doubt.Holds(at) || own.Holds(at)
}

// Ends is when nothing of it means anything any more, if it is told nothing else
// from now on.
func (b *Breaker) Ends(now time.Time) time.Time {
	ends := now.Add(astray)
	for _, d := range append(slices.Collect(maps.Values(b.Own)), b.Doubt) {
		if again := d.Until.Add(doubtAgain); !d.Until.IsZero() && again.After(ends) {
			ends = again
		}
	}
	return ends
}

// Record takes into account whether a finding tells of trouble, and reports whether
// that changed the breaker.
func (b *Breaker) Record(f Finding) bool {
	if !f.Strained() {
		changed := b.Failures > 0
		b.Failures, b.OpenUntil = 0, time.Time{}
		return changed
	}
	if !b.Pause(f.At).IsZero() {
		return false // an answer to a question that was on its way already
	}
	b.Failures++
	if b.Failures < warned || b.Failures < tolerated && f.RetryAfter == 0 {
		return true
	}
	pause := min(firstPause<<min(max(b.Failures-tolerated, 0), 10), maxPause)
	if f.Reason == RateLimited {
		pause = max(pause, min(f.RetryAfter, maxPause))
	}
	b.OpenUntil = f.At.Add(pause)
	return true
}

// Pause is until when the provider is left alone, zero when it may be asked. A
// pause that is longer than any is of a clock that was ahead.
func (b *Breaker) Pause(now time.Time) time.Time {
	if left := b.OpenUntil.Sub(now); left <= 0 || left > astray {
		return time.Time{}
	}
	return b.OpenUntil
}
