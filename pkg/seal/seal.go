// Package seal is the only package that encrypts. It seals a third-party secret
// with a tenant's public key, so that what faces a browser can store a secret
// and never read one back, and it opens one with key material that a Wrapper
// (KMS, or a local master key) guards.
//
// Who can write the table can neither read a secret nor plant one: ciphertexts
// are bound to the account they belong to, authenticated under the tenant's
// ingest key, and all key material is wrapped under a context that names whose
// it is and what for.
package seal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
)

// The errors of this package and of every Wrapper. Each is tested with
// errors.Is; none tells anything of a secret or a key.
var (
	// ErrIntegrity: what was read is not what was written. It does not open,
	// does not unwrap, its MAC is wrong, or it belongs elsewhere. Trying again
	// does not help.
	ErrIntegrity = errors.New("seal: integrity")
	// ErrFormat: malformed, or of a version or algorithm that this code does
	// not know; on sealing, a secret that is empty or over MaxSecret. Trying
	// again does not help.
	ErrFormat = errors.New("seal: format")
	// ErrKeyVersion: the tenant has no key of that version, or the key at hand
	// is of another one.
	ErrKeyVersion = errors.New("seal: key version")
	// ErrUnavailable: throttled, timed out or out of reach. Nothing is known of
	// the material; the same call may succeed later.
	ErrUnavailable = errors.New("seal: unavailable")
	// ErrRefused: the wrapping key is disabled, pending deletion, missing, or
	// denied to this role. An operator has to act.
	ErrRefused = errors.New("seal: refused")
)

// Wrapper guards key material: KMS in AWS, a master key file on a laptop. It is
// safe for concurrent use. Package sealtest holds the conformance suite.
//
// Every error is one of ErrIntegrity, ErrFormat, ErrUnavailable and ErrRefused.
// The wrapper itself tries again as often as is sensible; callers do not. It
// returns at the latest at the context's deadline, then with ErrUnavailable.
type Wrapper interface {
	// Wrap encrypts plaintext (1 to 4096 bytes) under c. The blob opens only
	// under the very same context. It does not keep plaintext.
	Wrap(ctx context.Context, c Context, plaintext []byte) ([]byte, error)

	// Unwrap returns what Wrap was given. A blob of another context, another
	// wrapping key, or one that was changed in any bit is ErrIntegrity,
	// ErrFormat or ErrRefused, never a plaintext. The caller owns the result
	// and wipes it.
	Unwrap(ctx context.Context, c Context, blob []byte) ([]byte, error)
}

// Purpose says what wrapped key material is for; the key policy of KMS tells
// roles apart by it.
type Purpose string

// The purposes.
const (
	PurposeIngest  Purpose = "ingest"  // authenticate and seal; never open
	PurposeSeal    Purpose = "seal"    // open
	PurposeSession Purpose = "session" // sign tokens for browsers; neither seal nor open
)

// TokenKind is a kind of token that a tenant signs for browsers. Each has a key
// pair of its own, so that none passes for another.
type TokenKind string

// The kinds of tokens.
const (
	WidgetToken      TokenKind = "widget"
	DashboardSession TokenKind = "dashboard"
)

// tokenKinds are all kinds, in the order in which their keys are wrapped.
func tokenKinds() []TokenKind { return []TokenKind{WidgetToken, DashboardSession} }

// Context is the encryption context of a wrapped blob. It holds ids only:
// CloudTrail logs it in clear.
type Context struct {
	App, Environment, Tenant string
	Purpose                  Purpose
	Version                  uint32 // of the tenant's key pair, of which there is one with PurposeSession
	PublicKeys               string // hex SHA-256 over all of the tenant's public keys; with PurposeIngest only
}

// Map is the context as KMS takes it. PublicKeys is left out when empty.
func (c Context) Map() map[string]string {
	m := map[string]string{
		"app":         c.App,
		"environment": c.Environment,
		"tenant":      c.Tenant,
		"purpose":     string(c.Purpose),
		"version":     strconv.FormatUint(uint64(c.Version), 10),
	}
	if c.PublicKeys != "" {
		m["public_keys"] = c.PublicKeys
	}
	return m
}

// Canonical encodes the context so that two contexts never give the same bytes:
// what a Wrapper without a context of its own authenticates.
func (c Context) Canonical() []byte {
	e := encoder("keyvend/context/1")
	e.text(c.App)
	e.text(c.Environment)
	e.text(c.Tenant)
	e.text(string(c.Purpose))
	e.uint32(c.Version)
	e.text(c.PublicKeys)
	return e
}

// Material is what a tenant's row tells of its keys. All of it may lie in a
// table that somebody else can write: nothing here is believed before a blob
// unwrapped under it.
type Material struct {
	Tenant     string            `json:"tenant"`
	Version    uint32            `json:"version"`     // of the key pair that new secrets are sealed with
	PublicKeys map[uint32][]byte `json:"public_keys"` // by version: HPKE KEM id (2 bytes), then the key
	IngestBlob []byte            `json:"ingest_blob"` // wrapped with PurposeIngest
	SealHashes map[uint32][]byte `json:"seal_hashes"` // SHA-256 of each version's seal blob
	// TokenKeys are the Ed25519 public keys that prove tokens. They never change.
	// A tenant that was made before there were tokens has none.
	TokenKeys map[TokenKind][]byte `json:"token_keys,omitempty"`
}

// Blobs are the wrapped private halves of new key material. Each is stored for
// itself, so that whoever may unwrap one need not get at the other.
type Blobs struct {
	Seal    []byte // wrapped with PurposeSeal
	Session []byte // wrapped with PurposeSession
}

// publicKeysHash covers every public key with its version or kind, so that none
// can be added, replaced or renamed.
func (m Material) publicKeysHash() string {
	e := encoder("keyvend/public-keys/1")
	for _, v := range slices.Sorted(maps.Keys(m.PublicKeys)) {
		e.text(string(PurposeSeal))
		e.uint32(v)
		e.bytes(m.PublicKeys[v])
	}
	for _, kind := range slices.Sorted(maps.Keys(m.TokenKeys)) {
		e.text(string(PurposeSession))
		e.text(string(kind))
		e.bytes(m.TokenKeys[kind])
	}
	sum := sha256.Sum256(e)
	return hex.EncodeToString(sum[:])
}

// encoder builds injective byte strings: a label, then fixed-size numbers and
// length-prefixed fields in a fixed order.
type encoder []byte

func (e *encoder) uint32(n uint32) { *e = binary.BigEndian.AppendUint32(*e, n) }
func (e *encoder) uint64(n uint64) { *e = binary.BigEndian.AppendUint64(*e, n) }

func (e *encoder) text(s string) {
	e.uint64(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) bytes(b []byte) {
	e.uint64(uint64(len(b)))
	*e = append(*e, b...)
}
