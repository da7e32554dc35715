package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
)

const (
	reapAtOnce  = 100 // expired items deleted in one transaction: other writes wait for it
	reapARound  = 100 // such transactions in one round of the reaper
	secondBytes = 8
)

// reaper deletes what has expired, at once and then every so often, until the
// table is closed. A round that fails is made up for by the next.
func (t *Table) reaper(every time.Duration) {
	defer close(t.reaped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		_ = t.reap(context.Background(), reapARound)
		select {
		case <-t.closing:
			return
		case <-ticker.C:
		}
	}
}

// Reap deletes all items that have expired, without waiting for the next round
// of the reaper. Errors are those of Write.
func (t *Table) Reap(ctx context.Context) error {
	for {
		err := t.reap(ctx, reapARound)
		if !errors.Is(err, errMore) {
			return err
		}
	}
}

var errMore = errors.New("there is more to reap")

// reap deletes expired items in at most so many transactions.
func (t *Table) reap(ctx context.Context, transactions int) error {
	for range transactions {
		some := false
		// Most rounds find nothing, and a commit costs a write to the disk.
		err := t.view(ctx, func(tx *bbolt.Tx) error {
			k, _ := tx.Bucket(bucketExpiry).Cursor().First()
			some = expired(k, t.now())
			return nil
		})
		if err != nil || !some {
			return err
		}
		if err := t.submit(ctx, func(s *session) (refusal, fatal error) { return nil, s.reap() }); err != nil {
			return err
		}
	}
	return errMore
}

// reap deletes some of the expired items.
func (s *session) reap() error {
	var keys [][]byte
	cursor := s.expiry.Cursor()
	for k, _ := cursor.First(); expired(k, s.now) && len(keys) < reapAtOnce; k, _ = cursor.Next() {
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		if err := s.reapOne(k); err != nil {
			return err
		}
	}
	return nil
}

// reapOne deletes the item of an entry of the expiry bucket. An item that
// cannot be read stays for somebody to look at; its entry goes, so that it does
// not stand before the others forever.
func (s *session) reapOne(k []byte) error {
	item, err := entry(k[secondBytes:], s.items.Get(k[secondBytes:]), "")
	if err == nil && bytes.Equal(expiryKey(item), k) {
		if err := s.apply(change{before: &item}); err != nil {
			return err
		}
	}
	return s.expiry.Delete(k)
}

// expired tells whether the time of an entry of the expiry bucket is over; nil
// is no entry.
func expired(k []byte, now time.Time) bool {
	if len(k) < secondBytes {
		return false
	}
	at, ok := table.ExpiryOf(int64(binary.BigEndian.Uint64(k))) //nolint:gosec // a number that overflows is no expiry
	return ok && now.After(at)
}

func expiryKey(item table.Item) []byte {
	second := binary.BigEndian.AppendUint64(nil, uint64(item.ExpiresAt.Unix())) //nolint:gosec // a valid expiry is above zero
	return append(second, itemKey(item.Key)...)
}
