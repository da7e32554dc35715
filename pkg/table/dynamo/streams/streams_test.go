package streams_test

import (
	"crypto/rand"
	"testing"
	"time"

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
		// More patience than production has: the emulator shares two cores.
		tb := dynamo.New(dynamo.Config{Client: client, TableName: name, AttemptTimeout: 20 * time.Second, TotalTimeout: time.Minute})
		return tb, streams.NewFeed(streams.NewClient(reads), name)
	}
	tb, feed := open(t)
	return tabletest.Fed{Table: tb, Feed: feed, Reopen: open}
}

func TestConformance(t *testing.T) {
	tabletest.RunFeed(t, func(t *testing.T) tabletest.Fed { return fed(t, testbed.DynamoDB(t)) })
}
