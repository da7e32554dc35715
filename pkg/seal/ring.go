package seal

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"keyvend/pkg/keep"
)

// Config of a Ring. Durations are absolute times, not idle times.
type Config struct {
	// App and Environment are part of every encryption context. Not empty.
	App, Environment string
	// KeyID names the wrapping key; cached material of one never serves another.
	KeyID string
	// TTL is how long unwrapped key material may be used. 0 = no caching: each
	// use is a call to the Wrapper.
	TTL time.Duration
	// Size is the number of cached entries at most. 0 = 1000.
	Size int
	// FlightTime bounds one unwrapping, the fetch of its blob included. 0 = 3 s.
	FlightTime time.Duration
	// Reserve is the time before its deadline at which a caller is told
	// ErrUnavailable rather than kept waiting. 0 = 200 ms.
	Reserve time.Duration
	// Now is the wall clock. nil = time.Now.
	Now func() time.Time
	// Uptime is a monotonic clock. nil = the process's own.
	Uptime func() time.Duration
}

// refusalTTL is how long ErrRefused is remembered: long enough to spare a
// wrapper that denies, short enough that an operator sees his repair work.
const refusalTTL = 5 * time.Second

// Ring gives out tenants' keys. It unwraps what is not cached, once for any
// number of callers that wait for it. It is safe for concurrent use.
type Ring struct {
	w      Wrapper
	cfg    Config
	clock  keep.Clock
	flight singleflight.Group

	mu      sync.Mutex
	cache   *cache
	started map[entryID]keep.Instant // flights under way
}

// NewRing makes a Ring over w.
func NewRing(w Wrapper, cfg Config) *Ring {
	if cfg.Size <= 0 {
		cfg.Size = 1000
	}
	if cfg.FlightTime <= 0 {
		cfg.FlightTime = 3 * time.Second
	}
	if cfg.Reserve <= 0 {
		cfg.Reserve = 200 * time.Millisecond
	}
	return &Ring{
		w:       w,
		cfg:     cfg,
		clock:   keep.NewClock(cfg.Now, cfg.Uptime),
		cache:   newCache(cfg.Size),
		started: map[entryID]keep.Instant{},
	}
}

// Create makes the key material of a new tenant: a key pair of version 1, an
// ingest key, the vend verifier's key, and a key pair for each kind of token. The
// caller stores the material in the tenant's row and the blobs beside it, all or
// nothing. ErrFormat: a tenant without a name; other errors are those of
// Wrapper.Wrap.
func (r *Ring) Create(ctx context.Context, tenant string) (Material, Blobs, error) {
	if tenant == "" {
		return Material{}, Blobs{}, fmt.Errorf("%w: a tenant without a name", ErrFormat)
	}
	keys := make([]byte, 2*keySize)
	defer clear(keys)
	if _, err := rand.Read(keys); err != nil {
		return Material{}, Blobs{}, fmt.Errorf("seal: making an ingest key: %w", err)
	}
	m := Material{Tenant: tenant}
	session, err := r.makeTokenKeys(ctx, &m)
	if err != nil {
		return Material{}, Blobs{}, err
	}
	m, sealBlob, err := r.nextVersion(ctx, m, keys[:keySize], keys[keySize:])
	if err != nil {
		return Material{}, Blobs{}, err
	}
	return m, Blobs{Seal: sealBlob, Session: session}, nil
}

// makeTokenKeys makes a key pair for each kind of token: the public halves for m,
// the private ones wrapped.
func (r *Ring) makeTokenKeys(ctx context.Context, m *Material) (sessionBlob []byte, err error) {
	seeds := make([]byte, len(tokenKinds())*keySize)
	defer clear(seeds)
	if _, err := rand.Read(seeds); err != nil {
		return nil, fmt.Errorf("seal: making keys for tokens: %w", err)
	}
	key := newSigningKey(seeds)
	m.TokenKeys = key.public()
	c := r.sessionContext(m.Tenant)
	return r.wrap(ctx, c, encodeSessionBlob(c, seeds))
}

