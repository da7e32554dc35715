// Package sqs emulates Amazon SQS in memory: standard queues that functions send
// to over the API and that Lambda receives from. Time is the machine's, and may
// be made to pass at once.
package sqs

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"keyvend/infra/host/cfn"
)

// Place is where queues are.
type Place struct{ Region, Account string }

// ARN is that of the queue of that name.
func (p Place) ARN(name string) string {
	return "arn:aws:sqs:" + p.Region + ":" + p.Account + ":" + name
}

// URL is that of the queue of that name.
func (p Place) URL(name string) string {
	return "https://sqs." + p.Region + ".amazonaws.com/" + p.Account + "/" + name
}

// Config is what a Service is made of.
type Config struct {
	Place  Place
	Queues []cfn.Queue
	// Twice has each message delivered twice, as at-least-once delivery allows:
	// never both times in one batch, but perhaps at the same time.
	Twice bool
	Log   io.Writer        // gets a line about each message that is sent; nil is nowhere
	Now   func() time.Time // nil is the machine's time
}

// Service is SQS. All its queues share one lock and wake all who wait at each
// change: they are few.
type Service struct {
	Config
	queues map[string]*Queue // by ARN

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	ahead   time.Duration // of the machine's time
	serial  int
}

// New makes the queues. The error names a queue whose dead letters have nowhere
// to go.
func New(c Config) (*Service, error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{Config: c, queues: map[string]*Queue{}, changed: make(chan struct{})}
	for _, q := range c.Queues {
		arn := c.Place.ARN(q.Name)
		if _, twice := s.queues[arn]; twice {
			return nil, fmt.Errorf("sqs: two queues are named %s", q.Name)
		}
		s.queues[arn] = &Queue{Queue: q, ARN: arn, service: s}
	}
	for _, q := range s.queues {
		if q.DeadLetters == "" {
			continue
		}
		if q.dead = s.queues[q.DeadLetters]; q.dead == nil || q.dead == q {
			return nil, fmt.Errorf("sqs: %s: the dead-letter target %s is no other queue", q.Name, q.DeadLetters)
		}
	}
	return s, nil
}

// Queue is the queue with that ARN.
func (s *Service) Queue(arn string) (q *Queue, ok bool) {
	q, ok = s.queues[arn]
	return q, ok
}

// Advance lets time pass at once: for delays, visibility timeouts and whoever
// waits, and nothing else.
func (s *Service) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
	s.wake()
}

// The rest is called with the lock held.

// time is the queues' time.
func (s *Service) time() time.Time { return s.Now().Add(s.ahead) }

// told is a moment as functions see it, whose clocks do not leap: what passed at
// once lies behind them.
func (s *Service) told(t time.Time) time.Time { return t.Add(-s.ahead) }

func (s *Service) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// pass gives the lock away until something changes, or that moment has come, or
// ctx has ended. The zero moment never comes.
func (s *Service) pass(ctx context.Context, moment time.Time) {
	changed := s.changed
	var due <-chan time.Time
	if !moment.IsZero() {
		timer := time.NewTimer(moment.Sub(s.time()))
		defer timer.Stop()
		due = timer.C
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
	}
}

// number counts what is made.
func (s *Service) number() int {
	s.serial++
	return s.serial
}
