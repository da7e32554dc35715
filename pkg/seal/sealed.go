package seal

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxSecret is the longest secret that can be sealed, in bytes.
const MaxSecret = 8 << 10

// SecretID names one stored secret: a ULID.
type SecretID [16]byte

// Binding is what a secret belongs to. It goes into the encryption itself: a
// sealed secret opens under the same binding only. The opener takes it from the
// request and the integration's row, never from where the ciphertext lay.
type Binding struct {
	Tenant        string
	IntegrationID string
	Slug          string
	OwnerKind     string
	User          string
	Organization  string // "" = none
	AuthMethod    string
	// Host and placement of a custom provider's check. Both are bound if
	// CheckHost is set when the secret is sealed, and else neither.
	CheckHost, CheckPlacement string
}

// Cover is what the ingest MAC vouches for besides the binding: facts about a
// secret that may change while it stays sealed.
type Cover struct {
	Slot        string
	Last4       string
	Fingerprint []byte
	ExpiresAt   time.Time         // covered to the second; zero = never
	Config      map[string]string // what the secret is used with
	// ConfigByReader: who gave Config may read secrets. A cover of before there was
	// this is one that says no.
	ConfigByReader bool
}

// Sealed is a sealed secret as it lies in the table.
//
// Secret, in network byte order; nothing follows the tag:
//
//	offset length
//	     0      1  format version, 1
//	     1      2  HPKE KEM id: 0x0020 = DHKEM(X25519, HKDF-SHA256)
//	     3      4  version of the tenant's key pair
//	     7     16  secret id
//	    23      1  flags: bit 0 = check host and placement are bound; others 0
//	    24     32  encapsulated key
//	    56  n + 16  AES-256-GCM ciphertext and tag; 1 <= n <= 8192
//
// The header is bound too, by the HPKE info and by the MAC. MAC is 32 bytes:
// HMAC-SHA256 under the ingest key over binding, cover and Secret.
type Sealed struct {
	Secret []byte
	MAC    []byte
}

const (
	formatVersion = 1
	kemX25519     = 0x0020
	flagCheckHost = 1 << 0

	headerSize = 24
	encSize    = 32
	tagSize    = 16
	minSealed  = headerSize + encSize + 1 + tagSize
	maxSealed  = headerSize + encSize + MaxSecret + tagSize
)

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

// Header is the readable part of a sealed secret. It is a claim until the
// secret has been opened.
type Header struct {
	KeyVersion uint32
	SecretID   SecretID
	// CheckHostBound says that the check's host and placement were set, and so
	// bound, when the secret was sealed. A secret without may be vended but
	// must never be sent to a check.
	CheckHostBound bool
}

// ParseHeader reads the header of a sealed secret and checks its form. Every
// error is ErrFormat.
func ParseHeader(sealed []byte) (Header, error) {
	if len(sealed) < minSealed || len(sealed) > maxSealed {
		return Header{}, fmt.Errorf("%w: a sealed secret of %d bytes", ErrFormat, len(sealed))
	}
	if sealed[0] != formatVersion {
		return Header{}, fmt.Errorf("%w: sealed format version %d", ErrFormat, sealed[0])
	}
	if id := binary.BigEndian.Uint16(sealed[1:3]); id != kemX25519 {
		return Header{}, fmt.Errorf("%w: KEM %#04x", ErrFormat, id)
	}
	flags := sealed[23]
	if flags&^flagCheckHost != 0 {
		return Header{}, fmt.Errorf("%w: flags %#02x", ErrFormat, flags)
	}
	return Header{
		KeyVersion:     binary.BigEndian.Uint32(sealed[3:7]),
		SecretID:       SecretID(sealed[7:23]),
		CheckHostBound: flags&flagCheckHost != 0,
	}, nil
}

func (h Header) append(b []byte) []byte {
	b = append(b, formatVersion)
	b = binary.BigEndian.AppendUint16(b, kemX25519)
	b = binary.BigEndian.AppendUint32(b, h.KeyVersion)
	b = append(b, h.SecretID[:]...)
	if h.CheckHostBound {
		return append(b, flagCheckHost)
	}
	return append(b, 0)
}

// encode is the HPKE info of a secret with header h.
func (b Binding) encode(h Header) []byte {
	e := make(encoder, 0, 256)
	e = append(e, "keyvend/binding"...)
	e = append(e, formatVersion)
	e.text(b.Tenant)
	e.text(b.IntegrationID)
	e.text(b.Slug)
	e.text(b.OwnerKind)
	e.text(b.User)
	e.text(b.Organization) // no organization has an empty id: length 0 marks none
	e.text(b.AuthMethod)
	e.uint32(h.KeyVersion)
	e = append(e, h.SecretID[:]...)
	if !h.CheckHostBound {
		return append(e, 0)
	}
	e = append(e, 1)
	e.text(b.CheckHost)
	e.text(b.CheckPlacement)
	return e
}

func (c Cover) encode() []byte {
	e := make(encoder, 0, 128)
	e = append(e, "keyvend/cover"...)
	e = append(e, formatVersion)
	e.text(c.Slot)
	e.text(c.Last4)
	e.bytes(c.Fingerprint)
	if c.ExpiresAt.IsZero() {
		e = append(e, 0)
	} else {
		e = append(e, 1)
		e.uint64(uint64(c.ExpiresAt.Unix())) //nolint:gosec // two's complement keeps every instant apart
	}
	e.uint32(uint32(len(c.Config))) //nolint:gosec // a handful of values
	for _, k := range slices.Sorted(maps.Keys(c.Config)) {
		e.text(k)
		e.text(c.Config[k])
	}
	if c.ConfigByReader {
		e = append(e, 1)
	}
	return e
}
