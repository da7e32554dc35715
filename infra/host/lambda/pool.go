package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Pool is a function with its environments. Methods may be called at the same
// time.
type Pool struct {
	function Function
	slots    chan struct{}

	mu     sync.Mutex
	serial int
	closed bool
	idle   []*Environment // the one that has waited longest is first
	all    map[*Environment]struct{}
}

// ErrClosed is the answer of a closed pool.
var ErrClosed = errors.New("lambda: closed")

// NewPool starts nothing yet.
func NewPool(f Function) *Pool {
	if f.Limit < 1 {
		f.Limit = 1
	}
	if f.Log == nil {
		f.Log = io.Discard
	}
	return &Pool{function: f, slots: make(chan struct{}, f.Limit), all: map[*Environment]struct{}{}}
}

// Invoke runs the function once. It starts an environment when none is free,
// and waits for one when the limit is reached, at most until ctx ends; an
// invocation that began runs to its end. Errors of the invocation itself are
// *FunctionError.
func (p *Pool) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, ErrTooLarge
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	e, id, err := p.take()
	if err != nil {
		return nil, err
	}
	defer p.giveBack(e)
	return e.invoke(id, payload)
}

// ErrTooLarge refuses a payload over 6 MB.
var ErrTooLarge = errors.New("lambda: the payload is over 6 MB")

// Warm starts environments until n are running, n being at most the limit.
func (p *Pool) Warm(n int) error {
	for {
		p.mu.Lock()
		missing := min(n, p.function.Limit) - len(p.all)
		p.mu.Unlock()
		if missing <= 0 {
			return nil
		}
		e, err := p.launch()
		if err != nil {
			return err
		}
		p.giveBack(e)
	}
}

// Environments lists the living processes.
func (p *Pool) Environments() []*Environment {
	p.mu.Lock()
	defer p.mu.Unlock()
	var living []*Environment
	for e := range p.all {
		if e.alive() {
			living = append(living, e)
		}
	}
	return living
}

// Close ends all environments.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, e := range p.Environments() {
		e.Kill()
	}
}

// take returns a free environment and the id of the invocation to come. The
// one that has waited longest comes first, so that a test meets them all.
func (p *Pool) take() (*Environment, string, error) {
	p.mu.Lock()
	p.serial++
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", p.serial, p.serial)
	for len(p.idle) > 0 {
		e := p.idle[0]
		p.idle = p.idle[1:]
		if e.alive() {
			p.mu.Unlock()
			return e, id, nil
		}
		delete(p.all, e)
	}
	p.mu.Unlock()
	e, err := p.launch()
	return e, id, err
}

func (p *Pool) launch() (*Environment, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	e, err := start(p.function)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.all[e] = struct{}{}
	p.mu.Unlock()
	return e, nil
}

func (p *Pool) giveBack(e *Environment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !e.alive():
		delete(p.all, e)
	case p.closed:
		delete(p.all, e)
		go e.Kill()
	default:
		p.idle = append(p.idle, e)
	}
}

// Lock makes a writer that many processes can write to.
func Lock(w io.Writer) io.Writer { return &lockedWriter{w: w} }

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
