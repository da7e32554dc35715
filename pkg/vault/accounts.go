package vault

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/fault"
	"keyvend/pkg/health"
	"keyvend/pkg/idempotency"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/paste"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
)

// The faults of this file that more than one place answers with.
var (
	errUnknownSlug = fault.New(fault.NotFound, "not_found",
		"There is no data integration with this slug. Create it with POST /data-integrations.")
	errNoAccount = fault.New(fault.NotFound, "not_found",
		"This user has no connected account for this provider. Store a key with PUT /data-integrations/{slug}/api-key.")
	errLeft = fault.New(fault.Invalid, "unprocessable_entity",
		"The user or organization was offboarded while this key was being stored, so it is not stored. If they are meant to have come back since, send the request again.")
	errIdempotencyReused = fault.New(fault.Invalid, "unprocessable_entity",
		"This Idempotency-Key was used for another request in the last 24 hours. Use a new one.")
)

// Accounts keeps what users bring: it can put secrets in, and none out.
type Accounts struct {
	Store  AccountStore
	Verify *Verifier // nil: no key is verified
	Clock  ident.Clock
	Log    *slog.Logger
}

// Upsert is a key that a user brings, for the first time or in place of an
// older one.
type Upsert struct {
	Secret    secret.Text
	Config    map[string]string // the provider's declared fields; nil keeps what is stored
	Metadata  map[string]string // nil keeps what is stored
	ExpiresAt time.Time         // zero: nobody said
	// AddOnly refuses to replace a secret that is stored already.
	AddOnly bool
	// Request, when it carries an Idempotency-Key, makes a repeat write nothing.
	Request Request

	asked *health.Finding // what the provider said of the secret, once it was asked
}

// Request is what a repeat of a request is recognized by.
type Request struct {
	IdempotencyKey string // "" is none
	Method, Path   string
	Body           []byte
}

// remembered is the request as a row remembers it, nil when it is not to be.
func (r Request) remembered(v *Visit, now time.Time) *idempotency.Request {
	if r.IdempotencyKey == "" {
		return nil
	}
	const use = "idempotency"
	return &idempotency.Request{
		Key:     v.Ingest.MAC(use, []byte("key"), []byte(r.IdempotencyKey)),
		Content: v.Ingest.MAC(use, []byte("content"), []byte(r.Method), []byte(r.Path), []byte(v.Target.Tenant), r.Body),
		At:      now,
	}
}

// replayed reports whether memory knows the request, nil being none. It is an
// error when another request went by the same key.
func replayed(memory idempotency.Memory, r *idempotency.Request) (bool, error) {
	if r == nil {
		return false, nil
	}
	seen, same := memory.Recall(*r)
	if seen && !same {
		return false, errIdempotencyReused
	}
	return seen, nil
}

// Upsert stores the user's key. The account keeps its id for as long as it and
// its integration live.
func (a *Accounts) Upsert(ctx context.Context, v *Visit, up Upsert) (*account.Account, error) {
	var saved *account.Account
	err := again(ctx, a.Store, v, func(v *Visit) error {
		if v.Integration == nil {
			return errUnknownSlug
		}
		next, changed, err := place(v, v.Integration, up, a.Clock)
		if err != nil {
			return err
		}
		saved = next
		if !changed {
			return nil
		}
		if found := living(v, v.Integration); found != nil && up.Config == nil && len(next.Config) < len(found.Config) {
			a.Log.ErrorContext(ctx, "the stored config was not the one that was sent, and is dropped", "alarm", "integrity", "account_id", found.ID)
		}
		if err := a.Verify.vet(ctx, v, v.Integration, &up, next); err != nil {
			return err
		}
		return a.Store.SaveKey(ctx, next, v.Departure)
	})
	return saved, err
}

