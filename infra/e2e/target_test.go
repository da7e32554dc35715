package e2e

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/operator"
)

// target is a keyvend that runs somewhere.
type target struct {
	url     string
	operate func(context.Context, operator.Request) (operator.Response, error)
	// stored is everything that lies in the target's storage at this moment, one
	// piece for each item or file. Secrets in it are sealed.
	stored func(t testing.TB) [][]byte
	// rows shows what is stored of a tenant, or was ever written: two equal
	// answers mean that nothing was stored in between. Nil where a target cannot
	// tell while it runs.
	rows func(t testing.TB, tenant string) []string
	// written is everything that the target's processes have written to their
	// outputs, logs and audit trail.
	written func(t testing.TB) []byte
	// fakes are the providers that can be asked about keys.
	fakes fakes
	// sweep deletes what removals have left; nil where the target does so by
	// itself within seconds.
	sweep func(t testing.TB)
	// stop ends the target; stored and written go on answering.
	stop func()
}

// naming are those rows that name tenant, but for its events, its usage and the
// checks of its keys, which are stored some time after what they are made of.
func naming(tenant string, rows []string) []string {
	var found []string
	for _, row := range rows {
		later := strings.Contains(row, "E#"+tenant) || strings.Contains(row, "L#"+tenant) || strings.Contains(row, "C#"+tenant)
		if strings.Contains(row, tenant) && !later {
			found = append(found, row)
		}
	}
	slices.Sort(found)
	return found
}

// shop is one tenant of a target with a key of every scope.
type shop struct {
	client
	tenant string
}

// newShop makes a tenant of its own, so that no test sees another's rows.
func (k *target) newShop(t *testing.T) shop {
	t.Helper()
	made := k.must(t, operator.Request{Action: operator.CreateTenant, Name: t.Name()})
	s := shop{tenant: made.Tenant.ID}
	s.client = client{t: t, target: k, key: k.issue(t, s.tenant, "manage", "read", "vend", "widget").Token}
	return s
}

// with is the same tenant seen with an API key of other scopes.
func (s shop) with(scopes ...string) client {
	s.t.Helper()
	return client{t: s.t, target: s.target, key: s.target.issue(s.t, s.tenant, scopes...).Token}
}

func (k *target) issue(t testing.TB, tenant string, scopes ...string) operator.Response {
	t.Helper()
	return k.must(t, operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "e2e", Scopes: scopes})
}

func (k *target) must(t testing.TB, request operator.Request) operator.Response {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Second) {
		response, err := k.operate(t.Context(), request)
		switch {
		case err == nil:
			return response
		case !strings.Contains(err.Error(), "busy") || time.Now().After(end):
			t.Fatalf("%s: %v", request.Action, err)
		}
		t.Logf("%s: asked again: %v", request.Action, err) // as in send
	}
}

// guarantee is one promise: what it says, and how to see that it is kept.
type guarantee struct {
	name  string
	check func(*testing.T, *target)
}

// hold checks guarantees on k side by side, ends k, and looks for secrets in
// everything that it has stored and written.
func hold(t *testing.T, k *target, guarantees []guarantee) {
	t.Helper()
	t.Run("promise", func(t *testing.T) {
		for _, g := range guarantees {
			t.Run(g.name, func(t *testing.T) {
				t.Parallel()
				g.check(t, k)
			})
		}
	})
	k.stop()
	t.Run("F45_secrets_are_in_vend_answers_and_nowhere_else", func(t *testing.T) { noCanary(t, k) })
}

// everywhere are the promises that hold on every target.
func everywhere() []guarantee {
	var all []guarantee
	for _, some := range [][]guarantee{
		flow(), concurrency(), badInput(), identities(), registrations(), organizations(),
		idempotency(), tenants(), scopes(), refusals(), secretSizes(), events(), usage(), keyHealth(), browserTokens(),
	} {
		all = append(all, some...)
	}
	return all
}

// lines collects what processes write, from many goroutines.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// Bytes is a copy of what was written so far.
func (l *lines) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.all.Bytes())
}
