package tabletest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"keyvend/pkg/table"
)

// Repeating is a feed that delivers everything twice, as a feed may after a
// crash: changes that were acknowledged for the first time come again, once and
// before all others. A repeat that nobody read, and an acknowledgement of what
// was not returned, fail the test.
type Repeating struct {
	t     testing.TB
	inner table.Feed

	mu     sync.Mutex
	shown  []table.Change // returned by inner, not acknowledged to us
	repeat []table.Change // acknowledged to us once
	again  int            // how many of repeat were returned again
	ended  string         // the ID that was acknowledged last
	broken string         // the ID of the change that cannot be read
}

var _ table.Feed = (*Repeating)(nil)

// Repeat wraps inner.
func Repeat(t testing.TB, inner table.Feed) *Repeating {
	r := &Repeating{t: t, inner: inner}
	t.Cleanup(r.verify)
	return r
}

// Changes implements table.Feed.
func (r *Repeating) Changes(ctx context.Context, limit int) ([]table.Change, error) {
	if err := table.ValidateChanges(limit); err != nil {
		return nil, err
	}
	if err := alive(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.repeat) > 0 {
		n := min(limit, len(r.repeat))
		r.again = max(r.again, n)
		return cloneChanges(r.repeat[:n]), nil
	}
	changes, err := r.inner.Changes(ctx, limit)
	var unreadable *table.ChangeError
	if errors.As(err, &unreadable) {
		r.broken = unreadable.ID
	}
	if err != nil {
		return nil, err
	}
	r.shown = cloneChanges(changes)
	return changes, nil
}

// Acknowledge implements table.Feed.
func (r *Repeating) Acknowledge(ctx context.Context, last table.Change) error {
	if err := alive(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := indexOf(r.repeat[:r.again], last); n >= 0 {
		if err := r.inner.Acknowledge(ctx, last); err != nil {
			return err
		}
		r.repeat, r.again, r.ended = r.repeat[n+1:], r.again-n-1, last.ID
		return nil
	}
	if n := indexOf(r.shown, last); n >= 0 {
		r.repeat, r.shown, r.ended = r.shown[:n+1], nil, last.ID
		return nil
	}
	switch last.ID {
	case r.ended:
		return nil
	case r.broken:
		return r.inner.Acknowledge(ctx, last)
	default:
		r.t.Errorf("tabletest: change %q was acknowledged but not returned", last.ID)
		return fmt.Errorf("%w: change %q was not returned", table.ErrInvalid, last.ID)
	}
}

func (r *Repeating) verify() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.repeat) > 0 {
		r.t.Errorf("tabletest: nobody read the repeat of %d changes", len(r.repeat))
	}
}

func indexOf(changes []table.Change, c table.Change) int {
	for n := range changes {
		if changes[n].ID == c.ID {
			return n
		}
	}
	return -1
}

func cloneChanges(changes []table.Change) []table.Change {
	var all []table.Change
	for _, c := range changes {
		all = append(all, cloneChange(c))
	}
	return all
}
