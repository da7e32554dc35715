package dynamo

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keyvend/pkg/table"
)

const (
	keysJSON = `{"PK":{"S":"p"},"SK":{"S":"s"}}`
	oldJSON  = `{"PK":{"S":"p"},"SK":{"S":"s"},"rev":{"N":"1"},"doc":{"S":"before"},"list_pk":{"S":"i"},"list_sk":{"S":"j"},"ttl":{"N":"1795490739"}}`
	newJSON  = `{"SK":{"S":"s"},"PK":{"S":"p"},"rev":{"N":"2"},"doc":{"S":"a\n\"\u00e9\ud83d\udd11<"},"other":{"M":{"x":{"L":[{"B":"AAE="},{"NULL":true}]}}},"set":{"SS":["a"]}}`
)

// recordJSON is a record as Lambda hands it out; "" leaves an image out.
func recordJSON(name, created, keys, before, after string) string {
	images := ""
	if before != "" {
		images += `,"OldImage":` + before
	}
	if after != "" {
		images += `,"NewImage":` + after
	}
	return `{"eventID":"e7","eventName":"` + name + `","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1",` +
		`"dynamodb":{"ApproximateCreationDateTime":` + created + `,"Keys":` + keys + images +
		`,"SequenceNumber":"111","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},` +
		`"eventSourceARN":"arn:aws:dynamodb:eu-central-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"}`
}

func TestARecordOfALambdaEventDecodes(t *testing.T) {
	k := table.Key{PK: "p", SK: "s"}
	before := &table.Item{
		Key: k, Revision: 1, Doc: []byte("before"), Index: map[string]table.Key{"list": {PK: "i", SK: "j"}},
		ExpiresAt: time.Unix(1795490739, 0).UTC(),
	}
	after := &table.Item{Key: k, Revision: 2, Doc: []byte("a\n\"é\U0001F511<")}
	for name, c := range map[string]struct {
		record string
		want   table.Change
	}{
		"put":     {recordJSON("INSERT", "1480642020", keysJSON, "", newJSON), table.Change{New: after}},
		"replace": {recordJSON("MODIFY", "1.48064202E9", keysJSON, oldJSON, newJSON), table.Change{Old: before, New: after}},
		"delete":  {recordJSON("REMOVE", "1480642020.000", keysJSON, oldJSON, ""), table.Change{Old: before}},
		"expiry": {
			strings.Replace(recordJSON("REMOVE", "1480642020", keysJSON, oldJSON, ""), `{"eventID"`,
				`{"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},"eventID"`, 1),
			table.Change{Old: before},
		},
	} {
		c.want.ID, c.want.Key, c.want.At = "e7", k, time.Unix(1480642020, 0).UTC()
		got, err := DecodeRecord([]byte(c.record))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	got, err := DecodeRecord([]byte(recordJSON("INSERT", "1480642020.125", keysJSON, "", newJSON)))
	if err != nil || !got.At.Equal(time.UnixMilli(1480642020125)) {
		t.Errorf("created at %v, %v", got.At, err)
	}
}

// damaged are records that no stream of ours has.
func damaged() map[string]string {
	good := recordJSON("MODIFY", "1480642020", keysJSON, oldJSON, newJSON)
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			panic(old)
		}
		return strings.ReplaceAll(good, old, new)
	}
	return map[string]string{
		"another kind":              replace("MODIFY", "COPY"),
		"no keys":                   replace(keysJSON, `{}`),
		"keys of a number":          replace(keysJSON, `{"PK":{"N":"1"},"SK":{"S":"s"}}`),
		"keys of another item":      replace(keysJSON, `{"PK":{"S":"p"},"SK":{"S":"other"}}`),
		"an insert with both":       replace("MODIFY", "INSERT"),
		"a removal with both":       replace("MODIFY", "REMOVE"),
		"keys only":                 recordJSON("MODIFY", "1480642020", keysJSON, "", ""),
		"the new image only":        recordJSON("MODIFY", "1480642020", keysJSON, "", newJSON),
		"the old image only":        recordJSON("MODIFY", "1480642020", keysJSON, oldJSON, ""),
		"a removal without image":   recordJSON("REMOVE", "1480642020", keysJSON, "", ""),
		"an insert without image":   recordJSON("INSERT", "1480642020", keysJSON, "", ""),
		"a foreign item":            replace(`"rev":{"N":"2"},`, ""),
		"a foreign item before":     replace(`"rev":{"N":"1"},`, ""),
		"a revision of text":        replace(`{"N":"2"}`, `{"S":"2"}`),
		"a revision that is bare":   replace(`{"N":"2"}`, `{"N":2}`),
		"a revision twice":          replace(`{"N":"2"}`, `{"N":"2","S":"2"}`),
		"a document that is null":   replace(`{"S":"before"}`, `{"S":null}`),
		"an expiry of text":         replace(`{"N":"1795490739"}`, `{"S":"1795490739"}`),
		"a time of text":            replace("1480642020", `"soon"`),
		"a negative time":           replace("1480642020", "-1"),
		"a time without end":        replace("1480642020", "1e300"),
		"a time no float has":       replace("1480642020", "1e999"),
		"no time":                   replace("1480642020", "null"),
		"a list of images":          replace(`"Keys":`+keysJSON, `"Keys":[]`),
		"an attribute of no object": replace(`{"S":"before"}`, `"before"`),
		"not UTF-8":                 replace("before", "bef\xffore"),
	}
}

