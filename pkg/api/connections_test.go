package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
)

func TestAnAccountKeepsItsIDAcrossRotationsAndGetsANewOneAfterADelete(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusOK, a.token, "PUT", "/user_management/users/anna/connected_accounts/openai", `{"state":"needs_reauthorization"}`)
	if got := a.Vend(a.token, "openai", "anna"); got.Text("error") != "needs_reauthorization" || got.Text("active") != "false" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	made := a.Row(boottest.AccountRow(a.tenant, "anna", "openai", ""))["created_at"]
	a.Clock.Pass(time.Minute)
	got := a.Upsert(a.token, "openai", "anna", key+"-2")
	if got.Text("id") != a.account || got.Text("state") != "connected" || got.Text("created_at") == got.Text("updated_at") {
		t.Errorf("%s", got.Body)
	}
	if again := a.Row(boottest.AccountRow(a.tenant, "anna", "openai", ""))["created_at"]; again != made {
		t.Errorf("made at %v, then at %v", made, again)
	}
	a.vends(t, key+"-2")
	a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/anna/connected_accounts/openai", "")
	if got := a.Upsert(a.token, "openai", "anna", key); got.Text("id") == a.account {
		t.Error("the id comes back")
	}
}

func TestAddInstallsAndNeverReplaces(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	add := func(user, secret string, header ...string) boottest.Answer {
		return a.Do(a.token, "POST", upsertPath, `{"user_id":"`+user+`","secret":"`+secret+`","connection_intent":"add"}`, header...)
	}
	if got := add("anna", key+"-2"); got.Status != http.StatusNotFound || got.Code() != "multiple_connections_unavailable" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.vends(t, key)
	first, second := add("bob", key, "Idempotency-Key", "once"), add("bob", key, "Idempotency-Key", "once")
	if first.Status != http.StatusOK || face(first) != face(second) {
		t.Errorf("%s, then %s", face(first), face(second))
	}
	if got := a.Do(a.token, "POST", upsertPath, `{"user_id":"carl","secret":"x","connection_intent":"replace"}`); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	// Over the dead row of a removed registration it installs.
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/openai", "")
	a.Register(a.token, "openai")
	if got := add("anna", key+"-3"); got.Status != http.StatusOK || got.Text("id") == a.account {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.vends(t, key+"-3")
}

func TestAnAccountIsNamedByItsOwnIDOnly(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	bobs := a.Upsert(a.token, "openai", "bob", key).Text("id")
	upsert := func(id string) boottest.Answer {
		return a.Do(a.token, "PUT", upsertPath, `{"user_id":"anna","secret":"`+key+`-2","connected_account_id":"`+id+`"}`)
	}
	for _, id := range []string{bobs, "data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		if got := upsert(id); got.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", id, got.Status, got.Body)
		}
	}
	a.vends(t, key)
	if got := upsert(a.account); got.Status != http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.vends(t, key+"-2")
}

func TestWithAndWithoutOrganizationAreTwoAccounts(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	in := func(organization string) string {
		return `"user_id":"anna","organization_id":"` + organization + `"`
	}
	vend := func(organization string) boottest.Answer {
		return a.Do(a.token, "POST", "/data-integrations/openai/credentials", `{`+in(organization)+`}`)
	}
	if got := vend("org"); got.Text("error") != "not_installed" {
		t.Errorf("%s", got.Body)
	}
	for _, organization := range []string{"org", "-", "none", "org2"} {
		a.Must(http.StatusOK, a.token, "PUT", upsertPath, `{`+in(organization)+`,"secret":"`+key+`-`+organization+`"}`)
	}
	for _, organization := range []string{"org", "-", "none", "org2"} {
		if got := vend(organization); got.Text("credential.value") != key+"-"+organization {
			t.Errorf("%s: %s", organization, got.Body)
		}
	}
	a.vends(t, key)
	a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/anna/connected_accounts/openai?organization_id=org", "")
	if got := vend("org"); got.Text("error") != "not_installed" {
		t.Errorf("%s", got.Body)
	}
	a.vends(t, key)
}