// Rotate makes a key pair of the next version, with which new secrets are
// sealed from then on; older versions stay and open what was sealed under them.
// sealBlob is that of m's current version. What comes back is stored like what
// Create gave. m is not changed.
//
// It first proves all that m says, so that no planted public key is taken over.
// Errors are those of Ingest and Opening, and of Wrapper.Wrap.
func (r *Ring) Rotate(ctx context.Context, m Material, sealBlob []byte) (next Material, nextBlob []byte, err error) {
	ingest, err := r.Ingest(ctx, m)
	if err != nil {
		return Material{}, nil, err
	}
	opening, err := r.Opening(ctx, m, m.Version, func(context.Context) ([]byte, error) { return sealBlob, nil })
	if err != nil {
		return Material{}, nil, err
	}
	defer runtime.KeepAlive(opening)
	if !hmac.Equal(ingest.key.b[:], opening.ingest.key.b[:]) {
		return Material{}, nil, fmt.Errorf("%w: tenant %q has two ingest keys", ErrIntegrity, m.Tenant)
	}
	return r.nextVersion(ctx, m, opening.ingest.key.b[:], opening.verifier.b[:])
}

// nextVersion adds a new key pair to m and wraps both blobs for it.
func (r *Ring) nextVersion(ctx context.Context, m Material, ingest, verifier []byte) (Material, []byte, error) {
	pair, err := kem().GenerateKey()
	if err != nil {
		return Material{}, nil, fmt.Errorf("seal: making a key pair: %w", err)
	}
	private, err := pair.Bytes()
	if err != nil {
		return Material{}, nil, fmt.Errorf("seal: making a key pair: %w", err)
	}
	defer clear(private)

	next := Material{
		Tenant:     m.Tenant,
		Version:    m.Version + 1,
		PublicKeys: map[uint32][]byte{m.Version + 1: encodePublicKey(pair.PublicKey())},
		SealHashes: map[uint32][]byte{},
		TokenKeys:  maps.Clone(m.TokenKeys),
	}
	maps.Copy(next.PublicKeys, m.PublicKeys)
	maps.Copy(next.SealHashes, m.SealHashes)

	ic, sc := r.ingestContext(next), r.sealContext(next.Tenant, next.Version)
	if next.IngestBlob, err = r.wrap(ctx, ic, encodeIngestBlob(ic, ingest)); err != nil {
		return Material{}, nil, err
	}
	blob, err := r.wrap(ctx, sc, encodeSealBlob(sc, private, ingest, verifier))
	if err != nil {
		return Material{}, nil, err
	}
	sum := sha256.Sum256(blob)
	next.SealHashes[next.Version] = sum[:]
	return next, blob, nil
}

// wrap takes ownership of plain and wipes it.
func (r *Ring) wrap(ctx context.Context, c Context, plain []byte) ([]byte, error) {
	defer clear(plain)
	blob, err := r.w.Wrap(ctx, c, plain)
	if err != nil {
		return nil, fmt.Errorf("seal: wrapping %s material: %w", c.Purpose, err)
	}
	return blob, nil
}

