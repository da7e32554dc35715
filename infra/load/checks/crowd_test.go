package checks

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyvend/infra/testbed"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/dynamo"
	"keyvend/pkg/vault"
)

func onBolt(t *testing.T) table.Table {
	// Nothing expires by the clock of this machine, which is far from the simulated one.
	engine, err := bolt.Config{Now: func() time.Time { return time.Unix(0, 0) }}.Open(filepath.Join(t.TempDir(), "keyvend.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

func onDynamoDB(t *testing.T) table.Table {
	name, cfg := "t-"+rand.Text(), testbed.Config()
	cfg.BaseEndpoint = aws.String(testbed.DynamoDB(t))
	client := dynamo.NewClient(cfg)
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	return dynamo.New(dynamo.Config{Client: client, TableName: name, AttemptTimeout: 20 * time.Second, TotalTimeout: time.Minute})
}

const (
	providers = 20
	tenants   = 3
	atOnce    = 32               // accounts that are stored, and checks that are made
	step      = 10 * time.Second // of the simulated time
)

// crowd is a world of very many keys that are all due.
type crowd struct {
	*boottest.World
	t         *testing.T
	seen      *witness
	providers map[string]catalog.Provider // by host
	checks    int
	start     time.Time

	mu     sync.Mutex
	asked  map[string][]time.Time    // when each provider was, by slug
	asks   map[table.Key][]time.Time // when it was about each key
	taken  map[lease]bool            // whose messages were taken from the queue
	dead   map[lease]bool            // whose workers died
	killed map[time.Time]bool        // when sweeps were
}

// newCrowd makes n accounts of as many providers and tenants, more or less, as
// the promise has, with checks that are due now.
func newCrowd(t *testing.T, engine table.Table, n int) *crowd {
	seen := newWitness(engine, nil)
	c := &crowd{
		World: boottest.New(t, boottest.Config{Engine: seen}), t: t, seen: seen, checks: n, providers: map[string]catalog.Provider{},
		asked: map[string][]time.Time{}, asks: map[table.Key][]time.Time{},
		taken: map[lease]bool{}, dead: map[lease]bool{}, killed: map[time.Time]bool{},
	}
	seen.now = c.Clock.Now
	c.Providers.Answer(c.answer)
	able := askable(t)
	owners := make([]vault.Target, 0, n)
	for range tenants {
		tenant := c.Tenant()
		token := c.Key(tenant, "manage")
		for host, p := range able {
			c.Register(token, p.Slug)
			c.providers[host] = p
			owners = append(owners, vault.Target{Tenant: tenant, Slug: p.Slug})
		}
	}
	c.each(n, func(i int) {
		target := owners[i%len(owners)]
		target.User = fmt.Sprintf("user-%06d", i)
		if err := c.seed(target); err != nil {
			t.Error(err)
		}
	})
	c.Clock.Pass(step)
	seen.most, c.start = 0, c.Clock.Now()
	return c
}

// askable are entries of the catalog, by host, whose checks need no setting, send
// the key as it is, and take `{}` for the answer to a good one.
func askable(t *testing.T) map[string]catalog.Provider {
	able := map[string]catalog.Provider{}
	for _, p := range catalog.All() {
		if p.Check == nil || len(p.ConfigFields) > 0 || len(able) == providers {
			continue
		}
		ask, err := p.Check.Ask(nil, nil, secret.FromString(boottest.Canary+"a.b.c"))
		verdict, _ := p.Check.Judge(http.StatusOK, "application/json", []byte(`{}`))
		if err == nil && verdict == catalog.Valid && keyOf(ask) == checkKey("a", "b", "c") {
			able[ask.Host] = p
		}
	}
	if len(able) != providers {
		t.Fatalf("%d providers", len(able))
	}
	return able
}

// seed stores a user's key, with its check.
func (c *crowd) seed(target vault.Target) error {
	view, err := c.Store.Load(c.t.Context(), target)
	if err != nil {
		return err
	}
	clock := ident.Clock(c.Clock.Now)
	keys := vault.IngestKeys{Ring: seal.NewRing(c.Wrapper, seal.Config{App: "keyvend", Environment: "test", KeyID: "fake", Now: c.Clock.Now})}
	unlocked, err := keys.Unlock(c.t.Context(), view.Tenant)
	if err != nil {
		return err
	}
	accounts := vault.Accounts{Store: c.Store, Clock: clock, Log: slog.New(slog.DiscardHandler)}
	visit := &vault.Visit{Target: target, View: view, Unlocked: unlocked}
	a, err := accounts.Upsert(c.t.Context(), visit, vault.Upsert{Secret: secret.FromString(boottest.Canary + target.Tenant + "." + target.Slug + "." + target.User)})
	if err != nil {
		return err
	}
	return c.Store.SaveCheck(c.t.Context(), health.Of(a, c.Clock.Now()))
}

// each does n things, some at a time.
func (c *crowd) each(n int, do func(i int)) {
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wait.Wait()
}

// answer is every provider's: it notes who is asked about which key.
func (c *crowd) answer(ask catalog.Ask) (health.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, slug, key := c.Clock.Now(), c.providers[ask.Host].Slug, keyOf(ask)
	c.asked[slug] = append(c.asked[slug], now)
	c.asks[key] = append(c.asks[key], now)
	return boottest.Says(http.StatusOK, `{}`), nil
}

// keyOf is where the check of the key lies that a provider is asked about.
func keyOf(ask catalog.Ask) table.Key {
	sent := string(ask.URL.Reveal())
	for _, value := range ask.Header {
		sent += " " + string(value.Reveal())
	}
	_, key, _ := strings.Cut(sent, boottest.Canary)
	key, _, _ = strings.Cut(key, " ")
	parts := append(strings.Split(key, "."), "", "")
	return checkKey(parts[0], parts[1], parts[2])
}

// checkKey is where the check of a user's key lies.
func checkKey(tenant, slug, user string) table.Key {
	return table.Key{PK: "C#" + tenant + "#" + user, SK: "CHECK#" + slug + "#"}
}

// left is how many keys were not asked about.
func (c *crowd) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checks - len(c.asks)
}

func (c *crowd) sweep() {
	if _, err := c.App.Sweep(c.t.Context(), nil); err != nil {
		c.t.Error(err)
	}
}

// killedSweep is a sweep that ends after so many writes.
func (c *crowd) killedSweep(writes int) {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	c.seen.after(writes, cancel)
	c.killed[c.Clock.Now()] = true
	_, _ = c.App.Sweep(ctx, nil) // how it ends does not matter
}

// work makes the checks whose time has come, but for the first ones, whose worker
// dies with them. It returns how many are still to be lost.
func (c *crowd) work(dying int) int {
	checker := c.App.Checker()
	requests := c.Checks.Take()
	c.each(len(requests), func(i int) {
		r := requests[i]
		l := c.seen.leaseOf(checkKey(r.Tenant, r.Slug, r.User), r.Revision)
		c.mu.Lock()
		c.taken[l], c.dead[l] = true, i < dying
		c.mu.Unlock()
		if i < dying {
			return
		}
		if err := checker.Check(c.t.Context(), r); err != nil {
			c.t.Error(err)
		}
	})
	return max(dying-len(requests), 0)
}
