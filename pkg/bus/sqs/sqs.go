// Package sqs puts messages on a queue of Amazon SQS, and is the only importer
// of its SDK.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keyvend/pkg/attempt"
)

// What one call takes.
const (
	maxMessages = 10
	maxBytes    = 256 << 10
	maxDelay    = 15 * time.Minute
)

// Queue is one standard queue.
type Queue struct {
	client *sqs.Client
	policy attempt.Policy // of a message, or of a batch
	url    string
}

// Message is one message to send.
type Message struct {
	// Body is text of at most 256 KiB, and not empty.
	Body []byte
	// Delay is how long nobody receives it, at most 15 minutes, in whole seconds
	// (rounded up). 0 is what the queue itself is set to.
	Delay time.Duration
}

// New makes a Queue of the queue with that URL. It opens no connection.
func New(cfg aws.Config, url string) *Queue {
	policy := attempt.Policy{Each: 2 * time.Second, Most: 3, Total: 5 * time.Second, Passing: map[string]struct{}{
		"KmsThrottled": {}, "KMS.ThrottlingException": {}, // of a queue under a KMS key, by either name
	}}
	return &Queue{url: url, policy: policy, client: sqs.NewFromConfig(cfg, func(o *sqs.Options) {
		o.Retryer = policy.Retryer()
		o.HTTPClient = policy.Client(o.HTTPClient)
	})}
}

var (
	errEmpty    = errors.New("sqs: a message without a body")
	errTooLarge = errors.New("sqs: a message of more than 256 KiB")
	errNoText   = errors.New("sqs: a message with characters that no queue takes")
	errDelay    = errors.New("sqs: a delay of less than nothing or more than 15 minutes")
	errNotTried = errors.New("sqs: not tried, the batch before it failed")
	errNoAnswer = errors.New("sqs: no answer for this message")
)

// Send puts one message on the queue: after an error it may or may not be there.
func (q *Queue) Send(ctx context.Context, body []byte) error {
	ctx, cancel := q.policy.Bound(ctx)
	defer cancel()
	if _, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: aws.String(string(body))}); err != nil {
		return fmt.Errorf("sqs: %w", err)
	}
	return nil
}

// SendBatch puts messages on the queue, in calls that are as large as the service
// takes, until one of them fails as a whole. It returns an error for each message,
// nil for those that are there. One that failed may be there nevertheless, and one
// that is there may be there twice.
func (q *Queue) SendBatch(ctx context.Context, messages []Message) []error {
	errs := make([]error, len(messages))
	var fit []int // places of those that can be sent
	for i, m := range messages {
		if errs[i] = m.check(); errs[i] == nil {
			fit = append(fit, i)
		}
	}
	var failed error
	for len(fit) > 0 {
		batch := first(messages, fit)
		fit = fit[len(batch):]
		if failed == nil {
			failed = q.send(ctx, messages, batch, errs)
			continue
		}
		for _, i := range batch {
			errs[i] = fmt.Errorf("%w: %w", errNotTried, failed)
		}
	}
	return errs
}

// check refuses what would spoil the call for the messages beside it.
func (m Message) check() error {
	switch {
	case len(m.Body) == 0:
		return errEmpty
	case len(m.Body) > maxBytes:
		return errTooLarge
	case m.Delay < 0 || m.Delay > maxDelay:
		return errDelay
	case !utf8.Valid(m.Body) || strings.ContainsFunc(string(m.Body), noText):
		return errNoText
	default:
		return nil
	}
}

// noText tells of the characters that no message may hold.
func noText(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

// first are the places that make one call.
func first(messages []Message, places []int) []int {
	bytes := 0
	for n, i := range places {
		if bytes += len(messages[i].Body); n == maxMessages || bytes > maxBytes {
			return places[:n]
		}
	}
	return places
}

// send sends one batch, and those of it again that the service had trouble with.
// The error is that of a call as a whole.
func (q *Queue) send(ctx context.Context, messages []Message, batch []int, errs []error) error {
	ctx, cancel := q.policy.Bound(ctx)
	defer cancel()
	for made := 1; ; made++ {
		out, err := q.client.SendMessageBatch(ctx, q.input(messages, batch))
		if err != nil {
			err = fmt.Errorf("sqs: %w", err)
			for _, i := range batch {
				errs[i] = err
			}
			return err
		}
		batch = q.results(out, batch, errs)
		if len(batch) == 0 || made == q.policy.Most || q.policy.Pause(ctx, made) != nil {
			return nil // errs has what the service said
		}
	}
}

// input is a call whose entries are named by their places.
func (q *Queue) input(messages []Message, batch []int) *sqs.SendMessageBatchInput {
	in := &sqs.SendMessageBatchInput{QueueUrl: &q.url}
	for _, i := range batch {
		seconds := (messages[i].Delay + time.Second - 1) / time.Second
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(messages[i].Body)), DelaySeconds: int32(seconds), // #nosec G115 -- at most 900
		})
	}
	return in
}

// results notes what the service says of each message of a batch, and returns
// those that it may take the next time.
func (q *Queue) results(out *sqs.SendMessageBatchOutput, batch []int, errs []error) (again []int) {
	said := map[string]error{}
	passing := map[string]bool{}
	for _, taken := range out.Successful {
		said[aws.ToString(taken.Id)] = nil
	}
	for _, f := range out.Failed {
		id := aws.ToString(f.Id)
		said[id] = fmt.Errorf("sqs: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
		passing[id] = !f.SenderFault || q.policy.Passes(aws.ToString(f.Code))
	}
	for _, i := range batch {
		id := strconv.Itoa(i)
		err, answered := said[id]
		if !answered {
			err = errNoAnswer
		}
		if errs[i] = err; passing[id] {
			again = append(again, i)
		}
	}
	return again
}
