// Package queue brings the messages that a queue of Amazon SQS delivers to a
// function: in batches of which each message succeeds, or comes again, on its own.
// A message that cannot be read is set aside and does not keep the others from
// theirs.
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"
)

// Event is the event that Lambda makes of messages.
type Event struct {
	Records []json.RawMessage `json:"Records"`
}

// Message is a message whose body could be read.
type Message[T any] struct {
	ID       string
	Body     T
	Receives int       // how often it has been delivered, this time included; 0 when the queue does not say
	SentAt   time.Time // zero when the queue does not say
}

// Unread names a message that cannot be read, and nothing of its content.
type Unread struct {
	ID     string // "" when it has none
	Reason string
}

// Failures is what the queue is to deliver again, once the visibility timeout is
// over.
type Failures struct {
	Items []Failure `json:"batchItemFailures"`
}

// Failure is one of Failures.
type Failure struct {
	ID string `json:"itemIdentifier"`
}

var (
	errUnnamed = errors.New("queue: a message without an id has to come again")
	errUnknown = errors.New("queue: the handler failed a message that it was not given")
)

// Batch makes the function of a queue. handle gets the messages of a batch, each
// once, and returns the ids of those that have to be delivered again; it is not
// called when there are none. aside keeps a message that cannot be read: the
// queue forgets it then. When aside fails, the message is delivered again, until
// the queue itself moves it to its dead letters. An error of the function is the
// whole batch's.
//
// A body is JSON. What it must hold besides, T's own UnmarshalJSON can ask for;
// nobody is told of its errors.
func Batch[T any](
	handle func(ctx context.Context, messages []Message[T]) (failed []string),
	aside func(context.Context, Unread) error,
) func(context.Context, Event) (Failures, error) {
	return func(ctx context.Context, event Event) (Failures, error) {
		messages, unread := read[T](event)
		var failed []string
		for _, u := range unread {
			if aside(ctx, u) == nil {
				continue
			}
			if u.ID == "" {
				return Failures{}, errUnnamed
			}
			failed = append(failed, u.ID)
		}
		if len(messages) > 0 {
			again := handle(ctx, messages)
			if slices.ContainsFunc(again, func(id string) bool { return !holds(messages, id) }) {
				return Failures{}, errUnknown
			}
			failed = append(failed, again...)
		}
		answer := Failures{Items: []Failure{}}
		for _, id := range failed {
			answer.Items = append(answer.Items, Failure{id})
		}
		return answer, nil
	}
}

func holds[T any](messages []Message[T], id string) bool {
	return slices.ContainsFunc(messages, func(m Message[T]) bool { return m.ID == id })
}

// read parts an event's messages into those that can be read and the others. A
// message that was delivered twice in one batch is one.
func read[T any](event Event) (messages []Message[T], unread []Unread) {
	seen := map[string]bool{}
	for _, raw := range event.Records {
		m, reason := decode[T](raw)
		if m.ID != "" && seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		if reason != "" {
			unread = append(unread, Unread{ID: m.ID, Reason: reason})
			continue
		}
		messages = append(messages, m)
	}
	return messages, unread
}

// decode reads one record, or says why it cannot be read.
func decode[T any](raw []byte) (m Message[T], reason string) {
	var record struct {
		ID         string          `json:"messageId"`
		Body       string          `json:"body"`
		Attributes json.RawMessage `json:"attributes"`
	}
	err := json.Unmarshal(raw, &record)
	m.ID = record.ID // which the rest does not spoil
	switch {
	case err != nil:
		return m, "the record is not one of a queue"
	case m.ID == "":
		return m, "the record has no message id"
	case json.Unmarshal([]byte(record.Body), &m.Body) != nil:
		return m, "the body is not JSON of the expected shape"
	}
	m.Receives, m.SentAt = attributes(record.Attributes)
	return m, ""
}

// attributes are what the queue tells of a message besides, as far as it does.
func attributes(raw []byte) (receives int, sentAt time.Time) {
	var told struct {
		Receives string `json:"ApproximateReceiveCount"`
		Sent     string `json:"SentTimestamp"`
	}
	_ = json.Unmarshal(raw, &told) // nothing depends on it
	receives, _ = strconv.Atoi(told.Receives)
	if ms, err := strconv.ParseInt(told.Sent, 10, 64); err == nil {
		sentAt = time.UnixMilli(ms)
	}
	return receives, sentAt
}
