package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// indexNames are the indexes of the table in AWS; template.yaml has the same.
func indexNames() []string { return []string{"list", "ids", "due"} }

const createTimeout = time.Minute

// Schema is the shape of the table: PK and SK, paid per request, the sparse,
// keys-only indexes, and a stream of whole images. It is for tests and local
// tools; in AWS the template makes the table.
func Schema(name string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keySchema(""),
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
	}
	in.AttributeDefinitions = attributeDefinitions("")
	for _, index := range indexNames() {
		in.AttributeDefinitions = append(in.AttributeDefinitions, attributeDefinitions(index)...)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  &index,
			KeySchema:  keySchema(index),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		})
	}
	return in
}

// CreateTable makes a table of Schema's shape and waits until it answers. Items
// do not expire in it until Expire says so.
func CreateTable(ctx context.Context, client *dynamodb.Client, name string) error {
	if _, err := client.CreateTable(ctx, Schema(name)); err != nil {
		return fmt.Errorf("dynamo: create table %s: %w", name, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, createTimeout); err != nil {
		return fmt.Errorf("dynamo: create table %s: %w", name, err)
	}
	return nil
}

// Expire lets DynamoDB delete items of the table that have expired. It does so
// within a few days, but spares those that expired more than five years ago. For
// tests and local tools, as Schema is.
//
// The emulator does so within seconds, but only for some ten tables, and only
// for items that are placed in every index of theirs.
func Expire(ctx context.Context, client *dynamodb.Client, name string) error {
	_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(attrTTL), Enabled: aws.Bool(true)},
	})
	if err != nil {
		return fmt.Errorf("dynamo: time to live of table %s: %w", name, err)
	}
	return nil
}

func keySchema(index string) []types.KeySchemaElement {
	pk, sk := keyNames(index)
	return []types.KeySchemaElement{
		{AttributeName: aws.String(pk), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(sk), KeyType: types.KeyTypeRange},
	}
}

func attributeDefinitions(index string) []types.AttributeDefinition {
	pk, sk := keyNames(index)
	return []types.AttributeDefinition{
		{AttributeName: aws.String(pk), AttributeType: types.ScalarAttributeTypeS},
		{AttributeName: aws.String(sk), AttributeType: types.ScalarAttributeTypeS},
	}
}
