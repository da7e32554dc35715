package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/queue"
)

// work is a body with a field that it must have.
type work struct {
	Tenant string `json:"tenant"`
	Slug   string `json:"slug"`
	UserID string `json:"user_id"`
}

func (w *work) UnmarshalJSON(text []byte) error {
	type plain work
	if err := json.Unmarshal(text, (*plain)(w)); err != nil || w.Tenant == "" {
		return errors.New("no work")
	}
	return nil
}

// payload is the event of the events folder with n messages.
func payload(t testing.TB, n int, change func(records []map[string]any)) queue.Event {
	t.Helper()
	text, err := os.ReadFile("../../events/health.json")
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]any
	for i := range n {
		var one struct{ Records []map[string]any }
		if err := json.Unmarshal(text, &one); err != nil || len(one.Records) != 1 {
			t.Fatalf("%d records, %v", len(one.Records), err)
		}
		one.Records[0]["messageId"] = fmt.Sprint("m", i)
		records = append(records, one.Records[0])
	}
	if change != nil {
		change(records)
	}
	text, err = json.Marshal(map[string]any{"Records": records})
	if err != nil {
		t.Fatal(err)
	}
	var in queue.Event
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

// desk handles messages and keeps what cannot be read.
type desk struct {
	got    []queue.Message[work]
	calls  int
	unread []queue.Unread
	fail   []string // ids
	away   bool     // nothing can be set aside
}

func (d *desk) handle(_ context.Context, messages []queue.Message[work]) []string {
	d.calls++
	d.got = append(d.got, messages...)
	return d.fail
}

func (d *desk) aside(_ context.Context, u queue.Unread) error {
	if d.away {
		return errors.New("nowhere to set aside")
	}
	d.unread = append(d.unread, u)
	return nil
}

func (d *desk) ids() (ids []string) {
	for _, m := range d.got {
		ids = append(ids, m.ID)
	}
	return ids
}

// handled hands an event to the function and returns its answer as JSON.
func (d *desk) handled(t testing.TB, in queue.Event) (string, error) {
	t.Helper()
	out, err := queue.Batch(d.handle, d.aside)(t.Context(), in)
	text, encoding := json.Marshal(out)
	if encoding != nil {
		t.Fatal(encoding)
	}
	return string(text), err
}

const done = `{"batchItemFailures":[]}`

func TestARealEventOfTheQueueIsHandedOver(t *testing.T) {
	text, err := os.ReadFile("../../events/health.json")
	if err != nil {
		t.Fatal(err)
	}
	var in queue.Event
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	d := &desk{}
	if answer, err := d.handled(t, in); answer != done || err != nil {
		t.Errorf("%s %v", answer, err)
	}
	want := queue.Message[work]{
		ID: "5f0c1c0e-6b0b-4e0e-9b43-4a3f5cf0d1a7", Receives: 1, SentAt: time.UnixMilli(1795509000512),
		Body: work{Tenant: "tenant_01M85WSEG5M3P52261PZ2MPAG1", Slug: "openai", UserID: "user_01K9ZB2Q4J8W"},
	}
	if len(d.got) != 1 || d.got[0] != want || len(d.unread) > 0 {
		t.Errorf("%+v, unread %v", d.got, d.unread)
	}
}

func TestWhatFailsComesAgainAloneByItsID(t *testing.T) {
	d := &desk{fail: []string{"m3", "m1"}}
	answer, err := d.handled(t, payload(t, 5, nil))
	if want := `{"batchItemFailures":[{"itemIdentifier":"m3"},{"itemIdentifier":"m1"}]}`; answer != want || err != nil || d.calls != 1 {
		t.Errorf("%s %v after %d calls", answer, err, d.calls)
	}
}

