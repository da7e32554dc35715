// Package tenant knows what keyvend keeps of one environment of one product:
// its key material, its settings, and what an operator has switched off.
package tenant

import (
	"time"

	"keyvend/pkg/seal"
)

// Status is where a tenant is in its life.
type Status string

// The statuses of a tenant.
const (
	Active   Status = "active"
	Shredded Status = "shredded" // its key material is gone for good
)

// Tenant is written by the tenants function alone and read with every request.
// Its JSON form is the stored one.
type Tenant struct {
	ID        string        `json:"-"` // as in the row's key
	Name      string        `json:"name"`
	Status    Status        `json:"status"`
	Epoch     int64         `json:"epoch"` // raised to end every session of the tenant
	Keys      seal.Material `json:"keys"`
	CreatedAt time.Time     `json:"created_at"`

	Revision int64 `json:"-"`
}

// Settings are the tenant's own to change. The zero value holds for a tenant
// that never changed any.
type Settings struct {
	AllowedOrigins    []string  `json:"allowed_origins,omitempty"`
	SessionsNotBefore time.Time `json:"sessions_not_before,omitzero"`
	Freeze            *Freeze   `json:"freeze,omitempty"`

	Revision int64 `json:"-"`
}

// Organization is what is kept of an organization. The zero value holds for
// one of which nothing is.
type Organization struct {
	Freeze       *Freeze   `json:"freeze,omitempty"`
	OffboardedAt time.Time `json:"offboarded_at,omitzero"` // accounts made before are dead

	Revision int64 `json:"-"`
}

// Left reports whether an account since that time went when the organization was
// offboarded.
func (o Organization) Left(since time.Time) bool { return since.Before(o.OffboardedAt) }

// Departure is what is kept of a user who was offboarded, for as long as a token
// from before could live. The zero value holds for one who was not.
type Departure struct {
	OffboardedAt time.Time `json:"offboarded_at"`

	Revision int64 `json:"-"`
}

// Left reports whether an account since that time goes with its user.
func (d Departure) Left(since time.Time) bool { return since.Before(d.OffboardedAt) }

// Freeze stops vending, and nothing else, from the next request on.
type Freeze struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}
