package vault_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
	"keyvend/pkg/feed"
	"keyvend/pkg/health"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

// clinic is a tenant whose changes are followed, with a custom provider "acme"
// that can be asked about keys.
type clinic struct {
	acme
	feed   table.Feed
	outbox *feed.Outbox
}

const acmeCheck = `{"check":{"placement":{"in":"header","name":"Authorization","template":"Bearer {key}"},
	"method":"GET","url":"https://api.acme.example/me","valid":[200],"limited":[403],"invalid":[401]}}`

func newClinic(t *testing.T) *clinic {
	t.Helper()
	memory := tabletest.NewMemory()
	changes := memory.Feed()
	w := boottest.New(t, boottest.Config{Engine: memory})
	memory.Now = w.Clock.Now
	c := &clinic{acme: acme{World: w, t: t, tenant: w.Tenant()}, feed: changes}
	c.token = w.Key(c.tenant, "vend", "manage")
	c.outbox = w.App.Outbox(nowhere{}, nowhere{})
	c.Must(http.StatusCreated, c.token, "POST", "/data-integrations", `{"provider":"acme","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme"}}`)
	c.define(acmeCheck)
	return c
}

// nowhere is a bus and a queue that nobody listens to.
type nowhere struct{}

func (nowhere) Put(_ context.Context, events []vault.StoredEvent) []error {
	return make([]error, len(events))
}
func (nowhere) SetAside(context.Context, feed.Poison) error { return nil }

func (c *clinic) define(body string) {
	c.t.Helper()
	c.Must(http.StatusOK, c.token, "PATCH", "/keyvend/integrations/acme", body)
}

