package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"

	"keyvend/pkg/secret"
)

const (
	keySize = 32
	// useSealed is the use of the MAC over a sealed secret; no caller of MAC
	// gets at its subkey.
	useSealed = "sealed secret"
)

// macKey holds 32 secret bytes and wipes them when its last user has let go: a
// key may be evicted while somebody is computing with it. The bytes are behind
// a pointer, so that printing what holds them never prints them.
type macKey struct{ b *[keySize]byte }

// newMACKey copies b, which has keySize bytes.
func newMACKey(b []byte) *macKey {
	k := &macKey{new([keySize]byte)}
	copy(k.b[:], b)
	runtime.AddCleanup(k, func(b *[keySize]byte) { clear(b[:]) }, k.b)
	return k
}

// mac is HMAC-SHA256 over the length-prefixed parts, under a subkey that no
// other use shares.
func (k *macKey) mac(use string, parts ...[]byte) []byte {
	sub, err := hkdf.Key(sha256.New, k.b[:], nil, "keyvend/"+use, keySize)
	runtime.KeepAlive(k)
	if err != nil {
		// HKDF fails for lengths over 8160 bytes only. No MAC compares equal to nil.
		return nil
	}
	h := hmac.New(sha256.New, sub)
	clear(sub)
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// IngestKey authenticates, and seals and proves tokens if it came from
// Ring.Ingest. It opens nothing. It is safe for concurrent use and prints as
// [redacted].
type IngestKey struct {
	tenant  string
	key     *macKey
	version uint32
	public  hpke.PublicKey // nil: authenticates only
	tokens  map[TokenKind]ed25519.PublicKey
}

// MAC is HMAC-SHA256 over the parts under a subkey of the tenant's ingest key
// for one use, such as "api key tag". ("a", "bc") and ("ab", "c") differ.
// Compare MACs with hmac.Equal.
func (k *IngestKey) MAC(use string, parts ...[]byte) []byte {
	return k.key.mac("use/"+use, parts...)
}

// Signed reports whether message was signed with the tenant's private key for that
// kind of token. A key that came from OpeningKey.Ingest proves none.
func (k *IngestKey) Signed(kind TokenKind, message, signature []byte) bool {
	public, ok := k.tokens[kind]
	return ok && ed25519.Verify(public, message, signature)
}

// Seal encrypts a secret of 1 to MaxSecret bytes under the tenant's current
// public key, bound to b, and authenticates it together with c.
//
// ErrFormat: the secret is empty or too long. ErrIntegrity: b names another
// tenant. ErrKeyVersion: this key came from Ring.Recall or OpeningKey.Ingest,
// and so knows no public key to seal with.
func (k *IngestKey) Seal(b Binding, id SecretID, c Cover, plaintext secret.Text) (Sealed, error) {
	if k.public == nil {
		return Sealed{}, fmt.Errorf("%w: this key authenticates only", ErrKeyVersion)
	}
	if n := plaintext.Len(); n == 0 || n > MaxSecret {
		return Sealed{}, fmt.Errorf("%w: a secret of %d bytes", ErrFormat, n)
	}
	if b.Tenant != k.tenant {
		return Sealed{}, fmt.Errorf("%w: the binding names another tenant", ErrIntegrity)
	}
	h := Header{KeyVersion: k.version, SecretID: id, CheckHostBound: b.CheckHost != ""}
	info := b.encode(h)
	box, err := hpke.Seal(k.public, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext.Reveal())
	if err != nil {
		return Sealed{}, fmt.Errorf("%w: sealing: %w", ErrIntegrity, err)
	}
	sealed := append(h.append(make([]byte, 0, headerSize+len(box))), box...)
	return Sealed{Secret: sealed, MAC: k.sealedMAC(info, c, sealed)}, nil
}

// Verify checks form and MAC of a sealed secret without opening it: ErrFormat
// or ErrIntegrity.
func (k *IngestKey) Verify(b Binding, c Cover, s Sealed) error {
	_, _, err := k.verify(b, c, s)
	return err
}

// Move re-makes the MAC of a sealed secret whose cover changes, as when it goes
// from one slot to another, without opening it. The MAC must be right under
// from; errors are those of Verify.
func (k *IngestKey) Move(b Binding, from, to Cover, s Sealed) (Sealed, error) {
	_, info, err := k.verify(b, from, s)
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{Secret: s.Secret, MAC: k.sealedMAC(info, to, s.Secret)}, nil
}

func (k *IngestKey) verify(b Binding, c Cover, s Sealed) (Header, []byte, error) {
	h, err := ParseHeader(s.Secret)
	if err != nil {
		return Header{}, nil, err
	}
	if b.Tenant != k.tenant {
		return Header{}, nil, fmt.Errorf("%w: the binding names another tenant", ErrIntegrity)
	}
	info := b.encode(h)
	want := k.sealedMAC(info, c, s.Secret)
	if len(want) == 0 || !hmac.Equal(want, s.MAC) {
		return Header{}, nil, fmt.Errorf("%w: the MAC of a sealed secret is wrong", ErrIntegrity)
	}
	return h, info, nil
}

func (k *IngestKey) sealedMAC(info []byte, c Cover, sealed []byte) []byte {
	return k.key.mac(useSealed, info, c.encode(), sealed)
}

// OpeningKey opens what was sealed under one version of a tenant's key pair. It
// is safe for concurrent use and prints as [redacted].
type OpeningKey struct {
	ingest   *IngestKey
	verifier *macKey
	version  uint32
	private  hpke.PrivateKey
}

// Ingest is the tenant's ingest key, for MACs only: it does not seal.
func (k *OpeningKey) Ingest() *IngestKey { return k.ingest }

// Version is the version of the key pair.
func (k *OpeningKey) Version() uint32 { return k.version }

// MAC is like IngestKey.MAC, under the vend verifier's key, which only the seal
// purpose unwraps: what carries it was made by who may open.
func (k *OpeningKey) MAC(use string, parts ...[]byte) []byte {
	return k.verifier.mac("use/"+use, parts...)
}

// Open returns the secret. It checks the MAC before it decrypts. The result is
// the caller's, to wipe when done.
//
// ErrFormat: malformed. ErrIntegrity: changed, or sealed for another binding or
// cover. ErrKeyVersion: sealed under another version than this key's. When the
// header says that no check host was bound, b's host and placement count for
// nothing: see Header.CheckHostBound.
func (k *OpeningKey) Open(b Binding, c Cover, s Sealed) (secret.Text, error) {
	h, info, err := k.ingest.verify(b, c, s)
	if err != nil {
		return secret.Text{}, err
	}
	if h.KeyVersion != k.version {
		return secret.Text{}, fmt.Errorf("%w: sealed under version %d, the key is of version %d", ErrKeyVersion, h.KeyVersion, k.version)
	}
	plain, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, s.Secret[headerSize:])
	if err != nil {
		return secret.Text{}, fmt.Errorf("%w: a sealed secret does not open", ErrIntegrity)
	}
	return secret.New(plain), nil
}

