package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/operator"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// rows is how long rows are kept where they are.
const rows = 5 * time.Second

// newWarm is an acme whose rows are kept, the key of anna's account among those
// that were vended.
func newWarm(t *testing.T, cfg boottest.Config) acme {
	t.Helper()
	cfg.Rows = rows
	a := newAcme(t, cfg)
	a.warm(t)
	return a
}

// warm vends until nothing but the account is read: the first time unlocks the
// tenant's keys, the second reads the rows that are kept.
func (a acme) warm(t *testing.T) {
	t.Helper()
	for range 2 {
		a.vends(t, key)
	}
}

// partitions is a table each of whose partitions gives no more than some reads
// a second, as DynamoDB's do.
type partitions struct {
	table.Table
	now func() time.Time // nil: without limit

	mu    sync.Mutex
	spent map[string]time.Time // until when what was read of a partition is paid
}

// What a partition gives: 3,000 strongly consistent reads of up to 4 KB a second,
// and a little at once. DynamoDB saves up for five minutes; a hot tenant has spent
// that.
const (
	partitionUnit  = time.Second / 3000
	partitionBurst = 30 * partitionUnit
	unitSize       = 4 << 10
)

func (p *partitions) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	found, err := p.Table.Get(ctx, keys...)
	if p.now == nil || err != nil {
		return found, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		units := max(1, (len(found[k].Doc)+unitSize-1)/unitSize)
		paid := p.spent[k.PK]
		if now := p.now(); paid.Before(now) {
			paid = now
		}
		paid = paid.Add(time.Duration(units) * partitionUnit)
		if paid.Sub(p.now()) > partitionBurst {
			return nil, fmt.Errorf("%w: the partition %s is throttled", table.ErrUnavailable, k.PK)
		}
		p.spent[k.PK] = paid
	}
	return found, nil
}

// TestF51_AHotTenantIsServedFromWhatIsKept sends 5,000 vends a second with one
// API key, for a tenth of a second, to some processes of the function.
func TestF51_AHotTenantIsServedFromWhatIsKept(t *testing.T) {
	const (
		every, requests  = time.Second / 5000, 500
		users, processes = 50, 4
	)
	for name, c := range map[string]struct {
		rows   time.Duration
		served bool
	}{
		"rows are kept": {rows, true},
		"strict":        {0, false},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &partitions{Table: tabletest.NewMemory(), spent: map[string]time.Time{}}
			a := newAcme(t, boottest.Config{Engine: engine, Rows: c.rows})
			for n := range users {
				a.Upsert(a.token, "openai", fmt.Sprintf("user-%d", n), key)
			}
			_, tokenB := a.other()
			a.Upsert(tokenB, "openai", "anna", key)
			var vend []http.Handler
			for range processes {
				vend = append(vend, a.App.Vend())
			}
			engine.now = a.Clock.Now
			refused := 0
			for n := range requests {
				a.Clock.Pass(every)
				a.Handler = vend[n%processes]
				switch got := a.Vend(a.token, "openai", fmt.Sprintf("user-%d", n%users)); got.Status {
				case http.StatusOK:
				case http.StatusServiceUnavailable:
					busy(t, got, "service_unavailable")
					refused++
				default:
					t.Fatalf("%d %s", got.Status, got.Body)
				}
				if n%10 == 0 {
					if got := a.Vend(tokenB, "openai", "anna"); got.Text("credential.value") != key {
						t.Errorf("another tenant: %d %s", got.Status, got.Body)
					}
				}
			}
			if c.served && refused > 0 || !c.served && refused < requests/5 {
				t.Errorf("%d of %d refused", refused, requests)
			}
		})
	}
}

func TestF51_AWarmVendReadsTheAccountAlone(t *testing.T) {
	trace := &tracer{Table: tabletest.NewMemory()}
	a := newWarm(t, boottest.Config{Engine: trace})
	inOrg := `{"user_id":"anna","organization_id":"org"}`
	a.Must(http.StatusOK, a.token, "PUT", upsertPath, inOrg[:len(inOrg)-1]+`,"secret":"`+key+`"}`)
	a.Must(http.StatusOK, a.token, "POST", "/data-integrations/openai/credentials", inOrg)
	for body, want := range map[string]string{
		`{"user_id":"anna"}`: "Get U/ACCOUNT#openai#",
		`{"user_id":"bob"}`:  "Get U/ACCOUNT#openai#",
		inOrg:                "Get U/ACCOUNT#openai#org",
	} {
		trace.take()
		unwraps := a.Wrapper.Unwraps()
		a.Must(http.StatusOK, a.token, "POST", "/data-integrations/openai/credentials", body)
		if got := trace.take(); got != want || a.Wrapper.Unwraps() != unwraps {
			t.Errorf("%s: %q, want %q; %d unwraps", body, got, want, a.Wrapper.Unwraps()-unwraps)
		}
	}
}

