package store

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/integration"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// CheckOf implements vault.EnrolmentStore.
func (s *Store) CheckOf(ctx context.Context, a *account.Account) (c *health.Check, in *integration.Integration, err error) {
	check, of := checkKey(a.Tenant, a.Slug, a.Owner), integrationKey(a.Tenant, a.Slug)
	items, err := s.get(ctx, check, of)
	if err != nil {
		return nil, nil, err
	}
	if err = into(&c, items, check, asCheck); err == nil && into(&in, items, of, asIntegration(a.Tenant)) != nil {
		in = nil // who reads it for its own sake is told
	}
	return c, in, err
}

// ChecksOf implements vault.DirectoryStore.
func (s *Store) ChecksOf(ctx context.Context, accounts []*account.Account) (map[string]*health.Check, error) {
	keys := make([]table.Key, len(accounts))
	for i, a := range accounts {
		keys[i] = checkKey(a.Tenant, a.Slug, a.Owner)
	}
	rows, err := rowsAt(ctx, s, keys, asCheck)
	found := make(map[string]*health.Check, len(rows))
	for _, c := range rows {
		found[c.AccountID] = c
	}
	return found, err
}

// SaveCheck implements vault.ScheduleStore and vault.EnrolmentStore.
func (s *Store) SaveCheck(ctx context.Context, c *health.Check) error {
	return s.save(ctx, checkKey(c.Tenant, c.Slug, c.Owner), c, &c.Revision, checkIndex(c))
}

// DeleteCheck implements vault.ScheduleStore, vault.EnrolmentStore and
// vault.CheckStore.
func (s *Store) DeleteCheck(ctx context.Context, c *health.Check) error {
	return s.write(ctx, table.Delete(checkKey(c.Tenant, c.Slug, c.Owner), standing(c.Revision)))
}

// SaveFinding implements vault.CheckStore.
func (s *Store) SaveFinding(ctx context.Context, c *health.Check, a *account.Account, remark *event.Event) error {
	cBefore, aBefore := c.Revision, int64(0)
	if a != nil {
		aBefore = a.Revision
	}
	ops, err := s.finding(c, a, remark)
	if err == nil {
		err = s.write(ctx, ops...)
	}
	if err != nil {
		c.Revision = cBefore
		if a != nil {
			a.Revision = aBefore
		}
	}
	return err
}

func (s *Store) finding(c *health.Check, a *account.Account, remark *event.Event) ([]table.Op, error) {
	check, err := s.put(checkKey(c.Tenant, c.Slug, c.Owner), c, &c.Revision, checkIndex(c))
	if err != nil {
		return nil, err
	}
	ops := []table.Op{check}
	if a != nil {
		put, err := s.putAccount(a)
		if err != nil {
			return nil, err
		}
		ops = append(ops, put)
	}
	if remark != nil {
		put, err := s.putRemark(c.Tenant, *remark)
		if err != nil {
			return nil, err
		}
		ops = append(ops, put)
	}
	return ops, nil
}

// DueChecks implements vault.ScheduleStore.
func (s *Store) DueChecks(ctx context.Context, shard int, r vault.DueRange) (due []*health.Check, next string, err error) {
	q := table.Query{Index: dueIndex, PK: duePK(shard, r.Slotted), After: r.After, Limit: r.Limit}
	if q.After == "" {
		q.After = dueSK(r.From, "")
	}
	page, err := s.query(ctx, q)
	if err != nil {
		return nil, "", err
	}
	next = page.After
	var keys []table.Key
	for _, item := range page.Items {
		if at := dueAt(item.Index[dueIndex].SK); at.After(r.Until) {
			next = ""
			break
		}
		keys = append(keys, item.Key)
	}
	due, err = rowsAt(ctx, s, keys, asCheck)
	due = slices.DeleteFunc(due, func(c *health.Check) bool { // the index lags
		return !c.Damaged && (c.DueAt.IsZero() || c.Slotted != r.Slotted || c.DueAt.Before(r.From) || c.DueAt.After(r.Until))
	})
	return due, next, err
}

// DueShards implements vault.ScheduleStore.
func (s *Store) DueShards() int { return dueShards }

// dueAt is the time in a sort key of the index; of what is none, the beginning
// of time.
func dueAt(sk string) time.Time {
	if len(sk) < 13 {
		return time.Time{}
	}
	ms, _ := strconv.ParseInt(sk[:13], 10, 64) // what is no number is 0
	return time.UnixMilli(ms)
}

