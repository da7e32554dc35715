// Package event knows what keyvend tells about connected accounts: an event for
// each change of state, derived from the row before and after it, and for some
// facts that change no row.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
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
	Expiring              Name = "pipes.connected_account.expiring"               // the key will soon have had its time
)

// Names are all names that an event may have.
func Names() []Name {
	return []Name{Connected, ConnectionFailed, Disconnected, ReauthorizationNeeded, Rotated, Recovered, Expiring}
}

// Lasts is how long an event is kept.
const Lasts = 30 * 24 * time.Hour

// Event is the contract's envelope. Its JSON form goes over the wire, on the
// bus, and into the table.
type Event struct {
	Object    string  `json:"object"` // "event"
	ID        string  `json:"id"`
	Name      Name    `json:"event"`
	Data      Data    `json:"data"`
	CreatedAt string  `json:"created_at"`
	Context   Context `json:"context"`
}

// Data is what an event tells: of an account or, with ConnectionFailed, of the
// attempt to make one. One of the two is set.
type Data struct {
	Account *Account
	Failure *Failure
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
	State             string   `json:"state"` // of an account that is gone the last one: the contract has none for it
	CreatedAt         string   `json:"created_at"`
	UpdatedAt         string   `json:"updated_at"`
	// Reason says what a change of health rests on, in a word: a reason of package
	// health. Events of other changes have none.
	Reason *string `json:"reason,omitempty"`
	// Revision grows with each change of the account: a consumer that has seen
	// a higher one can drop this event, since no order is promised.
	Revision int64 `json:"revision"`
}

// Failure is what an event tells of a key that was not stored.
type Failure struct {
	Object                   string  `json:"object"` // "connection_failed"
	DataIntegrationID        string  `json:"data_integration_id"`
	ProviderSlug             string  `json:"provider_slug"`
	UserID                   string  `json:"user_id"`
	OrganizationID           *string `json:"organization_id"`
	ErrorCode                string  `json:"error_code"`
	ErrorReason              *string `json:"error_reason"`
	ProviderError            *string `json:"provider_error"`             // OAuth's: null
	ProviderErrorDescription *string `json:"provider_error_description"` // OAuth's: null
	CreatedAt                string  `json:"created_at"`
}

const (
	accountObject = "connected_account"
	failureObject = "connection_failed"
)

// MarshalJSON implements json.Marshaler.
func (d Data) MarshalJSON() ([]byte, error) {
	if d.Failure != nil {
		return json.Marshal(d.Failure)
	}
	return json.Marshal(d.Account)
}

var errData = errors.New("event: data that is neither an account's nor a failure's")

