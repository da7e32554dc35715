package tabletest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"keyvend/pkg/table"
)

// Memory is the port in the plainest form: a map and a lock. It is what the
// engines are compared with, and a table for tests that need no engine.
//
// It deletes expired items when Reap says so, and not otherwise.
type Memory struct {
	Now func() time.Time // nil: time.Now; set it before the first use

	mu      sync.Mutex
	items   map[table.Key]table.Item
	feeding bool
	changes []table.Change
	made    int // changes so far
}

var _ table.Table = (*Memory)(nil)

// NewMemory returns an empty table.
func NewMemory() *Memory { return &Memory{items: map[table.Key]table.Item{}} }

// Items are all items, in the order of their keys: for tests that compare the whole
// table before and after.
func (m *Memory) Items() []table.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []table.Item
	for _, item := range m.items {
		all = append(all, clone(item))
	}
	slices.SortFunc(all, func(a, b table.Item) int {
		return cmp.Or(cmp.Compare(a.PK, b.PK), cmp.Compare(a.SK, b.SK))
	})
	return all
}

// Get implements table.Table.
func (m *Memory) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	if err := table.ValidateGet(keys); err != nil {
		return nil, err
	}
	if err := alive(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[table.Key]table.Item{}
	var unread *table.CorruptError
	for _, k := range keys {
		switch item, ok := m.items[k]; {
		case spoiled(item):
			unread = unread.With(k, errSpoiled)
		case ok:
			found[k] = clone(item)
		}
	}
	return found, unread.OrNil()
}

// Spoil makes the items at keys, which are there, such as the engine cannot read.
// The indexes show them as ever. The feed does not tell.
func (m *Memory) Spoil(keys ...table.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		m.items[k] = table.Item{Key: k, Revision: -1, Index: m.items[k].Index}
	}
}

func spoiled(item table.Item) bool { return item.Revision < 0 }

var errSpoiled = fmt.Errorf("%w: it was spoiled", table.ErrCorrupt)

