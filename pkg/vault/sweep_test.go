package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

const key = boottest.Canary + "0123456789abcdef"

// acme is a tenant with openai registered and accounts of the given users.
type acme struct {
	*boottest.World
	t             *testing.T
	tenant, token string
}

func newAcme(t *testing.T, cfg boottest.Config, users ...string) acme {
	t.Helper()
	w := boottest.New(t, cfg)
	a := acme{World: w, t: t, tenant: w.Tenant()}
	a.token = w.Key(a.tenant, "vend", "manage")
	w.Register(a.token, "openai")
	for _, user := range users {
		w.Upsert(a.token, "openai", user, key)
	}
	return a
}

func (a acme) remove() {
	a.t.Helper()
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/openai", "")
}

func (a acme) sweep() vault.Swept {
	a.t.Helper()
	done, err := a.App.Sweep(a.t.Context(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return done.Swept
}

// jobs is how many removal jobs there are.
func (a acme) jobs() int {
	a.t.Helper()
	jobs, err := a.Store.Removals(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return len(jobs)
}

func (a acme) hasAccount(user string) bool {
	a.t.Helper()
	return a.Has(boottest.AccountRow(a.tenant, user, "openai", ""))
}

// finish sweeps as the schedule does until no job is left.
func (a acme) finish() {
	a.t.Helper()
	for range 10 {
		if a.jobs() == 0 {
			return
		}
		a.Clock.Pass(10 * time.Minute)
		a.sweep()
	}
	a.t.Fatal("the removal does not come to an end")
}

func TestARemovalsAccountsGoAndItsJobEndsTwoEmptyPassesAndAQuarterOfAnHourLater(t *testing.T) {
	a := newAcme(t, boottest.Config{}, "anna", "bob")
	a.remove()
	if got := a.sweep(); got != (vault.Swept{Jobs: 1, Accounts: 2}) {
		t.Errorf("first: %+v", got)
	}
	if a.hasAccount("anna") || a.hasAccount("bob") {
		t.Error("an account is left")
	}
	for range 3 {
		a.Clock.Pass(4 * time.Minute)
		if got := a.sweep(); got.Finished != 0 {
			t.Errorf("ended after %v", a.Clock.Now())
		}
	}
	a.Clock.Pass(3*time.Minute - time.Millisecond)
	if got := a.sweep(); got.Finished != 0 {
		t.Error("ended a millisecond too early")
	}
	a.Clock.Pass(time.Millisecond)
	if got := a.sweep(); got != (vault.Swept{Jobs: 1, Finished: 1}) || a.jobs() != 0 {
		t.Errorf("last: %+v, %d jobs", got, a.jobs())
	}
}

func TestF50_ALateSweepStillTakesTwoEmptyPasses(t *testing.T) {
	a := newAcme(t, boottest.Config{}, "anna")
	a.remove()
	a.Clock.Pass(24 * time.Hour)
	for i, want := range []vault.Swept{{Jobs: 1, Accounts: 1}, {Jobs: 1}, {Jobs: 1, Finished: 1}, {}} {
		if got := a.sweep(); got != want {
			t.Errorf("sweep %d: %+v, want %+v", i, got, want)
		}
	}
}

// mortal is a table that dies after some calls: the last one may still be done,
// but nobody hears of it.
type mortal struct {
	table.Table
	mu     sync.Mutex
	left   int  // calls until death; below 0: immortal
	stored bool // whether the last call is done
	died   bool
}

func (m *mortal) live(calls int, stored bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left, m.stored, m.died = calls, stored, false
}

// next says whether a call is done, and whether it is answered.
func (m *mortal) next() (done, answered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left < 0 {
		return true, true
	}
	if m.left > 0 {
		m.left--
		return true, true
	}
	first := !m.died
	m.died = true
	return first && m.stored, false
}

func (m *mortal) call(do func() error) error {
	done, answered := m.next()
	var err error
	if done {
		err = do()
	}
	if !answered {
		return fmt.Errorf("%w: the process is dead", table.ErrUnavailable)
	}
	return err
}

func (m *mortal) Get(ctx context.Context, keys ...table.Key) (found map[table.Key]table.Item, err error) {
	err = m.call(func() (err error) { found, err = m.Table.Get(ctx, keys...); return err })
	return found, err
}

func (m *mortal) Query(ctx context.Context, q table.Query) (page table.Page, err error) {
	err = m.call(func() (err error) { page, err = m.Table.Query(ctx, q); return err })
	return page, err
}

func (m *mortal) Write(ctx context.Context, ops ...table.Op) error {
	return m.call(func() error { return m.Table.Write(ctx, ops...) })
}

func newMortal(inner table.Table) *mortal { return &mortal{Table: inner, left: -1} }

func TestF27_F50_ASweepThatDiesAtAnyStepIsCarriedOnByTheNext(t *testing.T) {
	for _, stored := range []bool{false, true} {
		for step, died := 0, true; died; step++ {
			engine := newMortal(tabletest.NewMemory())
			a := newAcme(t, boottest.Config{Engine: engine}, "anna", "bob", "carl")
			a.remove()
			a.Clock.Pass(time.Hour)
			engine.live(step, stored)
			_, _ = a.App.Sweep(t.Context(), nil) // what it says does not matter: it is dead
			died = engine.died
			engine.live(-1, false)
			a.finish()
			for _, user := range []string{"anna", "bob", "carl"} {
				if a.hasAccount(user) {
					t.Errorf("death after %d calls, last one stored %v: %s's account is left", step, stored, user)
				}
			}
		}
	}
}

// shards is over how many partitions each index spreads accounts.
const shards = 8

// at is where the items of a partition of an index lie.
func (a acme) at(index, pk string) (keys []table.Key) {
	a.t.Helper()
	page, err := a.Engine.Query(a.t.Context(), table.Query{Index: index, PK: pk, Limit: table.MaxPage})
	if err != nil || page.After != "" {
		a.t.Fatalf("%v %v", page.After, err)
	}
	for _, item := range page.Items {
		keys = append(keys, item.Key)
	}
	return keys
}

// indexed are the accounts that the indexes know: those under an integration,
// and all of the tenant's.
func (a acme) indexed(integration string) (under, all []table.Key) {
	a.t.Helper()
	for shard := range shards {
		under = append(under, a.at("list", fmt.Sprintf("U#%s#%s#%d", a.tenant, integration, shard))...)
		all = append(all, a.at("ids", fmt.Sprintf("U#%s#%d", a.tenant, shard))...)
	}
	return under, all
}

func (a acme) integration() string {
	a.t.Helper()
	return a.Must(http.StatusOK, a.token, "GET", "/data-integrations/openai", "").Text("id")
}

// TestF50_ASweepThatIsKilledTenTimesLeavesNothingInTheEnd lets ten sweeps die in
// the middle of very many accounts. Meanwhile the slug is registered anew.
func TestF50_ASweepThatIsKilledTenTimesLeavesNothingInTheEnd(t *testing.T) {
	const accounts, deaths = 1000, 10 // two pages in each shard: one death does not end a shard
	deleting := func(c tabletest.Call) bool {
		return c.Method == tabletest.Write && len(c.Ops) == 1 && strings.HasPrefix(c.Ops[0].Item.SK, "ACCOUNT#")
	}
	for name, sweep := range map[string]func(a acme, engine *mortal, death int){
		"dead after some calls, of which the last is stored or not": func(a acme, engine *mortal, death int) {
			engine.live(10+3*death, death%2 == 0)
			_, _ = a.App.Sweep(a.t.Context(), nil) // what it says does not matter: it is dead
			if !engine.died {
				a.t.Errorf("sweep %d came to its end", death)
			}
			engine.live(-1, false)
		},
		"told to stop": func(a acme, _ *mortal, death int) {
			ctx, cancel := context.WithCancel(a.t.Context())
			defer cancel()
			n := 0
			a.Table.Before(func(c tabletest.Call) bool {
				if deleting(c) {
					n++
				}
				return n > 2*death
			}, cancel)
			_, _ = a.App.Sweep(ctx, nil)
			if alarms := a.Log.Alarms(); len(alarms) > 0 {
				a.t.Errorf("alarms: %v", alarms)
			}
		},
		"a deletion fails": func(a acme, _ *mortal, _ int) {
			a.Table.Fail(deleting)
			a.sweep()
		},
		"a deletion is stored and not answered": func(a acme, _ *mortal, _ int) {
			a.Table.FailStored(deleting)
			a.sweep()
		},
	} {
		t.Run(name, func(t *testing.T) {
			engine := newMortal(embedded(t))
			a := newAcme(t, boottest.Config{Engine: engine})
			a.crowd(accounts)
			old, reborn := a.integration(), boottest.AccountRow(a.tenant, "user0001", "openai", "")
			rows, _ := a.indexed(old)
			a.remove()
			for death := range deaths {
				a.Clock.Pass(time.Minute)
				sweep(a, engine, death)
				if death == deaths/2 {
					a.Register(a.token, "openai")
					a.Upsert(a.token, "openai", "user0001", key+"-anew") // over the dead row, if that is still there
				}
			}
			if left, _ := a.indexed(old); len(left) == 0 || len(left) >= accounts {
				t.Errorf("%d of %d accounts are left after %d deaths: this test sees nothing", len(left), accounts, deaths)
			}
			a.Upsert(a.token, "openai", "newcomer", key+"-new")
			a.finish()
			if under, all := a.indexed(old); len(under) != 0 || len(all) != 2 || a.jobs() != 0 {
				t.Errorf("left under the old registration: %v; of all: %v; %d jobs", under, all, a.jobs())
			}
			for _, row := range rows {
				if a.Has(row) && row != reborn {
					t.Errorf("%v is left", row)
				}
			}
			for user, want := range map[string]string{"user0001": key + "-anew", "newcomer": key + "-new"} {
				if got := a.Vend(a.token, "openai", user).Text("credential.value"); got != want {
					t.Errorf("%s is vended %d bytes", user, len(got))
				}
			}
		})
	}
}

func TestF29_TwoSweepsAtOnceDoNoHarm(t *testing.T) {
	a := newAcme(t, boottest.Config{}, "anna", "bob", "carl")
	a.remove()
	a.Clock.Pass(time.Hour)
	deleting := func(c tabletest.Call) bool {
		return c.Method == tabletest.Write && strings.HasPrefix(c.Ops[0].Item.SK, "ACCOUNT#")
	}
	a.Table.Before(deleting, func() { a.sweep() }) // a whole sweep in the middle of another
	a.sweep()
	a.finish()
	for _, user := range []string{"anna", "bob", "carl"} {
		if a.hasAccount(user) {
			t.Errorf("%s's account is left", user)
		}
	}
	if alarms := a.Log.Alarms(); len(alarms) != 0 {
		t.Errorf("alarms: %v", alarms)
	}
}

func TestF50_AccountsThatTheIndexShowsLateGoToo(t *testing.T) {
	lagging := tabletest.Lag(tabletest.NewMemory())
	a := newAcme(t, boottest.Config{Engine: lagging}, "anna", "bob")
	a.remove()
	for range 3 { // the index knows nothing yet: empty passes
		a.Clock.Pass(time.Minute)
		a.sweep()
	}
	if !a.hasAccount("anna") || a.jobs() != 1 {
		t.Error("the job ended before the index could have caught up")
	}
	if err := lagging.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.finish()
	if a.hasAccount("anna") || a.hasAccount("bob") {
		t.Error("an account is left")
	}
}

func TestF50_AnIndexThatShowsWhatIsGoneDoesNoHarm(t *testing.T) {
	lagging := tabletest.Lag(tabletest.NewMemory())
	a := newAcme(t, boottest.Config{Engine: lagging}, "anna", "bob")
	if err := lagging.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.remove()
	a.sweep()
	a.finish() // the index shows both accounts to the end
	if a.hasAccount("anna") || a.hasAccount("bob") {
		t.Error("an account is left")
	}
}

func TestF6_F50_AnAccountMadeUnderANewRegistrationSurvives(t *testing.T) {
	lagging := tabletest.Lag(tabletest.NewMemory())
	a := newAcme(t, boottest.Config{Engine: lagging}, "anna", "bob")
	if err := lagging.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.remove()
	a.Register(a.token, "openai")
	if got := a.Vend(a.token, "openai", "anna"); got.Text("error") != "not_installed" {
		t.Errorf("an old account is vended: %s", got.Body)
	}
	anew := boottest.Canary + "anew-0123"
	a.Upsert(a.token, "openai", "anna", anew) // over the dead row, where the stale index points
	a.finish()
	if got := a.Vend(a.token, "openai", "anna"); got.Text("credential.value") != anew {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if a.hasAccount("bob") {
		t.Error("the dead account is left")
	}
}

func TestAnAccountThatChangedWhileItWasSweptIsLookedForAgain(t *testing.T) {
	a := newAcme(t, boottest.Config{}, "anna")
	a.remove()
	a.Clock.Pass(time.Hour)
	row := boottest.AccountRow(a.tenant, "anna", "openai", "")
	for pass := range 4 {
		deleting := func(c tabletest.Call) bool { return c.Method == tabletest.Write && c.Ops[0].Item.Key == row }
		a.Table.Before(deleting, func() { a.Edit(row, func(boottest.Row) {}) }) // a late write of another function
		a.sweep()
		if a.jobs() == 0 {
			t.Fatalf("the job ended in pass %d, with the account still there: %v", pass, a.hasAccount("anna"))
		}
	}
	a.finish()
	if a.hasAccount("anna") {
		t.Error("the account is left")
	}
}

// twoJobs is acme with two removed integrations, an account under each.
func twoJobs(t *testing.T) acme {
	a := newAcme(t, boottest.Config{}, "anna")
	a.remove()
	a.Clock.Pass(time.Second)
	a.Register(a.token, "stripe")
	a.Upsert(a.token, "stripe", "bob", key)
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/stripe", "")
	return a
}

func TestF31_ADamagedAccountGoesLikeTheOthers(t *testing.T) {
	a := twoJobs(t)
	a.WriteDoc(boottest.AccountRow(a.tenant, "anna", "openai", ""), []byte(`{"state":1}`)) // decodes to nothing
	done := a.sweep()
	if done.Jobs != 2 || done.Accounts != 2 || a.hasAccount("anna") || a.Has(boottest.AccountRow(a.tenant, "bob", "stripe", "")) {
		t.Errorf("%+v", done)
	}
}

func TestF31_OneFailingJobDoesNotStopTheOthers(t *testing.T) {
	a := twoJobs(t)
	row := boottest.AccountRow(a.tenant, "anna", "openai", "")
	a.Table.Fail(func(c tabletest.Call) bool { return c.Method == tabletest.Write && c.Ops[0].Item.Key == row })
	done := a.sweep()
	if done.Jobs != 2 || done.Accounts != 1 || a.Has(boottest.AccountRow(a.tenant, "bob", "stripe", "")) {
		t.Errorf("%+v", done)
	}
	if got := a.Log.Alarms(); len(got) != 1 || got[0] != "sweep" {
		t.Errorf("alarms: %v", got)
	}
}

func TestASweepThatRunsOutOfTimeLeavesTheRestToTheNext(t *testing.T) {
	a := newAcme(t, boottest.Config{}, "anna")
	a.remove()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than a sweep keeps in reserve
	defer cancel()
	if done, err := a.App.Sweep(ctx, nil); err != nil || done != (boot.Swept{}) {
		t.Errorf("%+v %v", done, err)
	}
	a.finish()
	if a.hasAccount("anna") {
		t.Error("the account is left")
	}
}

func TestF50_ManyAccountsOverManyPagesAllGo(t *testing.T) {
	a := newAcme(t, boottest.Config{Engine: embedded(t)})
	const n = 1200 // more than a page in each shard
	a.crowd(n)
	a.remove()
	if done := a.sweep(); done.Accounts != n {
		t.Errorf("%+v", done)
	}
}
