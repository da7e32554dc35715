package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyvend/infra/host/cfn"
	"keyvend/infra/host/iam"
	"keyvend/infra/host/lambda"
	"keyvend/pkg/table/dynamo/streams"
)

// source is an event source mapping of a stream, as Lambda runs it: it reads
// and filters records and invokes a function with batches of them. One batch is
// under way at a time, over all shards; the age of records does not matter.
type source struct {
	cfn.Stream
	next   func(ctx context.Context, limit int) ([]json.RawMessage, error)
	invoke func(ctx context.Context, payload []byte) ([]byte, error)
	giveUp func(message string) // to the destination on failure
	log    io.Writer
}

const (
	sourceIdle  = 100 * time.Millisecond
	sourcePause = 50 * time.Millisecond // after the first failure; doubles
	sourceMost  = 2 * time.Second
)

// streamActions are what Lambda needs of the function's role to read for it.
var streamActions = []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}

// follow starts the event source mappings of a function.
func (s *Stack) follow(ctx context.Context, f *function, role []iam.Statement) error {
	if s.config.Silent {
		return nil
	}
	for _, stream := range f.Streams {
		for _, action := range streamActions {
			if !iam.Allowed(role, iam.Call{Principal: roleARN(f.Role), Action: action, Resource: stream.Stream}) {
				return fmt.Errorf("the role of %s may not %s, which its event source needs", f.Name, action)
			}
		}
		reader := streams.NewReader(streams.NewClient(aws.Config{
			Region: s.config.Region, BaseEndpoint: &s.config.DynamoDB,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: lambda.AccessKeyID, SecretAccessKey: lambda.AccessKeyID}, nil
			}),
		}), s.config.Table)
		aside, ok := s.sqs.Queue(stream.OnFailure)
		if !ok {
			return fmt.Errorf("%q, where the event source of %s gives up to, is no queue of the template", stream.OnFailure, f.Name)
		}
		mapping := &source{Stream: stream, next: reader.Next, invoke: f.pool.Invoke, giveUp: aside.Send, log: s.config.Log}
		s.schedules.Go(func() { mapping.run(ctx) })
	}
	return nil
}

// run reads and delivers until ctx ends.
func (s *source) run(ctx context.Context) {
	for ctx.Err() == nil {
		records, err := s.next(ctx, s.BatchSize)
		if err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintf(s.log, "stream: %v\n", err)
		}
		var batch []json.RawMessage
		for _, record := range records {
			if s.Passes(record) {
				batch = append(batch, record)
			}
		}
		if len(batch) > 0 {
			s.deliver(ctx, batch)
		}
		if len(records) == 0 {
			sleep(ctx, sourceIdle)
		}
	}
}

// deliver invokes the function until it is done with batch or all tries are
// used up.
func (s *source) deliver(ctx context.Context, batch []json.RawMessage) {
	for failures := 0; len(batch) > 0 && ctx.Err() == nil; {
		left, err := s.try(ctx, batch)
		switch {
		case err != nil && s.Bisect && len(batch) > 1:
			s.deliver(ctx, batch[:len(batch)/2])
			batch = batch[len(batch)/2:]
			continue
		case len(left) < len(batch):
			failures = 0
		}
		if batch = left; len(batch) == 0 {
			return
		}
		if failures++; failures > s.Retries {
			s.giveUp(positions(batch, s.OnFailure))
			return
		}
		sleep(ctx, min(sourceMost, sourcePause<<min(failures-1, 6)))
	}
}

// try invokes the function once and returns what has to be delivered again:
// everything from the lowest sequence number on that the function named.
func (s *source) try(ctx context.Context, batch []json.RawMessage) (left []json.RawMessage, err error) {
	payload, err := json.Marshal(map[string]any{"Records": batch})
	if err != nil {
		return batch, err
	}
	answer, err := s.invoke(ctx, payload)
	if err != nil {
		_, _ = fmt.Fprintf(s.log, "event source: %v\n", err)
		return batch, err
	}
	if !s.ReportsFailures {
		return nil, nil
	}
	return batch[lowest(batch, answer):], nil
}

// lowest is the first place in batch that the function's answer wants again. An
// answer that is none wants all of it.
func lowest(batch []json.RawMessage, answer []byte) int {
	var out struct {
		Items []struct{ ItemIdentifier string } `json:"batchItemFailures"`
	}
	if json.Unmarshal(answer, &out) != nil {
		return 0
	}
	first := len(batch)
	for _, item := range out.Items {
		first = min(first, place(batch, item.ItemIdentifier))
	}
	return first
}

// place is where in batch a sequence number is; one that is not there stands
// for the whole batch.
func place(batch []json.RawMessage, sequence string) int {
	for i, record := range batch {
		if sequence != "" && sequenceOf(record) == sequence {
			return i
		}
	}
	return 0
}

func sequenceOf(record json.RawMessage) string {
	var r struct {
		DynamoDB struct{ SequenceNumber string } `json:"dynamodb"`
	}
	_ = json.Unmarshal(record, &r) // the records are of this program's making
	return r.DynamoDB.SequenceNumber
}

// positions is what Lambda tells of a batch that it gives up: no data.
func positions(batch []json.RawMessage, to string) string {
	return fmt.Sprintf(`{"destination":%q,"DDBStreamBatchInfo":{"startSequenceNumber":%q,"endSequenceNumber":%q,"batchSize":%d}}`,
		to, sequenceOf(batch[0]), sequenceOf(batch[len(batch)-1]), len(batch))
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
