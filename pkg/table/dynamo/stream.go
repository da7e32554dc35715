package dynamo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"keyvend/pkg/table"
)

// streamRecord is a record of the table's stream as a Lambda event has it, with
// images before and after. What is not here is not read.
type streamRecord struct {
	EventID   string `json:"eventID"`
	EventName string `json:"eventName"`
	Change    struct {
		Created  json.Number `json:"ApproximateCreationDateTime"` // seconds since 1970
		Keys     image       `json:"Keys"`
		Old      image       `json:"OldImage"`
		New      image       `json:"NewImage"`
		Sequence string      `json:"SequenceNumber"`
	} `json:"dynamodb"`
}

// The kinds of streamRecord, by EventName.
const (
	inserted = "INSERT"
	modified = "MODIFY"
	removed  = "REMOVE" // by a Write or by expiry
)

// image is an item in DynamoDB's JSON, read no further than this engine needs.
type image map[string]json.RawMessage

// DecodeRecord reads one record of the table's stream, in the JSON form in which
// a Lambda function gets it: {"eventID", "eventName", "dynamodb": {…}}. The
// stream must have NEW_AND_OLD_IMAGES. Every error is a *table.ChangeError; the
// ID and the sequence number are in it as far as the record tells them.
func DecodeRecord(record []byte) (table.Change, error) {
	r, err := parseRecord(record)
	if err == nil {
		var c table.Change
		if c, err = r.change(); err == nil {
			return c, nil
		}
	}
	key, _ := r.Change.Keys.key() // the zero key when they cannot be read
	return table.Change{}, &table.ChangeError{ID: r.id(), Sequence: r.Change.Sequence, Key: key, Err: err}
}

func parseRecord(record []byte) (streamRecord, error) {
	// The JSON decoder would put replacement characters in the place of what is
	// not UTF-8, and so make another Doc of it.
	if !utf8.Valid(record) {
		return located(record), corrupt("a stream record that is not UTF-8")
	}
	var r streamRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return located(record), corrupt("a stream record: %v", err)
	}
	if r.EventID == "" || r.Change.Sequence == "" {
		return r, corrupt("a stream record without an eventID or a SequenceNumber")
	}
	return r, nil
}

// located reads of a damaged record only what it is and where it stands.
func located(record []byte) streamRecord {
	var outer struct {
		EventID json.RawMessage `json:"eventID"`
		Change  json.RawMessage `json:"dynamodb"`
	}
	var inner struct {
		Sequence json.RawMessage `json:"SequenceNumber"`
	}
	var r streamRecord
	// What cannot be read stays empty.
	_ = json.Unmarshal(record, &outer)
	_ = json.Unmarshal(outer.Change, &inner)
	_ = json.Unmarshal(outer.EventID, &r.EventID)
	_ = json.Unmarshal(inner.Sequence, &r.Change.Sequence)
	return r
}

// id is the eventID, or what takes its place in a damaged record.
func (r streamRecord) id() string {
	if r.EventID == "" && r.Change.Sequence != "" {
		return "sequence-" + r.Change.Sequence
	}
	return r.EventID
}

func (r streamRecord) change() (table.Change, error) {
	c := table.Change{ID: r.EventID}
	var err error
	if c.Key, err = r.Change.Keys.key(); err != nil {
		return table.Change{}, err
	}
	if c.At, err = createdAt(r.Change.Created); err != nil {
		return table.Change{}, err
	}
	wantOld, wantNew := r.EventName != inserted, r.EventName != removed
	if r.EventName != inserted && r.EventName != modified && r.EventName != removed {
		return table.Change{}, corrupt("a stream record of kind %q", r.EventName)
	}
	if c.Old, err = r.Change.Old.item(c.Key, wantOld); err != nil {
		return table.Change{}, fmt.Errorf("OldImage: %w", err)
	}
	if c.New, err = r.Change.New.item(c.Key, wantNew); err != nil {
		return table.Change{}, fmt.Errorf("NewImage: %w", err)
	}
	return c, nil
}

// latest is the start of the year 10000.
const latest = 253402300800

// createdAt reads seconds, which some senders write as 1.6e9 and some with a
// fraction.
func createdAt(n json.Number) (time.Time, error) {
	seconds, err := n.Float64()
	if err != nil || !(seconds >= 0 && seconds < latest) {
		return time.Time{}, corrupt("a stream record created at %q", n)
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
}

func (i image) key() (table.Key, error) { return decodeKey(i.attributes()) }

// item reads the image of the item at k. A stream that has other images than
// were asked of it, keys only for example, is told here.
func (i image) item(k table.Key, want bool) (*table.Item, error) {
	switch {
	case !want && len(i) == 0:
		return nil, nil
	case !want || len(i) == 0:
		return nil, corrupt("%d attributes of %v, wanted some: %v", len(i), k, want)
	}
	item, err := decodeItem(i.attributes())
	if err != nil {
		return nil, err
	}
	if item.Key != k {
		return nil, corrupt("the image of %v in a record of %v", item.Key, k)
	}
	return &item, nil
}

// attributes reads texts and numbers. Any other attribute is nil: there, but
// nothing that decodeItem takes.
func (i image) attributes() map[string]types.AttributeValue {
	attributes := make(map[string]types.AttributeValue, len(i))
	for name, raw := range i {
		attributes[name] = nil
		var value map[string]json.RawMessage
		if json.Unmarshal(raw, &value) != nil || len(value) != 1 {
			continue
		}
		for kind, v := range value {
			var s string
			if kind != "S" && kind != "N" || !isText(v) || json.Unmarshal(v, &s) != nil {
				continue
			}
			if kind == "N" {
				attributes[name] = &types.AttributeValueMemberN{Value: s}
			} else {
				attributes[name] = text(s)
			}
		}
	}
	return attributes
}

// isText tells whether v is a JSON string: null would be read as an empty one.
func isText(v json.RawMessage) bool { return bytes.HasPrefix(v, []byte{'"'}) }
