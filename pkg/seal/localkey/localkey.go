// Package localkey guards key material with a master key in a file: for a
// laptop, where there is no KMS. Whoever reads the file and the table reads
// every secret, so it refuses to work inside Lambda.
package localkey

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"keyvend/pkg/seal"
)

// The refusals of Open.
var (
	// ErrInLambda: a master key file has no place in AWS; use KMS.
	ErrInLambda = errors.New("localkey: refused inside Lambda: use KMS")
	// ErrPermissions: others than the owner can get at the file.
	ErrPermissions = errors.New("localkey: the master key file must be a regular file with mode 0600")
	// ErrSize: the file is no master key, or was not written whole.
	ErrSize = errors.New("localkey: the master key file must hold exactly 32 bytes")
)

// A wrapped blob:
//
//	offset length
//	     0      1  format version, 1
//	     1      8  id of the master key
//	     9     12  nonce
//	    21  n + 16 AES-256-GCM ciphertext and tag; the canonical context is the
//	               additional data, together with the 9 bytes before the nonce
const (
	version  = 1
	keySize  = 32
	idSize   = 8
	overhead = 1 + idSize + 12 + 16
	maxPlain = 4096
)

// Key is an opened master key. It implements seal.Wrapper.
type Key struct {
	aead cipher.AEAD
	id   [idSize]byte
}

var _ seal.Wrapper = (*Key)(nil)

// Open reads the master key at path, and makes a random one with mode 0600
// when there is none. inLambda says that this process runs inside Lambda.
//
// ErrInLambda, ErrPermissions, ErrSize, or the error of the file system.
func Open(path string, inLambda bool) (*Key, error) {
	if inLambda {
		return nil, ErrInLambda
	}
	master, err := read(path)
	if errors.Is(err, os.ErrNotExist) {
		master, err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("localkey: master key %s: %w", path, err)
	}
	defer clear(master)
	return newKey(master)
}

func newKey(master []byte) (*Key, error) {
	wrapping, err := hkdf.Key(sha256.New, master, nil, "keyvend/localkey/wrap/1", keySize)
	if err != nil {
		return nil, fmt.Errorf("localkey: deriving the wrapping key: %w", err)
	}
	defer clear(wrapping)
	id, err := hkdf.Key(sha256.New, master, nil, "keyvend/localkey/id/1", idSize)
	if err != nil {
		return nil, fmt.Errorf("localkey: deriving the key id: %w", err)
	}
	block, err := aes.NewCipher(wrapping)
	if err != nil {
		return nil, fmt.Errorf("localkey: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("localkey: %w", err)
	}
	return &Key{aead: aead, id: [idSize]byte(id)}, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Windows has no such mode bits: Go reports 0666 for every file there.
	if !info.Mode().IsRegular() || (runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0) {
		return nil, fmt.Errorf("%w: it is %v", ErrPermissions, info.Mode())
	}
	master, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return nil, err
	}
	if len(master) != keySize {
		clear(master)
		return nil, ErrSize
	}
	return master, nil
}

// create never writes over a file: losing a master key loses every secret.
func create(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	master := make([]byte, keySize)
	if _, err = rand.Read(master); err == nil {
		_, err = f.Write(master)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		clear(master)
		return nil, errors.Join(err, os.Remove(path))
	}
	return master, nil
}

// KeyID names the master key without telling anything of it, for seal.Config.
func (k *Key) KeyID() string { return "local:" + hex.EncodeToString(k.id[:]) }

// Format implements fmt.Formatter: a key prints as its id.
func (k *Key) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, k.KeyID()) }

// Wrap implements seal.Wrapper.
func (k *Key) Wrap(ctx context.Context, c seal.Context, plaintext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", seal.ErrUnavailable, err)
	}
	if len(plaintext) == 0 || len(plaintext) > maxPlain {
		return nil, fmt.Errorf("%w: %d bytes to wrap", seal.ErrFormat, len(plaintext))
	}
	blob := append(make([]byte, 0, overhead+len(plaintext)), version)
	blob = append(blob, k.id[:]...)
	return k.aead.Seal(blob, nil, plaintext, additional(blob, c)), nil //nolint:gosec // this AEAD draws its nonces itself
}

// Unwrap implements seal.Wrapper.
func (k *Key) Unwrap(ctx context.Context, c seal.Context, blob []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", seal.ErrUnavailable, err)
	}
	if len(blob) <= overhead || blob[0] != version {
		return nil, fmt.Errorf("%w: not a blob of a local key", seal.ErrFormat)
	}
	head, box := blob[:1+idSize], blob[1+idSize:]
	if !hmac.Equal(head[1:], k.id[:]) {
		return nil, fmt.Errorf("%w: wrapped under the master key local:%x, this one is %s", seal.ErrIntegrity, head[1:], k.KeyID())
	}
	plain, err := k.aead.Open(nil, nil, box, additional(head, c))
	if err != nil {
		return nil, fmt.Errorf("%w: a wrapped blob does not open under its context", seal.ErrIntegrity)
	}
	return plain, nil
}

// additional is injective: head has one length only.
func additional(head []byte, c seal.Context) []byte {
	return append(append(make([]byte, 0, 256), head...), c.Canonical()...)
}
