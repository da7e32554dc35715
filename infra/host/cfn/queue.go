package cfn

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// QueueType is the type of queues among the resources.
const QueueType = "AWS::SQS::Queue"

// Queue is one AWS::SQS::Queue, a standard one.
type Queue struct {
	LogicalID   string
	Name        string
	Delay       time.Duration // of messages that bring none
	Visibility  time.Duration // how long nobody else gets a received message
	DeadLetters string        // ARN of the queue for messages that were received too often; "" is none
	MaxReceives int           // before that
}

// QueueName is the name of a queue, which must not depend on other resources.
// CloudFormation's own would have a random end besides.
func (t *Template) QueueName(logical string, with Values) (string, error) {
	name, err := t.Resolve(t.Resources[logical].Properties["QueueName"], with)
	if err != nil || name != nil {
		return text(name), err
	}
	return with.Pseudo["AWS::StackName"] + "-" + logical, nil
}

// Queues returns the template's queues, sorted by logical id.
func (t *Template) Queues(with Values) ([]Queue, error) {
	var all []Queue
	for _, id := range t.Named(QueueType) {
		p, err := t.Properties(id, with)
		if err != nil {
			return nil, err
		}
		name, err := t.QueueName(id, with)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		q, err := newQueue(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		q.LogicalID, q.Name = id, name
		all = append(all, q)
	}
	return all, nil
}

func newQueue(p map[string]any) (q Queue, err error) {
	if err := knows(p, "QueueName", "DelaySeconds", "VisibilityTimeout", "RedrivePolicy",
		"MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "SqsManagedSseEnabled", "KmsMasterKeyId", "Tags"); err != nil {
		return q, err
	}
	if q.Delay, err = seconds(p, "DelaySeconds", 0, 0, 900); err != nil {
		return q, err
	}
	if q.Visibility, err = seconds(p, "VisibilityTimeout", 30, 0, 43200); err != nil {
		return q, err
	}
	redrive := Map(p["RedrivePolicy"])
	if redrive == nil {
		return q, nil
	}
	if q.DeadLetters = text(redrive["deadLetterTargetArn"]); q.DeadLetters == "" {
		return q, fmt.Errorf("a redrive policy without deadLetterTargetArn")
	}
	q.MaxReceives, err = number(redrive, "maxReceiveCount", 0, 1, 1000)
	return q, err
}

// QueueSource is a function's event source that is a queue.
type QueueSource struct {
	Queue           string // ARN
	BatchSize       int
	Window          time.Duration // how long a batch is gathered
	Concurrency     int           // batches under way at once, at most; 0 is not said
	ReportsFailures bool          // the function says what is to come again
	Disabled        bool
}

func newQueueSource(p map[string]any) (s QueueSource, err error) {
	if err := knows(p, "Queue", "BatchSize", "MaximumBatchingWindowInSeconds", "ScalingConfig", "FunctionResponseTypes", "Enabled"); err != nil {
		return s, err
	}
	if s.Queue = text(p["Queue"]); s.Queue == "" || strings.HasSuffix(s.Queue, ".fifo") {
		return s, fmt.Errorf("queue %q is not supported", s.Queue)
	}
	if s.BatchSize, err = number(p, "BatchSize", 10, 1, 10000); err != nil {
		return s, err
	}
	if s.Window, err = seconds(p, "MaximumBatchingWindowInSeconds", 0, 0, 300); err != nil {
		return s, err
	}
	if s.BatchSize > 10 && s.Window == 0 {
		return s, fmt.Errorf("a batch of more than 10 messages needs MaximumBatchingWindowInSeconds of at least 1")
	}
	if scaling := Map(p["ScalingConfig"]); scaling != nil {
		if s.Concurrency, err = number(scaling, "MaximumConcurrency", 0, 2, 1000); err != nil {
			return s, err
		}
	}
	s.ReportsFailures = slices.Contains(Strings(p["FunctionResponseTypes"]), "ReportBatchItemFailures")
	s.Disabled = text(p["Enabled"]) == "false"
	return s, nil
}

// knows refuses properties whose meaning would be lost without a word.
func knows(p map[string]any, names ...string) error {
	for name := range p {
		if !slices.Contains(names, name) {
			return fmt.Errorf("property %s is not supported", name)
		}
	}
	return nil
}

// number is a property that must be within limits; one that is not there is
// fallback.
func number(p map[string]any, name string, fallback, least, most int) (int, error) {
	v, ok := p[name]
	if !ok {
		v = fallback
	}
	n, err := strconv.Atoi(text(v)) // a parameter's value is text
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s %v is not from %d to %d", name, v, least, most)
	}
	return n, nil
}

func seconds(p map[string]any, name string, fallback, least, most int) (time.Duration, error) {
	n, err := number(p, name, fallback, least, most)
	return time.Duration(n) * time.Second, err
}
