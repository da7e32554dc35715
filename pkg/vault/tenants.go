package vault

import (
	"context"
	"slices"
	"strings"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/tenant"
)

// Tenants is the operator's side: the only one that makes tenants and the only
// one that issues API keys that vend.
type Tenants struct {
	Store TenantStore
	Ring  *seal.Ring
	Clock ident.Clock
}

// maxLabel is the length in bytes of the longest name of a tenant or API key.
const maxLabel = 128

// Create makes a tenant with key material of its own.
func (t *Tenants) Create(ctx context.Context, name string) (*tenant.Tenant, error) {
	if err := checkLabel(name); err != nil {
		return nil, err
	}
	id := t.Clock.New(ident.TenantPrefix)
	material, blobs, err := t.Ring.Create(ctx, id)
	if err != nil {
		return nil, sealFault(err)
	}
	made := &tenant.Tenant{ID: id, Name: name, Status: tenant.Active, Keys: material, CreatedAt: t.Clock.Now()}
	return made, t.Store.CreateTenant(ctx, made, blobs)
}

// List is every tenant; one made a moment ago may still be missing.
func (t *Tenants) List(ctx context.Context) ([]*tenant.Tenant, error) { return t.Store.Tenants(ctx) }

// Issue makes an API key. Its token is told here and never again.
func (t *Tenants) Issue(ctx context.Context, tenantID string, want NewKey) (*apikey.Key, secret.Text, error) {
	ten, err := t.find(ctx, tenantID)
	if err != nil {
		return nil, secret.Text{}, err
	}
	ingest, vend, err := t.signers(ctx, ten, slices.Contains(want.Scopes, apikey.Vend))
	if err != nil {
		return nil, secret.Text{}, err
	}
	return issue(ctx, t.Store, t.Clock, ten.ID, want, issuer{}, ingest, vend)
}

// signers are the keys under which an API key's row is signed; the second is
// nil for keys that do not vend.
func (t *Tenants) signers(ctx context.Context, ten *tenant.Tenant, vends bool) (ingest, vend apikey.MACer, err error) {
	if !vends {
		key, err := t.Ring.Ingest(ctx, ten.Keys)
		if err != nil {
			return nil, nil, sealFault(err)
		}
		return key, nil, nil
	}
	keys, err := OpeningKeys{Ring: t.Ring, Blobs: t.Store}.Unlock(ctx, ten)
	if err != nil {
		return nil, nil, sealFault(err)
	}
	return keys.Ingest, keys.Opening, nil
}

// Keys lists the API keys of a tenant, revoked ones included; one issued a
// moment ago may still be missing.
func (t *Tenants) Keys(ctx context.Context, tenantID string) ([]*apikey.Key, error) {
	if _, err := t.find(ctx, tenantID); err != nil {
		return nil, err
	}
	return t.Store.APIKeys(ctx, tenantID)
}

// Revoke ends an API key at once.
func (t *Tenants) Revoke(ctx context.Context, tenantID, keyID string) (*apikey.Key, error) {
	if _, err := t.find(ctx, tenantID); err != nil {
		return nil, err
	}
	return revoke(ctx, t.Store, t.Clock, tenantID, keyID)
}

func (t *Tenants) find(ctx context.Context, id string) (*tenant.Tenant, error) {
	unknown := fault.New(fault.NotFound, "not_found", "There is no such tenant. List them with list_tenants.")
	if _, ok := ident.Parse(ident.TenantPrefix, id); !ok {
		return nil, unknown
	}
	found, err := t.Store.Tenant(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, unknown
	case found.Status != tenant.Active:
		return nil, fault.New(fault.Invalid, "tenant_not_active", "This tenant's key material is gone. Make a new tenant.")
	}
	return found, nil
}

func checkLabel(name string) error {
	if name == "" || len(name) > maxLabel || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fault.New(fault.Invalid, "unprocessable_entity", "A name has 1 to 128 bytes and no control characters.")
	}
	return nil
}
