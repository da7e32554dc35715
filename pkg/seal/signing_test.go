package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"

	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
)

func (x *tenant) sign(ctx context.Context) (*seal.SigningKey, error) {
	return x.ring.Signing(ctx, x.Material, read(x.session))
}

func (x *tenant) signing() *seal.SigningKey {
	x.t.Helper()
	k, err := x.sign(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	return k
}

var message = []byte("header.claims")

func TestWhatATenantSignsItsIngestKeyProvesForThatKindAndNoOther(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	kinds := []seal.TokenKind{seal.WidgetToken, seal.DashboardSession}
	for _, kind := range kinds {
		signature := x.signing().Sign(kind, message)
		for _, other := range kinds {
			if got := x.ingest().Signed(other, message, signature); got != (other == kind) {
				t.Errorf("signed as %s, proved as %s: %v", kind, other, got)
			}
		}
		if y.ingest().Signed(kind, message, signature) {
			t.Errorf("%s: another tenant's key proves it", kind)
		}
		if x.ingest().Signed(kind, []byte("other.claims"), signature) || x.ingest().Signed(kind, message, nil) || x.ingest().Signed(kind, message, signature[1:]) {
			t.Errorf("%s: another message or signature is proved", kind)
		}
		for bit := range len(signature) * 8 {
			flipped := bytes.Clone(signature)
			flipped[bit/8] ^= 1 << (bit % 8)
			if x.ingest().Signed(kind, message, flipped) {
				t.Fatalf("%s: bit %d flipped", kind, bit)
			}
		}
	}
	if x.signing().Sign("other", message) != nil || x.ingest().Signed("other", message, make([]byte, 64)) {
		t.Error("a kind that there is not signs or proves")
	}
	if k := x.opening(1).Ingest(); k.Signed(seal.WidgetToken, message, x.signing().Sign(seal.WidgetToken, message)) {
		t.Error("a key of the seal purpose proves tokens, which its blob says nothing of")
	}
}

func TestARecalledKeyProvesTokensToo(t *testing.T) {
	x := newTenant(t)
	signature := x.signing().Sign(seal.WidgetToken, message)
	if _, ok := x.ring.Recall(x.Tenant); ok {
		t.Fatal("the signing key alone makes a tenant known")
	}
	x.ingest()
	k, ok := x.ring.Recall(x.Tenant)
	if !ok || !k.Signed(seal.WidgetToken, message, signature) {
		t.Errorf("recalled: %v", ok)
	}
}

func TestF3_ASessionBlobUnwrapsForItsTenantAndPurposeAlone(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	for name, blob := range map[string][]byte{
		"another tenant's": y.session, "the ingest blob": x.IngestBlob, "the seal blob": x.blobs[1], "nothing": nil,
	} {
		if k, err := x.ring.Signing(t.Context(), x.Material, read(blob)); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	m := copyOf(x.Material)
	m.IngestBlob = x.session
	if k, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrIntegrity) || k != nil {
		t.Errorf("a session blob for the ingest blob: %v, %v", k, err)
	}
}

func TestF7_EveryChangedBitOfASessionBlobIsAnError(t *testing.T) {
	x := newTenant(t)
	try := func(blob []byte) {
		t.Helper()
		if k, err := x.ring.Signing(t.Context(), x.Material, read(blob)); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Fatalf("%v, %v", k, err)
		}
	}
	for bit := range len(x.session) * 8 {
		changed := bytes.Clone(x.session)
		changed[bit/8] ^= 1 << (bit % 8)
		try(changed)
	}
	for n := range len(x.session) {
		try(x.session[:n])
	}
	try(append(bytes.Clone(x.session), 0))
}

