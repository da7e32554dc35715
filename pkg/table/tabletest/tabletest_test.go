package tabletest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"keyvend/pkg/table"
)

func TestMemoryConforms(t *testing.T) {
	Run(t, func(*testing.T) table.Table { return NewMemory() })
}

func TestLaggingIndexesConformOnceSettled(t *testing.T) {
	Run(t, func(*testing.T) table.Table { return Lag(NewMemory()) })
}

func TestFaultlessFaultsConform(t *testing.T) {
	Run(t, func(t *testing.T) table.Table { return Faults(t, NewMemory()) })
}

func TestALaggingIndexStandsStillUntilItSettles(t *testing.T) {
	tb := Lag(NewMemory())
	all := table.Query{Index: Index, PK: "i", Limit: 10}
	look := func(want ...string) {
		t.Helper()
		page, err := tb.Query(t.Context(), all)
		if err != nil || strings.Join(sortKeys(page.Items), " ") != strings.Join(want, " ") {
			t.Fatalf("the index shows %v, %v; want %v", sortKeys(page.Items), err, want)
		}
	}
	a, b := placed(item(key("p", "a"), 1, "A"), key("i", "a")), placed(item(key("p", "b"), 1, "B"), key("i", "b"))
	put(t, tb, a)
	look()
	if err := tb.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, tb, b)
	if err := tb.Write(t.Context(), table.Delete(a.Key, table.At(1))); err != nil {
		t.Fatal(err)
	}
	look("a")
	if len(get(t, tb, a.Key, b.Key)) != 1 {
		t.Fatal("the table itself lags")
	}
	if err := tb.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("b")
}

func TestALaggingIndexSettlesOnWhatFailedThoughStored(t *testing.T) {
	f := Faults(t, NewMemory())
	tb := Lag(f)
	f.FailStored(Next(Write))
	i := placed(item(key("p", "a"), 1, "A"), key("i", "a"))
	if err := tb.Write(t.Context(), table.Put(i, table.Absent)); !errors.Is(err, table.ErrUnavailable) {
		t.Fatal(err)
	}
	awaitIndex(t, tb, table.Query{Index: Index, PK: "i", Limit: 1}, fromIndex(i, Index))
}

func TestFaultsHappenOnceAndWhereTheyWereChosen(t *testing.T) {
	f := Faults(t, NewMemory())
	k := key("p", "a")
	var steps []string
	f.Fail(Nth(Write, 1))
	f.FailStored(Nth(Write, 2))
	f.Fail(Nth(Get, 2))
	f.Fail(Next(Query))
	f.Before(Nth(Write, 3), func() { steps = append(steps, fmt.Sprint("before ", get(t, f.inner, k)[k].Revision)) })
	f.After(Nth(Write, 3), func() { steps = append(steps, fmt.Sprint("after ", get(t, f.inner, k)[k].Revision)) })

	first := table.Put(item(k, 1, "1"), table.Absent)
	if err := f.Write(t.Context(), first); !errors.Is(err, table.ErrUnavailable) || len(get(t, f, k)) != 0 {
		t.Fatalf("the first write: %v, or it is stored", err)
	}
	if err := f.Write(t.Context(), first); !errors.Is(err, table.ErrUnavailable) || len(get(t, f.inner, k)) != 1 {
		t.Fatalf("the second write: %v, or it is not stored", err)
	}
	if _, err := f.Get(t.Context(), k); !errors.Is(err, table.ErrUnavailable) {
		t.Fatalf("the second Get: %v", err)
	}
	if _, err := f.Query(t.Context(), table.Query{PK: "p", Limit: 1}); !errors.Is(err, table.ErrUnavailable) {
		t.Fatalf("the Query: %v", err)
	}
	if err := f.Write(t.Context(), table.Put(item(k, 2, "2"), table.At(1))); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, ", "); got != "before 1, after 2" {
		t.Errorf("the hooks saw %s", got)
	}
	if w, g, q := f.Calls(Write), f.Calls(Get), f.Calls(Query); w != 3 || g != 2 || q != 1 {
		t.Errorf("%d writes, %d gets, %d queries", w, g, q)
	}
}

// witness takes a test's place and hears what it would be told.
type witness struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (w *witness) Helper()                   {}
func (w *witness) Cleanup(f func())          { w.cleanups = append(w.cleanups, f) }
func (w *witness) Errorf(f string, a ...any) { w.errors = append(w.errors, fmt.Sprintf(f, a...)) }

func TestFaultsThatAreMisusedFailTheTest(t *testing.T) {
	for name, misuse := range map[string]func(f *Faulty){
		"a fault that never happens": func(f *Faulty) { f.Fail(Nth(Write, 7)) },
		"a hook that never happens":  func(f *Faulty) { f.Before(Nth(Get, 7), func() {}) },
		"a read that is to be stored": func(f *Faulty) {
			f.FailStored(Next(Get))
			_, _ = f.Get(t.Context(), key("p", "a"))
		},
		"a refused write that is to be stored": func(f *Faulty) {
			f.FailStored(Next(Write))
			_ = f.Write(t.Context(), table.Delete(key("p", "a"), table.Present))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{TB: t}
			misuse(Faults(w, NewMemory()))
			for _, f := range w.cleanups {
				f()
			}
			if len(w.errors) == 0 {
				t.Error("nobody complains")
			}
		})
	}
}

func TestF11_CorruptItemsAreNamedBesideTheOthers(t *testing.T) {
	RunCorrupt(t, func(*testing.T) (table.Table, func(...table.Key) table.Table) {
		m := NewMemory()
		return m, func(keys ...table.Key) table.Table {
			m.Spoil(keys...)
			return m
		}
	})
}

func TestATrailingIndexShowsEachPlaceThatAnItemHad(t *testing.T) {
	tb, k := Trail(NewMemory()), key("p", "a")
	for n, place := range []string{"b", "d", "c", "d"} {
		condition := table.At(int64(n))
		if n == 0 {
			condition = table.Absent
		}
		if err := tb.Write(t.Context(), table.Put(placed(item(k, int64(n+1), place), key("i", place)), condition)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, tb, placed(item(key("p", "b"), 1, "B"), key("i", "bb")))
	for _, c := range []struct {
		descending bool
		want       string
	}{{false, "a@b b@bb a@c a@d"}, {true, "a@d a@c b@bb a@b"}} {
		for limit := 1; limit <= 5; limit++ {
			var shown []string
			q := table.Query{Index: Index, PK: "i", Limit: limit, Descending: c.descending}
			for {
				page, err := tb.Query(t.Context(), q)
				if err != nil || len(page.Items) > limit {
					t.Fatalf("%d items of %d: %v", len(page.Items), limit, err)
				}
				for _, i := range page.Items {
					shown = append(shown, i.SK+"@"+i.Index[Index].SK)
				}
				if q.After = page.After; q.After == "" {
					break
				}
			}
			if got := strings.Join(shown, " "); got != c.want {
				t.Errorf("in pages of %d: %s, want %s", limit, got, c.want)
			}
		}
	}
}
