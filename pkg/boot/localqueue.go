package boot

import (
	"context"
	"errors"
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
	ready chan delivery
	clock ident.Clock
	pause time.Duration // until what could not be done is tried again
}

// delivery is a request and how often it has failed.
type delivery struct {
	vault.CheckRequest
	failed int
}

const (
	queued     = 100_000 // requests whose time has come, at most
	workers    = 8
	deliveries = 5 // of one request
	retryPause = 5 * time.Second
)

var errQueueFull = errors.New("boot: the queue of checks is full")

func newLocalQueue(clock ident.Clock) *localQueue {
	return &localQueue{ready: make(chan delivery, queued), clock: clock, pause: retryPause}
}

// Send implements vault.CheckQueue.
func (q *localQueue) Send(_ context.Context, requests []vault.CheckRequest) []error {
	errs := make([]error, len(requests))
	for i, r := range requests {
		d := delivery{CheckRequest: r}
		if wait := r.Slot.Sub(q.clock.Now()); wait > 0 {
			q.after(wait, d)
		} else if !q.put(d) {
			errs[i] = errQueueFull
		}
	}
	return errs
}

// after queues a request when some time has passed and there is room.
func (q *localQueue) after(wait time.Duration, d delivery) {
	time.AfterFunc(wait, func() {
		if !q.put(d) {
			q.after(q.pause, d)
		}
	})
}

// put queues a request if there is room.
func (q *localQueue) put(d delivery) bool {
	select {
	case q.ready <- d:
		return true
	default:
		return false
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
				case d := <-q.ready:
					q.check(ctx, check, d, log)
				}
			}
		})
	}
	wait.Wait()
}

// check has one check made, and puts it back if it fails, some times.
func (q *localQueue) check(ctx context.Context, check func(context.Context, vault.CheckRequest) error, d delivery, log *slog.Logger) {
	err := check(ctx, d.CheckRequest)
	if err == nil || ctx.Err() != nil {
		return
	}
	if d.failed++; d.failed == deliveries {
		log.ErrorContext(ctx, "a check was not made", "slug", d.Slug, "user", d.User, "error", err)
		return
	}
	log.WarnContext(ctx, "a check failed and is made again", "slug", d.Slug, "user", d.User, "error", err)
	q.after(q.pause, d)
}
