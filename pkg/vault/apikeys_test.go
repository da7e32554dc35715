package vault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/ident"
)

// keys makes so many API keys of the tenant that nobody has the tokens of.
func (a acme) keys(n int, change func(*apikey.Key)) (ids []string) {
	a.t.Helper()
	for range n {
		k := &apikey.Key{
			ID: ident.Clock(a.Clock.Now).New(ident.APIKeyPrefix), Tenant: a.tenant, Name: "one of many",
			Scopes: []apikey.Scope{apikey.Read}, CreatedAt: a.Clock.Now(),
		}
		change(k)
		if err := a.Store.SaveAPIKey(a.t.Context(), k); err != nil {
			a.t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	return ids
}

func TestATenantHasAThousandAPIKeysThatHoldAtMost(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	issue := func() boottest.Answer {
		return a.Do(a.token, "POST", "/keyvend/api_keys", `{"name":"more","scopes":["read"]}`)
	}
	a.keys(50, func(k *apikey.Key) { k.Revoke(a.Clock.Now()) })
	ids := a.keys(998, func(*apikey.Key) {})
	last := a.Must(http.StatusCreated, a.token, "POST", "/keyvend/api_keys", `{"name":"more","scopes":["read"],"expires_at":"`+a.Clock.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
	if got := issue(); got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Text("message"), "DELETE /keyvend/api_keys/{id}") {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	a.Key(a.tenant, "vend") // an operator's is issued whatever there is
	for _, id := range ids[:2] {
		a.Must(http.StatusNoContent, a.token, "DELETE", "/keyvend/api_keys/"+id, "")
	}
	if got := issue(); got.Status != http.StatusCreated {
		t.Errorf("one was revoked: %d %s", got.Status, got.Body)
	}
	if got := issue(); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Clock.Pass(2 * time.Hour)
	if got := issue(); got.Status != http.StatusCreated {
		t.Errorf("one has expired: %d %s", got.Status, got.Body)
	}
	if got := issue(); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := a.Do(last.Text("token"), "GET", "/keyvend/api_keys", ""); got.Status != http.StatusUnauthorized {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestBudget_APageOfAPIKeysReadsWhatItShowsHoweverManyThereAre(t *testing.T) {
	m := &meter{Table: embedded(t)}
	a := newAcme(t, boottest.Config{Engine: m})
	turn := 0
	all := a.keys(300, func(k *apikey.Key) {
		if turn++; turn%3 == 0 {
			k.Revoke(a.Clock.Now())
		}
	})
	token, _ := apikey.ParseToken(a.token)
	all = append(all, token.KeyID())
	slices.Sort(all)
	for _, order := range []string{"asc", "desc"} {
		var ids []string
		for after := ""; ; {
			var page listing
			took := m.of(func() {
				got := a.Must(http.StatusOK, a.token, "GET", fmt.Sprintf("/keyvend/api_keys?limit=7&order=%s&after=%s", order, after), "")
				if err := json.Unmarshal([]byte(got.Body), &page); err != nil {
					t.Fatal(err)
				}
			})
			if took.calls > 4 || took.rows > 3+3*7 { // who asks; both places; the keys
				t.Errorf("a page behind %q took %+v", after, took)
			}
			for _, k := range page.Data {
				ids = append(ids, k.ID)
			}
			if after = page.Metadata.After; after == "" {
				break
			}
		}
		if order == "desc" {
			slices.Reverse(ids)
		}
		if !slices.Equal(ids, all) {
			t.Errorf("%s: %d of %d, or in another order", order, len(ids), len(all))
		}
	}
}
