package sqs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"keyvend/infra/host/cfn"
)

// Queue is one queue. Methods may be called at the same time.
type Queue struct {
	cfn.Queue
	ARN     string
	dead    *Queue
	service *Service

	// Under the lock of the service.
	messages []*message // in the order in which they came
	sent     []Message  // the newest that were
	count    Stats      // what is of all time in it
	held     bool
}

// Message is a message as it is told of.
type Message struct {
	ID, Body   string
	Delay      time.Duration
	Receives   int       // so far
	SentAt     time.Time // here and below in the machine's time
	ReceivedAt time.Time // for the first time
	From       string    // a dead letter's: ARN of the queue that it was sent to
}

// message is a message in a queue.
type message struct {
	Message
	receipt string    // of the last time that it was received
	visible time.Time // from when on it can be received
}

// Delivery is a message that was received.
type Delivery struct {
	Message
	Receipt string
}

// Stats are what a queue holds, and what has become of what was sent to it.
type Stats struct {
	Visible, Delayed, InFlight int
	// From the start on: sent by others, received, handled by whoever received
	// them, deleted by him, and given up to the dead letters. What is received and
	// not handled is under way.
	Sent, Received, Handled, Deleted, Dead int
}

// keeps bounds the memory of what was sent.
const keeps = 10000

// Send puts a message on the queue, as an AWS service does. Its form is not
// looked at.
func (q *Queue) Send(body string) {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	q.put(body, q.Delay)
}

// Receive waits for messages until ctx ends, and from the first on gathers more
// for as long as the window, until it has as many as it may take.
func (q *Queue) Receive(ctx context.Context, most int, window time.Duration) (batch []Delivery) {
	s := q.service
	s.mu.Lock()
	defer s.mu.Unlock()
	var end time.Time
	for ctx.Err() == nil {
		batch = q.take(batch, most)
		if len(batch) > 0 && end.IsZero() {
			end = s.time().Add(window)
		}
		if len(batch) == most || len(batch) > 0 && !s.time().Before(end) {
			break
		}
		s.pass(ctx, q.next(end))
	}
	return batch
}

// Delete is how who received a message says that it is done: it leaves the queue,
// if the receipt is of the last time that it was received.
func (q *Queue) Delete(receipt string) {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	before := len(q.messages)
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return receipt != "" && m.receipt == receipt })
	q.count.Deleted += before - len(q.messages)
	q.count.Handled++
	q.service.wake()
}

// Leave is how who received a message says that it is not done: it stays where it
// is, until the visibility timeout.
func (q *Queue) Leave() {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	q.count.Handled++
	q.service.wake()
}

// Hold keeps messages from all who receive, until Release.
func (q *Queue) Hold() { q.hold(true) }

// Release ends Hold.
func (q *Queue) Release() { q.hold(false) }

func (q *Queue) hold(held bool) {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	q.held = held
	q.service.wake()
}

// Stats looks at the queue.
func (q *Queue) Stats() Stats {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	return q.stats()
}

// Await waits until the queue is as a test wants it, and returns how it was last.
// The error is that of ctx. as must not look at a queue itself.
func (q *Queue) Await(ctx context.Context, as func(Stats) bool) (Stats, error) {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	for {
		now := q.stats()
		if as(now) {
			return now, nil
		}
		if ctx.Err() != nil {
			return now, ctx.Err()
		}
		q.service.pass(ctx, q.next(time.Time{}))
	}
}

// Messages are those in the queue, the oldest first, whatever their state.
func (q *Queue) Messages() []Message {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	var all []Message
	for _, m := range q.messages {
		all = append(all, q.told(m))
	}
	return all
}

// Sent are the newest 10000 messages that were sent to the queue, in their order
// and as they were then.
func (q *Queue) Sent() []Message {
	q.service.mu.Lock()
	defer q.service.mu.Unlock()
	return slices.Clone(q.sent)
}

// The rest is called with the service's lock held.

func (q *Queue) put(body string, delay time.Duration) (id string) {
	s := q.service
	n := s.number()
	m := Message{ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n), Body: body, Delay: delay, SentAt: s.time()}
	copies := 1
	if s.Twice {
		copies = 2
	}
	for range copies {
		q.messages = append(q.messages, &message{Message: m, visible: m.SentAt.Add(delay)})
	}
	q.count.Sent++
	m.SentAt = s.told(m.SentAt)
	q.sent = append(q.sent, m)
	q.sent = q.sent[max(0, len(q.sent)-keeps):]
	_, _ = fmt.Fprintf(s.Log, "queue %s: %s\n", q.Name, body)
	s.wake()
	return m.ID
}

// take adds to a batch what can be received now, until it has that many, and
// gives up what was received too often.
func (q *Queue) take(batch []Delivery, most int) []Delivery {
	if q.held {
		return batch
	}
	now := q.service.time()
	var left []*message
	for _, m := range q.messages {
		switch {
		case len(batch) == most || m.visible.After(now) || slices.ContainsFunc(batch, func(d Delivery) bool { return d.ID == m.ID }):
			left = append(left, m)
		case q.dead != nil && m.Receives >= q.MaxReceives:
			q.giveUp(m)
		default:
			left = append(left, m)
			batch = append(batch, q.receive(m, now))
		}
	}
	q.messages = left
	return batch
}

func (q *Queue) receive(m *message, now time.Time) Delivery {
	if m.Receives++; m.Receives == 1 {
		m.ReceivedAt = now
	}
	m.receipt = fmt.Sprintf("receipt-%d", q.service.number())
	m.visible = now.Add(q.Visibility)
	q.count.Received++
	q.service.wake()
	return Delivery{Message: q.told(m), Receipt: m.receipt}
}

func (q *Queue) giveUp(m *message) {
	m.From, m.receipt = q.ARN, ""
	q.count.Dead++
	q.dead.messages = append(q.dead.messages, m)
	_, _ = fmt.Fprintf(q.service.Log, "queue %s: a dead letter of %s: %s\n", q.dead.Name, q.Name, m.Body)
	q.service.wake()
}

// told is a message in the machine's time.
func (q *Queue) told(m *message) Message {
	out := m.Message
	out.SentAt = q.service.told(out.SentAt)
	if out.Receives > 0 {
		out.ReceivedAt = q.service.told(out.ReceivedAt)
	}
	return out
}

func (q *Queue) stats() Stats {
	out, now := q.count, q.service.time()
	for _, m := range q.messages {
		switch {
		case !m.visible.After(now):
			out.Visible++
		case m.receipt != "":
			out.InFlight++
		default:
			out.Delayed++
		}
	}
	return out
}

// next is when time alone changes the queue, or end if that is earlier. A zero
// end is none.
func (q *Queue) next(end time.Time) time.Time {
	now := q.service.time()
	for _, m := range q.messages {
		if m.visible.After(now) && (end.IsZero() || m.visible.Before(end)) {
			end = m.visible
		}
	}
	return end
}
