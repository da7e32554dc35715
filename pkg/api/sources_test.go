package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/ident"
	"keyvend/pkg/operator"
	"keyvend/pkg/serve"
	"keyvend/pkg/table/tabletest"
)

// burst is how many refusals an address may bring about at once.
const burst = 120

const (
	attacker = "203.0.113.7"
	nobody   = "sk_kv_nobody"
)

// from sends a vend for anna as if from a remote address.
func (a acme) from(t *testing.T, remote, token string) boottest.Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://keyvend.test/data-integrations/openai/credentials", strings.NewReader(`{"user_id":"anna"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = remote
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return a.Send(r)
}

// exhaust empties the bucket of a remote address.
func (a acme) exhaust(t *testing.T, remote string) {
	t.Helper()
	for n := range burst {
		if got := a.from(t, remote, nobody); got.Status != http.StatusUnauthorized {
			t.Fatalf("refusal %d: %d %s", n+1, got.Status, got.Body)
		}
	}
}

// limited reports whether an answer tells to wait.
func limited(a boottest.Answer) bool {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	return a.Status == http.StatusTooManyRequests && a.Code() == "rate_limit_exceeded" && a.Text("message") != "" &&
		err == nil && seconds >= 1 && seconds <= 60
}

func TestF43_WhoGuessesKeysHasToWaitAndNobodyElse(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	a.exhaust(t, attacker)
	if got := a.from(t, attacker, nobody); !limited(got) {
		t.Errorf("%d %s %v", got.Status, got.Body, got.Header)
	}
	if got := a.from(t, "203.0.113.8", nobody); got.Status != http.StatusUnauthorized {
		t.Errorf("a neighbour: %d %s", got.Status, got.Body)
	}
	for range 2 * burst { // a good key from the very same address
		if got := a.from(t, attacker, a.token); got.Text("credential.value") != key {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	if got := a.from(t, attacker, nobody); !limited(got) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestF43_WhoHasToWaitIsToldSoWhateverHeBringsAndCostsNothing(t *testing.T) {
	for name, ttl := range map[string]time.Duration{"with the tenant's key in memory": 0, "without": -1} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{TTL: ttl})
			tokens := strangers(t, a)
			if ttl == 0 {
				delete(tokens, "revoked") // which the key in memory recognizes
			}
			tokens["unknown tenant"] = forge(t, a.token, ident.TenantPrefix+ulid.ULID{1}.String(), "")
			tokens["no key"], tokens["no token"] = "", nobody
			a.vends(t, key)
			a.exhaust(t, attacker)
			want := a.from(t, attacker, nobody)
			before, unwraps, lines := calls(a), a.Wrapper.Unwraps(), len(a.Audit.Lines())
			for name, token := range tokens {
				if got := a.from(t, attacker, token); !limited(got) || face(got) != face(want) {
					t.Errorf("%s: %s, want %s", name, face(got), face(want))
				}
			}
			if calls(a) != before || a.Wrapper.Unwraps() != unwraps || len(a.Audit.Lines()) != lines {
				t.Error("they cost something")
			}
		})
	}
}

func TestF43_ABucketFillsAgainWithTime(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.exhaust(t, attacker)
	for range 3 {
		if got := a.from(t, attacker, nobody); !limited(got) || got.Header.Get("Retry-After") != "1" {
			t.Errorf("%d %v", got.Status, got.Header)
		}
		a.Clock.Pass(time.Second)
		if got := a.from(t, attacker, nobody); got.Status != http.StatusUnauthorized {
			t.Errorf("a second later: %d %s", got.Status, got.Body)
		}
	}
	a.Clock.Pass(time.Hour)
	a.exhaust(t, attacker)
	if got := a.from(t, attacker, nobody); !limited(got) {
		t.Errorf("it holds more than when it was new: %d", got.Status)
	}
}

func TestF43_AClockThatIsSetBackMakesNobodyWait(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.exhaust(t, attacker)
	a.Clock.Pass(-24 * time.Hour)
	a.exhaust(t, attacker)
	if got := a.from(t, attacker, nobody); !limited(got) {
		t.Errorf("%d %v", got.Status, got.Header)
	}
}

