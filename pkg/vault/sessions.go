package vault

import (
	"context"
	"slices"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/session"
	"keyvend/pkg/tenant"
)

// SigningKeyring gives a tenant's signing key to those whom KMS lets have it.
// Errors are package seal's.
type SigningKeyring interface {
	Signing(ctx context.Context, t *tenant.Tenant) (*seal.SigningKey, error)
}

// Sessions mints what a tenant's browsers bring, and ends it.
type Sessions struct {
	Store SettingsStore
	Keys  SigningKeyring
	Clock ident.Clock
}

// Holder is for whom a widget token is minted.
type Holder struct {
	User         string
	Organization string // "" is none
	Permissions  []session.Permission
}

// WidgetToken mints a token with which one user's browser looks after his own
// accounts.
func (s *Sessions) WidgetToken(ctx context.Context, v *Visit, h Holder) (secret.Text, error) {
	text, _, err := s.mint(ctx, v, seal.WidgetToken, session.Claims{
		User: h.User, Organization: h.Organization, Permissions: h.Permissions,
	})
	return text, err
}

// SignedIn is a dashboard session that has just begun.
type SignedIn struct {
	Token     secret.Text
	ExpiresAt time.Time
	Scopes    []apikey.Scope
}

// SignIn begins a dashboard session of whoever brings an API key, with the key's
// rights. Neither a key that vends may come near a browser, nor may a session
// prolong itself.
func (s *Sessions) SignIn(ctx context.Context, v *Visit) (SignedIn, error) {
	key := v.View.APIKey
	switch {
	case v.Session != nil:
		return SignedIn{}, fault.New(fault.Forbidden, "api_key_required",
			"A dashboard session cannot begin another. Sign in with an API key.")
	case key.Allows(apikey.Vend):
		return SignedIn{}, fault.New(fault.Forbidden, "key_vends",
			`This API key can read stored keys, and such a key must not come into a browser. Make one with the scope "manage" alone, with POST /keyvend/api_keys or the operator's command, and sign in with that.`)
	}
	text, ends, err := s.mint(ctx, v, seal.DashboardSession, session.Claims{Scopes: key.Scopes, KeyExpiresAt: key.ExpiresAt})
	return SignedIn{Token: text, ExpiresAt: ends, Scopes: slices.Clone(key.Scopes)}, err
}

// skew is how far clocks of those who mint may be behind of who ends what was
// minted.
const skew = time.Second

// endedUntil is when the last that was ended of a kind may have begun: of all
// tokens those that the settings end, of widget tokens also those of who was
// offboarded. The visit's target names his rows where they matter.
func (v *Visit) endedUntil(kind seal.TokenKind) time.Time {
	until := v.Settings.SessionsNotBefore
	if kind != seal.WidgetToken {
		return until
	}
	for _, left := range []time.Time{v.View.Organization.OffboardedAt, v.Departure.OffboardedAt} {
		if !left.IsZero() && left.Add(skew).After(until) {
			until = left.Add(skew)
		}
	}
	return until
}

// EndAll ends every session and widget token of the tenant at once. What is minted
// from then on holds.
func (s *Sessions) EndAll(ctx context.Context, v *Visit) error {
	from := s.Clock.Now().Add(skew)
	return again(ctx, s.Store, v, func(v *Visit) error {
		next := v.Settings
		if from.Before(next.SessionsNotBefore) {
			return nil // they have ended
		}
		next.SessionsNotBefore = from
		return s.Store.SaveSettings(ctx, v.Target.Tenant, &next)
	})
}

// mint signs a token that lives no longer than what it was minted with.
func (s *Sessions) mint(ctx context.Context, v *Visit, kind seal.TokenKind, c session.Claims) (text secret.Text, ends time.Time, err error) {
	now := s.Clock.Now()
	c.Tenant, c.APIKey, c.Epoch, c.ID = v.Target.Tenant, v.Target.APIKey, v.View.Tenant.Epoch, s.Clock.ULID().String()
	if from := v.Settings.SessionsNotBefore; from.Sub(now) > skew {
		return text, ends, fault.Newf(fault.Invalid, "unprocessable_entity",
			"The tenant's settings let no session begin before %s. Change sessions_not_before with PUT /keyvend/settings.", from.Format(time.RFC3339))
	}
	c.IssuedAt = now
	if until := v.endedUntil(kind); now.Before(until) {
		c.IssuedAt = until // it was read: this one is of after
	}
	c.ExpiresAt = now.Add(session.Longest)
	if end := v.View.APIKey.ExpiresAt; !end.IsZero() && end.Before(c.ExpiresAt) {
		c.ExpiresAt = end
	}
	if v.Session != nil && v.Session.ExpiresAt.Before(c.ExpiresAt) {
		c.ExpiresAt = v.Session.ExpiresAt
	}
	c.ExpiresAt = c.ExpiresAt.Truncate(time.Second)
	if len(v.View.Tenant.Keys.TokenKeys) == 0 {
		return text, ends, errNoTokenKeys
	}
	key, err := s.Keys.Signing(ctx, v.View.Tenant)
	if err != nil {
		return text, ends, sealFault(err)
	}
	text, err = session.Sign(kind, c, key)
	return text, c.ExpiresAt, err
}

var errNoTokenKeys = fault.New(fault.Invalid, "unprocessable_entity",
	"This tenant was made by a keyvend without widget and dashboard, and has no keys to sign their tokens with. An operator has to make a new tenant, with the command: operator create-tenant NAME")
