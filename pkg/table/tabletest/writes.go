package tabletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/table"
)

var writeCases = map[string]func(*testing.T, table.Table){
	"Write does what its condition allows and nothing else": func(t *testing.T, tb table.Table) {
		n := 0
		for _, exists := range []bool{false, true} {
			for _, kind := range []table.Kind{table.KindPut, table.KindDelete, table.KindCheck} {
				for _, c := range []struct {
					name  string
					cond  table.Condition
					holds bool
				}{
					{"absent", table.Absent, !exists},
					{"present", table.Present, exists},
					{"revision", table.At(5), exists},
					{"lower revision", table.At(4), false},
					{"higher revision", table.At(6), false},
				} {
					for _, company := range []bool{false, true} {
						n++
						name := fmt.Sprintf("kind %d if %s, exists %v, in company %v", kind, c.name, exists, company)
						conditionCase(t, tb, name, fmt.Sprint("p", n), kind, c.cond, exists, c.holds, company)
					}
				}
			}
		}
	},
	"Write names the first operation whose condition fails and stores none": func(t *testing.T, tb table.Table) {
		const size = 5
		put(t, tb, item(key("p", "there"), 1, "there"))
		for bad := range size {
			var ops []table.Op
			var keys []table.Key
			for n := range size {
				k := key("p", fmt.Sprintf("%d-%d", bad, n))
				keys = append(keys, k)
				ops = append(ops, table.Put(item(k, 1, "x"), table.Absent))
			}
			// From bad on every second one fails: the first must be named.
			for n := bad; n < size; n += 2 {
				ops[n] = table.Check(key("p", fmt.Sprintf("gone-%d", n)), table.Present)
			}
			ops = append(ops, table.Delete(key("p", "there"), table.At(1)))
			refused(t, tb.Write(t.Context(), ops...), bad)
			if found := get(t, tb, keys...); len(found) != 0 {
				t.Fatalf("%d operations of a refused Write are stored", len(found))
			}
		}
		if len(get(t, tb, key("p", "there"))) != 1 {
			t.Fatal("a refused Write deleted an item")
		}
	},
	"Write performs puts, deletes and checks together": func(t *testing.T, tb table.Table) {
		put(t, tb, item(key("p", "old"), 1, "old"), item(key("q", "held"), 3, "held"))
		err := tb.Write(t.Context(),
			table.Check(key("q", "held"), table.At(3)),
			table.Check(key("q", "none"), table.Absent),
			table.Delete(key("p", "old"), table.Present),
			table.Put(item(key("p", "new"), 1, "new"), table.Absent),
		)
		if err != nil {
			t.Fatal(err)
		}
		found := get(t, tb, key("p", "old"), key("p", "new"), key("q", "held"), key("q", "none"))
		if len(found) != 2 || found[key("q", "held")].Revision != 3 {
			t.Fatalf("found %v", found)
		}
	},
	"Write takes MaxWrite operations and no more": func(t *testing.T, tb table.Table) {
		var ops []table.Op
		var keys []table.Key
		for n := range table.MaxWrite + 1 {
			k := key("p", fmt.Sprint(n))
			keys = append(keys, k)
			ops = append(ops, table.Put(item(k, 1, "x"), table.Absent))
		}
		if err := tb.Write(t.Context(), ops...); !errors.Is(err, table.ErrInvalid) {
			t.Errorf("%d operations: %v, want ErrInvalid", len(ops), err)
		}
		if found := get(t, tb, keys...); len(found) != 0 {
			t.Errorf("%d operations of a refused Write are stored", len(found))
		}
		if err := tb.Write(t.Context(), ops[:table.MaxWrite]...); err != nil {
			t.Fatal(err)
		}
		if found := get(t, tb, keys...); len(found) != table.MaxWrite {
			t.Errorf("%d operations are stored, want %d", len(found), table.MaxWrite)
		}
	},
	"Write refuses what breaks the rules and stores nothing": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		good := table.Put(item(key("p", "good"), 1, "x"), table.Absent)
		cases := map[string]table.Op{
			"no condition":         table.Put(item(k, 1, "x"), table.Condition{}),
			"a condition unknown":  table.Put(item(k, 1, "x"), table.Condition{Kind: 99}),
			"revision 0":           table.Put(item(k, 0, "x"), table.Absent),
			"a negative revision":  table.Put(item(k, -1, "x"), table.Absent),
			"a condition at 0":     table.Put(item(k, 1, "x"), table.At(0)),
			"no kind":              {Item: item(k, 1, "x"), If: table.Absent},
			"a kind unknown":       {Kind: 99, Item: item(k, 1, "x"), If: table.Absent},
			"a Doc not UTF-8":      table.Put(item(k, 1, "a\xffb"), table.Absent),
			"a wrong index name":   table.Put(table.Item{Key: k, Revision: 1, Index: map[string]table.Key{"noT": k}}, table.Absent),
			"a short index name":   table.Put(table.Item{Key: k, Revision: 1, Index: map[string]table.Key{"no": k}}, table.Absent),
			"an empty index name":  table.Put(table.Item{Key: k, Revision: 1, Index: map[string]table.Key{"": k}}, table.Absent),
			"a wrong index place":  table.Put(placed(item(k, 1, "x"), key("", "s")), table.Absent),
			"the key of its other": table.Check(good.Item.Key, table.Absent),
		}
		for name, wrong := range wrongKeyParts {
			cases["put: PK "+name] = table.Put(item(key(wrong, "s"), 1, "x"), table.Absent)
			cases["put: SK "+name] = table.Put(item(key("p", wrong), 1, "x"), table.Absent)
			cases["delete: SK "+name] = table.Delete(key("p", wrong), table.Present)
			cases["check: PK "+name] = table.Check(key(wrong, "s"), table.Absent)
			cases["index: SK "+name] = table.Put(placed(item(k, 1, "x"), key("i", wrong)), table.Absent)
		}
		for name, op := range cases {
			if err := tb.Write(t.Context(), good, op); !errors.Is(err, table.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		if err := tb.Write(t.Context()); !errors.Is(err, table.ErrInvalid) {
			t.Errorf("no operations: %v, want ErrInvalid", err)
		}
		if found := get(t, tb, k, good.Item.Key); len(found) != 0 {
			t.Errorf("stored: %v", found)
		}
	},
	"Write refuses an item over MaxDoc with ErrTooLarge and stores nothing": func(t *testing.T, tb table.Table) {
		fits := item(key("p", "fits"), 1, strings.Repeat("x", table.MaxDoc))
		over := item(key("p", "over"), 1, strings.Repeat("x", table.MaxDoc+1))
		if err := tb.Write(t.Context(), table.Put(over, table.Absent)); !errors.Is(err, table.ErrTooLarge) {
			t.Errorf("error = %v, want ErrTooLarge", err)
		}
		if err := tb.Write(t.Context(), table.Put(fits, table.Absent), table.Put(over, table.Absent)); !errors.Is(err, table.ErrTooLarge) {
			t.Errorf("error = %v, want ErrTooLarge", err)
		}
		if found := get(t, tb, fits.Key, over.Key); len(found) != 0 {
			t.Errorf("%d items are stored", len(found))
		}
		// The widest item there can be: all of Doc, and long keys everywhere.
		long := func(c string) table.Key { return key(strings.Repeat(c, table.MaxKey), strings.Repeat(c, table.MaxKey)) }
		fits.Key = long("k")
		fits.Index = map[string]table.Key{Index: long("a"), "one": long("b"), "two": long("c"), "three": long("d")}
		put(t, tb, fits)
		if d := differ(get(t, tb, fits.Key)[fits.Key], fits); d != "" {
			t.Error(d)
		}
	},
	"Write refuses more than MaxBatch with ErrTooLarge and stores nothing": func(t *testing.T, tb table.Table) {
		var ops []table.Op
		var keys []table.Key
		for n := range table.MaxWrite {
			keys = append(keys, key("p", fmt.Sprint(n)))
			ops = append(ops, table.Put(item(keys[n], 1, strings.Repeat("x", table.MaxBatch/table.MaxWrite)), table.Absent))
		}
		ops[0].Item.Doc = []byte(strings.Repeat("x", table.MaxBatch/table.MaxWrite+table.MaxWrite))
		if err := tb.Write(t.Context(), ops...); !errors.Is(err, table.ErrTooLarge) {
			t.Errorf("error = %v, want ErrTooLarge", err)
		}
		if found := get(t, tb, keys...); len(found) != 0 {
			t.Errorf("%d items are stored", len(found))
		}
		ops[0].Item.Doc = ops[1].Item.Doc
		if err := tb.Write(t.Context(), ops...); err != nil {
			t.Errorf("a Write of MaxBatch: %v", err)
		}
	},
	"a Put replaces the item whole": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		put(t, tb, placed(item(k, 1, "a long first content"), key("i", "s")))
		want := item(k, 2, "2")
		if err := tb.Write(t.Context(), table.Put(want, table.At(1))); err != nil {
			t.Fatal(err)
		}
		if d := differ(get(t, tb, k)[k], want); d != "" {
			t.Error(d)
		}
	},
	"a Put that is stored already succeeds, whatever its condition": func(t *testing.T, tb table.Table) {
		i := item(key("p", "a"), 2, "content")
		put(t, tb, i)
		for _, c := range []table.Condition{table.Absent, table.At(1), table.Present, table.At(2)} {
			if err := tb.Write(t.Context(), table.Put(i, c)); err != nil {
				t.Errorf("condition %+v: %v", c, err)
			}
		}
		if d := differ(get(t, tb, i.Key)[i.Key], i); d != "" {
			t.Error(d)
		}
	},
	"a Put of other content under a stored revision is refused": func(t *testing.T, tb table.Table) {
		i := item(key("p", "a"), 2, "content")
		put(t, tb, i)
		refused(t, tb.Write(t.Context(), table.Put(item(i.Key, 2, "another"), table.Absent)), 0)
		refused(t, tb.Write(t.Context(), table.Put(item(i.Key, 3, "content"), table.At(1))), 0)
	},
	"a late repeat of a Put does not undo what came after it": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		first, second := table.Put(item(k, 1, "1"), table.Absent), table.Put(item(k, 2, "2"), table.At(1))
		for n, op := range []table.Op{first, second} {
			if err := tb.Write(t.Context(), op); err != nil {
				t.Fatalf("write %d: %v", n, err)
			}
		}
		refused(t, tb.Write(t.Context(), first), 0)
		if got := get(t, tb, k)[k]; got.Revision != 2 {
			t.Errorf("revision %d, want 2", got.Revision)
		}
	},
	"a repeated Write of several Puts and Checks succeeds": func(t *testing.T, tb table.Table) {
		put(t, tb, item(key("q", "held"), 9, "held"))
		ops := []table.Op{
			table.Put(item(key("p", "a"), 1, "A"), table.Absent),
			table.Check(key("q", "held"), table.At(9)),
			table.Put(item(key("p", "b"), 1, "B"), table.Absent),
		}
		for n := range 3 {
			if err := tb.Write(t.Context(), ops...); err != nil {
				t.Fatalf("time %d: %v", n+1, err)
			}
		}
		// What is stored already does not excuse the rest from its conditions.
		refused(t, tb.Write(t.Context(), append(ops, table.Check(key("q", "none"), table.Present))...), 3)
		more := append(ops, table.Put(item(key("p", "c"), 1, "C"), table.Absent))
		if err := tb.Write(t.Context(), more...); err != nil {
			t.Fatalf("stored operations with a new one: %v", err)
		}
		if found := get(t, tb, key("p", "a"), key("p", "b"), key("p", "c")); len(found) != 3 {
			t.Errorf("found %d items, want 3", len(found))
		}
	},
	"a deleted key can be put again": func(t *testing.T, tb table.Table) {
		k := key("p", "a")
		put(t, tb, item(k, 1, "1"))
		if err := tb.Write(t.Context(), table.Delete(k, table.At(1))); err != nil {
			t.Fatal(err)
		}
		refused(t, tb.Write(t.Context(), table.Delete(k, table.At(1))), 0)
		put(t, tb, item(k, 2, "2"))
		if got := get(t, tb, k)[k]; got.Revision != 2 {
			t.Errorf("revision %d, want 2", got.Revision)
		}
	},
}

