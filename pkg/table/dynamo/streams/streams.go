// Package streams reads the stream of a DynamoDB table: as a table.Feed for
// tests, and record by record for a host that hands them to a Lambda function.
// In AWS the Lambda service does this, so no function imports this package. It
// is the only importer of the DynamoDB Streams SDK.
package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"keyvend/pkg/table"
	"keyvend/pkg/table/dynamo"
)

// API is what a Reader calls of DynamoDB Streams. *dynamodbstreams.Client is
// one; NewClient makes it.
type API interface {
	ListStreams(context.Context, *dynamodbstreams.ListStreamsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.ListStreamsOutput, error)
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// NewClient returns a client for a Reader or a Feed. The endpoint is
// cfg.BaseEndpoint, by default AWS's of the region.
func NewClient(cfg aws.Config) *dynamodbstreams.Client {
	return dynamodbstreams.NewFromConfig(cfg)
}

// Reader reads a table's stream from its oldest record on, each record once. It
// keeps its position in memory. It is safe for concurrent use.
type Reader struct {
	client    API
	tableName string

	mu     sync.Mutex
	arn    string   // "" when the stream has to be found
	shards []*shard // as they were listed last
	turn   int      // counts the shards that were asked, so that none starves
}

// shard is a part of the stream. All changes of one item are in one shard and,
// once that is closed, in its children.
type shard struct {
	id, parent string
	iterator   *string // nil: one has to be asked for
	after      string  // the sequence number that was read last, "" for none
	ended      bool    // read to the end
}

// NewReader returns a reader of the table's newest stream. It calls nothing.
func NewReader(client API, tableName string) *Reader {
	return &Reader{client: client, tableName: tableName}
}

// Next returns the next records of one shard, at most limit (1 to
// table.MaxPage), in the order of the shard and in the JSON form that Lambda
// hands to a function; none when there are none now. They do not come again: who
// needs them again keeps them. Errors are those of table.Feed; whatever the
// error, the next call goes on where this one stopped.
func (r *Reader) Next(ctx context.Context, limit int) ([]json.RawMessage, error) {
	if err := table.ValidateChanges(limit); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := r.refresh(ctx); err != nil {
			return nil, err
		}
		ended := false
		for _, s := range r.ready() {
			r.turn++
			records, err := r.read(ctx, s, limit)
			if err != nil || len(records) > 0 {
				return r.encode(records), err
			}
			ended = ended || s.ended
		}
		// The children of a shard that ended without a record are read at once.
		if !ended {
			return nil, nil
		}
	}
}

// refresh looks for new shards when some must be there: at the beginning, and
// when a shard has ended whose children are not known.
func (r *Reader) refresh(ctx context.Context) error {
	if !r.stale() {
		return nil
	}
	if err := r.find(ctx); err != nil {
		return err
	}
	listed, err := r.list(ctx)
	if err != nil {
		return err
	}
	return r.adopt(listed)
}

func (r *Reader) stale() bool {
	parents := map[string]bool{}
	for _, s := range r.shards {
		parents[s.parent] = true
	}
	for _, s := range r.shards {
		if s.ended && !parents[s.id] {
			return true
		}
	}
	return len(r.shards) == 0
}

// find asks for the table's stream. A table whose stream was switched off and
// on again has several for a day; the label of each is its time.
func (r *Reader) find(ctx context.Context) error {
	if r.arn != "" {
		return nil
	}
	newest := ""
	in := &dynamodbstreams.ListStreamsInput{TableName: &r.tableName}
	for {
		out, err := r.client.ListStreams(ctx, in)
		if err != nil {
			return dynamo.Explain("ListStreams", err)
		}
		for _, s := range out.Streams {
			if label := aws.ToString(s.StreamLabel); r.arn == "" || label > newest {
				newest, r.arn = label, aws.ToString(s.StreamArn)
			}
		}
		if in.ExclusiveStartStreamArn = out.LastEvaluatedStreamArn; in.ExclusiveStartStreamArn == nil {
			break
		}
	}
	if r.arn == "" {
		return fmt.Errorf("streams: table %s has no stream", r.tableName)
	}
	return nil
}

func (r *Reader) list(ctx context.Context) ([]types.Shard, error) {
	var all []types.Shard
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &r.arn}
	for {
		out, err := r.client.DescribeStream(ctx, in)
		if err != nil {
			r.arn = "" // a table that was made anew has another stream
			return nil, dynamo.Explain("DescribeStream", err)
		}
		if out.StreamDescription == nil {
			return nil, fmt.Errorf("%w: streams: DescribeStream: an empty answer", table.ErrUnavailable)
		}
		all = append(all, out.StreamDescription.Shards...)
		if in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return all, nil
		}
	}
}

