// Package fakeprovider is a set of providers that do not exist: one for each
// way in which providers take a key, each with a check as data. What a fake
// answers, the text of the key says: fake-valid-… works, fake-revoked-… does
// not, and so on. It is for tests, and for keyvend on a laptop.
package fakeprovider

import (
	"crypto/sha256"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kit is the fakes with what is known of their keys. The zero value is ready.
// It is safe for concurrent use; its fields are set before that. It remembers
// every ask for as long as it lives.
type Kit struct {
	// Now is the clock of RevokeAt and Asked. nil: time.Now.
	Now func() time.Time
	// Slow is how long fake-slow-… keys take. 0: 30 seconds, which is longer
	// than keyvend waits.
	Slow time.Duration
	// Patience is how long an Asker waits for an answer. 0: 5 seconds.
	Patience time.Duration

	mu    sync.Mutex
	keys  map[digest]*keyState
	fakes map[string]*fakeState // by name
}

// digest stands for a key: the kit keeps no key's text.
type digest [sha256.Size]byte

func digestOf(key string) digest { return sha256.Sum256([]byte(key)) }

// keyState is what a kit knows of a key.
type keyState struct {
	asks int // that were answered for the key's sake
	// revoked has the last word on whether the key is refused at the ask of
	// that number. nil: its text says.
	revoked func(ask int) bool
}

// fakeState is what a kit knows of a fake.
type fakeState struct {
	down  bool
	asked Asked
	keys  map[digest]int // where in asked.Keys
}

// Revoke makes all fakes refuse the key from now on. A text that is no key of
// the kit is refused as it is, whatever is done to it.
func (k *Kit) Revoke(key string) { k.RevokeAfter(key, 0) }

// RevokeAfter makes all fakes refuse the key once it was asked about so often
// from now on.
func (k *Kit) RevokeAfter(key string, asks int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.key(digestOf(key))
	last := state.asks + asks
	state.revoked = func(ask int) bool { return ask > last }
}

// RevokeAt makes all fakes refuse the key from the moment t on.
func (k *Kit) RevokeAt(key string, t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key(digestOf(key)).revoked = func(int) bool { return !k.now().Before(t) }
}

// Restore ends what the methods above began, and makes a key whose text says
// that it is revoked a valid one.
func (k *Kit) Restore(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key(digestOf(key)).revoked = func(int) bool { return false }
}

// Down makes a fake unreachable: it hangs up instead of answering. A client
// whose connection has served before may then try once more by itself, and both
// tries count as asks.
func (k *Kit) Down(f Fake) { k.setDown(f, true) }

// Up ends Down.
func (k *Kit) Up(f Fake) { k.setDown(f, false) }

func (k *Kit) setDown(f Fake, down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fake(f).down = down
}

func (k *Kit) isDown(f Fake) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fake(f).down
}

// Asked is what a fake was asked up to now.
func (k *Kit) Asked(f Fake) Asked {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fake(f).asked.clone()
}

// answer is what the fake at the request's host answers, false when there is
// none.
func (k *Kit) answer(r *http.Request) (reply, bool) {
	f, found := at(r.Host)
	if !found {
		return reply{}, false
	}
	key, fits := f.read(r)
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.fake(f)
	state.record(k.now(), key, fits)
	switch {
	case state.down:
		return reply{silent: true}, true
	case key == "":
		return f.unauthenticated(), true
	case !fits:
		return misdirected(), true
	}
	return k.about(f, key, r), true
}

// about is what the fake answers for the sake of a key.
func (k *Kit) about(f Fake, key string, r *http.Request) reply {
	c, known := characterOf(key)
	if !known || f.elsewhere != nil && f.elsewhere(r, c.rest) {
		return f.unauthenticated()
	}
	state := k.key(digestOf(key))
	state.asks++
	revoked := c.revoked
	if state.revoked != nil {
		revoked = state.revoked
	}
	if revoked != nil && revoked(state.asks) {
		return f.unauthenticated()
	}
	return c.answer(situation{k, f, state.asks})
}

func (k *Kit) key(d digest) *keyState {
	if k.keys == nil {
		k.keys = map[digest]*keyState{}
	}
	if k.keys[d] == nil {
		k.keys[d] = &keyState{}
	}
	return k.keys[d]
}

func (k *Kit) fake(f Fake) *fakeState {
	if k.fakes == nil {
		k.fakes = map[string]*fakeState{}
	}
	if k.fakes[f.Name] == nil {
		k.fakes[f.Name] = &fakeState{keys: map[digest]int{}}
	}
	return k.fakes[f.Name]
}

func (k *Kit) now() time.Time {
	if k.Now == nil {
		return time.Now()
	}
	return k.Now()
}

func (k *Kit) slow() time.Duration { return orElse(k.Slow, 30*time.Second) }

func (k *Kit) patience() time.Duration { return orElse(k.Patience, 5*time.Second) }

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// at is the fake at a host, which may name a port.
func at(host string) (Fake, bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !strings.HasSuffix(host, "."+Domain) {
		return Fake{}, false
	}
	for _, f := range All() {
		if slices.Contains(f.Hosts, host) {
			return f, true
		}
	}
	return Fake{}, false
}
