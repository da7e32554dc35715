// Package session knows what a tenant's browsers bring: widget tokens, each for
// one user, and dashboard sessions. Both are short-lived signed statements; what
// revokes them before their time are the rows that are read with every request.
package session

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/tenant"
)

// A token is a JSON Web Token (RFC 7519): header, claims and signature in
// unpadded base64url, with dots between. There is one header for each kind, so
// that none is ever parsed, and no token can choose an algorithm.
var headers = map[seal.TokenKind]string{
	seal.WidgetToken:      encode([]byte(`{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`)),
	seal.DashboardSession: encode([]byte(`{"alg":"EdDSA","typ":"keyvend-dashboard+jwt"}`)),
}

// Prefix is what every token begins with, of whatever kind and maker.
const Prefix = "eyJ"

const (
	// Longest is how long a token may live.
	Longest = time.Hour
	// ahead is how far the clock of whoever minted a token may be ahead.
	ahead = 5 * time.Second

	issuer = "keyvend"
	// maxToken is in bytes: ids of full length, every character escaped, make
	// less.
	maxToken = 4 << 10
)

// Permission is what a widget token allows beyond its user's own accounts.
type Permission string

// ManagePipes is the permission of an organization's admins to decide which
// providers its people may connect.
const ManagePipes Permission = "widgets:pipes:manage"

// Claims are what a token states. The names on the wire are those that the
// official widget reads, and ours.
type Claims struct {
	Tenant    string
	APIKey    string // id of the key that minted it
	Epoch     int64  // of the tenant: a higher one ends it
	IssuedAt  time.Time
	ExpiresAt time.Time
	ID        string

	// Of a widget token.
	User         string
	Organization string // "" is none
	Permissions  []Permission

	// Of a dashboard session: what its bearer may do is what the key could that
	// minted it, and what it makes lives no longer than that.
	Scopes       []apikey.Scope
	KeyExpiresAt time.Time // zero: never
}

// wire are claims as they stand in a token. Times are seconds since 1970; that of
// issue has a fraction, so that it can be told from a revocation's.
type wire struct {
	Issuer       string         `json:"iss"`
	Audience     string         `json:"aud"`
	IssuedAt     float64        `json:"iat"`
	ExpiresAt    int64          `json:"exp"`
	ID           string         `json:"jti"`
	Tenant       string         `json:"tenant"`
	APIKey       string         `json:"api_key"`
	Epoch        int64          `json:"epoch"`
	User         string         `json:"sub,omitempty"`
	Organization string         `json:"org_id,omitempty"`
	Permissions  []Permission   `json:"permissions,omitzero"`
	Scopes       []apikey.Scope `json:"scopes,omitempty"`
	KeyExpiresAt int64          `json:"api_key_exp,omitempty"` // milliseconds
}

func audience(kind seal.TokenKind) string { return issuer + "-" + string(kind) }

// Signer signs what a tenant states.
type Signer interface {
	Sign(kind seal.TokenKind, message []byte) []byte
}

// Verifier tells whether a tenant has signed a message.
type Verifier interface {
	Signed(kind seal.TokenKind, message, signature []byte) bool
}

// Sign makes a token of claims.
func Sign(kind seal.TokenKind, c Claims, s Signer) (secret.Text, error) {
	w := wire{
		Issuer: issuer, Audience: audience(kind),
		IssuedAt: float64(c.IssuedAt.UnixMilli()) / 1000, ExpiresAt: c.ExpiresAt.Unix(), ID: c.ID,
		Tenant: c.Tenant, APIKey: c.APIKey, Epoch: c.Epoch,
		User: c.User, Organization: c.Organization, Permissions: c.Permissions,
		Scopes: c.Scopes,
	}
	if kind == seal.WidgetToken && w.Permissions == nil {
		w.Permissions = []Permission{} // where there is no list, the official widget says that there is no token
	}
	if !c.KeyExpiresAt.IsZero() {
		w.KeyExpiresAt = c.KeyExpiresAt.UnixMilli()
	}
	payload, err := json.Marshal(w)
	if err != nil {
		return secret.Text{}, fmt.Errorf("session: claims: %w", err)
	}
	message := headers[kind] + "." + encode(plain(payload))
	signature := s.Sign(kind, []byte(message))
	if signature == nil {
		return secret.Text{}, fmt.Errorf("session: there is no key for tokens of the kind %q", kind)
	}
	return secret.FromString(message + "." + encode(signature)), nil
}