func (c *clinic) follow() {
	c.t.Helper()
	for {
		n, err := c.outbox.Step(c.t.Context(), c.feed)
		if err != nil {
			c.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// connect stores a key of a user and returns the account's id.
func (c *clinic) connect(user string) string {
	c.t.Helper()
	id := c.Upsert(c.token, "acme", user, key).Text("id")
	c.follow()
	return id
}

// rounds lets minutes pass, in each of which the schedule runs and what it asks
// for is done.
func (c *clinic) rounds(minutes int) (made int) {
	c.t.Helper()
	for range minutes {
		c.schedule()
		for range 6 {
			made += c.World.Check()
			c.Clock.Pass(10 * time.Second)
		}
		c.follow()
	}
	return made
}

func (c *clinic) schedule() vault.Planned {
	c.t.Helper()
	done, err := c.App.Sweep(c.t.Context(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return done.Checks
}

func (c *clinic) account(id string) boottest.Answer {
	c.t.Helper()
	return c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+id, "")
}

func (c *clinic) expect(id, state, verdict, reason string) {
	c.t.Helper()
	a := c.account(id)
	if a.Text("state") != state || a.Text("health.verdict") != verdict || a.Text("health.reason") != reason {
		c.t.Errorf("the account is %s, its key %s (%s), want %s, %s, %s", a.Text("state"), a.Text("health.verdict"), a.Text("health.reason"), state, verdict, reason)
	}
}

// told are the events so far, in order.
func (c *clinic) told() []event.Event {
	c.t.Helper()
	c.follow()
	c.Clock.Pass(6 * time.Second)
	var list struct{ Data []event.Event }
	if err := json.Unmarshal([]byte(c.Must(http.StatusOK, c.token, "GET", "/events?order=asc&limit=100", "").Body), &list); err != nil {
		c.t.Fatal(err)
	}
	return list.Data
}

func (c *clinic) expectTold(want ...event.Name) []event.Event {
	c.t.Helper()
	var names []event.Name
	told := c.told()
	for _, e := range told {
		names = append(names, e.Name)
	}
	if !slices.Equal(names, want) {
		c.t.Errorf("events %v, want %v", names, want)
	}
	return told
}

func (c *clinic) report(user string, more string) boottest.Answer {
	c.t.Helper()
	return c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/reports", `{"slug":"acme","user_id":"`+user+`","status":401`+more+`}`)
}

func TestANewKeyIsLookedAtWithinMinutesAndThenOnceADay(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	if c.account(id).Text("health") != "" {
		t.Error("something is known of a key that nobody looked at")
	}
	if made := c.rounds(3); made != 1 {
		t.Fatalf("%d checks, want 1", made)
	}
	c.expect(id, "connected", "valid", "works")
	if a := c.account(id); a.Text("health.last_good_at") == "" || a.Text("health.next_check_at") == "" || a.Text("health.sentence") == "" {
		t.Errorf("%s", a.Body)
	}
	c.Clock.Pass(17 * time.Hour)
	if made := c.rounds(5); made != 0 {
		t.Errorf("%d checks within 18 hours of one", made)
	}
	c.Clock.Pass(13 * time.Hour)
	if made := c.rounds(2); made != 1 {
		t.Errorf("%d checks after 30 hours, want 1", made)
	}
}

func TestOneRefusalIsNoVerdictAndASecondMinutesLaterIs(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	if made := c.rounds(2); made != 1 {
		t.Fatalf("%d checks, want 1", made)
	}
	c.expect(id, "connected", "unknown", "refused_once")
	if c.Vend(c.token, "acme", "anna").Text("active") != "true" {
		t.Error("a key that was refused once is not vended")
	}
	if made := c.rounds(7); made != 1 {
		t.Fatalf("%d more checks, want 1", made)
	}
	c.expect(id, "needs_reauthorization", "invalid", "refused")
	if a := c.Vend(c.token, "acme", "anna"); a.Text("error") != "needs_reauthorization" {
		t.Errorf("vend: %s", a.Body)
	}
	told := c.expectTold(event.Connected, event.ReauthorizationNeeded)
	if last := told[len(told)-1].Data.Account; last.Reason == nil || *last.Reason != "refused" || last.State != "needs_reauthorization" {
		t.Errorf("%+v", last)
	}
}

func TestNoKeyIsAskedAboutASecondTimeBeforeThatCounts(t *testing.T) {
	c := newClinic(t)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	const users = 20
	var ids []string
	for i := range users {
		ids = append(ids, c.connect(fmt.Sprint("user", i)))
	}
	if made := c.rounds(12); made != 2*users {
		t.Errorf("%d checks of %d keys, want 2 of each", made, users)
	}
	for _, id := range ids {
		c.expect(id, "needs_reauthorization", "invalid", "refused")
	}
}

func TestAReportAndOneRefusalAreEnoughAndARestoredKeyRecovers(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	c.rounds(2)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	if a := c.report("anna", ""); a.Text("accepted") != "true" {
		t.Fatalf("%s", a.Body)
	}
	if made := c.World.Check(); made != 1 {
		t.Fatalf("%d checks", made)
	}
	c.expect(id, "needs_reauthorization", "invalid", "refused")
	c.Providers.Say(http.StatusOK, `{}`)
	c.Clock.Pass(time.Minute)
	c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
	c.World.Check()
	c.expect(id, "connected", "valid", "works")
	c.expectTold(event.Connected, event.ReauthorizationNeeded, event.Recovered)
	var looks struct {
		Data []struct{ Verdict, Cause string }
	}
	if err := json.Unmarshal([]byte(c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+id+"/history", "").Body), &looks); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(looks.Data) != "[{valid request} {invalid report} {valid schedule}]" {
		t.Errorf("history %v", looks.Data)
	}
}

func TestAStateThatTheTenantSetIsNotTakenBack(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	c.Must(http.StatusOK, c.token, "PUT", "/user_management/users/anna/connected_accounts/acme", `{"state":"needs_reauthorization"}`)
	c.rounds(3)
	c.expect(id, "needs_reauthorization", "valid", "works")
}

func TestAdviceTellsOfABadKeyAndVendsIt(t *testing.T) {
	c := newClinic(t)
	c.define(`{"on_invalid":"advise"}`)
	id := c.connect("anna")
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.rounds(10)
	c.expect(id, "connected", "invalid", "refused")
	if c.Vend(c.token, "acme", "anna").Text("active") != "true" {
		t.Error("the key is not vended")
	}
	c.Providers.Say(http.StatusOK, `{}`)
	c.Clock.Pass(31 * time.Hour)
	c.rounds(3)
	c.expect(id, "connected", "valid", "works")
	c.expectTold(event.Connected, event.ReauthorizationNeeded, event.Recovered)
}

// Whatever goes wrong on the way to a provider says nothing about the key.
func TestF32_F33_NothingButADefiniteAnswerTurnsAKey(t *testing.T) {
	for name, answer := range map[string]func(catalog.Ask) (health.Answer, error){
		"429": func(catalog.Ask) (health.Answer, error) {
			return health.Answer{Status: 429, RetryAfter: time.Hour}, nil
		},
		"500": func(catalog.Ask) (health.Answer, error) { return boottest.Says(500, `{}`), nil },
		"302": func(catalog.Ask) (health.Answer, error) { return health.Answer{Status: 302}, nil },
		"404": func(catalog.Ask) (health.Answer, error) { return boottest.Says(404, `{}`), nil },
		"captive page": func(catalog.Ask) (health.Answer, error) {
			return health.Answer{Status: 401, ContentType: "text/html", Body: []byte("<html>")}, nil
		},
		"timeout":       func(catalog.Ask) (health.Answer, error) { return health.Answer{}, health.ErrTimeout },
		"unreachable":   func(catalog.Ask) (health.Answer, error) { return health.Answer{}, health.ErrUnreachable },
		"not public":    func(catalog.Ask) (health.Answer, error) { return health.Answer{}, health.ErrNotPublic },
		"oversized":     func(catalog.Ask) (health.Answer, error) { return health.Answer{}, health.ErrOversized },
		"anything else": func(catalog.Ask) (health.Answer, error) { return health.Answer{}, errors.New("?") },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			id := c.connect("anna")
			c.Providers.Answer(answer)
			for range 3 {
				c.rounds(2)
				c.Clock.Pass(32 * time.Hour)
			}
			if a := c.account(id); a.Text("state") != "connected" || a.Text("health.verdict") != "unknown" || a.Text("health.consecutive_unknowns") == "0" {
				t.Errorf("%s", a.Body)
			}
			c.expectTold(event.Connected)
		})
	}
}

func TestF32_AProviderInTroubleIsAskedLessAndLess(t *testing.T) {
	c := newClinic(t)
	for i := range 40 {
		c.connect(fmt.Sprint("user", i))
	}
	c.Providers.Say(http.StatusServiceUnavailable, `{}`)
	c.rounds(60)
	if asked := len(c.Providers.Asked()); asked > 40 {
		t.Errorf("a provider in trouble was asked %d times in an hour for 40 keys", asked)
	}
	c.Providers.Say(http.StatusOK, `{}`)
	c.Clock.Pass(2 * time.Hour)
	c.rounds(120)
	if good := strings.Count(c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts?limit=100", "").Body, `"verdict":"valid"`); good != 40 {
		t.Errorf("%d of 40 keys are known to work after the trouble", good)
	}
}

func TestF26_AVerdictOnAReplacedKeyIsDropped(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	c.Providers.Answer(func(catalog.Ask) (health.Answer, error) {
		c.Providers.Answer(nil) // what is asked about the new key
		return boottest.Says(http.StatusUnauthorized, `{}`), nil
	})
	c.report("anna", "")
	request := c.Checks.Take()[0]
	c.Table.Before(savingFinding, func() { c.Upsert(c.token, "acme", "anna", key+"-new") })
	if err := c.App.Checker().Check(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if a := c.account(id); a.Text("state") != "connected" || a.Text("health") != "" {
		t.Errorf("%s", a.Body)
	}
	c.rounds(2)
	c.expect(id, "connected", "valid", "works")
}

func savingFinding(c tabletest.Call) bool {
	return c.Method == tabletest.Write && strings.HasPrefix(c.Ops[0].Item.PK, "C#")
}

func TestF29_TwoSchedulesAtOnceLeaseEachCheckOnce(t *testing.T) {
	c := newClinic(t)
	for i := range 30 {
		c.connect(fmt.Sprint("user", i))
	}
	c.Clock.Pass(time.Minute)
	c.Table.Before(savingFinding, func() { c.schedule() })
	c.schedule()
	seen := map[string]int{}
	for range 30 {
		for _, r := range c.Checks.Take() {
			seen[r.User]++
		}
		c.Clock.Pass(10 * time.Second)
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 checks were leased", len(seen))
	}
	for user, n := range seen {
		if n != 1 {
			t.Errorf("the check of %s was leased %d times", user, n)
		}
	}
}

func TestF30_WhatADeadWorkerLeasedIsDueAgainAndTheRestIsNotDelayed(t *testing.T) {
	c := newClinic(t)
	for i := range 20 {
		c.connect(fmt.Sprint("user", i))
	}
	c.Clock.Pass(time.Minute)
	c.schedule()
	c.Clock.Pass(75 * time.Second)
	lost := len(c.Checks.Take()) // and nobody makes them
	if lost != 20 {
		t.Fatalf("%d leases", lost)
	}
	c.connect("late")
	if made := c.rounds(3); made != 1 {
		t.Errorf("%d checks while the leases last, want that of the late account", made)
	}
	if made := c.rounds(5); made != 20 {
		t.Errorf("%d of %d checks were made after the leases", made, lost)
	}
}

func TestF31_ACheckThatNeverComesToAFindingIsSetAside(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	c.connect("bob")
	corrupt(t, c, "anna")
	checker := c.App.Checker()
	failed := 0
	for range 180 {
		c.schedule()
		for range 6 {
			for _, r := range c.Checks.Take() {
				if checker.Check(t.Context(), r) != nil {
					failed++
				}
			}
			c.Clock.Pass(10 * time.Second)
		}
	}
	if failed != health.MaxTries {
		t.Errorf("a secret that does not open was tried %d times, want %d", failed, health.MaxTries)
	}
	if alarms := c.Log.Alarms(); !slices.Contains(alarms, "poison") || !slices.Contains(alarms, "integrity") {
		t.Errorf("alarms %v", alarms)
	}
	if a := c.account(id); a.Text("state") != "connected" {
		t.Errorf("%s", a.Body)
	}
	if n := strings.Count(c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts", "").Body, `"verdict":"valid"`); n != 1 {
		t.Errorf("%d keys are known to work, want the other one", n)
	}
}

// A clock that was a day ahead, and is right again, or that jumps a day ahead.
func TestF21_ChecksGoOnAfterTheClockJumped(t *testing.T) {
	for name, jump := range map[string]time.Duration{"back": -24 * time.Hour, "ahead": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			c.define(`{"verify_on_save":"warn"}`)
			for i := range 30 {
				c.connect(fmt.Sprint("user", i))
			}
			c.rounds(2)
			c.Clock.Pass(jump)
			asked := c.asking()
			late := c.connect("late")
			c.rounds(5)
			if a := c.account(late); a.Text("health.verdict") != "valid" {
				t.Errorf("a key that was stored after the jump: %s", a.Body)
			}
			c.define(`{"verify_on_save":"off"}`)
			unverified := c.connect("unverified")
			c.rounds(5)
			c.expect(unverified, "connected", "valid", "works")
			if most := asked.most(acmeHost); most > 60 {
				t.Errorf("a provider that takes 60 questions a minute was asked %d times in one", most)
			}
		})
	}
}

