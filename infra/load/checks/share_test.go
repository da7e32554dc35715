package checks

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// fair is a world of tenants that have keys of one provider of the catalog.
type fair struct {
	*crowd
	slug   string
	tokens map[string]string // by tenant

	mu    sync.Mutex
	looks map[string]int // by tenant
	times []time.Time
}

func newFair(t *testing.T, engine table.Table) *fair {
	f := &fair{crowd: &crowd{World: boottest.New(t, boottest.Config{Engine: engine}), t: t}, tokens: map[string]string{}, looks: map[string]int{}}
	for _, p := range askable(t) {
		if p.ChecksPerMinute() == 60 && (f.slug == "" || p.Slug < f.slug) {
			f.slug = p.Slug
		}
	}
	f.Providers.Answer(func(ask catalog.Ask) (health.Answer, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.looks[strings.Split(keyOf(ask).PK, "#")[1]]++
		f.times = append(f.times, f.Clock.Now())
		return boottest.Says(http.StatusOK, `{}`), nil
	})
	return f
}

// tenant makes one with n keys, none of which is due.
func (f *fair) tenant(n int) string {
	id := f.Tenant()
	f.tokens[id] = f.Key(id, "vend", "manage")
	f.Register(f.tokens[id], f.slug)
	f.Must(http.StatusOK, f.tokens[id], "PATCH", "/keyvend/integrations/"+f.slug, `{"check_interval":"off"}`)
	f.each(n, func(i int) {
		if err := f.seed(vault.Target{Tenant: id, Slug: f.slug, User: user(i)}); err != nil {
			f.t.Error(err)
		}
	})
	return id
}

func user(i int) string { return fmt.Sprintf("user-%03d", i) }

// report reports the keys of a tenant's first n users.
func (f *fair) report(tenant string, n int) {
	for i := range n {
		f.Must(http.StatusAccepted, f.tokens[tenant], "POST", "/keyvend/reports", `{"slug":"`+f.slug+`","user_id":"`+user(i)+`","status":401}`)
	}
	f.Check()
}

// pass lets minutes pass.
func (f *fair) pass(minutes int) {
	for range minutes {
		f.sweep()
		for range time.Minute / step {
			f.Check()
			f.Clock.Pass(step)
		}
	}
}

// One tenant that asks for more looks than there are slots does not keep another
// from its looks, and gets its own in the end.
func TestATenantTakesNoMoreThanItsShareOfAProvidersSlots(t *testing.T) {
	for name, open := range map[string]func(*testing.T) table.Table{"bolt": onBolt, "dynamo": onDynamoDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const many, few = 180, 3
			f := newFair(t, open(t))
			loud, quiet := f.tenant(many), f.tenant(few)
			f.report(loud, many)
			f.report(quiet, few)
			f.pass(14)
			if n := f.looks[quiet]; n != few {
				t.Errorf("%d of the %d keys that the other tenant reported were looked at", n, few)
			}
			f.pass(31)
			if n := f.looks[loud]; n != many {
				t.Errorf("%d of %d reported keys were looked at within three quarters of an hour", n, many)
			}
			if n := f.looks[quiet]; n != few {
				t.Errorf("%d looks at the %d keys of the other tenant", n, few)
			}
			for first, i := 0, 0; i < len(f.times); i++ {
				for f.times[i].Sub(f.times[first]) >= time.Minute {
					first++
				}
				if n := i - first + 1; n > 15 {
					t.Fatalf("%d looks in a minute, of which a quarter of 60 are for who asks", n)
				}
			}
		})
	}
}