// adopt makes the shards that are listed the known ones. One that is no longer
// listed is more than a day old: what was not read of it is lost.
func (r *Reader) adopt(listed []types.Shard) error {
	known := map[string]*shard{}
	for _, s := range r.shards {
		known[s.id] = s
	}
	r.shards = r.shards[:0]
	for _, l := range listed {
		id := aws.ToString(l.ShardId)
		s, ok := known[id]
		if !ok {
			s = &shard{id: id, parent: aws.ToString(l.ParentShardId)}
		}
		delete(known, id)
		r.shards = append(r.shards, s)
	}
	var lost []string
	for id, s := range known {
		if !s.ended {
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 {
		return gap(strings.Join(lost, ", "), errors.New("no longer listed"))
	}
	return nil
}

func gap(shard string, cause error) error {
	return fmt.Errorf("%w: streams: shard %s: %w", table.ErrGap, shard, cause)
}

// ready returns the shards to be read, another one first each time. A child
// waits until its parent was read to the end; a parent that is not known is
// older than anything that can be read.
func (r *Reader) ready() []*shard {
	open := map[string]bool{}
	for _, s := range r.shards {
		open[s.id] = !s.ended
	}
	var ready []*shard
	for _, s := range r.shards {
		if !s.ended && !open[s.parent] {
			ready = append(ready, s)
		}
	}
	if len(ready) > 0 {
		first := r.turn % len(ready)
		ready = append(ready[first:len(ready):len(ready)], ready[:first]...)
	}
	return ready
}

// read takes the next records out of a shard. An iterator that has grown old is
// replaced once; a position that DynamoDB no longer knows is a gap.
func (r *Reader) read(ctx context.Context, s *shard, limit int) ([]types.Record, error) {
	records, err := r.readOnce(ctx, s, limit)
	var expired *types.ExpiredIteratorException
	if errors.As(err, &expired) {
		s.iterator = nil
		records, err = r.readOnce(ctx, s, limit)
	}
	var trimmed *types.TrimmedDataAccessException
	var missing *types.ResourceNotFoundException
	switch {
	case err == nil:
		return records, nil
	case errors.As(err, &expired):
		s.iterator = nil
		return nil, fmt.Errorf("%w: streams: shard %s: %w", table.ErrUnavailable, s.id, err)
	case errors.As(err, &trimmed):
		s.iterator, s.after = nil, ""
		return nil, gap(s.id, err)
	case errors.As(err, &missing):
		// What follows the shard may still be there.
		s.ended = true
		return nil, gap(s.id, err)
	default:
		return nil, dynamo.Explain("read shard "+s.id, err)
	}
}

func (r *Reader) readOnce(ctx context.Context, s *shard, limit int) ([]types.Record, error) {
	if s.iterator == nil {
		in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &r.arn, ShardId: &s.id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
		if s.after != "" {
			in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &s.after
		}
		out, err := r.client.GetShardIterator(ctx, in)
		if err != nil {
			return nil, err
		}
		s.iterator = out.ShardIterator
	}
	out, err := r.client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{
		ShardIterator: s.iterator,
		Limit:         aws.Int32(int32(limit)), //nolint:gosec // at most MaxPage
	})
	if err != nil {
		return nil, err
	}
	if n := len(out.Records); n > 0 && out.Records[n-1].Dynamodb != nil {
		s.after = aws.ToString(out.Records[n-1].Dynamodb.SequenceNumber)
	}
	s.iterator, s.ended = out.NextShardIterator, out.NextShardIterator == nil
	return out.Records, nil
}

func (r *Reader) encode(records []types.Record) []json.RawMessage {
	var all []json.RawMessage
	for _, record := range records {
		all = append(all, encodeRecord(record, r.arn))
	}
	return all
}

// Feed is a table.Feed over a table's stream. What was acknowledged it knows as
// long as it lives: a new Feed begins with the oldest record that DynamoDB still
// has, which is at most a day old.
type Feed struct {
	reader *Reader
	batch  dynamo.Batch
}

var _ table.Feed = (*Feed)(nil)

// NewFeed returns the feed of the table's newest stream. It calls nothing.
func NewFeed(client API, tableName string) *Feed {
	return &Feed{reader: NewReader(client, tableName)}
}

// Changes implements table.Feed.
func (f *Feed) Changes(ctx context.Context, limit int) ([]table.Change, error) {
	if err := table.ValidateChanges(limit); err != nil {
		return nil, err
	}
	for f.batch.Len() < limit {
		records, err := f.reader.Next(ctx, limit-f.batch.Len())
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			break
		}
		for _, record := range records {
			f.batch.Add(record)
		}
	}
	return f.batch.Changes(ctx, limit)
}

// Acknowledge implements table.Feed.
func (f *Feed) Acknowledge(ctx context.Context, last table.Change) error {
	return f.batch.Acknowledge(ctx, last)
}
