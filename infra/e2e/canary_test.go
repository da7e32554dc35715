package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// canary is in every secret that the suite stores, and in nothing else that it
// sends.
const canary = "canary"

// serial numbers secrets, so that no two have the same last four characters
// within one test.
var serial atomic.Uint32

// newSecret is a secret like no other.
func newSecret() string {
	return fmt.Sprintf("sk-%s-%s-%04d", canary, rand.Text(), serial.Add(1)%10000)
}

// traces are what a canary looks like in plain text and in the encodings in
// which it might leave by mistake.
func traces() [][]byte {
	text := []byte(canary)
	found := [][]byte{text, []byte(hex.EncodeToString(text)), []byte(strings.ToUpper(hex.EncodeToString(text)))}
	for shift := range 3 { // where in a group of three bytes the text begins
		padded := append(make([]byte, shift), text...)
		encoded := base64.StdEncoding.EncodeToString(padded)
		from := (shift*8 + 5) / 6 // characters that depend on what goes before
		to := len(padded) * 8 / 6 // and on what follows
		found = append(found, []byte(encoded[from:to]))
	}
	return found
}

// leak is the neighbourhood of a canary in text, or "".
func leak(text []byte) string {
	for _, trace := range traces() {
		if at := bytes.Index(text, trace); at >= 0 {
			return string(text[max(0, at-80):min(len(text), at+80)])
		}
	}
	return ""
}

// noCanary fails if a stored secret shows anywhere in k.
func noCanary(t testing.TB, k *target) {
	t.Helper()
	if found := leak(k.written(t)); found != "" {
		t.Errorf("a secret was written to a log: …%q…", found)
	}
	pieces := k.stored(t)
	if len(pieces) == 0 {
		t.Error("nothing is stored: this test sees nothing")
	}
	for _, piece := range pieces {
		if found := leak(piece); found != "" {
			t.Errorf("a secret lies in storage in plain text: …%q…", found)
		}
	}
}

func TestLeakFindsCanariesInEveryEncoding(t *testing.T) {
	for shift := range 3 {
		text := strings.Repeat("x", shift) + "sk-canary-1234"
		for name, encoded := range map[string]string{
			"plain":  text,
			"base64": base64.StdEncoding.EncodeToString([]byte(text)),
			"hex":    hex.EncodeToString([]byte(text)),
		} {
			if leak([]byte("{"+encoded+"}")) == "" {
				t.Errorf("%s, %d bytes in: not found", name, shift)
			}
		}
	}
	if found := leak([]byte("a harmless sentence")); found != "" {
		t.Errorf("found %q in a harmless sentence", found)
	}
}
