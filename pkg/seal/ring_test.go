package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/secret"
)

// copyOf returns m with maps of its own, for a test to tamper with.
func copyOf(m seal.Material) seal.Material {
	m.PublicKeys, m.SealHashes = maps.Clone(m.PublicKeys), maps.Clone(m.SealHashes)
	return m
}

func read(blob []byte) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return blob, nil }
}

func TestF3_KeyMaterialSwappedBetweenTenantsVersionsOrPurposesDoesNotUnwrap(t *testing.T) {
	x := newTenant(t)
	old := copyOf(x.Material)
	x.rotate()
	y := x.other("globex")

	for name, tamper := range map[string]func(*seal.Material){
		"another tenant's ingest blob":       func(m *seal.Material) { m.IngestBlob = y.IngestBlob },
		"another tenant's ingest and keys":   func(m *seal.Material) { m.IngestBlob, m.PublicKeys, m.Version = y.IngestBlob, y.PublicKeys, 1 },
		"the ingest blob of the old version": func(m *seal.Material) { m.IngestBlob = old.IngestBlob },
		"the old version made current":       func(m *seal.Material) { m.Version = 1 },
		"a seal blob for the ingest blob":    func(m *seal.Material) { m.IngestBlob = x.blobs[2] },
		"the whole row of another tenant":    func(m *seal.Material) { *m = copyOf(y.Material); m.Tenant = x.Tenant },
	} {
		t.Run("ingest: "+name, func(t *testing.T) {
			m := copyOf(x.Material)
			tamper(&m)
			if k, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Fatalf("got %v, %v", k, err)
			}
		})
	}
	for name, blob := range map[string][]byte{
		"another tenant's blob": y.blobs[1],
		"another version's":     x.blobs[1],
		"the ingest blob":       x.IngestBlob,
		"nothing":               nil,
	} {
		t.Run("opening: "+name, func(t *testing.T) {
			// As the row names it: refused before the wrapper is asked.
			calls := x.wrapper.Unwraps()
			if k, err := x.ring.Opening(t.Context(), x.Material, 2, read(blob)); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Fatalf("got %v, %v", k, err)
			}
			if x.wrapper.Unwraps() != calls {
				t.Fatal("asked the wrapper for a blob that the row does not name")
			}
			// With the row tampered with too: refused by the context.
			m := copyOf(x.Material)
			m.SealHashes[2] = sum(blob)
			if k, err := x.ring.Opening(t.Context(), m, 2, read(blob)); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Fatalf("got %v, %v", k, err)
			}
		})
	}
}

func TestF3_AWarmCacheHidesNoSwappedBlob(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	x.ingest()
	x.opening(1)
	m := copyOf(x.Material)
	m.IngestBlob = y.IngestBlob
	if _, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("ingest: %v", err)
	}
	m.SealHashes[1] = sum(y.blobs[1])
	if _, err := x.ring.Opening(t.Context(), m, 1, read(y.blobs[1])); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("opening: %v", err)
	}
}

func TestF7_EveryChangedBitOfWrappedKeyMaterialIsAnError(t *testing.T) {
	x := newTenant(t)
	try := func(ingest, sealed []byte) {
		t.Helper()
		m := copyOf(x.Material)
		m.IngestBlob = ingest
		if k, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Fatalf("ingest: %v, %v", k, err)
		}
		m.SealHashes[1] = sum(sealed)
		if k, err := x.ring.Opening(t.Context(), m, 1, read(sealed)); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Fatalf("seal: %v, %v", k, err)
		}
	}
	blob := x.blobs[1]
	for bit := range len(blob) * 8 {
		flip := func(b []byte) []byte {
			b = bytes.Clone(b)
			bit := bit % (len(b) * 8)
			b[bit/8] ^= 1 << (bit % 8)
			return b
		}
		try(flip(x.IngestBlob), flip(blob))
	}
	for n := range len(blob) {
		try(x.IngestBlob[:n%len(x.IngestBlob)], blob[:n])
	}
	try(append(bytes.Clone(x.IngestBlob), 0), append(bytes.Clone(blob), 0))
}

