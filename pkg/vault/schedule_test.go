package vault_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// asking notes when providers are asked; they take every key.
type asking struct {
	mu    sync.Mutex
	times map[string][]time.Time // by host
}

const acmeHost = "api.acme.example"

func (c *clinic) asking() *asking {
	a := &asking{times: map[string][]time.Time{}}
	c.Providers.Answer(func(ask catalog.Ask) (health.Answer, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.times[ask.Host] = append(a.times[ask.Host], c.Clock.Now())
		return boottest.Says(http.StatusOK, `{}`), nil
	})
	return a
}

// most is how often a host was asked in any minute.
func (a *asking) most(host string) int {
	times := slices.SortedFunc(slices.Values(a.times[host]), time.Time.Compare)
	most, first := 0, 0
	for i := range times {
		for times[i].Sub(times[first]) >= time.Minute {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// connectAll stores keys of n users.
func (c *clinic) connectAll(n int) {
	c.t.Helper()
	for i := range n {
		c.Upsert(c.token, "acme", fmt.Sprintf("user%03d", i), key)
	}
	c.follow()
}

// known is how many keys are known to work.
func (c *clinic) known() int {
	c.t.Helper()
	n := 0
	for after := ""; ; {
		a := c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts?limit=100"+after, "")
		n += strings.Count(a.Body, `"verdict":"valid"`)
		next := a.Text("list_metadata.after")
		if next == "" {
			return n
		}
		after = "&after=" + next
	}
}

// Whoever was away, sweep or workers: when they are back, providers are asked no
// faster for it, and no key is left out.
func TestF29_AfterAnOutageProvidersAreAskedNoFasterAndNoKeyIsLeftOut(t *testing.T) {
	const keys = 150
	minutes := func(c *clinic, n int, sweep, work bool) {
		for range n {
			if sweep {
				c.schedule()
			}
			for range 6 {
				if work {
					c.World.Check()
				}
				c.Clock.Pass(10 * time.Second)
			}
		}
	}
	for name, outage := range map[string]func(*clinic){
		"no outage":                  func(*clinic) {},
		"no sweep for some minutes":  func(c *clinic) { minutes(c, 1, true, true); minutes(c, 4, false, true) },
		"no sweep for an hour":       func(c *clinic) { minutes(c, 1, true, true); minutes(c, 60, false, true) },
		"no sweep for a day":         func(c *clinic) { minutes(c, 1, true, true); c.Clock.Pass(24 * time.Hour) },
		"no worker for some minutes": func(c *clinic) { minutes(c, 8, true, false) },
		"no worker for an hour":      func(c *clinic) { minutes(c, 60, true, false) },
		"workers that are half a minute late": func(c *clinic) {
			for range 5 {
				minutes(c, 1, true, false)
				c.World.Check()
			}
		},
		"sweeps that are late": func(c *clinic) {
			for range 4 {
				c.schedule()
				for range 10 {
					c.World.Check()
					c.Clock.Pass(11 * time.Second)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			asked := c.asking()
			c.connectAll(keys)
			outage(c)
			c.rounds(40)
			if most := asked.most(acmeHost); most > 60 {
				t.Errorf("a provider that takes 60 questions a minute was asked %d times in one", most)
			}
			if n := c.known(); n != keys {
				t.Errorf("%d of %d keys are known to work", n, keys)
			}
			if alarms := c.Log.Alarms(); len(alarms) > 0 {
				t.Errorf("alarms %v", alarms)
			}
		})
	}
}

func TestF32_FailuresAtTheSameMomentAreEachCounted(t *testing.T) {
	c := newClinic(t)
	c.Providers.Say(http.StatusServiceUnavailable, `{}`)
	check := func(user string) {
		t.Helper()
		c.report(user, "")
		for _, r := range c.Checks.Take() {
			r.Slot = c.Clock.Now()
			if err := c.App.Checker().Check(t.Context(), r); err != nil {
				t.Error(err)
			}
		}
	}
	for _, user := range []string{"anna", "bob", "carl"} {
		c.connect(user)
	}
	breaker := table.Key{PK: "S#PROVIDER#" + c.tenant + "/acme", SK: "BREAKER"}
	check("anna")
	c.Table.Before(func(call tabletest.Call) bool {
		return call.Method == tabletest.Write && call.Ops[0].Item.Key == breaker
	}, func() { check("carl") })
	check("bob")
	if n := fmt.Sprint(c.Row(breaker)["failures"]); n != "3" {
		t.Errorf("%s failures were counted, want 3", n)
	}
}