// UnmarshalJSON implements json.Unmarshaler.
func (d *Data) UnmarshalJSON(text []byte) error {
	var kind struct {
		Object string `json:"object"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return err
	}
	*d = Data{}
	switch kind.Object {
	case accountObject:
		return json.Unmarshal(text, &d.Account)
	case failureObject:
		return json.Unmarshal(text, &d.Failure)
	default:
		return errData
	}
}

// Organization is the organization that the event is about, nil for none.
func (d Data) Organization() *string {
	switch {
	case d.Failure != nil:
		return d.Failure.OrganizationID
	case d.Account != nil:
		return d.Account.OrganizationID
	default:
		return nil
	}
}

// User is the user that the event is about.
func (d Data) User() string {
	switch {
	case d.Failure != nil:
		return d.Failure.UserID
	case d.Account != nil:
		return d.Account.UserID
	default:
		return ""
	}
}

// Context says who caused the event.
type Context struct {
	Actor Actor `json:"actor"`
}

// Actor is who caused an event: an API key, the user himself in the widget, or
// keyvend itself.
type Actor struct {
	ID     string  `json:"id"`
	Source string  `json:"source"` // "api", "dashboard" or "system": the contract has no word for a widget, which calls the API
	Name   *string `json:"name"`
}

// System is keyvend itself as the actor.
func System() Actor { return Actor{ID: "keyvend", Source: "system"} }

// By is who acts in a place as the actor: an API key, or in the widget a user; ""
// is keyvend itself.
func By(id string, in account.Place) Actor {
	switch {
	case id == "":
		return System()
	case in == account.InDashboard:
		return Actor{ID: id, Source: "dashboard"}
	default:
		return Actor{ID: id, Source: "api"}
	}
}

// Of derives the events of one change of an account's row: before and after it,
// nil where there was or is none. committed is when, which only a deletion has
// to be told. The same change always gives the same events, ids included.
func Of(before, after *account.Account, committed time.Time) []Event {
	var events []Event
	if before != nil && (after == nil || after.ID != before.ID) {
		// Nothing is left that says who deleted it.
		events = append(events, about(Disconnected, before, end(before, after, committed), before.Revision+1, System(), ""))
		before = nil
	}
	if after == nil {
		return events
	}
	if name := transition(before, after); name != "" {
		events = append(events, about(name, after, after.UpdatedAt, after.Revision, By(after.ChangedBy, after.ChangedIn), reason(name, after)))
	}
	return events
}

// end is when an account ended: before that which took its place began, and
// behind its own last change, which the feed's clock may be too coarse to tell.
func end(gone, successor *account.Account, committed time.Time) time.Time {
	if successor != nil {
		committed = successor.UpdatedAt.Add(-time.Millisecond)
	}
	if earliest := gone.UpdatedAt.Add(time.Millisecond); committed.Before(earliest) {
		return earliest
	}
	return committed
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

// reason says why keyvend itself changed a state, in a word of package health.
func reason(name Name, after *account.Account) string {
	if name == Recovered && after.ChangedBy == "" {
		return "works"
	}
	return string(after.StateReason)
}

// Note is an event about an account that no change of its row tells.
// why is the event's reason, "" for none.
func Note(name Name, a *account.Account, at time.Time, by Actor, why string) Event {
	return about(name, a, at, a.Revision, by, why)
}

// Fail is the event ConnectionFailed: a key that was not stored. f has what is
// known; the rest is filled in.
func Fail(f Failure, at time.Time, by Actor) Event {
	f.Object, f.CreatedAt = failureObject, stamp(at)
	organization := ""
	if f.OrganizationID != nil {
		organization = *f.OrganizationID
	}
	item := strings.Join([]string{f.DataIntegrationID, f.UserID, organization}, " ") // no id holds a space
	return envelope(ConnectionFailed, Data{Failure: &f}, item, 0, at, by)
}

func about(name Name, a *account.Account, at time.Time, revision int64, by Actor, why string) Event {
	told := &Account{
		Object:            accountObject,
		ID:                a.ID,
		DataIntegrationID: a.IntegrationID,
		ProviderSlug:      a.Slug,
		UserID:            a.Owner.User,
		Scopes:            []string{},
		State:             string(a.State),
		CreatedAt:         stamp(a.CreatedAt),
		UpdatedAt:         stamp(a.UpdatedAt),
		Revision:          revision,
	}
	if organization := a.Owner.Organization; organization != "" {
		told.OrganizationID = &organization
	}
	if why != "" {
		told.Reason = &why
	}
	return envelope(name, Data{Account: told}, a.ID, revision, at, by)
}

// envelope makes an event whose id is a ULID of its time with a hash of what
// happened for its random part, so that a change delivered twice gives one event.
func envelope(name Name, data Data, item string, revision int64, at time.Time, by Actor) Event {
	h := sha256.New()
	h.Write([]byte(item))
	_ = binary.Write(h, binary.BigEndian, revision) // a hash takes everything
	h.Write([]byte(name))
	return Event{
		Object:    "event",
		ID:        id(at, h.Sum(nil)),
		Name:      name,
		Data:      data,
		CreatedAt: stamp(at),
		Context:   Context{Actor: by},
	}
}

// Floor is the id that stands before all events of t and behind all earlier
// ones.
func Floor(t time.Time) string { return id(t, make([]byte, 10)) }

// Time is when the event of that id happened, to the millisecond; ok is false
// when it is no event's id.
func Time(id string) (at time.Time, ok bool) {
	u, ok := ident.Parse(ident.EventPrefix, id)
	return time.UnixMilli(int64(u.Time())).UTC(), ok //nolint:gosec // 48 bits
}

func id(at time.Time, entropy []byte) string {
	var u ulid.ULID
	_ = u.SetTime(ulid.Timestamp(at)) // in range until the year 10889
	copy(u[6:], entropy)
	return ident.EventPrefix + u.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
