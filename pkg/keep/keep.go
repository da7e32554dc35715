// Package keep holds what every memory of this program needs to stay within
// bounds: a map of so many entries and no more, and moments of which it is
// certain how long ago they were.
package keep

import (
	"container/list"
	"time"
)

// Map holds at most a number of entries; for one too many, the one that was not
// used for the longest time goes. The caller locks.
type Map[K comparable, V any] struct {
	size    int
	dropped func(V)
	entries map[K]*list.Element // of slot[K, V]
	recent  *list.List          // last used first
}

type slot[K comparable, V any] struct {
	key   K
	value V
}

// NewMap makes a Map of at most size entries. dropped, when not nil, is told of
// each value that leaves the Map, for whatever reason.
func NewMap[K comparable, V any](size int, dropped func(V)) *Map[K, V] {
	return &Map[K, V]{size: size, dropped: dropped, entries: map[K]*list.Element{}, recent: list.New()}
}

// Get finds the value of k, which counts as a use.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	at, ok := m.entries[k]
	if !ok {
		return v, false
	}
	m.recent.MoveToFront(at)
	return at.Value.(slot[K, V]).value, true //nolint:forcetypeassert // nothing else is put into the list
}

// Peek is Get without a use.
func (m *Map[K, V]) Peek(k K) (v V, ok bool) {
	at, ok := m.entries[k]
	if !ok {
		return v, false
	}
	return at.Value.(slot[K, V]).value, true //nolint:forcetypeassert // nothing else is put into the list
}

// Put gives k a value in place of the one that it has.
func (m *Map[K, V]) Put(k K, v V) {
	m.Drop(k)
	m.entries[k] = m.recent.PushFront(slot[K, V]{k, v})
	for len(m.entries) > m.size {
		m.drop(m.recent.Back())
	}
}

// Drop removes k, if it is there.
func (m *Map[K, V]) Drop(k K) {
	if at, ok := m.entries[k]; ok {
		m.drop(at)
	}
}

func (m *Map[K, V]) drop(at *list.Element) {
	gone := m.recent.Remove(at).(slot[K, V]) //nolint:forcetypeassert // nothing else is put into the list
	delete(m.entries, gone.key)
	if m.dropped != nil {
		m.dropped(gone.value)
	}
}

// Len is the number of entries.
func (m *Map[K, V]) Len() int { return len(m.entries) }

// Clock reads wall time and monotonic time. Both are needed: the wall clock can
// be set, and the monotonic one may stand still while a process is frozen.
type Clock struct {
	wall   func() time.Time
	uptime func() time.Duration
}

// NewClock makes a Clock of both; nil are the real ones.
func NewClock(wall func() time.Time, uptime func() time.Duration) Clock {
	if wall == nil {
		wall = time.Now
	}
	if uptime == nil {
		start := time.Now()
		uptime = func() time.Duration { return time.Since(start) }
	}
	return Clock{wall, uptime}
}

// Now is the present moment.
func (c Clock) Now() Instant { return Instant{c.wall().UnixNano(), c.uptime()} }

// Instant is one moment by both clocks.
type Instant struct {
	wall   int64 // ns since 1970
	uptime time.Duration
}

// Expired reports whether, at t, ttl has passed since born by either clock, or
// either ran backwards.
func (t Instant) Expired(born Instant, ttl time.Duration) bool {
	outside := func(age time.Duration) bool { return age < 0 || age >= ttl }
	return outside(time.Duration(t.wall-born.wall)) || outside(t.uptime-born.uptime)
}
