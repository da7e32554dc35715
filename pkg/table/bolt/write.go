package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
)

var errClosed = errors.New("the table was closed")

// write is one Write on its way to the writer.
type write struct {
	ctx    context.Context
	ops    []table.Op
	result chan error // takes one without blocking
}

// Write implements table.Table. A Write whose context ends while it is being
// committed may be stored.
func (t *Table) Write(ctx context.Context, ops ...table.Op) error {
	if err := table.ValidateWrite(ops); err != nil {
		return err
	}
	w := &write{ctx: ctx, ops: ops, result: make(chan error, 1)}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", table.ErrUnavailable, ctx.Err())
	case <-t.closing:
		return unavailable(errClosed)
	case t.writes <- w:
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", table.ErrUnavailable, ctx.Err())
	case err := <-w.result:
		return err
	}
}

// writer commits writes until the table is closed. While one commit waits for
// the disk the next writes gather, and share the next commit. Each still sees
// all that went before it, so that grouping changes nothing but the speed.
func (t *Table) writer() {
	defer close(t.written)
	for {
		select {
		case <-t.closing:
			return
		case w := <-t.writes:
			t.commit(t.gather(w))
		}
	}
}

// gather adds the writes that wait already.
func (t *Table) gather(first *write) []*write {
	group := []*write{first}
	for len(group) < maxGroup {
		select {
		case w := <-t.writes:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commit applies a group in one transaction and answers each of its writes.
// When the commit fails none is stored, and even a refused condition may have
// been about a neighbour's write that is not: so all are told.
func (t *Table) commit(group []*write) {
	results := make([]error, len(group))
	err := t.db.Update(func(tx *bbolt.Tx) error {
		for i, w := range group {
			if err := w.ctx.Err(); err != nil {
				results[i] = fmt.Errorf("%w: %w", table.ErrUnavailable, err)
				continue
			}
			var fatal error
			if results[i], fatal = perform(tx, w.ops); fatal != nil {
				return fatal
			}
		}
		return nil
	})
	for i, w := range group {
		if err != nil {
			results[i] = unavailable(err)
		}
		w.result <- results[i]
	}
}

// perform does all of ops or, with a refusal, none. A fatal error is one of the
// file and leaves the transaction to be rolled back.
func perform(tx *bbolt.Tx, ops []table.Op) (refusal, fatal error) {
	items := tx.Bucket(bucketItems)
	changes := make([]change, 0, len(ops))
	for i, op := range ops {
		old, exists, err := load(items, op.Item.Key)
		if err != nil {
			return err, nil
		}
		switch {
		case holds(op.If, old, exists):
			changes = append(changes, change{op: op, old: old, exists: exists})
		case op.Kind == table.KindPut && exists && same(op.Item, old):
			// A repeat of a write that was stored: nothing left to do.
		default:
			return &table.ConditionError{Op: i}, nil
		}
	}
	for _, c := range changes {
		if err := c.apply(tx, items); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func holds(c table.Condition, old table.Item, exists bool) bool {
	switch c.Kind {
	case table.IfAbsent:
		return !exists
	case table.IfPresent:
		return exists
	case table.IfRevision:
		return exists && old.Revision == c.Revision
	default:
		return false
	}
}

func same(a, b table.Item) bool { return a.Revision == b.Revision && bytes.Equal(a.Doc, b.Doc) }

// change is an operation whose condition holds, with what it replaces.
type change struct {
	op     table.Op
	old    table.Item
	exists bool
}

func (c change) apply(tx *bbolt.Tx, items *bbolt.Bucket) error {
	if c.op.Kind == table.KindCheck {
		return nil
	}
	if c.exists {
		if err := removeFromIndexes(tx, c.old); err != nil {
			return err
		}
	}
	if c.op.Kind == table.KindDelete {
		return items.Delete(itemKey(c.op.Item.Key))
	}
	if err := items.Put(itemKey(c.op.Item.Key), encode(c.op.Item)); err != nil {
		return err
	}
	return addToIndexes(tx, c.op.Item)
}

func removeFromIndexes(tx *bbolt.Tx, item table.Item) error {
	for name, position := range item.Index {
		bucket := tx.Bucket([]byte(bucketIndex + name))
		if bucket == nil {
			continue
		}
		if err := bucket.Delete(indexKey(position, item.Key)); err != nil {
			return err
		}
	}
	return nil
}

func addToIndexes(tx *bbolt.Tx, item table.Item) error {
	for name, position := range item.Index {
		bucket, err := tx.CreateBucketIfNotExists([]byte(bucketIndex + name))
		if err != nil {
			return err
		}
		if err := bucket.Put(indexKey(position, item.Key), nil); err != nil {
			return err
		}
	}
	return nil
}
