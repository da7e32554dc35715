package store

import (
	"context"
	"errors"
	"slices"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/integration"
	"keyvend/pkg/table"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

// Load implements vault.Reader: one BatchGetItem, whatever the target.
func (s *Store) Load(ctx context.Context, t vault.Target) (vault.View, error) {
	items, err := s.get(ctx, targetKeys(t)...)
	if err != nil {
		return vault.View{}, err
	}
	return view(items, t)
}

func targetKeys(t vault.Target) []table.Key {
	keys := []table.Key{tenantKey(t.Tenant), settingsKey(t.Tenant)}
	if t.APIKey != "" {
		keys = append(keys, apiKeyKey(t.Tenant, t.APIKey))
	}
	if t.Slug != "" {
		keys = append(keys, integrationKey(t.Tenant, t.Slug))
	}
	if t.Slug != "" && t.User != "" {
		keys = append(keys, accountKey(t.Tenant, t.Slug, account.User(t.User, t.Organization)))
	}
	if t.WithCheck {
		keys = append(keys, checkKey(t.Tenant, t.Slug, account.User(t.User, t.Organization)))
	}
	if t.WithDeparture {
		keys = append(keys, departureKey(t.Tenant, t.User))
	}
	if t.Organization != "" {
		keys = append(keys, organizationKey(t.Tenant, t.Organization))
	}
	if t.Organization != "" && t.Slug != "" {
		keys = append(keys, overrideKey(t.Tenant, t.Organization, t.Slug))
	}
	return keys
}

// view decodes what was found. Looking for a row that was not asked for finds
// nothing, so the target need not be taken apart again. An API key that does not
// decode is none; what else does not is for the caller to hear once he is known.
func view(items map[table.Key]table.Item, t vault.Target) (v vault.View, err error) {
	if v.Tenant, err = decode(items, tenantKey(t.Tenant), asTenant(t.Tenant)); err != nil {
		return v, err
	}
	if key, err := decode(items, apiKeyKey(t.Tenant, t.APIKey), asAPIKey(t.Tenant, t.APIKey)); err == nil {
		v.APIKey = key
	}
	owner := account.User(t.User, t.Organization)
	var settings *tenant.Settings
	var organization *tenant.Organization
	var departure *tenant.Departure
	v.Damaged = errors.Join(
		into(&v.Integration, items, integrationKey(t.Tenant, t.Slug), asIntegration(t.Tenant)),
		into(&v.Account, items, accountKey(t.Tenant, t.Slug, owner), asAccount),
		into(&v.Check, items, checkKey(t.Tenant, t.Slug, owner), asCheck),
		into(&v.Override, items, overrideKey(t.Tenant, t.Organization, t.Slug), asOverride),
		into(&settings, items, settingsKey(t.Tenant), asSettings),
		into(&organization, items, organizationKey(t.Tenant, t.Organization), asOrganization),
		into(&departure, items, departureKey(t.Tenant, t.User), asDeparture),
	)
	v.Settings, v.Organization, v.Departure = orZero(settings), orZero(organization), orZero(departure)
	return v, nil
}

// into decodes the item at key, if it is there, into *row.
func into[T any](row **T, items map[table.Key]table.Item, key table.Key, finish func(*T, table.Item)) (err error) {
	*row, err = decode(items, key, finish)
	return err
}

func orZero[T tenant.Settings | tenant.Organization | tenant.Departure](row *T) (zero T) {
	if row == nil {
		return zero
	}
	return *row
}

// Integrations implements vault.IntegrationStore and vault.AccountStore.
func (s *Store) Integrations(ctx context.Context, tenant string) ([]*integration.Integration, error) {
	rows, err := all(ctx, s, integrationsPK(tenant), integrationPrefix, asIntegration(tenant))
	sortByID(rows, func(in *integration.Integration) string { return in.ID })
	return rows, err
}

// AccountsOf implements vault.AccountStore.
func (s *Store) AccountsOf(ctx context.Context, tenant, user string) ([]*account.Account, error) {
	return all(ctx, s, userPK(tenant, user), accountPrefix, asAccount)
}

// Overrides implements vault.AccountStore.
func (s *Store) Overrides(ctx context.Context, tenant, org string) (map[string]*integration.Override, error) {
	if org == "" {
		return nil, nil
	}
	bySlug := map[string]*integration.Override{}
	_, err := all(ctx, s, organizationKey(tenant, org).PK, integrationPrefix, func(o *integration.Override, item table.Item) {
		asOverride(o, item)
		bySlug[item.SK[len(integrationPrefix):]] = o
	})
	return bySlug, err
}

// SealBlob implements vault.SealBlobs.
func (s *Store) SealBlob(ctx context.Context, tenant string, version uint32) ([]byte, error) {
	return s.blob(ctx, sealBlobKey(tenant, version))
}

// SessionBlob implements vault.SessionBlobs.
func (s *Store) SessionBlob(ctx context.Context, tenant string) ([]byte, error) {
	return s.blob(ctx, sessionBlobKey(tenant))
}

// wrapped is a row of wrapped key material.
type wrapped struct {
	Blob []byte `json:"blob"`
}

// blob is the wrapped key material at a key, nil when there is none.
func (s *Store) blob(ctx context.Context, key table.Key) ([]byte, error) {
	row, err := one(ctx, s, key, func(*wrapped, table.Item) {})
	if err != nil || row == nil {
		return nil, err
	}
	return row.Blob, nil
}

// Tenant implements vault.TenantStore.
func (s *Store) Tenant(ctx context.Context, id string) (*tenant.Tenant, error) {
	return one(ctx, s, tenantKey(id), asTenant(id))
}

// Tenants implements vault.TenantStore.
func (s *Store) Tenants(ctx context.Context) ([]*tenant.Tenant, error) {
	return allListed(ctx, s, tenantListing("").PK, func(t *tenant.Tenant, item table.Item) {
		asTenant(item.PK[len("T#"):])(t, item)
	})
}

// APIKey implements vault.TenantStore.
func (s *Store) APIKey(ctx context.Context, tenant, id string) (*apikey.Key, error) {
	return one(ctx, s, apiKeyKey(tenant, id), asAPIKey(tenant, id))
}

// APIKeys implements vault.TenantStore.
func (s *Store) APIKeys(ctx context.Context, tenant string) (rows []*apikey.Key, err error) {
	for _, revoked := range []bool{false, true} {
		some, err := allListed(ctx, s, apiKeyListingPK(tenant, revoked), asOneOf(tenant))
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	sortByID(rows, func(k *apikey.Key) string { return k.ID })
	return slices.CompactFunc(rows, func(a, b *apikey.Key) bool { return a.ID == b.ID }), nil
}

// asOneOf is asAPIKey for whichever API key of a tenant an item is.
func asOneOf(tenant string) func(*apikey.Key, table.Item) {
	prefix := len(apiKeyKey(tenant, "").PK)
	return func(k *apikey.Key, item table.Item) { asAPIKey(tenant, item.PK[prefix:])(k, item) }
}

// APIKeysIn implements vault.APIKeyStore. A key that is being revoked may be listed in
// both places.
func (s *Store) APIKeysIn(ctx context.Context, tenant string, r vault.APIKeyRange) (page []*apikey.Key, next string, err error) {
	var queries []table.Query
	for _, revoked := range []bool{false, true} {
		if revoked && r.Living {
			continue
		}
		queries = append(queries, table.Query{Index: listIndex, PK: apiKeyListingPK(tenant, revoked), After: r.After, Descending: r.Descending, Limit: r.Limit})
	}
	entries, next, err := s.merge(ctx, queries)
	if err != nil {
		return nil, "", err
	}
	page, err = rowsAt(ctx, s, keysOf(entries, entry.at), asOneOf(tenant))
	return page, next, err
}
