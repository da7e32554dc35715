package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
)

// A change in the feed:
//
//	1 byte    version, 1
//	varint    when it was committed, in nanoseconds since 1970
//	uvarint and bytes   PK
//	uvarint and bytes   SK
//	uvarint and bytes   record of the item before, no bytes when there was none
//	uvarint and bytes   record of the item after, no bytes when there is none
const changeVersion = 1

const numberBytes = 8 // of a key of the feed bucket

var errChange = errors.New("bolt: damaged change")

// feed is the table.Feed of a Table.
type feed struct {
	t *Table

	mu    sync.Mutex
	shown uint64 // the highest number of a change that Changes has returned
}

// Feed returns the table's change feed. The file keeps one from the first call
// on, also when it is opened again: from then on somebody must acknowledge the
// changes, or the file grows with each.
func (t *Table) Feed(ctx context.Context) (table.Feed, error) {
	err := t.submit(ctx, func(s *session) (refusal, fatal error) {
		if s.feed != nil {
			return nil, nil
		}
		s.feed, fatal = s.tx.CreateBucket(bucketFeed)
		return nil, fatal
	})
	if err != nil {
		return nil, err
	}
	return &feed{t: t}, nil
}

// Changes implements table.Feed.
func (f *feed) Changes(ctx context.Context, limit int) ([]table.Change, error) {
	if err := table.ValidateChanges(limit); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var changes []table.Change
	err := f.t.view(ctx, func(tx *bbolt.Tx) error {
		size := 0
		cursor := tx.Bucket(bucketFeed).Cursor()
		for k, v := cursor.First(); k != nil && len(changes) < limit && size < pageBytes; k, v = cursor.Next() {
			c, err := f.t.decodeChange(k, v)
			if err != nil && len(changes) > 0 {
				return nil // told when it is the first
			}
			f.shown = max(f.shown, number(k))
			if err != nil {
				return err
			}
			size += len(v)
			changes = append(changes, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// Acknowledge implements table.Feed.
func (f *feed) Acknowledge(ctx context.Context, last table.Change) error {
	n, ok := f.t.changeNumber(last.ID)
	if !ok {
		return fmt.Errorf("%w: no change %q of this table", table.ErrInvalid, last.ID)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.t.submit(ctx, func(s *session) (refusal, fatal error) {
		cursor := s.feed.Cursor()
		for k, _ := cursor.First(); k != nil && number(k) <= n; k, _ = cursor.First() {
			if n > f.shown {
				return fmt.Errorf("%w: change %q was not returned yet", table.ErrInvalid, last.ID), nil
			}
			if err := s.feed.Delete(k); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// record puts a change into the feed, when there is one.
func (s *session) record(c change) error {
	if s.feed == nil {
		return nil
	}
	n, err := s.feed.NextSequence()
	if err != nil {
		return err
	}
	return s.feed.Put(binary.BigEndian.AppendUint64(nil, n), encodeChange(c, s.now))
}

func encodeChange(c change, at time.Time) []byte {
	one := c.before
	if one == nil {
		one = c.after
	}
	b := binary.AppendVarint([]byte{changeVersion}, at.UnixNano())
	for _, part := range [][]byte{[]byte(one.PK), []byte(one.SK), encodeImage(c.before), encodeImage(c.after)} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

func encodeImage(item *table.Item) []byte {
	if item == nil {
		return nil
	}
	return encode(*item)
}

func (t *Table) decodeChange(k, v []byte) (table.Change, error) {
	id := t.changeID(number(k))
	c, err := decodeChange(v)
	if err != nil {
		return table.Change{}, &table.ChangeError{ID: id, Sequence: strconv.FormatUint(number(k), 10), Key: changedKey(v), Err: err}
	}
	c.ID = id
	return c, nil
}

// changedKey reads the key of a change that may be damaged; the zero key is none.
func changedKey(v []byte) table.Key {
	r := reader{b: v}
	version, _ := r.byte(), r.varint()
	k := table.Key{PK: r.string(), SK: r.string()}
	if r.failed || version != changeVersion || table.ValidateKey(k) != nil {
		return table.Key{}
	}
	return k
}

// decodeChange reads all of a change but its ID.
func decodeChange(v []byte) (table.Change, error) {
	r := reader{b: v}
	version, at := r.byte(), r.varint()
	c := table.Change{Key: table.Key{PK: r.string(), SK: r.string()}, At: time.Unix(0, at).UTC()}
	before, after := r.bytes(), r.bytes()
	if r.failed || version != changeVersion || len(r.b) > 0 || len(before)+len(after) == 0 || table.ValidateKey(c.Key) != nil {
		return table.Change{}, errChange
	}
	var err error
	if c.Old, err = decodeImage(c.Key, before); err != nil {
		return table.Change{}, err
	}
	if c.New, err = decodeImage(c.Key, after); err != nil {
		return table.Change{}, err
	}
	return c, nil
}

func decodeImage(k table.Key, record []byte) (*table.Item, error) {
	if len(record) == 0 {
		return nil, nil
	}
	item, err := decode(k, record)
	if err != nil {
		return nil, err
	}
	return &item, nil
}

// number reads a key of the feed bucket.
func number(k []byte) uint64 {
	if len(k) != numberBytes {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

// changeID makes the number of a change, which only its file knows, one that
// is unique over all.
func (t *Table) changeID(n uint64) string { return t.id + "-" + strconv.FormatUint(n, 10) }

func (t *Table) changeNumber(id string) (uint64, bool) {
	digits, ok := strings.CutPrefix(id, t.id+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}