// SigningKey signs a tenant's tokens. It is safe for concurrent use and prints as
// [redacted].
type SigningKey struct{ seeds map[TokenKind]*macKey }

// newSigningKey copies the seeds, keySize bytes for each kind.
func newSigningKey(seeds []byte) *SigningKey {
	k := &SigningKey{map[TokenKind]*macKey{}}
	for i, kind := range tokenKinds() {
		k.seeds[kind] = newMACKey(seeds[i*keySize : (i+1)*keySize])
	}
	return k
}

// Sign signs message as a token of that kind, with Ed25519; nil for a kind that
// there is not.
func (k *SigningKey) Sign(kind TokenKind, message []byte) []byte {
	private := k.private(kind)
	if private == nil {
		return nil
	}
	defer clear(private)
	return ed25519.Sign(private, message)
}

func (k *SigningKey) private(kind TokenKind) ed25519.PrivateKey {
	seed, ok := k.seeds[kind]
	if !ok {
		return nil
	}
	private := ed25519.NewKeyFromSeed(seed.b[:])
	runtime.KeepAlive(seed)
	return private
}

// public are the public halves.
func (k *SigningKey) public() map[TokenKind][]byte {
	all := map[TokenKind][]byte{}
	for kind := range k.seeds {
		private := k.private(kind)
		all[kind] = bytes.Clone(private[ed25519.SeedSize:])
		clear(private)
	}
	return all
}

const redacted = "[redacted]"

