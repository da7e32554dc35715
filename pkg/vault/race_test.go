package vault_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// interrupted is a table that lets something else happen after a number of
// calls from when it is armed on.
type interrupted struct {
	table.Table
	mu   sync.Mutex
	left int
	hook func()
	met  bool
}

// arm runs hook after that many calls; 0 is at once.
func (i *interrupted) arm(calls int, hook func()) {
	if calls == 0 {
		hook()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left, i.hook, i.met = calls, hook, calls == 0
}

func (i *interrupted) passed() {
	i.mu.Lock()
	i.left--
	hook := i.hook
	due := i.left == 0
	i.met = i.met || due
	i.mu.Unlock()
	if due {
		hook()
	}
}

func (i *interrupted) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	defer i.passed()
	return i.Table.Get(ctx, keys...)
}

func (i *interrupted) Query(ctx context.Context, q table.Query) (table.Page, error) {
	defer i.passed()
	return i.Table.Query(ctx, q)
}

func (i *interrupted) Write(ctx context.Context, ops ...table.Op) error {
	defer i.passed()
	return i.Table.Write(ctx, ops...)
}

func TestF25_NoRaceOfUpsertAndRemovalLeavesAnythingThatVends(t *testing.T) {
	upsert := func(a acme) boottest.Answer {
		return a.Do(a.token, "PUT", "/data-integrations/openai/api-key", `{"user_id":"anna","secret":"`+key+`"}`)
	}
	inline := func(a acme) boottest.Answer {
		return a.Do(a.token, "PUT", "/data-integrations/openai", `{"api_key":{"user_id":"anna","secret":"`+key+`"}}`)
	}
	remove := func(a acme) boottest.Answer { return a.Do(a.token, "DELETE", "/data-integrations/openai", "") }
	replace := func(a acme) boottest.Answer {
		answer := remove(a)
		a.Register(a.token, "openai")
		return answer
	}
	type request func(acme) boottest.Answer
	for name, c := range map[string]struct {
		outer, inner request
		users        []string // with an account before
	}{
		"install, removed meanwhile":           {upsert, remove, nil},
		"rotation, removed meanwhile":          {upsert, remove, []string{"anna"}},
		"install, replaced meanwhile":          {upsert, replace, nil},
		"rotation, replaced meanwhile":         {upsert, replace, []string{"anna"}},
		"inline install, removed meanwhile":    {inline, remove, nil},
		"inline rotation, replaced meanwhile":  {inline, replace, []string{"anna"}},
		"removal, installed meanwhile":         {remove, upsert, nil},
		"removal, rotated meanwhile":           {remove, upsert, []string{"anna"}},
		"removal, rotated inline meanwhile":    {remove, inline, []string{"anna"}},
		"replacement, installed meanwhile":     {replace, upsert, nil},
		"replacement, rotated meanwhile":       {replace, upsert, []string{"anna"}},
		"removal, removed meanwhile":           {remove, remove, []string{"anna"}},
		"sweep of a removal, upserted between": {func(a acme) boottest.Answer { remove(a); a.sweep(); return boottest.Answer{} }, upsert, []string{"anna"}},
	} {
		t.Run(name, func(t *testing.T) {
			for step, met := 0, true; met; step++ {
				engine := &interrupted{Table: tabletest.NewMemory()}
				a := newAcme(t, boottest.Config{Engine: engine}, c.users...)
				var inner boottest.Answer
				engine.arm(step, func() { inner = c.inner(a) })
				outer := c.outer(a)
				met = engine.met
				engine.arm(-1, nil)
				for _, got := range []boottest.Answer{outer, inner} {
					if got.Status >= 500 && got.Status != http.StatusServiceUnavailable {
						t.Errorf("step %d: %d %s", step, got.Status, got.Body)
					}
				}
				a.deadOrLiving(step)
			}
		})
	}
}

// deadOrLiving fails the test unless anna's account is either vended under the
// registration it was made for, or dead for good and gone in the end.
func (a acme) deadOrLiving(step int) {
	a.t.Helper()
	got := a.Vend(a.token, "openai", "anna")
	living := got.Text("credential.value") == key
	if !living && got.Text("error") != "not_installed" && got.Status != http.StatusNotFound {
		a.t.Errorf("step %d: vend: %d %s", step, got.Status, got.Body)
	}
	if got.Status == http.StatusNotFound {
		a.Register(a.token, "openai")
		if got := a.Vend(a.token, "openai", "anna"); got.Text("error") != "not_installed" {
			a.t.Errorf("step %d: vend after a new registration: %d %s", step, got.Status, got.Body)
		}
	}
	a.finish()
	if a.hasAccount("anna") != living {
		a.t.Errorf("step %d: after the sweep the row is there: %v; it lives: %v", step, a.hasAccount("anna"), living)
	}
}
