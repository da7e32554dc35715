// Package secret holds the one type that a third-party key, a token or any
// other secret text is carried in: it prints as [redacted] wherever Go prints
// things, and says its content only when asked by name.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret text. The zero value is empty.
type Text struct {
	// The content is behind a function: package fmt calls no method of what an
	// unexported field holds, nor for %p or a misused verb, but prints whatever
	// it can reach. Of a function it can reach the address only. It also keeps
	// == from comparing anything.
	content func() []byte
}

// New takes ownership of b.
func New(b []byte) Text { return Text{func() []byte { return b }} }

// FromString copies s.
func FromString(s string) Text { return New([]byte(s)) }

// Reveal returns the content. The caller must neither keep nor change it.
func (t Text) Reveal() []byte {
	if t.content == nil {
		return nil
	}
	return t.content()
}

// Len is the length in bytes.
func (t Text) Len() int { return len(t.Reveal()) }

// Equal compares in constant time.
func (t Text) Equal(o Text) bool { return subtle.ConstantTimeCompare(t.Reveal(), o.Reveal()) == 1 }

// Last4 is the tail by which a user recognizes a key, or "" when the text is
// shorter than 8 bytes and so the tail would give too much of it away.
func (t Text) Last4() string {
	if t.Len() < 8 {
		return ""
	}
	return string(t.Reveal()[t.Len()-4:])
}

// Wipe overwrites the content. Best effort: Go may have made copies.
func (t Text) Wipe() { clear(t.Reveal()) }

// String implements fmt.Stringer.
func (Text) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Text) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb reaches the content.
func (Text) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, redacted) }

// LogValue implements slog.LogValuer.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and so JSON too.
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
