package vault

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"keyvend/pkg/event"
	"keyvend/pkg/ident"
)

// EventReader reads stored events.
type EventReader interface {
	// EventsOn lists events of one UTC day in the order of their ids. next is what
	// to pass as After for what follows, "" at the end; a page may be short. Of an
	// event whose row is damaged there is its ID alone.
	EventsOn(ctx context.Context, tenant string, r EventRange) (page []event.Event, next string, err error)
}

// EventRange is a range of a tenant's events of one day.
type EventRange struct {
	Day        time.Time // midnight, UTC
	After      string    // event id, exclusive, in the direction of the range; "" is from its start
	Descending bool
	Limit      int
}

// EventQuery says which events are asked for.
type EventQuery struct {
	Names        []event.Name // none: all
	Organization string       // "": all
	From, Until  time.Time    // From inclusive, Until exclusive; zero: no bound
	Descending   bool
	// After and Before are event ids, exclusive, in the direction of the query;
	// at most one of them is not "". They need not be of events that there are.
	After, Before string
	Limit         int
}

func (q EventQuery) matches(e event.Event) bool {
	if len(q.Names) > 0 && !slices.Contains(q.Names, e.Name) {
		return false
	}
	organization := e.Data.Organization()
	return q.Organization == "" || organization != nil && *organization == q.Organization
}

// EventPage is a part of a query's answer. Before and After are what to ask for
// the parts around it, "" where there is nothing.
type EventPage struct {
	Events        []event.Event
	Before, After string
}

// Events tells a tenant what happened in the last 30 days.
type Events struct {
	Store EventReader
	Clock ident.Clock
	// InOrder says that events are stored in the order of their ids. Where they
	// are not, the youngest are kept back for a little, until those that belong before
	// them are there, so that who asks for what is after the last he saw misses none
	// but those that are stored later still.
	InOrder bool
	Log     *slog.Logger
}

const (
	settles    = 5 * time.Second // how long an event is kept back
	eventPages = 40              // that one List reads at most: a month has up to 31 days
	eventBatch = 250             // rows of a page when a filter leaves some out
)

// List is the asked part of the tenant's events. A filter that few match may
// need several parts that hold little or nothing.
func (e *Events) List(ctx context.Context, v *Visit, q EventQuery) (EventPage, error) {
	s := e.scan(v.Target.Tenant, q)
	found, next, err := s.run(ctx)
	if err != nil {
		return EventPage{}, err
	}
	if len(s.damaged) > 0 {
		e.Log.ErrorContext(ctx, "events cannot be read and are left out", "alarm", "poison", "tenant", s.tenant, "events", s.damaged)
	}
	if q.Before == "" {
		page := EventPage{Events: found, After: next}
		if q.After != "" && len(found) > 0 {
			page.Before = found[0].ID
		}
		return page, nil
	}
	slices.Reverse(found)
	page := EventPage{Events: found, Before: next}
	if len(found) > 0 {
		page.After = found[len(found)-1].ID
	}
	return page, nil
}

// scan is one walk over days, from low to high or back.
type scan struct {
	EventQuery
	store     EventReader
	tenant    string
	low, high string   // ids, both exclusive
	damaged   []string // ids of events on the way that cannot be read
}

// scan plans the walk for q: away from its cursor, within all bounds.
func (e *Events) scan(tenant string, q EventQuery) *scan {
	now := e.Clock.Now()
	horizon := now.Add(-settles)
	if e.InOrder {
		horizon = now.Add(time.Millisecond)
	}
	low, high := now.Add(-event.Lasts), horizon
	if q.From.After(low) {
		low = q.From
	}
	if !q.Until.IsZero() && q.Until.Before(high) {
		high = q.Until
	}
	s := &scan{EventQuery: q, store: e.Store, tenant: tenant, low: event.Floor(low), high: event.Floor(high)}
	cursor := q.After
	if q.Before != "" {
		cursor, s.Descending = q.Before, !q.Descending
	}
	switch {
	case cursor == "":
	case s.Descending:
		s.high = min(s.high, cursor)
	default:
		s.low = max(s.low, cursor)
	}
	return s
}

// run reads until the asked number is found, the bounds are reached, or enough
// was read. next is where to go on, "" at the end.
func (s *scan) run(ctx context.Context) (found []event.Event, next string, err error) {
	day, position := dayOf(s.low), s.low
	if s.Descending {
		day, position = dayOf(s.high), s.high
	}
	for range eventPages {
		if s.low >= s.high || day.Before(dayOf(s.low)) || day.After(dayOf(s.high)) {
			return found, "", nil
		}
		r := EventRange{Day: day, After: position, Descending: s.Descending, Limit: s.batch()}
		page, following, err := s.store.EventsOn(ctx, s.tenant, r)
		if err != nil {
			return nil, "", err
		}
		for _, e := range page {
			if e.ID <= s.low || e.ID >= s.high {
				return found, "", nil
			}
			if e.Name == "" {
				s.damaged = append(s.damaged, e.ID)
				continue
			}
			if !s.matches(e) {
				continue
			}
			if len(found) == s.Limit {
				return found, found[s.Limit-1].ID, nil
			}
			found = append(found, e)
		}
		if position = following; following == "" {
			day, position = s.beyond(day)
		}
	}
	return found, position, nil
}

// batch is how many rows to read at once.
func (s *scan) batch() int {
	if len(s.Names) > 0 || s.Organization != "" {
		return eventBatch
	}
	return s.Limit + 1
}

// beyond is the day that follows in the walk, and the id that all of its events
// are behind.
func (s *scan) beyond(day time.Time) (following time.Time, position string) {
	if s.Descending {
		return day.AddDate(0, 0, -1), event.Floor(day)
	}
	following = day.AddDate(0, 0, 1)
	return following, event.Floor(following)
}

// dayOf is the day of an event id.
func dayOf(id string) time.Time {
	at, _ := event.Time(id)
	return at.Truncate(24 * time.Hour)
}