func TestF7_EveryChangedBitOfASealHashIsAnError(t *testing.T) {
	x := newTenant(t)
	for bit := range 256 {
		m := copyOf(x.Material)
		m.SealHashes[1] = bytes.Clone(m.SealHashes[1])
		m.SealHashes[1][bit/8] ^= 1 << (bit % 8)
		if _, err := x.ring.Opening(t.Context(), m, 1, x.fetch(1)); !errors.Is(err, seal.ErrIntegrity) {
			t.Fatal(err)
		}
	}
}

func TestF15_AThrottledWrapperLeavesCachedTenantsAtWork(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	s := x.seal()
	x.opening(1)
	x.wrapper.Always(sealtest.Fail(fmt.Errorf("%w: throttled", seal.ErrUnavailable)))
	wantSecret(t, x.opening(1), x.binding(), cover(), s)
	if _, err := y.open(t.Context(), 1); !errors.Is(err, seal.ErrUnavailable) {
		t.Fatalf("uncached: %v", err)
	}
	x.wrapper.Always(nil)
	y.opening(1) // an outage is not remembered
}

func TestF16_AnOutageIsSurvivedToTheEndOfTheTTLAndNotBeyond(t *testing.T) {
	x := newTenant(t)
	s := x.seal()
	k := x.opening(1)
	x.wrapper.Always(sealtest.Fail(fmt.Errorf("%w: connection refused", seal.ErrUnavailable)))
	x.clock.pass(ttl - time.Nanosecond)
	wantSecret(t, x.opening(1), x.binding(), cover(), s)
	x.ingest()
	x.clock.pass(time.Nanosecond)
	for range 3 {
		if _, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrUnavailable) {
			t.Fatalf("opening after the TTL: %v", err)
		}
		if _, err := x.ring.Ingest(t.Context(), x.Material); !errors.Is(err, seal.ErrUnavailable) {
			t.Fatalf("ingest after the TTL: %v", err)
		}
		if _, ok := x.ring.Recall(x.Tenant); ok {
			t.Fatal("recalled after the TTL")
		}
	}
	x.wrapper.Always(nil)
	wantSecret(t, x.opening(1), x.binding(), cover(), s)
	runtime.KeepAlive(k)
}

func TestTheTTLIsAbsoluteHoweverOftenAKeyIsUsed(t *testing.T) {
	x := newTenant(t)
	x.opening(1)
	calls := x.wrapper.Unwraps()
	for range 5 {
		x.clock.pass(ttl / 5)
		x.opening(1)
	}
	if got := x.wrapper.Unwraps() - calls; got != 1 {
		t.Fatalf("%d calls within one TTL of steady use, want 1", got)
	}
}

func TestF17_ADisabledKeyStopsAllWithinTheTTLAndIsAskedAtMostEveryFiveSeconds(t *testing.T) {
	x := newTenant(t)
	x.opening(1)
	x.wrapper.Always(sealtest.Fail(fmt.Errorf("%w: DisabledException", seal.ErrRefused)))
	x.clock.pass(ttl)
	calls := x.wrapper.Unwraps()
	for range 10 {
		if _, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrRefused) {
			t.Fatalf("got %v", err)
		}
	}
	if got := x.wrapper.Unwraps() - calls; got != 1 {
		t.Fatalf("%d calls within five seconds, want 1", got)
	}
	x.wrapper.Always(nil)
	x.clock.pass(5*time.Second - time.Nanosecond)
	if _, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrRefused) {
		t.Fatalf("got %v", err)
	}
	x.clock.pass(time.Nanosecond)
	x.opening(1)
}