func TestF43_ASourceIsAnAddressOfIPv4OrANetworkOfIPv6(t *testing.T) {
	for name, c := range map[string]struct {
		from, other string
		same        bool
	}{
		"the same address":           {attacker, attacker, true},
		"another port":               {attacker + ":1", attacker + ":2", true},
		"with and without a port":    {attacker, attacker + ":2", true},
		"another address":            {attacker, "203.0.113.8", false},
		"IPv4 written as IPv6":       {attacker, "::ffff:" + attacker, true},
		"two IPv4 written as IPv6":   {"::ffff:203.0.113.7", "::ffff:203.0.113.8", false},
		"one network of IPv6":        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		"two networks of IPv6":       {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		"IPv6 with a port":           {"[2001:db8:1:2::1]:80", "2001:db8:1:2::2", true},
		"IPv6 with a zone":           {"fe80::1%eth0", "fe80::2%eth1", true},
		"what is no address at all":  {"somewhere", "somewhere", false},
		"an address that is not set": {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			a.exhaust(t, c.from)
			if got := a.from(t, c.other, nobody); limited(got) != c.same {
				t.Errorf("%d", got.Status)
			}
		})
	}
}

func TestF43_SourcesAreRememberedInABoundedNumber(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.exhaust(t, attacker)
	for n := range 4096 {
		a.from(t, fmt.Sprintf("10.0.%d.%d", n/256, n%256), nobody)
	}
	if got := a.from(t, attacker, nobody); got.Status != http.StatusUnauthorized {
		t.Errorf("the one that was quiet for longest is remembered: %d", got.Status)
	}
}

func TestF43_WhatNeedsNoKeyIsAnsweredToWhoHasToWait(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	lambda := serve.Handler(a.Handler)
	send := func(method, path string) int {
		got, err := lambda(t.Context(), event(t, nobody, method, path, ""))
		if err != nil || !json.Valid([]byte(got.Body)) {
			t.Fatalf("%s %v", got.Body, err)
		}
		return got.StatusCode
	}
	for send("GET", "/data-integrations") == http.StatusUnauthorized { // as API Gateway tells the address
	}
	for path, want := range map[string]int{"/data-integrations": http.StatusTooManyRequests, "/healthz": http.StatusOK, "/nothing/here": http.StatusNotFound} {
		if got := send("GET", path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestF43_ARevokedKeyBringsAboutRefusalsToo(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	revoked := a.Key(a.tenant, "vend")
	a.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: a.tenant, APIKey: keyIDOf(revoked)})
	for range burst + 1 { // it is known to be one, and so is told
		if got := a.from(t, attacker, revoked); got.Status != http.StatusUnauthorized {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	if got := a.from(t, attacker, nobody); !limited(got) {
		t.Errorf("%d", got.Status)
	}
}

func TestF43_RefusalsByWaitingAreCountedLikeOthers(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.exhaust(t, attacker)
	for range 30 {
		a.from(t, attacker, nobody)
	}
	a.Clock.Pass(2 * time.Minute)
	a.from(t, attacker, nobody)
	if text := a.Log.String(); !strings.Contains(text, fmt.Sprintf(`"count":%d`, burst+31)) || strings.Contains(text, attacker) {
		t.Errorf("%s", text)
	}
}

func TestF43_WhoGuessesTenantsByTheirPagesHasToWaitAndNobodyElse(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.allow(page)
	show := func(remote, tenant string) boottest.Answer {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://keyvend.test/embed/"+tenant, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = remote
		return a.Send(r)
	}
	for range 2 * burst { // many people of one office
		if got := show(attacker, a.tenant); got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	for range burst {
		if got := show(attacker, ident.TenantPrefix+ulid.Make().String()); got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	reads := a.Table.Calls(tabletest.Get)
	if got := show(attacker, ident.TenantPrefix+ulid.Make().String()); !limited(got) || a.Table.Calls(tabletest.Get) != reads {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := show("203.0.113.8", a.tenant); got.Status != http.StatusOK {
		t.Errorf("a neighbour: %d %s", got.Status, got.Body)
	}
}
