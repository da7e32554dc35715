package account_test

import (
	"reflect"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/integration"
	"keyvend/pkg/seal"
)

func TestF6_AnAccountBelongsToOneRegistrationOnly(t *testing.T) {
	in := &integration.Integration{ID: "data_integration_new", Slug: "openai"}
	if !(&account.Account{IntegrationID: "data_integration_new"}).Of(in) {
		t.Error("an account is not its integration's")
	}
	for name, a := range map[string]*account.Account{
		"an older registration": {IntegrationID: "data_integration_old", Slug: "openai"},
		"none":                  {Slug: "openai"},
		"no account":            nil,
	} {
		if a.Of(in) {
			t.Errorf("an account of %s is this one's", name)
		}
	}
	if (&account.Account{}).Of(nil) || (*account.Account)(nil).Of(nil) {
		t.Error("an account is nobody's integration's")
	}
}

func TestABindingNamesAllThatASecretBelongsTo(t *testing.T) {
	in := &integration.Integration{
		ID: "integration", Tenant: "tenant", Slug: "slug", AuthMethod: integration.APIKey,
		Custom: &integration.CustomProvider{Check: &catalog.Check{
			URL: "https://api.example.com/me", Placement: catalog.Placement{In: "header", Name: "X-Key", Template: "{key}"},
		}},
	}
	got := account.Binding(in, account.User("user", "organization"))
	want := seal.Binding{
		Tenant: "tenant", IntegrationID: "integration", Slug: "slug", OwnerKind: "user", User: "user",
		Organization: "organization", AuthMethod: "api_key", CheckHost: "15:api.example.com", CheckPlacement: "6:header5:x-key5:{key}",
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	full(t, got)
	in.Custom.Check = nil
	if got := account.Binding(in, account.User("user", "")); got.CheckHost != "" || got.CheckPlacement != "" {
		t.Errorf("%+v", got)
	}
	in.Custom = nil
	if got := account.Binding(in, account.User("user", "")); got.CheckHost != "" || got.CheckPlacement != "" || got.Organization != "" {
		t.Errorf("%+v", got)
	}
}

func TestACoverNamesAllThatMayBeToldOfASecret(t *testing.T) {
	s := account.Secret{Last4: "cdef", Fingerprint: []byte{1}, ExpiresAt: time.Unix(1, 0)}
	got := s.Cover(account.Current, &account.Account{Config: map[string]string{"region": "eu"}, ConfigByReader: true})
	full(t, got)
	if got.Slot != "current" || got.Last4 != s.Last4 || !got.ExpiresAt.Equal(s.ExpiresAt) || got.Config["region"] != "eu" {
		t.Errorf("%+v", got)
	}
}

// full fails when a field of a struct is not set: a field that is added to the
// seal package and forgotten here would be bound to nothing.
func full(t *testing.T, v any) {
	t.Helper()
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if s.Field(i).IsZero() {
			t.Errorf("%s.%s is not set", s.Type(), s.Type().Field(i).Name)
		}
	}
}
