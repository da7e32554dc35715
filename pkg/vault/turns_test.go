package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

// slow is a table whose calls take their time, as one in a network does, and whose
// pages are short.
type slow struct {
	table.Table
	each atomic.Int64 // nanoseconds
}

const shortPage = 5

func (s *slow) pass() { time.Sleep(time.Duration(s.each.Load())) }

func (s *slow) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	s.pass()
	return s.Table.Get(ctx, keys...)
}

func (s *slow) Query(ctx context.Context, q table.Query) (table.Page, error) {
	s.pass()
	if q.Index != "" {
		q.Limit = min(q.Limit, shortPage)
	}
	return s.Table.Query(ctx, q)
}

func (s *slow) Write(ctx context.Context, ops ...table.Op) error {
	s.pass()
	return s.Table.Write(ctx, ops...)
}

// busy is acme over a table that takes its time, while the sweep is at work and
// never else.
type busy struct {
	acme
	engine *slow
	each   time.Duration
}

// inBusy runs a test in a time of its own, in which a sweep has the minute that it
// has in AWS, and each call of the table takes that long.
func inBusy(t *testing.T, each time.Duration, test func(*testing.T, busy)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		engine := &slow{Table: tabletest.NewMemory()}
		test(t, busy{newAcme(t, boottest.Config{Engine: engine}), engine, each})
	})
}

// minute has the schedule run the sweep once.
func (b busy) minute() vault.Swept {
	b.t.Helper()
	began := time.Now()
	b.engine.each.Store(int64(b.each))
	defer b.engine.each.Store(0)
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	done, err := b.App.Sweep(ctx, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if took := time.Since(began); took >= time.Minute {
		b.t.Errorf("the sweep was killed after %v", took)
	}
	b.Clock.Pass(time.Minute)
	return done.Swept
}

// neighbour is another tenant of the same table, with a key of bob's.
func (b busy) neighbour() acme {
	b.t.Helper()
	n := b.acme
	n.tenant = b.Tenant()
	n.token = b.Key(n.tenant, "vend", "manage")
	n.Register(n.token, "openai")
	n.Upsert(n.token, "openai", "bob", key)
	return n
}

func TestF50_AHugeRemovalLeavesASmallOneOfAnotherTenantItsTurn(t *testing.T) {
	inBusy(t, 200*time.Millisecond, func(t *testing.T, b busy) {
		b.crowd(1000)
		n := b.neighbour()
		b.remove()
		b.Clock.Pass(time.Second)
		n.remove()
		done := b.minute()
		if done.Accounts >= 1000 {
			t.Fatalf("%+v: this test sees nothing", done)
		}
		if n.hasAccount("bob") {
			t.Errorf("%+v: the small removal waits for the huge one", done)
		}
	})
}

func TestF50_ManyRemovalsOfOneTenantLeaveAnotherItsTurn(t *testing.T) {
	const leavers = 400
	inBusy(t, 200*time.Millisecond, func(t *testing.T, b busy) {
		n := b.neighbour()
		for i := range leavers {
			b.Must(http.StatusAccepted, b.token, "DELETE", fmt.Sprintf("/keyvend/users/user%d", i), "")
		}
		b.Clock.Pass(time.Second)
		n.remove()
		done := b.minute()
		if done.Jobs >= leavers {
			t.Fatalf("%+v: this test sees nothing", done)
		}
		if n.hasAccount("bob") {
			t.Errorf("%+v: one removal waits for all of another tenant's", done)
		}
	})
}

// What a sweep has no time for goes first in the next one: none is left out.
func TestF50_MoreRemovalsThanASweepHasTimeForAllGetTheirTurn(t *testing.T) {
	const leavers = 400
	inBusy(t, 200*time.Millisecond, func(t *testing.T, b busy) {
		for i := range leavers {
			b.Must(http.StatusAccepted, b.token, "DELETE", fmt.Sprintf("/keyvend/users/user%d", i), "")
		}
		turns := 0
		for turns < leavers {
			done := b.minute()
			if done.Jobs == 0 || done.Jobs == leavers {
				t.Fatalf("%+v: this test sees nothing", done)
			}
			turns += done.Jobs
		}
		jobs, err := b.Store.Removals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		without := 0
		for _, job := range jobs {
			if job.EmptyPasses == 0 {
				without++
			}
		}
		if without > 0 {
			t.Errorf("after %d turns, %d of %d jobs had none", turns, without, leavers)
		}
	})
}

// An organization's accounts are looked for among all of the tenant's, which takes
// longer than a sweep has.
func TestF50_ARemovalThatTakesManySweepsGoesOnWhereTheLastOneEnded(t *testing.T) {
	inBusy(t, time.Second, func(t *testing.T, b busy) {
		b.crowd(400)
		b.Must(http.StatusAccepted, b.token, "DELETE", "/keyvend/organizations/org", "")
		const enough = 40
		for sweeps := 0; b.jobs() > 0; sweeps++ {
			if sweeps == enough {
				t.Fatalf("it is not done after %d sweeps", sweeps)
			}
			b.minute()
		}
		rest := 0
		for i := range 400 {
			organization := ""
			if i%10 == 0 {
				organization = "org"
			}
			if b.Has(boottest.AccountRow(b.tenant, fmt.Sprintf("user%04d", i), "openai", organization)) {
				rest++
			}
		}
		if rest != 360 {
			t.Errorf("%d accounts are left, want 360", rest)
		}
	})
}
