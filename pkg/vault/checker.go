package vault

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/secret"
	"keyvend/pkg/tenant"
)

// CheckStore is what making checks needs.
type CheckStore interface {
	Reader
	PaceStore
	DeleteCheck(ctx context.Context, c *health.Check) error
	// SaveFinding writes a check and what a finding changes besides, all or
	// nothing: the account when its state changes, a remark for what changes no
	// state; nil is none.
	SaveFinding(ctx context.Context, c *health.Check, a *account.Account, remark *event.Event) error
	SaveBreaker(ctx context.Context, of health.Place, b *health.Breaker) error
}

// Examiner asks a provider about a key. *health.Examiner is one.
type Examiner interface {
	Examine(ctx context.Context, p catalog.Provider, config map[string]string, key secret.Text) health.Finding
}

// Checker looks at keys: it asks their providers and records what they say.
type Checker struct {
	Store    CheckStore
	Keys     OpeningKeyring
	Examiner Examiner
	Queue    CheckQueue // for what has to wait for its slot
	Clock    ident.Clock
	Log      *slog.Logger
}

// Check does what a request asks for. Requests that came too late, twice, or
// about what is gone do nothing. An error means that it has to come again.
func (c *Checker) Check(ctx context.Context, r CheckRequest) error {
	v, err := c.visit(ctx, r)
	if err != nil {
		return err
	}
	a := living(v, v.Integration)
	if a == nil || v.View.Tenant == nil || v.View.Tenant.Status != tenant.Active {
		return c.forget(ctx, v)
	}
	if v.Unlocked, err = c.Keys.Unlock(ctx, v.View.Tenant); err != nil {
		return sealFault(err)
	}
	if c.outdated(v, a, r) {
		return nil
	}
	if paused, err := c.paused(ctx, v, r); paused || err != nil {
		return err
	}
	if conceded, err := c.concede(ctx, v, r); conceded || err != nil {
		return err
	}
	if wait, err := c.waits(ctx, v, r); wait || err != nil {
		return err
	}
	finding, err := c.look(ctx, v, a)
	if err != nil {
		c.Log.ErrorContext(ctx, "a check could not be made", "alarm", "integrity", "tenant", r.Tenant, "account_id", a.ID, "error", err)
		return err
	}
	return c.record(ctx, v, a, c.consult(ctx, v, a, finding), r)
}

// visit reads what the request is about.
func (c *Checker) visit(ctx context.Context, r CheckRequest) (*Visit, error) {
	target := Target{Tenant: r.Tenant, Slug: r.Slug, User: r.User, Organization: r.Organization, WithCheck: true}
	view, err := c.Store.Load(ctx, target)
	if err != nil {
		return nil, err
	}
	return &Visit{Target: target, View: view}, view.Damaged
}

// forget deletes the check of an account that is gone, or whose row cannot be
// read: its user has to store the key anew.
func (c *Checker) forget(ctx context.Context, v *Visit) error {
	if v.Account != nil && v.Account.Damaged {
		c.Log.ErrorContext(ctx, "the row of an account cannot be read", "alarm", "poison",
			"tenant", v.Target.Tenant, "account_id", v.Account.ID, "slug", v.Slug, "revision", v.Account.Revision)
	}
	if v.View.Check == nil {
		return nil
	}
	return stale(c.Store.DeleteCheck(ctx, v.View.Check))
}

// outdated reports whether nobody needs the look any more. A leased check whose
// slot was missed is due again when its lease ends.
func (c *Checker) outdated(v *Visit, a *account.Account, r CheckRequest) bool {
	check, secretID, now := v.View.Check, a.Secrets[account.Current].ID, c.Clock.Now()
	switch {
	case r.SecretID != "" && r.SecretID != secretID:
		return true
	case r.Cause == health.Scheduled && r.Revision == 0: // nobody asks so
		return true
	case v.Integration.Provider().Check == nil && check != nil && check.SecretID == secretID && check.Remarked(now):
		return true
	case r.Revision != 0:
		return check == nil || check.Revision != r.Revision || !health.Usable(r.Slot, now)
	case check == nil || check.SecretID != secretID || check.ReportedAt.After(check.CheckedAt): // a report waits, maybe for this look
		return false
	default: // it may have been had since it was asked for
		return check.Verdict != health.Unknown && !r.AskedAt.IsZero() &&
			check.CheckedAt.After(r.AskedAt) && !check.CheckedAt.After(now)
	}
}