// conditionCase tries one operation on a key of its own that exists at
// revision 5 or not at all, alone or in a transaction with another.
func conditionCase(t *testing.T, tb table.Table, name, pk string, kind table.Kind, cond table.Condition, exists, holds, company bool) {
	t.Helper()
	k, friend := key(pk, "it"), key(pk, "friend")
	if exists {
		put(t, tb, item(k, 5, "old"))
	}
	ops := []table.Op{{Kind: kind, Item: table.Item{Key: k}, If: cond}}
	if kind == table.KindPut {
		ops[0].Item = item(k, 8, "new")
	}
	if company {
		ops = append([]table.Op{table.Put(item(friend, 1, "friend"), table.Absent)}, ops...)
	}
	err := tb.Write(t.Context(), ops...)
	var refusal *table.ConditionError
	if holds && err != nil || !holds && (!errors.As(err, &refusal) || refusal.Op != len(ops)-1) {
		t.Errorf("%s: error %v, condition holds: %v", name, err, holds)
		return
	}
	var want int64 // revision, 0 for none
	switch {
	case holds && kind == table.KindPut:
		want = 8
	case holds && kind == table.KindDelete:
		want = 0
	case exists:
		want = 5
	}
	found := get(t, tb, k, friend)
	if got := found[k].Revision; got != want {
		t.Errorf("%s: revision %d stored, want %d", name, got, want)
	}
	if _, stored := found[friend]; stored != (company && holds) {
		t.Errorf("%s: the other operation stored: %v", name, stored)
	}
}

