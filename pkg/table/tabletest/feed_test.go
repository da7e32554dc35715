package tabletest

import (
	"context"
	"errors"
	"testing"

	"keyvend/pkg/table"
)

func openMemory(*testing.T) Fed {
	m := NewMemory()
	return Fed{Table: m, Feed: m.Feed(), Reopen: func(*testing.T) (table.Table, table.Feed) { return m, m.Feed() }}
}

func TestTheFeedOfMemoryConforms(t *testing.T) { RunFeed(t, openMemory) }

func TestMemoryExpires(t *testing.T) { RunExpiry(t, openMemory) }

func TestLaggingIndexesForgetWhatExpired(t *testing.T) {
	RunExpiry(t, func(t *testing.T) Fed {
		m := NewMemory()
		return Fed{Table: Lag(Faults(t, m)), Feed: m.Feed()}
	})
}

func TestMemoryKeepsNoChangesUntilSomebodyAsks(t *testing.T) {
	m := NewMemory()
	put(t, m, item(key("p", "a"), 1, "a"))
	feed := m.Feed()
	put(t, m, item(key("p", "b"), 1, "b"))
	if changes := next(t, feed, 10); len(changes) != 1 || changes[0].Key.SK != "b" {
		t.Errorf("changes %v, want one of b", changes)
	}
}

func TestARepeatingFeedDeliversEverythingTwiceAndNothingThrice(t *testing.T) {
	m := NewMemory()
	feed := Repeat(t, m.Feed())
	for _, sk := range []string{"a", "b", "c", "d", "e"} {
		put(t, m, item(key("p", sk), 1, sk))
	}
	seen := map[string]int{}
	order := ""
	for changes := next(t, feed, 3); len(changes) > 0; changes = next(t, feed, 3) {
		for _, c := range changes[:(len(changes)+1)/2] {
			seen[c.ID]++
			order += c.Key.SK
			acknowledge(t, feed, c)
			acknowledge(t, feed, c)
			break
		}
	}
	if order != "aabbccddee" {
		t.Errorf("delivered %s", order)
	}
	for id, n := range seen {
		if n != 2 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func TestARepeatingFeedThatIsMisusedFailsTheTest(t *testing.T) {
	for name, misuse := range map[string]func(f *Repeating){
		"nobody reads the repeat": func(f *Repeating) {
			acknowledge(t, f, next(t, f, 1)[0])
		},
		"an acknowledgement of what was not returned": func(f *Repeating) {
			if err := f.Acknowledge(t.Context(), table.Change{ID: "made up"}); !errors.Is(err, table.ErrInvalid) {
				t.Errorf("error = %v, want ErrInvalid", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory()
			w := &witness{TB: t}
			f := Repeat(w, m.Feed())
			put(t, m, item(key("p", "a"), 1, "a"))
			misuse(f)
			for _, end := range w.cleanups {
				end()
			}
			if len(w.errors) == 0 {
				t.Error("nobody complains")
			}
		})
	}
}

// brokenFeed has one change, which cannot be read.
type brokenFeed struct{ ended bool }

func (b *brokenFeed) Changes(context.Context, int) ([]table.Change, error) {
	if b.ended {
		return nil, nil
	}
	return nil, &table.ChangeError{ID: "broken"}
}

func (b *brokenFeed) Acknowledge(_ context.Context, last table.Change) error {
	b.ended = last.ID == "broken"
	return nil
}

func TestAChangeThatCannotBeReadIsGivenUpThroughARepeatingFeed(t *testing.T) {
	f := Repeat(t, &brokenFeed{})
	var unreadable *table.ChangeError
	if _, err := f.Changes(t.Context(), 1); !errors.As(err, &unreadable) || !errors.Is(err, table.ErrCorrupt) {
		t.Fatal(err)
	}
	acknowledge(t, f, table.Change{ID: unreadable.ID})
	if changes := next(t, f, 1); len(changes) != 0 {
		t.Errorf("changes %v", changes)
	}
}
