package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/health"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
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

func newWitness(engine table.Table, now func() time.Time) *witness {
	return &witness{
		Table: engine, now: now, places: map[table.Key]table.Key{}, before: map[table.Key]health.Check{},
		writes: map[string]int{}, leases: map[table.Key][]lease{}, postponed: map[table.Key]int{},
	}
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

// Write implements table.Table. A sweep that is killed does not hear what becomes
// of a write that is under way: the witness does, since the engine may store it
// after the sweep's end, and a lease that nobody saw looks like another one's loss.
func (w *witness) Write(ctx context.Context, ops ...table.Op) error {
	if err := gone(ctx); err != nil {
		return err
	}
	if err := w.Table.Write(context.WithoutCancel(ctx), ops...); err != nil {
		return err
	}
	for _, op := range ops {
		if op.Kind == table.KindPut && strings.HasPrefix(op.Item.PK, "C#") {
			w.note(op.Item)
		}
	}
	return gone(ctx)
}

// gone is what a caller whose time is over is told.
func gone(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", table.ErrUnavailable, err)
	}
	return nil
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

// dying is an engine whose caller's time ends during each write. It stores the
// write all the same, but only when it is told to, as one that is slow does.
type dying struct {
	table.Table
	end   context.CancelFunc
	store chan struct{}
	wait  sync.WaitGroup
}

func (d *dying) Write(ctx context.Context, ops ...table.Op) error {
	d.end()
	if ctx.Err() == nil { // whoever waits is told
		return d.Table.Write(ctx, ops...)
	}
	d.wait.Go(func() {
		<-d.store
		_ = d.Table.Write(context.WithoutCancel(ctx), ops...)
	})
	return table.ErrUnavailable
}

func TestTheWitnessSeesALeaseThatIsStoredAfterItsSweepWasKilled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	engine := &dying{Table: tabletest.NewMemory(), end: cancel, store: make(chan struct{})}
	w := newWitness(engine, time.Now)
	key := checkKey("t", "acme", "anna")
	doc, err := json.Marshal(health.Check{Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	item := table.Item{Key: key, Revision: 1, Doc: doc}
	if err := w.Write(ctx, table.Put(item, table.Absent)); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("the sweep is told: %v", err)
	}
	close(engine.store)
	engine.wait.Wait()
	found, err := w.Get(t.Context(), key)
	if err != nil || !found[key].SameContent(item) {
		t.Errorf("stored: %v %v", found, err)
	}
	if len(w.leases[key]) != 1 {
		t.Errorf("the witness knows of %v", w.leases[key])
	}
	late := table.Item{Key: key, Revision: 2, Doc: doc}
	if err := w.Write(ctx, table.Put(late, table.At(1))); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("a write after the end: %v", err)
	}
	if found, err := w.Get(t.Context(), key); err != nil || found[key].Revision != 1 {
		t.Errorf("a write after the end is stored: %v %v", found, err)
	}
}
