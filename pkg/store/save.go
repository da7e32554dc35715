package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/integration"
	"keyvend/pkg/removal"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/table"
	"keyvend/pkg/tenant"
)

// SaveIntegration implements vault.IntegrationStore.
func (s *Store) SaveIntegration(ctx context.Context, in *integration.Integration) error {
	return s.save(ctx, integrationKey(in.Tenant, in.Slug), in, &in.Revision, nil)
}

// SaveIntegrationAndAccount implements vault.IntegrationStore.
func (s *Store) SaveIntegrationAndAccount(ctx context.Context, in *integration.Integration, a *account.Account, d tenant.Departure) error {
	inBefore, aBefore := in.Revision, a.Revision
	err := s.saveBoth(ctx, in, a, d)
	if err != nil {
		in.Revision, a.Revision = inBefore, aBefore
	}
	return err
}

func (s *Store) saveBoth(ctx context.Context, in *integration.Integration, a *account.Account, d tenant.Departure) error {
	putIntegration, err := s.put(integrationKey(in.Tenant, in.Slug), in, &in.Revision, nil)
	if err != nil {
		return err
	}
	ops, err := s.putKey(a, d)
	if err != nil {
		return err
	}
	return s.write(ctx, append([]table.Op{putIntegration}, ops...)...)
}

// putKey stores an account with a key that was brought.
func (s *Store) putKey(a *account.Account, d tenant.Departure) ([]table.Op, error) {
	isNew := a.Revision == 0
	put, err := s.putAccount(a)
	if err != nil || !isNew {
		return []table.Op{put}, err
	}
	return []table.Op{put, table.Check(departureKey(a.Tenant, a.Owner.User), standing(d.Revision))}, nil
}

func (s *Store) putAccount(a *account.Account) (table.Op, error) {
	return s.put(accountKey(a.Tenant, a.Slug, a.Owner), a, &a.Revision, accountIndex(a))
}

// RemoveIntegration implements vault.IntegrationStore.
func (s *Store) RemoveIntegration(ctx context.Context, in *integration.Integration, job *removal.Job) error {
	putJob, err := s.put(jobKey(job.ID), job, &job.Revision, nil)
	if err != nil {
		return err
	}
	return s.write(ctx, table.Delete(integrationKey(in.Tenant, in.Slug), standing(in.Revision)), putJob)
}

// SaveAccount implements vault.AccountStore.
func (s *Store) SaveAccount(ctx context.Context, a *account.Account) error {
	return s.save(ctx, accountKey(a.Tenant, a.Slug, a.Owner), a, &a.Revision, accountIndex(a))
}

// SaveKey implements vault.AccountStore.
func (s *Store) SaveKey(ctx context.Context, a *account.Account, d tenant.Departure) error {
	before := a.Revision
	ops, err := s.putKey(a, d)
	if err == nil {
		err = s.write(ctx, ops...)
	}
	if err != nil {
		a.Revision = before
	}
	return err
}

// DeleteAccount implements vault.AccountStore and vault.RemovalStore.
func (s *Store) DeleteAccount(ctx context.Context, a *account.Account) error {
	return s.write(ctx, table.Delete(accountKey(a.Tenant, a.Slug, a.Owner), standing(a.Revision)))
}

// SaveSettings implements vault.SettingsStore.
func (s *Store) SaveSettings(ctx context.Context, tenantID string, row *tenant.Settings) error {
	return s.save(ctx, settingsKey(tenantID), row, &row.Revision, nil)
}

// SaveOrganization implements vault.FreezeStore.
func (s *Store) SaveOrganization(ctx context.Context, tenantID, org string, row *tenant.Organization) error {
	return s.save(ctx, organizationKey(tenantID, org), row, &row.Revision, nil)
}

// SaveOverride implements vault.OrganizationStore.
func (s *Store) SaveOverride(ctx context.Context, tenantID, org, slug string, row *integration.Override) error {
	return s.save(ctx, overrideKey(tenantID, org, slug), row, &row.Revision, nil)
}

// Removals implements vault.RemovalStore.
func (s *Store) Removals(ctx context.Context) ([]*removal.Job, error) {
	var jobs []*removal.Job
	var failed error
	for shard := range jobShards {
		part, err := all(ctx, s, jobPK(shard), "", asRemoval)
		failed = errors.Join(failed, err)
		jobs = append(jobs, part...)
	}
	slices.SortFunc(jobs, func(a, b *removal.Job) int {
		return cmp.Or(a.RemovedAt.Compare(b.RemovedAt), cmp.Compare(a.ID, b.ID))
	})
	return jobs, failed
}

// AccountsUnder implements vault.RemovalStore: a user's accounts from his own
// partition, those of an integration or an organization from the index, shard by
// shard. The cursor is the shard and the last account id seen in it.
func (s *Store) AccountsUnder(ctx context.Context, job *removal.Job, after string) (page []*account.Account, next string, err error) {
	if job.User != "" {
		page, err = s.AccountsOf(ctx, job.Tenant, job.User)
		return page, "", err
	}
	number, last, _ := strings.Cut(after, "/")
	shard, _ := strconv.Atoi(number) // "" is the first
	page, last, err = s.underShard(ctx, job, shard, last)
	switch {
	case err != nil:
		return nil, "", err
	case last != "":
		return page, strconv.Itoa(shard) + "/" + last, nil
	case shard+1 < accountShards:
		return page, strconv.Itoa(shard+1) + "/", nil
	default:
		return page, "", nil
	}
}

