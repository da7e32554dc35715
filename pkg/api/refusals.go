package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyvend/pkg/ident"
	"keyvend/pkg/keep"
)

// refusals counts requests that were refused before anyone was known. They are
// not logged one by one: a stranger must not be able to fill the log.
type refusals struct {
	clock ident.Clock
	log   *slog.Logger

	mu    sync.Mutex
	since time.Time // of the first that was not told yet; zero: none
	count int
}

// tellEvery is how often the count is told, at most.
const tellEvery = time.Minute

// add counts one refusal, and tells the log how many there were since the first
// one that it was not told of, once that is long enough ago.
func (c *refusals) add(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if c.count == 0 {
		c.since = now
	}
	c.count++
	if now.Sub(c.since) < tellEvery {
		return
	}
	c.log.WarnContext(ctx, "requests refused before authentication", "count", c.count, "since", c.since)
	c.count = 0
}

// strays counts, for each tenant, good widget tokens that came from pages that may
// not use them: one was stolen, or an origin is missing from the tenant's list.
type strays struct {
	clock ident.Clock
	log   *slog.Logger

	mu sync.Mutex
	of *keep.Map[string, stray]
}

// stray is what is known of one tenant's.
type stray struct {
	told  time.Time
	since int // how many there were since then
}

// maxStrays is of how many tenants it is remembered.
const maxStrays = 1024

func newStrays(clock ident.Clock, log *slog.Logger) *strays {
	return &strays{clock: clock, log: log, of: keep.NewMap[string, stray](maxStrays, nil)}
}

// add counts one, and tells the log: of the first at once, of those that follow
// with the next one a minute later.
func (c *strays) add(ctx context.Context, tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	known, seen := c.of.Get(tenant)
	known.since++
	if !seen || now.Sub(known.told).Abs() >= tellEvery {
		c.log.WarnContext(ctx, "widget tokens came from pages whose origin is not listed", "tenant", tenant, "count", known.since)
		known = stray{told: now}
	}
	c.of.Put(tenant, known)
}