func TestF31_AMessageThatCannotBeReadIsSetAsideAndTheRestGoesOn(t *testing.T) {
	for name, damage := range map[string]func(record map[string]any){
		"no JSON":              func(r map[string]any) { r["body"] = "sk-canary-pasted" },
		"another shape":        func(r map[string]any) { r["body"] = `{"tenant":7}` },
		"nothing of use in it": func(r map[string]any) { r["body"] = `{}` },
		"null":                 func(r map[string]any) { r["body"] = `null` },
		"more than one":        func(r map[string]any) { r["body"] = `{"tenant":"t"}{"tenant":"t"}` },
		"empty":                func(r map[string]any) { r["body"] = "" },
		"no body":              func(r map[string]any) { delete(r, "body") },
		"a body of its own":    func(r map[string]any) { r["body"] = map[string]any{"tenant": "t"} },
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{}
			in := payload(t, 3, func(records []map[string]any) { damage(records[1]) })
			if answer, err := d.handled(t, in); answer != done || err != nil || !slices.Equal(d.ids(), []string{"m0", "m2"}) {
				t.Errorf("%s %v, handled %v", answer, err, d.ids())
			}
			if len(d.unread) != 1 || d.unread[0].ID != "m1" || d.unread[0].Reason == "" {
				t.Errorf("%+v", d.unread)
			}
			d = &desk{away: true}
			if answer, err := d.handled(t, in); answer != `{"batchItemFailures":[{"itemIdentifier":"m1"}]}` || err != nil || len(d.got) != 2 {
				t.Errorf("%s %v, handled %v", answer, err, d.ids())
			}
		})
	}
}

func TestWhatTheQueueTellsBesidesMayBeMissing(t *testing.T) {
	for name, attributes := range map[string]any{"nothing": nil, "no object": []int{1}, "no numbers": map[string]any{"ApproximateReceiveCount": "x", "SentTimestamp": 7}} {
		d := &desk{}
		in := payload(t, 1, func(records []map[string]any) { records[0]["attributes"] = attributes })
		if answer, err := d.handled(t, in); answer != done || err != nil || len(d.got) != 1 || d.got[0].Receives != 0 || !d.got[0].SentAt.IsZero() {
			t.Errorf("%s: %s %v %+v", name, answer, err, d.got)
		}
	}
}

func TestARecordThatHasNoIDIsSetAsideOrFailsTheBatch(t *testing.T) {
	for name, damage := range map[string]json.RawMessage{"a list": json.RawMessage(`[]`), "null": json.RawMessage(`null`), "no id": json.RawMessage(`{"body":"{\"tenant\":\"t\"}"}`)} {
		in := payload(t, 2, nil)
		in.Records[0] = damage
		d := &desk{}
		if answer, err := d.handled(t, in); answer != done || err != nil || len(d.unread) != 1 || len(d.got) != 1 {
			t.Errorf("%s: %s %v %+v", name, answer, err, d.unread)
		}
		d = &desk{away: true}
		if _, err := d.handled(t, in); err == nil {
			t.Errorf("%s: the queue forgets it", name)
		}
	}
}

func TestAMessageThatIsInABatchTwiceIsHandedOverOnce(t *testing.T) {
	d := &desk{fail: []string{"m0"}}
	in := payload(t, 2, nil)
	in.Records = append(in.Records, in.Records...)
	if answer, err := d.handled(t, in); answer != `{"batchItemFailures":[{"itemIdentifier":"m0"}]}` || err != nil || !slices.Equal(d.ids(), []string{"m0", "m1"}) {
		t.Errorf("%s %v, handled %v", answer, err, d.ids())
	}
}

// Lambda takes an id that it does not know for the whole batch, without a word.
func TestAFailureOfAMessageThatIsNotInTheBatchIsAnError(t *testing.T) {
	d := &desk{fail: []string{"m0", "other"}}
	if _, err := d.handled(t, payload(t, 2, nil)); err == nil {
		t.Error("no error")
	}
}

func TestWithoutMessagesNobodyIsCalled(t *testing.T) {
	for _, in := range []queue.Event{{}, payload(t, 1, func(r []map[string]any) { r[0]["body"] = "" })} {
		d := &desk{}
		if answer, err := d.handled(t, in); answer != done || err != nil || d.calls > 0 {
			t.Errorf("%s %v after %d calls", answer, err, d.calls)
		}
	}
}

func FuzzBatch(f *testing.F) {
	text, err := os.ReadFile("../../events/health.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"Records":[null,{},[],{"messageId":"1","body":"{}"},{"messageId":"1"},{"messageId":2}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var in queue.Event
		if json.Unmarshal(text, &in) != nil {
			return
		}
		d := &desk{}
		if answer, err := d.handled(t, in); answer != done || err != nil || len(d.got)+len(d.unread) > len(in.Records) {
			t.Errorf("%s %v, handled %d and set aside %d of %d", answer, err, len(d.got), len(d.unread), len(in.Records))
		}
	})
}
