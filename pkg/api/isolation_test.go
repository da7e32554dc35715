package api_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/ident"
	"keyvend/pkg/operator"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

const key = boottest.Canary + "0123456789abcdef"

// acme is a tenant that registered openai, with a key of user anna.
type acme struct {
	*boottest.World
	tenant, token, account string
}

func newAcme(t testing.TB, cfg boottest.Config) acme {
	t.Helper()
	w := boottest.New(t, cfg)
	a := acme{World: w, tenant: w.Tenant()}
	a.token = w.Key(a.tenant, "vend", "manage")
	w.Register(a.token, "openai")
	a.account = w.Upsert(a.token, "openai", "anna", key).Text("id")
	return a
}

// other is another tenant of the same world, with the same provider.
func (a acme) other() (tenant, token string) {
	tenant = a.Tenant()
	token = a.Key(tenant, "vend", "manage")
	a.Register(token, "openai")
	return tenant, token
}

// vends fails the test unless anna's key is vended.
func (a acme) vends(t *testing.T, want string) {
	t.Helper()
	if got := a.Vend(a.token, "openai", "anna"); got.Text("credential.value") != want {
		t.Errorf("vend: %d %s", got.Status, got.Body)
	}
}

// face is all that a caller sees of an answer, but its request id.
func face(a boottest.Answer) string {
	header := a.Header.Clone()
	header.Del("X-Request-ID")
	lines := fmt.Sprintln(a.Status, a.Body)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		lines += fmt.Sprintln(name, header[name])
	}
	return lines
}

func TestF1_AnotherTenantsAccountLooksLikeNone(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	tenantB, tokenB := a.other()
	a.Register(a.token, "stripe") // B has no stripe
	ask := func(slug, user string) []boottest.Answer {
		account := "/user_management/users/" + user + "/connected_accounts/" + slug
		return []boottest.Answer{
			a.Vend(tokenB, slug, user),
			a.Do(tokenB, "GET", account, ""),
			a.Do(tokenB, "PUT", account, `{"state":"connected"}`),
			a.Do(tokenB, "DELETE", account, ""),
			a.Do(tokenB, "GET", "/data-integrations/"+slug, ""),
			a.Do(tokenB, "DELETE", "/user_management/users/"+user+"/connected_accounts/"+slug+"?organization_id=o", ""),
		}
	}
	hers, nobodys := ask("openai", "anna"), ask("openai", "nobody")
	if hers[0].Text("error") != "not_installed" || hers[0].Status != http.StatusOK {
		t.Errorf("%d %s", hers[0].Status, hers[0].Body)
	}
	stripes, unknowns := ask("stripe", "anna"), ask("no-such-slug", "anna")
	for i := range hers {
		if face(hers[i]) != face(nobodys[i]) {
			t.Errorf("request %d: %s differs from %s", i, face(hers[i]), face(nobodys[i]))
		}
		if face(stripes[i]) != face(unknowns[i]) || stripes[i].Status != http.StatusNotFound {
			t.Errorf("request %d: %s differs from %s", i, face(stripes[i]), face(unknowns[i]))
		}
	}
	var outcomes []string
	for _, line := range a.Audit.Lines() {
		if line.Tenant != tenantB || line.AccountID != "" || line.SecretID != "" {
			t.Errorf("audit: %+v", line)
		}
		outcomes = append(outcomes, line.Outcome)
	}
	if want := []string{"not_installed", "not_installed", "unknown_integration", "unknown_integration"}; !slices.Equal(outcomes, want) {
		t.Errorf("audit: %v", outcomes)
	}
	a.vends(t, key)
}

// forge is a token with its ids replaced and a checksum that fits.
func forge(t testing.TB, token, tenant, keyID string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "sk_kv_"))
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := ident.Parse(ident.TenantPrefix, tenant); ok {
		copy(raw[1:], u[:])
	}
	if u, ok := ident.Parse(ident.APIKeyPrefix, keyID); ok {
		copy(raw[17:], u[:])
	}
	raw[40] ^= 1 // the random part
	binary.BigEndian.PutUint32(raw[71:], crc32.ChecksumIEEE(raw[:71]))
	return "sk_kv_" + base64.RawURLEncoding.EncodeToString(raw)
}

