package streams_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"keyvend/infra/testbed"
	"keyvend/pkg/table"
	"keyvend/pkg/table/dynamo"
	"keyvend/pkg/table/dynamo/streams"
	"keyvend/pkg/table/tabletest"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// fed is a new table with its feed, which is read through endpoint.
func fed(t *testing.T, endpoint string) tabletest.Fed {
	t.Helper()
	cfg := testbed.Config()
	cfg.BaseEndpoint = aws.String(testbed.DynamoDB(t))
	client, name := dynamo.NewClient(cfg), "t-"+rand.Text()
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	reads := cfg.Copy()
	reads.BaseEndpoint = &endpoint
	open := func(*testing.T) (table.Table, table.Feed) {
		return patient(client, name), streams.NewFeed(streams.NewClient(reads), name)
	}
	tb, feed := open(t)
	return tabletest.Fed{Table: tb, Feed: feed, Reopen: open}
}

// patient is a table with more patience than production has: the emulator
// shares two cores with everything else.
func patient(client dynamo.API, name string) table.Table {
	return dynamo.New(dynamo.Config{Client: client, TableName: name, AttemptTimeout: 20 * time.Second, TotalTimeout: time.Minute})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	tabletest.RunFeed(t, func(t *testing.T) tabletest.Fed { return fed(t, testbed.DynamoDB(t)) })
}

// The emulator deletes an expired item only if it is placed in every index of
// its table, so this table has the suite's index alone.
func TestExpiryConformance(t *testing.T) {
	t.Parallel()
	tabletest.RunExpiry(t, func(t *testing.T) tabletest.Fed {
		cfg := testbed.Config()
		cfg.BaseEndpoint = aws.String(testbed.DynamoDB(t))
		client, name := dynamo.NewClient(cfg), "t-"+rand.Text()
		in := dynamo.Schema(name)
		in.GlobalSecondaryIndexes, in.AttributeDefinitions = in.GlobalSecondaryIndexes[:1], in.AttributeDefinitions[:4]
		if _, err := client.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if err := dynamo.Expire(t.Context(), client, name); err != nil {
			t.Fatal(err)
		}
		return tabletest.Fed{Table: patient(client, name), Feed: streams.NewFeed(streams.NewClient(cfg), name)}
	})
}

func TestFaultsOnTheWayLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	e := testbed.NewEndpoint(t, testbed.DynamoDB(t))
	f := fed(t, e.URL)
	var want []string
	for n := range 40 {
		i := table.Item{Key: table.Key{PK: "p", SK: string(rune('A' + n))}, Revision: 1, Doc: []byte("x")}
		if err := f.Table.Write(t.Context(), table.Put(i, table.Absent)); err != nil {
			t.Fatal(err)
		}
		want = append(want, i.SK)
	}
	e.On("ListStreams", testbed.Fail(500, "InternalServerError"))
	e.On("DescribeStream", testbed.Reset)
	e.On("GetShardIterator", testbed.Fail(400, "LimitExceededException"), testbed.Forward, testbed.Truncate)
	e.On("GetRecords", testbed.Fail(400, "ExpiredIteratorException"), testbed.DropAnswer, testbed.Forward, testbed.CutOff, testbed.Fail(400, "ThrottlingException"))
	var got []string
	for deadline := time.Now().Add(30 * time.Second); len(got) < len(want); {
		changes, err := f.Feed.Changes(t.Context(), 7)
		if err != nil && !errors.Is(err, table.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatalf("%d changes so far: %v", len(got), err)
		}
		for _, c := range changes {
			got = append(got, c.Key.SK)
			if err := f.Feed.Acknowledge(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

// A function gets the very records that a Reader returns: read through the
// runtime's own types and written again they decode to the same change.
func TestRecordsHaveTheFormOfALambdaEvent(t *testing.T) {
	t.Parallel()
	cfg := testbed.Config()
	cfg.BaseEndpoint = aws.String(testbed.DynamoDB(t))
	client, name := dynamo.NewClient(cfg), "t-"+rand.Text()
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	k := table.Key{PK: "p", SK: "s"}
	one := table.Item{Key: k, Revision: 1, Doc: []byte("<\n\"é\U0001F511"), Index: map[string]table.Key{tabletest.Index: k}}
	two := table.Item{Key: k, Revision: 2, ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second)}
	tb := patient(client, name)
	for _, op := range []table.Op{table.Put(one, table.Absent), table.Put(two, table.At(1)), table.Delete(k, table.At(2))} {
		if err := tb.Write(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	reader := streams.NewReader(streams.NewClient(cfg), name)
	var records []json.RawMessage
	for deadline := time.Now().Add(15 * time.Second); len(records) < 3; {
		more, err := reader.Next(t.Context(), 10)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d records: %v", len(records), err)
		}
		records = append(records, more...)
	}
	var event events.DynamoDBEvent
	if err := json.Unmarshal(fmt.Appendf(nil, `{"Records":[%s,%s,%s]}`, records[0], records[1], records[2]), &event); err != nil {
		t.Fatal(err)
	}
	for n, record := range event.Records {
		want, err := dynamo.DecodeRecord(records[n])
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		got, err := dynamo.DecodeRecord(again)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("record %d: %+v, %v; want %+v", n, got, err, want)
		}
		if record.EventSource != "aws:dynamodb" || record.EventSourceArn == "" || record.Change.StreamViewType != "NEW_AND_OLD_IMAGES" {
			t.Errorf("record %d lacks what a Lambda event has: %s", n, records[n])
		}
	}
}
