// Package sealtest holds what tests of sealing share: the conformance suite
// that every seal.Wrapper runs, and a scripted wrapper with teeth. It is
// imported by tests only.
package sealtest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"keyvend/pkg/seal"
)

// IngestContext is a complete context of the ingest purpose.
func IngestContext() seal.Context {
	return seal.Context{
		App: "keyvend", Environment: "test", Tenant: "acme", Purpose: seal.PurposeIngest, Version: 1,
		PublicKeys: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}
}

// SealContext is a complete context of the seal purpose.
func SealContext() seal.Context {
	return seal.Context{App: "keyvend", Environment: "test", Tenant: "acme", Purpose: seal.PurposeSeal, Version: 1}
}

// SessionContext is a complete context of the session purpose.
func SessionContext() seal.Context {
	return seal.Context{App: "keyvend", Environment: "test", Tenant: "acme", Purpose: seal.PurposeSession, Version: 1}
}

// contexts are one of each purpose.
func contexts() []seal.Context {
	return []seal.Context{IngestContext(), SealContext(), SessionContext()}
}

// Others returns contexts that differ from c in one field each, by name.
func Others(c seal.Context) map[string]seal.Context {
	vary := func(change func(*seal.Context)) seal.Context {
		other := c
		change(&other)
		return other
	}
	others := map[string]seal.Context{
		"app":         vary(func(c *seal.Context) { c.App += "x" }),
		"environment": vary(func(c *seal.Context) { c.Environment += "x" }),
		"tenant":      vary(func(c *seal.Context) { c.Tenant += "x" }),
		"version":     vary(func(c *seal.Context) { c.Version++ }),
		"public keys": vary(func(c *seal.Context) {
			if c.PublicKeys == "" {
				c.PublicKeys = "00"
			} else {
				c.PublicKeys = ""
			}
		}),
		"bytes moved between fields": vary(func(c *seal.Context) {
			c.App, c.Environment = c.App+c.Environment[:1], c.Environment[1:]
		}),
	}
	for _, other := range contexts() {
		if other.Purpose != c.Purpose {
			others["purpose, "+string(other.Purpose)] = vary(func(c *seal.Context) { c.Purpose = other.Purpose })
		}
	}
	return others
}

// Run checks a Wrapper against its contract. open makes a wrapper; two of one
// test share the wrapping key.
func Run(t *testing.T, open func(t *testing.T) seal.Wrapper) {
	t.Run("what was wrapped unwraps under the same context", func(t *testing.T) {
		w := open(t)
		for _, c := range contexts() {
			for _, n := range []int{1, 32, 136, 4096} {
				plain := bytes.Repeat([]byte{0xa5}, n)
				blob := wrap(t, w, c, plain)
				got, err := w.Unwrap(t.Context(), c, blob)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%s, %d bytes: got %d bytes, %v", c.Purpose, n, len(got), err)
				}
			}
		}
	})
	t.Run("the blob does not hold the plaintext", func(t *testing.T) {
		plain := []byte("canary-key-material-0123456789abcdef")
		if bytes.Contains(wrap(t, open(t), SealContext(), plain), plain) {
			t.Fatal("the plaintext lies in the blob")
		}
	})
	t.Run("two wraps of one plaintext differ", func(t *testing.T) {
		w := open(t)
		if bytes.Equal(wrap(t, w, SealContext(), []byte("same")), wrap(t, w, SealContext(), []byte("same"))) {
			t.Fatal("wrapping is deterministic")
		}
	})
	t.Run("F3 a blob opens under no other context", func(t *testing.T) {
		w := open(t)
		for _, c := range contexts() {
			blob := wrap(t, w, c, []byte("key material"))
			for name, other := range Others(c) {
				if got, err := w.Unwrap(t.Context(), other, blob); !errors.Is(err, seal.ErrIntegrity) || got != nil {
					t.Errorf("%s, another %s: got %d bytes, %v", c.Purpose, name, len(got), err)
				}
			}
		}
	})
	t.Run("F7 a blob that was changed does not open", func(t *testing.T) {
		w := open(t)
		c := SealContext()
		blob := wrap(t, w, c, bytes.Repeat([]byte{7}, 136))
		for i := range blob {
			changed := bytes.Clone(blob)
			changed[i] ^= 1 << (i % 8)
			refuses(t, w, c, changed, "byte %d flipped", i)
		}
		for _, n := range []int{0, 1, len(blob) / 2, len(blob) - 16, len(blob) - 1} {
			refuses(t, w, c, blob[:n], "cut to %d bytes", n)
		}
		refuses(t, w, c, append(bytes.Clone(blob), 0), "a byte appended")
		refuses(t, w, c, append([]byte{0}, blob...), "a byte before it")
		refuses(t, w, c, nil, "no blob")
		refuses(t, w, c, bytes.Repeat([]byte{1}, 8192), "8 KiB of something")
	})
	t.Run("another wrapper of the same key unwraps", func(t *testing.T) {
		a, b := open(t), open(t)
		got, err := b.Unwrap(t.Context(), SealContext(), wrap(t, a, SealContext(), []byte("shared")))
		if err != nil || string(got) != "shared" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
	t.Run("a context that is over is ErrUnavailable, and at once", func(t *testing.T) {
		w := open(t)
		blob := wrap(t, w, SealContext(), []byte("x"))
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		if _, err := w.Wrap(ctx, SealContext(), []byte("x")); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("Wrap: %v", err)
		}
		if _, err := w.Unwrap(ctx, SealContext(), blob); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("Unwrap: %v", err)
		}
	})
	t.Run("the caller's plaintext and blob stay as they were", func(t *testing.T) {
		w := open(t)
		plain := []byte("key material")
		blob := wrap(t, w, SealContext(), plain)
		if string(plain) != "key material" {
			t.Error("Wrap changed its plaintext")
		}
		kept := bytes.Clone(blob)
		got, err := w.Unwrap(t.Context(), SealContext(), blob)
		if err != nil {
			t.Fatal(err)
		}
		clear(got)
		if !bytes.Equal(blob, kept) {
			t.Error("wiping the result changed the blob")
		}
		if again, err := w.Unwrap(t.Context(), SealContext(), blob); err != nil || string(again) != "key material" {
			t.Errorf("after wiping the first result: %q, %v", again, err)
		}
	})
}

func wrap(t *testing.T, w seal.Wrapper, c seal.Context, plain []byte) []byte {
	t.Helper()
	blob, err := w.Wrap(t.Context(), c, plain)
	if err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	return blob
}

func refuses(t *testing.T, w seal.Wrapper, c seal.Context, blob []byte, format string, args ...any) {
	t.Helper()
	got, err := w.Unwrap(t.Context(), c, blob)
	permanent := errors.Is(err, seal.ErrIntegrity) || errors.Is(err, seal.ErrFormat) || errors.Is(err, seal.ErrRefused)
	if got != nil || !permanent {
		t.Errorf(format+": got %d bytes, %v", append(args, len(got), err)...)
	}
}
