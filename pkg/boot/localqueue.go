package boot

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyvend/pkg/ident"
	"keyvend/pkg/vault"
)

// localQueue is the queue of checks of one process. What is on it when the
// process ends is lost, as are messages of a worker that dies: the leases of
// checks end, and the schedule finds them again.
type localQueue struct {
	ready chan vault.CheckRequest
	clock ident.Clock
}

const (
	queued  = 100_000 // requests at most
	workers = 8
)

func newLocalQueue(clock ident.Clock) *localQueue {
	return &localQueue{ready: make(chan vault.CheckRequest, queued), clock: clock}
}

// Send implements vault.CheckQueue.
func (q *localQueue) Send(_ context.Context, requests []vault.CheckRequest) []error {
	errs := make([]error, len(requests))
	for _, r := range requests {
		q.after(max(r.Slot.Sub(q.clock.Now()), 0), r)
	}
	return errs
}

func (q *localQueue) after(wait time.Duration, r vault.CheckRequest) {
	if wait > 0 {
		time.AfterFunc(wait, func() { q.after(0, r) })
		return
	}
	select {
	case q.ready <- r:
	default: // it is full, and the lease ends
	}
}

// work has checks made until ctx ends and those that were begun are over.
func (q *localQueue) work(ctx context.Context, check func(context.Context, vault.CheckRequest) error, log *slog.Logger) {
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case r := <-q.ready:
					q.check(ctx, check, r, log)
				}
			}
		})
	}
	wait.Wait()
}

func (q *localQueue) check(ctx context.Context, check func(context.Context, vault.CheckRequest) error, r vault.CheckRequest, log *slog.Logger) {
	if err := check(ctx, r); err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "a check was not made", "slug", r.Slug, "user", r.User, "error", err)
	}
}