// place decides what the account is after up. changed is false when the request
// is a repeat and the row stands as it is.
func place(v *Visit, in *integration.Integration, up Upsert, clock ident.Clock) (next *account.Account, changed bool, err error) {
	if v.left {
		return nil, false, errLeft
	}
	now := clock.Now()
	found := living(v, in)
	if !v.means(found) {
		return nil, false, errNoAccount
	}
	if err := checkKey(in, up.Secret); err != nil {
		return nil, false, err
	}
	request := up.Request.remembered(v, now)
	if found != nil {
		if done, err := replayed(found.Requests, request); done || err != nil {
			return found, false, err
		}
		if up.AddOnly {
			return nil, false, fault.New(fault.NotFound, "multiple_connections_unavailable",
				"This user has a connected account for this provider already. Replace its key with PUT.")
		}
	}
	if !up.ExpiresAt.IsZero() && !up.ExpiresAt.After(now) {
		return nil, false, fault.New(fault.Invalid, "unprocessable_entity",
			"expires_at has passed already: the provider will refuse this key. Bring a newer one, or leave expires_at out.")
	}
	next = successor(v, in, found, now, clock)
	if err := configure(v, in, next, found, up.Config); err != nil {
		return nil, false, err
	}
	if up.Metadata != nil {
		next.Metadata = up.Metadata
	}
	if request != nil {
		next.Requests = next.Requests.Remember(*request)
	}
	stored, err := sealed(v, in, next, up, now, clock)
	if err != nil {
		return nil, false, err
	}
	next.Secrets = map[account.Slot]account.Secret{account.Current: stored}
	return next, true, nil
}

// checkKey refuses a key with something round it that is no part of it.
func checkKey(in *integration.Integration, key secret.Text) error {
	p := in.Provider()
	var known func(string) bool
	if len(p.KeyShapes) > 0 {
		known = func(s string) bool { return p.LooksLike([]byte(s)) }
	}
	mistake, found := paste.Wrapped(string(key.Reveal()), known)
	if !found {
		return nil
	}
	wrong := fault.New(fault.Invalid, "unprocessable_entity", mistake.Sentence)
	wrong.Details = []fault.Detail{{Code: mistake.Code, Field: "secret", Message: mistake.Sentence}}
	return wrong
}

// Doubt reports what is odd about a key of in that is stored all the same.
func Doubt(in *integration.Integration, key secret.Text) (paste.Mistake, bool) {
	p, text := in.Provider(), key.Reveal()
	vendor, _ := p.OtherVendor(text)
	return paste.Doubt(string(text), len(p.KeyShapes) > 0 && p.LooksLike(text), vendor)
}

// configure gives next the settings that were brought, or else those of the living
// account that it carries on.
func configure(v *Visit, in *integration.Integration, next, living *account.Account, brought map[string]string) error {
	switch {
	case brought != nil:
		next.Config, next.ConfigByReader = brought, v.mayRead()
		return checkConfig(in, brought)
	case living != nil:
		return inherit(v, in, next, living)
	}
	return nil
}

// living is the account that was found, if it belongs to in and was not made
// before its organization or, where that was read, its user was offboarded.
func living(v *Visit, in *integration.Integration) *account.Account {
	if v.Account.Of(in) && !v.View.Organization.Left(v.Account.Since()) && !v.Departure.Left(v.Account.Since()) {
		return v.Account
	}
	return nil
}

// successor is the account to write: the living one carried on, or a new one,
// over whatever dead row there may be.
func successor(v *Visit, in *integration.Integration, living *account.Account, now time.Time, clock ident.Clock) *account.Account {
	created := now
	for _, left := range []time.Time{v.View.Organization.OffboardedAt, v.Departure.OffboardedAt} {
		if created.Before(left) {
			created = left // an account of what comes after
		}
	}
	next := &account.Account{
		ID:            clock.New(ident.AccountPrefix),
		Tenant:        v.Target.Tenant,
		IntegrationID: in.ID,
		Slug:          in.Slug,
		Owner:         account.User(v.User, v.Target.Organization),
		AuthMethod:    in.AuthMethod,
		CreatedAt:     created,
		AsOf:          v.asOf(),
	}
	if living != nil {
		carried := *living
		carried.Metadata = maps.Clone(living.Metadata)
		next = &carried
	}
	if v.Account != nil {
		next.Revision = v.Account.Revision
	}
	next.State, next.StateReason, next.UpdatedAt = account.Connected, "", now
	next.ChangedBy, next.ChangedIn = v.actor()
	return next
}

// sealed makes the stored form of the secret for the current slot of a.
func sealed(v *Visit, in *integration.Integration, a *account.Account, up Upsert, now time.Time, clock ident.Clock) (account.Secret, error) {
	if !in.Vouched(v.Ingest) {
		return account.Secret{}, sealFault(errForeignCheck)
	}
	id := clock.ULID()
	s := account.Secret{
		ID:          id.String(),
		Last4:       up.Secret.Last4(),
		Fingerprint: v.Ingest.MAC("fingerprint", up.Secret.Reveal()),
		CreatedAt:   now,
		ExpiresAt:   up.ExpiresAt,
	}
	out, err := v.Ingest.Seal(account.Binding(in, a.Owner), seal.SecretID(id), s.Cover(account.Current, a), up.Secret)
	if err != nil {
		return s, sealFault(err)
	}
	s.Sealed, s.MAC = out.Secret, out.MAC
	return s, nil
}

