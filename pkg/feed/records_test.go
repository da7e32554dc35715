package feed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/event"
	"keyvend/pkg/feed"
	"keyvend/pkg/table/dynamo"
)

// payload is the event of the events folder, after change.
func payload(t *testing.T, change func(records []map[string]any)) feed.Records {
	t.Helper()
	text, err := os.ReadFile("../../events/outbox.json")
	if err != nil {
		t.Fatal(err)
	}
	var whole struct{ Records []map[string]any }
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(whole.Records)
	}
	if text, err = json.Marshal(whole); err != nil {
		t.Fatal(err)
	}
	var in feed.Records
	if err := json.Unmarshal(text, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

func inner(record map[string]any) map[string]any { return record["dynamodb"].(map[string]any) }

// handled hands the event to the function.
func (w *world) handled(t *testing.T, in feed.Records) (failed []string, err error) {
	t.Helper()
	out, err := w.outbox.Handler(dynamo.DecodeRecord)(t.Context(), in)
	for _, f := range out.Items {
		failed = append(failed, f.Sequence)
	}
	if text, _ := json.Marshal(out); err == nil && len(out.Items) == 0 && string(text) != `{"batchItemFailures":[]}` {
		t.Errorf("%s", text)
	}
	return failed, err
}

func TestARealEventOfTheStreamIsToldOnceHoweverOftenItIsDelivered(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		if failed, err := w.handled(t, payload(t, nil)); len(failed) > 0 || err != nil {
			t.Errorf("%v %v", failed, err)
		}
	}
	twice := payload(t, nil)
	twice.Records = append(twice.Records, twice.Records...)
	if failed, err := w.handled(t, twice); len(failed) > 0 || err != nil {
		t.Errorf("%v %v", failed, err)
	}
	if len(w.bus.sent) != 2 {
		t.Errorf("sent %v", w.bus.sent)
	}
}

func TestWhatFailsIsReportedByItsSequenceNumber(t *testing.T) {
	for name, c := range map[string]struct {
		refuse event.Name
		want   string
	}{
		"the first": {event.Connected, "4421584500000000017450439091"},
		"the last":  {event.Disconnected, "4421584600000000017450439092"},
	} {
		w := newWorld(t)
		w.bus.refuse = func(e event.Event) bool { return e.Name == c.refuse }
		failed, err := w.handled(t, payload(t, nil))
		if !slices.Equal(failed, []string{c.want}) || err != nil {
			t.Errorf("%s: %v %v", name, failed, err)
		}
		w.bus.refuse = nil
		if failed, err := w.handled(t, payload(t, nil)); len(failed) > 0 || err != nil {
			t.Errorf("%s: %v %v", name, failed, err)
		}
	}
}

func TestF31_ADamagedRecordIsSetAsideAndTheRestGoesOn(t *testing.T) {
	for name, damage := range map[string]func(records []map[string]any){
		"no new image":    func(r []map[string]any) { delete(inner(r[0]), "NewImage") },
		"unknown kind":    func(r []map[string]any) { r[0]["eventName"] = "OTHER" },
		"another's image": func(r []map[string]any) { inner(r[0])["NewImage"].(map[string]any)["SK"] = map[string]any{"S": "x"} },
		"no account": func(r []map[string]any) {
			inner(r[0])["NewImage"].(map[string]any)["doc"] = map[string]any{"S": `{"id":"sk-canary-pasted"}`}
		},
	} {
		w := newWorld(t)
		failed, err := w.handled(t, payload(t, damage))
		if len(failed) > 0 || err != nil || len(w.bus.sent) != 1 {
			t.Errorf("%s: %v %v, sent %v", name, failed, err, w.bus.sent)
		}
		if len(w.aside.kept) != 1 || w.aside.kept[0].Sequence != "4421584500000000017450439091" || !strings.HasPrefix(w.aside.kept[0].PK, "U#") {
			t.Errorf("%s: %+v", name, w.aside.kept)
		}
	}
}

func TestARecordThatSaysNothingOfItselfIsSetAsideOrFailsTheBatch(t *testing.T) {
	in := payload(t, nil)
	in.Records[0] = json.RawMessage(`[]`)
	w := newWorld(t)
	if failed, err := w.handled(t, in); len(failed) > 0 || err != nil || len(w.aside.kept) != 1 {
		t.Errorf("%v %v %+v", failed, err, w.aside.kept)
	}
	w = newWorld(t)
	w.aside.fail = errors.New("the queue is away")
	if failed, err := w.handled(t, in); err == nil {
		t.Errorf("Lambda goes on behind it: %v", failed)
	}
}

func TestF45_TheEventOfTheStreamIsNotLogged(t *testing.T) {
	w := newWorld(t)
	in := payload(t, nil)
	if _, err := w.handled(t, in); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"sealed", "fingerprint", "last_4"} {
		if strings.Contains(w.Log.String(), field) || !bytes.Contains(in.Records[0], []byte(field)) {
			t.Errorf("%s: %s", field, w.Log)
		}
	}
}

func FuzzRecords(f *testing.F) {
	text, err := os.ReadFile("../../events/outbox.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"Records":[null,{},{"dynamodb":{"SequenceNumber":1}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var in feed.Records
		if json.Unmarshal(text, &in) != nil {
			return
		}
		w := newWorld(t)
		failed, err := w.handled(t, in)
		if err != nil || len(failed) > 0 {
			t.Errorf("%v %v", failed, err)
		}
	})
}
