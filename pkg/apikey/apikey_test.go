package apikey_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newKey(t *testing.T, token apikey.Token, scopes ...apikey.Scope) *apikey.Key {
	t.Helper()
	k := &apikey.Key{
		ID: keyID, Tenant: tenantID, Name: "backend", Scopes: scopes,
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), IssuedBy: "api_key_issuer", InSession: true,
	}
	k.Sign(token, ingest, verifier)
	return stored(t, k)
}

// stored is the row as it comes back from the table.
func stored(t *testing.T, k *apikey.Key) *apikey.Key {
	t.Helper()
	doc, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	back := &apikey.Key{ID: k.ID, Tenant: k.Tenant}
	if err := json.Unmarshal(doc, back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestARowProvesItselfForItsOwnTokenAlone(t *testing.T) {
	token := newToken(t)
	k := newKey(t, token, apikey.Manage, apikey.Vend)
	if !k.Proves(token, ingest) || !k.ProvesVend(token, verifier) {
		t.Fatal("a stored row does not prove itself")
	}
	if another := newToken(t); k.Proves(another, ingest) || k.ProvesVend(another, verifier) {
		t.Error("proves itself for another token of the same ids")
	}
	if k.Proves(token, macer("other")) || k.ProvesVend(token, macer("other")) {
		t.Error("proves itself under another key")
	}
	if k.Proves(token, verifier) || k.ProvesVend(token, ingest) {
		t.Error("the two proofs stand in for each other")
	}
}

func TestAKeyThatDoesNotVendHasNoSecondProof(t *testing.T) {
	token := newToken(t)
	k := newKey(t, token, apikey.Manage)
	if k.VendMAC != nil || k.ProvesVend(token, verifier) {
		t.Error("a key without vend proves itself for vending")
	}
}

func TestF58_ForgedOrEditedRowsDoNotProveThemselves(t *testing.T) {
	token := newToken(t)
	for name, edit := range map[string]func(*apikey.Key){
		"scope added":         func(k *apikey.Key) { k.Scopes = append(k.Scopes, apikey.Read) },
		"scope removed":       func(k *apikey.Key) { k.Scopes = k.Scopes[:1] },
		"scopes replaced":     func(k *apikey.Key) { k.Scopes = []apikey.Scope{apikey.Vend} },
		"scopes out of order": func(k *apikey.Key) { slices.Reverse(k.Scopes) },
		"scope twice":         func(k *apikey.Key) { k.Scopes = append(k.Scopes, apikey.Vend) },
		"no scopes":           func(k *apikey.Key) { k.Scopes = nil },
		"expiry later":        func(k *apikey.Key) { k.ExpiresAt = k.ExpiresAt.Add(time.Nanosecond) },
		"expiry earlier":      func(k *apikey.Key) { k.ExpiresAt = k.ExpiresAt.Add(-time.Hour) },
		"never expires":       func(k *apikey.Key) { k.ExpiresAt = time.Time{} },
		"another issuer":      func(k *apikey.Key) { k.IssuedBy += "0" },
		"not in a session":    func(k *apikey.Key) { k.InSession = false },
		"by an operator":      func(k *apikey.Key) { k.IssuedBy, k.InSession = "", false },
		"another tenant":      func(k *apikey.Key) { k.Tenant += "0" },
		"another id":          func(k *apikey.Key) { k.ID += "0" },
		"no proof":            func(k *apikey.Key) { k.RowMAC, k.VendMAC = nil, nil },
		"empty proof":         func(k *apikey.Key) { k.RowMAC, k.VendMAC = []byte{}, []byte{} },
		"proofs exchanged":    func(k *apikey.Key) { k.RowMAC, k.VendMAC = k.VendMAC, k.RowMAC },
		"cut proofs":          func(k *apikey.Key) { k.RowMAC, k.VendMAC = k.RowMAC[:31], k.VendMAC[:31] },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t, token, apikey.Manage, apikey.Vend)
			edit(k)
			if k.Proves(token, ingest) {
				t.Error("proves itself")
			}
			if k.ProvesVend(token, verifier) {
				t.Error("proves itself for vending")
			}
		})
	}
}