// again runs decide, and runs it anew on rows read anew when it lost a
// compare-and-swap, if whoever asks may still do so by then.
func again(ctx context.Context, rows Reader, v *Visit, decide func(*Visit) error) error {
	lost := false
	return insist(ctx, func() error {
		if lost {
			fresh, err := v.anew(ctx, rows, v.Target)
			if err != nil {
				return err
			}
			v = fresh
		}
		lost = true
		return decide(v)
	})
}

// insist runs decide anew, after a pause, when it lost a compare-and-swap. Each
// time it has to read what it decides on.
func insist(ctx context.Context, decide func() error) error {
	for try := 1; ; try++ {
		err := decide()
		switch {
		case !errors.Is(err, ErrChanged):
			return err
		case try == attempts:
			return errConcurrent.Because(err)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// stale takes a lost compare-and-swap for success: whoever changed the row made
// it another one.
func stale(err error) error {
	if errors.Is(err, ErrChanged) {
		return nil
	}
	return err
}

// pause waits a random while, longer with each try, so that those who compete
// for a row do not meet again.
func pause(ctx context.Context, try int) error {
	wait := time.Duration(rand.Int64N(int64(5*time.Millisecond) << min(try, 5))) //nolint:gosec // spreads retries, keeps no secret
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return fault.Busy(ctx.Err())
	}
}

// Get is the account of the visit's user for the visit's integration.
func (a *Accounts) Get(v *Visit) (*account.Account, error) {
	if v.Integration == nil {
		return nil, errUnknownSlug
	}
	if found := living(v, v.Integration); found != nil && v.means(found) {
		return found, nil
	}
	return nil, errNoAccount
}

// SetState sets what the tenant says the account's state is.
func (a *Accounts) SetState(ctx context.Context, v *Visit, state account.State) (*account.Account, error) {
	var saved *account.Account
	err := again(ctx, a.Store, v, func(v *Visit) error {
		found, err := a.Get(v)
		if err != nil {
			return err
		}
		saved = found
		if found.State == state {
			return nil
		}
		next := *found
		next.State, next.StateReason, next.UpdatedAt = state, "", a.Clock.Now()
		next.ChangedBy, next.ChangedIn = v.actor()
		saved = &next
		return a.Store.SaveAccount(ctx, saved)
	})
	return saved, err
}

// Disconnect deletes the account and with it the stored secret.
func (a *Accounts) Disconnect(ctx context.Context, v *Visit) error {
	return again(ctx, a.Store, v, func(v *Visit) error {
		if v.Integration != nil && v.Account != nil && v.Account.Damaged {
			return a.Store.DeleteAccount(ctx, v.Account)
		}
		found, err := a.Get(v)
		if err != nil {
			return err
		}
		return a.Store.DeleteAccount(ctx, found)
	})
}

// Provider is an integration as one user sees it.
type Provider struct {
	Integration *integration.Integration
	Account     *account.Account // nil: not connected
}

// Providers lists the integrations that are on for the visit's user, each with
// his account in the visit's organization, or in none.
func (a *Accounts) Providers(ctx context.Context, v *Visit) ([]Provider, error) {
	integrations, err := a.Store.Integrations(ctx, v.Target.Tenant)
	if err != nil {
		return nil, err
	}
	accounts, err := a.Store.AccountsOf(ctx, v.Target.Tenant, v.User)
	if err != nil {
		return nil, err
	}
	overrides, err := a.Store.Overrides(ctx, v.Target.Tenant, v.Target.Organization)
	if err != nil {
		return nil, err
	}
	bySlug := map[string]*account.Account{}
	for _, found := range accounts {
		if found.Owner == account.User(v.User, v.Target.Organization) {
			bySlug[found.Slug] = found
		}
	}
	var providers []Provider
	for _, in := range integrations {
		if !in.EnabledFor(overrides[in.Slug]) {
			continue
		}
		p := Provider{Integration: in}
		if found := bySlug[in.Slug]; found.Of(in) && !v.View.Organization.Left(found.Since()) {
			p.Account = found
		}
		providers = append(providers, p)
	}
	return providers, nil
}
