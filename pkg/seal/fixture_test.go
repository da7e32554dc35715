package seal_test

import (
	"context"
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/secret"
)

const canary = "sk-canary-0123456789abcdef"

const ttl = 5 * time.Minute

// clock is a wall clock and a monotonic one, set by hand.
type clock struct {
	mu     sync.Mutex
	wall   time.Time
	uptime time.Duration
}

func newClock() *clock { return &clock{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) up() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uptime
}

// step moves the wall clock and the monotonic one.
func (c *clock) step(wall, uptime time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.uptime = c.wall.Add(wall), c.uptime+uptime
}

// pass lets time pass.
func (c *clock) pass(d time.Duration) { c.step(d, d) }

// tenant is one tenant with its ring, and the seal blobs of its versions.
type tenant struct {
	t       testing.TB
	ring    *seal.Ring
	wrapper *sealtest.Wrapper
	clock   *clock
	seal.Material
	blobs   map[uint32][]byte
	session []byte
	reads   int
	mu      sync.Mutex
}

// newTenant makes tenant acme in a ring of its own; edit may change its config.
func newTenant(t testing.TB, edit ...func(*seal.Config)) *tenant {
	t.Helper()
	c := newClock()
	cfg := seal.Config{App: "keyvend", Environment: "test", KeyID: "fake", TTL: ttl, Now: c.now, Uptime: c.up}
	for _, e := range edit {
		e(&cfg)
	}
	w := sealtest.NewWrapper(t)
	return (&tenant{t: t, ring: seal.NewRing(w, cfg), wrapper: w, clock: c}).other("acme")
}

// other is another tenant of the same ring.
func (x *tenant) other(name string) *tenant {
	x.t.Helper()
	m, blobs, err := x.ring.Create(x.t.Context(), name)
	if err != nil {
		x.t.Fatal(err)
	}
	return &tenant{t: x.t, ring: x.ring, wrapper: x.wrapper, clock: x.clock, Material: m, blobs: map[uint32][]byte{1: blobs.Seal}, session: blobs.Session}
}

func (x *tenant) rotate() {
	x.t.Helper()
	m, blob, err := x.ring.Rotate(x.t.Context(), x.Material, x.blobs[x.Version])
	if err != nil {
		x.t.Fatal(err)
	}
	x.Material, x.blobs[m.Version] = m, blob
}

// fetch reads a seal blob and counts.
func (x *tenant) fetch(version uint32) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.reads++
		return x.blobs[version], nil
	}
}

func (x *tenant) open(ctx context.Context, version uint32) (*seal.OpeningKey, error) {
	return x.ring.Opening(ctx, x.Material, version, x.fetch(version))
}

func (x *tenant) ingest() *seal.IngestKey {
	x.t.Helper()
	k, err := x.ring.Ingest(x.t.Context(), x.Material)
	if err != nil {
		x.t.Fatal(err)
	}
	return k
}

func (x *tenant) opening(version uint32) *seal.OpeningKey {
	x.t.Helper()
	k, err := x.open(x.t.Context(), version)
	if err != nil {
		x.t.Fatal(err)
	}
	return k
}

func (x *tenant) binding() seal.Binding {
	return seal.Binding{
		Tenant: x.Tenant, IntegrationID: "data_integration_01", Slug: "openai", OwnerKind: "user",
		User: "user_1", Organization: "org_1", AuthMethod: "api_key",
		CheckHost: "api.example.com", CheckPlacement: "header",
	}
}

func cover() seal.Cover {
	return seal.Cover{
		Slot: "current", Last4: "cdef", Fingerprint: []byte("fingerprint"),
		ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		Config:    map[string]string{"region": "eu", "account": "42"},

		ConfigByReader: true,
	}
}

var secretID = seal.SecretID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func (x *tenant) seal() seal.Sealed {
	x.t.Helper()
	s, err := x.ingest().Seal(x.binding(), secretID, cover(), secret.FromString(canary))
	if err != nil {
		x.t.Fatal(err)
	}
	return s
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
