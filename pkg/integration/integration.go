// Package integration knows the data integrations of a tenant: which provider,
// which one authentication method, whether it is switched on.
package integration

import (
	"time"

	"keyvend/pkg/idempotency"
	"keyvend/pkg/tenant"
)

// MaxPerTenant is how many data integrations a tenant may have: they are read
// whole and strongly consistent when listed. It bounds the work and is no quota:
// registrations at the same moment may pass it by as many as they are.
const MaxPerTenant = 500

// AuthMethod is how accounts authenticate with the provider. An integration
// has one, chosen at creation and fixed for good.
type AuthMethod string

// The contract's methods. So far keyvend serves APIKey only.
const (
	APIKey            AuthMethod = "api_key"
	OAuth             AuthMethod = "oauth"
	ClientCredentials AuthMethod = "client_credentials"
)

// Integration is a provider that a tenant registered. Its JSON form is the
// stored one.
type Integration struct {
	ID          string             `json:"id"`
	Tenant      string             `json:"-"` // as in the row's key
	Slug        string             `json:"-"` // as in the row's key
	Name        string             `json:"name"`
	AuthMethod  AuthMethod         `json:"auth_method"`
	Description *string            `json:"description,omitempty"`
	Enabled     bool               `json:"enabled"`
	Custom      *CustomProvider    `json:"custom,omitempty"` // nil: a provider of the catalog
	Policy      Policy             `json:"policy,omitzero"`
	Freeze      *tenant.Freeze     `json:"freeze,omitempty"`
	CreatedAt   time.Time          `json:"created_at"`
	UpdatedAt   time.Time          `json:"updated_at"`
	Requests    idempotency.Memory `json:"requests,omitempty"`

	Revision int64 `json:"-"`
}

// Override is one organization's switch of one integration.
type Override struct {
	IntegrationID string    `json:"integration_id"` // an override dies with its integration
	Enabled       bool      `json:"enabled"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`

	Revision int64 `json:"-"`
}

// EnabledFor reports whether the integration is on, for an organization with
// the given override (nil: none). A switch can only take away.
func (in *Integration) EnabledFor(o *Override) bool {
	return in.Enabled && (o == nil || o.IntegrationID != in.ID || o.Enabled)
}
