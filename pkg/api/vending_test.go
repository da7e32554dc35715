package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/seal"
	"keyvend/pkg/serve"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

func TestWhatIsSwitchedOffOrFrozenIsRefusedByTheNextVend(t *testing.T) {
	freeze := boottest.Row{"reason": "incident", "since": "2026-03-01T12:00:00Z"}
	for name, c := range map[string]struct {
		write func(a acme)
		code  string
		scope string // whom it is about: "all", or "org" alone
	}{
		"tenant frozen": {func(a acme) { a.Write(boottest.SettingsRow(a.tenant), boottest.Row{"freeze": freeze}) }, "frozen", "all"},
		"integration frozen": {func(a acme) {
			a.Edit(boottest.IntegrationRow(a.tenant, "openai"), func(r boottest.Row) { r["freeze"] = freeze })
		}, "frozen", "all"},
		"integration switched off": {func(a acme) {
			a.Edit(boottest.IntegrationRow(a.tenant, "openai"), func(r boottest.Row) { r["enabled"] = false })
		}, "data_integration_disabled", "all"},
		"organization frozen": {func(a acme) { a.Write(boottest.OrganizationRow(a.tenant, "org"), boottest.Row{"freeze": freeze}) }, "frozen", "org"},
		"switched off for the organization": {func(a acme) {
			id := a.Row(boottest.IntegrationRow(a.tenant, "openai"))["id"]
			a.Write(boottest.OverrideRow(a.tenant, "org", "openai"), boottest.Row{"integration_id": id, "enabled": false})
		}, "data_integration_disabled", "org"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			body := `{"user_id":"anna","organization_id":"org","secret":"` + key + `-org"}`
			a.Must(http.StatusOK, a.token, "PUT", upsertPath, body)
			inOrg := func() boottest.Answer {
				return a.Do(a.token, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna","organization_id":"org"}`)
			}
			a.vends(t, key)
			if got := inOrg(); got.Text("credential.value") != key+"-org" {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			c.write(a)
			if got := inOrg(); got.Status != http.StatusForbidden || got.Code() != c.code {
				t.Errorf("in the organization: %d %s", got.Status, got.Body)
			}
			if last := a.Audit.Last(); last.Outcome != c.code || last.Organization != "org" {
				t.Errorf("audit: %+v", last)
			}
			got := a.Vend(a.token, "openai", "anna")
			if c.scope == "org" && got.Status != http.StatusOK || c.scope == "all" && (got.Status != http.StatusForbidden || got.Code() != c.code) {
				t.Errorf("without organization: %d %s", got.Status, got.Body)
			}
			// Keys can be brought all the while.
			a.Must(http.StatusOK, a.token, "PUT", upsertPath, body)
		})
	}
}

func TestAnOverrideOfAnOlderRegistrationCountsForNothing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Write(boottest.OverrideRow(a.tenant, "org", "openai"), boottest.Row{"integration_id": "data_integration_old", "enabled": false})
	got := a.Do(a.token, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna","organization_id":"org"}`)
	if got.Status != http.StatusOK || got.Text("error") != "not_installed" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestAnAuditLineIsHandedOverForEveryVendAllowedOrDenied(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	manage := a.Key(a.tenant, "manage")
	a.Register(a.token, "stripe")
	a.Upsert(a.token, "stripe", "anna", key)
	a.Must(http.StatusOK, a.token, "PUT", "/user_management/users/anna/connected_accounts/stripe", `{"state":"needs_reauthorization"}`)
	for _, c := range []struct {
		token, slug, user, outcome string
		account                    bool
	}{
		{a.token, "openai", "anna", "vended", true},
		{a.token, "openai", "bob", "not_installed", false},
		{a.token, "stripe", "anna", "needs_reauthorization", true},
		{a.token, "linear", "anna", "unknown_integration", false},
		{manage, "openai", "anna", "insufficient_scope", false},
	} {
		before := len(a.Audit.Lines())
		got := a.Vend(c.token, c.slug, c.user)
		lines := a.Audit.Lines()[before:]
		if len(lines) != 1 {
			t.Errorf("%s: %d lines", c.outcome, len(lines))
			continue
		}
		line := lines[0]
		if line.Outcome != c.outcome || line.Tenant != a.tenant || line.APIKey != keyIDOf(c.token) || line.Slug != c.slug || line.User != c.user ||
			line.RequestID != got.Header.Get("X-Request-ID") || line.At.IsZero() || (line.AccountID != "") != c.account || (line.SecretID != "") != c.account {
			t.Errorf("%+v", line)
		}
	}
}

func TestReadYourWrites(t *testing.T) {
	a := newAcme(t, boottest.Config{Engine: tabletest.Lag(tabletest.NewMemory())}) // the index never catches up
	for _, secret := range []string{key + "-1", key + "-2", key + "-3"} {
		a.Upsert(a.token, "openai", "anna", secret)
		a.vends(t, secret)
	}
	a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/anna/connected_accounts/openai", "")
	if got := a.Vend(a.token, "openai", "anna"); got.Text("error") != "not_installed" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestADeletedAccountsSecretIsGoneFromTheTable(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/anna/connected_accounts/openai", "")
	if a.Has(boottest.AccountRow(a.tenant, "anna", "openai", "")) {
		t.Error("the row is there")
	}
	a.Must(http.StatusNotFound, a.token, "DELETE", "/user_management/users/anna/connected_accounts/openai", "")
	if again := a.Upsert(a.token, "openai", "anna", key); again.Text("id") == a.account {
		t.Error("the id comes back")
	}
}

// calls is how often each method of the table was used.
func calls(a acme) [3]int {
	return [3]int{a.Table.Calls(tabletest.Get), a.Table.Calls(tabletest.Query), a.Table.Calls(tabletest.Write)}
}

func TestBudget_AWarmVendIsOneReadNoWriteAndNoKMSCall(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusOK, a.token, "PUT", upsertPath, `{"user_id":"anna","organization_id":"org","secret":"`+key+`"}`)
	a.vends(t, key)
	for name, body := range map[string]string{
		"alone": `{"user_id":"anna"}`, "in an organization": `{"user_id":"anna","organization_id":"org"}`, "without a key": `{"user_id":"bob"}`,
	} {
		before, unwraps := calls(a), a.Wrapper.Unwraps()
		a.Must(http.StatusOK, a.token, "POST", "/data-integrations/openai/credentials", body)
		after := calls(a)
		if after != [3]int{before[0] + 1, before[1], before[2]} || a.Wrapper.Unwraps() != unwraps {
			t.Errorf("%s: calls %v, then %v; %d unwraps", name, before, after, a.Wrapper.Unwraps()-unwraps)
		}
	}
}

func TestBudget_AColdVendAddsOneReadAndOneKMSCall(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Handler = a.App.Whole()
	before, unwraps := calls(a), a.Wrapper.Unwraps()
	a.vends(t, key)
	if after := calls(a); after != [3]int{before[0] + 2, before[1], before[2]} || a.Wrapper.Unwraps() != unwraps+1 {
		t.Errorf("calls %v, then %v; %d unwraps", before, after, a.Wrapper.Unwraps()-unwraps)
	}
}

func TestBudget_AWarmUpsertIsOneReadAndOneWrite(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	before, unwraps := calls(a), a.Wrapper.Unwraps()
	a.Upsert(a.token, "openai", "anna", key+"-2")
	if after := calls(a); after != [3]int{before[0] + 1, before[1], before[2] + 1} || a.Wrapper.Unwraps() != unwraps {
		t.Errorf("calls %v, then %v; %d unwraps", before, after, a.Wrapper.Unwraps()-unwraps)
	}
}

// A transaction costs twice as much. Only a user's first key is worth one: nothing
// that is deleted when he leaves stands in its way.
func TestBudget_OnlyAFirstKeyIsATransaction(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, c := range []struct {
		tells, user string
		ops         int
	}{{"first", "bob", 2}, {"rotation", "bob", 1}, {"rotation", "anna", 1}} {
		ops := 0
		a.Table.Before(func(call tabletest.Call) bool {
			ops = len(call.Ops)
			return call.Method == tabletest.Write
		}, func() {})
		a.Upsert(a.token, "openai", c.user, key+"-"+c.tells)
		if ops != c.ops {
			t.Errorf("%s's %s: %d operations, want %d", c.user, c.tells, ops, c.ops)
		}
	}
}

func TestWithoutKeyCacheEachRequestIsOneUnwrap(t *testing.T) {
	a := newAcme(t, boottest.Config{TTL: -1})
	for range 3 {
		unwraps := a.Wrapper.Unwraps()
		a.vends(t, key)
		if n := a.Wrapper.Unwraps() - unwraps; n != 1 {
			t.Errorf("a vend: %d unwraps", n)
		}
		unwraps = a.Wrapper.Unwraps()
		a.Upsert(a.token, "openai", "anna", key)
		if n := a.Wrapper.Unwraps() - unwraps; n != 1 {
			t.Errorf("an upsert: %d unwraps", n)
		}
	}
	a.Wrapper.Wiped()
}

func TestBudget_AWarmVendAllocatesLittle(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	// Some 440 when this was written, the test's own recorder and request among
	// them; opening alone is 98.
	const bound = 800
	vend := func() {
		r := httptest.NewRequest("POST", "/data-integrations/openai/credentials", strings.NewReader(`{"user_id":"anna"}`))
		r.Header.Set("Authorization", "Bearer "+a.token)
		a.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if n := testing.AllocsPerRun(50, vend); n > bound {
		t.Errorf("%.0f allocations, more than %d", n, bound)
	}
}

// newKeyPair gives the tenant a second key pair.
func (a acme) newKeyPair(t *testing.T) {
	t.Helper()
	view, err := a.Store.Load(t.Context(), vault.Target{Tenant: a.tenant})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := a.Store.SealBlob(t.Context(), a.tenant, 1)
	if err != nil {
		t.Fatal(err)
	}
	ring := seal.NewRing(a.Wrapper, seal.Config{App: "keyvend", Environment: "test", KeyID: "fake"})
	next, nextBlob, err := ring.Rotate(t.Context(), view.Tenant.Keys, blob)
	if err != nil {
		t.Fatal(err)
	}
	second := boottest.SealBlobRow(a.tenant)
	second.SK = "KEYPAIR#2"
	a.Write(second, boottest.Row{"blob": nextBlob})
	a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["keys"] = next })
}

func TestF52_ASecretUnderAnOlderKeyVersionVendsForOneReadAndOneKMSCallMore(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.newKeyPair(t)
	a.Handler = a.App.Whole()
	before, unwraps := calls(a), a.Wrapper.Unwraps()
	a.vends(t, key)
	if after := calls(a); after != [3]int{before[0] + 3, before[1], before[2]} || a.Wrapper.Unwraps() != unwraps+2 {
		t.Errorf("cold: calls %v, then %v; %d unwraps", before, after, a.Wrapper.Unwraps()-unwraps)
	}
	before, unwraps = calls(a), a.Wrapper.Unwraps()
	a.vends(t, key)
	if after := calls(a); after != [3]int{before[0] + 1, before[1], before[2]} || a.Wrapper.Unwraps() != unwraps {
		t.Errorf("warm: calls %v, then %v; %d unwraps", before, after, a.Wrapper.Unwraps()-unwraps)
	}
	a.Upsert(a.token, "openai", "anna", key+"-2")
	sealed, err := seal.ParseHeader(a.sealed(t))
	if err != nil || sealed.KeyVersion != 2 {
		t.Errorf("sealed under version %d %v", sealed.KeyVersion, err)
	}
	a.vends(t, key+"-2")
}

// sealed is the ciphertext of anna's key.
func (a acme) sealed(t *testing.T) []byte {
	t.Helper()
	view, err := a.Store.Load(t.Context(), vault.Target{Tenant: a.tenant, Slug: "openai", User: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	return view.Account.Secrets[account.Current].Sealed
}

// event is an HTTP API event of payload format 2.0.
func event(t *testing.T, token, method, path, body string) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "body": body, "isBase64Encoded": false,
		"headers": map[string]string{"authorization": "Bearer " + token, "content-type": "application/json"},
		"requestContext": map[string]any{
			"domainName": "api.example.com", "stage": "$default", "requestId": "r",
			"http": map[string]string{"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// panicky is a table whose reads panic with a secret, when told.
type panicky struct {
	table.Table
	value any
}

func (p *panicky) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	if p.value != nil {
		panic(p.value)
	}
	return p.Table.Get(ctx, keys...)
}

func TestF46_APanicIsAClean500AndTheNextRequestIsServed(t *testing.T) {
	engine := &panicky{Table: tabletest.NewMemory()}
	a := newAcme(t, boottest.Config{Engine: engine})
	logged := captureStderr(t)
	lambda := serve.Handler(a.Handler)
	vend := event(t, a.token, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	var nilMap map[string]int
	for name, value := range map[string]any{
		"a text": key, "an error": json.Unmarshal([]byte("x"), &nilMap), "a struct": struct{ Secret string }{key}, "bytes": []byte(key),
	} {
		engine.value = value
		got, err := lambda(t.Context(), vend)
		if err != nil || got.StatusCode != http.StatusInternalServerError || strings.Contains(got.Body, boottest.Canary) || !json.Valid([]byte(got.Body)) {
			t.Errorf("%s: %d %s %v", name, got.StatusCode, got.Body, err)
		}
		engine.value = nil
		if got, err := lambda(t.Context(), vend); err != nil || got.StatusCode != http.StatusOK || !strings.Contains(got.Body, key) {
			t.Errorf("after %s: %d %s %v", name, got.StatusCode, got.Body, err)
		}
	}
	text := logged()
	if strings.Contains(text, boottest.Canary) {
		t.Errorf("F45: the log tells the panic's value: %s", text)
	}
	if strings.Count(text, `"alarm":"panic"`) != 4 {
		t.Errorf("alarms: %s", text)
	}
}

// captureStderr turns what is written to standard error into a file, for
// whoever opens it from now on, and returns what was written.
func captureStderr(t *testing.T) func() string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stderr")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	real := os.Stderr
	os.Stderr = file
	t.Cleanup(func() {
		os.Stderr = real
		_ = file.Close()
	})
	return func() string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestF54_AnInvocationThatIsNearlyOverIs503AndTouchesNothing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	before := calls(a)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	got, err := serve.Handler(a.Handler)(ctx, event(t, a.token, "PUT", upsertPath, upsertBody))
	if err != nil || got.StatusCode != http.StatusServiceUnavailable || got.Headers["Retry-After"] == "" {
		t.Errorf("%d %v %s %v", got.StatusCode, got.Headers, got.Body, err)
	}
	if calls(a) != before {
		t.Error("the table was used")
	}
	a.vends(t, key)
}
