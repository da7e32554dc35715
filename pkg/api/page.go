package api

import "slices"

// The orders of a list. Normal is descending with the cursors' meaning turned
// round: before fetches older objects, after newer ones.
const (
	orderAsc    = "asc"
	orderDesc   = "desc"
	orderNormal = "normal"
)

// page is which part of a list is asked for.
type page struct {
	Limit         int
	Before, After string
	Order         string
}

// list is the contract's envelope of a paged list.
type list[T any] struct {
	Object   string   `json:"object"`
	Data     []T      `json:"data"`
	Metadata metadata `json:"list_metadata"`
}

type metadata struct {
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// listed is the asked page of rows, which are sorted by id, as the wire shows it.
func listed[R, W any](rows []R, id func(R) string, show func(R) W, p page) list[W] {
	part, before, after := cut(rows, id, p)
	data := make([]W, len(part))
	for i, row := range part {
		data[i] = show(row)
	}
	return list[W]{"list", data, metadata{before, after}}
}

// plainList is the envelope of a list that has no pages.
func plainList[T any](data []T) list[T] {
	if data == nil {
		data = []T{}
	}
	return list[T]{Object: "list", Data: data}
}

// cut takes the asked part of rows, which are sorted by id, ascending. Cursors
// are compared, never looked up: an object that is gone still marks its place.
func cut[T any](rows []T, id func(T) string, p page) (part []T, before, after *string) {
	if p.Order == orderNormal {
		p.Before, p.After = p.After, p.Before
	}
	rows = slices.Clone(rows)
	ahead := func(a, b string) bool { return a < b } // a comes before b in the list
	if p.Order != orderAsc {
		slices.Reverse(rows)
		ahead = func(a, b string) bool { return a > b }
	}
	from, to := 0, len(rows)
	switch {
	case p.After != "":
		for from < to && !ahead(p.After, id(rows[from])) {
			from++
		}
		to = min(to, from+p.Limit)
	case p.Before != "":
		for to > from && !ahead(id(rows[to-1]), p.Before) {
			to--
		}
		from = max(from, to-p.Limit)
	default:
		to = min(to, p.Limit)
	}
	if from > 0 && from < len(rows) {
		first := id(rows[from])
		before = &first
	}
	if to > 0 && to < len(rows) {
		last := id(rows[to-1])
		after = &last
	}
	if p.Order == orderNormal {
		before, after = after, before
	}
	return rows[from:to], before, after
}
