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

// walk is how a page of rows that are too many to be read whole is read: away from
// its cursor.
type walk struct {
	from       string // an id, exclusive; "" is the end that the list begins at
	descending bool
	backwards  bool // against the order of the list
	turned     bool // the cursors have each other's meaning
}

func (p page) walk() walk {
	turned := p.Order == orderNormal
	if turned {
		p.Before, p.After = p.After, p.Before
	}
	backwards := p.Before != ""
	return walk{
		from:       p.After + p.Before, // one of them is ""
		descending: (p.Order != orderAsc) != backwards,
		backwards:  backwards,
		turned:     turned,
	}
}

// walked is the page of rows that w found, as the wire shows it. next is where the
// walk goes on, "" at the end.
func walked[R, W any](w walk, rows []R, next string, id func(R) string, show func(R) W) list[W] {
	var before *string
	after := orNil(next)
	data := make([]W, len(rows))
	for i, row := range rows {
		data[i] = show(row)
	}
	if len(rows) > 0 && w.from != "" {
		first := id(rows[0])
		before = &first
	}
	if w.backwards {
		slices.Reverse(data)
	}
	if w.backwards != w.turned {
		before, after = after, before
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