const (
	workers = 8
	rounds  = 6
)

var togetherCases = map[string]func(*testing.T, table.Table){
	"concurrent compare-and-swap loses nothing": func(t *testing.T, tb table.Table) {
		k := key("p", "counter")
		put(t, tb, item(k, 1, ""))
		together(t, func(ctx context.Context, worker int) error {
			for range rounds {
				if err := add(ctx, tb, k, worker); err != nil {
					return err
				}
			}
			return nil
		})
		got := get(t, tb, k)[k]
		if got.Revision != 1+workers*rounds || len(got.Doc) != workers*rounds {
			t.Fatalf("revision %d with %d bytes after %d increments", got.Revision, len(got.Doc), workers*rounds)
		}
		for w := range workers {
			if n := strings.Count(string(got.Doc), string(rune('a'+w))); n != rounds {
				t.Errorf("%d increments of worker %d, want %d", n, w, rounds)
			}
		}
	},
	"of concurrent Puts of an absent key one wins": func(t *testing.T, tb table.Table) {
		for round := range rounds {
			k := key("p", fmt.Sprint(round))
			var mu sync.Mutex
			var winners []int
			together(t, func(ctx context.Context, worker int) error {
				err := tb.Write(ctx, table.Put(item(k, int64(worker+1), fmt.Sprint(worker)), table.Absent))
				if errors.Is(err, table.ErrCondition) {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, worker)
				return err
			})
			if len(winners) != 1 || get(t, tb, k)[k].Revision != int64(winners[0]+1) {
				t.Fatalf("winners %v, stored %v", winners, get(t, tb, k))
			}
		}
	},
	"concurrent transactions never show half of one": func(t *testing.T, tb table.Table) {
		a, b := key("p", "a"), key("q", "b")
		put(t, tb, item(a, 1, "1"), item(b, 1, "1"))
		together(t, func(ctx context.Context, worker int) error {
			for range rounds {
				if err := addBoth(ctx, tb, a, b, fmt.Sprint("worker ", worker)); err != nil {
					return err
				}
			}
			return nil
		})
		found := get(t, tb, a, b)
		if found[a].Revision != 1+workers*rounds || found[b].Revision != 1+workers*rounds {
			t.Fatalf("revisions %d and %d after %d transactions", found[a].Revision, found[b].Revision, workers*rounds)
		}
	},
	"any sequence of calls ends like the model's": property,
}