func TestF18_FiveHundredConcurrentUsesOfAColdTenantAreOneUnwrap(t *testing.T) {
	x := newTenant(t)
	s := x.seal()
	calls := x.wrapper.Unwraps()
	release, asked := make(chan struct{}), make(chan struct{})
	x.wrapper.On(func(_ context.Context, unwrap func() ([]byte, error)) ([]byte, error) {
		close(asked)
		<-release
		return unwrap()
	})
	leader, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := x.open(leader, 1)
		left <- err
	}()
	<-asked

	var group sync.WaitGroup
	var arrived atomic.Int32
	errs := make(chan error, 500)
	for range 500 {
		group.Go(func() {
			arrived.Add(1)
			k, err := x.open(t.Context(), 1)
			if err == nil {
				_, err = k.Open(x.binding(), cover(), s)
			}
			errs <- err
		})
	}
	for arrived.Load() < 500 {
		runtime.Gosched()
	}
	leave()
	if err := <-left; !errors.Is(err, seal.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled leader got %v", err)
	}
	close(release)
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatalf("a follower failed: %v", err)
		}
	}
	if got := x.wrapper.Unwraps() - calls; got != 1 {
		t.Errorf("%d unwraps, want exactly 1", got)
	}
	if x.reads != 1 {
		t.Errorf("%d reads of the seal blob, want exactly 1", x.reads)
	}
}

func TestF19_AnAnswerThatIsNotThisBlobsPlaintextIsRejectedAndNotCached(t *testing.T) {
	x := newTenant(t)
	y := x.other("globex")
	var ofIngest, ofSeal, ofIngest2, ofSeal2 []byte
	keep := func(to *[]byte) sealtest.Fault {
		return sealtest.Answer(func(p []byte) []byte { *to = bytes.Clone(p); return p })
	}
	y.wrapper.On(keep(&ofIngest), keep(&ofSeal))
	y.ingest()
	y.opening(1)
	z := newTenant(t)
	z.wrapper.On(keep(&ofIngest2), keep(&ofSeal2))
	z.rotate() // unwraps both

	answers := map[string]func(p []byte) []byte{
		"another tenant's ingest plaintext": func([]byte) []byte { return bytes.Clone(ofIngest) },
		"another tenant's seal plaintext":   func([]byte) []byte { return bytes.Clone(ofSeal) },
		"nothing":                           func([]byte) []byte { return nil },
		"one byte":                          func(p []byte) []byte { return p[:1] },
		"a byte short":                      func(p []byte) []byte { return p[:len(p)-1] },
		"a byte long":                       func(p []byte) []byte { return append(p, 0) },
		"zeros of the right length":         func(p []byte) []byte { clear(p); return p },
		"another blob version":              func(p []byte) []byte { p[0]++; return p },
		"another kind":                      func(p []byte) []byte { p[1] ^= 'i' ^ 's'; return p },
		"another owner":                     func(p []byte) []byte { p[2]++; return p },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			cached := x.ring.Len()
			x.wrapper.On(sealtest.Answer(answer), sealtest.Answer(answer))
			if k, err := x.ring.Ingest(t.Context(), x.Material); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Errorf("ingest: %v, %v", k, err)
			}
			if k, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Errorf("opening: %v, %v", k, err)
			}
			if x.ring.Len() != cached {
				t.Error("something was cached")
			}
		})
	}
	for name, answer := range map[string]func(p []byte) []byte{
		"another version":            func(p []byte) []byte { p[39]++; return p },
		"another KEM":                func(p []byte) []byte { p[35]++; return p },
		"another pair's private key": func(p []byte) []byte { copy(p[40:72], ofSeal2[40:72]); return p },
	} {
		t.Run("seal: "+name, func(t *testing.T) {
			x.wrapper.On(sealtest.Answer(answer))
			if k, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Errorf("opening: %v, %v", k, err)
			}
		})
	}
	x.ingest()
	x.opening(1)
	x.wrapper.Wiped()
}

