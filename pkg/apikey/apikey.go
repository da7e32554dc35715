package apikey

import (
	"crypto/subtle"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/fault"
)

// Scope is what an API key may do.
type Scope string

// The scopes. Nothing includes Vend.
const (
	Vend   Scope = "vend"   // read secrets back
	Manage Scope = "manage" // change everything else; includes Read and Widget
	Read   Scope = "read"   // look at everything but secrets
	Widget Scope = "widget" // mint widget tokens
)

// AllScopes is every scope, in canonical order.
func AllScopes() []Scope { return []Scope{Manage, Read, Vend, Widget} }

// Key is the row kept of an API key. Its JSON form is the stored one.
type Key struct {
	ID        string    `json:"-"` // as in the row's key
	Tenant    string    `json:"-"` // as in the row's key
	Name      string    `json:"name"`
	Scopes    []Scope   `json:"scopes"` // sorted, distinct
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
	RevokedAt time.Time `json:"revoked_at,omitzero"` // zero: not revoked
	// IssuedBy is the id of the API key with whose rights this one was issued, ""
	// when an operator did it; InSession: that was in a dashboard session.
	IssuedBy  string `json:"issued_by,omitempty"`
	InSession bool   `json:"in_session,omitempty"`
	// RowMAC proves under the ingest key that keyvend wrote tenant, id, scopes,
	// expiry, issuer and token together. VendMAC proves the same under a key that only
	// the seal purpose opens, and is there only when the scopes hold Vend.
	RowMAC  []byte `json:"row_mac,omitempty"`
	VendMAC []byte `json:"vend_mac,omitempty"`

	Revision int64 `json:"-"`
}

// Sign makes the row prove itself for token: with vend set also for vending.
func (k *Key) Sign(token Token, ingest, vend MACer) {
	k.RowMAC = ingest.MAC(useRow, k.signed(token)...)
	if k.Allows(Vend) {
		k.VendMAC = vend.MAC(useVend, k.signed(token)...)
	}
}

// Proves reports in constant time whether this row was written by keyvend for
// this very token.
func (k *Key) Proves(token Token, ingest MACer) bool {
	return subtle.ConstantTimeCompare(k.RowMAC, ingest.MAC(useRow, k.signed(token)...)) == 1
}

// ProvesVend is Proves for vending.
func (k *Key) ProvesVend(token Token, vend MACer) bool {
	return subtle.ConstantTimeCompare(k.VendMAC, vend.MAC(useVend, k.signed(token)...)) == 1
}

func (k *Key) signed(token Token) [][]byte {
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	var expiry string
	if !k.ExpiresAt.IsZero() {
		expiry = k.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	parts := [][]byte{[]byte(k.Tenant), []byte(k.ID), []byte(strings.Join(scopes, " ")), []byte(expiry), token.raw.Reveal()}
	if k.IssuedBy != "" || k.InSession {
		parts = append(parts, []byte(k.IssuedBy), []byte(strconv.FormatBool(k.InSession)))
	}
	return parts
}

// Usable reports whether the key is neither revoked nor expired.
func (k *Key) Usable(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Revoke ends the key for good: the row loses what proves it.
func (k *Key) Revoke(now time.Time) {
	k.RevokedAt, k.RowMAC, k.VendMAC = now, nil, nil
}

// Allows reports whether the key's scopes include need.
func (k *Key) Allows(need Scope) bool {
	if slices.Contains(k.Scopes, need) {
		return true
	}
	return (need == Read || need == Widget) && slices.Contains(k.Scopes, Manage)
}

// ParseScopes reads the names of scopes into canonical form.
func ParseScopes(names []string) ([]Scope, error) {
	var scopes []Scope
	for _, name := range names {
		if !slices.Contains(AllScopes(), Scope(name)) {
			return nil, fault.Newf(fault.Invalid, "unprocessable_entity",
				"There is no scope %q. The scopes are manage, read and widget, and vend where an operator issues the key.", name)
		}
		scopes = append(scopes, Scope(name))
	}
	if len(scopes) == 0 {
		return nil, fault.New(fault.Invalid, "unprocessable_entity",
			"An API key needs at least one scope: manage, read or widget, or vend where an operator issues it.")
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}
