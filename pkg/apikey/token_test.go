package apikey_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
)

// macer is a tenant's MAC key.
type macer string

func (m macer) MAC(use string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte(string(m)+"/"+use))
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(p))) // never fails (hash.Hash)
		h.Write(p)
	}
	return h.Sum(nil)
}

const (
	ingest   = macer("ingest key of tenant A")
	verifier = macer("vend verifier of tenant A")
)

var (
	tenantID = ident.TenantPrefix + ulid.ULID{1, 2, 3, 15: 4}.String()
	keyID    = ident.APIKeyPrefix + ulid.ULID{5, 6, 7, 15: 8}.String()
)

func newToken(t testing.TB) apikey.Token {
	t.Helper()
	token, ok := apikey.NewToken(tenantID, keyID, ingest)
	if !ok {
		t.Fatal("no token for good ids")
	}
	return token
}

func text(token apikey.Token) string { return string(token.Text().Reveal()) }

func TestATokenReadsBackAsWhatItWasMadeOf(t *testing.T) {
	token := newToken(t)
	if !strings.HasPrefix(text(token), "sk_kv_") || len(text(token)) != 106 {
		t.Errorf("%d characters: %.12s…", len(text(token)), text(token))
	}
	read, ok := apikey.ParseToken(text(token))
	if !ok {
		t.Fatal("a token does not parse")
	}
	if read.TenantID() != tenantID || read.KeyID() != keyID || text(read) != text(token) {
		t.Errorf("tenant %s key %s", read.TenantID(), read.KeyID())
	}
	if !read.Genuine(ingest) {
		t.Error("its tag does not hold")
	}
	if read.Genuine(macer("ingest key of tenant B")) {
		t.Error("its tag holds under another tenant's key")
	}
}

func TestNoTwoTokensAreTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		seen[text(newToken(t))] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different tokens of 1000", len(seen))
	}
}

func TestATokenIsMadeOfIdsOnly(t *testing.T) {
	for _, ids := range [][2]string{{"", keyID}, {tenantID, ""}, {keyID, tenantID}, {strings.ToLower(tenantID), keyID}, {tenantID, keyID + "0"}} {
		if _, ok := apikey.NewToken(ids[0], ids[1], ingest); ok {
			t.Errorf("a token of %q", ids)
		}
	}
}

func TestEveryChangedCharacterOfATokenIsRefused(t *testing.T) {
	good := text(newToken(t))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range good {
		for _, c := range alphabet + "=+/ \n.\x00" {
			if byte(c) == good[i] {
				continue
			}
			if _, ok := apikey.ParseToken(good[:i] + string(c) + good[i+1:]); ok {
				t.Errorf("character %d as %q parses", i, c)
			}
		}
	}
}

func TestATokenHasOneSpelling(t *testing.T) {
	good := text(newToken(t))
	bad := map[string]string{
		"empty": "", "prefix alone": "sk_kv_", "no prefix": good[6:], "other prefix": "sk-kv-" + good[6:],
		"upper prefix": "SK_KV_" + good[6:], "space before": " " + good, "space behind": good + " ",
		"line break behind": good + "\n", "padded": good + "==", "doubled": good + "," + good,
		"one short": good[:len(good)-1], "one long": good + "A",
		"line break within": good[:50] + "\n" + good[51:],
	}
	for name, text := range bad {
		if _, ok := apikey.ParseToken(text); ok {
			t.Errorf("%s parses", name)
		}
	}
	for n := range good {
		if _, ok := apikey.ParseToken(good[:n]); ok {
			t.Errorf("the first %d characters parse", n)
		}
	}
}

// remade is the token with some bytes of its binary form changed and a checksum
// that fits: what a forger who knows the format can make.
func remade(t testing.TB, token string, edit func(raw []byte)) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "sk_kv_"))
	if err != nil {
		t.Fatal(err)
	}
	edit(raw)
	signed := raw[:len(raw)-crc32.Size]
	binary.BigEndian.PutUint32(raw[len(signed):], crc32.ChecksumIEEE(signed))
	return "sk_kv_" + base64.RawURLEncoding.EncodeToString(raw)
}