func TestADamagedRecordIsNamedByItsSequenceNumber(t *testing.T) {
	for name, record := range damaged() {
		c, err := DecodeRecord([]byte(record))
		var e *table.ChangeError
		if !errors.As(err, &e) || !errors.Is(err, table.ErrCorrupt) || !reflect.DeepEqual(c, table.Change{}) {
			t.Errorf("%s: %v, %v; want nothing and a *table.ChangeError", name, c, err)
			continue
		}
		if e.ID != "e7" || e.Sequence != "111" || !strings.Contains(e.Error(), "111") {
			t.Errorf("%s: named %q at %q: %v", name, e.ID, e.Sequence, e)
		}
		if e.Key != (table.Key{}) && (e.Key.PK != "p" || table.ValidateKey(e.Key) != nil) {
			t.Errorf("%s: of %v", name, e.Key)
		}
	}
	for name, c := range map[string]struct{ record, id, sequence string }{
		"nothing":              {"", "", ""},
		"cut off":              {`{"eventID":"e7","dynamodb":{"SequenceNumber":"111"`, "", ""},
		"an empty record":      {`{}`, "", ""},
		"null":                 {`null`, "", ""},
		"a number":             {`1`, "", ""},
		"no event ID":          {`{"eventName":"REMOVE","dynamodb":{"SequenceNumber":"111"}}`, "sequence-111", "111"},
		"an event ID of 7":     {`{"eventID":7,"dynamodb":{"SequenceNumber":"111"}}`, "sequence-111", "111"},
		"no sequence number":   {`{"eventID":"e7","dynamodb":{}}`, "e7", ""},
		"a sequence number 1":  {`{"eventID":"e7","dynamodb":{"SequenceNumber":1}}`, "e7", ""},
		"no change":            {`{"eventID":"e7","dynamodb":"x"}`, "e7", ""},
		"a record of no event": {`{"eventID":"e7","dynamodb":{"SequenceNumber":"111"}}`, "e7", "111"},
	} {
		_, err := DecodeRecord([]byte(c.record))
		var e *table.ChangeError
		if !errors.As(err, &e) || e.ID != c.id || e.Sequence != c.sequence {
			t.Errorf("%s: %#v, want ID %q at %q", name, err, c.id, c.sequence)
		}
	}
}

func TestADamagedRecordIsNamedByItsKeyWhereThatCanBeRead(t *testing.T) {
	for name, want := range map[string]table.Key{
		"a revision of text": {PK: "p", SK: "s"},
		"no time":            {PK: "p", SK: "s"},
		"no keys":            {},
		"keys of a number":   {},
	} {
		_, err := DecodeRecord([]byte(damaged()[name]))
		var e *table.ChangeError
		if !errors.As(err, &e) || e.Key != want {
			t.Errorf("%s: %v, want key %v", name, err, want)
		}
	}
}

