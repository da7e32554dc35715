package api

import (
	"context"
	"net/url"
	"strings"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/event"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/vault"
)

// Events are the routes about what happened; they belong to the function
// "providers".
func Events(e *vault.Events) []Route {
	return []Route{{"GET", "/events", apikey.Read, handle(history{e}.list)}}
}

type history struct{ events *vault.Events }

func (h history) list(ctx context.Context, v *vault.Visit, in *listEvents) (answer, error) {
	found, err := h.events.List(ctx, v, in.query)
	if err != nil {
		return answer{}, err
	}
	answered := plainList(found.Events)
	answered.Metadata = metadata{Before: orNil(found.Before), After: orNil(found.After)}
	if in.turned {
		answered.Metadata = metadata{Before: answered.Metadata.After, After: answered.Metadata.Before}
	}
	return ok(answered), nil
}

// listEvents is GET /events.
type listEvents struct {
	query  vault.EventQuery
	turned bool // the cursors have each other's meaning
}

func (in *listEvents) decode(r *request) (target vault.Target, err error) {
	p, err := r.page(ident.EventPrefix)
	if err != nil {
		return target, err
	}
	if in.turned = p.Order == orderNormal; in.turned {
		p.Before, p.After = p.After, p.Before
	}
	q, err := r.query()
	if err != nil {
		return target, err
	}
	in.query = vault.EventQuery{
		Names: eventNames(q), Organization: q.Get("organization_id"),
		Descending: p.Order != orderAsc, After: p.After, Before: p.Before, Limit: p.Limit,
	}
	if q.Has("organization_id") {
		if in.query.Organization == "" {
			return target, badParameter("organization_id", "invalid", "organization_id is empty. Leave it out for the events of all.")
		}
		if err := ident.CheckOrganization(in.query.Organization); err != nil {
			return target, badParameter("organization_id", "invalid", fault.As(err).Message)
		}
	}
	if in.query.From, err = moment(q, "range_start"); err != nil {
		return target, err
	}
	in.query.Until, err = moment(q, "range_end")
	return target, err
}

// eventNames reads the filter, which clients send with commas, repeated, or
// with brackets. A name that is not ours is one that never happens.
func eventNames(q url.Values) (names []event.Name) {
	for _, field := range []string{"events", "events[]"} {
		for _, text := range q[field] {
			for name := range strings.SplitSeq(text, ",") {
				if name != "" {
					names = append(names, event.Name(name))
				}
			}
		}
	}
	return names
}

// moment reads an ISO 8601 date or time; one without a zone is UTC.
func moment(q url.Values, field string) (time.Time, error) {
	text := q.Get(field)
	if text == "" {
		return time.Time{}, nil
	}
	for _, missing := range []string{"", "Z", "T00:00:00Z"} {
		if t, ok := parseTime(text + missing); ok {
			return t, nil
		}
	}
	return time.Time{}, badParameter(field, "invalid_timestamp", field+" is a date or time like 2026-01-31T12:00:00Z.")
}