// A look that was put off by a clock that was a day ahead does not stand for those
// that are asked for when it is right again.
func TestF21_AReportIsLookedIntoThoughAnEarlierOneWasPutOffToTomorrow(t *testing.T) {
	c := newClinic(t)
	var ids []string
	for i := range 6 {
		ids = append(ids, c.connect(fmt.Sprint("user", i)))
	}
	c.rounds(2)
	c.Clock.Pass(24 * time.Hour)
	for i := range ids {
		c.report(fmt.Sprint("user", i), "")
	}
	c.World.Check()
	if c.Checks.Waiting() == 0 {
		t.Fatal("nothing was put off")
	}
	c.Clock.Pass(-24 * time.Hour)
	before := len(c.Providers.Asked())
	for i := range ids {
		c.report(fmt.Sprint("user", i), "")
	}
	c.rounds(2)
	if asked := len(c.Providers.Asked()) - before; asked < len(ids) {
		t.Errorf("%d of %d reported keys were looked at", asked, len(ids))
	}
}

func TestF21_ATroubleThatAWrongClockSawTomorrowKeepsNoKeyFromBeingLookedAt(t *testing.T) {
	c := newClinic(t)
	c.Clock.Pass(24 * time.Hour)
	c.Providers.Say(http.StatusServiceUnavailable, `{}`)
	for i := range 10 {
		c.connect(fmt.Sprint("user", i))
	}
	c.rounds(3)
	c.Clock.Pass(-24 * time.Hour)
	c.Providers.Say(http.StatusOK, `{}`)
	id := c.connect("late")
	c.rounds(5)
	c.expect(id, "connected", "valid", "works")
}

