// Package bolt is the embedded engine of the storage port: one bbolt file that
// one process at a time holds open. Every answered write is on the disk.
package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
)

// The refusals of Open.
var (
	// ErrInUse: another process holds the file.
	ErrInUse = errors.New("bolt: in use by another process")
	// ErrDamaged: the file is not one of this package, or parts of it are gone.
	ErrDamaged = errors.New("bolt: the file is damaged or another program's")
)

const (
	lockTimeout = time.Second // how long Open waits for another process to let go
	maxGroup    = 64          // writes in one commit
	pageBytes   = 1 << 20     // bytes of Docs in one page; the item that passes it is the last

	// The format of the file. One of the format before, which knew neither
	// expiry nor feed, becomes one of this when it is opened; anything else is
	// refused.
	format       = "2"
	formatBefore = "1"
)

// The buckets of the file:
//
//	meta          "format" -> format, "id" -> the file's own name
//	items         PK 0x00 SK -> record (record.go)
//	index.<name>  index PK 0x00 index SK 0x00 PK 0x00 SK -> nothing
//	expiry        ExpiresAt (seconds, 8 bytes) PK 0x00 SK -> nothing (reap.go)
//	feed          number of the change (8 bytes) -> change (feed.go)
//
// No key holds a 0x00, which so sorts before every continuation. Numbers are
// big-endian. There is no feed until somebody has asked for it.
var (
	bucketMeta   = []byte("meta")
	bucketItems  = []byte("items")
	bucketExpiry = []byte("expiry")
	bucketFeed   = []byte("feed")
	keyFormat    = []byte("format")
	keyID        = []byte("id")
)

const bucketIndex = "index."

// DefaultReapEvery is how often expired items are deleted.
const DefaultReapEvery = time.Minute

// Config is what a Table may be told; the zero value is for production.
type Config struct {
	Now       func() time.Time // says what has expired and when changes were committed; nil: time.Now
	ReapEvery time.Duration    // between two rounds of deleting what has expired; 0: DefaultReapEvery
}

// Table is a table.Table in a file. It is safe for concurrent use.
type Table struct {
	db      *bbolt.DB
	now     func() time.Time
	id      string // the file's, before the numbers of its changes
	writes  chan *write
	closing chan struct{} // closed when Close begins
	written chan struct{} // closed when the writer has ended
	reaped  chan struct{} // closed when the reaper has ended
	once    sync.Once
	closed  error // what closing the file gave
}

var _ table.Table = (*Table)(nil)

// Open is Config{}.Open.
func Open(path string) (*Table, error) { return Config{}.Open(path) }

// Open opens the file at path, which it makes (0600) when there is none; its
// folder must exist. It fails with ErrInUse while another process holds the
// file, with ErrDamaged when it is no whole file of this package, and otherwise
// with the error of the file system.
func (c Config) Open(path string) (*Table, error) {
	t := &Table{now: c.Now, writes: make(chan *write), closing: make(chan struct{}), written: make(chan struct{}), reaped: make(chan struct{})}
	if t.now == nil {
		t.now = time.Now
	}
	if c.ReapEvery == 0 {
		c.ReapEvery = DefaultReapEvery
	}
	db, err := open(path, t.prepare)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	t.db = db
	go t.writer()
	go t.reaper(c.ReapEvery)
	return t, nil
}

// prepare makes the buckets of a new file and checks the format of an old one.
func (t *Table) prepare(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	switch have := meta.Get(keyFormat); {
	case have == nil, string(have) == format, string(have) == formatBefore:
	default:
		return fmt.Errorf("%w: its format is %q, not %q", ErrDamaged, have, format)
	}
	for _, name := range [][]byte{bucketItems, bucketExpiry} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	if meta.Get(keyID) == nil {
		if err := meta.Put(keyID, []byte(rand.Text())); err != nil {
			return err
		}
	}
	t.id = string(meta.Get(keyID))
	return meta.Put(keyFormat, []byte(format))
}

// Close ends the table: calls under way are finished, later ones fail with
// table.ErrUnavailable. The file is then free for another process.
func (t *Table) Close() error {
	t.once.Do(func() {
		close(t.closing)
		<-t.written
		<-t.reaped
		t.closed = shut(t.db)
	})
	return t.closed
}

