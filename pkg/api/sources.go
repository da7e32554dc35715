package api

import (
	"net/netip"
	"sync"
	"time"

	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/keep"
)

const (
	// sourceBurst is how many refusals a source may bring about at once, and
	// sourceRefill the time after which it may bring about one more. It is more
	// than a backend with a wrong key needs to be told so, and of no use for
	// guessing.
	sourceBurst  = 120
	sourceRefill = time.Second
	// maxSources are remembered; beyond that the one that was quiet for longest
	// is forgotten.
	maxSources = 4096
)

// sources keeps strangers from asking again and again: a token bucket for each
// address they come from. Each process has its own, so that the limit of a
// deployment is approximate; the stage's throttle is the exact one.
type sources struct {
	clock ident.Clock

	mu   sync.Mutex
	full *keep.Map[netip.Prefix, time.Time] // when a bucket will be full again
}

func newSources(clock ident.Clock) *sources {
	return &sources{clock: clock, full: keep.NewMap[netip.Prefix, time.Time](maxSources, nil)}
}

// drain takes one refusal out of the bucket of a request's remote address.
func (s *sources) drain(remote string) {
	source, ok := sourceOf(remote)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.full.Put(source, now.Add(min(s.lacks(source, now)+sourceRefill, sourceBurst*sourceRefill)))
}

// rateLimited is the code for those who are not even listened to.
const rateLimited = "rate_limit_exceeded"

// wait says why who comes from remote is not even listened to, nil when he is.
func (s *sources) wait(remote string) error {
	source, ok := sourceOf(remote)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.lacks(source, s.clock.Now()) - (sourceBurst-1)*sourceRefill
	if over <= 0 {
		return nil
	}
	return &fault.Error{
		Kind:       fault.TooMany,
		Code:       rateLimited,
		Message:    "Too many requests without a valid API key came from this address. Wait, and then send one with a valid key.",
		RetryAfter: over,
	}
}

// lacks is how long the bucket of source takes until it is full. One that takes
// longer than an empty one is from before the clock was set back, and forgotten.
func (s *sources) lacks(source netip.Prefix, now time.Time) time.Duration {
	full, _ := s.full.Peek(source)
	lacks := full.Sub(now)
	if lacks < 0 || lacks > sourceBurst*sourceRefill {
		return 0
	}
	return lacks
}

// sourceOf is whom a remote address stands for: an IPv4 address, or the 64 bits
// of an IPv6 address that one network has. ok is false for what is no address:
// nothing is known of where that comes from.
func sourceOf(remote string) (source netip.Prefix, ok bool) {
	withPort, err := netip.ParseAddrPort(remote)
	address := withPort.Addr()
	if err != nil { // API Gateway tells no port
		address, err = netip.ParseAddr(remote)
	}
	if err != nil {
		return source, false
	}
	address = address.Unmap()
	bits := 64
	if address.Is4() {
		bits = 32
	}
	source, err = address.Prefix(bits)
	return source, err == nil
}