// Ingest returns the key that authenticates and seals for a tenant. Unwrapping
// proves all of m's public keys.
//
// ErrIntegrity: m was tampered with. ErrKeyVersion: m lacks its own current
// version. ErrFormat: a public key of a kind unknown here. ErrUnavailable,
// ErrRefused: from the Wrapper.
func (r *Ring) Ingest(ctx context.Context, m Material) (*IngestKey, error) {
	public, ok := m.PublicKeys[m.Version]
	if !ok {
		return nil, fmt.Errorf("%w: no public key of the current version %d", ErrKeyVersion, m.Version)
	}
	c := r.ingestContext(m)
	sum := sha256.Sum256(m.IngestBlob)
	v, err := r.get(ctx, r.entryID(c, sum[:], public), func(ctx context.Context) (held, error) {
		plain, err := r.w.Unwrap(ctx, c, m.IngestBlob)
		if err != nil {
			return held{}, err
		}
		defer clear(plain)
		key, err := decodeIngestBlob(c, plain)
		if err != nil {
			return held{}, err
		}
		pub, err := decodePublicKey(public)
		if err != nil {
			return held{}, err
		}
		tokens, err := decodeTokenKeys(m.TokenKeys)
		if err != nil {
			return held{}, err
		}
		return held{ingest: &IngestKey{tenant: m.Tenant, key: key, version: m.Version, public: pub, tokens: tokens}}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("seal: ingest key of %q: %w", m.Tenant, err)
	}
	return v.ingest, nil
}

// Opening returns the key that opens what was sealed under one version of a
// tenant's key pair. On a miss fetch reads that version's seal blob, with one
// strongly consistent read; it may run for several callers at once and outlive
// the one that brought it. Its error is returned wrapped.
//
// ErrIntegrity: m or the blob was tampered with. ErrKeyVersion: the tenant has
// no such version. ErrUnavailable, ErrRefused: from the Wrapper.
func (r *Ring) Opening(ctx context.Context, m Material, version uint32, fetch func(context.Context) ([]byte, error)) (*OpeningKey, error) {
	public, hash := m.PublicKeys[version], m.SealHashes[version]
	if public == nil || hash == nil {
		return nil, fmt.Errorf("%w: tenant %q has no version %d", ErrKeyVersion, m.Tenant, version)
	}
	c := r.sealContext(m.Tenant, version)
	v, err := r.get(ctx, r.entryID(c, hash, public), func(ctx context.Context) (held, error) {
		blob, err := fetch(ctx)
		if err != nil {
			return held{}, err
		}
		if sum := sha256.Sum256(blob); !hmac.Equal(sum[:], hash) {
			return held{}, fmt.Errorf("%w: the seal blob is not the one that the tenant's row names", ErrIntegrity)
		}
		plain, err := r.w.Unwrap(ctx, c, blob)
		if err != nil {
			return held{}, err
		}
		defer clear(plain)
		key, err := decodeSealBlob(c, public, plain)
		if err != nil {
			return held{}, err
		}
		return held{ingest: key.ingest, opening: key}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("seal: opening key of %q, version %d: %w", m.Tenant, version, err)
	}
	return v.opening, nil
}

// Signing returns the key that signs a tenant's tokens. On a miss fetch reads the
// session blob; what is said of it at Opening holds here too.
//
// ErrIntegrity: the blob was tampered with, or m's public keys are not those of
// its private ones. ErrKeyVersion: the tenant has no keys for tokens.
// ErrUnavailable, ErrRefused: from the Wrapper.
func (r *Ring) Signing(ctx context.Context, m Material, fetch func(context.Context) ([]byte, error)) (*SigningKey, error) {
	if len(m.TokenKeys) == 0 {
		return nil, fmt.Errorf("%w: tenant %q has no keys for tokens", ErrKeyVersion, m.Tenant)
	}
	c := r.sessionContext(m.Tenant)
	v, err := r.get(ctx, r.entryID(c, nil, []byte(m.publicKeysHash())), func(ctx context.Context) (held, error) {
		blob, err := fetch(ctx)
		if err != nil {
			return held{}, err
		}
		plain, err := r.w.Unwrap(ctx, c, blob)
		if err != nil {
			return held{}, err
		}
		defer clear(plain)
		key, err := decodeSessionBlob(c, m.TokenKeys, plain)
		return held{signing: key}, err
	})
	if err != nil {
		return nil, fmt.Errorf("seal: signing key of %q: %w", m.Tenant, err)
	}
	return v.signing, nil
}

// Recall returns a tenant's ingest key if it is in memory and in time, without
// any I/O, so that a forged token can be refused before anything is read. The
// key authenticates only, also tokens if it came from Ingest: what the tenant's row
// says now is not known yet.
func (r *Ring) Recall(tenant string) (*IngestKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.cache.ofTenant(tenant, r.clock.Now())
	if !ok {
		return nil, false
	}
	return &IngestKey{tenant: tenant, key: e.ingest.key, tokens: e.ingest.tokens}, true
}

func (r *Ring) ingestContext(m Material) Context {
	return Context{
		App: r.cfg.App, Environment: r.cfg.Environment, Tenant: m.Tenant,
		Purpose: PurposeIngest, Version: m.Version, PublicKeys: m.publicKeysHash(),
	}
}

func (r *Ring) sealContext(tenant string, version uint32) Context {
	return Context{
		App: r.cfg.App, Environment: r.cfg.Environment, Tenant: tenant,
		Purpose: PurposeSeal, Version: version,
	}
}

func (r *Ring) sessionContext(tenant string) Context {
	return Context{
		App: r.cfg.App, Environment: r.cfg.Environment, Tenant: tenant,
		Purpose: PurposeSession, Version: 1,
	}
}

// entryID is over everything that went into the proof of an entry, so that one
// that was proved for other material is never found.
func (r *Ring) entryID(c Context, blobHash, public []byte) entryID {
	e := encoder("keyvend/entry/1")
	e.text(r.cfg.KeyID)
	e.bytes(c.Canonical())
	e.bytes(blobHash)
	e.bytes(public)
	return entryID{tenant: c.Tenant, sum: sha256.Sum256(e)}
}

type loader func(context.Context) (held, error)

// get returns the cached entry or loads it.
func (r *Ring) get(ctx context.Context, id entryID, load loader) (held, error) {
	if r.cfg.TTL <= 0 {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.FlightTime)
		defer cancel()
		return load(ctx)
	}
	if v, err, ok := r.cached(id); ok {
		return v, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-r.cfg.Reserve))
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return held{}, fmt.Errorf("%w: no time left to unwrap: %w", ErrUnavailable, err)
	}
	select {
	case res := <-r.join(ctx, id, load):
		v, _ := res.Val.(held)
		return v, res.Err
	case <-ctx.Done():
		return held{}, fmt.Errorf("%w: gave up waiting: %w", ErrUnavailable, ctx.Err())
	}
}