func TestF21_ARefusalOfTomorrowMakesNoLookTooEarly(t *testing.T) {
	now := time.Date(2036, 3, 1, 12, 0, 0, 0, time.UTC)
	for ago, early := range map[time.Duration]bool{-24 * time.Hour: false, 0: true, time.Minute: true, 2 * time.Minute: false} {
		if c := (&health.Check{RefusedAt: now.Add(-ago)}); c.Early(now) != early {
			t.Errorf("refused %v ago: early is %v", ago, !early)
		}
	}
}

func TestManyReportsOfOneKeyAreOneLook(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	bob := c.connect("bob")
	c.rounds(3)
	before := len(c.Providers.Asked())
	for range 200 {
		c.report("anna", "")
	}
	c.World.Check()
	c.report("bob", "")
	for range 6 {
		c.Clock.Pass(5 * time.Second)
		c.World.Check()
	}
	if asked := len(c.Providers.Asked()) - before; asked > 6 {
		t.Errorf("the provider was asked %d times", asked)
	}
	var looks struct{ Data []struct{ Cause string } }
	if err := json.Unmarshal([]byte(c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+bob+"/history", "").Body), &looks); err != nil || looks.Data[0].Cause != "report" {
		t.Errorf("bob's key: %v %v", looks, err)
	}
}

// looked runs the clock until the key has been looked at once more for that cause.
func (c *clinic) looked(id string, cause health.Cause) {
	c.t.Helper()
	entries := func() int {
		history := c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+id+"/history", "")
		return strings.Count(history.Body, `"cause":"`+string(cause)+`"`)
	}
	before := entries()
	for range 600 {
		if entries() > before {
			return
		}
		c.Clock.Pass(2 * time.Second)
		c.World.Check()
	}
	c.t.Fatalf("no look for the cause %s", cause)
}

