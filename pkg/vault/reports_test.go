package vault_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/health"
	"keyvend/pkg/vault"
)

// hurried is a clinic whose provider has been asked so much that whatever else is asked
// for has to wait for its slot.
func hurried(t *testing.T) *clinic {
	t.Helper()
	c, ids := crowded(t, 3)
	c.Clock.Pass(time.Hour)
	for _, id := range ids {
		c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
	}
	c.World.Check()
	return c
}

// leased is what the schedule asks for about a user's key, once it is to be done.
func (c *clinic) leased(user string) (leased vault.CheckRequest, others []vault.CheckRequest) {
	c.t.Helper()
	for range 300 {
		for _, r := range c.Checks.Take() {
			if r.User == user && r.Revision != 0 {
				leased = r
			} else {
				others = append(others, r)
			}
		}
		if leased.User != "" {
			return leased, others
		}
		c.Clock.Pass(time.Second)
	}
	c.t.Fatalf("the schedule asks for no look at the key of %s", user)
	return leased, others
}

func (c *clinic) check(requests ...vault.CheckRequest) {
	c.t.Helper()
	for _, r := range requests {
		if err := c.App.Checker().Check(c.t.Context(), r); err != nil {
			c.t.Error(err)
		}
	}
}

// A backend stores a key, vends it and is refused before the feed has told of it.
func TestAReportOfAKeyThatWasJustStoredCountsWithTheFirstLookWhoseverItIs(t *testing.T) {
	for name, before := range map[string]func(c *clinic){
		"a first key":   func(*clinic) {},
		"a key rotated": func(c *clinic) { c.connect("anna"); c.rounds(2); c.Clock.Pass(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			c := hurried(t)
			before(c)
			for i := range 3 { // take the next slots
				c.report(fmt.Sprint("user", i), "")
			}
			id := c.Upsert(c.token, "acme", "anna", key+"-revoked").Text("id")
			c.Providers.Say(http.StatusUnauthorized, `{}`)
			c.report("anna", "")
			c.check(c.Checks.Take()...)
			c.follow()
			c.schedule()
			asked := len(c.Providers.Asked())
			r, _ := c.leased("anna")
			c.check(r)
			c.expect(id, "needs_reauthorization", "invalid", "refused")
			if n := len(c.Providers.Asked()) - asked; n != 1 {
				t.Errorf("the provider was asked %d times", n)
			}
		})
	}
}

// The report was accepted and nobody had read it yet when the schedule's look was
// refused: nobody need ask again.
func TestARefusalThatWasSeenAfterAReportCountsWhenTheReportIsRead(t *testing.T) {
	c := hurried(t)
	anna := c.connect("anna")
	c.schedule()
	scheduled, others := c.leased("anna")
	c.check(others...)
	c.Clock.Pass(time.Second)
	c.report("anna", "")
	reported := c.Checks.Take()
	c.Clock.Pass(time.Second)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.check(scheduled)
	c.expect(anna, "connected", "unknown", "refused_once")
	asked := len(c.Providers.Asked())
	c.Clock.Pass(time.Second)
	c.check(reported...)
	c.expect(anna, "needs_reauthorization", "invalid", "refused")
	if n := len(c.Providers.Asked()) - asked; n != 0 {
		t.Errorf("the provider was asked %d times more", n)
	}
	c.check(reported...) // delivered twice
	if history := c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+anna+"/history", "").Body; strings.Count(history, `"invalid"`) != 1 {
		t.Errorf("%s", history)
	}
}

// Nobody has seen the provider refuse the key since it was reported.
func TestARefusalFromBeforeAReportDoesNotCountForIt(t *testing.T) {
	c := hurried(t)
	anna := c.connect("anna")
	c.schedule()
	scheduled, others := c.leased("anna")
	c.check(others...)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.check(scheduled)
	c.expect(anna, "connected", "unknown", "refused_once")
	c.Providers.Say(http.StatusOK, `{}`)
	c.Clock.Pass(time.Second)
	c.report("anna", "")
	for range 30 {
		c.check(c.Checks.Take()...)
		c.Clock.Pass(time.Second)
	}
	c.expect(anna, "connected", "valid", "works")
}

// The report is noted while the provider is being asked.
func TestALookThatIsUnderWayWhileAReportIsNotedIsNotThrownAway(t *testing.T) {
	c := hurried(t)
	anna := c.connect("anna")
	c.schedule()
	scheduled, others := c.leased("anna")
	c.check(others...)
	for i := range 3 {
		c.report(fmt.Sprint("user", i), "")
	}
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.Table.Before(savingFinding, func() {
		c.Clock.Pass(-time.Second)
		c.report("anna", "")
		c.Clock.Pass(time.Second)
		c.check(c.Checks.Take()...)
	})
	c.check(scheduled)
	c.expect(anna, "needs_reauthorization", "invalid", "refused")
}

func TestWhatIsLoggedAsNotBelievedIsNotBelieved(t *testing.T) {
	const line = "a refusal is not believed"
	c, ids := crowded(t, 8)
	c.Clock.Pass(31 * time.Hour)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	for i := range ids[:7] {
		c.report(fmt.Sprint("user", i), "")
	}
	for c.World.Check(); c.Checks.Waiting() > 0; c.World.Check() {
		c.Clock.Pass(time.Second)
	}
	if n := c.refused(ids); n != 7 || strings.Contains(c.Log.String(), line) {
		t.Errorf("%d of 7 reported keys are refused, the log: %s", n, c.Log)
	}
	c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+ids[7]+"/check", "")
	c.looked(ids[7], health.Asked)
	c.expect(ids[7], "connected", "unknown", "doubted")
	if log := c.Log.String(); strings.Count(log, line) != 1 || !strings.Contains(log, ids[7]) {
		t.Errorf("the log: %s", log)
	}
}