// together runs f in several goroutines and reports their errors.
func together(t *testing.T, f func(ctx context.Context, worker int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if err := f(t.Context(), w); err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// add appends the worker's letter to the item at k by compare-and-swap.
func add(ctx context.Context, tb table.Table, k table.Key, worker int) error {
	for {
		found, err := tb.Get(ctx, k)
		if err != nil {
			return err
		}
		old := found[k]
		next := item(k, old.Revision+1, string(old.Doc)+string(rune('a'+worker)))
		if err := tb.Write(ctx, table.Put(next, table.At(old.Revision))); !errors.Is(err, table.ErrCondition) {
			return err
		}
	}
}

// addBoth raises the revisions of a and b together. The content tells the
// writers apart: equal content would be taken for a repeat.
func addBoth(ctx context.Context, tb table.Table, a, b table.Key, content string) error {
	for {
		found, err := tb.Get(ctx, a, b)
		if err != nil {
			return err
		}
		na, nb := found[a].Revision, found[b].Revision
		err = tb.Write(ctx,
			table.Put(item(a, na+1, content), table.At(na)),
			table.Put(item(b, nb+1, content), table.At(nb)))
		if !errors.Is(err, table.ErrCondition) {
			return err
		}
	}
}

// property compares random calls with Memory. Each of rapid's runs has
// partitions of its own, so that all share one table.
func property(t *testing.T, tb table.Table) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		p := newPlay(rt, tb, run)
		for range rapid.IntRange(1, 12).Draw(rt, "calls") {
			p.write()
		}
		p.compare()
	})
}

// play is one run of the property test.
type play struct {
	*rapid.T
	ctx      context.Context
	tb       table.Table
	model    *Memory
	run      int
	keys     []table.Key
	revision int64
	past     [][]table.Op
}