// Get implements table.Table.
func (t *Table) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	if err := table.ValidateGet(keys); err != nil {
		return nil, err
	}
	found := make(map[table.Key]table.Item, len(keys))
	var unread *table.CorruptError
	err := t.view(ctx, func(tx *bbolt.Tx) error {
		items := tx.Bucket(bucketItems)
		for _, k := range keys {
			switch item, ok, err := load(items, k); {
			case err != nil:
				unread = unread.With(k, err)
			case ok:
				found[k] = item
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, unread.OrNil()
}

// Query implements table.Table.
func (t *Table) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if err := table.ValidateQuery(q); err != nil {
		return table.Page{}, err
	}
	var page table.Page
	var unread *table.CorruptError
	err := t.view(ctx, func(tx *bbolt.Tx) error {
		page, unread = query(tx, q)
		return nil
	})
	if err != nil {
		return table.Page{}, err
	}
	return page, unread.OrNil()
}

func (t *Table) view(ctx context.Context, read func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", table.ErrUnavailable, err)
	}
	return unavailable(guarded(func() error { return t.db.View(read) }))
}

// unavailable wraps errors of the file itself: the port has no other name for
// a disk that is full or a table that was closed.
func unavailable(err error) error {
	if err == nil || errors.Is(err, table.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w: %w", table.ErrUnavailable, err)
}

func query(tx *bbolt.Tx, q table.Query) (page table.Page, unread *table.CorruptError) {
	name := bucketItems
	if q.Index != "" {
		name = []byte(bucketIndex + q.Index)
	}
	bucket := tx.Bucket(name)
	first, last, ok := q.Range()
	if bucket == nil || !ok {
		return page, nil
	}
	seen, size, reached := 0, 0, ""
	w := walk{cursor: bucket.Cursor(), partition: append([]byte(q.PK), 0), first: first, last: last, descending: q.Descending}
	for k, v, ok := w.start(); ok; k, v, ok = w.next() {
		if seen == q.Limit || size >= pageBytes {
			page.After = reached
			return page, unread
		}
		seen, reached = seen+1, w.sortKey(k)
		switch item, err := entry(k, v, q.Index); {
		case err == nil:
			size += len(item.Doc)
			page.Items = append(page.Items, item)
		case q.Index == "":
			unread = unread.With(table.Key{PK: q.PK, SK: reached}, err)
		default: // an entry that leads nowhere: nobody can ask for it
		}
	}
	return page, unread
}

// entry makes an item of a bucket's entry.
func entry(k, v []byte, index string) (table.Item, error) {
	if index == "" {
		pk, sk, ok := bytes.Cut(k, []byte{0})
		if !ok {
			return table.Item{}, fmt.Errorf("%w: key %q", table.ErrCorrupt, k)
		}
		return decode(table.Key{PK: string(pk), SK: string(sk)}, v)
	}
	parts := bytes.Split(k, []byte{0})
	if len(parts) != 4 {
		return table.Item{}, fmt.Errorf("%w: entry %q of index %s", table.ErrCorrupt, k, index)
	}
	return table.Item{
		Key:   table.Key{PK: string(parts[2]), SK: string(parts[3])},
		Index: map[string]table.Key{index: {PK: string(parts[0]), SK: string(parts[1])}},
	}, nil
}

// walk goes through the entries of one partition whose sort keys lie between
// first and last, both inclusive.
type walk struct {
	cursor      *bbolt.Cursor
	partition   []byte // with the 0x00 behind it
	first, last string
	descending  bool
}

func (w walk) start() (k, v []byte, ok bool) {
	if !w.descending {
		return w.inside(w.cursor.Seek(append(bytes.Clone(w.partition), w.first...)))
	}
	// 0x01 is behind the 0x00 that may follow the sort key and before all else.
	behind := append(append(bytes.Clone(w.partition), w.last...), 1)
	if k, _ := w.cursor.Seek(behind); k == nil {
		return w.inside(w.cursor.Last())
	}
	return w.inside(w.cursor.Prev())
}

func (w walk) next() (k, v []byte, ok bool) {
	if w.descending {
		return w.inside(w.cursor.Prev())
	}
	return w.inside(w.cursor.Next())
}

func (w walk) inside(k, v []byte) ([]byte, []byte, bool) {
	rest, ok := bytes.CutPrefix(k, w.partition)
	if !ok {
		return nil, nil, false
	}
	sk, _, _ := bytes.Cut(rest, []byte{0})
	return k, v, string(sk) >= w.first && string(sk) <= w.last
}

// sortKey is the sort key of an entry of the partition.
func (w walk) sortKey(k []byte) string {
	sk, _, _ := bytes.Cut(k[len(w.partition):], []byte{0})
	return string(sk)
}

func itemKey(k table.Key) []byte {
	return append(append([]byte(k.PK), 0), k.SK...)
}

func indexKey(position, k table.Key) []byte {
	return append(append(itemKey(position), 0), itemKey(k)...)
}

func load(items *bbolt.Bucket, k table.Key) (table.Item, bool, error) {
	v := items.Get(itemKey(k))
	if v == nil {
		return table.Item{}, false, nil
	}
	item, err := decode(k, v)
	return item, err == nil, err
}