// paused gives a lease back while the check's provider, or the host that was asked
// last, has trouble. What somebody waits for is asked all the same.
func (c *Checker) paused(ctx context.Context, v *Visit, r CheckRequest) (bool, error) {
	if r.Cause != health.Scheduled {
		return false, nil
	}
	check := *v.View.Check // there is one: its revision was compared
	breaker, err := c.Store.Breaker(ctx, health.Place{Provider: health.ProviderKey(v.Integration), Host: check.Host})
	pause := breaker.Pause(c.Clock.Now())
	if err != nil || pause.IsZero() {
		return false, err
	}
	check.GiveBack(pause)
	return true, stale(c.Store.SaveFinding(ctx, &check, nil, nil))
}

// concede answers a report with a refusal that was seen since, if there is one.
func (c *Checker) concede(ctx context.Context, v *Visit, r CheckRequest) (conceded bool, err error) {
	if r.Cause != health.Report || r.Revision != 0 {
		return false, nil
	}
	err = again(ctx, c.Store, v, func(v *Visit) error {
		a := living(v, v.Integration)
		if conceded = false; a == nil || v.View.Check == nil || v.View.Check.SecretID != a.Secrets[account.Current].ID || r.SecretID != v.View.Check.SecretID {
			return nil
		}
		check := *v.View.Check
		var turn health.Turn
		turn, conceded = check.Concede(r.AskedAt, v.Integration.CheckEvery())
		if !conceded {
			return nil
		}
		next, remark := c.consequence(v.Integration, a, &check, turn, check.CheckedAt)
		return c.Store.SaveFinding(ctx, &check, next, remark)
	})
	return conceded, err
}

// waits puts a request off until the provider may be asked. What the schedule
// leased has its slot.
func (c *Checker) waits(ctx context.Context, v *Visit, r CheckRequest) (bool, error) {
	p, now := v.Integration.Provider(), c.Clock.Now()
	if p.Check == nil || health.Usable(r.Slot, now) {
		return false, nil
	}
	if r.Slot.After(now) && r.Slot.Sub(now) <= MaxDelay { // it has its slot, by a clock that is ahead of this one
		return true, errors.Join(c.Queue.Send(ctx, []CheckRequest{r})...)
	}
	if joined, err := c.join(ctx, v, r); joined || err != nil {
		return true, err
	}
	l := lane{health.ProviderKey(v.Integration), health.AskedLane, p.ChecksPerMinute()}
	slots, err := takeSlots(ctx, c.Store, l, []string{tenantIn(v.Integration)}, l.between(health.Reachable(now), now.Add(MaxDelay)))
	switch {
	case err != nil:
		return false, err
	case slots[0].IsZero():
		c.Log.WarnContext(ctx, "a check is left to the schedule, since too many were asked for", "provider", l.provider, "tenant", r.Tenant)
		return true, c.leave(ctx, v, r)
	case !slots[0].After(now):
		return false, nil
	}
	r.Slot = slots[0]
	if err := errors.Join(c.Queue.Send(ctx, []CheckRequest{r})...); err != nil {
		return true, err
	}
	return true, c.await(ctx, v, r)
}

// join has the look that is awaited, if there is one, answer this request too.
// When the row changes meanwhile, that look may have been made, or be wanted no
// more: so it is read again.
func (c *Checker) join(ctx context.Context, v *Visit, r CheckRequest) (joined bool, err error) {
	err = again(ctx, c.Store, v, func(v *Visit) error {
		joined = v.View.Check != nil && (r.SecretID == "" || r.SecretID == v.View.Check.SecretID) && v.View.Check.Awaited(c.Clock.Now())
		if !joined || r.Cause != health.Report {
			return nil
		}
		check := *v.View.Check
		check.ReportedAt = r.AskedAt
		return c.Store.SaveFinding(ctx, &check, nil, nil)
	})
	return joined, err
}

