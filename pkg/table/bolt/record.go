package bolt

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"keyvend/pkg/table"
)

// A record is the value of an item:
//
//	1 byte    version of the record: 2 when it has an expiry, else 1
//	uvarint   revision
//	uvarint   expiry in seconds since 1970; in version 2 only
//	uvarint   number of index positions, then for each
//	            uvarint and bytes   name
//	            uvarint and bytes   PK
//	            uvarint and bytes   SK
//	the rest  Doc
const (
	recordPlain    = 1
	recordExpiring = 2
)

func encode(item table.Item) []byte {
	b := make([]byte, 0, len(item.Doc)+64)
	version := byte(recordPlain)
	if !item.ExpiresAt.IsZero() {
		version = recordExpiring
	}
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(item.Revision)) //nolint:gosec // a valid item's revision is above zero
	if version == recordExpiring {
		b = binary.AppendUvarint(b, uint64(item.ExpiresAt.Unix())) //nolint:gosec // a valid expiry is above zero
	}
	b = binary.AppendUvarint(b, uint64(len(item.Index)))
	for _, name := range slices.Sorted(maps.Keys(item.Index)) {
		position := item.Index[name]
		for _, s := range []string{name, position.PK, position.SK} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return append(b, item.Doc...)
}

// decode copies what it keeps: v is bbolt's only until the transaction ends.
func decode(k table.Key, v []byte) (table.Item, error) {
	r := reader{b: v}
	version := r.byte()
	item := table.Item{Key: k, Revision: int64(r.uvarint())} //nolint:gosec // checked below
	switch version {
	case recordPlain:
	case recordExpiring:
		item.ExpiresAt = r.expiry()
	default:
		r.failed = true
	}
	positions := r.uvarint()
	for i := uint64(0); i < positions && !r.failed; i++ {
		name, pk, sk := r.string(), r.string(), r.string()
		if item.Index == nil {
			item.Index = map[string]table.Key{}
		}
		item.Index[name] = table.Key{PK: pk, SK: sk}
	}
	if r.failed || item.Revision < 1 {
		return table.Item{}, fmt.Errorf("%w: record of %v", table.ErrCorrupt, k)
	}
	item.Doc = append(make([]byte, 0, len(r.b)), r.b...)
	return item, nil
}

// reader takes a record apart; after the first failure it gives zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) byte() byte {
	if r.failed || len(r.b) == 0 {
		r.failed = true
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.failed || size <= 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if r.failed || size <= 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) expiry() time.Time {
	at, ok := table.ExpiryOf(int64(r.uvarint())) //nolint:gosec // a number that overflows is no expiry
	r.failed = r.failed || !ok
	return at
}

func (r *reader) string() string { return string(r.bytes()) }

// bytes returns a part of what is read, not a copy.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.failed || n > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}
