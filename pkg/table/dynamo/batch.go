package dynamo

import (
	"context"
	"fmt"
	"sync"

	"keyvend/pkg/table"
)

// Batch is a table.Feed of the stream records at hand, such as a reader of the
// stream has read so far. The zero value holds none.
type Batch struct {
	mu    sync.Mutex
	left  []entry // not acknowledged, oldest first
	shown int     // how many of left were returned
	ended string  // the ID that was acknowledged last
}

// entry is a record, and what it is acknowledged by.
type entry struct {
	id     string
	record []byte
}

var _ table.Feed = (*Batch)(nil)

// Add puts a record, in the form that DecodeRecord reads, behind the others, and
// keeps it.
func (b *Batch) Add(record []byte) {
	id := located(record).id()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = append(b.left, entry{id: id, record: record})
}

// Len is how many records are not acknowledged.
func (b *Batch) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.left)
}

// Changes implements table.Feed.
func (b *Batch) Changes(ctx context.Context, limit int) ([]table.Change, error) {
	if err := table.ValidateChanges(limit); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", table.ErrUnavailable, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var changes []table.Change
	for _, e := range b.left[:min(limit, len(b.left))] {
		c, err := DecodeRecord(e.record)
		if err != nil && len(changes) == 0 {
			b.shown = max(b.shown, 1)
			return nil, err
		}
		if err != nil {
			break // told when it is the first
		}
		changes = append(changes, c)
	}
	b.shown = max(b.shown, len(changes))
	return changes, nil
}

// Acknowledge implements table.Feed.
func (b *Batch) Acknowledge(ctx context.Context, last table.Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", table.ErrUnavailable, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for n, e := range b.left[:b.shown] {
		if e.id == last.ID {
			b.left, b.shown, b.ended = b.left[n+1:], b.shown-n-1, e.id
			return nil
		}
	}
	if last.ID != "" && last.ID == b.ended {
		return nil
	}
	return fmt.Errorf("%w: change %q was not returned", table.ErrInvalid, last.ID)
}