// await notes that a look is on its way, and whether a report waits for it, so
// that one key takes no more slots than one, and any look that is earlier tells both.
func (c *Checker) await(ctx context.Context, v *Visit, r CheckRequest) error {
	if r.Revision != 0 {
		return nil
	}
	return again(ctx, c.Store, v, func(v *Visit) error {
		check, _ := c.noted(v, r)
		if check == nil || check.Verdict != health.Unknown && check.CheckedAt.After(r.AskedAt) {
			return nil
		}
		check.AwaitedAt = r.Slot
		if r.Cause == health.Report {
			check.ReportedAt = r.AskedAt
		}
		return c.Store.SaveFinding(ctx, check, nil, nil)
	})
}

// noted is the check that a request for a look is noted in, nil when it is of a
// secret that is gone. One that the feed has not made yet is made as the feed does:
// then it is not known.
func (c *Checker) noted(v *Visit, r CheckRequest) (check *health.Check, known bool) {
	a := living(v, v.Integration)
	if a == nil || r.SecretID != "" && r.SecretID != a.Secrets[account.Current].ID {
		return nil, false
	}
	if check, known = checkOf(v, a, c.Clock.Now()); !known {
		check.Adopt(a, v.Integration.CheckEvery())
	}
	return check, known
}

// leave has the schedule find a slot for what was asked for and gets none now.
func (c *Checker) leave(ctx context.Context, v *Visit, r CheckRequest) error {
	return again(ctx, c.Store, v, func(v *Visit) error {
		check, known := c.noted(v, r)
		if check == nil {
			return nil
		}
		now := c.Clock.Now()
		noted := r.Cause != health.Report || check.Why(now) == health.Report
		soon := !check.DueAt.IsZero() && check.DueAt.Before(now.Add(MaxDelay))
		if known && noted && soon {
			return nil
		}
		if !noted {
			check.ReportedAt = r.AskedAt
		}
		if !soon {
			check.Wait(now, MaxDelay/2)
		}
		return c.Store.SaveFinding(ctx, check, nil, nil)
	})
}

// look asks the provider about the account's key.
func (c *Checker) look(ctx context.Context, v *Visit, a *account.Account) (health.Finding, error) {
	none := health.Finding{Verdict: health.Unknown, Reason: health.NoCheck, At: c.Clock.Now()}
	p := v.Integration.Provider()
	if p.Check == nil {
		return none, nil
	}
	if !v.Integration.Vouched(v.Ingest) {
		return none, sealFault(errForeignCheck)
	}
	found, err := open(ctx, c.Keys, v, a)
	if err != nil {
		return none, err
	}
	defer found.text.Wipe()
	if !found.checkable {
		return none, nil
	}
	return c.Examiner.Examine(ctx, p, a.Config, found.text), nil
}

// consult tells the breakers that a finding is about of it, and returns it with what
// they say of it: whether refusals count. It is advice: when it cannot be stored, the
// next finding tells it again.
func (c *Checker) consult(ctx context.Context, v *Visit, a *account.Account, f health.Finding) health.Finding {
	if !f.Definite() && !f.Strained() && f.Reason != health.RefusedThere {
		return f
	}
	for _, of := range health.Places(v.Integration, f) {
		doubted, err := c.tell(ctx, of, v, a, f)
		if err != nil {
			c.Log.WarnContext(ctx, "a breaker was not told of a finding", "provider", of.Provider, "error", err)
		}
		f.Doubted = f.Doubted || doubted
	}
	return f
}

