package dynamo

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"keyvend/pkg/table"
)

// attributesOf reads DynamoDB's JSON, as far as the fuzzer needs it.
func attributesOf(data []byte) map[string]types.AttributeValue {
	var raw map[string]map[string]any
	if json.Unmarshal(data, &raw) != nil {
		return nil
	}
	attributes := map[string]types.AttributeValue{}
	for name, value := range raw {
		attributes[name] = nil
		for kind, v := range value {
			s, _ := v.(string)
			switch kind {
			case "S":
				attributes[name] = &types.AttributeValueMemberS{Value: s}
			case "N":
				attributes[name] = &types.AttributeValueMemberN{Value: s}
			case "B":
				attributes[name] = &types.AttributeValueMemberB{Value: []byte(s)}
			case "NULL":
				attributes[name] = &types.AttributeValueMemberNULL{Value: true}
			case "L":
				attributes[name] = &types.AttributeValueMemberL{}
			case "nil":
				attributes[name] = (*types.AttributeValueMemberS)(nil)
			}
		}
	}
	return attributes
}

func FuzzDynamoItemDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"7"},"doc":{"S":""},"list_pk":{"S":"i"},"list_sk":{"S":"j"},"expires":{"N":"12"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"7"},"doc":{"S":"x"},"list_pk":{"S":"i"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"7"},"doc":{"S":"x"},"_pk":{"S":"i"},"_sk":{"N":"1"}}`,
		`{"PK":{"B":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s s"},"rev":{"N":"1"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"S":"1"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"-1"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1e3"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"99999999999999999999"},"doc":{"S":"{}"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"NULL":true}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"{}"},"ttl":{"N":"1795490739"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"{}"},"ttl":{"N":"0"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"{}"},"ttl":{"S":"1"}}`,
		`{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"{}"},"ttl":{"N":"253402300800"}}`,
		`{"PK":{"nil":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"L":[]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		attributes := attributesOf(data)
		_, _ = decodePosition(attributes, "list")
		item, err := decodeItem(attributes)
		if err != nil {
			if !errors.Is(err, table.ErrCorrupt) || !reflect.DeepEqual(item, table.Item{}) {
				t.Fatalf("item %v, error %v: want none, and ErrCorrupt", item, err)
			}
			return
		}
		if table.ValidateKey(item.Key) != nil || item.Revision < 1 || !utf8.Valid(item.Doc) {
			t.Fatalf("decoded %v, which no Put would take", item)
		}
		again, err := decodeItem(encodeItem(item))
		if err != nil || !reflect.DeepEqual(again, item) {
			t.Fatalf("%v became %v, %v", item, again, err)
		}
	})
}

func TestSchemaIsKeysOnlyAndSparse(t *testing.T) {
	in := Schema("name")
	if *in.TableName != "name" || in.BillingMode != types.BillingModePayPerRequest || len(in.GlobalSecondaryIndexes) != len(indexNames()) {
		t.Fatalf("schema %+v", in)
	}
	for _, index := range in.GlobalSecondaryIndexes {
		if index.Projection.ProjectionType != types.ProjectionTypeKeysOnly {
			t.Errorf("index %s projects %s: a secret would be stored twice", *index.IndexName, index.Projection.ProjectionType)
		}
		if pk := *index.KeySchema[0].AttributeName; pk != *index.IndexName+suffixPK {
			t.Errorf("index %s is keyed by %s", *index.IndexName, pk)
		}
	}
}
