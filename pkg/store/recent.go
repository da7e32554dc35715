package store

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"keyvend/pkg/keep"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// The first letters of partition keys, by what Recent does with their rows.
const (
	// Tenants, settings, API keys, integrations, organizations with their
	// switches change rarely. Accounts do not: they are read each time.
	keptLetters = "TFKIO"
	// Settings and organizations mostly have no row, and that is kept as well. A
	// tenant, API key or integration that is missing is looked for again: it may
	// have just been made.
	absentLetters = "FO"
)

// RecentConfig says how long rows are kept, and how many.
type RecentConfig struct {
	// TTL is how old a row may be, counted from before it was read. Not 0.
	TTL time.Duration
	// Size is the number of rows that are kept at most. 0 = 1000.
	Size int
	// Now is the wall clock. nil = time.Now.
	Now func() time.Time
	// Uptime is a monotonic clock. nil = the process's own.
	Uptime func() time.Duration
}

// Recent is a vault.Reader that keeps rows which change rarely for a short time
// and so spares their partitions, for functions that write nothing. A change of
// such a row is seen at the latest when its time is up; accounts are always
// read strongly. It is safe for concurrent use.
type Recent struct {
	store *Store
	ttl   time.Duration
	clock keep.Clock

	mu   sync.Mutex
	rows *keep.Map[table.Key, keptRow]
}

// keptRow is what was found at a key.
type keptRow struct {
	item  table.Item
	found bool
	born  keep.Instant
}

// NewRecent makes a Recent over s.
func NewRecent(s *Store, cfg RecentConfig) *Recent {
	if cfg.Size <= 0 {
		cfg.Size = 1000
	}
	return &Recent{
		store: s,
		ttl:   cfg.TTL,
		clock: keep.NewClock(cfg.Now, cfg.Uptime),
		rows:  keep.NewMap[table.Key, keptRow](cfg.Size, nil),
	}
}

// Load implements vault.Reader. What is kept and does not go together with the
// account is read anew: who rotates a key pair, defines a check or registers a
// provider again may store a key and vend it in the same second.
func (r *Recent) Load(ctx context.Context, t vault.Target) (vault.View, error) {
	keys := targetKeys(t)
	items, missing := r.recall(keys)
	v, err := r.load(ctx, t, items, missing)
	if err == nil && len(missing) < len(keys) && !v.Coherent() {
		return r.load(ctx, t, map[table.Key]table.Item{}, keys)
	}
	return v, err
}

// load adds the rows at missing to items and makes the view of t of them all.
func (r *Recent) load(ctx context.Context, t vault.Target, items map[table.Key]table.Item, missing []table.Key) (vault.View, error) {
	born := r.clock.Now()
	if len(missing) > 0 {
		read, err := r.store.get(ctx, missing...)
		if err != nil {
			return vault.View{}, err
		}
		maps.Copy(items, read)
	}
	v, err := view(items, t)
	// Beside a row that cannot be read, or for an API key without one, nothing is
	// kept: the next request looks again.
	if err == nil && v.Damaged == nil && v.APIKey != nil {
		r.remember(missing, items, born)
	}
	return v, err
}

// recall finds what is kept and in time, and says for which keys nothing is.
func (r *Recent) recall(keys []table.Key) (items map[table.Key]table.Item, missing []table.Key) {
	now := r.clock.Now()
	items = map[table.Key]table.Item{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		switch row, ok := r.rows.Get(key); {
		case !ok || now.Expired(row.born, r.ttl):
			missing = append(missing, key)
		case row.found:
			items[key] = row.item
		}
	}
	return items, missing
}

// remember keeps those rows that are of a kind that is kept.
func (r *Recent) remember(keys []table.Key, items map[table.Key]table.Item, born keep.Instant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		letters := absentLetters
		item, found := items[key]
		if found {
			letters = keptLetters
		}
		if strings.Contains(letters, key.PK[:1]) {
			r.rows.Put(key, keptRow{item, found, born})
		}
	}
}
