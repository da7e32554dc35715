package tabletest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/table"
)

// feedPatience is how long the suite waits for a change to come out of a feed.
const feedPatience = 15 * time.Second

// clockSlack is what the clock of a feed may be off; the emulator of DynamoDB
// knows minutes.
const clockSlack = 2 * time.Minute

// Fed is an engine with its feed.
type Fed struct {
	Table table.Table
	Feed  table.Feed
	// Reopen gives both anew, as after a crash: nothing is left of what they kept
	// in memory. The old ones are not used any more.
	Reopen func(t *testing.T) (table.Table, table.Feed)
}

// RunFeed holds the engine that open returns, an empty table and its feed at
// each call, to every sentence of the contract of table.Feed, but for expiry.
func RunFeed(t *testing.T, open func(t *testing.T) Fed) {
	for _, name := range slices.Sorted(maps.Keys(feedCases)) {
		t.Run(name, func(t *testing.T) { feedCases[name](t, open(t)) })
	}
}

// states are what an item is after each of its commits; nil is its absence.
type states []*table.Item

var feedCases = map[string]func(*testing.T, Fed){
	"an empty feed has no changes": func(t *testing.T, f Fed) {
		if changes := next(t, f.Feed, 10); len(changes) != 0 {
			t.Fatalf("%d changes", len(changes))
		}
	},
	"Changes refuses a limit outside the rules": func(t *testing.T, f Fed) {
		for _, limit := range []int{0, -1, table.MaxPage + 1} {
			if changes, err := f.Feed.Changes(t.Context(), limit); !errors.Is(err, table.ErrInvalid) || changes != nil {
				t.Errorf("limit %d: %v, %v; want nothing and ErrInvalid", limit, changes, err)
			}
		}
	},
	"a context that has ended is ErrUnavailable and acknowledges nothing": func(t *testing.T, f Fed) {
		a := item(key("p", "a"), 1, "1")
		put(t, f.Table, a)
		first := collect(t, f.Feed, 1)[0]
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if changes, err := f.Feed.Changes(ctx, 10); !errors.Is(err, table.ErrUnavailable) || changes != nil {
			t.Errorf("Changes: %v, %v; want nothing and ErrUnavailable", changes, err)
		}
		if err := f.Feed.Acknowledge(ctx, first); !errors.Is(err, table.ErrUnavailable) {
			t.Errorf("Acknowledge: %v, want ErrUnavailable", err)
		}
		if again := collect(t, f.Feed, 1)[0]; again.ID != first.ID {
			t.Errorf("change %s, want %s", again.ID, first.ID)
		}
	},
	"each commit gives its change once, with the item before and after": func(t *testing.T, f Fed) {
		k := key("p!~", "s~!")
		later := time.Now().Add(time.Hour).Truncate(time.Second)
		one := item(k, 1, "")
		two := placed(item(k, 2, "line\n\x00\x1f\u2028é\U0001F511\ufffd"), key("i", "here"))
		three := placed(item(k, 3, `"\<>&`), key("i", "there"))
		three.ExpiresAt = later
		four := item(k, 1<<53+1, "")
		began := time.Now()
		write(t, f.Table, table.Put(one, table.Absent))
		write(t, f.Table, table.Put(two, table.At(1)))
		write(t, f.Table, table.Put(three, table.Present))
		write(t, f.Table, table.Delete(k, table.At(3)))
		write(t, f.Table, table.Put(four, table.Absent))
		write(t, f.Table, table.Delete(k, table.Present))
		ended := time.Now()
		changes := expect(t, f.Feed, map[table.Key]states{k: {&one, &two, &three, nil, &four, nil}})
		for _, c := range changes {
			if c.At.Before(began.Add(-clockSlack)) || c.At.After(ended.Add(clockSlack)) || c.At.Location() != time.UTC {
				t.Errorf("committed at %v, between %v and %v", c.At, began, ended)
			}
		}
	},
	"a transaction gives a change for each item that it changed": func(t *testing.T, f Fed) {
		a, b, held := item(key("p", "a"), 1, "A"), item(key("q", "b"), 1, "B"), item(key("q", "held"), 1, "held")
		a2, a3 := item(a.Key, 2, "A2"), item(a.Key, 3, "A3")
		write(t, f.Table, table.Put(b, table.Absent), table.Put(held, table.Absent), table.Put(a, table.Absent))
		write(t, f.Table, table.Check(held.Key, table.Present), table.Delete(b.Key, table.At(1)), table.Put(a2, table.At(1)))
		// One that is refused leaves no trace.
		refused(t, f.Table.Write(t.Context(), table.Put(a3, table.At(2)), table.Delete(held.Key, table.At(7))), 1)
		write(t, f.Table, table.Put(a3, table.At(2)))
		write(t, f.Table, table.Delete(held.Key, table.At(1)))
		expect(t, f.Feed, map[table.Key]states{a.Key: {&a, &a2, &a3}, b.Key: {&b, nil}, held.Key: {&held, nil}})
	},
	"a Write that changes nothing gives no change": func(t *testing.T, f Fed) {
		a, b := placed(item(key("p", "a"), 1, "A"), key("i", "a")), item(key("p", "b"), 1, "B")
		a.ExpiresAt = time.Now().Add(time.Hour).Truncate(time.Second)
		write(t, f.Table, table.Put(a, table.Absent))
		write(t, f.Table, table.Put(a, table.Absent), table.Put(b, table.Absent))
		for _, c := range []table.Condition{table.Absent, table.Present, table.At(1), table.At(9)} {
			write(t, f.Table, table.Put(a, c))
			write(t, f.Table, table.Put(a, c), table.Put(b, c))
		}
		refused(t, f.Table.Write(t.Context(), table.Delete(a.Key, table.At(9))), 0)
		write(t, f.Table, table.Check(a.Key, table.Present), table.Check(b.Key, table.At(1)))
		write(t, f.Table, table.Delete(a.Key, table.Present), table.Delete(b.Key, table.Present))
		expect(t, f.Feed, map[table.Key]states{a.Key: {&a, nil}, b.Key: {&b, nil}})
	},
	"another place in an index and another expiry are changes": func(t *testing.T, f Fed) {
		k := key("p", "a")
		one, two, three := item(k, 1, "A"), placed(item(k, 1, "A"), key("i", "a")), item(k, 2, "A")
		three.ExpiresAt = time.Now().Add(time.Hour).Truncate(time.Second)
		for n, i := range []table.Item{one, two, three} {
			condition := table.Present
			if n == 0 {
				condition = table.Absent
			}
			write(t, f.Table, table.Put(i, condition))
		}
		expect(t, f.Feed, map[table.Key]states{k: {&one, &two, &three}})
	},
	"changes of one item come in the order of their commits, whoever writes and while they do": func(t *testing.T, f Fed) {
		keys := []table.Key{key("p", "a"), key("p", "b"), key("q", "a")}
		want := map[table.Key]int{}
		for _, k := range keys {
			want[k] = 1 + workers*rounds
			put(t, f.Table, item(k, 1, ""))
		}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for range rounds {
					for n := range keys {
						if err := add(t.Context(), f.Table, keys[(n+w)%len(keys)], w); err != nil {
							t.Errorf("worker %d: %v", w, err)
							return
						}
					}
				}
			})
		}
		defer wg.Wait()
		histories := gather(t, f.Feed, 7, want)
		for k, changes := range histories {
			for n, c := range changes {
				if c.New == nil || c.New.Revision != int64(n+1) || (c.Old == nil) != (n == 0) || n > 0 && differ(*c.Old, *changes[n-1].New) != "" {
					t.Fatalf("change %d of %v is %s", n, k, describe(c))
				}
			}
		}
	},
	"changes come again until they are acknowledged, never more than asked for": func(t *testing.T, f Fed) {
		const all = 30
		var items []table.Item
		for n := range all {
			items = append(items, item(key("p", fmt.Sprintf("%02d", n)), 1, fmt.Sprint(n)))
			put(t, f.Table, items[n])
		}
		want := collect(t, f.Feed, all)
		for _, limit := range []int{1, 7, all, table.MaxPage} {
			got := next(t, f.Feed, limit)
			if len(got) > limit || len(got) == 0 {
				t.Fatalf("%d changes, asked for %d", len(got), limit)
			}
			sameChanges(t, got, want[:len(got)])
		}
		for from := 0; from < all; {
			got := collect(t, f.Feed, min(4, all-from))
			sameChanges(t, got, want[from:from+len(got)])
			acknowledge(t, f.Feed, got[len(got)/2])
			from += len(got)/2 + 1
		}
		if rest := next(t, f.Feed, 10); len(rest) != 0 {
			t.Errorf("%d changes are left", len(rest))
		}
	},
	"changes that were not acknowledged come again after a crash": func(t *testing.T, f Fed) {
		var items []table.Item
		for n := range 9 {
			items = append(items, item(key("p", fmt.Sprint(n)), 1, "x"))
			put(t, f.Table, items[n])
		}
		before := collect(t, f.Feed, len(items))
		acknowledge(t, f.Feed, before[2])
		tb, feed := f.Reopen(t)
		put(t, tb, item(key("p", "after"), 1, "x"))
		// Those that were acknowledged may come too.
		seen := map[string]table.Change{}
		patiently(t, "all changes after a crash", func() error {
			for _, c := range next(t, feed, table.MaxPage) {
				seen[c.ID] = c
			}
			for _, c := range before[3:] {
				if d := differChanges(seen[c.ID], c); d != "" {
					return fmt.Errorf("change %s: %s", c.ID, d)
				}
			}
			for _, c := range seen {
				if c.Key.SK == "after" {
					return nil
				}
			}
			return errors.New("the change after the crash is missing")
		})
	},
	"nothing is lost between reading and acknowledging": func(t *testing.T, f Fed) {
		k := key("p", "a")
		var want states
		var got []table.Change
		for n := range 12 {
			i := item(k, int64(n+1), fmt.Sprint(n))
			want = append(want, &i)
		}
		put(t, f.Table, *want[0])
		for n := range want {
			changes := collect(t, f.Feed, 1)
			if n+1 < len(want) {
				write(t, f.Table, table.Put(*want[n+1], table.At(int64(n+1))))
			}
			got = append(got, changes...)
			acknowledge(t, f.Feed, changes[len(changes)-1])
		}
		checkStates(t, k, got, want)
	},
	"what was not returned cannot be acknowledged, and the latest repeat does no harm": func(t *testing.T, f Fed) {
		put(t, f.Table, item(key("p", "a"), 1, "a"), item(key("p", "b"), 1, "b"), item(key("p", "c"), 1, "c"))
		changes := collect(t, f.Feed, 3)
		for _, id := range []string{"", "0", "-1", "made up", changes[0].ID + "0", strings.Repeat("9", 40)} {
			if err := f.Feed.Acknowledge(t.Context(), table.Change{ID: id, Key: changes[0].Key}); !errors.Is(err, table.ErrInvalid) {
				t.Errorf("ID %q: %v, want ErrInvalid", id, err)
			}
		}
		sameChanges(t, collect(t, f.Feed, 3), changes)
		for range 3 {
			acknowledge(t, f.Feed, table.Change{ID: changes[1].ID})
		}
		sameChanges(t, collect(t, f.Feed, 1), changes[2:])
		acknowledge(t, f.Feed, changes[2])
		put(t, f.Table, item(key("p", "d"), 1, "d"))
		acknowledge(t, f.Feed, changes[2])
		if got := collect(t, f.Feed, 1)[0]; got.Key.SK != "d" {
			t.Errorf("change of %v, want d", got.Key)
		}
	},
	"changes of the largest items come whole": func(t *testing.T, f Fed) {
		doc := func(c string) string { return strings.Repeat(c, table.MaxDoc) }
		want := map[table.Key]states{}
		for n := range 3 {
			k := key(strings.Repeat("k", table.MaxKey), fmt.Sprint(n))
			one, two := item(k, 1, doc(`"`)), item(k, 2, doc("\n"))
			write(t, f.Table, table.Put(one, table.Absent))
			write(t, f.Table, table.Put(two, table.At(1)))
			want[k] = states{&one, &two}
		}
		expect(t, f.Feed, want)
	},
	"a change that was read is the reader's": func(t *testing.T, f Fed) {
		one := placed(item(key("p", "a"), 1, "content"), key("i", "a"))
		two := placed(item(one.Key, 2, "content"), key("i", "b"))
		put(t, f.Table, one)
		write(t, f.Table, table.Put(two, table.At(1)))
		for _, c := range collect(t, f.Feed, 2) {
			c.New.Doc[0], c.New.Index[Index] = 'X', key("another", "place")
		}
		expect(t, f.Feed, map[table.Key]states{one.Key: {&one, &two}})
	},
}

