package bolt_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/tabletest"
)

func feedOf(t *testing.T, tb *bolt.Table) table.Feed {
	t.Helper()
	feed, err := tb.Feed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

func read(t *testing.T, feed table.Feed) []table.Change {
	t.Helper()
	changes, err := feed.Changes(t.Context(), table.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func openFed(t *testing.T) tabletest.Fed {
	t.Helper()
	path := file(t)
	tb := open(t, path)
	return tabletest.Fed{Table: tb, Feed: feedOf(t, tb), Reopen: func(t *testing.T) (table.Table, table.Feed) {
		if err := tb.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, path)
		return again, feedOf(t, again)
	}}
}

func TestFeedConformance(t *testing.T) { tabletest.RunFeed(t, openFed) }

func TestExpiryConformance(t *testing.T) { tabletest.RunExpiry(t, openFed) }

func write(t *testing.T, tb *bolt.Table, ops ...table.Op) {
	t.Helper()
	if err := tb.Write(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasAcknowledgedDoesNotComeAgainAfterReopening(t *testing.T) {
	path := file(t)
	tb := open(t, path)
	feed := feedOf(t, tb)
	for n := range 5 {
		write(t, tb, table.Put(row("p", fmt.Sprint(n), 1), table.Absent))
	}
	before := read(t, feed)
	if err := feed.Acknowledge(t.Context(), before[1]); err != nil {
		t.Fatal(err)
	}
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	tb = open(t, path)
	feed = feedOf(t, tb)
	if err := feed.Acknowledge(t.Context(), before[1]); err != nil {
		t.Errorf("a late repeat: %v", err)
	}
	if err := feed.Acknowledge(t.Context(), before[3]); !errors.Is(err, table.ErrInvalid) {
		t.Errorf("a change that this feed has not returned: %v, want ErrInvalid", err)
	}
	after := read(t, feed)
	if len(after) != 3 {
		t.Fatalf("%d changes, want 3", len(after))
	}
	for n, c := range after {
		if c.ID != before[n+2].ID || !c.At.Equal(before[n+2].At) {
			t.Errorf("change %d is %s of %v, want %s of %v", n, c.ID, c.At, before[n+2].ID, before[n+2].At)
		}
	}
	if err := feed.Acknowledge(t.Context(), after[2]); err != nil {
		t.Fatal(err)
	}
	write(t, tb, table.Put(row("p", "new", 1), table.Absent))
	if again := read(t, feed); len(again) != 1 || again[0].ID == before[0].ID {
		t.Errorf("changes %v, want one with a new ID", again)
	}
}

func TestNoChangesAreKeptUntilSomebodyAsksForThem(t *testing.T) {
	path := file(t)
	tb := open(t, path)
	write(t, tb, table.Put(row("p", "before", 1), table.Absent))
	feed := feedOf(t, tb)
	write(t, tb, table.Put(row("p", "after", 1), table.Absent))
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Changes(t.Context(), 1); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("Changes of a closed table: %v, want ErrUnavailable", err)
	}
	// From the first call on the file keeps them by itself.
	tb = open(t, path)
	write(t, tb, table.Put(row("p", "reopened", 1), table.Absent))
	changes := read(t, feedOf(t, tb))
	if len(changes) != 2 || changes[0].Key.SK != "after" || changes[1].Key.SK != "reopened" {
		t.Errorf("changes %v, want after and reopened", changes)
	}
}

func TestChangesOfTwoFilesHaveDifferentIDs(t *testing.T) {
	ids := map[string]bool{}
	for range 2 {
		tb := open(t, file(t))
		feed := feedOf(t, tb)
		write(t, tb, table.Put(row("p", "a", 1), table.Absent))
		ids[read(t, feed)[0].ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("IDs %v", ids)
	}
}

func TestADamagedChangeIsToldByNameAndCanBeGivenUp(t *testing.T) {
	path := file(t)
	tb := open(t, path)
	feed := feedOf(t, tb)
	for _, sk := range []string{"a", "b", "c"} {
		write(t, tb, table.Put(row("p", sk, 1), table.Absent))
	}
	want := read(t, feed)
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, "feed", "\x00\x00\x00\x00\x00\x00\x00\x02", "\x01\x02\x01p\x01b\x00\x00")
	feed = feedOf(t, open(t, path))
	if got := read(t, feed); len(got) != 1 || got[0].ID != want[0].ID {
		t.Fatalf("changes %v, want the first", got)
	}
	if err := feed.Acknowledge(t.Context(), want[0]); err != nil {
		t.Fatal(err)
	}
	var damaged *table.ChangeError
	for range 2 {
		changes, err := feed.Changes(t.Context(), 10)
		if !errors.As(err, &damaged) || !errors.Is(err, table.ErrCorrupt) || changes != nil {
			t.Fatalf("changes %v, %v; want a *table.ChangeError", changes, err)
		}
	}
	if damaged.ID != want[1].ID || damaged.Sequence != "2" || damaged.Key != want[1].Key {
		t.Errorf("the error names %q of %v at %q, want %q of %v at 2", damaged.ID, damaged.Key, damaged.Sequence, want[1].ID, want[1].Key)
	}
	if err := feed.Acknowledge(t.Context(), table.Change{ID: damaged.ID}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, feed); len(got) != 1 || got[0].ID != want[2].ID {
		t.Fatalf("changes %v, want the last", got)
	}
}

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(c.offset.Load()))
}
func (c *clock) forward(d time.Duration) { c.offset.Add(int64(d)) }
func (c *clock) in(d time.Duration) time.Time {
	return time.Unix(1_800_000_000, 0).Add(d)
}

func expiring(sk string, at time.Time) table.Item {
	i := row("p", sk, 1)
	i.ExpiresAt = at
	return i
}

func has(t *testing.T, tb *bolt.Table, sk string) bool {
	t.Helper()
	found, err := tb.Get(t.Context(), table.Key{PK: "p", SK: sk})
	if err != nil {
		t.Fatal(err)
	}
	return len(found) == 1
}

func TestReapDeletesByTheClockExactlyWhatHasExpired(t *testing.T) {
	c := &clock{}
	tb := openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Hour}, file(t))
	feed := feedOf(t, tb)
	write(t, tb, table.Put(expiring("minute", c.in(time.Minute)), table.Absent))
	write(t, tb, table.Put(expiring("hour", c.in(time.Hour)), table.Absent))
	write(t, tb, table.Put(expiring("moved", c.in(time.Minute)), table.Absent))
	write(t, tb, table.Put(expiring("deleted", c.in(time.Minute)), table.Absent))
	write(t, tb, table.Put(row("p", "ever", 1), table.Absent))
	later := expiring("moved", c.in(2*time.Minute))
	later.Revision = 2
	write(t, tb, table.Put(later, table.At(1)))
	write(t, tb, table.Delete(table.Key{PK: "p", SK: "deleted"}, table.Present))
	write(t, tb, table.Put(row("p", "deleted", 2), table.Absent))

	for _, step := range []struct {
		forward time.Duration
		left    []string
	}{
		{time.Minute, []string{"minute", "hour", "moved", "deleted", "ever"}}, // the very second is not after it
		{time.Second, []string{"hour", "moved", "deleted", "ever"}},
		{time.Minute, []string{"hour", "deleted", "ever"}},
		{time.Hour, []string{"deleted", "ever"}},
	} {
		c.forward(step.forward)
		if err := tb.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, sk := range step.left {
			if !has(t, tb, sk) {
				t.Errorf("%s is gone %v after the start", sk, time.Duration(c.offset.Load()))
			}
		}
		page, err := tb.Query(t.Context(), table.Query{Index: tabletest.Index, PK: "all", Limit: 10})
		if err != nil || len(page.Items) != len(step.left) {
			t.Errorf("%d items in the index, %v; want %v", len(page.Items), err, step.left)
		}
	}
	gone := 0
	for _, change := range read(t, feed) {
		if change.New == nil && change.Key.SK != "deleted" {
			gone++
			if change.Old == nil || change.Old.ExpiresAt.IsZero() || !change.At.After(change.Old.ExpiresAt) {
				t.Errorf("%v at %v: was %v", change.Key, change.At, change.Old)
			}
		}
	}
	if gone != 3 {
		t.Errorf("%d changes tell of an expiry, want 3", gone)
	}
}

