package vault

import (
	"net/netip"
	"net/url"
	"slices"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
)

// Caller is who asks, by what he brings. ByAPIKey and BySession make one.
type Caller interface {
	// TenantID and KeyID are claims: whose he is, and by which API key he acts.
	TenantID() string
	KeyID() string
	// genuine reports whether keyvend gave out what he brings.
	genuine(key *seal.IngestKey) bool
	// expired reports whether what he brings says of itself that it has had its
	// time.
	expired(now time.Time) bool
	// proves reports whether he is who he says, on the rows and with the keys of
	// the visit, and puts into the visit what he may do. It does the same work for
	// a row that is missing as for one that is there.
	proves(v *Visit, need apikey.Scope, now time.Time) bool
}

// ByAPIKey is a caller who brings an API key.
func ByAPIKey(token apikey.Token) Caller { return byAPIKey{token} }

// BySession is a caller who brings a dashboard session.
func BySession(token session.Token) Caller { return byToken{token, seal.DashboardSession} }

type byAPIKey struct{ apikey.Token }

func (c byAPIKey) genuine(key *seal.IngestKey) bool { return c.Genuine(key) }

// expired is for the row to say.
func (c byAPIKey) expired(time.Time) bool { return false }

// proves wants the second proof of whoever wants to vend with a key that claims
// it.
func (c byAPIKey) proves(v *Visit, need apikey.Scope, now time.Time) bool {
	key := v.View.APIKey
	if key == nil {
		key = &apikey.Key{Tenant: c.TenantID(), ID: c.KeyID(), Scopes: []apikey.Scope{need}, RevokedAt: time.Unix(0, 0)}
	}
	genuine := c.Genuine(v.Ingest)
	proves := key.Proves(c.Token, v.Ingest)
	if need == apikey.Vend && key.Allows(apikey.Vend) {
		proves = v.Opening != nil && key.ProvesVend(c.Token, v.Opening) && proves
	}
	return genuine && proves && key.Usable(now)
}

// byToken brings a token for browsers, which has to be of one kind. The row of the
// API key that it was minted with can end it and says nothing else: nothing proves
// that row without the key itself, so what the bearer may do is what the token
// states.
type byToken struct {
	session.Token
	kind seal.TokenKind
}

func (c byToken) genuine(key *seal.IngestKey) bool { return c.Kind() == c.kind && c.Genuine(key) }

func (c byToken) expired(now time.Time) bool { return !now.Before(c.Claims().ExpiresAt) }

func (c byToken) proves(v *Visit, _ apikey.Scope, now time.Time) bool {
	claims, row := c.Claims(), v.View.APIKey
	v.Session = &claims
	v.View.APIKey = &apikey.Key{
		ID: claims.APIKey, Tenant: claims.Tenant,
		Scopes:    slices.DeleteFunc(slices.Clone(claims.Scopes), func(s apikey.Scope) bool { return s == apikey.Vend }),
		ExpiresAt: claims.KeyExpiresAt,
	}
	return c.genuine(v.Ingest) && claims.Lives(now, v.View.Tenant, v.endedUntil(c.kind)) && row != nil && row.Usable(now)
}

// Page is where a browser's request comes from, as the browser says.
type Page struct {
	Origin     string // "" when it says none
	SameOrigin bool   // it is a page of keyvend's own
}

// ErrOrigin is the answer to whoever brings a good token from a page that may not
// use it.
var ErrOrigin = fault.New(fault.Forbidden, "origin_not_allowed",
	"Pages of this origin may not use the tenant's widget tokens. Add the origin to allowed_origins with PUT /keyvend/settings.")

var errPermission = fault.New(fault.Forbidden, "insufficient_permission",
	"This needs a widget token of an organization with the scope widgets:pipes:manage. Mint one with POST /widgets/token.")

// allowed reports whether a page may use widget tokens: one of keyvend's own, or
// one whose origin is listed, byte for byte. A request of which the browser tells
// neither comes from no page that could be known.
func (p Page) allowed(origins []string, loopback bool) bool {
	return p.SameOrigin || p.Origin != "" && (slices.Contains(origins, p.Origin) || loopback && isLoopback(p.Origin))
}

// isLoopback reports whether an origin is of this machine.
func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || !validOrigin(origin) {
		return false
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || ip.IsLoopback()
}