func TestF44_WhatIsTakenAwayIsGoneWhenTheTimeOfKeptRowsIsUp(t *testing.T) {
	freeze := `{"reason":"incident"}`
	for name, c := range map[string]struct {
		take   func(a acme)
		status int
		code   string
	}{
		"API key revoked": {func(a acme) {
			a.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: a.tenant, APIKey: keyIDOf(a.token)})
		}, http.StatusUnauthorized, "unauthorized"},
		"tenant shredded": {func(a acme) {
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["status"] = "shredded" })
		}, http.StatusUnauthorized, "unauthorized"},
		"tenant frozen": {func(a acme) {
			a.Must(http.StatusOK, a.token, "PUT", "/keyvend/freeze", freeze)
		}, http.StatusForbidden, "frozen"},
		"integration frozen": {func(a acme) {
			a.Must(http.StatusOK, a.token, "PUT", "/keyvend/integrations/openai/freeze", freeze)
		}, http.StatusForbidden, "frozen"},
		"integration switched off": {func(a acme) {
			a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/openai", `{"enabled":false}`)
		}, http.StatusForbidden, "data_integration_disabled"},
		"integration removed": {func(a acme) {
			a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/openai", "")
		}, http.StatusNotFound, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newWarm(t, boottest.Config{})
			c.take(a)
			a.Clock.Pass(rows - time.Millisecond)
			a.vends(t, key)
			a.Clock.Pass(time.Millisecond)
			for range 2 {
				if got := a.Vend(a.token, "openai", "anna"); got.Status != c.status || got.Code() != c.code {
					t.Errorf("%d %s, want %d %s", got.Status, got.Body, c.status, c.code)
				}
			}
		})
	}
}

func TestF44_AnExpiringKeyIsRefusedFromTheMomentOnThoughItsRowIsKept(t *testing.T) {
	a := newWarm(t, boottest.Config{})
	expires := a.Clock.Now().Add(rows / 2)
	token := a.Operate(operator.Request{Action: operator.IssueAPIKey, Tenant: a.tenant, Name: "x", Scopes: []string{"vend"}, ExpiresAt: &expires}).Token
	for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		if got := a.Vend(token, "openai", "anna"); got.Status != want {
			t.Errorf("%d %s, want %d", got.Status, got.Body, want)
		}
		a.Clock.Pass(rows / 2)
	}
}

func TestOnlyVendingTakesRowsFromMemory(t *testing.T) {
	a := newWarm(t, boottest.Config{})
	revoked := a.Key(a.tenant, "vend", "manage")
	for range 2 {
		a.Must(http.StatusOK, revoked, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	}
	a.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: a.tenant, APIKey: keyIDOf(revoked)})
	a.Must(http.StatusOK, revoked, "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	a.Must(http.StatusUnauthorized, revoked, "PUT", upsertPath, upsertBody)
	a.Must(http.StatusUnauthorized, revoked, "GET", "/data-integrations", "")
}

func TestReadYourWritesThoughRowsAreKept(t *testing.T) {
	account := "/user_management/users/anna/connected_accounts/openai"
	register := `{"provider":"openai","enabled":true,"auth_methods":["api_key"]}`
	for name, change := range map[string]func(t *testing.T, a acme){
		"rotated":              func(*testing.T, acme) {},
		"F52 another key pair": func(t *testing.T, a acme) { a.newKeyPair(t) },
		"registered again": func(_ *testing.T, a acme) {
			a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/openai", "")
			a.Must(http.StatusCreated, a.token, "POST", "/data-integrations", register)
		},
		"disconnected and connected": func(t *testing.T, a acme) {
			a.Must(http.StatusNoContent, a.token, "DELETE", account, "")
			if got := a.Vend(a.token, "openai", "anna"); got.Text("error") != "not_installed" {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		},
		"gone bad and brought anew": func(t *testing.T, a acme) {
			a.Must(http.StatusOK, a.token, "PUT", account, `{"state":"needs_reauthorization"}`)
			if got := a.Vend(a.token, "openai", "anna"); got.Text("error") != "needs_reauthorization" {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newWarm(t, boottest.Config{})
			change(t, a)
			a.Upsert(a.token, "openai", "anna", key+"-2")
			a.vends(t, key+"-2")
			before := a.Table.Calls(tabletest.Get)
			a.vends(t, key+"-2")
			if n := a.Table.Calls(tabletest.Get) - before; n != 1 {
				t.Errorf("%d reads, once it is known", n)
			}
		})
	}
}

func TestAKeyStoredAfterACheckWasDefinedVendsThoughRowsAreKept(t *testing.T) {
	a := newAcme(t, boottest.Config{Rows: rows})
	a.Must(http.StatusCreated, a.token, "POST", "/data-integrations",
		`{"provider":"acme-crm","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme CRM"}}`)
	for _, secret := range []string{key, key + "-2"} {
		a.Upsert(a.token, "acme-crm", "anna", secret)
		for range 2 {
			if got := a.Vend(a.token, "acme-crm", "anna"); got.Text("credential.value") != secret {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		}
		a.define(defined)
	}
}

func TestWhatWasJustMadeIsVendedThoughRowsAreKept(t *testing.T) {
	a := newWarm(t, boottest.Config{})
	if got := a.Vend(a.token, "stripe", "anna"); got.Status != http.StatusNotFound {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Register(a.token, "stripe")
	a.Upsert(a.token, "stripe", "anna", key)
	if got := a.Vend(a.Key(a.tenant, "vend"), "stripe", "anna"); got.Text("credential.value") != key {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// TestF42_StrangersAreReadForStrictlyThoughRowsAreKept compares what is done for
// tokens when the tenant's rows are in memory and its key is no longer.
func TestF42_StrangersAreReadForStrictlyThoughRowsAreKept(t *testing.T) {
	trace := &tracer{Table: tabletest.NewMemory()}
	a := newAcme(t, boottest.Config{Engine: trace, TTL: time.Second, Rows: rows})
	tokens := strangers(t, a)
	want := ""
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		a.warm(t)
		a.Clock.Pass(time.Second)
		trace.take()
		answer := a.Vend(tokens[name], "openai", "anna")
		got := fmt.Sprintln(trace.take(), face(answer))
		if answer.Status != http.StatusUnauthorized || !strings.Contains(got, "K/APIKEY") {
			t.Errorf("%s: %s", name, got)
		}
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}