func write(t *testing.T, tb table.Table, ops ...table.Op) {
	t.Helper()
	if err := tb.Write(t.Context(), ops...); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

func next(t *testing.T, feed table.Feed, limit int) []table.Change {
	t.Helper()
	changes, err := feed.Changes(t.Context(), limit)
	if err != nil {
		t.Fatalf("Changes: %v", err)
	}
	if len(changes) > limit {
		t.Fatalf("%d changes, asked for %d", len(changes), limit)
	}
	return changes
}

func acknowledge(t *testing.T, feed table.Feed, last table.Change) {
	t.Helper()
	if err := feed.Acknowledge(t.Context(), last); err != nil {
		t.Fatalf("Acknowledge %s: %v", last.ID, err)
	}
}

// patiently tries check until it holds.
func patiently(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(feedPatience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still after %v: %v", what, feedPatience, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// collect waits until the feed returns n changes at once, and acknowledges
// none. A feed of several shards may need a while to have read them all.
func collect(t *testing.T, feed table.Feed, n int) []table.Change {
	t.Helper()
	var changes []table.Change
	patiently(t, fmt.Sprint(n, " changes"), func() error {
		if changes = next(t, feed, n); len(changes) < n {
			return fmt.Errorf("%d changes", len(changes))
		}
		return nil
	})
	return changes
}

// gather reads and acknowledges changes, so many at a time, until each item has
// had as many as wanted, and returns them item by item.
func gather(t *testing.T, feed table.Feed, limit int, want map[table.Key]int) map[table.Key][]table.Change {
	t.Helper()
	histories := map[table.Key][]table.Change{}
	ids := map[string]struct{}{}
	patiently(t, "all changes", func() error {
		for changes := next(t, feed, limit); len(changes) > 0; changes = next(t, feed, limit) {
			for _, c := range changes {
				if _, twice := ids[c.ID]; twice || c.ID == "" {
					t.Fatalf("the ID %q twice", c.ID)
				}
				ids[c.ID] = struct{}{}
				histories[c.Key] = append(histories[c.Key], c)
			}
			acknowledge(t, feed, changes[len(changes)-1])
		}
		for k, n := range want {
			if len(histories[k]) < n {
				return fmt.Errorf("%d changes of %.20v, want %d", len(histories[k]), k, n)
			}
		}
		return nil
	})
	for k, changes := range histories {
		if len(changes) != want[k] {
			t.Fatalf("%d changes of %v, want %d: the last is %s", len(changes), k, want[k], describe(changes[len(changes)-1]))
		}
	}
	return histories
}

// expect reads the feed to its end and compares it with what happened to each
// item. A change too many shows because the feed keeps the order of an item.
func expect(t *testing.T, feed table.Feed, want map[table.Key]states) []table.Change {
	t.Helper()
	counts := map[table.Key]int{}
	for k, s := range want {
		counts[k] = len(s)
	}
	var all []table.Change
	for k, changes := range gather(t, feed, 5, counts) {
		checkStates(t, k, changes, want[k])
		all = append(all, changes...)
	}
	return all
}

func checkStates(t *testing.T, k table.Key, changes []table.Change, want states) {
	t.Helper()
	if len(changes) != len(want) {
		t.Fatalf("%d changes of %v, want %d", len(changes), k, len(want))
	}
	var before *table.Item
	for n, c := range changes {
		if c.Key != k {
			t.Errorf("change %d is of %v, want %v", n, c.Key, k)
		}
		if d := differImages(c.Old, before); d != "" {
			t.Errorf("before change %d of %.20v: %s", n, k, d)
		}
		if d := differImages(c.New, want[n]); d != "" {
			t.Errorf("after change %d of %.20v: %s", n, k, d)
		}
		before = want[n]
	}
}

// differImages says how two items, or their absence, differ, or "".
func differImages(got, want *table.Item) string {
	if got == nil || want == nil {
		if got == want {
			return ""
		}
		return fmt.Sprintf("got %s, want %s", image(got), image(want))
	}
	return differ(*got, *want)
}

func image(i *table.Item) string {
	if i == nil {
		return "nothing"
	}
	return brief(*i)
}

func describe(c table.Change) string {
	return fmt.Sprintf("{%s of %.20v at %v: %s, then %s}", c.ID, c.Key, c.At, image(c.Old), image(c.New))
}

func differChanges(got, want table.Change) string {
	if got.ID != want.ID || got.Key != want.Key || !got.At.Equal(want.At) ||
		differImages(got.Old, want.Old) != "" || differImages(got.New, want.New) != "" {
		return fmt.Sprintf("got %s, want %s", describe(got), describe(want))
	}
	return ""
}

func sameChanges(t *testing.T, got, want []table.Change) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d changes, want %d", len(got), len(want))
	}
	for n := range want {
		if d := differChanges(got[n], want[n]); d != "" {
			t.Fatalf("change %d: %s", n, d)
		}
	}
}
