package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"keyvend/pkg/account"
	"keyvend/pkg/fault"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// Store implements the vault's stores over any engine.
type Store struct {
	Table table.Table
	Clock ident.Clock

	newest atomic.Int64 // of all revisions that this process gave out
}

// errTooLarge: nothing that a request may bring comes near the limit alone, but
// the row would.
var errTooLarge = fault.New(fault.Invalid, "unprocessable_entity",
	"This would make the stored row too large. Send less config or metadata.")

// write performs ops and says in the vault's words what went wrong.
func (s *Store) write(ctx context.Context, ops ...table.Op) error {
	err := s.Table.Write(ctx, ops...)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, table.ErrCondition):
		return fmt.Errorf("%w: %w", vault.ErrChanged, err)
	case errors.Is(err, table.ErrTooLarge):
		return errTooLarge.Because(err)
	default:
		return readable(err)
	}
}

// unread is the revision, and the Doc that does not decode is nil, of an item that
// the engine cannot read. So it is a damaged row like others, and keeps nobody from
// what is beside it.
const unread = -1

// get reads items, those that are corrupt as unread ones.
func (s *Store) get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	items, err := s.Table.Get(ctx, keys...)
	var corrupt *table.CorruptError
	if !errors.As(err, &corrupt) {
		return items, readable(err)
	}
	for _, key := range corrupt.Keys {
		items[key] = table.Item{Key: key, Revision: unread}
	}
	return items, nil
}

// getAll is get for any number of distinct keys, in as many round trips as that takes.
func (s *Store) getAll(ctx context.Context, keys []table.Key) (map[table.Key]table.Item, error) {
	found := make(map[table.Key]table.Item, len(keys))
	for batch := range slices.Chunk(keys, table.MaxGet) {
		items, err := s.get(ctx, batch...)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, items)
	}
	return found, nil
}

// keysOf are where some things are stored.
func keysOf[T any](of []T, at func(T) table.Key) []table.Key {
	keys := make([]table.Key, len(of))
	for i, thing := range of {
		keys[i] = at(thing)
	}
	return keys
}

// query reads a page, with corrupt items in it as unread ones.
func (s *Store) query(ctx context.Context, q table.Query) (table.Page, error) {
	page, err := s.Table.Query(ctx, q)
	var corrupt *table.CorruptError
	if !errors.As(err, &corrupt) {
		return page, readable(err)
	}
	for _, key := range corrupt.Keys {
		page.Items = append(page.Items, table.Item{Key: key, Revision: unread})
	}
	slices.SortFunc(page.Items, func(a, b table.Item) int { // only the table itself has unread ones
		if q.Descending {
			a, b = b, a
		}
		return cmp.Compare(a.SK, b.SK)
	})
	return page, nil
}

// standing is the condition that a row stands as it was read with that revision.
// Of an unread one that can only be said that it is there.
func standing(revision int64) table.Condition {
	switch revision {
	case 0:
		return table.Absent
	case unread:
		return table.Present
	}
	return table.At(revision)
}

// readable turns an engine's error on reading into a fault.
func readable(err error) error {
	if errors.Is(err, table.ErrUnavailable) {
		return fault.Busy(err)
	}
	return err
}

// revision is what a row has after the one given (0: no such row; or unread). A row that is
// made anew begins with the time in microseconds, and above all that this
// process gave out, whatever its clock says: no key has the same revision twice,
// even when it was deleted between. Two processes would have to meet in one
// microsecond of their clocks.
func (s *Store) revision(before int64) int64 {
	for {
		newest := s.newest.Load()
		next := before + 1
		if before <= 0 {
			next = max(s.Clock.Micros(), newest+1)
		}
		if s.newest.CompareAndSwap(newest, max(newest, next)) {
			return next
		}
	}
}

// put makes the operation that stores v over the row whose revision is *rev (0:
// no such row), and sets *rev to what the row has then.
func (s *Store) put(key table.Key, v any, rev *int64, index map[string]table.Key) (table.Op, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return table.Op{}, fmt.Errorf("store: encode %s: %w", key.SK, err)
	}
	condition := standing(*rev)
	*rev = s.revision(*rev)
	return table.Put(table.Item{Key: key, Revision: *rev, Doc: doc, Index: index}, condition), nil
}