// Format implements fmt.Formatter, so that no verb reaches the key.
func (IngestKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue implements slog.LogValuer.
func (IngestKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter, so that no verb reaches the key.
func (OpeningKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue implements slog.LogValuer.
func (OpeningKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter, so that no verb reaches the key.
func (SigningKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue implements slog.LogValuer.
func (SigningKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// Wrapped key material, before wrapping:
//
//	offset length                            offset length
//	     0      1  blob format version, 1         0      1  blob format version, 1
//	     1      1  'i'                            1      1  's'
//	     2     32  owner                          2     32  owner
//	    34     32  ingest key                    34      2  HPKE KEM id
//	                                             36      4  version of the key pair
//	     0      1  blob format version, 1        40     32  private key
//	     1      1  't'                           72     32  ingest key
//	     2     32  owner                        104     32  vend verifier's key
//	    34     32  Ed25519 seed for widget tokens
//	    66     32  Ed25519 seed for dashboard sessions
//
// The owner is a hash of app, environment, tenant and purpose. The wrapping
// context names them already; the hash also catches a wrapper that answers with
// another blob's plaintext. The ingest blob names no version, so that KMS can
// re-encrypt it under the context of the next one.
const (
	blobVersion     = 1
	ingestBlobSize  = 34 + keySize
	sealBlobSize    = 40 + 3*keySize
	sessionBlobSize = 34 + 2*keySize
)

var errBlob = errors.New("unwrapped key material is not what its context says")

func owner(c Context) [sha256.Size]byte {
	e := encoder("keyvend/owner/1")
	e.text(c.App)
	e.text(c.Environment)
	e.text(c.Tenant)
	e.text(string(c.Purpose))
	return sha256.Sum256(e)
}

func blobPrefix(c Context, kind byte, size int) []byte {
	who := owner(c)
	return append(append(make([]byte, 0, size), blobVersion, kind), who[:]...)
}

// body returns what follows the prefix of an unwrapped blob.
func body(c Context, kind byte, size int, plain []byte) ([]byte, error) {
	who := owner(c)
	if len(plain) != size || plain[0] != blobVersion || plain[1] != kind || !hmac.Equal(plain[2:34], who[:]) {
		return nil, fmt.Errorf("%w: %w", ErrIntegrity, errBlob)
	}
	return plain[34:], nil
}

func encodeIngestBlob(c Context, ingest []byte) []byte {
	return append(blobPrefix(c, 'i', ingestBlobSize), ingest...)
}

func decodeIngestBlob(c Context, plain []byte) (*macKey, error) {
	b, err := body(c, 'i', ingestBlobSize, plain)
	if err != nil {
		return nil, err
	}
	return newMACKey(b), nil
}

func encodeSealBlob(c Context, private, ingest, verifier []byte) []byte {
	b := blobPrefix(c, 's', sealBlobSize)
	b = binary.BigEndian.AppendUint16(b, kemX25519)
	b = binary.BigEndian.AppendUint32(b, c.Version)
	b = append(b, private...)
	b = append(b, ingest...)
	return append(b, verifier...)
}

// decodeSealBlob also proves that public, as the tenant's row has it, belongs
// to the private key.
func decodeSealBlob(c Context, public, plain []byte) (*OpeningKey, error) {
	b, err := body(c, 's', sealBlobSize, plain)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint16(b) != kemX25519 || binary.BigEndian.Uint32(b[2:]) != c.Version {
		return nil, fmt.Errorf("%w: %w", ErrIntegrity, errBlob)
	}
	private, err := kem().NewPrivateKey(b[6:38])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIntegrity, errBlob)
	}
	if !hmac.Equal(encodePublicKey(private.PublicKey()), public) {
		return nil, fmt.Errorf("%w: the tenant's public key is not that of its private key", ErrIntegrity)
	}
	return &OpeningKey{
		ingest:   &IngestKey{tenant: c.Tenant, key: newMACKey(b[38:70])},
		verifier: newMACKey(b[70:102]),
		version:  c.Version,
		private:  private,
	}, nil
}

func encodeSessionBlob(c Context, seeds []byte) []byte {
	return append(blobPrefix(c, 't', sessionBlobSize), seeds...)
}

// decodeSessionBlob also proves that public, as the tenant's row has them, belong
// to the private keys.
func decodeSessionBlob(c Context, public map[TokenKind][]byte, plain []byte) (*SigningKey, error) {
	seeds, err := body(c, 't', sessionBlobSize, plain)
	if err != nil {
		return nil, err
	}
	key := newSigningKey(seeds)
	if !maps.EqualFunc(key.public(), public, bytes.Equal) {
		return nil, fmt.Errorf("%w: the tenant's public keys for tokens are not those of its private keys", ErrIntegrity)
	}
	return key, nil
}

func decodeTokenKeys(public map[TokenKind][]byte) (map[TokenKind]ed25519.PublicKey, error) {
	keys := map[TokenKind]ed25519.PublicKey{}
	for kind, b := range public {
		if len(b) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: a public key for tokens of %d bytes", ErrFormat, len(b))
		}
		keys[kind] = bytes.Clone(b)
	}
	return keys, nil
}

func encodePublicKey(k hpke.PublicKey) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kemX25519), k.Bytes()...)
}

func decodePublicKey(b []byte) (hpke.PublicKey, error) {
	if len(b) != 2+keySize {
		return nil, fmt.Errorf("%w: a public key of %d bytes", ErrFormat, len(b))
	}
	if id := binary.BigEndian.Uint16(b); id != kemX25519 {
		return nil, fmt.Errorf("%w: a public key of KEM %#04x", ErrFormat, id)
	}
	k, err := kem().NewPublicKey(b[2:])
	if err != nil {
		return nil, fmt.Errorf("%w: a public key: %w", ErrFormat, err)
	}
	return k, nil
}
