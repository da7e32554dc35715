package vault

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
	"keyvend/pkg/fault"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
)

// VerifyStore is what verification needs.
type VerifyStore interface {
	// Tallies are the verifications of one user for one integration, and all of
	// the tenant's.
	Tallies(ctx context.Context, in *integration.Integration, user string) (byUser, byTenant health.Tally, err error)
	// SaveTallies writes the tenant's and then the user's. They are no transaction,
	// which many saves at once would make fail. The tenant's is the one that others
	// write too: a save that loses it has counted nothing of its user.
	SaveTallies(ctx context.Context, in *integration.Integration, user string, byUser, byTenant *health.Tally) error
	// SaveRemark stores a fact that changes no other row; the feed makes an event
	// of it.
	SaveRemark(ctx context.Context, tenant string, e event.Event) error
}

// Verifier asks a provider about a key before it is stored, where the
// integration says so.
type Verifier struct {
	Store    VerifyStore
	Examiner Examiner
	Clock    ident.Clock
	Log      *slog.Logger
}

// verifyTime is how long a verification may take. A provider that needs longer
// has said nothing.
const verifyTime = 5 * time.Second

// saveTime is what is left of a request for storing the key afterwards.
const saveTime = 3 * time.Second

// vet has the secret that up brings, and next is about to hold, verified: once,
// however often it is called. It is an error when the secret may not be stored.
func (f *Verifier) vet(ctx context.Context, v *Visit, in *integration.Integration, up *Upsert, next *account.Account) error {
	policy := in.Policy.VerifyOnSave.OrDefault()
	if f == nil || policy == integration.NoVerify || in.Provider().Check == nil {
		return nil
	}
	if up.asked == nil {
		wait, err := f.count(ctx, in, next.Owner.User)
		switch {
		case err != nil && policy == integration.Require:
			return err
		case err != nil:
			f.Log.WarnContext(ctx, "a key is stored unverified", "tenant", in.Tenant, "slug", in.Slug, "error", err)
			return nil
		case wait > 0 && policy == integration.Require:
			return errVerificationLimit(wait)
		case wait > 0:
			return nil
		}
		up.asked = f.ask(ctx, in, up, next)
	}
	if policy == integration.Require && up.asked.Verdict == catalog.Invalid {
		return f.refuse(ctx, v, in, next, up.asked)
	}
	stored := next.Secrets[account.Current]
	stored.Verified = &account.Verified{Verdict: string(up.asked.Verdict), Reason: string(up.asked.Reason), At: up.asked.At}
	next.Secrets[account.Current] = stored
	return nil
}

func (f *Verifier) ask(ctx context.Context, in *integration.Integration, up *Upsert, next *account.Account) *health.Finding {
	patience := verifyTime
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)-saveTime)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	finding := f.Examiner.Examine(ctx, in.Provider(), next.Config, up.Secret)
	return &finding
}

// count counts a verification; when there were too many, it is how long to wait.
func (f *Verifier) count(ctx context.Context, in *integration.Integration, user string) (wait time.Duration, err error) {
	err = insist(ctx, func() error {
		byUser, byTenant, err := f.Store.Tallies(ctx, in, user)
		if err != nil {
			return err
		}
		now := f.Clock.Now()
		if wait = max(byUser.Full(now, health.UserLimits), byTenant.Full(now, health.TenantLimits)); wait > 0 {
			return nil
		}
		byUser.Add(now, health.UserLimits)
		byTenant.Add(now, health.TenantLimits)
		return f.Store.SaveTallies(ctx, in, user, &byUser, &byTenant)
	})
	return wait, err
}

func errVerificationLimit(wait time.Duration) error {
	e := fault.New(fault.TooMany, "verification_limit",
		"Too many keys were verified in a short time. Wait "+inWords(wait)+" and send the key again; nothing was stored.")
	e.RetryAfter = wait
	return e
}

// inWords says for people how long to wait, at least so long.
func inWords(wait time.Duration) string {
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"hours", time.Hour}, {"minutes", time.Minute}} {
		if wait > 2*unit.is {
			return fmt.Sprintf("%d %s", (wait+unit.is-1)/unit.is, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds", max(2, (wait+time.Second-1)/time.Second))
}

// refuse tells that the provider refuses the key, the caller and whoever reads
// events.
func (f *Verifier) refuse(ctx context.Context, v *Visit, in *integration.Integration, next *account.Account, said *health.Finding) error {
	refused := fault.New(fault.Invalid, "key_refused", "The provider refuses this key. Look whether it was copied whole and is not revoked, and bring another one; nothing was stored.")
	refused.Verdict = string(said.Verdict)
	reason := said.Reason.Sentence()
	failure := event.Failure{
		DataIntegrationID: in.ID,
		ProviderSlug:      in.Slug,
		UserID:            next.Owner.User,
		ErrorCode:         refused.Code,
		ErrorReason:       &reason,
	}
	if organization := next.Owner.Organization; organization != "" {
		failure.OrganizationID = &organization
	}
	// The refusal stands whether or not it can be told.
	if err := f.Store.SaveRemark(ctx, in.Tenant, event.Fail(failure, said.At, event.By(v.actor()))); err != nil {
		f.Log.WarnContext(ctx, "a refused key was not told of", "tenant", in.Tenant, "slug", in.Slug, "error", err)
	}
	return refused
}
