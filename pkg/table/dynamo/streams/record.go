package streams

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// eventRecord is a record as it stands in a Lambda event.
type eventRecord struct {
	EventID        string      `json:"eventID"`
	EventName      string      `json:"eventName"`
	EventVersion   string      `json:"eventVersion"`
	EventSource    string      `json:"eventSource"`
	AWSRegion      string      `json:"awsRegion"`
	Change         eventChange `json:"dynamodb"`
	UserIdentity   *identity   `json:"userIdentity,omitempty"`
	EventSourceARN string      `json:"eventSourceARN"`
}

type eventChange struct {
	Created  json.Number    `json:"ApproximateCreationDateTime,omitempty"`
	Keys     map[string]any `json:"Keys,omitempty"`
	New      map[string]any `json:"NewImage,omitempty"`
	Old      map[string]any `json:"OldImage,omitempty"`
	Sequence string         `json:"SequenceNumber"`
	Size     int64          `json:"SizeBytes"`
	ViewType string         `json:"StreamViewType"`
}

// identity is who deleted an item that expired.
type identity struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
}

const emulatorsExpiry = "UNKNOWN_TO_SDK_VERSION"

func encodeRecord(r types.Record, arn string) json.RawMessage {
	e := eventRecord{
		EventID:        aws.ToString(r.EventID),
		EventName:      string(r.EventName),
		EventVersion:   aws.ToString(r.EventVersion),
		EventSource:    aws.ToString(r.EventSource),
		AWSRegion:      aws.ToString(r.AwsRegion),
		EventSourceARN: arn,
	}
	if d := r.Dynamodb; d != nil {
		e.Change = eventChange{
			Created:  seconds(d.ApproximateCreationDateTime),
			Keys:     attributes(d.Keys),
			New:      attributes(d.NewImage),
			Old:      attributes(d.OldImage),
			Sequence: aws.ToString(d.SequenceNumber),
			Size:     aws.ToInt64(d.SizeBytes),
			ViewType: string(d.StreamViewType),
		}
	}
	if u := r.UserIdentity; u != nil {
		e.UserIdentity = &identity{Type: aws.ToString(u.Type), PrincipalID: aws.ToString(u.PrincipalId)}
	}
	// The emulator has no name of its own for a deletion by expiry.
	if e.EventName == emulatorsExpiry {
		e.EventName = string(types.OperationTypeRemove)
		e.UserIdentity = &identity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}
	}
	record, err := json.Marshal(e)
	if err != nil { // no value of these types fails; whoever decodes it would tell
		return json.RawMessage("null")
	}
	return record
}

func seconds(at *time.Time) json.Number {
	if at == nil {
		return ""
	}
	return json.Number(strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', -1, 64))
}

func attributes(values map[string]types.AttributeValue) map[string]any {
	if values == nil {
		return nil
	}
	all := make(map[string]any, len(values))
	for name, v := range values {
		all[name] = attribute(v)
	}
	return all
}

// attribute is a value in DynamoDB's JSON: {"S": "text"}. JSON has base64 for
// bytes, as DynamoDB has.
func attribute(v types.AttributeValue) map[string]any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return map[string]any{"S": v.Value}
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberB:
		return map[string]any{"B": v.Value}
	case *types.AttributeValueMemberBOOL:
		return map[string]any{"BOOL": v.Value}
	case *types.AttributeValueMemberNULL:
		return map[string]any{"NULL": v.Value}
	case *types.AttributeValueMemberSS:
		return map[string]any{"SS": v.Value}
	case *types.AttributeValueMemberNS:
		return map[string]any{"NS": v.Value}
	case *types.AttributeValueMemberBS:
		return map[string]any{"BS": v.Value}
	case *types.AttributeValueMemberM:
		return map[string]any{"M": attributes(v.Value)}
	case *types.AttributeValueMemberL:
		list := make([]map[string]any, 0, len(v.Value))
		for _, element := range v.Value {
			list = append(list, attribute(element))
		}
		return map[string]any{"L": list}
	default:
		return nil
	}
}
