package tabletest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"keyvend/pkg/table"
)

// Memory is the port in the plainest form: a map and a lock. It is what the
// engines are compared with, and a table for tests that need no engine.
type Memory struct {
	mu    sync.Mutex
	items map[table.Key]table.Item
}

var _ table.Table = (*Memory)(nil)

// NewMemory returns an empty table.
func NewMemory() *Memory { return &Memory{items: map[table.Key]table.Item{}} }

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
	for _, k := range keys {
		if item, ok := m.items[k]; ok {
			found[k] = clone(item)
		}
	}
	return found, nil
}

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
	return page, nil
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
		stored := op.Kind == table.KindPut && exists && old.Revision == op.Item.Revision && bytes.Equal(old.Doc, op.Item.Doc)
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
	m.items = next
	return nil
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
	return item
}