// overtaken is a crowd of whose keys, anna's among them, looks are asked for and
// waited for when the schedule leases them too.
func overtaken(t *testing.T) (c *clinic, anna string) {
	t.Helper()
	c, ids := crowded(t, 60)
	anna = c.connect("anna")
	c.rounds(2)
	c.Clock.Pass(31 * time.Hour)
	for _, id := range append(ids, anna) {
		c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
	}
	c.World.Check()
	c.schedule()
	return c, anna
}

// A look that was asked for is thrown away when the schedule was faster, and a
// report that came after the schedule's look must not go with it.
func TestAReportIsLookedIntoThoughTheLookItWaitsForIsNotNeededAnyMore(t *testing.T) {
	c, anna := overtaken(t)
	c.looked(anna, health.Scheduled)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.report("anna", "")
	c.rounds(15)
	c.expect(anna, "needs_reauthorization", "invalid", "refused")
}

// The schedule's look was a moment earlier than the report, and is written down
// while the report is.
func TestAReportIsNotLostWhenAnEarlierFindingIsWrittenWhileItIsNoted(t *testing.T) {
	c, anna := overtaken(t)
	checker, leased := c.App.Checker(), vault.CheckRequest{}
	check := func(r vault.CheckRequest) {
		if err := checker.Check(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	for leased.User == "" {
		c.Clock.Pass(2 * time.Second)
		for _, r := range c.Checks.Take() {
			if r.User == "anna" {
				leased = r
			} else {
				check(r)
			}
		}
	}
	if leased.Cause != health.Scheduled {
		t.Fatalf("%+v", leased)
	}
	c.Clock.Pass(2 * time.Second)
	c.report("anna", "")
	c.Table.Before(savingFinding, func() {
		c.Clock.Pass(-2 * time.Second)
		check(leased)
		c.Clock.Pass(2 * time.Second)
		c.Providers.Say(http.StatusUnauthorized, `{}`)
	})
	c.rounds(15)
	c.expect(anna, "needs_reauthorization", "invalid", "refused")
}

// Whoever receives a message has a clock half a minute behind that of whoever sent it.
func TestF21_ARequestThatComesBeforeItsSlotWaitsForIt(t *testing.T) {
	c, _ := crowded(t, 60)
	anna := c.connect("anna")
	c.rounds(2)
	for i := range 60 {
		c.report(fmt.Sprint("user", i), "")
	}
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.report("anna", "")
	c.World.Check()
	for range 100 {
		c.Clock.Pass(-30 * time.Second)
		for _, r := range c.early(30 * time.Second) {
			if err := c.App.Checker().Check(t.Context(), r); err != nil {
				t.Error(err)
			}
		}
		c.Clock.Pass(35 * time.Second)
	}
	c.expect(anna, "needs_reauthorization", "invalid", "refused")
}

// early are the requests whose time has come by a clock that is ahead.
func (c *clinic) early(ahead time.Duration) []vault.CheckRequest {
	c.Clock.Pass(ahead)
	defer c.Clock.Pass(-ahead)
	return c.Checks.Take()
}

func TestAnotherPolicyFreesWhatWasRefused(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.report("anna", "")
	c.World.Check()
	c.expect(id, "needs_reauthorization", "invalid", "refused")
	c.define(`{"on_invalid":"advise"}`)
	c.Clock.Pass(time.Minute)
	c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
	c.World.Check()
	c.expect(id, "connected", "invalid", "refused")
}

func TestF31_AnAccountThatCannotBeReadIsSetAside(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	bob := c.connect("bob")
	c.Edit(table.Key{PK: "U#" + c.tenant + "#anna", SK: "ACCOUNT#acme#"}, func(r boottest.Row) { r["secrets"] = "none" })
	c.rounds(5)
	if alarms := c.Log.Alarms(); !slices.Equal(alarms, []string{"poison", "poison"}) { // the feed tells of it too
		t.Errorf("alarms %v", alarms)
	}
	if n := c.checks(); n != 1 {
		t.Errorf("%d checks are left, want bob's", n)
	}
	c.expect(bob, "connected", "valid", "works")
}

func TestTheChecksOfAShreddedTenantGo(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	c.Edit(table.Key{PK: "T#" + c.tenant, SK: "TENANT"}, func(r boottest.Row) { r["status"] = "shredded" })
	c.rounds(3)
	if n, asked := c.checks(), c.Providers.Asked(); n != 0 || len(asked) != 0 {
		t.Errorf("%d checks are left, asked %v", n, asked)
	}
}

// corrupt flips a bit of a user's sealed secret.
func corrupt(t *testing.T, c *clinic, user string) {
	t.Helper()
	k := table.Key{PK: "U#" + c.tenant + "#" + user, SK: "ACCOUNT#acme#"}
	items, err := c.Engine.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	item := items[k]
	var row map[string]any
	if err := json.Unmarshal(item.Doc, &row); err != nil {
		t.Fatal(err)
	}
	current := row["secrets"].(map[string]any)["current"].(map[string]any)
	sealed, err := base64.StdEncoding.DecodeString(current["sealed"].(string))
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)/2] ^= 1
	current["sealed"] = base64.StdEncoding.EncodeToString(sealed)
	before := item.Revision
	if item.Doc, err = json.Marshal(row); err != nil {
		t.Fatal(err)
	}
	item.Revision++
	if err := c.Engine.Write(t.Context(), table.Put(item, table.At(before))); err != nil {
		t.Fatal(err)
	}
}