// keyIDOf is the id of the API key that token is.
func keyIDOf(token string) string {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "sk_kv_"))
	if err != nil || len(raw) < 33 {
		return "no token"
	}
	return ident.APIKeyPrefix + ulid.ULID(raw[17:33]).String()
}

// tracer records the shape of every call of a table.
type tracer struct {
	table.Table
	mu    sync.Mutex
	calls []string
}

func (r *tracer) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	shape := "Get"
	for _, k := range keys {
		shape += " " + k.PK[:1] + "/" + k.SK
	}
	r.note(shape)
	return r.Table.Get(ctx, keys...)
}

func (r *tracer) Query(ctx context.Context, q table.Query) (table.Page, error) {
	r.note("Query")
	return r.Table.Query(ctx, q)
}

func (r *tracer) Write(ctx context.Context, ops ...table.Op) error {
	r.note("Write")
	return r.Table.Write(ctx, ops...)
}

func (r *tracer) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

// take returns the calls so far and forgets them.
func (r *tracer) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := strings.Join(r.calls, "; ")
	r.calls = nil
	return calls
}

// strangers are tokens that must all look the same to whoever holds them.
func strangers(t *testing.T, a acme) map[string]string {
	t.Helper()
	tenantB, _ := a.other()
	revoked := a.Key(a.tenant, "vend")
	a.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: a.tenant, APIKey: keyIDOf(revoked)})
	return map[string]string{
		"unknown key":              forge(t, a.token, "", ident.APIKeyPrefix+ulid.ULID{1}.String()),
		"wrong secret":             forge(t, a.token, "", ""),
		"F5 another tenant's key":  forge(t, a.token, tenantB, ""),
		"revoked":                  revoked,
		"wrong secret of revoked":  forge(t, revoked, "", ""),
		"F5 revoked, other tenant": forge(t, revoked, tenantB, ""),
	}
}

