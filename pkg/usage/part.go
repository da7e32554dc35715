package usage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Part is what one delivery of audit lines holds for one row.
type Part struct {
	Entries []Entry
	digest  [digestSize]byte // the same for the same entries in any order
}

// NewPart makes a part of entries, each of which is in it once.
func NewPart(entries []Entry) Part {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.RequestID
	}
	slices.Sort(ids)
	all := sha256.New()
	for _, id := range ids {
		_, _ = all.Write([]byte(id + "\n")) // never fails (hash.Hash)
	}
	p := Part{Entries: entries}
	copy(p.digest[:], all.Sum(nil))
	return p
}

// Shard is the row that counts p, of Shards: always the same one, since that row
// is who recognizes it.
func (p Part) Shard() int { return int(p.digest[0]) % Shards }

// Last is the newest time in p.
func (p Part) Last() (last time.Time) {
	for _, e := range p.Entries {
		if e.At.After(last) {
			last = e.At
		}
	}
	return last
}

// Applied are the parts that a row has taken in, so that one that is delivered
// again is recognized: 12 bytes each, oldest first.
//
//	4 bytes  when it was taken in, in seconds since 1970, big endian
//	8 bytes  the first of SHA-256 over the request ids, sorted, each with a newline
//
// A part is recognized for Remembers after it was taken in, as long as the row
// has not taken in Most others since.
type Applied []byte

// The bounds of Applied.
const (
	Remembers = time.Hour
	Most      = 256
)

const (
	timeSize   = 4
	digestSize = 8
	recordSize = timeSize + digestSize
)

func (a Applied) has(p Part) bool {
	for ; len(a) >= recordSize; a = a[recordSize:] {
		if bytes.Equal(a[timeSize:recordSize], p.digest[:]) {
			return true
		}
	}
	return false
}

// with is a and p, without what is too old or too much.
func (a Applied) with(p Part, now time.Time) Applied {
	for len(a) >= recordSize && (len(a) >= Most*recordSize || now.Unix()-int64(binary.BigEndian.Uint32(a)) > int64(Remembers/time.Second)) {
		a = a[recordSize:]
	}
	next := slices.Grow(slices.Clone(a), recordSize)
	next = binary.BigEndian.AppendUint32(next, uint32(now.Unix())) //nolint:gosec // fits until 2106
	return append(next, p.digest[:]...)
}