func TestTheChecksOfAccountsThatAreGoneGo(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	c.connect("bob")
	c.Must(http.StatusNoContent, c.token, "DELETE", "/user_management/users/anna/connected_accounts/acme", "")
	c.follow()
	if n := c.checks(); n != 1 {
		t.Errorf("%d checks are left, want bob's", n)
	}
	c.Must(http.StatusNoContent, c.token, "DELETE", "/data-integrations/acme", "")
	c.rounds(3)
	if n := c.checks(); n != 0 {
		t.Errorf("%d checks are left of a removed integration", n)
	}
	if asked := c.Providers.Asked(); len(asked) != 0 {
		t.Errorf("asked about keys that are gone: %v", asked)
	}
}

// checks is how many checks there are.
func (c *clinic) checks() int {
	n := 0
	for shard := range c.Store.DueShards() {
		for _, slotted := range []bool{false, true} {
			due, _, err := c.Store.DueChecks(c.t.Context(), shard, vault.DueRange{Slotted: slotted, Until: c.Clock.Now().Add(1000 * time.Hour), Limit: 100})
			if err != nil {
				c.t.Fatal(err)
			}
			n += len(due)
		}
	}
	return n
}

func TestAReportIsTakenOnlyIfItCanBeAboutTheStoredKey(t *testing.T) {
	c := newClinic(t)
	id := c.connect("anna")
	secretID := c.Must(http.StatusOK, c.token, "POST", "/keyvend/vend", `{"slug":"acme","user_id":"anna"}`).Text("secret_id")
	c.Clock.Pass(time.Minute)
	c.Upsert(c.token, "acme", "anna", key+"-new")
	now := c.Clock.Now()
	for name, want := range map[string]string{
		`,"secret_id":"` + secretID + `"`:                                       "stale_secret",
		`,"vended_at":"` + now.Add(-time.Second).Format(time.RFC3339Nano) + `"`: "stale_secret",
		`,"status":404`: "not_a_refusal",
		`,"status":429`: "not_a_refusal",
		`,"status":503`: "not_a_refusal",
	} {
		if strings.Contains(name, "status") {
			a := c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/reports", `{"slug":"acme","user_id":"anna"`+name+`}`)
			if a.Text("accepted") != "false" || a.Text("reason") != want {
				t.Errorf("%s: %s", name, a.Body)
			}
			continue
		}
		if a := c.report("anna", name); a.Text("accepted") != "false" || a.Text("reason") != want {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	if a := c.report("nobody", ""); a.Text("reason") != "not_installed" {
		t.Errorf("%s", a.Body)
	}
	if a := c.Do(c.token, "POST", "/keyvend/reports", `{"slug":"other","user_id":"anna","status":401}`); a.Status != http.StatusNotFound {
		t.Errorf("an unknown slug: %d", a.Status)
	}
	if n := c.Checks.Waiting(); n != 0 {
		t.Errorf("%d checks are asked for", n)
	}
	if a := c.report("anna", `,"vended_at":"`+now.Add(time.Second).Format(time.RFC3339Nano)+`"`); a.Text("accepted") != "true" {
		t.Errorf("%s", a.Body)
	}
	_ = id
}

func TestAReportAboutAProviderThatCannotBeAskedIsAnEventAndNoState(t *testing.T) {
	c := newClinic(t)
	c.Must(http.StatusCreated, c.token, "POST", "/data-integrations", `{"provider":"mute","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Mute"}}`)
	id := c.Upsert(c.token, "mute", "anna", key).Text("id")
	if a := c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", ""); a.Text("accepted") != "false" || a.Text("reason") != "no_check" {
		t.Errorf("%s", a.Body)
	}
	for range 3 {
		c.Clock.Pass(time.Minute)
		c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/reports", `{"slug":"mute","user_id":"anna","status":401}`)
		c.World.Check()
	}
	told := c.expectTold(event.Connected, event.ReauthorizationNeeded)
	if last := told[1].Data.Account; last.State != "connected" || last.Reason == nil || *last.Reason != "reported" {
		t.Errorf("%+v", last)
	}
	if a := c.account(id); a.Text("state") != "connected" {
		t.Errorf("%s", a.Body)
	}
}

func TestReportsOfOneKeyThatNobodyCanBeAskedAboutAreToldOnceAnHour(t *testing.T) {
	c := newClinic(t)
	c.Must(http.StatusCreated, c.token, "POST", "/data-integrations", `{"provider":"mute","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Mute"}}`)
	id := c.Upsert(c.token, "mute", "anna", key).Text("id")
	c.Clock.Pass(time.Minute)
	for range 150 { // minutes
		c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/reports", `{"slug":"mute","user_id":"anna","status":401}`)
		c.World.Check()
		c.Clock.Pass(time.Minute)
	}
	c.expectTold(event.Connected, event.ReauthorizationNeeded, event.ReauthorizationNeeded, event.ReauthorizationNeeded)
	if n := strings.Count(c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts/"+id+"/history", "").Body, "check_result"); n != 3 {
		t.Errorf("150 reports made %d entries of the history, want one for each that was told", n)
	}
}

// The report waits for its slot, and is still one that nobody was told of then.
func TestAReportAboutAKeyThatMustNotBeSentIsAnEventAlsoWhereItHadToWait(t *testing.T) {
	c := newClinic(t)
	c.Must(http.StatusCreated, c.token, "POST", "/data-integrations", `{"provider":"later","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Later"}}`)
	c.Upsert(c.token, "later", "anna", key)
	c.Must(http.StatusOK, c.token, "PATCH", "/keyvend/integrations/later", acmeCheck)
	for _, state := range []string{"needs_reauthorization", "connected"} { // the feed makes its check
		c.Must(http.StatusOK, c.token, "PUT", "/user_management/users/anna/connected_accounts/later", `{"state":"`+state+`"}`)
	}
	c.follow()
	report := func(user string) {
		c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/reports", `{"slug":"later","user_id":"`+user+`","status":401}`)
	}
	for i := range 5 { // they take the slots of now
		user := fmt.Sprint("user", i)
		c.Upsert(c.token, "later", user, key)
		report(user)
	}
	c.World.Check()
	report("anna")
	if c.World.Check(); c.Checks.Waiting() == 0 {
		t.Fatal("nothing waits")
	}
	for range 12 {
		c.Clock.Pass(5 * time.Second)
		c.World.Check()
	}
	if asked := len(c.Providers.Asked()); asked != 5 {
		t.Errorf("asked %d times", asked)
	}
	told := c.told()
	if last := told[len(told)-1]; last.Name != event.ReauthorizationNeeded || last.Data.User() != "anna" || last.Data.Account.Reason == nil || *last.Data.Account.Reason != "reported" {
		t.Errorf("%+v", last)
	}
}

// Someone who can write the table cannot have a key sent anywhere else.
func TestF61_AnEditedCheckHostSendsNoKey(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	k := table.Key{PK: "I#" + c.tenant, SK: "INTEGRATION#acme"}
	items, err := c.Engine.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	item := items[k]
	before := item.Revision
	item.Doc = []byte(strings.Replace(string(item.Doc), "api.acme.example", "evil.example.net", 1))
	item.Revision++
	if err := c.Engine.Write(t.Context(), table.Put(item, table.At(before))); err != nil {
		t.Fatal(err)
	}
	c.report("anna", "")
	if err := c.App.Checker().Check(t.Context(), c.Checks.Take()[0]); err == nil {
		t.Error("a check with an edited host is made")
	}
	if asked := c.Providers.Asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestASecretThatWasSealedBeforeTheCheckIsNeverSentToIt(t *testing.T) {
	c := newClinic(t)
	c.Must(http.StatusCreated, c.token, "POST", "/data-integrations", `{"provider":"later","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Later"}}`)
	id := c.Upsert(c.token, "later", "anna", key).Text("id")
	c.Must(http.StatusOK, c.token, "PATCH", "/keyvend/integrations/later", acmeCheck)
	c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
	c.World.Check()
	if asked := c.Providers.Asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
	c.expect(id, "connected", "unknown", "no_check")
	c.Clock.Pass(time.Minute)
	c.Upsert(c.token, "later", "anna", key)
	c.follow()
	c.rounds(3)
	c.expect(id, "connected", "valid", "works")
}

func TestChecksStopWhileAnIntegrationHasThemOffOrIsOff(t *testing.T) {
	for name, body := range map[string]string{"interval off": `{"check_interval":"off"}`, "disabled": ""} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			if body != "" {
				c.define(body)
			} else {
				c.Must(http.StatusOK, c.token, "PUT", "/data-integrations/acme", `{"enabled":false}`)
			}
			id := c.connect("anna")
			c.rounds(5)
			c.Clock.Pass(48 * time.Hour)
			if made := c.rounds(5); made != 0 {
				t.Errorf("%d checks were made", made)
			}
			c.Must(http.StatusAccepted, c.token, "POST", "/keyvend/accounts/"+id+"/check", "")
			if made := c.World.Check(); made != 1 {
				t.Errorf("a check that was asked for is not made")
			}
		})
	}
}

