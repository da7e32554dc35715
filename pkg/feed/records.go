package feed

import (
	"context"
	"encoding/json"
	"errors"

	"keyvend/pkg/table"
)

// Records is the event that Lambda makes of a stream.
type Records struct {
	Records []json.RawMessage `json:"Records"`
}

// Failures is what Lambda is to deliver again: everything from the lowest
// sequence number on.
type Failures struct {
	Items []Failure `json:"batchItemFailures"`
}

// Failure is one of Failures.
type Failure struct {
	Sequence string `json:"itemIdentifier"`
}

var errUnplaced = errors.New("feed: a record without a sequence number has to come again")

// Handler is the function "outbox". decode reads a record; its errors are
// *table.ChangeError.
func (o *Outbox) Handler(decode func(record []byte) (table.Change, error)) func(context.Context, Records) (Failures, error) {
	return func(ctx context.Context, event Records) (Failures, error) {
		deliveries := make([]delivery, len(event.Records))
		for i, record := range event.Records {
			change, err := decode(record)
			deliveries[i] = delivery{change: change, sequence: sequenceOf(record), err: err}
		}
		answer := Failures{Items: []Failure{}}
		done := o.work(ctx, deliveries)
		if done == len(deliveries) {
			return answer, nil
		}
		if deliveries[done].sequence == "" {
			return answer, errUnplaced
		}
		answer.Items = append(answer.Items, Failure{deliveries[done].sequence})
		return answer, nil
	}
}

// sequenceOf is where a record stands in its shard, "" when it does not say.
func sequenceOf(record []byte) string {
	var r struct {
		Change struct {
			Sequence json.RawMessage `json:"SequenceNumber"`
		} `json:"dynamodb"`
	}
	var sequence string
	if json.Unmarshal(record, &r) != nil || json.Unmarshal(r.Change.Sequence, &sequence) != nil {
		return ""
	}
	return sequence
}
