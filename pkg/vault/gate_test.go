package vault

import (
	"context"
	"testing"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
)

// F42: what a stranger can time is the work that is done, of which the MACs are
// what counts; each makes the same number of objects.
func TestF42_AMissingRowCostsTheSameWorkAsOneThatProvesNothing(t *testing.T) {
	var clock ident.Clock
	ring := seal.NewRing(sealtest.NewWrapper(t), seal.Config{App: "keyvend", Environment: "test", KeyID: "fake"})
	tenant := clock.New(ident.TenantPrefix)
	material, blobs, err := ring.Create(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	opening, err := ring.Opening(t.Context(), material, 1, func(context.Context) ([]byte, error) { return blobs.Seal, nil })
	if err != nil {
		t.Fatal(err)
	}
	keys := Unlocked{Ingest: opening.Ingest(), Opening: opening}
	token, ok := apikey.NewToken(tenant, clock.New(ident.APIKeyPrefix), keys.Ingest)
	if !ok {
		t.Fatal("no token")
	}
	now := clock.Now()
	proven := func(row *apikey.Key, need apikey.Scope) bool {
		return ByAPIKey(token).proves(&Visit{View: View{APIKey: row}, Unlocked: keys}, need, now)
	}
	for _, need := range apikey.AllScopes() {
		row := &apikey.Key{Tenant: tenant, ID: token.KeyID(), Scopes: []apikey.Scope{need}}
		row.Sign(token, keys.Ingest, keys.Opening)
		if !proven(row, need) {
			t.Fatalf("%s: the row does not prove itself", need)
		}
		edited := *row
		edited.Name, edited.RowMAC = "edited", make([]byte, 32)
		if proven(&edited, need) || proven(nil, need) {
			t.Errorf("%s: let in", need)
		}
		right := testing.AllocsPerRun(100, func() { proven(row, need) })
		wrong := testing.AllocsPerRun(100, func() { proven(&edited, need) })
		missing := testing.AllocsPerRun(100, func() { proven(nil, need) })
		if wrong != right || missing < right || missing > right+2 { // a row to stand in for it
			t.Errorf("%s: %v objects for a good row, %v for a bad one, %v for none", need, right, wrong, missing)
		}
	}
}