// save is put and write for one row. On an error *rev is as it was.
func (s *Store) save(ctx context.Context, key table.Key, v any, rev *int64, index map[string]table.Key) error {
	before := *rev
	op, err := s.put(key, v, rev, index)
	if err == nil {
		err = s.write(ctx, op)
	}
	if err != nil {
		*rev = before
	}
	return err
}

// decode reads the item at key into v, if it is there.
func decode[T any](items map[table.Key]table.Item, key table.Key, finish func(*T, table.Item)) (*T, error) {
	item, ok := items[key]
	if !ok {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal(item.Doc, v); err != nil {
		switch row := any(v).(type) {
		case *account.Account:
			*row = damaged(item)
		case *health.Check: // it can be made anew
			*row = health.Check{Damaged: true}
		case *health.Pace, *health.Breaker, *health.Tally, *vault.StoredEvent: // the zero value is a good start
			v = new(T)
		default:
			return nil, fmt.Errorf("store: the row %s does not decode: %w", key.SK, err)
		}
	}
	finish(v, item)
	return v, nil
}

// one reads a single row.
func one[T any](ctx context.Context, s *Store, key table.Key, finish func(*T, table.Item)) (*T, error) {
	items, err := s.get(ctx, key)
	if err != nil {
		return nil, err
	}
	return decode(items, key, finish)
}

// all reads every row of a range of the table. Those that do not decode are
// left out, and come as the error beside the others.
func all[T any](ctx context.Context, s *Store, pk, prefix string, finish func(*T, table.Item)) ([]*T, error) {
	var rows []*T
	var damaged []error
	q := table.Query{PK: pk, Prefix: prefix, Limit: table.MaxPage}
	for {
		page, err := s.query(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			row, err := decode(map[table.Key]table.Item{item.Key: item}, item.Key, finish)
			if err != nil {
				damaged = append(damaged, err)
				continue
			}
			rows = append(rows, row)
		}
		if page.After == "" {
			return rows, errors.Join(damaged...)
		}
		q.After = page.After
	}
}

// listed reads one page of the list index and then the rows themselves,
// strongly. Rows that are gone meanwhile are left out.
func listed[T any](ctx context.Context, s *Store, pk, after string, finish func(*T, table.Item)) (rows []*T, next string, err error) {
	page, err := s.query(ctx, table.Query{Index: listIndex, PK: pk, After: after, Limit: table.MaxGet})
	if err != nil {
		return nil, "", err
	}
	if len(page.Items) == 0 { // which does not mean that none follows
		return nil, page.After, nil
	}
	keys := keysOf(page.Items, func(item table.Item) table.Key { return item.Key })
	rows, err = rowsAt(ctx, s, keys, finish)
	return rows, page.After, err
}

// rowsAt reads rows strongly, each once, in the order of keys; those that are gone are
// left out. An index may show a row at two places while it moves.
func rowsAt[T any](ctx context.Context, s *Store, keys []table.Key, finish func(*T, table.Item)) ([]*T, error) {
	keys = distinct(keys)
	items, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	var rows []*T
	for _, key := range keys {
		row, err := decode(items, key, finish)
		if err != nil {
			return nil, err
		}
		if row != nil {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// distinct are the keys without repeats, each where it stands first.
func distinct(keys []table.Key) []table.Key {
	seen := make(map[table.Key]struct{}, len(keys))
	var once []table.Key
	for _, key := range keys {
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			once = append(once, key)
		}
	}
	return once
}

// allListed is listed over all pages.
func allListed[T any](ctx context.Context, s *Store, pk string, finish func(*T, table.Item)) ([]*T, error) {
	var rows []*T
	for after := ""; ; {
		page, next, err := listed(ctx, s, pk, after, finish)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page...)
		if next == "" {
			return rows, nil
		}
		after = next
	}
}
