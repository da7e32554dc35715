package operator_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/fault"
	"keyvend/pkg/operator"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/table/tabletest"
)

type desk = func(context.Context, operator.Request) (operator.Response, error)

func open(t *testing.T) (*boottest.World, desk) {
	t.Helper()
	w := boottest.New(t, boottest.Config{})
	return w, w.App.Tenants()
}

// refused fails the test unless err is of that kind, with a sentence for whoever asked.
func refused(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if f := fault.As(err); err == nil || f.Kind != kind || f.Message == "" {
		t.Errorf("%s: %v", what, err)
	}
}

func TestATenantIsMadeListedAndGivenKeysThatAreRevoked(t *testing.T) {
	w, ask := open(t)
	tenant := w.Operate(operator.Request{Action: operator.CreateTenant, Name: "acme prod"}).Tenant
	if tenant.Name != "acme prod" || tenant.Status != "active" || tenant.KeyVersion != 1 || !tenant.CreatedAt.Equal(w.Clock.Now()) {
		t.Errorf("%+v", tenant)
	}
	other := w.Operate(operator.Request{Action: operator.CreateTenant, Name: "acme staging"}).Tenant
	listed := w.Operate(operator.Request{Action: operator.ListTenants}).Tenants
	if len(listed) != 2 || !slices.Contains(listed, *tenant) || !slices.Contains(listed, *other) {
		t.Errorf("%+v", listed)
	}
	expires := w.Clock.Now().Add(time.Hour)
	issued := w.Operate(operator.Request{
		Action: operator.IssueAPIKey, Tenant: tenant.ID, Name: "backend", Scopes: []string{"vend", "manage", "vend"}, ExpiresAt: &expires,
	})
	if len(issued.APIKey.Scopes) != 2 || !issued.APIKey.ExpiresAt.Equal(expires) || !strings.HasPrefix(issued.Token, "sk_kv_") {
		t.Errorf("%+v", issued.APIKey)
	}
	w.Must(http.StatusOK, issued.Token, "GET", "/data-integrations", "")
	again := w.Operate(operator.Request{Action: operator.ListAPIKeys, Tenant: tenant.ID})
	if len(again.APIKeys) != 1 || again.Token != "" || again.APIKeys[0].ID != issued.APIKey.ID {
		t.Errorf("%+v", again)
	}
	if none := w.Operate(operator.Request{Action: operator.ListAPIKeys, Tenant: other.ID}).APIKeys; len(none) != 0 {
		t.Errorf("another tenant's: %+v", none)
	}
	revoke := operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant.ID, APIKey: issued.APIKey.ID}
	first := w.Operate(revoke).APIKey
	w.Must(http.StatusUnauthorized, issued.Token, "GET", "/data-integrations", "")
	w.Clock.Pass(time.Minute)
	if second := w.Operate(revoke).APIKey; !second.RevokedAt.Equal(first.RevokedAt) || first.RevokedAt.IsZero() {
		t.Errorf("revoked at %v, then at %v", first.RevokedAt, second.RevokedAt)
	}
	_, err := ask(t.Context(), operator.Request{Action: operator.RevokeAPIKey, Tenant: other.ID, APIKey: issued.APIKey.ID})
	refused(t, "another tenant's key", err, fault.NotFound)
}