// Query implements table.Table.
func (m *Memory) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if err := table.ValidateQuery(q); err != nil {
		return table.Page{}, err
	}
	if err := alive(ctx); err != nil {
		return table.Page{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []table.Item
	for _, item := range m.items {
		if position, ok := place(item, q.Index); ok && position.PK == q.PK && wanted(position.SK, q) {
			all = append(all, fromIndex(item, q.Index))
		}
	}
	slices.SortFunc(all, func(a, b table.Item) int {
		pa, _ := place(a, q.Index)
		pb, _ := place(b, q.Index)
		if q.Descending {
			pa, pb = pb, pa
		}
		return strings.Compare(pa.SK, pb.SK)
	})
	page := table.Page{Items: all}
	if len(all) > q.Limit {
		page.Items = all[:q.Limit]
		last, _ := place(all[q.Limit-1], q.Index)
		page.After = last.SK
	}
	var unread *table.CorruptError
	page.Items = slices.DeleteFunc(page.Items, func(i table.Item) bool {
		if spoiled(i) {
			unread = unread.With(i.Key, errSpoiled)
		}
		return spoiled(i)
	})
	return page, unread.OrNil()
}

// Write implements table.Table.
func (m *Memory) Write(ctx context.Context, ops ...table.Op) error {
	if err := table.ValidateWrite(ops); err != nil {
		return err
	}
	if err := alive(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.items)
	for i, op := range ops {
		old, exists := m.items[op.Item.Key]
		holds := op.If.Kind == table.IfAbsent && !exists ||
			op.If.Kind == table.IfPresent && exists ||
			op.If.Kind == table.IfRevision && exists && old.Revision == op.If.Revision
		stored := op.Kind == table.KindPut && exists && old.SameContent(op.Item)
		switch {
		case !holds && !stored:
			return &table.ConditionError{Op: i}
		case !holds:
		case op.Kind == table.KindPut:
			next[op.Item.Key] = clone(op.Item)
		case op.Kind == table.KindDelete:
			delete(next, op.Item.Key)
		}
	}
	for _, op := range ops {
		m.record(op.Item.Key, next)
	}
	m.items = next
	return nil
}

// Reap deletes all items that have expired.
func (m *Memory) Reap(ctx context.Context) error {
	if err := alive(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.items)
	for k, item := range m.items {
		if !item.ExpiresAt.IsZero() && m.now().After(item.ExpiresAt) {
			delete(next, k)
			m.record(k, next)
		}
	}
	m.items = next
	return nil
}

func (m *Memory) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

// record puts into the feed what happens to the item at k when the items become
// next.
func (m *Memory) record(k table.Key, next map[table.Key]table.Item) {
	if !m.feeding {
		return
	}
	c := table.Change{Key: k, At: m.now().UTC()}
	if item, ok := m.items[k]; ok {
		c.Old = &item
	}
	if item, ok := next[k]; ok {
		c.New = &item
	}
	if differImages(c.Old, c.New) == "" {
		return
	}
	m.made++
	c.ID = fmt.Sprintf("change-%d", m.made)
	m.changes = append(m.changes, c)
}

// Feed returns the table's change feed, which begins with the first call.
func (m *Memory) Feed() table.Feed {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.feeding = true
	return &memoryFeed{m: m}
}

// memoryFeed is the feed of a Memory.
type memoryFeed struct {
	m     *Memory
	shown []string // what was returned and not acknowledged
	ended string   // what was acknowledged last
}

// Changes implements table.Feed.
func (f *memoryFeed) Changes(ctx context.Context, limit int) ([]table.Change, error) {
	if err := table.ValidateChanges(limit); err != nil {
		return nil, err
	}
	if err := alive(ctx); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	var changes []table.Change
	for _, c := range f.m.changes[:min(limit, len(f.m.changes))] {
		changes = append(changes, cloneChange(c))
	}
	for _, c := range changes[min(len(f.shown), len(changes)):] {
		f.shown = append(f.shown, c.ID)
	}
	return changes, nil
}

// Acknowledge implements table.Feed.
func (f *memoryFeed) Acknowledge(ctx context.Context, last table.Change) error {
	if err := alive(ctx); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if last.ID == f.ended && last.ID != "" {
		return nil
	}
	n := slices.Index(f.shown, last.ID)
	if n < 0 {
		return fmt.Errorf("%w: change %q was not returned", table.ErrInvalid, last.ID)
	}
	f.m.changes, f.shown, f.ended = f.m.changes[n+1:], f.shown[n+1:], last.ID
	return nil
}

func cloneChange(c table.Change) table.Change {
	if c.Old != nil {
		old := clone(*c.Old)
		c.Old = &old
	}
	if c.New != nil {
		item := clone(*c.New)
		c.New = &item
	}
	return c
}

// force makes the row at k what item says, or removes it.
func (m *Memory) force(k table.Key, item table.Item, exists bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if exists {
		m.items[k] = clone(item)
	} else {
		delete(m.items, k)
	}
}

func alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", table.ErrUnavailable, err)
	}
	return nil
}

// place is where item stands in the index, or in the table itself.
func place(item table.Item, index string) (table.Key, bool) {
	if index == "" {
		return item.Key, true
	}
	position, ok := item.Index[index]
	return position, ok
}

// fromIndex is what a query of the index shows of item.
func fromIndex(item table.Item, index string) table.Item {
	if index == "" {
		return clone(item)
	}
	return table.Item{Key: item.Key, Index: map[string]table.Key{index: item.Index[index]}}
}

// wanted says by the words of the port what q asks for; engines compute bounds
// instead.
func wanted(sk string, q table.Query) bool {
	if !strings.HasPrefix(sk, q.Prefix) {
		return false
	}
	if q.After == "" {
		return true
	}
	if q.Descending {
		return sk < q.After
	}
	return sk > q.After
}

func clone(item table.Item) table.Item {
	item.Doc = append([]byte{}, item.Doc...)
	if len(item.Index) == 0 {
		item.Index = nil
	}
	item.Index = maps.Clone(item.Index)
	if !item.ExpiresAt.IsZero() {
		item.ExpiresAt = item.ExpiresAt.UTC()
	}
	return item
}