func TestEveryFlippedBitBeforeTheChecksumBreaksTheTag(t *testing.T) {
	good := text(newToken(t))
	const signed = 71 // bytes: all but the checksum
	for bit := range signed * 8 {
		forged := remade(t, good, func(raw []byte) { raw[bit/8] ^= 1 << (bit % 8) })
		token, ok := apikey.ParseToken(forged)
		if bit < 8 && ok {
			t.Errorf("version byte with bit %d flipped parses", bit)
		}
		if ok && token.Genuine(ingest) {
			t.Errorf("genuine with bit %d flipped", bit)
		}
	}
}

func TestF5_TheClaimedTenantAndKeyAreCoveredByTheTag(t *testing.T) {
	good := text(newToken(t))
	other := ulid.ULID{9: 9}
	for name, at := range map[string]int{"tenant": 1, "key": 17} {
		token, ok := apikey.ParseToken(remade(t, good, func(raw []byte) { copy(raw[at:], other[:]) }))
		if !ok {
			t.Fatalf("%s: the forgery does not parse", name)
		}
		if token.Genuine(ingest) {
			t.Errorf("genuine with another %s", name)
		}
	}
}

func TestF45_ATokenPrintsAsItsKeyIDAndNothingElse(t *testing.T) {
	token := newToken(t)
	raw, _ := base64.RawURLEncoding.DecodeString(text(token)[6:])
	random := raw[33:55]
	held := struct{ token apikey.Token }{token}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Error("x", "token", token, "held", held)
	slog.New(slog.NewJSONHandler(&log, nil)).Error("x", "token", token, "held", held)
	out := log.String()
	for _, verb := range "vsdqxXtTpw" {
		for _, flag := range []string{"", "+", "#"} {
			out += fmt.Sprintf("%"+flag+string(verb), token) + fmt.Sprintf("%"+flag+string(verb), held)
		}
	}
	for _, spelling := range []string{
		text(token)[50:], fmt.Sprintf("%x", random), fmt.Sprintf("%X", random),
		strings.Trim(fmt.Sprint(random), "[]"), strings.Trim(fmt.Sprintf("%#v", random), "[]byte{}"), string(random),
	} {
		if strings.Contains(out, spelling) {
			t.Errorf("a printed token holds %q", spelling)
		}
	}
	if got := fmt.Sprint(token); got != keyID {
		t.Errorf("prints as %q, want its key id", got)
	}
}

// golden is a token that was given out once: what parsed then parses for ever.
const golden = "sk_kv_AQECAwAAAAAAAAAAAAAAAAQFBgcAAAAAAAAAAAAAAAAIsQIkDNwUwKjQZPUlrUBDY7etUpkIalUtnG2LLljDFyQ13TXySJ0yveR2"

func TestTheFormatOfTokensStays(t *testing.T) {
	token, ok := apikey.ParseToken(golden)
	if !ok || token.TenantID() != tenantID || token.KeyID() != keyID || !token.Genuine(ingest) {
		t.Errorf("parses %v as %s %s", ok, token.TenantID(), token.KeyID())
	}
}

func FuzzAPIKeyParse(f *testing.F) {
	const good = golden
	f.Add(good)
	f.Add(good[:105])
	f.Add("sk_kv_")
	f.Add(remade(f, good, func(raw []byte) { raw[40] ^= 1 }))
	f.Fuzz(func(t *testing.T, in string) {
		token, ok := apikey.ParseToken(in)
		if !ok {
			return
		}
		if text(token) != in {
			t.Errorf("%q parses and is spelt %q", in, text(token))
		}
		if in != good && token.Genuine(ingest) {
			t.Errorf("%q is genuine", in)
		}
		again, ok := apikey.ParseToken(text(token))
		if !ok || again.TenantID() != token.TenantID() || again.KeyID() != token.KeyID() {
			t.Error("does not read back")
		}
		if _, ok := ident.Parse(ident.TenantPrefix, token.TenantID()); !ok {
			t.Errorf("tenant id %q is none", token.TenantID())
		}
	})
}
