package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/secret"
)

// APIKeyStore keeps API keys.
type APIKeyStore interface {
	APIKey(ctx context.Context, tenant, id string) (*apikey.Key, error) // nil: no such key
	// APIKeysIn lists API keys of a tenant in the order of their ids; one issued or
	// revoked a moment ago may still be missing. next is what to pass as After for what
	// follows, "" at the end; a page may be short.
	APIKeysIn(ctx context.Context, tenant string, r APIKeyRange) (page []*apikey.Key, next string, err error)
	SaveAPIKey(ctx context.Context, k *apikey.Key) error
}

// APIKeyRange is a range of a tenant's API keys.
type APIKeyRange struct {
	Living     bool   // without those that were revoked
	After      string // id, exclusive, in the direction of the range; "" is from its start
	Descending bool
	Limit      int
}

// maxAPIKeys is how many API keys of a tenant's own issuing may hold at a time, give or
// take a few that are issued at the same moment: enough for one of each process of a
// large product, and few enough to be looked through after a theft.
const maxAPIKeys = 1000

// makesRoom is how many expired API keys one that is issued clears away.
const makesRoom = 25

// APIKeys is what a tenant does with its own API keys: everything but issuing
// one that vends.
type APIKeys struct {
	Store APIKeyStore
	Clock ident.Clock
}

// NewKey is an API key to issue.
type NewKey struct {
	Name      string
	Scopes    []apikey.Scope
	ExpiresAt time.Time // zero: never
}

// Issue makes an API key whose scopes the caller holds himself. Its token is
// told here and never again.
func (k *APIKeys) Issue(ctx context.Context, v *Visit, want NewKey) (*apikey.Key, secret.Text, error) {
	for _, scope := range want.Scopes {
		if scope == apikey.Vend {
			return nil, secret.Text{}, fault.New(fault.Forbidden, "insufficient_scope",
				"A key that vends is issued by an operator, with the command: operator issue-api-key "+v.Target.Tenant+" NAME vend,manage")
		}
		if !v.View.APIKey.Allows(scope) {
			return nil, secret.Text{}, fault.Newf(fault.Forbidden, "insufficient_scope",
				"This API key lacks the scope %q and so cannot issue a key that has it.", scope)
		}
	}
	if end := v.View.APIKey.ExpiresAt; !end.IsZero() && (want.ExpiresAt.IsZero() || want.ExpiresAt.After(end)) {
		return nil, secret.Text{}, fault.Newf(fault.Invalid, "unprocessable_entity",
			"The API key that issues expires at %s, and what it issues cannot outlive it. Send an expires_at no later than that.", end.Format(time.RFC3339))
	}
	if err := k.room(ctx, v.Target.Tenant); err != nil {
		return nil, secret.Text{}, err
	}
	by := issuer{key: v.Target.APIKey, inSession: v.Session != nil}
	return issue(ctx, k.Store, k.Clock, v.Target.Tenant, want, by, v.Ingest, nil)
}

// room refuses one more API key where there are too many. Of those that have expired it
// revokes some, which then are listed apart.
func (k *APIKeys) room(ctx context.Context, tenant string) error {
	var living []*apikey.Key
	for r := (APIKeyRange{Living: true, Limit: 100}); len(living) < maxAPIKeys; {
		page, next, err := k.Store.APIKeysIn(ctx, tenant, r)
		if err != nil {
			return err
		}
		living = append(living, page...)
		if next == "" {
			break
		}
		r.After = next
	}
	if len(living) < maxAPIKeys {
		return nil
	}
	now := k.Clock.Now()
	over := slices.DeleteFunc(living, func(key *apikey.Key) bool { return key.Usable(now) })
	for _, key := range over[:min(len(over), makesRoom)] {
		if key.RevokedAt.IsZero() {
			key.Revoke(key.ExpiresAt)
		}
		if err := stale(k.Store.SaveAPIKey(ctx, key)); err != nil {
			return err
		}
	}
	if len(over) == 0 {
		return fault.New(fault.Invalid, "unprocessable_entity",
			fmt.Sprintf("A tenant has at most %d API keys that hold. Revoke those that nobody uses any more with DELETE /keyvend/api_keys/{id}, or give keys an expires_at.", maxAPIKeys))
	}
	return nil
}

// List is a range of the tenant's API keys.
func (k *APIKeys) List(ctx context.Context, v *Visit, r APIKeyRange) (page []*apikey.Key, next string, err error) {
	return k.Store.APIKeysIn(ctx, v.Target.Tenant, r)
}

// Revoke ends one of the tenant's API keys at once.
func (k *APIKeys) Revoke(ctx context.Context, v *Visit, id string) error {
	_, err := revoke(ctx, k.Store, k.Clock, v.Target.Tenant, id)
	return err
}

// issuer is who issues an API key; the zero value is an operator.
type issuer struct {
	key       string // with the rights of which API key
	inSession bool
}

// issue makes and stores an API key of an existing tenant. vend signs keys that
// vend, and is nil where none may be made.
func issue(ctx context.Context, store APIKeyStore, clock ident.Clock, tenant string, want NewKey, by issuer, ingest, vend apikey.MACer) (*apikey.Key, secret.Text, error) {
	if err := want.check(clock.Now()); err != nil {
		return nil, secret.Text{}, err
	}
	key := &apikey.Key{
		ID:        clock.New(ident.APIKeyPrefix),
		Tenant:    tenant,
		Name:      want.Name,
		Scopes:    want.Scopes,
		CreatedAt: clock.Now(),
		ExpiresAt: want.ExpiresAt,
		IssuedBy:  by.key,
		InSession: by.inSession,
	}
	token, ok := apikey.NewToken(key.Tenant, key.ID, ingest)
	if !ok {
		return nil, secret.Text{}, fmt.Errorf("vault: the ids %s and %s make no token", key.Tenant, key.ID)
	}
	key.Sign(token, ingest, vend)
	return key, token.Text(), store.SaveAPIKey(ctx, key)
}

func (want NewKey) check(now time.Time) error {
	if !want.ExpiresAt.IsZero() && !want.ExpiresAt.After(now) {
		return fault.New(fault.Invalid, "unprocessable_entity",
			"expires_at has passed already. Leave it out for a key that does not expire.")
	}
	return checkLabel(want.Name)
}

// revoke ends an API key. Revoking it again changes nothing.
func revoke(ctx context.Context, store APIKeyStore, clock ident.Clock, tenant, id string) (*apikey.Key, error) {
	if _, ok := ident.Parse(ident.APIKeyPrefix, id); !ok {
		return nil, errNoAPIKey
	}
	for try := 1; ; try++ {
		key, err := store.APIKey(ctx, tenant, id)
		switch {
		case err != nil:
			return nil, err
		case key == nil:
			return nil, errNoAPIKey
		case !key.RevokedAt.IsZero():
			return key, nil
		}
		key.Revoke(clock.Now())
		if err := store.SaveAPIKey(ctx, key); !errors.Is(err, ErrChanged) {
			return key, err
		}
		if try == attempts {
			return nil, errConcurrent
		}
	}
}

var errNoAPIKey = fault.New(fault.NotFound, "not_found", "This tenant has no such API key. GET /keyvend/api_keys lists those it has.")
