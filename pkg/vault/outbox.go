package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/ident"
)

// AccountCommit is a committed change of an account's row; nil is no row.
type AccountCommit struct {
	ChangeID      string // the same for each delivery of the change
	Tenant        string
	Before, After *account.Account
	At            time.Time
}

// StoredEvent is an event as the table has it.
type StoredEvent struct {
	event.Event
	Tenant string
	SentAt time.Time // zero: the bus may not have it yet

	Revision int64
}

// EventStore keeps events.
type EventStore interface {
	// StoreEvent stores e unless it is there already, and returns what is there.
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
	Store EventStore
	Bus   Bus
	Clock ident.Clock
	Log   *slog.Logger
}

// Publish works through commits in their order and returns those that have to
// be delivered again: all of each account of which something failed, so that
// its events go out in order. What was sent before is not sent again.
func (o *Outbox) Publish(ctx context.Context, commits []AccountCommit) (again []AccountCommit) {
	held := map[string]bool{} // accounts of which something failed
	due, of := o.store(ctx, commits, held)
	o.send(ctx, due, of, held)
	for _, c := range commits {
		if held[c.account()] {
			again = append(again, c)
		}
	}
	return again
}

// store stores the events of commits and returns those that the bus may not
// have yet, with the account that each is of.
func (o *Outbox) store(ctx context.Context, commits []AccountCommit, held map[string]bool) (due []StoredEvent, of []string) {
	for _, c := range commits {
		for _, e := range event.Of(c.Before, c.After, c.At) {
			if held[c.account()] {
				break
			}
			stored, err := o.Store.StoreEvent(ctx, StoredEvent{Event: e, Tenant: c.Tenant})
			switch {
			case err != nil:
				o.Log.ErrorContext(ctx, "an event was not stored", "event", e.ID, "error", err)
				held[c.account()] = true
			case stored.SentAt.IsZero():
				due, of = append(due, stored), append(of, c.account())
			}
		}
	}
	return due, of
}

// send puts events on the bus and marks those that it took, up to the first of
// each account that it did not.
func (o *Outbox) send(ctx context.Context, due []StoredEvent, of []string, held map[string]bool) {
	if len(due) == 0 {
		return
	}
	for i, err := range o.Bus.Put(ctx, due) {
		if held[of[i]] {
			continue
		}
		if err == nil {
			due[i].SentAt = o.Clock.Now()
			err = o.Store.MarkSent(ctx, due[i])
		}
		if err != nil && !errors.Is(err, ErrChanged) { // changed: another delivery has marked it
			o.Log.ErrorContext(ctx, "an event was not sent", "event", due[i].ID, "error", err)
			held[of[i]] = true
		}
	}
}

// account names the row that was changed.
func (c AccountCommit) account() string {
	a := c.After
	if a == nil {
		a = c.Before
	}
	return fmt.Sprintf("%s %s %+v", c.Tenant, a.Slug, a.Owner) // none of them holds a space
}
