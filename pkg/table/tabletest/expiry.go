package tabletest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"keyvend/pkg/table"
)

// expiryPatience is how long the suite waits for an engine to delete what has
// expired.
const expiryPatience = time.Minute

// reaper is a table that deletes what has expired when told to.
type reaper interface {
	Reap(ctx context.Context) error
}

func reap(ctx context.Context, tb table.Table) error {
	if r, ok := tb.(reaper); ok {
		return r.Reap(ctx)
	}
	return nil
}

// expiring is a placed item: the emulator of DynamoDB never deletes one that is
// not in every index of its table.
func expiring(name string, revision int64, at time.Time) table.Item {
	i := placed(item(key("p", name), revision, name), key("i", name))
	i.ExpiresAt = at
	return i
}

// inWholeSeconds is now and d later or, when d is negative, earlier.
func inWholeSeconds(d time.Duration) time.Time { return time.Now().Add(d).Truncate(time.Second) }

// expiryCases wait for nothing to be deleted.
var expiryCases = map[string]func(*testing.T, table.Table){
	"ExpiresAt is kept, in UTC, and not shown by an index": func(t *testing.T, tb table.Table) {
		for name, at := range map[string]time.Time{
			"soon":      inWholeSeconds(time.Hour),
			"elsewhere": inWholeSeconds(time.Hour).In(time.FixedZone("elsewhere", 3600)),
			"latest":    time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
			"never":     {},
		} {
			want := expiring(name, 1, at)
			put(t, tb, want)
			got := get(t, tb, want.Key)[want.Key]
			if d := differ(got, want); d != "" {
				t.Error(d)
			}
			if got.ExpiresAt.Location() != time.UTC {
				t.Errorf("%s: %v is not UTC", name, got.ExpiresAt)
			}
			all, err := read(t.Context(), tb, table.Query{PK: "p", Prefix: name, Limit: 1})
			if err == nil {
				err = differAll(all, []table.Item{want})
			}
			if err != nil {
				t.Errorf("query for %s: %v", name, err)
			}
			awaitIndex(t, tb, table.Query{Index: Index, PK: "i", Prefix: name, Limit: 1}, placed(table.Item{Key: want.Key}, key("i", name)))
		}
	},
	"a Put sets ExpiresAt anew or takes it away": func(t *testing.T, tb table.Table) {
		i := expiring("a", 1, time.Time{})
		put(t, tb, i)
		for n, at := range []time.Time{inWholeSeconds(time.Hour), inWholeSeconds(2 * time.Hour), {}} {
			i.Revision, i.ExpiresAt = int64(n+2), at
			write(t, tb, table.Put(i, table.At(i.Revision-1)))
			if d := differ(get(t, tb, i.Key)[i.Key], i); d != "" {
				t.Error(d)
			}
		}
	},
	"a repeat of a Put has the same ExpiresAt": func(t *testing.T, tb table.Table) {
		at := inWholeSeconds(time.Hour)
		stored, other, forever := expiring("a", 3, at), expiring("a", 3, at.Add(time.Second)), expiring("a", 3, time.Time{})
		put(t, tb, stored)
		neighbour := table.Put(item(key("q", "b"), 1, "b"), table.Absent)
		for _, c := range []table.Condition{table.Absent, table.At(2)} {
			write(t, tb, table.Put(stored, c))
			write(t, tb, neighbour, table.Put(stored, c))
			for _, i := range []table.Item{other, forever} {
				refused(t, tb.Write(t.Context(), table.Put(i, c)), 0)
				refused(t, tb.Write(t.Context(), neighbour, table.Put(i, c)), 1)
			}
		}
		if d := differ(get(t, tb, stored.Key)[stored.Key], stored); d != "" {
			t.Error(d)
		}
	},
	"Write refuses an ExpiresAt outside the rules": func(t *testing.T, tb table.Table) {
		now := inWholeSeconds(0)
		for _, at := range []time.Time{now.Add(1), now.Add(-time.Nanosecond), time.Unix(0, 0), time.Unix(-1, 0), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			if err := tb.Write(t.Context(), table.Put(expiring("a", 1, at), table.Absent)); !errors.Is(err, table.ErrInvalid) {
				t.Errorf("%v: %v, want ErrInvalid", at, err)
			}
		}
		if found := get(t, tb, key("p", "a")); len(found) != 0 {
			t.Errorf("stored: %v", found)
		}
	},
}

// RunExpiry holds the engine that open returns to what the port says of items
// that expire, and their feed. It waits until they are gone, or tells a table
// with a method Reap(context.Context) error to delete them.
func RunExpiry(t *testing.T, open func(t *testing.T) Fed) {
	t.Run("what has expired goes in the end, with a change, and nothing else does", func(t *testing.T) {
		f := open(t)
		past, soon := inWholeSeconds(-time.Hour), inWholeSeconds(time.Second)
		gone := []table.Item{expiring("long-expired", 1, past), expiring("expired-too", 1, past.Add(time.Minute)), expiring("expires-soon", 1, soon)}
		kept := []table.Item{expiring("never-expires", 1, time.Time{}), expiring("expires-later", 1, inWholeSeconds(time.Hour))}
		want := map[table.Key]states{}
		for _, i := range gone {
			put(t, f.Table, i)
			want[i.Key] = states{&i, nil}
		}
		for _, i := range kept {
			put(t, f.Table, i)
			want[i.Key] = states{&i}
		}
		for _, saved := range []table.Item{expiring("saved", 2, time.Time{}), expiring("postponed", 2, inWholeSeconds(time.Hour))} {
			want[saved.Key] = save(t, f.Table, expiring(saved.SK, 1, past), saved)
			kept = append(kept, saved)
		}
		awaitGone(t, f.Table, gone)
		for _, i := range kept {
			if d := differ(get(t, f.Table, i.Key)[i.Key], i); d != "" {
				t.Error(d)
			}
			awaitIndex(t, f.Table, table.Query{Index: Index, PK: "i", Prefix: i.SK, Limit: 10}, fromIndex(i, Index))
		}
		expect(t, f.Feed, want)
		put(t, f.Table, gone[0])
	})
}

// save puts an item that has expired and replaces it by one that has not,
// unless the engine was faster. It returns what the item was.
func save(t *testing.T, tb table.Table, expired, saved table.Item) states {
	t.Helper()
	put(t, tb, expired)
	err := tb.Write(t.Context(), table.Put(saved, table.At(expired.Revision)))
	if err == nil {
		return states{&expired, &saved}
	}
	refused(t, err, 0)
	put(t, tb, saved)
	return states{&expired, nil, &saved}
}

// awaitGone waits until items are neither in the table nor in its index. Each
// is there whole until it is gone.
func awaitGone(t *testing.T, tb table.Table, items []table.Item) {
	t.Helper()
	deadline := time.Now().Add(expiryPatience)
	for _, i := range items {
		for {
			found, there := get(t, tb, i.Key)[i.Key]
			if !there {
				break
			}
			if d := differ(found, i); d != "" {
				t.Fatalf("an expired item has changed: %s", d)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is still there after %v", brief(found), expiryPatience)
			}
			if err := reap(t.Context(), tb); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		awaitIndex(t, tb, table.Query{Index: Index, PK: "i", Prefix: i.SK, Limit: 10})
		if all, err := read(t.Context(), tb, table.Query{PK: "p", Prefix: i.SK, Limit: 10}); err != nil || len(all) != 0 {
			t.Errorf("a query shows %v, %v", all, fmt.Sprint(err))
		}
	}
}
