// Package event knows what keyvend tells about connected accounts: one event
// for each change of state, derived from the row before and after it.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/account"
	"keyvend/pkg/ident"
)

// Name is what happened. The contract has the first four, the others are ours.
type Name string

// The events of connected accounts.
const (
	Connected             Name = "pipes.connected_account.connected"              // a key was stored where there was none
	ConnectionFailed      Name = "pipes.connected_account.connection_failed"      // a key was refused by its provider when it was stored
	Disconnected          Name = "pipes.connected_account.disconnected"           // the account and its key are gone
	ReauthorizationNeeded Name = "pipes.connected_account.reauthorization_needed" // the key works no longer
	Rotated               Name = "pipes.connected_account.rotated"                // another key took the place of the stored one
	Recovered             Name = "pipes.connected_account.recovered"              // the key works again
)

// Names are all names that an event may have.
func Names() []Name {
	return []Name{Connected, ConnectionFailed, Disconnected, ReauthorizationNeeded, Rotated, Recovered}
}

// Lasts is how long an event is kept.
const Lasts = 30 * 24 * time.Hour

// Event is the contract's envelope. Its JSON form goes over the wire, on the
// bus, and into the table.
type Event struct {
	Object    string  `json:"object"` // "event"
	ID        string  `json:"id"`
	Name      Name    `json:"event"`
	Data      Account `json:"data"`
	CreatedAt string  `json:"created_at"`
	Context   Context `json:"context"`
}

// Account is what an event tells of an account: never the secret, never its
// last four.
type Account struct {
	Object            string   `json:"object"` // "connected_account"
	ID                string   `json:"id"`
	DataIntegrationID string   `json:"data_integration_id"`
	ProviderSlug      string   `json:"provider_slug"`
	UserID            string   `json:"user_id"`
	OrganizationID    *string  `json:"organization_id"`
	Scopes            []string `json:"scopes"`
	State             string   `json:"state"`
	CreatedAt         string   `json:"created_at"`
	UpdatedAt         string   `json:"updated_at"`
	// Revision grows with each change of the account: a consumer that has seen
	// a higher one can drop this event, since no order is promised.
	Revision int64 `json:"revision"`
}

// Context says who caused the event.
type Context struct {
	Actor Actor `json:"actor"`
}

// Actor is who caused an event: an API key, or keyvend itself.
type Actor struct {
	ID     string  `json:"id"`
	Source string  `json:"source"` // "api" or "system"
	Name   *string `json:"name"`
}

// Of derives the events of one change of an account's row: before and after it,
// nil where there was or is none. at is when it was committed, which only a
// deletion has to be told. The same change always gives the same events, ids
// included.
func Of(before, after *account.Account, at time.Time) []Event {
	var events []Event
	if before != nil && (after == nil || after.ID != before.ID) {
		// No row of a later revision is left to say so.
		events = append(events, tell(Disconnected, before, at, before.Revision+1, system))
		before = nil
	}
	if after == nil {
		return events
	}
	if name := transition(before, after); name != "" {
		events = append(events, tell(name, after, after.UpdatedAt, after.Revision, byAPIKey(after.ChangedBy)))
	}
	return events
}

// transition names what happened between two states of one account, "" when
// nothing did that is worth telling.
func transition(before, after *account.Account) Name {
	switch {
	case before == nil:
		return Connected
	case before.Secrets[account.Current].ID != after.Secrets[account.Current].ID:
		return Rotated
	case before.State == after.State:
		return ""
	case after.State == account.Connected:
		return Recovered
	default:
		return ReauthorizationNeeded
	}
}

func tell(name Name, a *account.Account, at time.Time, revision int64, by Actor) Event {
	e := Event{
		Object: "event",
		ID:     id(name, a, at, revision),
		Name:   name,
		Data: Account{
			Object:            "connected_account",
			ID:                a.ID,
			DataIntegrationID: a.IntegrationID,
			ProviderSlug:      a.Slug,
			UserID:            a.Owner.User,
			Scopes:            []string{},
			State:             string(a.State),
			CreatedAt:         stamp(a.CreatedAt),
			UpdatedAt:         stamp(a.UpdatedAt),
			Revision:          revision,
		},
		CreatedAt: stamp(at),
		Context:   Context{Actor: by},
	}
	if a.Owner.Organization != "" {
		e.Data.OrganizationID = &a.Owner.Organization
	}
	return e
}

var system = Actor{ID: "keyvend", Source: "system"}

func byAPIKey(key string) Actor {
	if key == "" {
		return system
	}
	return Actor{ID: key, Source: "api"}
}

// id is a ULID of the commit's time whose random part is a hash of what
// happened, so that a change delivered twice gives one event.
func id(name Name, a *account.Account, at time.Time, revision int64) string {
	h := sha256.New()
	h.Write([]byte(a.ID))
	_ = binary.Write(h, binary.BigEndian, revision) // a hash takes everything
	h.Write([]byte(name))
	var u ulid.ULID
	_ = u.SetTime(ulid.Timestamp(at)) // in range until the year 10889
	copy(u[6:], h.Sum(nil))
	return ident.EventPrefix + u.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
