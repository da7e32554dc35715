package tabletest

import (
	"context"
	"fmt"
	"sync"

	"keyvend/pkg/table"
)

// Lagging is a table whose indexes stand still: their queries answer from the
// state of the last Settle, however much was written since. All else goes
// straight through.
type Lagging struct {
	table.Table

	mu      sync.Mutex
	stale   *Memory
	touched map[table.Key]struct{}
}

var _ table.Table = (*Lagging)(nil)

// Lag wraps inner, which must be empty: only what is written through the
// wrapper ever comes into its indexes.
func Lag(inner table.Table) *Lagging {
	return &Lagging{Table: inner, stale: NewMemory(), touched: map[table.Key]struct{}{}}
}

// Query implements table.Table.
func (l *Lagging) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if q.Index == "" {
		return l.Table.Query(ctx, q)
	}
	return l.stale.Query(ctx, q)
}

// Write implements table.Table.
func (l *Lagging) Write(ctx context.Context, ops ...table.Op) error {
	l.mu.Lock()
	for _, op := range ops {
		// Even a write that fails may be stored.
		l.touched[op.Item.Key] = struct{}{}
	}
	l.mu.Unlock()
	return l.Table.Write(ctx, ops...)
}

// Settle lets the indexes catch up with the table.
func (l *Lagging) Settle(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.touched {
		if table.ValidateGet([]table.Key{k}) != nil {
			continue // of a write that was refused
		}
		found, err := l.Get(ctx, k)
		if err != nil {
			return fmt.Errorf("tabletest: settle: %w", err)
		}
		item, exists := found[k]
		l.stale.force(k, item, exists)
		if item.ExpiresAt.IsZero() { // what expires may change once more unseen
			delete(l.touched, k)
		}
	}
	return nil
}

// Reap lets the table delete what has expired, when it is one that can be told.
func (l *Lagging) Reap(ctx context.Context) error { return reap(ctx, l.Table) }
