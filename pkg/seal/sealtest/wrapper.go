package sealtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"keyvend/pkg/seal"
)

// Wrapper is an in-memory seal.Wrapper that fails the test when it is misused:
// by an incomplete context, by a purpose with fields of the other one, or by an
// Unwrap without a deadline, for which somebody would wait for ever. It is safe
// for concurrent use.
type Wrapper struct {
	t        testing.TB
	aead     cipher.AEAD
	harmless bool // for the conformance suite, which misuses on purpose

	mu      sync.Mutex
	wraps   int
	unwraps int
	given   [][]byte
	faults  []Fault
	always  Fault
}

// Fault stands in for one Unwrap. unwrap does the unwrapping itself.
type Fault func(ctx context.Context, unwrap func() ([]byte, error)) ([]byte, error)

// Fail is the fault that answers err.
func Fail(err error) Fault {
	return func(context.Context, func() ([]byte, error)) ([]byte, error) { return nil, err }
}

// Answer is the fault that answers whatever edit makes of the plaintext.
func Answer(edit func(plain []byte) []byte) Fault {
	return func(_ context.Context, unwrap func() ([]byte, error)) ([]byte, error) {
		plain, err := unwrap()
		if err != nil {
			return nil, err
		}
		return edit(plain), nil
	}
}

// NewWrapper makes a Wrapper with a random key.
func NewWrapper(t testing.TB) *Wrapper {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &Wrapper{t: t, aead: aead}
}

// On lets the next Unwraps meet the given faults, one each, in order.
func (w *Wrapper) On(faults ...Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, faults...)
}

// Always lets every Unwrap meet f, after what On scripted. nil ends it.
func (w *Wrapper) Always(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.always = f
}

// Unwraps is how often Unwrap was called.
func (w *Wrapper) Unwraps() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unwraps
}

// Wraps is how often Wrap was called.
func (w *Wrapper) Wraps() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wraps
}

// Wiped fails the test if a plaintext that Unwrap gave has not been wiped.
func (w *Wrapper) Wiped() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.given {
		for _, b := range p {
			if b != 0 {
				w.t.Errorf("sealtest: plaintext %d of %d was not wiped", i+1, len(w.given))
				break
			}
		}
	}
}

// Wrap implements seal.Wrapper.
func (w *Wrapper) Wrap(ctx context.Context, c seal.Context, plaintext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", seal.ErrUnavailable, err)
	}
	w.bite(c)
	if len(plaintext) == 0 || len(plaintext) > 4096 {
		w.t.Errorf("sealtest: Wrap of %d bytes", len(plaintext))
	}
	w.mu.Lock()
	w.wraps++
	w.mu.Unlock()
	return w.aead.Seal(nil, nil, plaintext, c.Canonical()), nil
}

// Unwrap implements seal.Wrapper.
func (w *Wrapper) Unwrap(ctx context.Context, c seal.Context, blob []byte) ([]byte, error) {
	w.bite(c)
	if _, bounded := ctx.Deadline(); !bounded && !w.harmless {
		w.t.Error("sealtest: Unwrap without a deadline")
	}
	fault := w.count()
	unwrap := func() ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: %w", seal.ErrUnavailable, err)
		}
		plain, err := w.aead.Open(nil, nil, blob, c.Canonical())
		if err != nil {
			return nil, fmt.Errorf("%w: does not unwrap", seal.ErrIntegrity)
		}
		return plain, nil
	}
	if fault == nil {
		return w.give(unwrap())
	}
	return w.give(fault(ctx, unwrap))
}

func (w *Wrapper) count() Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unwraps++
	if len(w.faults) > 0 {
		f := w.faults[0]
		w.faults = w.faults[1:]
		return f
	}
	return w.always
}

func (w *Wrapper) give(plain []byte, err error) ([]byte, error) {
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.given = append(w.given, plain)
	}
	return plain, err
}

// bite fails the test for a context that KMS's key policy could not judge.
func (w *Wrapper) bite(c seal.Context) {
	complete := c.App != "" && c.Environment != "" && c.Tenant != "" && c.Version != 0
	switch c.Purpose {
	case seal.PurposeIngest:
		complete = complete && len(c.PublicKeys) == 64
	case seal.PurposeSeal, seal.PurposeSession:
		complete = complete && c.PublicKeys == ""
	default:
		complete = false
	}
	if !complete && !w.harmless {
		w.t.Errorf("sealtest: misused with the context %+v", c)
	}
}
