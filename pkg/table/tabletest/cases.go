package tabletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keyvend/pkg/table"
)

// wrongKeyParts are refused as a PK and as an SK.
var wrongKeyParts = map[string]string{
	"empty":     "",
	"space":     "a b",
	"newline":   "a\n",
	"NUL":       "a\x00b",
	"DEL":       "a\x7f",
	"non-ASCII": "é",
	"no UTF-8":  "\xff",
	"too long":  strings.Repeat("k", table.MaxKey+1),
}

var getCases = map[string]func(*testing.T, table.Table){
	"Get leaves out what is not stored": func(t *testing.T, tb table.Table) {
		put(t, tb, item(key("p", "a"), 1, "A"))
		found := get(t, tb, key("p", "a"), key("p", "b"), key("q", "a"))
		if len(found) != 1 {
			t.Fatalf("found %d items, want 1", len(found))
		}
		if found := get(t, tb); len(found) != 0 {
			t.Fatalf("Get of no keys found %d items", len(found))
		}
	},
	"Get returns the item as it was put": func(t *testing.T, tb table.Table) {
		for n, doc := range []string{"", "{}", "line\nline\x00\x1f\u2028é\U0001F511\ufffd", strings.Repeat("\"\\<>&", 1000)} {
			want := placed(item(key("p!~", fmt.Sprintf("s~!%d", n)), 1<<53+1+int64(n), doc), key("i!~", fmt.Sprint("s", n)))
			put(t, tb, want)
			if d := differ(get(t, tb, want.Key)[want.Key], want); d != "" {
				t.Error(d)
			}
		}
	},
	"Get takes MaxGet keys and no more": func(t *testing.T, tb table.Table) {
		var keys []table.Key
		var items []table.Item
		for n := range table.MaxGet {
			k := key(fmt.Sprint("p", n%7), fmt.Sprint("s", n))
			keys = append(keys, k)
			if n%3 > 0 {
				items = append(items, item(k, int64(n+1), fmt.Sprint("doc ", n)))
			}
		}
		put(t, tb, items...)
		found := get(t, tb, keys...)
		if len(found) != len(items) {
			t.Fatalf("found %d items, want %d", len(found), len(items))
		}
		for _, want := range items {
			if d := differ(found[want.Key], want); d != "" {
				t.Error(d)
			}
		}
		if _, err := tb.Get(t.Context(), append(keys, key("p", "one more"))...); !errors.Is(err, table.ErrInvalid) {
			t.Errorf("%d keys: %v, want ErrInvalid", len(keys)+1, err)
		}
	},
	"Get refuses a key given twice": func(t *testing.T, tb table.Table) {
		if _, err := tb.Get(t.Context(), key("p", "a"), key("p", "b"), key("p", "a")); !errors.Is(err, table.ErrInvalid) {
			t.Errorf("error = %v, want ErrInvalid", err)
		}
	},
	"Get refuses keys outside the alphabet": func(t *testing.T, tb table.Table) {
		for name, wrong := range wrongKeyParts {
			for _, k := range []table.Key{key(wrong, "a"), key("p", wrong)} {
				if _, err := tb.Get(t.Context(), key("p", "ok"), k); !errors.Is(err, table.ErrInvalid) {
					t.Errorf("%s: %v, want ErrInvalid", name, err)
				}
			}
		}
	},
	"Get takes keys at the limits": func(t *testing.T, tb table.Table) {
		long := strings.Repeat("~", table.MaxKey)
		var items []table.Item
		for _, k := range []table.Key{key("!", "!"), key(long, long), key(long[:len(long)-1]+"!", long)} {
			items = append(items, placed(item(k, 1, k.SK), k))
		}
		put(t, tb, items...)
		for _, want := range items {
			if d := differ(get(t, tb, want.Key)[want.Key], want); d != "" {
				t.Error(d)
			}
		}
	},
	"Get sees every write that was answered": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		put(t, tb, item(k, 1, "1"))
		for n := int64(2); n < 30; n++ {
			if err := tb.Write(t.Context(), table.Put(item(k, n, fmt.Sprint(n)), table.At(n-1))); err != nil {
				t.Fatal(err)
			}
			if got := get(t, tb, k)[k]; got.Revision != n {
				t.Fatalf("revision %d after a write of %d", got.Revision, n)
			}
		}
	},
	"Get does not hand out what the next Get returns": func(t *testing.T, tb table.Table) {
		want := placed(item(key("p", "a"), 1, "doc"), key("i", "a"))
		put(t, tb, want)
		first := get(t, tb, want.Key)[want.Key]
		first.Doc[0] = 'X'
		first.Index[Index] = key("other", "place")
		if d := differ(get(t, tb, want.Key)[want.Key], want); d != "" {
			t.Error(d)
		}
	},
	"a context that has ended is ErrUnavailable and stores nothing": func(t *testing.T, tb table.Table) {
		put(t, tb, item(key("p", "a"), 1, "1"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if found, err := tb.Get(ctx, key("p", "a")); !errors.Is(err, table.ErrUnavailable) || found != nil {
			t.Errorf("Get: %v, %v; want nothing and ErrUnavailable", found, err)
		}
		if page, err := tb.Query(ctx, table.Query{PK: "p", Limit: 1}); !errors.Is(err, table.ErrUnavailable) || page.Items != nil {
			t.Errorf("Query: %v, %v; want nothing and ErrUnavailable", page, err)
		}
		if err := tb.Write(ctx, table.Put(item(key("p", "a"), 2, "2"), table.At(1))); !errors.Is(err, table.ErrUnavailable) {
			t.Errorf("Write: %v, want ErrUnavailable", err)
		}
		if got := get(t, tb, key("p", "a"))[key("p", "a")]; got.Revision != 1 {
			t.Errorf("revision %d, want 1", got.Revision)
		}
	},
}

// someKeys hold prefixes of each other, both ends of the alphabet and both
// cases.
var someKeys = []string{"!", "!!", "!~", "#", "0", "A", "AB", "AB!", "AB#1", "AB#10", "AB#2", "AB~", "AC", "Z", "a", "ab", "ab!", "ab~~", "b", "~", "~!", "~~"}

var queryCases = map[string]func(*testing.T, table.Table){
	"Query answers every range like the model": func(t *testing.T, tb table.Table) {
		model := NewMemory()
		var items []table.Item
		for n, sk := range someKeys {
			items = append(items, placed(item(key("p", sk), int64(n+1), sk), key("ip", sk)))
		}
		// Neighbours whose names begin the same.
		for _, pk := range []string{"p!", "p#", "pp", "o", "q"} {
			items = append(items, placed(item(key(pk, "AB"), 1, pk), key("i"+pk, "AB#1")))
		}
		put(t, tb, items...)
		put(t, model, items...)
		awaitIndex(t, tb, table.Query{Index: Index, PK: "iq", Limit: 1}, fromIndex(items[len(items)-1], Index))
		everyRange(func(q table.Query) {
			for _, index := range []string{"", Index} {
				if q.Index, q.PK = index, "p"; index != "" {
					q.PK = "ip"
				}
				want, err := read(t.Context(), model, q)
				if err != nil {
					t.Fatal(err)
				}
				got, err := read(t.Context(), tb, q)
				if err == nil {
					err = differAll(got, want)
				}
				if err != nil {
					t.Errorf("query %+v: %v", q, err)
				}
			}
		})
	},
	"Query finds nothing in an empty partition": func(t *testing.T, tb table.Table) {
		put(t, tb, item(key("p", "a"), 1, "A"))
		for _, q := range []table.Query{
			{PK: "other", Limit: 10},
			{PK: "other", Limit: 10, Descending: true},
			{PK: "p", Prefix: "b", Limit: 10},
			{PK: "other", Index: Index, Limit: 10},
		} {
			page, err := tb.Query(t.Context(), q)
			if err != nil || len(page.Items) != 0 || page.After != "" {
				t.Errorf("query %+v: %v, %v; want an empty last page", q, page, err)
			}
		}
	},
	"Query goes on page by page past a megabyte": func(t *testing.T, tb table.Table) {
		doc := strings.Repeat("x", table.MaxDoc)
		var want []table.Item
		for n := range 5 {
			want = append(want, item(key("p", fmt.Sprint("s", n)), 1, doc))
			put(t, tb, want[n])
		}
		got, err := read(t.Context(), tb, table.Query{PK: "p", Limit: table.MaxPage})
		if err == nil {
			err = differAll(got, want)
		}
		if err != nil {
			t.Fatal(err)
		}
	},
	"Query gives full pages of more than one batch": func(t *testing.T, tb table.Table) {
		var want []table.Item
		for n := range 3 * table.MaxWrite {
			want = append(want, item(key("p", fmt.Sprintf("s%03d", n)), 1, "x"))
		}
		put(t, tb, want...)
		for _, limit := range []int{7, 25, 75, table.MaxPage} {
			got, err := read(t.Context(), tb, table.Query{PK: "p", Prefix: "s", Limit: limit})
			if err == nil {
				err = differAll(got, want)
			}
			if err != nil {
				t.Errorf("Limit %d: %v", limit, err)
			}
		}
	},
	"Query of the table sees every write that was answered": func(t *testing.T, tb table.Table) {
		for n := range 20 {
			put(t, tb, item(key("p", fmt.Sprintf("s%02d", n)), 1, "x"))
			got, err := read(t.Context(), tb, table.Query{PK: "p", Limit: table.MaxPage})
			if err != nil || len(got) != n+1 {
				t.Fatalf("%d items after %d writes: %v", len(got), n+1, err)
			}
		}
	},
	"Query refuses what breaks the rules": func(t *testing.T, tb table.Table) {
		for name, q := range map[string]table.Query{
			"no limit":       {PK: "p"},
			"negative limit": {PK: "p", Limit: -1},
			"over MaxPage":   {PK: "p", Limit: table.MaxPage + 1},
			"no partition":   {Limit: 1},
			"a prefix":       {PK: "p", Prefix: "a b", Limit: 1},
			"a long prefix":  {PK: "p", Prefix: strings.Repeat("x", table.MaxKey+1), Limit: 1},
			"a position":     {PK: "p", After: "a\x7f", Limit: 1},
			"an index name":  {PK: "p", Index: "a_b", Limit: 1},
			"a short index":  {PK: "p", Index: "ab", Limit: 1},
			"a long index":   {PK: "p", Index: strings.Repeat("x", 33), Limit: 1},
		} {
			if _, err := tb.Query(t.Context(), q); !errors.Is(err, table.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		for name, wrong := range wrongKeyParts {
			if _, err := tb.Query(t.Context(), table.Query{PK: wrong, Limit: 1}); !errors.Is(err, table.ErrInvalid) {
				t.Errorf("partition with %s: %v, want ErrInvalid", name, err)
			}
		}
	},
	"Query takes positions at the limits": func(t *testing.T, tb table.Table) {
		long := strings.Repeat("~", table.MaxKey)
		want := []table.Item{item(key("p", "!"), 1, "first"), item(key("p", long), 1, "last")}
		put(t, tb, want...)
		for _, c := range []struct {
			q    table.Query
			want []table.Item
		}{
			{table.Query{PK: "p", After: "!"}, want[1:]},
			{table.Query{PK: "p", After: "!", Descending: true}, nil},
			{table.Query{PK: "p", After: long}, nil},
			{table.Query{PK: "p", After: long, Descending: true}, want[:1]},
			{table.Query{PK: "p", Prefix: long}, want[1:]},
			{table.Query{PK: "p", Prefix: long, After: long}, nil},
		} {
			c.q.Limit = 10
			got, err := read(t.Context(), tb, c.q)
			if err == nil {
				err = differAll(got, c.want)
			}
			if err != nil {
				t.Errorf("after %.3q, prefix %.3q, descending %v: %v", c.q.After, c.q.Prefix, c.q.Descending, err)
			}
		}
	},
}

// everyRange calls ask with all combinations of Prefix, After, Descending and
// Limit over someKeys and strings between them.
func everyRange(ask func(table.Query)) {
	for _, prefix := range []string{"", "!", "A", "AB", "AB#", "AB#10", "ab", "~", "missing"} {
		for _, after := range []string{"", "!", "A", "AB", "AB#1", "AB#15", "AB~", "a", "z", "~", "~~"} {
			for _, descending := range []bool{false, true} {
				for _, limit := range []int{2, 5, 100} {
					if limit < 100 && prefix != "" && after != "" && !strings.HasPrefix(after, prefix) {
						continue // either all or nothing; pages were seen elsewhere
					}
					ask(table.Query{Prefix: prefix, After: after, Descending: descending, Limit: limit})
				}
			}
		}
	}
}

var indexCases = map[string]func(*testing.T, table.Table){
	"an item appears in an index, moves and disappears": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		here, there := key("i", "here"), key("j", "there")
		atHere := table.Query{Index: Index, PK: "i", Limit: 10}
		atThere := table.Query{Index: Index, PK: "j", Limit: 10}
		steps := []struct {
			op      table.Op
			i, j    []table.Item
			comment string
		}{
			{table.Put(item(k, 1, "1"), table.Absent), nil, nil, "not in the index at first"},
			{table.Put(placed(item(k, 2, "2"), here), table.At(1)), []table.Item{placed(table.Item{Key: k}, here)}, nil, "appears"},
			{table.Put(placed(item(k, 3, "3"), here), table.At(2)), []table.Item{placed(table.Item{Key: k}, here)}, nil, "stays"},
			{table.Put(placed(item(k, 4, "4"), there), table.At(3)), nil, []table.Item{placed(table.Item{Key: k}, there)}, "moves"},
			{table.Put(item(k, 5, "5"), table.At(4)), nil, nil, "leaves"},
			{table.Put(placed(item(k, 6, "6"), here), table.At(5)), []table.Item{placed(table.Item{Key: k}, here)}, nil, "returns"},
			{table.Delete(k, table.At(6)), nil, nil, "goes with its item"},
		}
		for _, s := range steps {
			if err := tb.Write(t.Context(), s.op); err != nil {
				t.Fatalf("%s: %v", s.comment, err)
			}
			awaitIndex(t, tb, atHere, s.i...)
			awaitIndex(t, tb, atThere, s.j...)
		}
	},
	"an index gives keys and position only": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		full := item(k, 7, "doc")
		full.Index = map[string]table.Key{Index: key("i", "s"), "other": key("o", "s")}
		put(t, tb, full)
		awaitIndex(t, tb, table.Query{Index: Index, PK: "i", Limit: 1}, placed(table.Item{Key: k}, key("i", "s")))
		page, err := tb.Query(t.Context(), table.Query{Index: Index, PK: "i", Limit: 1})
		if err != nil || len(page.Items) != 1 || page.Items[0].Doc != nil {
			t.Fatalf("%v, %v: want one item with a nil Doc", page, err)
		}
	},
	"an index gathers items of many partitions in its own order": func(t *testing.T, tb table.Table) {
		var items, want []table.Item
		for n := range 30 {
			i := placed(item(key(fmt.Sprint("p", n%4), fmt.Sprint("s", n)), 1, "x"), key("all", fmt.Sprintf("%02d", n)))
			items = append(items, i)
			want = append(want, fromIndex(i, Index))
		}
		// Stored in another order than the index's.
		for n := range items {
			put(t, tb, items[(n*7)%len(items)])
		}
		awaitIndex(t, tb, table.Query{Index: Index, PK: "all", Limit: 4}, want...)
	},
	"a write that is refused changes no index": func(t *testing.T, tb table.Table) {
		i := placed(item(key("p", "a"), 1, "1"), key("i", "s"))
		put(t, tb, i)
		refused(t, tb.Write(t.Context(), table.Put(item(i.Key, 3, "3"), table.At(2))), 0)
		refused(t, tb.Write(t.Context(), table.Delete(i.Key, table.At(2))), 0)
		awaitIndex(t, tb, table.Query{Index: Index, PK: "i", Limit: 10}, fromIndex(i, Index))
	},
}
