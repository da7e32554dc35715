package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/removal"
	"keyvend/pkg/tenant"
)

// OffboardingStore is what offboarding needs.
type OffboardingStore interface {
	Reader
	AccountsOf(ctx context.Context, tenant, user string) ([]*account.Account, error)
	DeleteAccount(ctx context.Context, a *account.Account) error
	Overrides(ctx context.Context, tenant, organization string) (map[string]*integration.Override, error)
	DeleteOverride(ctx context.Context, tenant, organization, slug string, o *integration.Override) error
	// OffboardUser writes d for the job's user and stores job, both or none.
	OffboardUser(ctx context.Context, d *tenant.Departure, job *removal.Job) error
	// OffboardOrganization writes o for the job's organization and stores job, both
	// or none.
	OffboardOrganization(ctx context.Context, o *tenant.Organization, job *removal.Job) error
}

// Offboarding takes away everything of a user or an organization. Once it has
// succeeded nothing that was there can be vended, and widget tokens from before are
// refused. An upsert that was under way is refused too, or what it stores is dead. To
// ask again does no harm and finishes what was cut short.
type Offboarding struct {
	Store OffboardingStore
	Clock ident.Clock
}

// User offboards the visit's user. What is stored before the departure is listed
// after it, and nothing is stored later that does not know of it; a job deletes what
// could not be deleted at once.
func (o *Offboarding) User(ctx context.Context, v *Visit) error {
	var job *removal.Job
	err := again(ctx, o.Store, v, func(v *Visit) error {
		next := v.Departure
		job = o.job(v, "user", v.User, next.OffboardedAt)
		job.User = v.User
		next.OffboardedAt = job.RemovedAt
		return o.Store.OffboardUser(ctx, &next, job)
	})
	if err != nil {
		return err
	}
	return insist(ctx, func() error { return o.deleteAll(ctx, job) })
}

// deleteAll deletes what the job of a user covers. It fails when an account changed
// meanwhile, which may have got another key.
func (o *Offboarding) deleteAll(ctx context.Context, job *removal.Job) error {
	accounts, err := o.Store.AccountsOf(ctx, job.Tenant, job.User)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if !job.Covers(a) {
			continue
		}
		if err := o.Store.DeleteAccount(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// Organization offboards the visit's organization. Its accounts lie with their
// users: they are dead by the time in the organization's row, and the job
// deletes them. Its switches go with it.
func (o *Offboarding) Organization(ctx context.Context, v *Visit) error {
	err := again(ctx, o.Store, v, func(v *Visit) error {
		next := v.View.Organization
		job := o.job(v, "organization", v.Target.Organization, next.OffboardedAt)
		job.Organization = v.Target.Organization
		next.OffboardedAt = job.RemovedAt
		return o.Store.OffboardOrganization(ctx, &next, job)
	})
	if err != nil {
		return err
	}
	overrides, err := o.Store.Overrides(ctx, v.Target.Tenant, v.Target.Organization)
	if err != nil {
		return err
	}
	for slug, override := range overrides {
		if err := stale(o.Store.DeleteOverride(ctx, v.Target.Tenant, v.Target.Organization, slug, override)); err != nil {
			return err
		}
	}
	return nil
}

// job covers what was made until now, this millisecond included, and what it covered
// when it was asked for last, perhaps by a faster clock. Each who leaves has one,
// however often that is asked for: to ask again has it begin anew.
func (o *Offboarding) job(v *Visit, kind, name string, last time.Time) *removal.Job {
	until := o.Clock.Now().Add(time.Millisecond)
	if until.Before(last) {
		until = last
	}
	sum := sha256.Sum256([]byte(kind + "\x00" + v.Target.Tenant + "\x00" + name))
	return &removal.Job{
		ID:        ident.JobPrefix + hex.EncodeToString(sum[:16]),
		Tenant:    v.Target.Tenant,
		RemovedAt: until,
	}
}
