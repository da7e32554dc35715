package feed

import (
	"context"
	"errors"
	"time"

	"keyvend/pkg/table"
)

const (
	followBatch = 100                   // changes at a time
	followIdle  = 50 * time.Millisecond // between looks at a feed that had nothing
	followPause = time.Second           // after a failure
)

// Follow works through a feed until ctx ends. A step that was begun is finished
// then: cut off, it would look like a fault, and send some events twice.
func (o *Outbox) Follow(ctx context.Context, feed table.Feed) {
	for ctx.Err() == nil {
		wait := time.Duration(0)
		switch n, err := o.Step(context.WithoutCancel(ctx), feed); {
		case err != nil:
			o.Log.ErrorContext(ctx, "the change feed", "error", err)
			wait = followPause
		case n == 0:
			wait = followIdle
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

var errHeld = errors.New("feed: changes have to be delivered again")

// Step works through the next changes of a feed and returns how many it is done
// with. After an error the same changes come again.
func (o *Outbox) Step(ctx context.Context, feed table.Feed) (done int, err error) {
	changes, err := feed.Changes(ctx, followBatch)
	var unread *table.ChangeError
	switch {
	case errors.As(err, &unread):
		if err := o.setAside(ctx, delivery{}, unread); err != nil {
			return 0, err
		}
		return 1, feed.Acknowledge(ctx, table.Change{ID: unread.ID})
	case errors.Is(err, table.ErrGap):
		o.Log.ErrorContext(ctx, "changes were lost before they were read", "alarm", "feed_gap", "error", err)
		return 1, nil // behind the gap
	case err != nil || len(changes) == 0:
		return 0, err
	}
	deliveries := make([]delivery, len(changes))
	for i, c := range changes {
		deliveries[i] = delivery{change: c, sequence: c.ID}
	}
	done = o.work(ctx, deliveries)
	if done > 0 {
		err = feed.Acknowledge(ctx, changes[done-1])
	}
	if err == nil && done < len(changes) {
		err = errHeld
	}
	return done, err
}
