package vault

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/ident"
)

// Commit is a committed change of a row that events are made of: of an account's,
// or a remark.
type Commit struct {
	// ChangeID is the same for each delivery of the change.
	ChangeID string
	// Row names what was changed. Commits of one row come in their order.
	Row           string
	Tenant        string
	Before, After *account.Account // nil is no row
	At            time.Time
	// Remark is the event that a remark is, and nil of an account's change.
	Remark *event.Event
}

func (c Commit) events() []event.Event {
	if c.Remark != nil {
		return []event.Event{*c.Remark}
	}
	return event.Of(c.Before, c.After, c.At)
}

// StoredEvent is an event as the table has it. Its JSON form is the stored one.
type StoredEvent struct {
	Event  event.Event `json:"event"`
	SentAt time.Time   `json:"sent_at,omitzero"` // zero: the bus may not have it yet

	Tenant   string `json:"-"` // as in the row's key
	Revision int64  `json:"-"`
}

// Readable reports whether e is more than the id of an event whose row is damaged.
func (e StoredEvent) Readable() bool { return e.Event.Name != "" }

// EventStore keeps events.
type EventStore interface {
	// StoreEvent stores e unless it is there already, and returns what is there. It
	// writes over a row that is damaged.
	StoreEvent(ctx context.Context, e StoredEvent) (StoredEvent, error)
	// MarkSent notes that the bus has e.
	MarkSent(ctx context.Context, e StoredEvent) error
}

// Bus takes events to whoever wants them.
type Bus interface {
	// Put sends events. The answer has an error, or nil, for each of them.
	Put(ctx context.Context, events []StoredEvent) []error
}

// Outbox makes events of changes, stores them, and puts them on the bus: each
// at least once, and none twice as long as the table can be written.
type Outbox struct {
	Store     EventStore
	Enrolment *Enrolment
	Bus       Bus
	Clock     ident.Clock
	Log       *slog.Logger
}

// Publish works through commits in their order and returns those that have to
// be delivered again: the first of each row of which something failed, and all
// that follow it, so that the row's events go out in order. What was sent before
// is not sent again.
func (o *Outbox) Publish(ctx context.Context, commits []Commit) (again []Commit) {
	failed := make([]bool, len(commits))
	o.send(ctx, o.store(ctx, commits, failed), failed)
	o.enrol(ctx, commits, failed)
	held := map[string]bool{}
	for i, c := range commits {
		if failed[i] || held[c.Row] {
			held[c.Row] = true
			again = append(again, c)
		}
	}
	return again
}

// enrol keeps the checks of accounts in step, of each row up to the first commit
// that failed.
func (o *Outbox) enrol(ctx context.Context, commits []Commit, failed []bool) {
	held := map[string]bool{}
	for i, c := range commits {
		if failed[i] || held[c.Row] {
			held[c.Row] = true
			continue
		}
		if err := o.Enrolment.Follow(ctx, c); err != nil {
			o.Log.ErrorContext(ctx, "a check was not kept in step with its account", "tenant", c.Tenant, "error", err)
			failed[i], held[c.Row] = true, true
		}
	}
}

// due is an event that the bus may not have yet, and the commit that it is of.
type due struct {
	StoredEvent
	commit int
	row    string
}

// store stores the events of commits, of each row up to the first that fails.
func (o *Outbox) store(ctx context.Context, commits []Commit, failed []bool) []due {
	var unsent []due
	held, seen := map[string]bool{}, map[string]bool{}
	for i, c := range commits {
		for _, e := range c.events() {
			if held[c.Row] {
				break
			}
			stored, err := o.Store.StoreEvent(ctx, StoredEvent{Event: e, Tenant: c.Tenant})
			switch {
			case err != nil:
				o.Log.ErrorContext(ctx, "an event was not stored", "event", e.ID, "tenant", c.Tenant, "error", err)
				failed[i], held[c.Row] = true, true
			case stored.SentAt.IsZero() && !seen[c.Tenant+e.ID]:
				seen[c.Tenant+e.ID] = true // a change may be among the commits twice
				unsent = append(unsent, due{stored, i, c.Row})
			}
		}
	}
	return unsent
}

// send puts events on the bus and marks those that it took, of each row up to
// the first that it did not.
func (o *Outbox) send(ctx context.Context, unsent []due, failed []bool) {
	if len(unsent) == 0 {
		return
	}
	events := make([]StoredEvent, len(unsent))
	for i, d := range unsent {
		events[i] = d.StoredEvent
	}
	held := map[string]bool{}
	for i, err := range o.Bus.Put(ctx, events) {
		d := unsent[i]
		if held[d.row] {
			continue
		}
		if err == nil {
			d.SentAt = o.Clock.Now()
			err = o.Store.MarkSent(ctx, d.StoredEvent)
		}
		if err != nil && !errors.Is(err, ErrChanged) { // changed: another delivery has marked it
			o.Log.ErrorContext(ctx, "an event was not sent", "event", d.Event.ID, "tenant", d.Tenant, "error", err)
			failed[d.commit], held[d.row] = true, true
		}
	}
}