func (s *Store) underShard(ctx context.Context, job *removal.Job, shard int, after string) ([]*account.Account, string, error) {
	if job.IntegrationID != "" {
		rows, next, err := listed(ctx, s, accountListingPK(job.Tenant, job.IntegrationID, shard), after, asAccount)
		for _, a := range rows {
			if a.Damaged && a.IntegrationID == "" { // only the index says what it is of
				a.IntegrationID = job.IntegrationID
			}
		}
		return rows, next, err
	}
	q := table.Query{Index: idIndex, PK: accountIDPK(job.Tenant, shard), After: after, Limit: table.MaxPage}
	page, err := s.query(ctx, q)
	if err != nil {
		return nil, "", err
	}
	var keys []table.Key
	for _, item := range page.Items {
		if _, _, owner, err := parseAccountKey(item.Key); err == nil && owner.Organization == job.Organization {
			keys = append(keys, item.Key)
		}
	}
	rows, err := rowsAt(ctx, s, keys, asAccount)
	return rows, page.After, err
}

// SaveRemoval implements vault.RemovalStore.
func (s *Store) SaveRemoval(ctx context.Context, job *removal.Job) error {
	return s.save(ctx, jobKey(job.ID), job, &job.Revision, nil)
}

// OffboardUser implements vault.OffboardingStore.
func (s *Store) OffboardUser(ctx context.Context, row *tenant.Departure, job *removal.Job) error {
	expires := row.OffboardedAt.Add(session.Longest + remembered)
	return s.offboard(ctx, departureKey(job.Tenant, job.User), row, &row.Revision, expires, job)
}

// remembered is how much longer than any token lives it is kept that a user was
// offboarded, so that clocks may differ.
const remembered = time.Hour

// OffboardOrganization implements vault.OffboardingStore.
func (s *Store) OffboardOrganization(ctx context.Context, row *tenant.Organization, job *removal.Job) error {
	return s.offboard(ctx, organizationKey(job.Tenant, job.Organization), row, &row.Revision, time.Time{}, job)
}

// offboard writes that somebody left, and the job that takes away what was his.
func (s *Store) offboard(ctx context.Context, key table.Key, row any, rev *int64, expires time.Time, job *removal.Job) error {
	before := *rev
	putRow, err := s.putUntil(key, row, rev, expires)
	if err != nil {
		return err
	}
	putJob, err := s.put(jobKey(job.ID), job, &job.Revision, nil)
	if err == nil {
		err = s.write(ctx, putRow, putJob)
	}
	var refused *table.ConditionError
	if errors.As(err, &refused) && refused.Op == 1 { // the job of an offboarding before: it begins anew
		putJob.If = table.Present
		err = s.write(ctx, putRow, putJob)
	}
	if err != nil {
		*rev, job.Revision = before, 0
	}
	return err
}

// DeleteOverride implements vault.OffboardingStore.
func (s *Store) DeleteOverride(ctx context.Context, tenantID, org, slug string, row *integration.Override) error {
	return s.write(ctx, table.Delete(overrideKey(tenantID, org, slug), standing(row.Revision)))
}

// FinishRemoval implements vault.RemovalStore.
func (s *Store) FinishRemoval(ctx context.Context, job *removal.Job) error {
	return s.write(ctx, table.Delete(jobKey(job.ID), standing(job.Revision)))
}

// CreateTenant implements vault.TenantStore.
func (s *Store) CreateTenant(ctx context.Context, t *tenant.Tenant, blobs seal.Blobs) error {
	putTenant, err := s.put(tenantKey(t.ID), t, &t.Revision, inList(tenantListing(t.ID)))
	if err != nil {
		return err
	}
	var first, second int64
	putSeal, err := s.put(sealBlobKey(t.ID, t.Keys.Version), wrapped{Blob: blobs.Seal}, &first, nil)
	if err != nil {
		return err
	}
	putSession, err := s.put(sessionBlobKey(t.ID), wrapped{Blob: blobs.Session}, &second, nil)
	if err != nil {
		return err
	}
	return s.write(ctx, putTenant, putSeal, putSession)
}

// SaveAPIKey implements vault.TenantStore.
func (s *Store) SaveAPIKey(ctx context.Context, k *apikey.Key) error {
	return s.save(ctx, apiKeyKey(k.Tenant, k.ID), k, &k.Revision, inList(table.Key{PK: apiKeyListingPK(k.Tenant), SK: k.ID}))
}

func inList(position table.Key) map[string]table.Key {
	return map[string]table.Key{listIndex: position}
}

func sortByID[T any](rows []*T, id func(*T) string) {
	slices.SortFunc(rows, func(a, b *T) int { return cmp.Compare(id(a), id(b)) })
}