func TestF19_AWrapperThatAnswersWithOtherKeysIsRefused(t *testing.T) {
	x := newTenant(t)
	for name, edit := range map[string]func([]byte) []byte{
		"another seed":  func(p []byte) []byte { p[40] ^= 1; return p },
		"another owner": func(p []byte) []byte { p[2] ^= 1; return p },
		"another kind":  func(p []byte) []byte { p[1] = 'i'; return p },
		"too short":     func(p []byte) []byte { return p[:len(p)-1] },
		"too long":      func(p []byte) []byte { return append(p, 0) },
	} {
		x.wrapper.On(sealtest.Answer(edit))
		if k, err := x.sign(t.Context()); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	x.signing()
}

func TestF57_AReplacedKeyForTokensIsRefusedBeforeAnythingIsProved(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	for name, edit := range map[string]func(seal.Material){
		"replaced":      func(m seal.Material) { m.TokenKeys[seal.WidgetToken] = y.TokenKeys[seal.WidgetToken] },
		"swapped":       func(m seal.Material) { m.TokenKeys[seal.WidgetToken] = m.TokenKeys[seal.DashboardSession] },
		"taken away":    func(m seal.Material) { delete(m.TokenKeys, seal.DashboardSession) },
		"all taken":     func(m seal.Material) { clear(m.TokenKeys) },
		"added":         func(m seal.Material) { m.TokenKeys["other"] = y.TokenKeys[seal.WidgetToken] },
		"a flipped bit": func(m seal.Material) { m.TokenKeys[seal.WidgetToken][0] ^= 1 },
		"cut":           func(m seal.Material) { m.TokenKeys[seal.WidgetToken] = m.TokenKeys[seal.WidgetToken][1:] },
	} {
		m := copyOf(x.Material)
		m.TokenKeys = map[seal.TokenKind][]byte{}
		for kind, key := range x.TokenKeys {
			m.TokenKeys[kind] = bytes.Clone(key)
		}
		edit(m)
		if k, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Errorf("%s: ingest: %v, %v", name, k, err)
		}
		if k, err := x.ring.Signing(t.Context(), m, read(x.session)); err == nil || k != nil {
			t.Errorf("%s: signing: %v, %v", name, k, err)
		}
	}
	x.ingest()
}

func TestARotationKeepsTheKeysForTokens(t *testing.T) {
	x := newTenant(t)
	signature := x.signing().Sign(seal.WidgetToken, message)
	before := maps.Clone(x.TokenKeys)
	x.rotate()
	if !maps.EqualFunc(before, x.TokenKeys, bytes.Equal) {
		t.Error("they changed")
	}
	if !x.ingest().Signed(seal.WidgetToken, message, signature) || !x.ingest().Signed(seal.WidgetToken, message, x.signing().Sign(seal.WidgetToken, message)) {
		t.Error("a token of before or of after is not proved")
	}
}

func TestATenantWithoutKeysForTokensSignsAndProvesNone(t *testing.T) {
	x := newTenant(t)
	m := copyOf(x.Material)
	m.TokenKeys = nil
	calls := x.wrapper.Unwraps()
	if k, err := x.ring.Signing(t.Context(), m, read(x.session)); !errors.Is(err, seal.ErrKeyVersion) || k != nil {
		t.Errorf("%v, %v", k, err)
	}
	if x.wrapper.Unwraps() != calls {
		t.Error("the wrapper was asked")
	}
}

func TestF18_FiveHundredConcurrentSignersOfAColdTenantAreOneUnwrap(t *testing.T) {
	x := newTenant(t)
	calls := x.wrapper.Unwraps()
	release := make(chan struct{})
	x.wrapper.On(func(_ context.Context, unwrap func() ([]byte, error)) ([]byte, error) {
		<-release
		return unwrap()
	})
	var group sync.WaitGroup
	for range 500 {
		group.Go(func() {
			if _, err := x.sign(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	group.Wait()
	if got := x.wrapper.Unwraps() - calls; got != 1 {
		t.Errorf("%d unwraps", got)
	}
	x.wrapper.Wiped()
}

func TestF16_ASigningKeyIsNotUsedBeyondItsTime(t *testing.T) {
	x := newTenant(t)
	x.signing()
	x.wrapper.Always(sealtest.Fail(fmt.Errorf("%w: connection refused", seal.ErrUnavailable)))
	x.clock.pass(ttl - 1)
	x.signing()
	x.clock.pass(1)
	if _, err := x.sign(t.Context()); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("after its time: %v", err)
	}
}

func TestF45_ASigningKeyPrintsNothingOfItself(t *testing.T) {
	k := newTenant(t).signing()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "value", *k)
	text := fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, *k) + log.String()
	if strings.Count(text, "[redacted]") != 8 {
		t.Error(text)
	}
}
