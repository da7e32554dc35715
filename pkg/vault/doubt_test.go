package vault_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"keyvend/pkg/event"
)

// crowded is a clinic with n users whose keys are known to work.
func crowded(t *testing.T, n int) (c *clinic, ids []string) {
	t.Helper()
	c = newClinic(t)
	for i := range n {
		ids = append(ids, c.connect(fmt.Sprint("user", i)))
	}
	c.rounds(3)
	if known := c.known(); known != n {
		t.Fatalf("%d of %d keys are known to work", known, n)
	}
	return c, ids
}

func (c *clinic) refused(ids []string) (n int) {
	c.t.Helper()
	for _, id := range ids {
		if c.account(id).Text("state") != "connected" {
			n++
		}
	}
	return n
}

// For some minutes a provider answers as if no key were any good.
func TestF32_AProviderThatRefusesEveryKeyForAWhileTurnsNoneOnSchedule(t *testing.T) {
	c, ids := crowded(t, 30)
	c.define(`{"check_interval":"15m"}`)
	c.Clock.Pass(31 * time.Hour)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.rounds(25)
	if n := c.refused(ids); n != 0 {
		t.Errorf("%d of %d good keys are not vended any more", n, len(ids))
	}
	c.expect(ids[7], "connected", "unknown", "doubted")
	c.Providers.Say(http.StatusOK, `{}`)
	c.rounds(60)
	if known := c.known(); known != len(ids) {
		t.Errorf("%d of %d keys are known to work after it", known, len(ids))
	}
	for _, e := range c.told() {
		if e.Name != event.Connected {
			t.Errorf("%s was told of %s", e.Name, e.Data.User())
		}
	}
}

// Whoever vends a key saw the provider refuse it, and keyvend has seen it now: that
// is enough, whatever the provider says of others.
func TestF32_AReportedKeyIsRefusedAtOnceAlsoOnAProvidersBadDayAndRecovers(t *testing.T) {
	c, ids := crowded(t, 30)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	for i := range ids {
		c.report(fmt.Sprint("user", i), "")
	}
	c.rounds(20)
	if n := c.refused(ids); n != len(ids) {
		t.Errorf("%d of %d reported keys are refused", n, len(ids))
	}
	c.Providers.Say(http.StatusOK, `{}`)
	c.Clock.Pass(31 * time.Hour)
	c.rounds(60)
	if n := c.refused(ids); n != 0 {
		t.Errorf("%d of %d keys that work again are not vended", n, len(ids))
	}
}

func TestKeysThatAreRefusedForMoreThanAnHourAreBad(t *testing.T) {
	c, ids := crowded(t, 30)
	c.define(`{"check_interval":"15m"}`)
	c.Clock.Pass(31 * time.Hour)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.rounds(300)
	if n := c.refused(ids); n != len(ids) {
		t.Errorf("%d of %d revoked keys are found out", n, len(ids))
	}
}

// Its bad day was longer than a doubt; who brought no new key meanwhile vends the
// old one again soon, whatever is between checks.
func TestF32_WhatABadDayTurnedRecoversWithinHoursOfIt(t *testing.T) {
	for _, every := range []string{"24h", "720h"} {
		c, ids := crowded(t, 10)
		c.Clock.Pass(31 * 24 * time.Hour)
		c.define(`{"check_interval":"` + every + `"}`)
		c.Providers.Say(http.StatusUnauthorized, `{}`)
		for minutes := 0; c.refused(ids) < len(ids) && minutes < 600; minutes++ {
			c.rounds(1)
		}
		if n := c.refused(ids); n != len(ids) {
			t.Fatalf("%d of %d keys were turned", n, len(ids))
		}
		c.Providers.Say(http.StatusOK, `{}`)
		c.rounds(90)
		if n := c.refused(ids); n != 0 {
			t.Errorf("every %s: %d of %d keys that work again are not vended", every, n, len(ids))
		}
	}
}

// As long as the provider takes some keys, its refusals count at once.
func TestRevokedKeysAmongOthersThatWorkAreFoundOutAtOnce(t *testing.T) {
	c, ids := crowded(t, 30)
	for i, id := range ids {
		c.Providers.Say([]int{http.StatusUnauthorized, http.StatusOK}[i%2], `{}`)
		c.report(fmt.Sprint("user", i), "")
		c.World.Check()
		for c.Checks.Waiting() > 0 {
			c.Clock.Pass(5 * time.Second)
			c.World.Check()
		}
		if i%2 == 0 {
			c.expect(id, "needs_reauthorization", "invalid", "refused")
		}
	}
}
