package tabletest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"keyvend/pkg/table"
)

// Method is a method of the port.
type Method string

// The methods of table.Table.
const (
	Get   Method = "Get"
	Query Method = "Query"
	Write Method = "Write"
)

// Call is a call of the wrapped table, as a When sees it.
type Call struct {
	Method Method
	N      int // counts the calls of this method, from 1
	Keys   []table.Key
	Query  table.Query
	Ops    []table.Op
}

// When chooses calls. It is asked under a lock and must not call the table.
type When func(Call) bool

// Nth chooses the nth call of a method, counted from 1 since the wrapper was
// made.
func Nth(m Method, n int) When {
	return func(c Call) bool { return c.Method == m && c.N == n }
}

// Next chooses the next call of a method.
func Next(m Method) When {
	return func(c Call) bool { return c.Method == m }
}

// Faulty is a table that goes wrong where a test says so. Each fault happens
// once. A fault that never happened, or that was given for a method that
// cannot have it, fails the test.
type Faulty struct {
	t     testing.TB
	inner table.Table

	mu     sync.Mutex
	counts map[Method]int
	faults []*fault
}

var _ table.Table = (*Faulty)(nil)

type fault struct {
	name   string
	when   When
	before func()
	after  func()
	unsent bool // fails, nothing is stored
	lost   bool // fails, but is stored
	writes bool // for Write only
	met    bool
}

// Faults wraps inner.
func Faults(t testing.TB, inner table.Table) *Faulty {
	f := &Faulty{t: t, inner: inner, counts: map[Method]int{}}
	t.Cleanup(f.verify)
	return f
}

// Fail lets the chosen call fail with table.ErrUnavailable; a write is not
// stored.
func (f *Faulty) Fail(when When) { f.add(&fault{name: "Fail", when: when, unsent: true}) }

// FailStored lets the chosen write fail with table.ErrUnavailable although it
// is stored.
func (f *Faulty) FailStored(when When) {
	f.add(&fault{name: "FailStored", when: when, lost: true, writes: true})
}

// Before runs hook before the chosen call, which waits for it. The hook may use
// the table.
func (f *Faulty) Before(when When, hook func()) {
	f.add(&fault{name: "Before", when: when, before: hook})
}

// After runs hook after the chosen call, which returns when the hook has.
func (f *Faulty) After(when When, hook func()) {
	f.add(&fault{name: "After", when: when, after: hook})
}

// Calls is how often a method was called.
func (f *Faulty) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[m]
}

// Get implements table.Table.
func (f *Faulty) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	var found map[table.Key]table.Item
	err := f.call(Call{Method: Get, Keys: keys}, func() (err error) {
		found, err = f.inner.Get(ctx, keys...)
		return err
	})
	return found, err // some may be found beside corrupt ones
}

// Query implements table.Table.
func (f *Faulty) Query(ctx context.Context, q table.Query) (table.Page, error) {
	var page table.Page
	err := f.call(Call{Method: Query, Query: q}, func() (err error) {
		page, err = f.inner.Query(ctx, q)
		return err
	})
	return page, err
}

// Write implements table.Table.
func (f *Faulty) Write(ctx context.Context, ops ...table.Op) error {
	return f.call(Call{Method: Write, Ops: ops}, func() error { return f.inner.Write(ctx, ops...) })
}

// Reap lets the table delete what has expired, when it is one that can be told.
func (f *Faulty) Reap(ctx context.Context) error { return reap(ctx, f.inner) }

func (f *Faulty) add(x *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, x)
}

// call makes one call with all faults that choose it.
func (f *Faulty) call(c Call, do func() error) error {
	faults := f.choose(&c)
	var fails *fault
	for _, x := range faults {
		if x.before != nil {
			x.before()
		}
		if x.unsent || x.lost {
			fails = x
		}
	}
	var err error
	if fails == nil || fails.lost {
		err = do()
	}
	for _, x := range faults {
		if x.after != nil {
			x.after()
		}
	}
	switch {
	case fails == nil:
		return err
	case fails.lost && err != nil:
		// The script said that it is stored.
		f.t.Errorf("tabletest: %s %d was to fail though stored, but it was refused: %v", c.Method, c.N, err)
		return err
	default:
		return fmt.Errorf("%w: the test's %s of %s %d", table.ErrUnavailable, fails.name, c.Method, c.N)
	}
}

func (f *Faulty) choose(c *Call) []*fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[c.Method]++
	c.N = f.counts[c.Method]
	var chosen []*fault
	failing := false
	for _, x := range f.faults {
		fails := x.unsent || x.lost
		// Two failures of one call would hide each other: the second waits.
		if x.met || fails && failing || !x.when(*c) {
			continue
		}
		if x.writes && c.Method != Write {
			f.t.Errorf("tabletest: %s chose a %s", x.name, c.Method)
		}
		x.met = true
		failing = failing || fails
		chosen = append(chosen, x)
	}
	return chosen
}

func (f *Faulty) verify() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.faults {
		if !x.met {
			f.t.Errorf("tabletest: a scripted %s never happened", x.name)
		}
	}
}
