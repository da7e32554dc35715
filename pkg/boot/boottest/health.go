package boottest

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/vault"
)

// Providers are all third parties at once. Until it is told otherwise each of
// them takes every key.
type Providers struct {
	t  testing.TB
	mu sync.Mutex

	answer func(catalog.Ask) (health.Answer, error)
	asked  []string
}

// Ask implements health.Asker.
func (p *Providers) Ask(ctx context.Context, ask catalog.Ask) (health.Answer, error) {
	if ask.Host == "" || ask.Method == "" || ask.URL.Len() == 0 {
		p.t.Errorf("a provider is asked without host, method or address: %+v", ask)
	}
	if ctx.Err() != nil {
		return health.Answer{}, health.ErrTimeout
	}
	p.mu.Lock()
	p.asked = append(p.asked, ask.Host)
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return Says(http.StatusOK, `{}`), nil
	}
	return answer(ask)
}

// Answer sets what providers answer from now on; nil: they take every key.
func (p *Providers) Answer(f func(catalog.Ask) (health.Answer, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// Say has every provider answer alike from now on.
func (p *Providers) Say(status int, body string) {
	p.Answer(func(catalog.Ask) (health.Answer, error) { return Says(status, body), nil })
}

// Fail has no provider answer from now on.
func (p *Providers) Fail(err error) {
	p.Answer(func(catalog.Ask) (health.Answer, error) { return health.Answer{}, err })
}

// Says is an answer in JSON.
func Says(status int, body string) health.Answer {
	return health.Answer{Status: status, ContentType: "application/json", Body: []byte(body)}
}

// Asked are the hosts that were asked so far, in order.
func (p *Providers) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// Checks is the queue of the function "health", which a test works through by
// itself.
type Checks struct {
	t    testing.TB
	mu   sync.Mutex
	wait []vault.CheckRequest
	fail func(vault.CheckRequest) error
	now  func() time.Time
}

// Send implements vault.CheckQueue.
func (q *Checks) Send(ctx context.Context, requests []vault.CheckRequest) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	errs := make([]error, len(requests))
	for i, r := range requests {
		if r.Tenant == "" || r.Slug == "" || r.User == "" || r.Cause == "" {
			q.t.Errorf("an incomplete request for a check: %+v", r)
		}
		if r.Slot.Sub(q.now()) > vault.MaxDelay {
			q.t.Errorf("a request is further ahead than a queue delays it: %+v", r)
		}
		if errs[i] = ctx.Err(); errs[i] == nil && q.fail != nil {
			errs[i] = q.fail(r)
		}
		if errs[i] == nil {
			q.wait = append(q.wait, r)
		}
	}
	return errs
}

// Refuse has the queue ask f about each request from now on: what it has an error
// for is not taken. nil ends it.
func (q *Checks) Refuse(f func(vault.CheckRequest) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = f
}

// Take takes the requests whose time has come.
func (q *Checks) Take() []vault.CheckRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken, kept []vault.CheckRequest
	for _, r := range q.wait {
		if r.Slot.After(q.now()) {
			kept = append(kept, r)
		} else {
			taken = append(taken, r)
		}
	}
	q.wait = kept
	return taken
}

// Waiting is how many requests there are.
func (q *Checks) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.wait)
}

// Check makes the checks that are asked for until none is left whose time has
// come, and returns how many.
func (w *World) Check() (made int) {
	w.t.Helper()
	checker := w.App.Checker()
	for {
		requests := w.Checks.Take()
		if len(requests) == 0 {
			return made
		}
		for _, r := range requests {
			made++
			if err := checker.Check(w.t.Context(), r); err != nil {
				w.t.Errorf("a check: %v", err)
			}
		}
	}
}