func TestF20_TenThousandTenantsLeaveABoundedCacheAndNoKeysBehind(t *testing.T) {
	const size = 100
	x := newTenant(t, func(c *seal.Config) { c.Size = size })
	first := x.ingest().KeyBytes()
	if allZero(first) {
		t.Fatal("the fixture has no key")
	}
	for i := range 10_000 {
		m := copyOf(x.Material)
		m.Tenant = fmt.Sprintf("tenant-%d", i)
		if i%100 == 0 {
			y := x.other(m.Tenant)
			y.ingest()
			y.opening(1)
		} else {
			// A refusal takes a place too.
			x.wrapper.On(sealtest.Fail(seal.ErrRefused))
			if _, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrRefused) {
				t.Fatal(err)
			}
		}
		if n := x.ring.Len(); n > size {
			t.Fatalf("%d entries after %d tenants", n, i)
		}
	}
	if _, ok := x.ring.Recall(x.Tenant); ok {
		t.Fatal("the first tenant's key is still in the cache")
	}
	seal.Await(t, "wiped the evicted key", func() bool { return allZero(first) })
	x.wrapper.Wiped()
}

func TestF20_AnEvictedKeyThatIsInUseIsNotWiped(t *testing.T) {
	x := newTenant(t, func(c *seal.Config) { c.Size = 1 })
	s := x.seal()
	k := x.opening(1)
	want := k.MAC("use", []byte("a"))
	x.other("globex").ingest()
	for range 3 {
		runtime.GC()
	}
	wantSecret(t, k, x.binding(), cover(), s)
	if !bytes.Equal(k.MAC("use", []byte("a")), want) {
		t.Fatal("a key was wiped while it was in use")
	}
}

func TestF21_AClockThatJumpsExpiresEntriesEitherWay(t *testing.T) {
	const day = 24 * time.Hour
	for name, step := range map[string]struct{ wall, uptime time.Duration }{
		"wall clock a day ahead":                          {day, time.Second},
		"wall clock a day back":                           {-day, time.Second},
		"monotonic clock stood still":                     {ttl, 0},
		"wall clock stood still":                          {0, ttl},
		"monotonic clock back":                            {time.Second, -time.Nanosecond},
		"both a day back":                                 {-day, -day},
		"wall clock beyond what a duration can tell":      {1<<63 - 1, time.Second},
		"wall clock beyond what a duration can tell back": {-1 << 63, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTenant(t)
			x.opening(1)
			x.ingest()
			x.clock.step(step.wall, step.uptime)
			if _, ok := x.ring.Recall(x.Tenant); ok {
				t.Error("recalled")
			}
			calls := x.wrapper.Unwraps()
			x.opening(1)
			x.ingest()
			if got := x.wrapper.Unwraps() - calls; got != 2 {
				t.Errorf("%d unwraps, want 2", got)
			}
		})
	}
}

func TestF57_AReplacedPublicKeyIsRefusedBeforeAnythingIsSealed(t *testing.T) {
	x := newTenant(t)
	x.rotate()
	x.ingest() // cached material must not help
	evil := newTenant(t).PublicKeys[1]
	for name, tamper := range map[string]func(*seal.Material){
		"the current key replaced":  func(m *seal.Material) { m.PublicKeys[2] = evil },
		"an old key replaced":       func(m *seal.Material) { m.PublicKeys[1] = evil },
		"a key added":               func(m *seal.Material) { m.PublicKeys[3] = evil },
		"a key added, made current": func(m *seal.Material) { m.PublicKeys[3] = evil; m.Version = 3 },
		"an old key renumbered":     func(m *seal.Material) { m.PublicKeys[0] = m.PublicKeys[1]; delete(m.PublicKeys, 1) },
		"an old key removed":        func(m *seal.Material) { delete(m.PublicKeys, 1) },
		"keys exchanged": func(m *seal.Material) {
			m.PublicKeys[1], m.PublicKeys[2] = m.PublicKeys[2], m.PublicKeys[1]
		},
		"a bit flipped": func(m *seal.Material) { m.PublicKeys[2] = bytes.Clone(m.PublicKeys[2]); m.PublicKeys[2][33] ^= 0x80 },
		"truncated":     func(m *seal.Material) { m.PublicKeys[2] = m.PublicKeys[2][:33] },
		"empty":         func(m *seal.Material) { m.PublicKeys[2] = []byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			m := copyOf(x.Material)
			tamper(&m)
			if k, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrIntegrity) || k != nil {
				t.Errorf("ingest: %v, %v", k, err)
			}
			if _, _, err := x.ring.Rotate(t.Context(), m, x.blobs[m.Version]); !errors.Is(err, seal.ErrIntegrity) {
				t.Errorf("rotate: %v", err)
			}
		})
	}
	t.Run("the current key removed", func(t *testing.T) {
		m := copyOf(x.Material)
		delete(m.PublicKeys, 2)
		if _, err := x.ring.Ingest(t.Context(), m); !errors.Is(err, seal.ErrKeyVersion) {
			t.Error(err)
		}
	})
	t.Run("opening", func(t *testing.T) {
		x.opening(2)
		m := copyOf(x.Material)
		m.PublicKeys[2] = evil
		if k, err := x.ring.Opening(t.Context(), m, 2, x.fetch(2)); !errors.Is(err, seal.ErrIntegrity) || k != nil {
			t.Errorf("%v, %v", k, err)
		}
	})
}

