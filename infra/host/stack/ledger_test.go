package stack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"keyvend/infra/host/cfn"
)

// invocation is what a function was invoked with.
type invocation struct {
	Stream string     `json:"logStream"`
	Events []logEvent `json:"logEvents"`
	Type   string     `json:"messageType"`
}

// subscribed is a delivery whose function is the given one, and the streams that
// it takes lines from.
func subscribed(t *testing.T, retries int, function func(i invocation) error) (d *delivery, streams func() io.Writer) {
	t.Helper()
	template, err := cfn.Load("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	functions, err := template.Functions((&Stack{}).values(template))
	if err != nil {
		t.Fatal(err)
	}
	var l logs
	l.subscribe(functions)
	d = l.to("ledger")[0]
	d.retries, d.log = retries, io.Discard
	d.invoke = func(_ context.Context, payload []byte) ([]byte, error) {
		var e struct{ AWSLogs struct{ Data []byte } }
		if err := json.Unmarshal(payload, &e); err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(bytes.NewReader(e.AWSLogs.Data))
		if err != nil {
			t.Fatal(err)
		}
		var i invocation
		if err := json.NewDecoder(zip).Decode(&i); err != nil || i.Type != "DATA_MESSAGE" {
			t.Fatal(i, err)
		}
		return nil, function(i)
	}
	return d, l.stream(d.LogGroup)
}

func TestLinesThatPassAreDeliveredWholeInOrderByStreamAndNoOthers(t *testing.T) {
	var got []string
	d, streams := subscribed(t, 0, func(i invocation) error {
		for _, e := range i.Events {
			got = append(got, i.Stream[len(i.Stream)-1:]+e.Message[len(e.Message)-3:])
		}
		return nil
	})
	one, two := streams(), streams()
	write := func(w io.Writer, text string) {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	write(one, `{"log":"audit","n":"a"}`+"\n"+`{"log":"other","n":"b"}`+"\n"+`{"log":"au`)
	write(two, `{"log":"audit","n":"c"}`+"\nno JSON\n")
	write(one, `dit","n":"d"}`+"\n"+`{"log":"audit","n":"unfinished"}`)
	for {
		stream, events := d.next()
		if len(events) == 0 {
			break
		}
		payload, err := d.payload(stream, events)
		if err != nil {
			t.Fatal(err)
		}
		d.deliver(t.Context(), payload)
	}
	if all := strings.Join(got, " "); all != `1a"} 1d"} 2c"}` && all != `2c"} 1a"} 1d"}` {
		t.Errorf("%s", all)
	}
}

func TestABatchThatFailsIsTriedAgainAndEverySecondComesTwice(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var calls string
	var stream io.Writer
	write := func(n string) { _, _ = io.WriteString(stream, `{"log":"audit","n":"`+n+`"}`+"\n") }
	d, streams := subscribed(t, 2, func(i invocation) error {
		calls += i.Events[0].Message[20:21]
		switch len(calls) {
		case 1, 2:
			return errors.New("the test's")
		case 3:
			write("b")
		case 5:
			stop()
		}
		return nil
	})
	stream = streams()
	write("a")
	d.run(ctx)
	if calls != "aaabb" {
		t.Errorf("%s", calls)
	}
}

// usageOf is what is told of the user's reads, and of the hours' vends.
func usageOf(t *testing.T, s *Stack, token, account string) (reads, vended int) {
	t.Helper()
	for path, count := range map[string]struct {
		field string
		into  *int
	}{
		"/keyvend/accounts/" + account + "/reads": {"count", &reads}, "/keyvend/integrations/openai/usage?hours=2": {"vended", &vended},
	} {
		status, out := say(t, s, "GET", path, token, "")
		if status != 200 {
			t.Fatalf("%s: %d %v", path, status, out)
		}
		for _, row := range out["data"].([]any) {
			*count.into += int(row.(map[string]any)[count.field].(float64))
		}
	}
	return reads, vended
}

// F27: the ledger dies at each of its steps, and every delivery comes again.
func TestF27_ALedgerKilledAtAnyStepCountsEachVendOnce(t *testing.T) {
	s, token, pool, kill := mortal(t, "ledger")
	status, out := say(t, s, "PUT", "/data-integrations/openai/api-key", token, `{"user_id":"u","secret":"sk-canary-ledger-0000"}`)
	if status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	account := fmt.Sprint(out["id"])
	vends := 0
	// The rows of a first vend are three: last use, reads, an hour; later last use
	// is not written.
	for _, step := range []moment{
		{"before", "PutItem", 1}, {"after", "PutItem", 1}, {"before", "PutItem", 2}, {"after", "PutItem", 2}, {"after", "BatchGetItem", 1},
	} {
		killed := dieAt(kill, pool, "ledger", step)
		for range 2 {
			if status, out := say(t, s, "POST", "/data-integrations/openai/credentials", token, `{"user_id":"u"}`); status != 200 {
				t.Fatalf("%d %v", status, out)
			}
			vends++
		}
		select {
		case <-killed:
		case <-time.After(time.Minute):
			t.Fatalf("%+v: the step was never reached", step)
		}
		kill.Store(nil)
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // between looks
			reads, vended := usageOf(t, s, token, account)
			if reads == vends && vended == vends {
				break
			}
			if reads > vends || vended > vends || time.Now().After(end) {
				t.Fatalf("%+v: %d reads, %d in hours, of %d vends", step, reads, vended, vends)
			}
		}
	}
	if denied := s.Denied(); len(denied) > 0 {
		t.Errorf("the roles lack: %v", denied)
	}
}