func TestTheReaperWorksByItselfAtOnceAndAgain(t *testing.T) {
	c, path := &clock{}, file(t)
	tb := openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Hour}, path)
	write(t, tb, table.Put(expiring("first", c.in(time.Minute)), table.Absent))
	write(t, tb, table.Put(expiring("second", c.in(time.Hour)), table.Absent))
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	c.forward(2 * time.Minute)
	tb = openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Millisecond}, path)
	awaitGone(t, tb, "first")
	if !has(t, tb, "second") {
		t.Fatal("what has not expired is gone")
	}
	c.forward(time.Hour)
	awaitGone(t, tb, "second")
}

func awaitGone(t *testing.T, tb *bolt.Table, sk string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); has(t, tb, sk); {
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", sk)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestReapDeletesMoreThanFitsInOneTransaction(t *testing.T) {
	c := &clock{}
	tb := openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Hour}, file(t))
	const all = 30 * table.MaxWrite
	for n := range all / table.MaxWrite {
		var ops []table.Op
		for m := range table.MaxWrite {
			ops = append(ops, table.Put(expiring(fmt.Sprint(n, ".", m), c.in(time.Duration(n)*time.Second)), table.Absent))
		}
		write(t, tb, ops...)
	}
	write(t, tb, table.Put(row("p", "ever", 1), table.Absent))
	c.forward(time.Hour)
	if err := tb.Reap(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := tb.Query(t.Context(), table.Query{PK: "p", Limit: table.MaxPage})
	if err != nil || len(page.Items) != 1 || page.Items[0].SK != "ever" {
		t.Errorf("%d items are left of %d, %v; want one", len(page.Items), all+1, err)
	}
}