func TestWithoutATTLEveryUseIsACallAndNothingStaysInMemory(t *testing.T) {
	x := newTenant(t, func(c *seal.Config) { c.TTL = 0 })
	s := x.seal()
	calls, reads := x.wrapper.Unwraps(), x.reads
	for range 3 {
		wantSecret(t, x.opening(1), x.binding(), cover(), s)
	}
	if got := x.wrapper.Unwraps() - calls; got != 3 || x.reads-reads != 3 {
		t.Errorf("%d unwraps and %d reads, want 3 each", got, x.reads-reads)
	}
	x.wrapper.On(sealtest.Fail(seal.ErrRefused))
	if _, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrRefused) {
		t.Error(err)
	}
	x.opening(1)
	if _, ok := x.ring.Recall(x.Tenant); ok || x.ring.Len() != 0 {
		t.Error("something is cached")
	}
	x.wrapper.Wiped()
	raw := x.ingest().KeyBytes()
	seal.Await(t, "wiped a key that nobody uses", func() bool { return allZero(raw) })
}

func TestAWarmRingNeitherReadsNorUnwraps(t *testing.T) {
	x := newTenant(t)
	x.opening(1)
	x.ingest()
	calls, reads := x.wrapper.Unwraps(), x.reads
	for range 10 {
		x.opening(1)
		x.ingest()
		if _, ok := x.ring.Recall(x.Tenant); !ok {
			t.Fatal("not recalled")
		}
	}
	// Not even a context that is over matters then.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.open(over, 1); err != nil {
		t.Error(err)
	}
	if x.wrapper.Unwraps() != calls || x.reads != reads {
		t.Error("a warm ring made a call")
	}
}

func TestRecallKnowsOnlyTenantsWhoseKeyIsInMemory(t *testing.T) {
	x := newTenant(t)
	if _, ok := x.ring.Recall(x.Tenant); ok {
		t.Error("recalled what was only created")
	}
	x.opening(1)
	if _, ok := x.ring.Recall("globex"); ok {
		t.Error("recalled another tenant")
	}
	if _, ok := x.ring.Recall(x.Tenant); !ok {
		t.Error("not recalled from the seal purpose")
	}
}

