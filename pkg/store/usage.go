package store

import (
	"context"
	"encoding/json"
	"time"

	"keyvend/pkg/audit"
	"keyvend/pkg/table"
	"keyvend/pkg/usage"
	"keyvend/pkg/vault"
)

// lastUseLasts is how long it is known when an account was last used: longer
// than the counts, because who looks for keys that nobody uses asks late.
const lastUseLasts = 400 * 24 * time.Hour

// counted reads a usage row into v, which has to be empty, and returns its
// revision, 0 when there is none. Of a row that has had its time only the
// revision is left, of a damaged one what can be read besides: counting goes on
// over it.
func (s *Store) counted(items map[table.Key]table.Item, key table.Key, v any) (revision int64) {
	item, ok := items[key]
	if ok && (item.ExpiresAt.IsZero() || item.ExpiresAt.After(s.Clock.Now())) {
		_ = json.Unmarshal(item.Doc, v) // as above
	}
	return item.Revision
}

// AccountUsage implements vault.LedgerStore.
func (s *Store) AccountUsage(ctx context.Context, tenant, accountID string) (*usage.Used, *usage.Reads, error) {
	used, reads := usedKey(tenant, accountID), readsKey(tenant, accountID)
	items, err := s.get(ctx, used, reads)
	if err != nil {
		return nil, nil, err
	}
	return s.asUsed(items, tenant, accountID), s.asReads(items, tenant, accountID), nil
}

func (s *Store) asUsed(items map[table.Key]table.Item, tenant, accountID string) *usage.Used {
	u := &usage.Used{Tenant: tenant, AccountID: accountID}
	u.Revision = s.counted(items, usedKey(tenant, accountID), u)
	return u
}

func (s *Store) asReads(items map[table.Key]table.Item, tenant, accountID string) *usage.Reads {
	r := &usage.Reads{Tenant: tenant, AccountID: accountID}
	r.Revision = s.counted(items, readsKey(tenant, accountID), r)
	return r
}

// SaveUsed implements vault.LedgerStore.
func (s *Store) SaveUsed(ctx context.Context, u *usage.Used) error {
	return s.saveUntil(ctx, usedKey(u.Tenant, u.AccountID), u, &u.Revision, u.At.Add(lastUseLasts))
}

// SaveReads implements vault.LedgerStore.
func (s *Store) SaveReads(ctx context.Context, r *usage.Reads) error {
	return s.saveUntil(ctx, readsKey(r.Tenant, r.AccountID), r, &r.Revision, s.Clock.Now().Add(vault.UsageLasts))
}

// UsageHour implements vault.LedgerStore.
func (s *Store) UsageHour(ctx context.Context, tenant, integrationID string, start time.Time, shard int) (*usage.Hour, error) {
	key := hourKey(tenant, integrationID, start, shard)
	items, err := s.get(ctx, key)
	if err != nil {
		return nil, err
	}
	h := &usage.Hour{Tenant: tenant, IntegrationID: integrationID, Start: start, Shard: shard}
	h.Revision = s.counted(items, key, h)
	return h, nil
}

// SaveHour implements vault.LedgerStore.
func (s *Store) SaveHour(ctx context.Context, h *usage.Hour) error {
	return s.saveUntil(ctx, hourKey(h.Tenant, h.IntegrationID, h.Start, h.Shard), h, &h.Revision, h.Start.Add(vault.UsageLasts))
}

// UsageHours implements vault.UsageReader.
func (s *Store) UsageHours(ctx context.Context, tenant, integrationID string, from time.Time) ([]*usage.Hour, error) {
	var hours []*usage.Hour
	q := table.Query{PK: usagePK(tenant, integrationID), Prefix: hourPrefix, After: hourRange(from), Limit: table.MaxPage}
	for {
		page, err := s.query(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			h := &usage.Hour{Tenant: tenant, IntegrationID: integrationID, Start: hourOf(item.SK)}
			h.Revision = s.counted(map[table.Key]table.Item{item.Key: item}, item.Key, h)
			hours = append(hours, h)
		}
		if page.After == "" {
			return hours, nil
		}
		q.After = page.After
	}
}

// AccountReads implements vault.DirectoryStore.
func (s *Store) AccountReads(ctx context.Context, tenant, accountID string) (*usage.Reads, error) {
	items, err := s.get(ctx, readsKey(tenant, accountID))
	return s.asReads(items, tenant, accountID), err
}

// LastUsed implements vault.DirectoryStore.
func (s *Store) LastUsed(ctx context.Context, tenant string, accountIDs []string) (map[string]time.Time, error) {
	items, err := s.getAll(ctx, keysOf(accountIDs, func(id string) table.Key { return usedKey(tenant, id) }))
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, id := range accountIDs {
		if at := s.asUsed(items, tenant, id).At; !at.IsZero() {
			last[id] = at
		}
	}
	return last, nil
}

// APIKeyNames implements vault.DirectoryStore.
func (s *Store) APIKeyNames(ctx context.Context, tenant string, ids []string) (map[string]string, error) {
	at := func(id string) table.Key { return apiKeyKey(tenant, id) }
	items, err := s.getAll(ctx, keysOf(ids, at))
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, id := range ids {
		if key, err := decode(items, at(id), asAPIKey(tenant, id)); err == nil && key != nil {
			names[id] = key.Name
		}
	}
	return names, nil
}

// AuditPosition is how far the audit file of a laptop was read, the zero one when
// it never was.
func (s *Store) AuditPosition(ctx context.Context) (audit.Position, error) {
	p, err := one(ctx, s, auditPositionKey(), func(p *audit.Position, item table.Item) { p.Revision = item.Revision })
	if err != nil || p == nil {
		return audit.Position{}, err
	}
	return *p, nil
}

// SaveAuditPosition notes how far the audit file was read.
func (s *Store) SaveAuditPosition(ctx context.Context, p *audit.Position) error {
	return s.save(ctx, auditPositionKey(), p, &p.Revision, nil)
}