func TestF5_F42_StrangersGetOneAnswerForOneTraceOfCalls(t *testing.T) {
	trace := &tracer{Table: tabletest.NewMemory()}
	a := newAcme(t, boottest.Config{Engine: trace, TTL: -1}) // no key stays in memory: the longest way
	tokens := strangers(t, a)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`},
		{"PUT", "/data-integrations/openai/api-key", `{"user_id":"anna","secret":"` + key + `"}`},
		{"GET", "/data-integrations", ""},
		{"POST", "/data-integrations/openai/credentials", `{"user_id":`},
		{"DELETE", "/data-integrations/openai", ""},
	} {
		want := ""
		for _, name := range slices.Sorted(maps.Keys(tokens)) {
			trace.take()
			unwraps := a.Wrapper.Unwraps()
			answer := a.Do(tokens[name], c.method, c.path, c.body)
			got := fmt.Sprintln(trace.take(), "unwraps", a.Wrapper.Unwraps()-unwraps, face(answer))
			if answer.Status != http.StatusUnauthorized || answer.Code() != "unauthorized" {
				t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			}
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s %s by %s:\n%s\nwant\n%s", c.method, c.path, name, got, want)
			}
		}
	}
	if lines := a.Audit.Lines(); len(lines) != 0 {
		t.Errorf("strangers fill the audit log: %+v", lines)
	}
}

func TestF43_ForgedTokensCostNoIOOnceTheTenantsKeyIsInMemory(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	tokens := strangers(t, a)
	a.vends(t, key) // now it is
	reads, unwraps, writes := a.Table.Calls(tabletest.Get), a.Wrapper.Unwraps(), a.Table.Calls(tabletest.Write)
	for range 200 {
		for _, name := range []string{"unknown key", "wrong secret", "wrong secret of revoked"} {
			if got := a.Vend(tokens[name], "openai", "anna"); got.Status != http.StatusUnauthorized {
				t.Fatalf("%s: %d", name, got.Status)
			}
		}
	}
	if n := a.Table.Calls(tabletest.Get) - reads; n != 0 {
		t.Errorf("%d reads", n)
	}
	if a.Wrapper.Unwraps() != unwraps || a.Table.Calls(tabletest.Write) != writes {
		t.Error("forged tokens cost unwraps or writes")
	}
}

func TestF43_EnumeratingTenantsTellsNothing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	unknown := forge(t, a.token, ident.TenantPrefix+ulid.ULID{1}.String(), "")
	known := forge(t, a.token, "", "")
	if x, y := a.Vend(unknown, "openai", "anna"), a.Vend(known, "openai", "anna"); face(x) != face(y) {
		t.Errorf("%s differs from %s", face(x), face(y))
	}
}

func TestF44_ARevokedKeyIsRefusedByTheNextRequest(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	a.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: a.tenant, APIKey: keyIDOf(a.token)})
	if got := a.Vend(a.token, "openai", "anna"); got.Status != http.StatusUnauthorized {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestF44_AnExpiringKeyIsRefusedFromTheMomentOn(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	expires := a.Clock.Now().Add(time.Hour)
	token := a.Operate(operator.Request{Action: operator.IssueAPIKey, Tenant: a.tenant, Name: "x", Scopes: []string{"vend"}, ExpiresAt: &expires}).Token
	a.Clock.Pass(time.Hour - time.Millisecond)
	if got := a.Vend(token, "openai", "anna"); got.Status != http.StatusOK {
		t.Errorf("before: %d %s", got.Status, got.Body)
	}
	a.Clock.Pass(time.Millisecond)
	if got := a.Vend(token, "openai", "anna"); got.Status != http.StatusUnauthorized {
		t.Errorf("at the moment: %d %s", got.Status, got.Body)
	}
}

func TestAShreddedTenantIsRefusedByTheNextRequest(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["status"] = "shredded" })
	for _, answer := range []boottest.Answer{a.Vend(a.token, "openai", "anna"), a.Do(a.token, "GET", "/data-integrations", "")} {
		if answer.Status != http.StatusUnauthorized {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
	}
}

func TestF41_OnlyOneExactAuthorizationHeaderLetsAnyoneIn(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for name, values := range map[string][]string{
		"none":             nil,
		"empty":            {""},
		"scheme alone":     {"Bearer"},
		"scheme and space": {"Bearer "},
		"bare token":       {a.token},
		"lower scheme":     {"bearer " + a.token},
		"upper scheme":     {"BEARER " + a.token},
		"another scheme":   {"Basic " + a.token},
		"two spaces":       {"Bearer  " + a.token},
		"tab":              {"Bearer\t" + a.token},
		"space behind":     {"Bearer " + a.token + " "},
		"space before":     {" Bearer " + a.token},
		"twice":            {"Bearer " + a.token, "Bearer " + a.token},
		"joined":           {"Bearer " + a.token + ",Bearer " + a.token},
		"joined, spaced":   {"Bearer " + a.token + ", Bearer " + a.token},
		"doubled":          {"Bearer Bearer " + a.token},
		"an older one too": {"", "Bearer " + a.token},
		"quoted":           {`Bearer "` + a.token + `"`},
		"a secret":         {"Bearer " + key},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://keyvend.test/data-integrations?api_key="+a.token+"&access_token="+a.token, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header["Authorization"] = values
			reads := a.Table.Calls(tabletest.Get)
			answer := a.Send(r)
			if answer.Status != http.StatusUnauthorized || answer.Text("message") != "Unauthorized" || answer.Code() != "unauthorized" {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			if a.Table.Calls(tabletest.Get) != reads {
				t.Error("the table was read")
			}
			if strings.Contains(answer.Body+fmt.Sprint(answer.Header), "sk_kv_") {
				t.Error("the answer repeats the token")
			}
		})
	}
}
