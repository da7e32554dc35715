package checks

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"keyvend/pkg/health"
	"keyvend/pkg/table"
)

// witness is a table that sees what is written of checks.
type witness struct {
	table.Table
	now func() time.Time

	mu        sync.Mutex
	places    map[table.Key]table.Key // in the index
	before    map[table.Key]health.Check
	leases    map[table.Key][]lease
	postponed map[table.Key]int

	second time.Time
	writes map[string]int // of each partition of the index within the second
	most   int            // of any partition within any second

	left int // writes until hook
	hook func()
}

// lease is one lease of one check.
type lease struct {
	key      table.Key
	revision int64
	at, ends time.Time
}

// after has hook called after that many writes of checks.
func (w *witness) after(writes int, hook func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.hook = writes, hook
}

// leaseOf is the lease that made the check's row that revision.
func (w *witness) leaseOf(key table.Key, revision int64) lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.leases[key] {
		if l.revision == revision {
			return l
		}
	}
	return lease{key: key, revision: revision}
}

// Write implements table.Table.
func (w *witness) Write(ctx context.Context, ops ...table.Op) error {
	err := w.Table.Write(ctx, ops...)
	for _, op := range ops {
		if op.Kind == table.KindPut && strings.HasPrefix(op.Item.PK, "C#") && (err == nil || ctx.Err() != nil && w.stored(ctx, op.Item)) {
			w.note(op.Item)
		}
	}
	return err
}

// stored reports whether an item is there whose writer's time was over.
func (w *witness) stored(ctx context.Context, item table.Item) bool {
	found, err := w.Get(context.WithoutCancel(ctx), item.Key)
	return err == nil && found[item.Key].SameContent(item)
}

func (w *witness) note(item table.Item) {
	var c health.Check
	_ = json.Unmarshal(item.Doc, &c) // the store encoded it
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.before[item.Key]
	switch {
	case c.Tries > before.Tries:
		w.leases[item.Key] = append(w.leases[item.Key], lease{item.Key, item.Revision, w.now(), c.DueAt})
	case c.Slotted:
		w.postponed[item.Key]++
	}
	w.before[item.Key] = c
	w.count(w.places[item.Key], item.Index["due"])
	w.places[item.Key] = item.Index["due"]
	if w.left--; w.left == 0 {
		w.hook()
	}
}

// count counts what a move costs: a write where the entry was, and one where it is.
func (w *witness) count(from, to table.Key) {
	if second := w.now().Truncate(time.Second); !second.Equal(w.second) {
		w.second = second
		clear(w.writes)
	}
	if from == to {
		return
	}
	for _, place := range []table.Key{from, to} {
		if place.PK != "" {
			w.writes[place.PK]++
			w.most = max(w.most, w.writes[place.PK])
		}
	}
}
