// Package apikey knows the API keys of a tenant's backends: the token that its
// owner holds, the row that is kept of it, and the MACs by which a row proves
// that keyvend made it.
package apikey

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/ident"
	"keyvend/pkg/secret"
)

// A token is the prefix and 75 bytes in unpadded base64url, 106 characters in
// all; 75 is a multiple of three, so that no two texts decode to the same token:
//
//	sk_kv_ | version 1 | tenant ULID 16 | key ULID 16 | random 22 | tag 16 | CRC-32 4
//
// The tag is a MAC over all before it under the tenant's ingest key: it lets a
// forged token be refused without a look into the table. The checksum (IEEE,
// big endian, over all before it) lets secret scanners and typing errors be
// told without any key.
const (
	// TokenPrefix is what every token begins with.
	TokenPrefix  = "sk_kv_"
	tokenVersion = 1
	randomSize   = 22
	tagSize      = 16
	headSize     = 1 + 16 + 16 + randomSize
	tokenSize    = headSize + tagSize + crc32.Size
	tokenLength  = len(TokenPrefix) + tokenSize/3*4
)

// Uses of the tenant's MAC keys; part of their derivation.
const (
	useTag  = "api-key-tag"
	useRow  = "api-key-row"
	useVend = "api-key-vend"
)

// MACer makes MACs under keys of one tenant, apart for each use.
type MACer interface {
	MAC(use string, parts ...[]byte) []byte
}

// Token is a parsed bearer token. Its tenant is a claim until a row proves it.
type Token struct {
	tenant, key ulid.ULID
	raw         secret.Text // tokenSize bytes; no way of printing a Token reaches them
}

// NewToken makes a token for a tenant and key.
func NewToken(tenantID, keyID string, m MACer) (Token, bool) {
	tenant, okTenant := ident.Parse(ident.TenantPrefix, tenantID)
	key, okKey := ident.Parse(ident.APIKeyPrefix, keyID)
	if !okTenant || !okKey {
		return Token{}, false
	}
	b := append(make([]byte, 0, tokenSize), tokenVersion)
	b = append(b, tenant[:]...)
	b = append(b, key[:]...)
	_, _ = rand.Read(b[len(b):headSize]) // never fails (crypto/rand)
	b = b[:headSize]
	b = append(b, m.MAC(useTag, b)[:tagSize]...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return Token{tenant, key, secret.New(b)}, true
}

// ParseToken reads a token. ok is false for anything that is not one by form
// and checksum; nothing is said of whether it was ever given out.
func ParseToken(text string) (t Token, ok bool) {
	body, found := strings.CutPrefix(text, TokenPrefix)
	if !found || len(text) != tokenLength {
		return Token{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) != tokenSize || raw[0] != tokenVersion {
		return Token{}, false
	}
	signed := raw[:tokenSize-crc32.Size]
	if binary.BigEndian.Uint32(raw[len(signed):]) != crc32.ChecksumIEEE(signed) {
		return Token{}, false
	}
	return Token{ulid.ULID(raw[1:17]), ulid.ULID(raw[17:33]), secret.New(raw)}, true
}

// Text is the token as its owner sends it.
func (t Token) Text() secret.Text {
	return secret.New(base64.RawURLEncoding.AppendEncode([]byte(TokenPrefix), t.raw.Reveal()))
}

// String keeps the random part out of logs.
func (t Token) String() string { return t.KeyID() }

// TenantID is the tenant that the token claims.
func (t Token) TenantID() string { return ident.TenantPrefix + t.tenant.String() }

// KeyID is the id of the API key that the token claims to be.
func (t Token) KeyID() string { return ident.APIKeyPrefix + t.key.String() }

// Genuine reports in constant time whether the tag was made under the claimed
// tenant's key.
func (t Token) Genuine(m MACer) bool {
	raw := t.raw.Reveal()
	tag := raw[headSize : headSize+tagSize]
	return subtle.ConstantTimeCompare(tag, m.MAC(useTag, raw[:headSize])[:tagSize]) == 1
}
