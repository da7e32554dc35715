package api_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// busy fails the test unless the answer is a 503 that says when to come again.
func busy(t *testing.T, a boottest.Answer, code string) {
	t.Helper()
	if a.Status != http.StatusServiceUnavailable || a.Code() != code || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %q", a.Status, a.Body, a.Header.Get("Retry-After"))
	}
}

const (
	upsertPath = "/data-integrations/openai/api-key"
	upsertBody = `{"user_id":"anna","secret":"` + key + `-new"}`
)

func TestF10_F12_ATableOutOfReachIs503AndNever401Or404(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		call               tabletest.Method
	}{
		{"POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`, tabletest.Get},
		{"PUT", upsertPath, upsertBody, tabletest.Get},
		{"PUT", upsertPath, upsertBody, tabletest.Write},
		{"DELETE", "/data-integrations/openai", "", tabletest.Write},
		{"GET", "/data-integrations", "", tabletest.Query},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"]}`, tabletest.Query},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"]}`, tabletest.Write},
		{"PUT", "/data-integrations/openai", `{"enabled":false}`, tabletest.Write},
		{"GET", "/user_management/users/anna/data_providers", "", tabletest.Query},
		{"GET", "/user_management/users/anna/connected_accounts/openai", "", tabletest.Get},
		{"DELETE", "/user_management/users/anna/connected_accounts/openai", "", tabletest.Write},
		{"PUT", "/user_management/users/anna/connected_accounts/openai", `{"state":"needs_reauthorization"}`, tabletest.Write},
	} {
		t.Run(c.method+" "+c.path+" "+string(c.call), func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			a.Table.Fail(tabletest.Next(c.call))
			busy(t, a.Do(a.token, c.method, c.path, c.body), "service_unavailable")
			if a.Has(boottest.IntegrationRow(a.tenant, "stripe")) {
				t.Error("something was stored")
			}
			a.vends(t, key)
		})
	}
}

// crowded answers each Get with rows beside those that were asked for.
type crowded struct{ table.Table }

func (c crowded) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	found, err := c.Table.Get(ctx, keys...)
	for k, item := range found {
		item.SK += "x"
		found[table.Key{PK: k.PK, SK: item.SK}] = item
		item.Key = table.Key{PK: k.PK + "x", SK: k.SK}
		found[item.Key] = item
	}
	return found, err
}

func TestF11_RowsThatWereNotAskedForAreIgnored(t *testing.T) {
	a := newAcme(t, boottest.Config{Engine: crowded{tabletest.NewMemory()}})
	a.vends(t, key)
	if got := a.Vend(a.token, "openai", "ann"); got.Text("error") != "not_installed" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestF15_F16_WithoutKMSWarmTenantsVendUntilTheirTimeIsUp(t *testing.T) {
	a := newAcme(t, boottest.Config{TTL: time.Minute})
	a.vends(t, key)
	a.Wrapper.Always(sealtest.Fail(seal.ErrUnavailable))
	a.Clock.Pass(time.Minute - time.Millisecond)
	a.vends(t, key)
	a.Clock.Pass(time.Millisecond)
	busy(t, a.Vend(a.token, "openai", "anna"), "service_unavailable")
	a.Wrapper.Always(nil)
	a.vends(t, key)
}

func TestAColdVendWhoseBlobCannotBeReadIs503(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	blob := func(c tabletest.Call) bool { return c.Method == tabletest.Get && c.Keys[0].PK[0] == 'P' }
	a.Table.Fail(blob)
	busy(t, a.Vend(a.token, "openai", "anna"), "service_unavailable")
	a.vends(t, key)
}

func TestF23_AnUpsertWhoseAnswerWasLostIsRepeatedWithoutASecondChange(t *testing.T) {
	for name, again := range map[string]struct{ method, header string }{
		"PUT": {"PUT", "Idempotency-Key"}, "POST": {"POST", "Idempotency-Key"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			row := boottest.AccountRow(a.tenant, "bob", "openai", "")
			send := func() boottest.Answer {
				return a.Do(a.token, again.method, upsertPath, `{"user_id":"bob","secret":"`+key+`"}`, again.header, "once")
			}
			a.Table.FailStored(tabletest.Next(tabletest.Write))
			busy(t, send(), "service_unavailable")
			stored := a.Item(row)
			a.Clock.Pass(time.Hour)
			first, second := send(), send()
			if first.Status != http.StatusOK || face(first) != face(second) {
				t.Errorf("%s, then %s", face(first), face(second))
			}
			if now := a.Item(row); now.Revision != stored.Revision || string(now.Doc) != string(stored.Doc) {
				t.Error("the row was written again")
			}
		})
	}
}

// The key may have had its time when the request is repeated.
func TestF23_ARepeatIsAnsweredAlsoWhenTheKeyHasExpiredMeanwhile(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	ends := a.Clock.Now().Add(time.Minute).Format(time.RFC3339)
	for _, c := range []struct{ method, path, body string }{
		{"PUT", upsertPath, `{"user_id":"bob","secret":"` + key + `","expires_at":"` + ends + `"}`},
		{"POST", upsertPath, `{"user_id":"carl","secret":"` + key + `","expires_at":"` + ends + `"}`},
		{"PUT", "/data-integrations/openai", `{"api_key":{"user_id":"dora","secret":"` + key + `","expires_at":"` + ends + `"}}`},
		{"POST", "/data-integrations", `{"provider":"stripe","auth_methods":["api_key"],"api_key":{"user_id":"dora","secret":"` + key + `","expires_at":"` + ends + `"}}`},
	} {
		send := func(named string) boottest.Answer {
			return a.Do(a.token, c.method, c.path, c.body, "Idempotency-Key", named)
		}
		first := send("once")
		a.Clock.Pass(time.Hour)
		if second := send("once"); first.Status >= 300 || face(first) != face(second) {
			t.Errorf("%s %s: %s, then %s", c.method, c.path, face(first), face(second))
		}
		if other := send("another"); other.Status < 400 {
			t.Errorf("%s %s: an expired key: %d %s", c.method, c.path, other.Status, other.Body)
		}
		a.Clock.Pass(-time.Hour)
	}
}

func TestARegistrationWhoseAnswerWasLostIsRepeatedWithoutASecondChange(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	body := `{"provider":"stripe","enabled":true,"auth_methods":["api_key"],"api_key":{"user_id":"bob","secret":"` + key + `"}}`
	send := func() boottest.Answer {
		return a.Do(a.token, "POST", "/data-integrations", body, "Idempotency-Key", "once")
	}
	a.Table.FailStored(tabletest.Next(tabletest.Write))
	busy(t, send(), "service_unavailable")
	integration, account := a.Item(boottest.IntegrationRow(a.tenant, "stripe")), a.Item(boottest.AccountRow(a.tenant, "bob", "stripe", ""))
	first, second := send(), send()
	if first.Status != http.StatusCreated || face(first) != face(second) || first.Text("installation.api_key_last_4") != "cdef" {
		t.Errorf("%s, then %s", face(first), face(second))
	}
	if a.Item(integration.Key).Revision != integration.Revision || a.Item(account.Key).Revision != account.Revision {
		t.Error("a row was written again")
	}
	if got := a.Do(a.token, "POST", "/data-integrations", body); got.Status != http.StatusConflict {
		t.Errorf("without the key: %d %s", got.Status, got.Body)
	}
}

func TestF24_OneIdempotencyKeyIsForOneRequest(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	send := func(token, method, body string) boottest.Answer {
		return a.Do(token, method, upsertPath, body, "Idempotency-Key", "once")
	}
	if got := send(a.token, "PUT", upsertBody); got.Status != http.StatusOK {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	before := a.Item(boottest.AccountRow(a.tenant, "anna", "openai", ""))
	for name, got := range map[string]boottest.Answer{
		"another secret": send(a.token, "PUT", strings.Replace(upsertBody, "-new", "-newer", 1)),
		"another method": send(a.token, "POST", upsertBody),
		"another space":  send(a.token, "PUT", upsertBody+" "),
	} {
		if got.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	if a.Item(before.Key).Revision != before.Revision {
		t.Error("the row was written")
	}
	_, tokenB := a.other()
	if got := send(tokenB, "PUT", upsertBody); got.Status != http.StatusOK {
		t.Errorf("another tenant: %d %s", got.Status, got.Body)
	}
	a.Clock.Pass(24 * time.Hour)
	if got := send(a.token, "PUT", strings.Replace(upsertBody, "-new", "-newer", 1)); got.Status != http.StatusOK {
		t.Errorf("a day later: %d %s", got.Status, got.Body)
	}
}

func TestF24_WhatIsKeptOfARequestTellsNothingOfIt(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusOK, a.token, "PUT", upsertPath, upsertBody, "Idempotency-Key", "told-nowhere")
	if doc := string(a.Item(boottest.AccountRow(a.tenant, "anna", "openai", "")).Doc); strings.Contains(doc, "told-nowhere") {
		t.Errorf("%s", doc)
	}
}

// agrees fails the test unless what is vended is one of secrets, and the row
// tells of that very secret.
func (a acme) agrees(t *testing.T, user string, secrets ...string) {
	t.Helper()
	vended := a.Vend(a.token, "openai", user).Text("credential.value")
	told := a.Do(a.token, "GET", "/user_management/users/"+user+"/connected_accounts/openai", "").Text("api_key_last_4")
	if !slices.Contains(secrets, vended) || !strings.HasSuffix(vended, told) {
		t.Errorf("vends %q, tells of %q", vended, told)
	}
}

func TestF22_ConcurrentUpsertsNeverMixAndKeepOneAccount(t *testing.T) {
	for _, first := range []string{"install", "rotation"} {
		t.Run(first, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			if first == "rotation" {
				a.Upsert(a.token, "openai", "bob", key)
			}
			const n = 6
			var (
				start   = make(chan struct{})
				wait    sync.WaitGroup
				secrets [n]string
				answers [n]boottest.Answer
			)
			for i := range n {
				secrets[i] = boottest.Canary + strings.Repeat(string(rune('a'+i)), 12)
				wait.Go(func() {
					<-start
					answers[i] = a.Do(a.token, "PUT", upsertPath, `{"user_id":"bob","secret":"`+secrets[i]+`"}`)
				})
			}
			close(start)
			wait.Wait()
			ids := map[string]bool{}
			for _, got := range answers {
				if got.Status == http.StatusOK {
					ids[got.Text("id")] = true
				} else {
					busy(t, got, "concurrent_request")
				}
			}
			if len(ids) != 1 {
				t.Errorf("%d account ids", len(ids))
			}
			a.agrees(t, "bob", secrets[:]...)
		})
	}
}

func TestF22_AnUpsertThatOvertakesAnotherIsFollowedByIt(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Table.Before(tabletest.Next(tabletest.Write), func() {
		a.Upsert(a.token, "openai", "bob", boottest.Canary+"overtakes")
	})
	outer := a.Upsert(a.token, "openai", "bob", boottest.Canary+"follows-0")
	a.agrees(t, "bob", boottest.Canary+"follows-0")
	if got := a.Do(a.token, "GET", "/user_management/users/bob/connected_accounts/openai", ""); got.Text("id") != outer.Text("id") {
		t.Errorf("the id changed: %s", got.Body)
	}
}

func TestF22_AnUpsertThatAlwaysLosesIs503ConcurrentRequest(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	row := boottest.AccountRow(a.tenant, "anna", "openai", "")
	for i := range 8 {
		try := tabletest.Nth(tabletest.Write, a.Table.Calls(tabletest.Write)+1+i)
		a.Table.Before(try, func() { a.Edit(row, func(boottest.Row) {}) })
	}
	busy(t, a.Do(a.token, "PUT", upsertPath, upsertBody), "concurrent_request")
	a.vends(t, key)
}

func TestF54_WithoutTimeLeftNothingIsWritten(t *testing.T) {
	for name, run := range map[string]func(a acme, send func(ctx context.Context) boottest.Answer) boottest.Answer{
		"before it begins": func(_ acme, send func(ctx context.Context) boottest.Answer) boottest.Answer {
			ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
			defer cancel()
			return send(ctx)
		},
		"between reading and writing": func(a acme, send func(ctx context.Context) boottest.Answer) boottest.Answer {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			a.Table.After(tabletest.Next(tabletest.Get), cancel)
			return send(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			row := a.Item(boottest.AccountRow(a.tenant, "anna", "openai", ""))
			got := run(a, func(ctx context.Context) boottest.Answer {
				return a.DoContext(ctx, a.token, "PUT", upsertPath, upsertBody)
			})
			busy(t, got, "service_unavailable")
			if a.Item(row.Key).Revision != row.Revision {
				t.Error("written")
			}
		})
	}
}

func TestAVendWhoseAuditLineMayBeLostGivesNoSecret(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	a.Audit.Fail(errors.New("disk full"))
	got := a.Vend(a.token, "openai", "anna")
	busy(t, got, "service_unavailable")
	if strings.Contains(got.Body, boottest.Canary) {
		t.Error("it tells the secret")
	}
	busy(t, a.Vend(a.token, "openai", "nobody"), "service_unavailable")
	busy(t, a.Vend(a.token, "unknown", "anna"), "service_unavailable")
	if got := a.Vend(a.Key(a.tenant, "manage"), "openai", "anna"); got.Status == http.StatusOK {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Audit.Fail(nil)
	a.vends(t, key)
}
