package checks

import (
	"flag"
	"sync"
	"testing"
	"time"

	"keyvend/infra/testbed"
	"keyvend/pkg/health"
	"keyvend/pkg/table"
)

var size = flag.Int("accounts", 0, "`how many` accounts there are; 0 is as many as an everyday test has time for")

func TestMain(m *testing.M) { testbed.Main(m) }

// partitionLimit is how many writes a second a partition of DynamoDB takes.
const partitionLimit = 1000

// With 5,000 accounts the slots of the slower providers are taken for longer than a
// lease lasts, so that a check whose lease was lost has to wait for a slot of its
// own; with fewer nobody would see that.
//
// What goes wrong meanwhile: a worker dies with 100 leases, and of every seven
// sweeps one is killed and one runs twice at once.
func TestF29_F30_KeysThatAreDueAtOnceAreEachAskedAboutOnceAtTheirProvidersPace(t *testing.T) {
	for name, engine := range map[string]struct {
		open     func(*testing.T) table.Table
		everyday int
	}{"bolt": {onBolt, 5_000}, "dynamo": {onDynamoDB, 300}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := engine.everyday
			if *size > 0 {
				n = *size
			}
			begin := time.Now()
			c := newCrowd(t, engine.open(t), n)
			t.Logf("%d accounts stored in %v", n, time.Since(begin).Round(time.Second))
			begin = time.Now()
			for minute := 0; c.left() > 0; minute++ {
				if minute > 2*24*60 {
					t.Fatalf("%d keys were not asked about in two days", c.left())
				}
				c.minute(minute)
			}
			t.Logf("all asked about in %v, which were %v of simulated time, with at most %d writes a second to a partition",
				time.Since(begin).Round(time.Second), c.Clock.Now().Sub(c.start), c.seen.most)
			c.verify()
		})
	}
}

// minute lets a minute pass, with what goes wrong in it.
func (c *crowd) minute(n int) {
	dying := 0
	if n == 0 {
		dying = 100
	}
	switch n % 7 {
	case 1:
		c.killedSweep(c.checks / 20)
	case 2:
		var both sync.WaitGroup
		both.Go(c.sweep)
		both.Go(c.sweep)
		both.Wait()
	default:
		c.sweep()
	}
	for range time.Minute / step {
		dying = c.work(dying)
		c.Clock.Pass(step)
	}
}

func (c *crowd) verify() {
	if c.seen.most > partitionLimit {
		c.t.Errorf("%d writes a second to a partition of the index", c.seen.most)
	}
	lost := 0
	for key, leases := range c.seen.leases {
		lost += len(leases) - 1
		c.verifyKey(key, leases)
	}
	if len(c.seen.leases) != c.checks {
		c.t.Errorf("%d of %d keys were leased", len(c.seen.leases), c.checks)
	}
	if lost < 100 {
		c.t.Errorf("%d leases were lost: nobody died", lost)
	}
	c.t.Logf("%d leases were lost", lost)
	for _, p := range c.providers {
		c.verifyProvider(p.Slug, p.ChecksPerMinute())
	}
}

// verifyKey: each lease but the last was lost, and lasted.
func (c *crowd) verifyKey(key table.Key, leases []lease) {
	if asked := c.asks[key]; len(asked) != 1 {
		c.t.Errorf("%v was asked about %d times", key, len(asked))
	}
	if n := c.seen.postponed[key]; n > len(leases) {
		c.t.Errorf("%v was put off %d times for %d leases", key, n, len(leases))
	}
	for i, l := range leases {
		last := i == len(leases)-1
		sent, dead := c.taken[l], c.dead[l]
		switch {
		case last && (!sent || dead):
			c.t.Errorf("%v was asked about without a lease", key)
		case !last && sent && !dead:
			c.t.Errorf("%v was leased again although its lease was worked on", key)
		case !last && !sent && !c.killed[l.at]:
			c.t.Errorf("the lease of %v at %v was lost although no sweep was killed", key, l.at)
		case !last && leases[i+1].at.Before(l.ends):
			c.t.Errorf("%v was leased at %v and again at %v", key, l.at, leases[i+1].at)
		}
	}
}

// verifyProvider: no minute had too many questions, and nobody waited for much
// longer than the pace makes it.
func (c *crowd) verifyProvider(slug string, perMinute int) {
	times := c.asked[slug]
	most, at := 0, time.Time{}
	for first, i := 0, 0; i < len(times); i++ {
		for times[i].Sub(times[first]) >= time.Minute {
			first++
		}
		if n := i - first + 1; n > most {
			most, at = n, times[i]
		}
	}
	if most > perMinute {
		c.t.Errorf("%s was asked %d times in the minute before %v, and takes %d", slug, most, at, perMinute)
	}
	// Three of four slots are the schedule's. Sweeps that meet waste slots, and so
	// do leases that are lost.
	fair := time.Duration(len(times)) * (time.Minute + health.Slack + health.Slack/2) * 4 / 3 / time.Duration(perMinute)
	took := times[len(times)-1].Sub(c.start)
	if took > fair*3/2+15*time.Minute {
		c.t.Errorf("%s was done after %v, at its pace %v", slug, took, fair)
	}
	pace, err := c.Store.Pace(c.t.Context(), slug, health.ScheduledLane)
	if err != nil {
		c.t.Fatal(err)
	}
	if ahead := pace.Next.Sub(c.Clock.Now()); ahead > fair/2+15*time.Minute {
		c.t.Errorf("the slots of %s are taken for another %v", slug, ahead)
	}
	c.t.Logf("%-14s %6d questions, done after %v, the pace alone takes %v", slug, len(times), took, fair.Round(time.Second))
}