func TestTheErrorOfADamagedRecordTellsNoContent(t *testing.T) {
	for name, record := range damaged() {
		_, err := DecodeRecord([]byte(strings.ReplaceAll(record, "before", "sk-canary-content")))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzStreamRecordDecode(f *testing.F) {
	for _, record := range damaged() {
		f.Add([]byte(record))
	}
	for _, name := range []string{"INSERT", "MODIFY", "REMOVE"} {
		f.Add([]byte(recordJSON(name, "1480642020", keysJSON, oldJSON, newJSON)))
		f.Add([]byte(recordJSON(name, "1.5e9", keysJSON, "", newJSON)))
		f.Add([]byte(recordJSON(name, "0", keysJSON, oldJSON, "")))
	}
	f.Add([]byte(`{"Records":[]}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		c, err := DecodeRecord(record)
		batch := &Batch{}
		batch.Add(record)
		fed, feedErr := batch.Changes(t.Context(), 1)
		if err != nil {
			checkDamaged(t, batch, c, err, feedErr)
			return
		}
		if feedErr != nil || len(fed) != 1 || !reflect.DeepEqual(fed[0], c) {
			t.Fatalf("decoded %v, the batch has %v, %v", c, fed, feedErr)
		}
		if c.ID == "" || c.Old == nil && c.New == nil || c.At.Location() != time.UTC {
			t.Fatalf("decoded %+v", c)
		}
		for _, i := range []*table.Item{c.Old, c.New} {
			if i != nil && (i.Key != c.Key || i.Revision < 1 || !utf8.Valid(i.Doc)) {
				t.Fatalf("decoded %v of %v", i, c.Key)
			}
		}
		again, err := DecodeRecord(encodeForTest(t, c))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}

// checkDamaged holds a record that cannot be read to what is promised of it: the
// same error both ways, and it can be given up.
func checkDamaged(t *testing.T, batch *Batch, c table.Change, err, feedErr error) {
	t.Helper()
	var e, fe *table.ChangeError
	if !errors.As(err, &e) || !errors.As(feedErr, &fe) || e.ID != fe.ID || e.Sequence != fe.Sequence || !reflect.DeepEqual(c, table.Change{}) {
		t.Fatalf("decoded %v, %v; the batch says %v", c, err, feedErr)
	}
	if err := batch.Acknowledge(t.Context(), table.Change{ID: fe.ID}); err != nil || batch.Len() != 0 {
		t.Fatalf("%d left, %v", batch.Len(), err)
	}
}

// encodeForTest writes a change as a record.
func encodeForTest(t *testing.T, c table.Change) []byte {
	t.Helper()
	toJSON := func(item *table.Item) map[string]any {
		if item == nil {
			return nil
		}
		attributes := map[string]any{
			attrPK: map[string]string{"S": item.PK}, attrSK: map[string]string{"S": item.SK},
			attrRev: map[string]string{"N": fmt.Sprint(item.Revision)}, attrDoc: map[string]string{"S": string(item.Doc)},
		}
		if !item.ExpiresAt.IsZero() {
			attributes[attrTTL] = map[string]string{"N": fmt.Sprint(item.ExpiresAt.Unix())}
		}
		for name, position := range item.Index {
			maps.Copy(attributes, map[string]any{
				name + suffixPK: map[string]string{"S": position.PK}, name + suffixSK: map[string]string{"S": position.SK},
			})
		}
		return attributes
	}
	name := modified
	switch {
	case c.Old == nil:
		name = inserted
	case c.New == nil:
		name = removed
	}
	record, err := json.Marshal(map[string]any{
		"eventID": c.ID, "eventName": name,
		"dynamodb": map[string]any{
			"ApproximateCreationDateTime": json.Number(fmt.Sprintf("%d.%03d", c.At.Unix(), c.At.Nanosecond()/1e6)),
			"Keys":                        map[string]any{attrPK: map[string]string{"S": c.Key.PK}, attrSK: map[string]string{"S": c.Key.SK}},
			"OldImage":                    toJSON(c.Old), "NewImage": toJSON(c.New), "SequenceNumber": "1",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// numbered is a good record, or a damaged one, at a sequence number.
func numbered(n int, good bool) string {
	record := recordJSON("INSERT", "1480642020", keysJSON, "", newJSON)
	record = strings.Replace(record, `"e7"`, fmt.Sprintf(`"e%d"`, n), 1)
	record = strings.Replace(record, `"111"`, fmt.Sprintf(`"%d"`, n), 1)
	if !good {
		record = strings.Replace(record, "INSERT", "COPY", 1)
	}
	return record
}

func TestABatchHoldsItsRecordsUntilTheyAreAcknowledgedInTurn(t *testing.T) {
	b := &Batch{}
	for n := range 4 {
		b.Add([]byte(numbered(n+1, n != 2)))
	}
	changes, err := b.Changes(t.Context(), 10)
	if err != nil || len(changes) != 2 {
		t.Fatalf("%d changes, %v; want those before the damaged one", len(changes), err)
	}
	for _, id := range []string{"e3", "e4", ""} {
		if err := b.Acknowledge(t.Context(), table.Change{ID: id}); !errors.Is(err, table.ErrInvalid) || b.Len() != 4 {
			t.Errorf("%q was not returned: %v, %d left; want ErrInvalid and all", id, err, b.Len())
		}
	}
	if err := b.Acknowledge(t.Context(), changes[1]); err != nil || b.Len() != 2 {
		t.Fatalf("%d left, %v", b.Len(), err)
	}
	var e *table.ChangeError
	if _, err := b.Changes(t.Context(), 10); !errors.As(err, &e) || e.Sequence != "3" {
		t.Fatalf("error %v, want one that names 3", err)
	}
	for range 2 {
		if err := b.Acknowledge(t.Context(), table.Change{ID: e.ID}); err != nil || b.Len() != 1 {
			t.Fatalf("%d left, %v", b.Len(), err)
		}
	}
	if changes, err = b.Changes(t.Context(), 10); err != nil || len(changes) != 1 || changes[0].ID != "e4" {
		t.Fatalf("changes %v, %v; want the last", changes, err)
	}
}