func TestVerifyOnSave(t *testing.T) {
	put := func(c *clinic, user string) boottest.Answer {
		return c.Do(c.token, "PUT", "/data-integrations/acme/api-key", `{"user_id":"`+user+`","secret":"`+key+`"}`)
	}
	t.Run("off asks nobody", func(t *testing.T) {
		c := newClinic(t)
		put(c, "anna")
		if asked := c.Providers.Asked(); len(asked) != 0 {
			t.Errorf("asked %v", asked)
		}
	})
	t.Run("require refuses a key that its provider refuses, and tells", func(t *testing.T) {
		c := newClinic(t)
		c.define(`{"verify_on_save":"require"}`)
		c.Providers.Say(http.StatusUnauthorized, `{}`)
		if a := put(c, "anna"); a.Status != 422 || a.Code() != "key_refused" || a.Text("verdict") != "invalid" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a := c.Vend(c.token, "acme", "anna"); a.Text("error") != "not_installed" {
			t.Errorf("%s", a.Body)
		}
		c.expectTold(event.ConnectionFailed)
	})
	t.Run("warn stores it, and it is known at once", func(t *testing.T) {
		c := newClinic(t)
		c.define(`{"verify_on_save":"warn"}`)
		id := put(c, "anna").Text("id")
		c.expect(id, "connected", "valid", "works")
		c.follow()
		c.expect(id, "connected", "valid", "works")
		if made := c.rounds(5); made != 0 {
			t.Errorf("%d checks right after one on saving", made)
		}
		c.Providers.Say(http.StatusUnauthorized, `{}`)
		c.Clock.Pass(time.Minute)
		bad := put(c, "bob").Text("id")
		c.expect(bad, "connected", "unknown", "refused_once")
		c.follow()
		c.rounds(6)
		c.expect(bad, "needs_reauthorization", "invalid", "refused")
	})
	t.Run("unknown never blocks", func(t *testing.T) {
		c := newClinic(t)
		c.define(`{"verify_on_save":"require"}`)
		c.Providers.Fail(health.ErrTimeout)
		if a := put(c, "anna"); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
	t.Run("an integration's inline key is verified too", func(t *testing.T) {
		c := newClinic(t)
		c.define(`{"verify_on_save":"require"}`)
		c.Providers.Say(http.StatusUnauthorized, `{}`)
		a := c.Do(c.token, "PUT", "/data-integrations/acme", `{"api_key":{"user_id":"anna","secret":"`+key+`"}}`)
		if a.Status != 422 || a.Code() != "key_refused" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
	t.Run("no tester of stolen keys", func(t *testing.T) {
		c := newClinic(t)
		c.define(`{"verify_on_save":"require"}`)
		c.Providers.Say(http.StatusUnauthorized, `{}`)
		for i := range 6 {
			want := "key_refused"
			if i == 5 {
				want = "verification_limit"
			}
			if a := put(c, "anna"); a.Code() != want {
				t.Errorf("try %d: %d %s", i, a.Status, a.Body)
			} else if i == 5 && (a.Status != 429 || a.Header.Get("Retry-After") != "600") {
				t.Errorf("%d, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
			}
		}
		if a := put(c, "bob"); a.Code() != "key_refused" {
			t.Errorf("another user: %s", a.Body)
		}
		c.Clock.Pass(10*time.Minute + time.Second)
		if a := put(c, "anna"); a.Code() != "key_refused" {
			t.Errorf("ten minutes later: %s", a.Body)
		}
		c.define(`{"verify_on_save":"warn"}`)
		for i := range 120 {
			put(c, fmt.Sprint("user", i))
		}
		asked := len(c.Providers.Asked()) - 7
		if asked != 99 {
			t.Errorf("a tenant had %d keys verified within a minute, want 99 and the one before", asked)
		}
	})
	t.Run("a repeated request asks once", func(t *testing.T) {
		c := newClinic(t)
		c.define(`{"verify_on_save":"require"}`)
		for range 3 {
			c.Must(200, c.token, "PUT", "/data-integrations/acme/api-key", `{"user_id":"anna","secret":"`+key+`"}`, "Idempotency-Key", "one")
		}
		if asked := c.Providers.Asked(); len(asked) != 1 {
			t.Errorf("asked %d times", len(asked))
		}
	})
	t.Run("only where the provider can be asked", func(t *testing.T) {
		c := newClinic(t)
		c.Must(http.StatusCreated, c.token, "POST", "/data-integrations", `{"provider":"mute","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Mute"}}`)
		if a := c.Do(c.token, "PATCH", "/keyvend/integrations/mute", `{"verify_on_save":"warn"}`); a.Status != 422 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
}