func TestAnExpiredItemThatCannotBeReadStaysAndHoldsUpNobody(t *testing.T) {
	c, path := &clock{}, file(t)
	tb := openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Hour}, path)
	write(t, tb, table.Put(expiring("damaged", c.in(time.Second)), table.Absent))
	write(t, tb, table.Put(expiring("sound", c.in(time.Minute)), table.Absent))
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, "items", "p\x00damaged", "\x02\x01\x00")
	c.forward(time.Hour)
	tb = openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Hour}, path)
	if err := tb.Reap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has(t, tb, "sound") {
		t.Error("the other item is still there")
	}
	if _, err := tb.Get(t.Context(), table.Key{PK: "p", SK: "damaged"}); !errors.Is(err, table.ErrCorrupt) {
		t.Errorf("Get: %v, want ErrCorrupt", err)
	}
}

func TestCloseStopsTheReaperAndAReapOfAClosedTableIsUnavailable(t *testing.T) {
	c := &clock{}
	tb := openWith(t, bolt.Config{Now: c.now, ReapEvery: time.Nanosecond}, file(t))
	write(t, tb, table.Put(expiring("a", c.in(time.Minute)), table.Absent))
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	c.forward(time.Hour)
	if err := tb.Reap(t.Context()); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("Reap: %v, want ErrUnavailable", err)
	}
	if _, err := tb.Feed(t.Context()); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("Feed: %v, want ErrUnavailable", err)
	}
}

func TestAcknowledgedChangesLeaveTheFile(t *testing.T) {
	path := file(t)
	tb := open(t, path)
	feed := feedOf(t, tb)
	for n := range 50 {
		write(t, tb, table.Put(row("p", fmt.Sprint(n), 1), table.Absent))
	}
	changes := read(t, feed)
	if err := feed.Acknowledge(t.Context(), changes[len(changes)-1]); err != nil {
		t.Fatal(err)
	}
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.View(func(tx *bbolt.Tx) error {
		if n := tx.Bucket([]byte("feed")).Stats().KeyN; n != 0 {
			t.Errorf("%d changes are in the file", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
