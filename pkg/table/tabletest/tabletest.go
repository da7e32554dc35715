// Package tabletest is the one conformance suite of the storage port, which
// every engine runs, and the wrappers that inject what goes wrong between an
// engine and its caller: indexes that lag, writes that fail unstored or fail
// although they are stored.
package tabletest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/table"
)

// Index is the name of the index that the suite uses; every engine under test
// has it.
const Index = "list"

// indexPatience is how long the suite waits for an index to catch up.
const indexPatience = 15 * time.Second

// Run holds the engine that open returns, an empty table at each call, to every
// sentence of the contract of table.Table, but for what RunExpiry waits for.
func Run(t *testing.T, open func(t *testing.T) table.Table) {
	for _, group := range []map[string]func(*testing.T, table.Table){getCases, queryCases, writeCases, indexCases, expiryCases, togetherCases} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			t.Run(name, func(t *testing.T) { group[name](t, open(t)) })
		}
	}
}

func key(pk, sk string) table.Key { return table.Key{PK: pk, SK: sk} }

func item(k table.Key, revision int64, doc string) table.Item {
	return table.Item{Key: k, Revision: revision, Doc: []byte(doc)}
}

func placed(i table.Item, index table.Key) table.Item {
	i.Index = map[string]table.Key{Index: index}
	return i
}

// put stores items that must not be there yet.
func put(t *testing.T, tb table.Table, items ...table.Item) {
	t.Helper()
	for chunk := range slices.Chunk(items, table.MaxWrite) {
		ops := make([]table.Op, 0, len(chunk))
		for _, i := range chunk {
			ops = append(ops, table.Put(i, table.Absent))
		}
		if err := tb.Write(t.Context(), ops...); err != nil {
			t.Fatalf("put %d items: %v", len(chunk), err)
		}
	}
}

func get(t *testing.T, tb table.Table, keys ...table.Key) map[table.Key]table.Item {
	t.Helper()
	found, err := tb.Get(t.Context(), keys...)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return found
}

// read follows the pages of q to the end and returns all of their items.
func read(ctx context.Context, tb table.Table, q table.Query) ([]table.Item, error) {
	var all []table.Item
	for pages := 0; ; pages++ {
		page, err := tb.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(page.Items) > q.Limit {
			return nil, fmt.Errorf("a page of %d items for Limit %d", len(page.Items), q.Limit)
		}
		all = append(all, page.Items...)
		if page.After == "" {
			return all, nil
		}
		if page.After == q.After || pages > 10*table.MaxPage {
			return nil, fmt.Errorf("the query does not come to an end behind %q", page.After)
		}
		q.After = page.After
	}
}

// differ says how two items differ, or "".
func differ(got, want table.Item) string {
	if got.Key != want.Key || !got.SameContent(want) || !maps.Equal(got.Index, want.Index) {
		return fmt.Sprintf("got %s, want %s", brief(got), brief(want))
	}
	return ""
}

func differAll(got, want []table.Item) error {
	if len(got) != len(want) {
		return fmt.Errorf("got %d items %s, want %d %s", len(got), sortKeys(got), len(want), sortKeys(want))
	}
	for n := range want {
		if d := differ(got[n], want[n]); d != "" {
			return fmt.Errorf("item %d: %s", n, d)
		}
	}
	return nil
}

func brief(i table.Item) string {
	doc := i.Doc
	if len(doc) > 32 {
		doc = doc[:32]
	}
	expires := "never"
	if !i.ExpiresAt.IsZero() {
		expires = i.ExpiresAt.Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("{%v rev %d, %d bytes %q, index %v, expires %s}", i.Key, i.Revision, len(i.Doc), doc, i.Index, expires)
}

func sortKeys(items []table.Item) []string {
	var keys []string
	for _, i := range items {
		keys = append(keys, i.SK)
	}
	return keys
}

// settler is a table whose indexes catch up when told to.
type settler interface {
	Settle(ctx context.Context) error
}

// await tries check until it holds: indexes are eventually consistent.
func await(ctx context.Context, tb table.Table, check func() error) error {
	deadline := time.Now().Add(indexPatience)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %v: %w", indexPatience, err)
		}
		if s, ok := tb.(settler); ok {
			if err := s.Settle(ctx); err != nil {
				return err
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// awaitIndex waits until q's answer is want.
func awaitIndex(t *testing.T, tb table.Table, q table.Query, want ...table.Item) {
	t.Helper()
	err := await(t.Context(), tb, func() error {
		got, err := read(t.Context(), tb, q)
		if err != nil {
			return err
		}
		return differAll(got, want)
	})
	if err != nil {
		t.Fatalf("index query %+v: %v", q, err)
	}
}

// refused checks that err is a refusal of operation op.
func refused(t *testing.T, err error, op int) {
	t.Helper()
	var c *table.ConditionError
	if !errors.Is(err, table.ErrCondition) || !errors.As(err, &c) {
		t.Fatalf("error = %v, want a *ConditionError", err)
	}
	if c.Op != op {
		t.Fatalf("operation %d is named, want %d", c.Op, op)
	}
}
