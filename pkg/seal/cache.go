package seal

import (
	"crypto/sha256"
	"time"

	"keyvend/pkg/keep"
)

// entryID is what an entry is found by: a hash over the wrapping key, the full
// context and the blob.
type entryID struct {
	tenant string
	sum    [sha256.Size]byte
}

// held is unwrapped key material: of the ingest purpose ingest, of the seal
// purpose ingest and opening, of the session purpose signing.
type held struct {
	ingest  *IngestKey
	opening *OpeningKey
	signing *SigningKey
}

type entry struct {
	id entryID
	held
	err   error // instead of held: a remembered refusal
	born  keep.Instant
	ttl   time.Duration
	timer *time.Timer
}

// cache holds entries in a bounded number, each until its time is up. The
// caller locks.
type cache struct {
	entries  *keep.Map[entryID, *entry]
	byTenant map[string]*entry // the last used entry of a tenant that holds a key
}

func newCache(size int) *cache {
	c := &cache{byTenant: map[string]*entry{}}
	c.entries = keep.NewMap[entryID](size, c.dropped)
	return c
}

func (c *cache) get(id entryID, now keep.Instant) (*entry, bool) {
	e, ok := c.entries.Get(id)
	if !ok {
		return nil, false
	}
	if now.Expired(e.born, e.ttl) {
		c.drop(e)
		return nil, false
	}
	c.index(e)
	return e, true
}

// ofTenant does not count as a use: whoever forges tokens keeps nothing alive.
func (c *cache) ofTenant(tenant string, now keep.Instant) (*entry, bool) {
	e, ok := c.byTenant[tenant]
	if !ok {
		return nil, false
	}
	if now.Expired(e.born, e.ttl) {
		c.drop(e)
		return nil, false
	}
	return e, true
}

func (c *cache) put(e *entry) {
	c.entries.Put(e.id, e)
	c.index(e)
}

func (c *cache) index(e *entry) {
	if e.ingest != nil {
		c.byTenant[e.id.tenant] = e
	}
}

// drop removes e, unless another entry has taken its place.
func (c *cache) drop(e *entry) {
	if there, _ := c.entries.Peek(e.id); there == e {
		c.entries.Drop(e.id)
	}
}

// dropped is told of each entry that goes. The keys wipe themselves when the
// last of their users is done.
func (c *cache) dropped(e *entry) {
	e.timer.Stop()
	if c.byTenant[e.id.tenant] == e {
		delete(c.byTenant, e.id.tenant)
	}
}