func TestOAuthsEndpointsSayThatThisIsAnAPIKeyIntegration(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const connected = "/user_management/users/anna/connected_accounts/openai"
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/data-integrations/openai/authorize", `{"user_id":"anna"}`},
		{"POST", "/data-integrations/openai/token", `{"user_id":"anna"}`},
		{"PUT", "/data-integrations/openai/client-credentials", `{"user_id":"anna","client_id":"x"}`},
		{"POST", connected, `{"access_token":"x"}`},
		{"PUT", connected, `{"access_token":"x"}`},
		{"PUT", connected, `{"refresh_token":"x","state":"connected"}`},
		{"PUT", connected, `{"scopes":["a"]}`},
		{"PUT", "/data-integrations/openai", `{"credentials":{"type":"custom"}}`},
	} {
		got := a.Do(a.token, c.method, c.path, c.body)
		if got.Status != http.StatusUnprocessableEntity || got.Code() != "auth_method_mismatch" {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.Status, got.Body)
		}
		unknown := strings.Replace(c.path, "openai", "unknown", 1)
		if got := a.Do(a.token, c.method, unknown, c.body); c.path != "/data-integrations/openai" && c.method == "POST" && got.Status != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", c.method, unknown, got.Status, got.Body)
		}
	}
	for body, status := range map[string]int{`{"state":"disconnected"}`: 422, `{"state":""}`: 422, `{}`: 422, `{"state":"Connected"}`: 422, `{"state":1}`: 400} {
		if got := a.Do(a.token, "PUT", connected, body); got.Status != status {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
	a.vends(t, key)
}

func TestAUsersProvidersAreThoseThatAreOnForHimWithHisOwnAccount(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, slug := range []string{"stripe", "linear", "anthropic"} {
		a.Clock.Pass(time.Second)
		a.Register(a.token, slug)
	}
	a.Upsert(a.token, "stripe", "bob", key)
	a.Upsert(a.token, "anthropic", "anna", key)
	a.Must(http.StatusOK, a.token, "PUT", upsertPath, `{"user_id":"anna","organization_id":"org","secret":"`+key+`-org1"}`)
	a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/linear", `{"enabled":false}`)
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/anthropic", "") // anna's account there is dead
	a.Register(a.token, "anthropic")
	id := a.Row(boottest.IntegrationRow(a.tenant, "stripe"))["id"]
	a.Write(boottest.OverrideRow(a.tenant, "org", "stripe"), boottest.Row{"integration_id": id, "enabled": false})

	for query, want := range map[string]map[string]string{
		"":                     {"openai": "cdef", "stripe": "", "anthropic": ""},
		"?organization_id=org": {"openai": "org1", "anthropic": ""},
		"?organization_id=o2":  {"openai": "", "stripe": "", "anthropic": ""},
	} {
		var list struct {
			Data []struct {
				Slug    string
				Account *struct {
					Last4 string `json:"api_key_last_4"`
					User  string `json:"user_id"`
				} `json:"connected_account"`
			}
		}
		got := a.Must(http.StatusOK, a.token, "GET", "/user_management/users/anna/data_providers"+query, "")
		if err := json.Unmarshal([]byte(got.Body), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Data) != len(want) {
			t.Errorf("%q: %s", query, got.Body)
		}
		for _, row := range list.Data {
			last4, known := want[row.Slug]
			if !known || (row.Account != nil) != (last4 != "") || row.Account != nil && (row.Account.Last4 != last4 || row.Account.User != "anna") {
				t.Errorf("%q %s: %+v", query, row.Slug, row.Account)
			}
		}
	}
}

func TestAKeyThatComesWithARegistrationIsStoredWithItOrNotAtAll(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	got := a.Must(http.StatusCreated, a.token, "POST", "/data-integrations",
		`{"provider":"stripe","enabled":true,"auth_methods":["api_key"],"api_key":{"user_id":"anna","organization_id":"org","secret":"`+key+`"}}`)
	if got.Text("installation.user_id") != "anna" || got.Text("installation.organization_id") != "org" || got.Text("installation.api_key_last_4") != "cdef" {
		t.Errorf("%s", got.Body)
	}
	vend := a.Do(a.token, "POST", "/data-integrations/stripe/credentials", `{"user_id":"anna","organization_id":"org"}`)
	if vend.Text("credential.value") != key {
		t.Errorf("%s", vend.Body)
	}
	if got := a.Must(http.StatusOK, a.token, "GET", "/data-integrations/stripe", ""); got.Text("installation") != "" {
		t.Errorf("shown again: %s", got.Body)
	}
	refused := a.Do(a.token, "POST", "/data-integrations",
		`{"provider":"linear","auth_methods":["api_key"],"api_key":{"user_id":"anna","secret":"abcdef","config":{"no":"field"}}}`)
	if refused.Status != http.StatusUnprocessableEntity || a.Has(boottest.IntegrationRow(a.tenant, "linear")) {
		t.Errorf("%d %s", refused.Status, refused.Body)
	}
}
