package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"keyvend/infra/host/cfn"
	"keyvend/infra/host/iam"
	"keyvend/infra/host/sqs"
)

// ErrNoQueue is the answer for a queue that the template does not have.
var ErrNoQueue = errors.New("stack: no such queue")

// Queue gives hold of a queue by its logical id.
func (s *Stack) Queue(logical string) (*sqs.Queue, error) {
	q, ok := s.queues[logical]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoQueue, logical)
	}
	return q, nil
}

// Aside lists what was sent to the queue for what was set aside.
func (s *Stack) Aside() (bodies []string) {
	if q, ok := s.queues["AsideQueue"]; ok {
		for _, m := range q.Sent() {
			bodies = append(bodies, m.Body)
		}
	}
	return bodies
}

// Advance lets time pass at once for the queues: their delays, visibility
// timeouts and batching windows, and nothing else.
func (s *Stack) Advance(d time.Duration) { s.sqs.Advance(d) }

func (s *Stack) place() sqs.Place { return sqs.Place{Region: s.config.Region, Account: Account} }

// queueValue is what a reference to a queue stands for.
func (s *Stack) queueValue(name, attribute string) string {
	switch attribute {
	case "Arn":
		return s.place().ARN(name)
	case "QueueName":
		return name
	default: // Ref, QueueUrl
		return s.place().URL(name)
	}
}

func (s *Stack) makeQueues(t *cfn.Template, values cfn.Values) error {
	queues, err := t.Queues(values)
	if err != nil {
		return err
	}
	s.sqs, err = sqs.New(sqs.Config{Place: s.place(), Queues: queues, Twice: s.config.Twice, Log: s.config.Log})
	if err != nil {
		return err
	}
	s.queues = map[string]*sqs.Queue{}
	for _, q := range queues {
		s.queues[q.LogicalID], _ = s.sqs.Queue(s.place().ARN(q.Name))
	}
	return nil
}

// queueActions are what Lambda needs of the function's role to receive for it.
var queueActions = []string{"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}

// consume starts the event source mappings of a function's queues.
func (s *Stack) consume(ctx context.Context, f *function) error {
	for _, source := range f.Queues {
		q, err := s.mapped(f, source)
		if err != nil {
			return err
		}
		if source.Disabled || s.config.Silent {
			continue
		}
		// A batch that waits for an environment would grow old in flight.
		batches := s.environments(f.Function)
		if source.Concurrency > 0 {
			batches = min(batches, source.Concurrency)
		}
		mapping := &poller{QueueSource: source, queue: q, region: s.config.Region, invoke: f.pool.Invoke, log: s.config.Log}
		for range batches {
			s.schedules.Go(func() { mapping.run(ctx) })
		}
	}
	return nil
}

// mapped is an event source's queue. The error is why Lambda refuses the mapping.
func (s *Stack) mapped(f *function, source cfn.QueueSource) (*sqs.Queue, error) {
	q, ok := s.sqs.Queue(source.Queue)
	if !ok {
		return nil, fmt.Errorf("the event source %q of %s is no queue of the template", source.Queue, f.Name)
	}
	for _, action := range queueActions {
		if !iam.Allowed(f.role, iam.Call{Principal: roleARN(f.Role), Action: action, Resource: q.ARN}) {
			return nil, fmt.Errorf("the role of %s may not %s, which its event source needs", f.Name, action)
		}
	}
	if q.Visibility < f.Timeout {
		return nil, fmt.Errorf("the visibility timeout of %s, %v, is less than the timeout of %s, %v", q.Name, q.Visibility, f.Name, f.Timeout)
	}
	return q, nil
}

// poller is an event source mapping of a queue, as Lambda runs it: it receives
// messages, invokes a function with batches of them and deletes what the function
// has done. What failed it leaves in flight, until the visibility timeout. That a
// payload may have 6 MB it leaves to the invocation.
type poller struct {
	cfn.QueueSource
	queue  *sqs.Queue
	region string
	invoke func(ctx context.Context, payload []byte) ([]byte, error)
	log    io.Writer
}

// run receives and delivers one batch after the other until ctx ends.
func (p *poller) run(ctx context.Context) {
	for ctx.Err() == nil {
		if batch := p.queue.Receive(ctx, p.BatchSize, p.Window); len(batch) > 0 {
			p.deliver(ctx, batch)
		}
	}
}

// deliver invokes the function once, and deletes what it has done.
func (p *poller) deliver(ctx context.Context, batch []sqs.Delivery) {
	failed, err := p.try(ctx, batch)
	if err != nil {
		_, _ = fmt.Fprintf(p.log, "queue %s: %v\n", p.queue.Name, err)
	}
	for _, d := range batch {
		if err != nil || failed[d.ID] {
			p.queue.Leave()
		} else {
			p.queue.Delete(d.Receipt)
		}
	}
}

// try returns the messages that the function wants again. The error is that of the
// whole batch.
func (p *poller) try(ctx context.Context, batch []sqs.Delivery) (failed map[string]bool, err error) {
	records := make([]any, len(batch))
	for i, d := range batch {
		records[i] = p.record(d)
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return nil, err
	}
	answer, err := p.invoke(ctx, payload)
	if err != nil || !p.ReportsFailures {
		return nil, err
	}
	return failures(batch, answer)
}

var errNoReport = errors.New("the function's answer is no report of failures of this batch")

// failures are the messages that the function's answer wants again. An answer
// that is no report, or names a message that is not in the batch, fails all of it.
func failures(batch []sqs.Delivery, answer []byte) (ids map[string]bool, err error) {
	var out map[string]any
	if json.Unmarshal(answer, &out) != nil {
		return nil, errNoReport
	}
	known := map[string]bool{}
	for _, d := range batch {
		known[d.ID] = true
	}
	ids = map[string]bool{}
	for _, item := range cfn.List(out["batchItemFailures"]) {
		id, _ := cfn.Map(item)["itemIdentifier"].(string)
		if !known[id] {
			return nil, errNoReport
		}
		ids[id] = true
	}
	return ids, nil
}

// record is a message in the form in which functions get it.
func (p *poller) record(d sqs.Delivery) map[string]any {
	attributes := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(d.Receives),
		"SentTimestamp":                    milliseconds(d.SentAt),
		"SenderId":                         "AROAEXAMPLEROLEID0000:" + Name,
		"ApproximateFirstReceiveTimestamp": milliseconds(d.ReceivedAt),
	}
	if d.From != "" {
		attributes["DeadLetterQueueSourceArn"] = d.From
	}
	return map[string]any{
		"messageId": d.ID, "receiptHandle": d.Receipt, "body": d.Body, "md5OfBody": sqs.MD5(d.Body),
		"attributes": attributes, "messageAttributes": map[string]any{},
		"eventSource": "aws:sqs", "eventSourceARN": p.queue.ARN, "awsRegion": p.region,
	}
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
