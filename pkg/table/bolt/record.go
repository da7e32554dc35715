package bolt

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"keyvend/pkg/table"
)

// A record is the value of an item:
//
//	1 byte    version of the record, 1
//	uvarint   revision
//	uvarint   number of index positions, then for each
//	            uvarint and bytes   name
//	            uvarint and bytes   PK
//	            uvarint and bytes   SK
//	the rest  Doc
const recordVersion = 1

func encode(item table.Item) []byte {
	b := make([]byte, 0, len(item.Doc)+64)
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(item.Revision)) //nolint:gosec // a valid item's revision is above zero
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
	revision := r.uvarint()
	positions := r.uvarint()
	item := table.Item{Key: k, Revision: int64(revision)} //nolint:gosec // checked below
	for i := uint64(0); i < positions && !r.failed; i++ {
		name, pk, sk := r.string(), r.string(), r.string()
		if item.Index == nil {
			item.Index = map[string]table.Key{}
		}
		item.Index[name] = table.Key{PK: pk, SK: sk}
	}
	if r.failed || version != recordVersion || item.Revision < 1 {
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

func (r *reader) string() string {
	n := r.uvarint()
	if r.failed || n > uint64(len(r.b)) {
		r.failed = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
