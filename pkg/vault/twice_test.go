package vault_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/vault"
)

// atOnce has several workers make the same check: each asks the provider before
// any of them hears its answer.
func (c *clinic) atOnce(workers int, r vault.CheckRequest, status int) {
	c.t.Helper()
	var all, done sync.WaitGroup
	all.Add(workers)
	c.Providers.Answer(func(catalog.Ask) (health.Answer, error) {
		all.Done()
		all.Wait()
		return boottest.Says(status, `{}`), nil
	})
	checker := c.App.Checker()
	for range workers {
		done.Go(func() {
			if err := checker.Check(c.t.Context(), r); err != nil {
				c.t.Error(err)
			}
		})
	}
	done.Wait()
	c.Providers.Say(status, `{}`)
}

// slotted is the request that waits, as it comes back in the slot that it got.
func (c *clinic) slotted() vault.CheckRequest {
	c.t.Helper()
	requests := c.Checks.Take()
	if len(requests) != 1 {
		c.t.Fatalf("%d requests", len(requests))
	}
	requests[0].Slot = c.Clock.Now()
	return requests[0]
}

func (c *clinic) looks(id string) int {
	c.t.Helper()
	return strings.Count(c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+id+"/history", "").Body, `"check_result"`)
}

// A queue delivers at least once, and Lambda may start what it believes dead again.
func TestF29_AMessageThatSeveralWorkersHaveAtOnceIsOneFinding(t *testing.T) {
	const workers = 6
	for name, status := range map[string]int{"good": http.StatusOK, "bad": http.StatusUnauthorized, "nobody knows": http.StatusInternalServerError} {
		t.Run("leased, "+name, func(t *testing.T) {
			c := newClinic(t)
			id := c.connect("anna")
			c.schedule()
			c.Clock.Pass(10 * time.Second)
			requests := c.Checks.Take()
			if len(requests) != 1 {
				t.Fatalf("%d requests", len(requests))
			}
			c.atOnce(workers, requests[0], status)
			if n := c.looks(id); n != 1 {
				t.Errorf("%d entries of the history", n)
			}
			if c.account(id).Text("state") != "connected" {
				t.Error("one look turned the key")
			}
			if err := c.App.Checker().Check(t.Context(), requests[0]); err != nil || c.looks(id) != 1 {
				t.Errorf("late: %v, %d entries", err, c.looks(id))
			}
		})
		t.Run("asked for, "+name, func(t *testing.T) {
			c := newClinic(t)
			id := c.connect("anna")
			c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
			c.atOnce(workers, c.slotted(), status)
			if c.account(id).Text("state") != "connected" {
				t.Error("one look turned the key")
			}
			c.expectTold(event.Connected)
		})
	}
	t.Run("reported", func(t *testing.T) {
		c := newClinic(t)
		id := c.connect("anna")
		c.Clock.Pass(time.Second)
		c.report("anna", "")
		c.atOnce(workers, c.slotted(), http.StatusUnauthorized)
		c.expect(id, "needs_reauthorization", "invalid", "refused")
		c.expectTold(event.Connected, event.ReauthorizationNeeded)
	})
}