// tell tells one breaker of a finding and returns whether refusals count for nothing.
func (c *Checker) tell(ctx context.Context, of health.Place, v *Visit, a *account.Account, f health.Finding) (doubted bool, err error) {
	check, tenant := v.View.Check, tenantIn(v.Integration)
	worked := check != nil && check.SecretID == a.Secrets[account.Current].ID && check.Worked()
	err = insist(ctx, func() error {
		b, err := c.Store.Breaker(ctx, of)
		if err == nil && b.Learn(f, health.Refusal{Tenant: tenant, Account: a.ID}, worked) {
			err = c.Store.SaveBreaker(ctx, of, &b)
		}
		doubted = b.Doubted(tenant, f.At)
		return err
	})
	return doubted, err
}

// record writes what a finding changes, unless it is about a secret that was
// replaced meanwhile.
func (c *Checker) record(ctx context.Context, v *Visit, about *account.Account, f health.Finding, r CheckRequest) error {
	secretID, lease := about.Secrets[account.Current].ID, ""
	if v.View.Check != nil {
		lease = v.View.Check.By
	}
	return again(ctx, c.Store, v, func(v *Visit) error {
		a := living(v, v.Integration)
		if a == nil || a.ID != about.ID || a.Secrets[account.Current].ID != secretID {
			return nil
		}
		check, known := checkOf(v, a, c.Clock.Now())
		if r.Revision != 0 && (!known || check.Revision != r.Revision && (lease == "" || check.By != lease || f.At.Before(check.ReportedAt))) {
			return nil // another delivery of the same request was faster
		}
		if !r.AskedAt.IsZero() && r.Cause == health.Report {
			check.ReportedAt = r.AskedAt
		}
		turn := check.Record(f, r.Cause, v.Integration.CheckEvery())
		next, remark := c.consequence(v.Integration, a, check, turn, f.At)
		if r.Cause == health.Report && f.Reason == health.NoCheck && !check.Remarked(f.At) {
			check.RemarkedAt = f.At
			remark = note(event.ReauthorizationNeeded, a, f.At, health.Reported)
		}
		if err := c.Store.SaveFinding(ctx, check, next, remark); err != nil {
			return err
		}
		if check.Reason == health.Doubted {
			c.Log.WarnContext(ctx, "a refusal is not believed, since the provider refuses many keys that worked",
				"provider", health.ProviderKey(v.Integration), "tenant", a.Tenant, "account_id", a.ID)
		}
		return nil
	})
}

// checkOf is a copy of the visit's check, if it is of the account's secret, else
// a new one in its place.
func checkOf(v *Visit, a *account.Account, now time.Time) (check *health.Check, known bool) {
	if v.View.Check == nil {
		return health.Of(a, now), false
	}
	c := *v.View.Check
	return &c, !c.Follow(a, now)
}

// consequence is what a finding means beyond the check: the account in another
// state, or a remark for what changes no state.
func (c *Checker) consequence(in *integration.Integration, a *account.Account, check *health.Check, turn health.Turn, at time.Time) (*account.Account, *event.Event) {
	next := *a
	next.UpdatedAt, next.ChangedBy, next.ChangedIn = at, "", ""
	switch {
	case check.Verdict == catalog.Invalid && in.OnInvalid() == integration.Refuse && a.State == account.Connected:
		next.State, next.StateReason = account.NeedsReauthorization, account.Refused
		return &next, nil
	case (check.Verdict == catalog.Valid || check.Verdict == catalog.Limited) && a.StateReason == account.Refused:
		next.State, next.StateReason = account.Connected, ""
		return &next, nil
	case check.Verdict == catalog.Invalid && in.OnInvalid() == integration.Advise && a.StateReason == account.Refused:
		next.State, next.StateReason = account.Connected, "" // the policy was another one
		return &next, nil
	case turn == health.Broke && a.State == account.Connected:
		return nil, note(event.ReauthorizationNeeded, a, at, health.Refused)
	case turn == health.Mended && a.State == account.Connected:
		return nil, note(event.Recovered, a, at, health.Works)
	}
	return nil, nil
}

func note(name event.Name, a *account.Account, at time.Time, why health.Reason) *event.Event {
	e := event.Note(name, a, at, event.System(), string(why))
	return &e
}
