package table_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"keyvend/pkg/table"
)

func TestRangeHoldsExactlyTheKeysThatAQueryAsksFor(t *testing.T) {
	part := rapid.StringOfN(rapid.SampledFrom([]rune("!\"a}~")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		q := table.Query{
			Prefix:     part.Draw(t, "prefix"),
			After:      part.Draw(t, "after"),
			Descending: rapid.Bool().Draw(t, "descending"),
		}
		key := rapid.OneOf(part, rapid.Just(q.Prefix), rapid.Just(q.After), rapid.Just(q.After+"!"), rapid.Just(q.Prefix+strings.Repeat("~", 5))).
			Filter(func(s string) bool { return s != "" }).Draw(t, "key")
		want := strings.HasPrefix(key, q.Prefix) &&
			(q.After == "" || q.Descending && key < q.After || !q.Descending && key > q.After)
		first, last, ok := q.Range()
		if got := ok && key >= first && key <= last; got != want {
			t.Fatalf("%+v has %q between %q and %q: %v, want %v", q, key, first, last, got, want)
		}
	})
}
