package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
)

// model says in the words of the contract what a page of rows is.
func model(rows []string, p page) (part []string, before, after string) {
	list := slices.Clone(rows)
	if p.Order != orderAsc {
		slices.Reverse(list)
	}
	later, earlier := p.After, p.Before // in the order of the list
	if p.Order == orderNormal {
		later, earlier = p.Before, p.After
	}
	isLater := func(a, b string) bool {
		if p.Order == orderAsc {
			return a > b
		}
		return a < b
	}
	for _, row := range list {
		if later != "" && !isLater(row, later) || earlier != "" && !isLater(earlier, row) {
			continue
		}
		part = append(part, row)
	}
	if len(part) > p.Limit {
		if earlier != "" {
			part = part[len(part)-p.Limit:]
		} else {
			part = part[:p.Limit]
		}
	}
	if len(part) == 0 {
		return nil, "", ""
	}
	if part[0] != list[0] {
		before = part[0]
	}
	if part[len(part)-1] != list[len(list)-1] {
		after = part[len(part)-1]
	}
	if p.Order == orderNormal {
		before, after = after, before
	}
	return part, before, after
}

func self(s string) string { return s }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestAPageIsWhatTheContractSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-m]`), 0, 13, rapid.ID).Draw(t, "rows")
		slices.Sort(rows)
		p := page{
			Limit: rapid.IntRange(1, 15).Draw(t, "limit"),
			Order: rapid.SampledFrom([]string{orderAsc, orderDesc, orderNormal}).Draw(t, "order"),
		}
		cursor := rapid.StringMatching(`[A-z]`).Draw(t, "cursor")
		switch rapid.IntRange(0, 2).Draw(t, "direction") {
		case 1:
			p.Before = cursor
		case 2:
			p.After = cursor
		}
		kept := slices.Clone(rows)
		part, before, after := cut(rows, self, p)
		wantPart, wantBefore, wantAfter := model(rows, p)
		if !slices.Equal(part, wantPart) || deref(before) != wantBefore || deref(after) != wantAfter {
			t.Fatalf("%v of %v: %v before %q after %q, want %v %q %q",
				p, rows, part, deref(before), deref(after), wantPart, wantBefore, wantAfter)
		}
		if !slices.Equal(rows, kept) {
			t.Fatal("the rows were changed")
		}
	})
}

func TestFollowingTheCursorsMeetsEveryRowOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []string
		for i := range rapid.IntRange(0, 30).Draw(t, "rows") {
			rows = append(rows, fmt.Sprintf("%02d", i))
		}
		p := page{Limit: rapid.IntRange(1, 7).Draw(t, "limit"), Order: rapid.SampledFrom([]string{orderAsc, orderDesc, orderNormal}).Draw(t, "order")}
		var forth, back []string
		for {
			part, before, after := cut(rows, self, p)
			forth = append(forth, part...)
			if p.Order == orderNormal {
				if p.Before = deref(before); p.Before == "" {
					p.After = deref(after)
					break
				}
			} else if p.After = deref(after); p.After == "" {
				p.Before = deref(before)
				break
			}
			if len(forth) > len(rows) {
				t.Fatal("goes round in circles")
			}
		}
		want := slices.Clone(rows)
		if p.Order != orderAsc {
			slices.Reverse(want)
		}
		if !slices.Equal(forth, want) {
			t.Fatalf("forth: %v, want %v", forth, want)
		}
		for p.Before != "" || p.After != "" {
			part, before, after := cut(rows, self, p)
			back = append(slices.Clone(part), back...)
			if p.Order == orderNormal {
				p.After = deref(after)
			} else {
				p.Before = deref(before)
			}
			if len(back) > len(rows) {
				t.Fatal("goes round in circles on the way back")
			}
		}
		if !slices.Equal(back, want[:len(back)]) || len(back) > 0 && len(want)-len(back) > p.Limit {
			t.Fatalf("back: %v of %v", back, want)
		}
	})
}

func TestPageReadsTheQuery(t *testing.T) {
	const id = ident.IntegrationPrefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	for query, want := range map[string]page{
		"":                               {Limit: 10, Order: orderDesc},
		"limit=1&order=asc":              {Limit: 1, Order: orderAsc},
		"limit=100&order=normal":         {Limit: 100, Order: orderNormal},
		"after=" + id + "&order=desc":    {Limit: 10, Order: orderDesc, After: id},
		"before=" + id:                   {Limit: 10, Order: orderDesc, Before: id},
		"before=&after=&order=&unknown=": {Limit: 10, Order: orderDesc},
	} {
		got, err := read(t, query)
		if err != nil || got != want {
			t.Errorf("%s: %+v %v", query, got, err)
		}
	}
	for _, query := range []string{
		"limit=0", "limit=101", "limit=-1", "limit=", "limit=ten", "limit=1e1", "limit=10.0", "limit=99999999999999999999",
		"order=ASC", "order=random", "before=" + id + "&after=" + id, "after=1", "after=" + id + "x",
		"before=data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV", "after=data_integration_01arz3ndektsv4rrffq69g5fav",
	} {
		if _, err := read(t, query); fault.As(err).Kind != fault.Invalid {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func read(t *testing.T, query string) (page, error) {
	t.Helper()
	if _, err := url.ParseQuery(query); err != nil {
		t.Fatal(err)
	}
	r := &request{Request: &http.Request{URL: &url.URL{RawQuery: query}}}
	return r.page(ident.IntegrationPrefix)
}

func TestEveryKindOfFaultHasAStatus(t *testing.T) {
	for kind := fault.Internal; kind <= fault.Unavailable; kind++ {
		if status := statuses[kind]; status < 400 || status > 599 {
			t.Errorf("kind %d has the status %d", kind, status)
		}
	}
}
