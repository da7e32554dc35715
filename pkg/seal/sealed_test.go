package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
)

// bindings returns bindings that differ from b in one field each.
func bindings(b seal.Binding) map[string]seal.Binding {
	vary := func(change func(*seal.Binding)) seal.Binding {
		other := b
		change(&other)
		return other
	}
	return map[string]seal.Binding{
		"tenant":          vary(func(b *seal.Binding) { b.Tenant = "globex" }),
		"integration":     vary(func(b *seal.Binding) { b.IntegrationID = "data_integration_02" }),
		"slug":            vary(func(b *seal.Binding) { b.Slug = "stripe" }),
		"owner kind":      vary(func(b *seal.Binding) { b.OwnerKind = "organization" }),
		"user":            vary(func(b *seal.Binding) { b.User = "user_2" }),
		"organization":    vary(func(b *seal.Binding) { b.Organization = "org_2" }),
		"no organization": vary(func(b *seal.Binding) { b.Organization = "" }),
		"auth method":     vary(func(b *seal.Binding) { b.AuthMethod = "oauth" }),
		"check host":      vary(func(b *seal.Binding) { b.CheckHost = "evil.example.com" }),
		"no check host":   vary(func(b *seal.Binding) { b.CheckHost = "" }),
		"placement":       vary(func(b *seal.Binding) { b.CheckPlacement = "query" }),
		"shifted bytes":   vary(func(b *seal.Binding) { b.Slug, b.OwnerKind = b.Slug+b.OwnerKind[:1], b.OwnerKind[1:] }),
	}
}

// covers returns covers that differ from c in one fact each.
func covers(c seal.Cover) map[string]seal.Cover {
	vary := func(change func(*seal.Cover)) seal.Cover {
		other := c
		other.Config = maps.Clone(c.Config)
		change(&other)
		return other
	}
	return map[string]seal.Cover{
		"slot":           vary(func(c *seal.Cover) { c.Slot = "previous" }),
		"last four":      vary(func(c *seal.Cover) { c.Last4 = "aaaa" }),
		"fingerprint":    vary(func(c *seal.Cover) { c.Fingerprint = []byte("another") }),
		"expiry":         vary(func(c *seal.Cover) { c.ExpiresAt = c.ExpiresAt.Add(time.Second) }),
		"no expiry":      vary(func(c *seal.Cover) { c.ExpiresAt = time.Time{} }),
		"1970":           vary(func(c *seal.Cover) { c.ExpiresAt = time.Unix(0, 0) }),
		"config value":   vary(func(c *seal.Cover) { c.Config["region"] = "us" }),
		"config key":     vary(func(c *seal.Cover) { delete(c.Config, "region"); c.Config["zone"] = "eu" }),
		"config more":    vary(func(c *seal.Cover) { c.Config["more"] = "" }),
		"config less":    vary(func(c *seal.Cover) { delete(c.Config, "region") }),
		"no config":      vary(func(c *seal.Cover) { c.Config = nil }),
		"config by none": vary(func(c *seal.Cover) { c.ConfigByReader = false }),
		"shifted bytes":  vary(func(c *seal.Cover) { c.Slot, c.Last4 = c.Slot+"c", "def" }),
	}
}

func wantSecret(t *testing.T, k *seal.OpeningKey, b seal.Binding, c seal.Cover, s seal.Sealed) {
	t.Helper()
	got, err := k.Open(b, c, s)
	if err != nil || string(got.Reveal()) != canary {
		t.Fatalf("does not open: %v", err)
	}
}

