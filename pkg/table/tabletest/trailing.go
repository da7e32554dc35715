package tabletest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"keyvend/pkg/table"
)

// Trailing is a table whose indexes go on showing every place that an item had,
// beside the one that it has: an index in which an item moves from one partition to
// another may do so for a while.
type Trailing struct {
	table.Table

	mu   sync.Mutex
	left *Memory                 // an item for each place that was left
	of   map[table.Key]table.Key // whose it was
}

var _ table.Table = (*Trailing)(nil)

// Trail wraps inner, which must be empty.
func Trail(inner table.Table) *Trailing {
	return &Trailing{Table: inner, left: NewMemory(), of: map[table.Key]table.Key{}}
}

// Write implements table.Table.
func (t *Trailing) Write(ctx context.Context, ops ...table.Op) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := map[table.Key]table.Item{}
	for _, op := range ops {
		found, err := t.Get(ctx, op.Item.Key)
		if err != nil {
			return err
		}
		before[op.Item.Key] = found[op.Item.Key]
	}
	if err := t.Table.Write(ctx, ops...); err != nil {
		return err
	}
	for _, op := range ops {
		if op.Kind == table.KindCheck {
			continue
		}
		for index, place := range before[op.Item.Key].Index {
			t.mark(index, place, op.Item.Key, true)
		}
		for index, place := range op.Item.Index { // nothing at a delete
			t.mark(index, place, op.Item.Key, false)
		}
	}
	return nil
}

// mark notes whether the item at k has left the place.
func (t *Trailing) mark(index string, place, k table.Key, left bool) {
	sign := table.Key{PK: index + "!" + place.PK, SK: place.SK}
	t.of[sign] = k
	t.left.force(sign, table.Item{Key: sign, Index: map[string]table.Key{index: place}}, left)
}

// Query implements table.Table.
func (t *Trailing) Query(ctx context.Context, q table.Query) (table.Page, error) {
	here, err := t.Table.Query(ctx, q)
	if q.Index == "" || err != nil {
		return here, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.left.Query(ctx, q)
	for _, item := range there.Items {
		item.Key = t.of[item.Key]
		here.Items = append(here.Items, item)
	}
	return merged(q, here.Items, here.After, there.After), err
}

// merged is the page of q that holds items up to where one of the lists ended that
// they are of, at most q.Limit.
func merged(q table.Query, items []table.Item, ends ...string) table.Page {
	order := func(a, b string) int {
		if q.Descending {
			a, b = b, a
		}
		return strings.Compare(a, b)
	}
	ends = slices.DeleteFunc(ends, func(end string) bool { return end == "" })
	slices.SortFunc(ends, order)
	at := func(i table.Item) string { return i.Index[q.Index].SK }
	slices.SortFunc(items, func(a, b table.Item) int { return order(at(a), at(b)) })
	page := table.Page{Items: items}
	if len(ends) > 0 {
		page.After = ends[0]
		page.Items = slices.DeleteFunc(items, func(i table.Item) bool { return order(at(i), ends[0]) > 0 })
	}
	if len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.After = at(page.Items[q.Limit-1])
	}
	return page
}
