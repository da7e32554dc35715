// Package vault holds what keyvend does: admit a caller, register a provider,
// keep a user's key, vend it, take it away again. It knows neither HTTP nor
// AWS; what it needs of the world are the small ports of this file.
package vault

import (
	"context"
	"errors"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/health"
	"keyvend/pkg/integration"
	"keyvend/pkg/removal"
	"keyvend/pkg/seal"
	"keyvend/pkg/tenant"
)

// ErrChanged: the write was refused, and nothing stored, because a row is no
// longer the one that was read. Read again and decide again.
var ErrChanged = errors.New("vault: the row has changed")

// Target names the rows that a request is about; parts that are "" are not
// read. Everything in it is known before any row is.
type Target struct {
	Tenant       string
	APIKey       string
	Slug         string
	User         string // with Slug: the user's account
	Organization string // with User: the account in that organization
	// AccountID is no row: when not "", only the account of that id is meant, and
	// another one that is found there is as good as none.
	AccountID string
	WithCheck bool // with User: also what is known of whether the account's key works
	// WithDeparture, with User: also whether the user was offboarded lately. Vends
	// do without: his accounts are deleted, and none is made that does not know of it.
	WithDeparture bool
}

// means reports whether a, which may be nil, is what t can be about.
func (t Target) means(a *account.Account) bool {
	return t.AccountID == "" || a != nil && a.ID == t.AccountID
}

// View is what Reader.Load found. A nil pointer is a row that is not there.
type View struct {
	APIKey       *apikey.Key
	Tenant       *tenant.Tenant
	Settings     tenant.Settings
	Integration  *integration.Integration
	Account      *account.Account // may be dead: see account.Of
	Check        *health.Check    // may be of another secret than the account's
	Organization tenant.Organization
	Override     *integration.Override
	Departure    tenant.Departure
	// Damaged is about rows that are there and cannot be read, nil when all can.
	// It tells more than whoever is not proven may know.
	Damaged error
}

// Coherent reports whether the account can have been written under the tenant
// and the integration beside it. When it cannot, they were read before it was
// written and have changed since.
func (v View) Coherent() bool {
	a, in := v.Account, v.Integration
	switch {
	case a == nil || in == nil || v.Tenant == nil || a.Damaged:
		return true // nothing contradicts
	case !a.Of(in):
		return false
	}
	header, err := seal.ParseHeader(a.Secrets[account.Current].Sealed)
	if err != nil {
		return true // it does not open, whatever is beside it
	}
	checked := account.Binding(in, a.Owner).CheckHost != ""
	return v.Tenant.Keys.PublicKeys[header.KeyVersion] != nil && (checked || !header.CheckHostBound)
}

// Every method of a store returns fault.Unavailable when the table cannot be
// reached in time: nothing was read, or the write may or may not be stored.
// A write sets the Revision of what it stored; repeating one that was stored
// without an answer does no harm.

// Reader reads what a request is about.
type Reader interface {
	// Load reads all of target's rows in one strongly consistent round trip, or
	// takes those that change rarely from a memory that its maker bounds.
	Load(ctx context.Context, target Target) (View, error)
}

// IntegrationStore keeps data integrations.
type IntegrationStore interface {
	Reader
	// Integrations lists a tenant's integrations, sorted by id.
	Integrations(ctx context.Context, tenant string) ([]*integration.Integration, error)
	// SaveIntegration writes in. Revision 0 means that there is no such row yet.
	SaveIntegration(ctx context.Context, in *integration.Integration) error
	// SaveIntegrationAndAccount writes both or none, on the condition of SaveKey.
	SaveIntegrationAndAccount(ctx context.Context, in *integration.Integration, a *account.Account, d tenant.Departure) error
	// RemoveIntegration deletes in and stores its removal job, both or none.
	RemoveIntegration(ctx context.Context, in *integration.Integration, job *removal.Job) error
}

// AccountStore keeps connected accounts.
type AccountStore interface {
	Reader
	Integrations(ctx context.Context, tenant string) ([]*integration.Integration, error)
	Overrides(ctx context.Context, tenant, organization string) (map[string]*integration.Override, error)
	// AccountsOf lists all accounts of a user, dead ones included.
	AccountsOf(ctx context.Context, tenant, user string) ([]*account.Account, error)
	SaveAccount(ctx context.Context, a *account.Account) error
	// SaveKey is SaveAccount for a key that was brought. Where there is no account
	// yet, which his offboarding would delete, it also wants that what is kept of
	// its user's departure still is d.
	SaveKey(ctx context.Context, a *account.Account, d tenant.Departure) error
	DeleteAccount(ctx context.Context, a *account.Account) error
}

// SealBlobs reads wrapped key material that only vending needs.
type SealBlobs interface {
	SealBlob(ctx context.Context, tenant string, version uint32) ([]byte, error)
}

// SessionBlobs reads wrapped key material that only minting tokens needs.
type SessionBlobs interface {
	SessionBlob(ctx context.Context, tenant string) ([]byte, error)
}

// RemovalStore is what the sweeper needs.
type RemovalStore interface {
	// Removals lists the removal jobs. The error is about those that are missing.
	Removals(ctx context.Context) ([]*removal.Job, error)
	// AccountsUnder lists accounts of a removed integration, each read again
	// strongly; some may be missing until the index has caught up. next is what
	// to pass as after for the following page, "" at the end.
	AccountsUnder(ctx context.Context, job *removal.Job, after string) (page []*account.Account, next string, err error)
	DeleteAccount(ctx context.Context, a *account.Account) error
	SaveRemoval(ctx context.Context, job *removal.Job) error
	FinishRemoval(ctx context.Context, job *removal.Job) error
}

// TenantStore is what the operator's side needs.
type TenantStore interface {
	SealBlobs
	APIKeyStore
	// CreateTenant stores a tenant and its first blobs, all or none.
	CreateTenant(ctx context.Context, t *tenant.Tenant, blobs seal.Blobs) error
	Tenant(ctx context.Context, id string) (*tenant.Tenant, error) // nil: no such tenant
	Tenants(ctx context.Context) ([]*tenant.Tenant, error)
}

// attempts is how often a lost compare-and-swap is decided anew.
const attempts = 8

// errConcurrent is the answer when every attempt lost.
var errConcurrent = &fault.Error{
	Kind:       fault.Unavailable,
	Code:       "concurrent_request",
	Message:    "Other requests are changing the same thing at this moment. Send the request again.",
	RetryAfter: retryAfter,
}