func (r *Ring) cached(id entryID) (held, error, bool) { //nolint:revive // the error is the cached answer, not a failure to look
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.cache.get(id, r.clock.Now())
	if !ok {
		return held{}, nil, false
	}
	return e.held, e.err, true
}

// join waits for the flight under way, or starts one. A flight has a context of
// its own, so that a leader who leaves does not fail those who follow. One that
// is older than a flight may take was frozen together with the process, and is
// not joined: its connection is dead and its answer old.
func (r *Ring) join(ctx context.Context, id entryID, load loader) <-chan singleflight.Result {
	name := string(id.sum[:])
	r.mu.Lock()
	if born, ok := r.started[id]; ok && r.clock.Now().Expired(born, r.cfg.FlightTime) {
		delete(r.started, id)
		r.flight.Forget(name)
	}
	r.mu.Unlock()
	return r.flight.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.FlightTime)
		defer cancel()
		return r.fly(ctx, id, load)
	})
}

var errPanicked = errors.New("seal: reading or unwrapping key material panicked")

// fly loads one entry and caches what came of it. What was loaded while the
// process stood still or a clock was set is of unknown age: it is loaded again.
func (r *Ring) fly(ctx context.Context, id entryID, load loader) (held, error) {
	for range 2 {
		// Who missed the cache just before the last flight landed starts another.
		if v, err, ok := r.cached(id); ok {
			return v, err
		}
		v, born, err := r.leg(ctx, id, load)
		if err != nil || !r.clock.Now().Expired(born, r.cfg.FlightTime) {
			return v, err
		}
	}
	return held{}, fmt.Errorf("%w: a clock was set twice while key material was read", ErrUnavailable)
}

// leg is one load. Its age counts from before it began.
func (r *Ring) leg(ctx context.Context, id entryID, load loader) (v held, born keep.Instant, err error) {
	born = r.clock.Now()
	r.mu.Lock()
	r.started[id] = born
	r.mu.Unlock()
	defer func() {
		// A flight is a goroutine of its own: no handler would recover for it.
		if recover() != nil {
			v, err = held{}, errPanicked
		}
		r.land(id, born, v, err)
	}()
	v, err = load(ctx)
	return v, born, err
}

func (r *Ring) land(id entryID, born keep.Instant, v held, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started[id] == born {
		delete(r.started, id)
	}
	ttl := r.cfg.TTL
	switch {
	case r.clock.Now().Expired(born, r.cfg.FlightTime):
		return
	case errors.Is(err, ErrRefused):
		v, ttl = held{}, min(ttl, refusalTTL)
	case err != nil:
		return
	}
	e := &entry{id: id, held: v, err: err, born: born, ttl: ttl}
	// The timer is what makes an idle process forget; who looks an entry up
	// checks its age by both clocks anyway.
	e.timer = time.AfterFunc(ttl, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cache.drop(e)
	})
	r.cache.put(e)
}