// IntegrationsOf implements vault.ScheduleStore.
func (s *Store) IntegrationsOf(ctx context.Context, checks []*health.Check) (map[vault.IntegrationName]*integration.Integration, error) {
	names := map[table.Key]vault.IntegrationName{}
	for _, c := range checks {
		names[integrationKey(c.Tenant, c.Slug)] = vault.IntegrationName{Tenant: c.Tenant, Slug: c.Slug}
	}
	items, err := s.getAll(ctx, slices.Collect(maps.Keys(names)))
	if err != nil {
		return nil, err
	}
	found := map[vault.IntegrationName]*integration.Integration{}
	for key := range items {
		in, err := decode(items, key, asIntegration(names[key].Tenant))
		if err != nil {
			in = nil // what cannot be read is told apart from what is not there
		}
		found[names[key]] = in
	}
	return found, nil
}

// providerLasts is how long what is known of a provider is kept after it was asked
// last. None of it means anything after two days. What is known of a host is kept for
// no longer than it means something: accounts may name very many of them.
const providerLasts = 7 * 24 * time.Hour

// Pace implements vault.PaceStore.
func (s *Store) Pace(ctx context.Context, provider string, lane health.Lane) (health.Pace, error) {
	row, err := one(ctx, s, paceKey(provider, lane), func(p *health.Pace, item table.Item) { p.Revision = item.Revision })
	if err != nil || row == nil {
		return health.Pace{}, err
	}
	return *row, nil
}

// SavePace implements vault.PaceStore.
func (s *Store) SavePace(ctx context.Context, provider string, lane health.Lane, p *health.Pace) error {
	return s.saveUntil(ctx, paceKey(provider, lane), p, &p.Revision, s.Clock.Now().Add(providerLasts))
}

func paceKey(provider string, lane health.Lane) table.Key {
	return table.Key{PK: providerPK(provider), SK: string(lane)}
}

func breakerKey(of health.Place) table.Key {
	sk := "BREAKER"
	if of.Host != "" {
		sk += "#" + escape(of.Host)
	}
	return table.Key{PK: providerPK(of.Provider), SK: sk}
}

// Breaker implements vault.PaceStore and vault.CheckStore.
func (s *Store) Breaker(ctx context.Context, of health.Place) (health.Breaker, error) {
	row, err := one(ctx, s, breakerKey(of), func(b *health.Breaker, item table.Item) { b.Revision = item.Revision })
	if err != nil || row == nil {
		return health.Breaker{}, err
	}
	return *row, nil
}

// SaveBreaker implements vault.CheckStore.
func (s *Store) SaveBreaker(ctx context.Context, of health.Place, b *health.Breaker) error {
	now := s.Clock.Now()
	expires := now.Add(providerLasts)
	if of.Host != "" {
		expires = b.Ends(now)
	}
	return s.saveUntil(ctx, breakerKey(of), b, &b.Revision, expires)
}

// Tallies implements vault.VerifyStore.
func (s *Store) Tallies(ctx context.Context, in *integration.Integration, user string) (byUser, byTenant health.Tally, err error) {
	userKey, tenantKey := tallyKeys(in, user)
	items, err := s.get(ctx, userKey, tenantKey)
	if err != nil {
		return byUser, byTenant, err
	}
	for _, row := range []struct {
		tally *health.Tally
		key   table.Key
	}{{&byUser, userKey}, {&byTenant, tenantKey}} {
		found, err := decode(items, row.key, func(t *health.Tally, item table.Item) { t.Revision = item.Revision })
		if err != nil {
			return byUser, byTenant, err
		}
		if found != nil {
			*row.tally = *found
		}
	}
	return byUser, byTenant, nil
}

// SaveTallies implements vault.VerifyStore.
func (s *Store) SaveTallies(ctx context.Context, in *integration.Integration, user string, byUser, byTenant *health.Tally) error {
	userKey, tenantKey := tallyKeys(in, user)
	expires := s.Clock.Now().Add(health.TallyLasts)
	if err := s.saveUntil(ctx, tenantKey, byTenant, &byTenant.Revision, expires); err != nil {
		return err
	}
	return s.saveUntil(ctx, userKey, byUser, &byUser.Revision, expires)
}

func tallyKeys(in *integration.Integration, user string) (byUser, byTenant table.Key) {
	pk := verifiedPK(in.Tenant)
	return table.Key{PK: pk, SK: "USER#" + escape(user) + "#" + in.ID}, table.Key{PK: pk, SK: "TENANT"}
}
