package dynamo_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"keyvend/infra/testbed"
	"keyvend/pkg/table"
	"keyvend/pkg/table/dynamo"
	"keyvend/pkg/table/tabletest"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// config is of a new table behind endpoint, with more patience than production
// has: the emulator shares two cores with everything else.
func config(t *testing.T, endpoint string) dynamo.Config {
	t.Helper()
	name := "t-" + rand.Text()
	cfg := testbed.Config()
	cfg.BaseEndpoint = aws.String(testbed.DynamoDB(t))
	if err := dynamo.CreateTable(t.Context(), dynamo.NewClient(cfg), name); err != nil {
		t.Fatal(err)
	}
	cfg.BaseEndpoint = &endpoint
	return dynamo.Config{
		Client:         dynamo.NewClient(cfg),
		TableName:      name,
		AttemptTimeout: 20 * time.Second,
		TotalTimeout:   time.Minute,
	}
}

func TestConformance(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) table.Table { return dynamo.New(config(t, testbed.DynamoDB(t))) })
}

func TestF11_CorruptItemsAreNamedBesideTheOthers(t *testing.T) {
	tabletest.RunCorrupt(t, func(t *testing.T) (table.Table, func(...table.Key) table.Table) {
		c := config(t, testbed.DynamoDB(t))
		tb := dynamo.New(c)
		return tb, func(keys ...table.Key) table.Table {
			for _, k := range keys {
				_, err := c.Client.(*dynamodb.Client).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
					TableName:        &c.TableName,
					Key:              map[string]types.AttributeValue{"PK": &types.AttributeValueMemberS{Value: k.PK}, "SK": &types.AttributeValueMemberS{Value: k.SK}},
					UpdateExpression: aws.String("REMOVE rev"),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			return tb
		}
	})
}

func TestACreatedTableStreamsWholeImagesAndLetsItemsExpireWhenTold(t *testing.T) {
	c := config(t, testbed.DynamoDB(t))
	client := c.Client.(*dynamodb.Client)
	if err := dynamo.Expire(t.Context(), client, c.TableName); err != nil {
		t.Fatal(err)
	}
	ttl, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &c.TableName})
	if err != nil {
		t.Fatal(err)
	}
	if d := ttl.TimeToLiveDescription; d.TimeToLiveStatus != types.TimeToLiveStatusEnabled || aws.ToString(d.AttributeName) != "ttl" {
		t.Errorf("time to live %s on %s", d.TimeToLiveStatus, aws.ToString(d.AttributeName))
	}
	described, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &c.TableName})
	if err != nil {
		t.Fatal(err)
	}
	if s := described.Table.StreamSpecification; s == nil || s.StreamViewType != types.StreamViewTypeNewAndOldImages {
		t.Errorf("stream %+v", s)
	}
}