func TestF58_EveryFlippedBitOfAProofBreaksIt(t *testing.T) {
	token := newToken(t)
	k := newKey(t, token, apikey.Vend)
	for bit := range len(k.RowMAC) * 8 {
		k.RowMAC[bit/8] ^= 1 << (bit % 8)
		k.VendMAC[bit/8] ^= 1 << (bit % 8)
		if k.Proves(token, ingest) || k.ProvesVend(token, verifier) {
			t.Errorf("proves itself with bit %d flipped", bit)
		}
		k.RowMAC[bit/8] ^= 1 << (bit % 8)
		k.VendMAC[bit/8] ^= 1 << (bit % 8)
	}
}

func TestTheNameIsNoPartOfTheProof(t *testing.T) {
	token := newToken(t)
	k := newKey(t, token, apikey.Vend)
	k.Name = "renamed"
	if !k.Proves(token, ingest) || !k.ProvesVend(token, verifier) {
		t.Error("a label ends the key")
	}
}

func TestF44_AKeyIsUsableUntilTheMomentOfItsExpiry(t *testing.T) {
	k := &apikey.Key{ExpiresAt: now}
	for offset, want := range map[time.Duration]bool{-time.Nanosecond: true, 0: false, time.Nanosecond: false, -24 * time.Hour: true} {
		if got := k.Usable(now.Add(offset)); got != want {
			t.Errorf("%v from expiry: usable %v", offset, got)
		}
	}
	if !(&apikey.Key{}).Usable(now.AddDate(1000, 0, 0)) {
		t.Error("a key without expiry expires")
	}
}

func TestF44_ARevokedKeyIsOfNoUseEvenWithItsRevocationErased(t *testing.T) {
	token := newToken(t)
	k := newKey(t, token, apikey.Manage, apikey.Vend)
	k.Revoke(now)
	if k.Usable(now) || k.Usable(now.Add(-time.Hour)) {
		t.Error("usable")
	}
	k = stored(t, k)
	k.RevokedAt = time.Time{}
	if k.Proves(token, ingest) || k.ProvesVend(token, verifier) {
		t.Error("a revoked row proves itself")
	}
}

func TestF60_NoScopeIncludesVend(t *testing.T) {
	includes := map[apikey.Scope][]apikey.Scope{
		apikey.Vend:   {apikey.Vend},
		apikey.Manage: {apikey.Manage, apikey.Read, apikey.Widget},
		apikey.Read:   {apikey.Read},
		apikey.Widget: {apikey.Widget},
	}
	for _, held := range apikey.AllScopes() {
		k := apikey.Key{Scopes: []apikey.Scope{held}}
		for _, need := range apikey.AllScopes() {
			if got, want := k.Allows(need), slices.Contains(includes[held], need); got != want {
				t.Errorf("%s allows %s: %v", held, need, got)
			}
		}
		if k.Allows("") || k.Allows("everything") {
			t.Errorf("%s allows what is no scope", held)
		}
	}
	if (&apikey.Key{}).Allows(apikey.Read) {
		t.Error("a key without scopes may read")
	}
	if (&apikey.Key{Scopes: []apikey.Scope{"manage vend", "Vend", "*"}}).Allows(apikey.Vend) {
		t.Error("what is like vend is vend")
	}
}

func TestScopesHaveOneForm(t *testing.T) {
	got, err := apikey.ParseScopes([]string{"widget", "vend", "manage", "vend", "read"})
	if err != nil || !slices.Equal(got, apikey.AllScopes()) {
		t.Errorf("%v, %v", got, err)
	}
	for _, names := range [][]string{nil, {}, {""}, {"Vend"}, {"vend", "admin"}, {"vend "}} {
		if _, err := apikey.ParseScopes(names); fault.As(err).Kind != fault.Invalid {
			t.Errorf("%q: %v", names, err)
		}
	}
}
