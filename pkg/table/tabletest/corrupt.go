package tabletest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/table"
)

// RunCorrupt holds the engine that open returns, an empty table at each call, to
// what the contract says of corrupt items. spoil makes the items at keys, which are
// there, such as the engine cannot read, and returns the table to go on with.
func RunCorrupt(t *testing.T, open func(t *testing.T) (tb table.Table, spoil func(keys ...table.Key) table.Table)) {
	names := []string{"a", "b", "c", "d", "e"}
	bad := []string{"a", "c", "e"} // first, in the middle, last
	spoiled := func(t *testing.T) table.Table {
		tb, spoil := open(t)
		for _, name := range names {
			put(t, tb, placed(item(key("p", name), 1, name), key("i", name)))
		}
		return spoil(key("p", "a"), key("p", "c"), key("p", "e"))
	}
	t.Run("Get names those that cannot be read beside the others", func(t *testing.T) {
		tb := spoiled(t)
		found, err := tb.Get(t.Context(), key("p", "e"), key("p", "d"), key("p", "c"), key("p", "none"), key("p", "b"), key("p", "a"))
		if len(found) != 2 || string(found[key("p", "b")].Doc) != "b" || string(found[key("p", "d")].Doc) != "d" {
			t.Errorf("found %v, want b and d", found)
		}
		if got := unreadable(t, err); !slices.Equal(got, bad) {
			t.Errorf("%v cannot be read, want %v", got, bad)
		}
		if _, err := tb.Get(t.Context(), key("p", "b"), key("p", "d")); err != nil {
			t.Errorf("the others alone: %v", err)
		}
	})
	t.Run("Query names them beside its page, whatever the page", func(t *testing.T) {
		tb := spoiled(t)
		for limit := 1; limit <= len(names)+1; limit++ {
			for _, descending := range []bool{false, true} {
				q := table.Query{PK: "p", Descending: descending, Limit: limit}
				good, unread := readAround(t, tb, q)
				if slices.Sort(good); !slices.Equal(good, []string{"b", "d"}) {
					t.Errorf("%+v: %v", q, good)
				}
				if slices.Sort(unread); !slices.Equal(unread, bad) {
					t.Errorf("%+v: %v cannot be read, want %v", q, unread, bad)
				}
			}
		}
	})
	t.Run("indexes show them, and others are written as ever", func(t *testing.T) {
		tb := spoiled(t)
		err := await(t.Context(), tb, func() error {
			shown, err := read(t.Context(), tb, table.Query{Index: Index, PK: "i", Limit: 2})
			if err == nil && strings.Join(sortKeys(shown), "") != "abcde" {
				err = fmt.Errorf("the index shows %v", sortKeys(shown))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := tb.Write(t.Context(), table.Put(item(key("p", "b"), 2, "B"), table.At(1)), table.Delete(key("p", "d"), table.At(1))); err != nil {
			t.Error(err)
		}
	})
	t.Run("one is overwritten and deleted only by who says that it is there", func(t *testing.T) {
		tb := spoiled(t)
		for _, c := range []table.Condition{table.Absent, table.At(1)} {
			if err := tb.Write(t.Context(), table.Put(item(key("p", "a"), 2, "A"), c)); err == nil {
				t.Errorf("it is overwritten under %+v", c)
			}
		}
		for name, op := range map[string]table.Op{
			"a": table.Put(item(key("p", "a"), 2, "A"), table.Present),
			"c": table.Delete(key("p", "c"), table.Present),
		} {
			if err := tb.Write(t.Context(), op); err != nil && !errors.Is(err, table.ErrCorrupt) {
				t.Errorf("%s: %v, want it done or ErrCorrupt", name, err)
			}
		}
	})
}

// unreadable are the sort keys that err, which may be nil, names, in their order.
func unreadable(t *testing.T, err error) (names []string) {
	t.Helper()
	var unread *table.CorruptError
	if !errors.As(err, &unread) {
		if err != nil {
			t.Fatal(err)
		}
		return nil
	}
	if !errors.Is(err, table.ErrCorrupt) {
		t.Errorf("%v is not ErrCorrupt", err)
	}
	for _, k := range unread.Keys {
		if k.PK != "p" {
			t.Errorf("%v is named", k)
		}
		names = append(names, k.SK)
	}
	slices.Sort(names)
	return names
}

// readAround follows the pages of q past what cannot be read.
func readAround(t *testing.T, tb table.Table, q table.Query) (good, unread []string) {
	t.Helper()
	for range 20 {
		page, err := tb.Query(t.Context(), q)
		unread = append(unread, unreadable(t, err)...)
		good = append(good, sortKeys(page.Items)...)
		if page.After == "" {
			return good, unread
		}
		q.After = page.After
	}
	t.Fatalf("%+v does not come to an end", q)
	return nil, nil
}