// plain escapes, in the texts of a JSON document, each character whose base64url
// could have a - or _: the official widget reads claims with atob, which knows
// neither.
func plain(document []byte) []byte {
	var out strings.Builder
	for _, r := range string(document) {
		switch {
		case r > 0xffff:
			high, low := (r-0x10000)>>10, (r-0x10000)&0x3ff
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+high, 0xdc00+low)
		case r == '>' || r == '?' || r >= '~':
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return []byte(out.String())
}

// Token is a parsed token. All that it says is a claim until it is Genuine.
type Token struct {
	kind      seal.TokenKind
	claims    Claims
	signed    []byte
	signature secret.Text // no way of printing a Token reaches it
}

// Parse reads a token of a kind. ok is false for anything that is not one by
// form; nothing is said of who made it.
func Parse(kind seal.TokenKind, text string) (t Token, ok bool) {
	body, found := strings.CutPrefix(text, headers[kind]+".")
	payload, signature, two := strings.Cut(body, ".")
	if !found || !two || len(text) > maxToken {
		return Token{}, false
	}
	document, okPayload := decode(payload)
	sum, okSignature := decode(signature)
	if !okPayload || !okSignature {
		return Token{}, false
	}
	var w wire
	if json.Unmarshal(document, &w) != nil || w.Issuer != issuer || w.Audience != audience(kind) {
		return Token{}, false
	}
	_, okTenant := ident.Parse(ident.TenantPrefix, w.Tenant)
	_, okKey := ident.Parse(ident.APIKeyPrefix, w.APIKey)
	t = Token{kind: kind, claims: w.claims(), signed: []byte(text[:len(text)-len(signature)-1]), signature: secret.New(sum)}
	return t, okTenant && okKey
}

func (w wire) claims() Claims {
	c := Claims{
		Tenant: w.Tenant, APIKey: w.APIKey, Epoch: w.Epoch,
		IssuedAt: time.UnixMilli(int64(math.Round(w.IssuedAt * 1000))).UTC(), ExpiresAt: time.Unix(w.ExpiresAt, 0).UTC(), ID: w.ID,
		User: w.User, Organization: w.Organization, Permissions: w.Permissions,
		Scopes: w.Scopes,
	}
	if w.KeyExpiresAt != 0 {
		c.KeyExpiresAt = time.UnixMilli(w.KeyExpiresAt).UTC()
	}
	return c
}

// String keeps a token out of logs.
func (t Token) String() string { return t.claims.ID }

// Kind is what kind of token it is, by its header and its claims.
func (t Token) Kind() seal.TokenKind { return t.kind }

// TenantID is the tenant that the token claims.
func (t Token) TenantID() string { return t.claims.Tenant }

// KeyID is the id of the API key that the token claims to be minted with.
func (t Token) KeyID() string { return t.claims.APIKey }

// Claims are what the token states.
func (t Token) Claims() Claims { return t.claims }

// Genuine reports whether the claimed tenant has signed the token.
func (t Token) Genuine(v Verifier) bool { return v.Signed(t.kind, t.signed, t.signature.Reveal()) }

// Lives reports whether a genuine token holds at that time, when those of its kind
// that began before since were ended. One from the future does not: a clock that
// was set back must not make tokens live longer.
func (c Claims) Lives(now time.Time, t *tenant.Tenant, since time.Time) bool {
	return now.Before(c.ExpiresAt) && !now.Add(ahead).Before(c.IssuedAt) &&
		c.ExpiresAt.Sub(c.IssuedAt) <= Longest &&
		c.Epoch == t.Epoch && !c.IssuedAt.Before(since)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// decode takes the one spelling that encode makes. Line breaks, which the library
// skips, are none of it.
func decode(text string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return b, err == nil && !strings.ContainsAny(text, "\r\n")
}