func newPlay(rt *rapid.T, tb table.Table, run int) *play {
	p := &play{T: rt, ctx: rt.Context(), tb: tb, model: NewMemory(), run: run}
	for _, pk := range []string{"p", "q"} {
		for _, sk := range []string{"!", "a", "a!", "ab"} {
			p.keys = append(p.keys, key(fmt.Sprintf("%s%d", pk, run), sk))
		}
	}
	return p
}

// write makes a new Write, or repeats an old one, and compares the outcome.
func (p *play) write() {
	var ops []table.Op
	if len(p.past) > 0 && rapid.IntRange(0, 3).Draw(p.T, "repeat") == 0 {
		ops = rapid.SampledFrom(p.past).Draw(p.T, "past")
	} else {
		ops = p.newOps()
		p.past = append(p.past, ops)
	}
	want, got := p.model.Write(p.ctx, ops...), p.tb.Write(p.ctx, ops...)
	if fmt.Sprint(want) != fmt.Sprint(got) {
		p.Fatalf("Write(%v): %v, the model says %v", ops, got, want)
	}
}

func (p *play) newOps() []table.Op {
	keys := rapid.Permutation(p.keys).Draw(p.T, "keys")
	var ops []table.Op
	for _, k := range keys[:rapid.SampledFrom([]int{1, 1, 1, 2, 3, 5}).Draw(p.T, "operations")] {
		ops = append(ops, p.newOp(k))
	}
	return ops
}

func (p *play) newOp(k table.Key) table.Op {
	found, err := p.model.Get(p.ctx, k)
	if err != nil {
		p.Fatal(err)
	}
	at := max(found[k].Revision, 1)
	if rapid.IntRange(0, 5).Draw(p.T, "stale") == 0 {
		at++
	}
	conditions := []table.Condition{table.Absent, table.Present, table.At(at)}
	if _, exists := found[k]; exists {
		conditions = conditions[1:] // mostly let it succeed
	}
	op := table.Op{
		Kind: rapid.SampledFrom([]table.Kind{table.KindPut, table.KindPut, table.KindPut, table.KindDelete, table.KindCheck}).Draw(p.T, "kind"),
		Item: table.Item{Key: k},
		If:   rapid.SampledFrom(conditions).Draw(p.T, "condition"),
	}
	if op.Kind == table.KindPut {
		p.revision++
		op.Item = item(k, p.revision, rapid.StringN(0, 8, -1).Draw(p.T, "doc"))
		if rapid.Bool().Draw(p.T, "expires") {
			op.Item.ExpiresAt = time.Now().Add(time.Hour).Truncate(time.Second)
		}
		if rapid.Bool().Draw(p.T, "indexed") {
			place := rapid.SampledFrom([]string{"x", "y"}).Draw(p.T, "place")
			op.Item = placed(op.Item, key(fmt.Sprintf("i%d", p.run), place+k.PK+k.SK))
		}
	}
	return op
}

// compare reads everything in every way.
func (p *play) compare() {
	want, err := p.model.Get(p.ctx, p.keys...)
	if err != nil {
		p.Fatal(err)
	}
	got, err := p.tb.Get(p.ctx, p.keys...)
	if err != nil || len(got) != len(want) {
		p.Fatalf("Get: %d items, %v; the model has %d", len(got), err, len(want))
	}
	for k := range want {
		if d := differ(got[k], want[k]); d != "" {
			p.Fatal(d)
		}
	}
	q := table.Query{
		Limit:      rapid.IntRange(1, 5).Draw(p.T, "limit"),
		Descending: rapid.Bool().Draw(p.T, "descending"),
		Prefix:     rapid.SampledFrom([]string{"", "a", "x", "xp"}).Draw(p.T, "prefix"),
		After:      rapid.SampledFrom([]string{"", "a", "a!", "b", "xq"}).Draw(p.T, "after"),
	}
	for _, c := range []struct{ index, pk string }{{"", "p"}, {"", "q"}, {Index, "i"}} {
		q.Index, q.PK = c.index, fmt.Sprintf("%s%d", c.pk, p.run)
		want, err := read(p.ctx, p.model, q)
		if err != nil {
			p.Fatal(err)
		}
		err = await(p.ctx, p.tb, func() error {
			got, err := read(p.ctx, p.tb, q)
			if err != nil {
				return err
			}
			return differAll(got, want)
		})
		if err != nil {
			p.Fatalf("query %+v: %v", q, err)
		}
	}
}