func refuse(t *testing.T, k *seal.OpeningKey, b seal.Binding, c seal.Cover, s seal.Sealed, want ...error) {
	t.Helper()
	got, err := k.Open(b, c, s)
	if got.Len() != 0 {
		t.Fatalf("gave %d bytes of plaintext", got.Len())
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Fatalf("want one of %v, got %v", want, err)
}

func TestASealedSecretOpensForItsOwnBindingAndCover(t *testing.T) {
	x := newTenant(t)
	s := x.seal()
	wantSecret(t, x.opening(1), x.binding(), cover(), s)
	if bytes.Contains(s.Secret, []byte(canary)) {
		t.Fatal("the plaintext lies in the sealed secret")
	}
	if again := x.seal(); bytes.Equal(again.Secret, s.Secret) {
		t.Fatal("sealing is deterministic")
	}
}

func TestExpiryIsCoveredToTheSecondInAnyZone(t *testing.T) {
	x := newTenant(t)
	s := x.seal()
	c := cover()
	c.ExpiresAt = c.ExpiresAt.In(time.FixedZone("", 3600)).Add(999 * time.Millisecond)
	wantSecret(t, x.opening(1), x.binding(), c, s)
}

func TestF2_ASecretCopiedToAnotherRowDoesNotOpen(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	for name, b := range bindings(x.binding()) {
		t.Run(name, func(t *testing.T) { refuse(t, k, b, cover(), s, seal.ErrIntegrity) })
	}
}

func TestF2_ASecretCopiedToAnotherRowDoesNotOpenEvenWithARightMAC(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	for name, b := range bindings(x.binding()) {
		t.Run(name, func(t *testing.T) {
			refuse(t, k, b, cover(), k.Ingest().Remake(b, cover(), s.Secret), seal.ErrIntegrity)
		})
	}
}

func TestF2_ASecretOfAnotherTenantDoesNotOpen(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	b := y.binding()
	b.Tenant = x.Tenant
	refuse(t, y.opening(1), y.binding(), cover(), x.seal(), seal.ErrIntegrity)
	refuse(t, y.opening(1), x.binding(), cover(), x.seal(), seal.ErrIntegrity)
	if _, err := y.ingest().Seal(x.binding(), secretID, cover(), secret.FromString(canary)); !errors.Is(err, seal.ErrIntegrity) {
		t.Fatalf("sealed for another tenant: %v", err)
	}
}

func TestOpenFailsForAnyOtherCover(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	for name, c := range covers(cover()) {
		t.Run(name, func(t *testing.T) { refuse(t, k, x.binding(), c, s, seal.ErrIntegrity) })
	}
}

func TestF7_EveryFlippedBitOfASealedSecretAndItsMACIsAnError(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	for bit := range len(s.Secret) * 8 {
		changed := bytes.Clone(s.Secret)
		changed[bit/8] ^= 1 << (bit % 8)
		refuse(t, k, x.binding(), cover(), seal.Sealed{Secret: changed, MAC: s.MAC}, seal.ErrIntegrity, seal.ErrFormat)
		// The encryption holds by itself, too.
		remade := k.Ingest().Remake(x.binding(), cover(), changed)
		refuse(t, k, x.binding(), cover(), remade, seal.ErrIntegrity, seal.ErrFormat, seal.ErrKeyVersion)
	}
	for bit := range len(s.MAC) * 8 {
		changed := bytes.Clone(s.MAC)
		changed[bit/8] ^= 1 << (bit % 8)
		refuse(t, k, x.binding(), cover(), seal.Sealed{Secret: s.Secret, MAC: changed}, seal.ErrIntegrity)
	}
}

func TestF7_ATruncatedOrLongerSealedSecretOrMACIsAnError(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	try := func(secret, mac []byte) {
		t.Helper()
		refuse(t, k, x.binding(), cover(), seal.Sealed{Secret: secret, MAC: mac}, seal.ErrIntegrity, seal.ErrFormat)
	}
	for n := range len(s.Secret) {
		try(s.Secret[:n], s.MAC)
		try(s.Secret[n+1:], s.MAC)
		remade := k.Ingest().Remake(x.binding(), cover(), s.Secret[:n])
		try(remade.Secret, remade.MAC)
	}
	for n := range len(s.MAC) {
		try(s.Secret, s.MAC[:n])
	}
	for b := range 256 {
		longer := append(bytes.Clone(s.Secret), byte(b))
		try(longer, s.MAC)
		try(longer, k.Ingest().Remake(x.binding(), cover(), longer).MAC)
		try(s.Secret, append(bytes.Clone(s.MAC), byte(b)))
	}
	try(append(bytes.Clone(s.Secret), make([]byte, 64<<10)...), s.MAC)
}

func TestParseHeaderTakesOnlyLengthsThatSealMakes(t *testing.T) {
	x := newTenant(t)
	header := x.seal().Secret[:seal.HeaderSize]
	for n, ok := range map[int]bool{0: false, 24: false, 72: false, 73: true, 8264: true, 8265: false} {
		b := make([]byte, max(n, len(header)))
		copy(b, header)
		if _, err := seal.ParseHeader(b[:n]); ok != (err == nil) || (!ok && !errors.Is(err, seal.ErrFormat)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestF9_AnUnknownFormatVersionKEMOrFlagIsErrFormat(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	for name, change := range map[string]func(b []byte){
		"format version 0": func(b []byte) { b[0] = 0 },
		"format version 2": func(b []byte) { b[0] = 2 },
		"another KEM":      func(b []byte) { b[2] = 0x10 },
		"ML-KEM hybrid":    func(b []byte) { b[1], b[2] = 0x64, 0x7a },
		"an unknown flag":  func(b []byte) { b[23] |= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			changed := bytes.Clone(s.Secret)
			change(changed)
			refuse(t, k, x.binding(), cover(), seal.Sealed{Secret: changed, MAC: s.MAC}, seal.ErrFormat)
		})
	}
}

func TestF9_ASecretUnderAnotherKeyVersionIsErrKeyVersion(t *testing.T) {
	x := newTenant(t)
	old := x.seal()
	x.rotate()
	refuse(t, x.opening(2), x.binding(), cover(), old, seal.ErrKeyVersion)
	wantSecret(t, x.opening(1), x.binding(), cover(), old)

	h, err := seal.ParseHeader(x.seal().Secret)
	if err != nil || h.KeyVersion != 2 {
		t.Fatalf("after the rotation sealed under version %d, %v", h.KeyVersion, err)
	}
	delete(x.PublicKeys, 1)
	delete(x.SealHashes, 1)
	calls := x.wrapper.Unwraps()
	if _, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrKeyVersion) {
		t.Fatalf("a deleted version: %v", err)
	}
	if x.wrapper.Unwraps() != calls {
		t.Fatal("asked the wrapper for a deleted version")
	}
}

func TestF56_APlantedSecretDoesNotOpen(t *testing.T) {
	x := newTenant(t)
	// The attacker knows the public key and the binding, and has a ring of his
	// own; what he lacks is the tenant's ingest key.
	attacker := newTenant(t)
	planted := attacker.seal()
	k := x.opening(1)
	refuse(t, k, x.binding(), cover(), planted, seal.ErrIntegrity)
	for name, mac := range map[string][]byte{"no MAC": nil, "zeros": make([]byte, 32), "the MAC of another secret": x.seal().MAC} {
		t.Run(name, func(t *testing.T) {
			refuse(t, k, x.binding(), cover(), seal.Sealed{Secret: planted.Secret, MAC: mac}, seal.ErrIntegrity)
		})
	}
}

func TestF59_AnotherSlotsSecretOrAnotherSecretIDDoesNotOpen(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	staged := cover()
	staged.Slot = "staged"
	refuse(t, k, x.binding(), staged, s, seal.ErrIntegrity)

	changed := bytes.Clone(s.Secret)
	changed[7]++ // the first byte of the secret id
	refuse(t, k, x.binding(), cover(), seal.Sealed{Secret: changed, MAC: s.MAC}, seal.ErrIntegrity)
	refuse(t, k, x.binding(), cover(), k.Ingest().Remake(x.binding(), cover(), changed), seal.ErrIntegrity)
}

func TestMoveTakesASecretToAnotherSlotWithoutOpeningIt(t *testing.T) {
	x := newTenant(t)
	s, k := x.seal(), x.opening(1)
	previous := cover()
	previous.Slot = "previous"
	moved, err := k.Ingest().Move(x.binding(), cover(), previous, s)
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, k, x.binding(), previous, moved)
	refuse(t, k, x.binding(), cover(), moved, seal.ErrIntegrity)
	if !bytes.Equal(moved.Secret, s.Secret) {
		t.Fatal("moving changed the ciphertext")
	}
	if err := k.Ingest().Verify(x.binding(), previous, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Ingest().Move(x.binding(), previous, cover(), s); !errors.Is(err, seal.ErrIntegrity) {
		t.Fatalf("moved what was not there: %v", err)
	}
}

func TestASecretSealedBeforeACheckHostWasSetOpensAndSaysSo(t *testing.T) {
	x := newTenant(t)
	before := x.binding()
	before.CheckHost, before.CheckPlacement = "", "header"
	s, err := x.ingest().Seal(before, secretID, cover(), secret.FromString(canary))
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, x.opening(1), x.binding(), cover(), s)
	if h, err := seal.ParseHeader(s.Secret); err != nil || h.CheckHostBound || h.SecretID != secretID {
		t.Fatalf("header %+v, %v", h, err)
	}
	if h, err := seal.ParseHeader(x.seal().Secret); err != nil || !h.CheckHostBound {
		t.Fatalf("header %+v, %v", h, err)
	}
}

func TestSecretsOfOneByteToEightKiBSeal(t *testing.T) {
	x := newTenant(t)
	k, o := x.ingest(), x.opening(1)
	for n, ok := range map[int]bool{0: false, 1: true, seal.MaxSecret: true, seal.MaxSecret + 1: false} {
		plain := bytes.Repeat([]byte{'k'}, n)
		s, err := k.Seal(x.binding(), secretID, cover(), secret.New(plain))
		if !ok {
			if !errors.Is(err, seal.ErrFormat) {
				t.Errorf("%d bytes: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		got, err := o.Open(x.binding(), cover(), s)
		if err != nil || !bytes.Equal(got.Reveal(), plain) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestKeysThatOnlyAuthenticateDoNotSeal(t *testing.T) {
	x := newTenant(t)
	fromOpening := x.opening(1).Ingest()
	recalled, ok := x.ring.Recall(x.Tenant)
	if !ok {
		t.Fatal("not in memory")
	}
	for _, k := range []*seal.IngestKey{fromOpening, recalled} {
		if _, err := k.Seal(x.binding(), secretID, cover(), secret.FromString(canary)); !errors.Is(err, seal.ErrKeyVersion) {
			t.Errorf("got %v", err)
		}
		if !bytes.Equal(k.MAC("use", []byte("a")), x.ingest().MAC("use", []byte("a"))) {
			t.Error("another MAC than the ingest key's")
		}
	}
}

func TestMACsOfOtherUsesPartsTenantsAndPurposesDiffer(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	p := func(parts ...string) [][]byte {
		b := make([][]byte, 0, len(parts))
		for _, s := range parts {
			b = append(b, []byte(s))
		}
		return b
	}
	macs := map[string][]byte{
		"a bc":       x.ingest().MAC("one", p("a", "bc")...),
		"ab c":       x.ingest().MAC("one", p("ab", "c")...),
		"abc":        x.ingest().MAC("one", p("abc")...),
		"abc, empty": x.ingest().MAC("one", p("abc", "")...),
		"nothing":    x.ingest().MAC("one"),
		"two":        x.ingest().MAC("two", p("abc")...),
		"verifier":   x.opening(1).MAC("one", p("abc")...),
		"globex":     y.ingest().MAC("one", p("abc")...),
	}
	seen := map[string]string{}
	for name, mac := range macs {
		if len(mac) != 32 {
			t.Fatalf("%s: %d bytes", name, len(mac))
		}
		if other, ok := seen[string(mac)]; ok {
			t.Errorf("%s and %s have the same MAC", name, other)
		}
		seen[string(mac)] = name
	}
	x.rotate()
	if !bytes.Equal(x.ingest().MAC("one", p("abc")...), macs["abc"]) || !bytes.Equal(x.opening(2).MAC("one", p("abc")...), macs["verifier"]) {
		t.Error("rotating the key pair changed the MACs")
	}
}

func TestF45_KeysNeverPrintTheirBytes(t *testing.T) {
	x := newTenant(t)
	ingest, opening := x.ingest(), x.opening(1)
	raw := ingest.KeyBytes()
	forms := []string{fmt.Sprintf("%x", raw), fmt.Sprintf("%v", raw), fmt.Sprintf("%#v", raw), string(raw)}
	var log bytes.Buffer
	for _, v := range []any{ingest, *ingest, opening, *opening} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", v)
	}
	for _, form := range forms {
		if strings.Contains(log.String(), form) {
			t.Fatal("a key was printed")
		}
	}
}
