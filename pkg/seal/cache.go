package seal

import (
	"container/list"
	"crypto/sha256"
	"time"
)

// clock reads wall time and monotonic time. Both are needed: the wall clock can
// be set, and the monotonic one may stand still while a process is frozen.
type clock struct {
	wall   func() time.Time
	uptime func() time.Duration
}

func newClock(wall func() time.Time, uptime func() time.Duration) clock {
	if wall == nil {
		wall = time.Now
	}
	if uptime == nil {
		start := time.Now()
		uptime = func() time.Duration { return time.Since(start) }
	}
	return clock{wall, uptime}
}

func (c clock) now() instant { return instant{c.wall().UnixNano(), c.uptime()} }

// instant is one moment by both clocks.
type instant struct {
	wall   int64 // ns since 1970
	uptime time.Duration
}

// expired reports whether ttl has passed since born by either clock, or either
// ran backwards.
func (t instant) expired(born instant, ttl time.Duration) bool {
	outside := func(age time.Duration) bool { return age < 0 || age >= ttl }
	return outside(time.Duration(t.wall-born.wall)) || outside(t.uptime-born.uptime)
}

// entryID is what an entry is found by: a hash over the wrapping key, the full
// context and the blob.
type entryID struct {
	tenant string
	sum    [sha256.Size]byte
}

// held is unwrapped key material.
type held struct {
	ingest  *IngestKey
	opening *OpeningKey // nil for the ingest purpose
}

type entry struct {
	id entryID
	held
	err   error // instead of held: a remembered refusal
	born  instant
	ttl   time.Duration
	timer *time.Timer
	at    *list.Element
}

// cache is a bounded LRU with absolute expiry. The caller locks.
type cache struct {
	size     int
	entries  map[entryID]*entry
	recent   *list.List        // of *entry, last used first
	byTenant map[string]*entry // the last used entry of a tenant that holds a key
}

func newCache(size int) *cache {
	return &cache{size: size, entries: map[entryID]*entry{}, recent: list.New(), byTenant: map[string]*entry{}}
}

func (c *cache) get(id entryID, now instant) (*entry, bool) {
	e, ok := c.entries[id]
	if !ok {
		return nil, false
	}
	if now.expired(e.born, e.ttl) {
		c.drop(e)
		return nil, false
	}
	c.recent.MoveToFront(e.at)
	c.index(e)
	return e, true
}

// ofTenant does not count as a use: whoever forges tokens keeps nothing alive.
func (c *cache) ofTenant(tenant string, now instant) (*entry, bool) {
	e, ok := c.byTenant[tenant]
	if !ok {
		return nil, false
	}
	if now.expired(e.born, e.ttl) {
		c.drop(e)
		return nil, false
	}
	return e, true
}

func (c *cache) put(e *entry) {
	if old, ok := c.entries[e.id]; ok {
		c.drop(old)
	}
	c.entries[e.id] = e
	e.at = c.recent.PushFront(e)
	c.index(e)
	for len(c.entries) > c.size {
		if last, ok := c.recent.Back().Value.(*entry); ok {
			c.drop(last)
		}
	}
}

func (c *cache) index(e *entry) {
	if e.ingest != nil {
		c.byTenant[e.id.tenant] = e
	}
}

// drop removes e, unless another entry has taken its place. The keys wipe
// themselves when the last of their users is done.
func (c *cache) drop(e *entry) {
	if c.entries[e.id] != e {
		return
	}
	e.timer.Stop()
	delete(c.entries, e.id)
	c.recent.Remove(e.at)
	if c.byTenant[e.id.tenant] == e {
		delete(c.byTenant, e.id.tenant)
	}
}
