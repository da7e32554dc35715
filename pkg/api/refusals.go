package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyvend/pkg/ident"
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
