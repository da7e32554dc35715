package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
)

var errClosed = errors.New("the table was closed")

// write is one change of the file on its way to the writer.
type write struct {
	ctx context.Context
	// do writes all or, with a refusal, nothing. A fatal error is one of the file
	// and leaves the transaction to be rolled back.
	do     func(*session) (refusal, fatal error)
	result chan error // takes one without blocking
}

// Write implements table.Table. A Write whose context ends while it is being
// committed may be stored.
func (t *Table) Write(ctx context.Context, ops ...table.Op) error {
	if err := table.ValidateWrite(ops); err != nil {
		return err
	}
	return t.submit(ctx, func(s *session) (refusal, fatal error) { return s.perform(ops) })
}

// submit hands a change to the writer and waits for its result.
func (t *Table) submit(ctx context.Context, do func(*session) (refusal, fatal error)) error {
	w := &write{ctx: ctx, do: do, result: make(chan error, 1)}
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
	err := guarded(func() error {
		return t.db.Update(func(tx *bbolt.Tx) error { return t.session(tx).performAll(group, results) })
	})
	for i, w := range group {
		if err != nil {
			results[i] = unavailable(err)
		}
		w.result <- results[i]
	}
}

// session is the one write transaction of a group.
type session struct {
	id     string // of the file
	now    time.Time
	tx     *bbolt.Tx
	items  *bbolt.Bucket
	expiry *bbolt.Bucket
	feed   *bbolt.Bucket // nil when there is none
}

// performAll does the writes of a group. An error is one of the file, and ends it.
func (s *session) performAll(group []*write, results []error) error {
	for i, w := range group {
		if err := w.ctx.Err(); err != nil {
			results[i] = fmt.Errorf("%w: %w", table.ErrUnavailable, err)
			continue
		}
		var fatal error
		if results[i], fatal = w.do(s); fatal != nil {
			return fatal
		}
	}
	return nil
}

func (t *Table) session(tx *bbolt.Tx) *session {
	return &session{
		id: t.id, now: t.now(), tx: tx,
		items: tx.Bucket(bucketItems), expiry: tx.Bucket(bucketExpiry), feed: tx.Bucket(bucketFeed),
	}
}

// perform does all of ops or, with a refusal, none.
func (s *session) perform(ops []table.Op) (refusal, fatal error) {
	changes := make([]change, 0, len(ops))
	for i, op := range ops {
		old, exists, err := load(s.items, op.Item.Key)
		if err != nil {
			return err, nil
		}
		switch {
		case holds(op.If, old, exists):
			changes = append(changes, makeChange(op, old, exists))
		case op.Kind == table.KindPut && exists && op.Item.SameContent(old):
			// A repeat of a write that was stored: nothing left to do.
		default:
			return &table.ConditionError{Op: i}, nil
		}
	}
	for _, c := range changes {
		if err := s.apply(c); err != nil {
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

// change is what happens to an item; nil stands for its absence.
type change struct{ before, after *table.Item }

func makeChange(op table.Op, old table.Item, exists bool) change {
	var c change
	if exists {
		c.before = &old
	}
	switch op.Kind {
	case table.KindPut:
		c.after = &op.Item
	case table.KindCheck:
		c.after = c.before
	}
	return c
}

// none tells whether nothing happens.
func (c change) none() bool {
	if c.before == nil || c.after == nil {
		return c.before == c.after
	}
	return c.before.SameContent(*c.after) && maps.Equal(c.before.Index, c.after.Index)
}

// apply is the only way in which items change: indexes, expiry and feed follow.
func (s *session) apply(c change) error {
	if c.none() {
		return nil
	}
	if c.before != nil {
		if err := s.remove(*c.before); err != nil {
			return err
		}
	}
	if c.after != nil {
		if err := s.add(*c.after); err != nil {
			return err
		}
	}
	return s.record(c)
}

func (s *session) remove(item table.Item) error {
	for name, position := range item.Index {
		bucket := s.tx.Bucket([]byte(bucketIndex + name))
		if bucket == nil {
			continue
		}
		if err := bucket.Delete(indexKey(position, item.Key)); err != nil {
			return err
		}
	}
	if !item.ExpiresAt.IsZero() {
		if err := s.expiry.Delete(expiryKey(item)); err != nil {
			return err
		}
	}
	return s.items.Delete(itemKey(item.Key))
}

func (s *session) add(item table.Item) error {
	for name, position := range item.Index {
		bucket, err := s.tx.CreateBucketIfNotExists([]byte(bucketIndex + name))
		if err != nil {
			return err
		}
		if err := bucket.Put(indexKey(position, item.Key), nil); err != nil {
			return err
		}
	}
	if !item.ExpiresAt.IsZero() {
		if err := s.expiry.Put(expiryKey(item), nil); err != nil {
			return err
		}
	}
	return s.items.Put(itemKey(item.Key), encode(item))
}
