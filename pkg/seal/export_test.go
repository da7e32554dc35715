package seal

import (
	"runtime"
	"testing"
	"time"
)

// Len is the number of cached entries.
func (r *Ring) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache.entries.Len()
}

// KeyBytes returns the memory of a key without keeping the key itself alive.
func (k *IngestKey) KeyBytes() []byte { return k.key.b[:] }

// Remake gives changed sealed bytes a right MAC: what somebody who holds the
// ingest key, and only that, could do.
func (k *IngestKey) Remake(b Binding, c Cover, sealed []byte) Sealed {
	h, err := ParseHeader(sealed)
	if err != nil {
		return Sealed{Secret: sealed}
	}
	return Sealed{Secret: sealed, MAC: k.sealedMAC(b.encode(h), c, sealed)}
}

// EncodeBinding is the HPKE info.
func EncodeBinding(b Binding, h Header) []byte { return b.encode(h) }

// EncodeCover is what the MAC covers besides.
func EncodeCover(c Cover) []byte { return c.encode() }

// AppendHeader encodes a header.
func AppendHeader(h Header) []byte { return h.append(nil) }

// HeaderSize is the length of an encoded header.
const HeaderSize = headerSize

// Await collects garbage until done says so, or fails the test.
func Await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}