func TestWhatAnOperatorMayNotAsk(t *testing.T) {
	w, ask := open(t)
	tenant := w.Tenant()
	past := w.Clock.Now()
	const nobody = "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"
	for name, c := range map[string]struct {
		request operator.Request
		kind    fault.Kind
	}{
		"nothing":                {operator.Request{}, fault.Invalid},
		"an unknown action":      {operator.Request{Action: "drop_table"}, fault.Invalid},
		"a nameless tenant":      {operator.Request{Action: operator.CreateTenant}, fault.Invalid},
		"a tenant's long name":   {operator.Request{Action: operator.CreateTenant, Name: strings.Repeat("x", 129)}, fault.Invalid},
		"a line break":           {operator.Request{Action: operator.CreateTenant, Name: "a\nb"}, fault.Invalid},
		"no scopes":              {operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "x"}, fault.Invalid},
		"an unknown scope":       {operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "x", Scopes: []string{"admin"}}, fault.Invalid},
		"a nameless key":         {operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Scopes: []string{"vend"}}, fault.Invalid},
		"an expiry that is over": {operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "x", Scopes: []string{"vend"}, ExpiresAt: &past}, fault.Invalid},
		"a key of nobody":        {operator.Request{Action: operator.IssueAPIKey, Tenant: nobody, Name: "x", Scopes: []string{"vend"}}, fault.NotFound},
		"a key of no id":         {operator.Request{Action: operator.IssueAPIKey, Tenant: "acme", Name: "x", Scopes: []string{"vend"}}, fault.NotFound},
		"nobody's keys":          {operator.Request{Action: operator.ListAPIKeys, Tenant: nobody}, fault.NotFound},
		"keys of no id":          {operator.Request{Action: operator.ListAPIKeys, Tenant: "a b"}, fault.NotFound},
		"revoking nothing":       {operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant}, fault.NotFound},
		"revoking no id":         {operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant, APIKey: "a key\n"}, fault.NotFound},
		"revoking of no id":      {operator.Request{Action: operator.RevokeAPIKey, Tenant: "a b", APIKey: "api_key_01ARZ3NDEKTSV4RRFFQ69G5FAV"}, fault.NotFound},
		"revoking a stranger":    {operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant, APIKey: "api_key_01ARZ3NDEKTSV4RRFFQ69G5FAV"}, fault.NotFound},
	} {
		writes := w.Table.Calls(tabletest.Write)
		answer, err := ask(t.Context(), c.request)
		refused(t, name, err, c.kind)
		if answer.Token != "" || answer.APIKey != nil || answer.Tenant != nil || w.Table.Calls(tabletest.Write) != writes {
			t.Errorf("%s: %+v", name, answer)
		}
	}
}

func TestAKeyWhoseRowMayNotBeStoredIsNotTold(t *testing.T) {
	w, ask := open(t)
	request := operator.Request{Action: operator.IssueAPIKey, Tenant: w.Tenant(), Name: "x", Scopes: []string{"vend"}}
	w.Table.FailStored(tabletest.Next(tabletest.Write))
	answer, err := ask(t.Context(), request)
	refused(t, "a lost answer", err, fault.Unavailable)
	if answer.Token != "" {
		t.Error("the token is told")
	}
}

func TestATenantWithoutKMSIsNotMade(t *testing.T) {
	w, ask := open(t)
	w.Wrapper.Always(sealtest.Fail(seal.ErrUnavailable))
	tenant := w.Tenant() // Wrap works
	_, err := w.App.Tenants()(t.Context(), operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "x", Scopes: []string{"vend"}})
	refused(t, "a key that vends", err, fault.Unavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	writes := w.Table.Calls(tabletest.Write)
	_, err = ask(ctx, operator.Request{Action: operator.CreateTenant, Name: "late"})
	refused(t, "a tenant", err, fault.Unavailable)
	if w.Table.Calls(tabletest.Write) != writes {
		t.Error("it was stored")
	}
}

func TestTwoRevocationsAtOnceBothSucceed(t *testing.T) {
	w, _ := open(t)
	tenant := w.Tenant()
	revoke := operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant}
	revoke.APIKey = w.Operate(operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "x", Scopes: []string{"vend"}}).APIKey.ID
	var inner *operator.APIKey
	w.Table.Before(tabletest.Next(tabletest.Write), func() {
		w.Clock.Pass(time.Second)
		inner = w.Operate(revoke).APIKey
	})
	if outer := w.Operate(revoke).APIKey; !outer.RevokedAt.Equal(inner.RevokedAt) {
		t.Errorf("revoked at %v and at %v", inner.RevokedAt, outer.RevokedAt)
	}
}

func TestARevocationWhoseAnswerWasLostIsRepeated(t *testing.T) {
	w, ask := open(t)
	tenant := w.Tenant()
	issued := w.Operate(operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "x", Scopes: []string{"manage"}})
	revoke := operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant, APIKey: issued.APIKey.ID}
	w.Table.FailStored(tabletest.Next(tabletest.Write))
	_, err := ask(t.Context(), revoke)
	refused(t, "a lost answer", err, fault.Unavailable)
	w.Must(http.StatusUnauthorized, issued.Token, "GET", "/data-integrations", "")
	w.Operate(revoke)
}
