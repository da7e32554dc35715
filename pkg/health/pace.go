package health

import (
	"time"

	"keyvend/pkg/integration"
)

// Pace spreads the questions to one provider over time: nobody may ask but in a
// slot that was reserved. Its JSON form is the stored one.
type Pace struct {
	Next time.Time `json:"next"` // the first slot that is free

	Revision int64 `json:"-"`
}

// Reserve takes n slots, gap apart, from now on, none before the given time, and
// returns the first.
func (p *Pace) Reserve(now, notBefore time.Time, n int, gap time.Duration) time.Time {
	first := p.Next
	for _, t := range []time.Time{now, notBefore} {
		if first.Before(t) {
			first = t
		}
	}
	p.Next = first.Add(time.Duration(n) * gap)
	return first
}

// Of the questions that a provider may be asked in a minute three quarters are
// for the schedule, the rest for what people ask for.
const (
	scheduledShare = 3
	askedShare     = 1
	shares         = scheduledShare + askedShare
)

// ScheduledGap is the time between two scheduled questions to a provider that
// may be asked so often a minute.
func ScheduledGap(perMinute int) time.Duration {
	return time.Minute * shares / scheduledShare / time.Duration(perMinute)
}

// AskedGap is the time between two questions that somebody waits for, and slack
// how far behind the present their slots may lie: some may be asked at once. Even
// so none of them is one too many of any minute.
func AskedGap(perMinute int) (gap, slack time.Duration) {
	asked := perMinute * askedShare / shares
	atOnce := asked / 2
	if atOnce < 2 {
		return time.Minute * shares / askedShare / time.Duration(perMinute), 0
	}
	gap = time.Minute / time.Duration(asked-atOnce)
	return gap, time.Duration(atOnce-1) * gap
}

// ProviderKey names whose pace and breaker an integration has: the provider's,
// over all tenants, or its own when the tenant defined the provider.
func ProviderKey(in *integration.Integration) string {
	if in.Custom == nil {
		return in.Slug
	}
	return in.Tenant + "/" + in.Slug
}

// Breaker keeps keyvend from asking a provider that has trouble. Its JSON form is
// the stored one.
type Breaker struct {
	Failures  int       `json:"failures"` // in a row
	OpenUntil time.Time `json:"open_until,omitzero"`

	Revision int64 `json:"-"`
}

const (
	tolerated  = 5 // failures in a row before the provider is left alone
	firstPause = time.Minute
	maxPause   = time.Hour
)

// Record takes a finding into account and reports whether that changed the
// breaker.
func (b *Breaker) Record(f Finding) bool {
	if !f.Strained() {
		changed := b.Failures > 0
		b.Failures, b.OpenUntil = 0, time.Time{}
		return changed
	}
	if b.OpenUntil.After(f.At) {
		return false // an answer to a question that was on its way already
	}
	b.Failures++
	if b.Failures < tolerated && f.RetryAfter == 0 {
		return true
	}
	pause := min(firstPause<<min(max(b.Failures-tolerated, 0), 10), maxPause)
	if f.Reason == RateLimited {
		pause = max(pause, min(f.RetryAfter, maxPause))
	}
	if until := f.At.Add(pause); until.After(b.OpenUntil) {
		b.OpenUntil = until
	}
	return true
}
