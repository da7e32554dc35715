package streams_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"
)

// stream is a stream of several shards, as DynamoDB has and its emulator does
// not. A child that is read before the end of its parent fails the test.
type stream struct {
	t *testing.T

	mu     sync.Mutex
	arns   []string // of the table's streams, newest last
	gone   bool     // the newest stream is no more
	shards []*part
	epoch  int   // of iterators; older ones have expired
	fails  error // what the next call answers
	calls  map[string]int
}

// part is a shard.
type part struct {
	id, parent string
	records    []string // sort keys of items; the number is the place
	trimmed    int      // so many records are no more
	closed     bool
	unlisted   int // so many times it is not listed yet
	read       int // how far somebody has read
}

func newStream(t *testing.T, shards ...*part) *stream {
	return &stream{t: t, arns: []string{"arn/2026-01-01", "arn/2026-01-02"}, shards: shards, calls: map[string]int{}}
}

func (s *stream) begin(name string) error {
	s.calls[name]++
	err := s.fails
	s.fails = nil
	return err
}

// change does f while nobody calls.
func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stream) part(id string) *part {
	for _, p := range s.shards {
		if p.id == id {
			return p
		}
	}
	return nil
}

// ListStreams answers page by page.
func (s *stream) ListStreams(_ context.Context, in *dynamodbstreams.ListStreamsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.ListStreamsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin("ListStreams"); err != nil {
		return nil, err
	}
	out := &dynamodbstreams.ListStreamsOutput{}
	for n, arn := range s.arns {
		if in.ExclusiveStartStreamArn != nil && n <= index(s.arns, *in.ExclusiveStartStreamArn) {
			continue
		}
		if len(out.Streams) == 1 {
			out.LastEvaluatedStreamArn = out.Streams[0].StreamArn
			break
		}
		out.Streams = append(out.Streams, types.Stream{StreamArn: &arn, StreamLabel: aws.String(strings.TrimPrefix(arn, "arn/")), TableName: in.TableName})
	}
	return out, nil
}

func index(all []string, one string) int {
	for n, s := range all {
		if s == one {
			return n
		}
	}
	return -1
}

// DescribeStream answers page by page.
func (s *stream) DescribeStream(_ context.Context, in *dynamodbstreams.DescribeStreamInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin("DescribeStream"); err != nil {
		return nil, err
	}
	if s.gone || *in.StreamArn != s.arns[len(s.arns)-1] {
		return nil, &types.ResourceNotFoundException{}
	}
	d := &types.StreamDescription{StreamArn: in.StreamArn}
	behind := in.ExclusiveStartShardId == nil
	for _, p := range s.shards {
		if !behind {
			behind = p.id == *in.ExclusiveStartShardId
			continue
		}
		if p.unlisted > 0 {
			p.unlisted--
			continue
		}
		if len(d.Shards) == 1 {
			d.LastEvaluatedShardId = d.Shards[0].ShardId
			break
		}
		shard := types.Shard{ShardId: &p.id}
		if p.parent != "" {
			shard.ParentShardId = &p.parent
		}
		d.Shards = append(d.Shards, shard)
	}
	return &dynamodbstreams.DescribeStreamOutput{StreamDescription: d}, nil
}

// GetShardIterator returns "shard|place|epoch".
func (s *stream) GetShardIterator(_ context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin("GetShardIterator"); err != nil {
		return nil, err
	}
	p := s.part(*in.ShardId)
	if p == nil || s.gone {
		return nil, &types.ResourceNotFoundException{}
	}
	place := p.trimmed
	if in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber {
		last, err := strconv.Atoi(*in.SequenceNumber)
		if err != nil {
			return nil, err
		}
		if place = last + 1; place < p.trimmed {
			return nil, &types.TrimmedDataAccessException{}
		}
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: s.iterator(p, place)}, nil
}

func (s *stream) iterator(p *part, place int) *string {
	return aws.String(fmt.Sprintf("%s|%d|%d", p.id, place, s.epoch))
}

// GetRecords answers two records at most.
func (s *stream) GetRecords(_ context.Context, in *dynamodbstreams.GetRecordsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin("GetRecords"); err != nil {
		return nil, err
	}
	parts := strings.Split(*in.ShardIterator, "|")
	if len(parts) != 3 {
		return nil, &smithy.GenericAPIError{Code: "ValidationException"}
	}
	place, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil, err
	}
	p := s.part(parts[0])
	switch {
	case p == nil || s.gone:
		return nil, &types.ResourceNotFoundException{}
	case parts[2] != strconv.Itoa(s.epoch):
		return nil, &types.ExpiredIteratorException{}
	case place < p.trimmed:
		return nil, &types.TrimmedDataAccessException{}
	}
	if parent := s.part(p.parent); parent != nil && parent.read < len(parent.records) {
		s.t.Errorf("shard %s is read before the end of its parent", p.id)
	}
	out := &dynamodbstreams.GetRecordsOutput{}
	for ; place < len(p.records) && len(out.Records) < min(2, int(*in.Limit)); place++ {
		out.Records = append(out.Records, record(p, place))
	}
	p.read = max(p.read, place)
	if !p.closed || place < len(p.records) {
		out.NextShardIterator = s.iterator(p, place)
	}
	return out, nil
}

func record(p *part, place int) types.Record {
	keys := map[string]types.AttributeValue{
		"PK": &types.AttributeValueMemberS{Value: "p"}, "SK": &types.AttributeValueMemberS{Value: p.records[place]},
	}
	item := map[string]types.AttributeValue{
		"PK": keys["PK"], "SK": keys["SK"],
		"rev": &types.AttributeValueMemberN{Value: "1"}, "doc": &types.AttributeValueMemberS{Value: p.id},
	}
	if strings.HasPrefix(p.records[place], "damaged") {
		delete(item, "rev")
	}
	return types.Record{
		EventID: aws.String(fmt.Sprint(p.id, ".", place)), EventName: types.OperationTypeInsert,
		Dynamodb: &types.StreamRecord{
			ApproximateCreationDateTime: aws.Time(time.Unix(1_800_000_000, 0)),
			Keys:                        keys, NewImage: item, SequenceNumber: aws.String(strconv.Itoa(place)),
		},
	}
}