func TestF54_ACallerIsToldBeforeHisDeadline(t *testing.T) {
	x := newTenant(t, func(c *seal.Config) { c.Reserve = time.Hour - 50*time.Millisecond })
	x.wrapper.On(func(ctx context.Context, _ func() ([]byte, error)) ([]byte, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", seal.ErrUnavailable, ctx.Err())
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := x.open(ctx, 1); !errors.Is(err, seal.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if ctx.Err() != nil {
		t.Fatal("the caller has no time left")
	}
}

func TestF54_NothingIsReadOrUnwrappedWithoutTimeLeft(t *testing.T) {
	x := newTenant(t)
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := x.open(ctx, 1); !errors.Is(err, seal.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if x.wrapper.Unwraps() != 0 || x.reads != 0 {
		t.Fatal("it began what it could not finish")
	}
}

func TestAFlightThatWasFrozenWithTheProcessIsNotJoined(t *testing.T) {
	x := newTenant(t)
	asked, thaw := make(chan struct{}), make(chan struct{})
	x.wrapper.On(func(_ context.Context, unwrap func() ([]byte, error)) ([]byte, error) {
		close(asked)
		<-thaw
		return unwrap()
	})
	frozen := make(chan error)
	go func() {
		_, err := x.open(t.Context(), 1)
		frozen <- err
	}()
	<-asked
	x.clock.step(10*time.Minute, 0) // as a process that Lambda froze sees it
	x.opening(1)                    // another flight
	close(thaw)
	if err := <-frozen; err != nil {
		t.Errorf("the frozen caller: %v", err)
	}
	calls := x.wrapper.Unwraps()
	if calls != 2 {
		t.Errorf("%d unwraps, want 2", calls)
	}
	x.opening(1)
	if x.wrapper.Unwraps() != calls {
		t.Error("the old flight's landing dropped the new flight's entry")
	}
}

func TestAnAnswerThatCameWhileTheClockJumpedIsAskedForAgain(t *testing.T) {
	x := newTenant(t)
	jump := func(_ context.Context, unwrap func() ([]byte, error)) ([]byte, error) {
		x.clock.step(-time.Hour, 0)
		return unwrap()
	}
	x.wrapper.On(jump)
	x.opening(1)
	if got := x.wrapper.Unwraps(); got != 2 {
		t.Errorf("%d unwraps, want 2", got)
	}
	x.clock.pass(ttl)
	x.wrapper.On(jump, jump)
	if _, err := x.open(t.Context(), 1); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestAFetchThatFailsOrPanicsIsAnErrorAndIsNotRemembered(t *testing.T) {
	x := newTenant(t)
	away := errors.New("the table is away")
	if _, err := x.ring.Opening(t.Context(), x.Material, 1, func(context.Context) ([]byte, error) { return nil, away }); !errors.Is(err, away) {
		t.Error(err)
	}
	_, err := x.ring.Opening(t.Context(), x.Material, 1, func(context.Context) ([]byte, error) { panic(canary) })
	if err == nil || bytes.Contains([]byte(err.Error()), []byte(canary)) {
		t.Errorf("got %v", err)
	}
	x.opening(1)
}

func TestCreateMakesKeysOfItsOwnAndFailsWhole(t *testing.T) {
	x := newTenant(t)
	again := x.other(x.Tenant)
	if bytes.Equal(again.PublicKeys[1], x.PublicKeys[1]) || bytes.Equal(again.ingest().MAC("u"), x.ingest().MAC("u")) {
		t.Error("two tenants have the same keys")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if m, blobs, err := x.ring.Create(over, "globex"); !errors.Is(err, seal.ErrUnavailable) || blobs.Seal != nil || blobs.Session != nil || m.IngestBlob != nil {
		t.Errorf("got %v", err)
	}
	if _, _, err := x.ring.Create(t.Context(), ""); !errors.Is(err, seal.ErrFormat) {
		t.Errorf("a tenant without a name: %v", err)
	}
}

func TestRotateNeedsTheCurrentSealBlobAndChangesNothingOfTheOldMaterial(t *testing.T) {
	x := newTenant(t)
	before := copyOf(x.Material)
	if _, _, err := x.ring.Rotate(t.Context(), x.Material, x.IngestBlob); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("got %v", err)
	}
	next, _, err := x.ring.Rotate(t.Context(), x.Material, x.blobs[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(x.PublicKeys) != 1 || len(x.SealHashes) != 1 || x.Version != before.Version {
		t.Error("rotating changed the old material")
	}
	if got := slices.Sorted(maps.Keys(next.PublicKeys)); !slices.Equal(got, []uint32{1, 2}) || next.Version != 2 {
		t.Errorf("versions %v, current %d", got, next.Version)
	}
}

func TestRotateRefusesAnIngestKeyOtherThanTheProvenOne(t *testing.T) {
	x := newTenant(t)
	x.ingest()
	x.wrapper.On(sealtest.Answer(func(p []byte) []byte { p[72]++; return p }))
	if _, _, err := x.ring.Rotate(t.Context(), x.Material, x.blobs[1]); !errors.Is(err, seal.ErrIntegrity) {
		t.Errorf("got %v", err)
	}
}

func TestTheLeastRecentlyUsedEntryIsEvictedFirst(t *testing.T) {
	x := newTenant(t, func(c *seal.Config) { c.Size = 2 })
	y, z := x.other("globex"), x.other("initech")
	x.ingest()
	y.ingest()
	x.ingest()
	z.ingest()
	if _, ok := x.ring.Recall(x.Tenant); !ok {
		t.Error("the entry that was used last is gone")
	}
	if _, ok := x.ring.Recall(y.Tenant); ok {
		t.Error("the entry that was used least is still there")
	}
}

func TestAnIdleRingForgetsByItself(t *testing.T) {
	x := newTenant(t, func(c *seal.Config) { c.TTL = 20 * time.Millisecond })
	raw := x.ingest().KeyBytes()
	seal.Await(t, "dropped and wiped an expired key nobody asked for", func() bool { return x.ring.Len() == 0 && allZero(raw) })
}

func TestManyCallersOfManyTenantsInASmallCacheGetTheirOwnKeys(t *testing.T) {
	x := newTenant(t, func(c *seal.Config) { c.Size = 3 })
	const n = 8
	tenants, want := make([]*tenant, 0, n), make([][]byte, 0, n)
	for i := range n {
		y := x.other(fmt.Sprintf("tenant-%d", i))
		tenants, want = append(tenants, y), append(want, y.ingest().MAC("use"))
	}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 200 {
				n := (worker*31 + i*7) % len(tenants)
				y := tenants[n]
				k, err := y.open(context.Background(), 1)
				if errors.Is(err, seal.ErrUnavailable) {
					continue // the clock was set twice meanwhile
				}
				if err != nil || !bytes.Equal(k.Ingest().MAC("use"), want[n]) {
					t.Errorf("worker %d: tenant %d: %v", worker, n, err)
					return
				}
				if r, ok := y.ring.Recall(y.Tenant); ok && !bytes.Equal(r.MAC("use"), want[n]) {
					t.Errorf("worker %d: recalled another tenant's key", worker)
				}
				if i%50 == 0 {
					x.clock.pass(ttl)
				}
			}
		})
	}
	group.Wait()
	x.wrapper.Wiped()
}

func TestContextsCarryIdsOnlyAndNoTwoEncodeAlike(t *testing.T) {
	c := sealtest.IngestContext()
	want := map[string]string{
		"app": c.App, "environment": c.Environment, "tenant": c.Tenant,
		"purpose": "ingest", "version": "1", "public_keys": c.PublicKeys,
	}
	if !maps.Equal(c.Map(), want) {
		t.Errorf("got %v", c.Map())
	}
	if _, ok := sealtest.SealContext().Map()["public_keys"]; ok {
		t.Error("the seal purpose names public keys")
	}
	for name, other := range sealtest.Others(c) {
		if bytes.Equal(other.Canonical(), c.Canonical()) {
			t.Errorf("another %s encodes alike", name)
		}
	}
}

func TestMaterialUnderOneWrappingKeyDoesNotOpenUnderAnother(t *testing.T) {
	x := newTenant(t)
	s, err := x.ingest().Seal(x.binding(), secretID, cover(), secret.FromString(canary))
	if err != nil {
		t.Fatal(err)
	}
	y := newTenant(t) // another wrapper, another key
	if _, err := y.ring.Opening(t.Context(), x.Material, 1, x.fetch(1)); !errors.Is(err, seal.ErrIntegrity) {
		t.Fatal(err)
	}
	wantSecret(t, x.opening(1), x.binding(), cover(), s)
}
