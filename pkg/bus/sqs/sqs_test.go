package sqs_test

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- the service answers with it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/infra/testbed"
	"keyvend/pkg/bus/sqs"
)

const url = "https://sqs.eu-central-1.amazonaws.com/123456789012/keyvend-aside"

func queue(endpoint string) *sqs.Queue {
	cfg := testbed.Config()
	cfg.BaseEndpoint = &endpoint
	return sqs.New(cfg, url)
}

func sum(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

func taken(w http.ResponseWriter, x *testbed.Exchange) {
	var in struct{ MessageBody string }
	_ = json.Unmarshal(x.Body, &in) // the test looks at the body
	testbed.Reply(200, fmt.Sprintf(`{"MessageId":"1","MD5OfMessageBody":%q}`, sum(in.MessageBody)))(w, x)
}

// call is what a SendMessageBatch brought.
type call struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID           string `json:"Id"`
		MessageBody  string
		DelaySeconds int
	}
}

func calls(t *testing.T, e *testbed.Endpoint) []call {
	t.Helper()
	var all []call
	for _, c := range e.Log() {
		var in call
		if err := json.Unmarshal(c.Body, &in); err != nil {
			t.Fatal(err)
		}
		all = append(all, in)
	}
	return all
}

// entry is a refusal of one message.
type entry struct {
	ID          string `json:"Id"`
	Code        string
	SenderFault bool
}

// accept takes every message but those that refuse has a code for.
func accept(refuse func(body string) (code string, sender bool)) testbed.Fault {
	return func(w http.ResponseWriter, x *testbed.Exchange) {
		var in call
		_ = json.Unmarshal(x.Body, &in) // an empty call is told by the test
		out := struct {
			Successful []map[string]string
			Failed     []entry
		}{}
		for _, e := range slices.Backward(in.Entries) { // in no particular order
			if code, sender := refuse(e.MessageBody); code != "" {
				out.Failed = append(out.Failed, entry{e.ID, code, sender})
			} else {
				out.Successful = append(out.Successful, map[string]string{"Id": e.ID, "MessageId": "m" + e.ID, "MD5OfMessageBody": sum(e.MessageBody)})
			}
		}
		body, _ := json.Marshal(out) // always encodes
		testbed.Reply(200, string(body))(w, x)
	}
}

func all(string) (string, bool) { return "", false }

// some are n messages of so many bytes each.
func some(n, size int) []sqs.Message {
	var messages []sqs.Message
	for i := range n {
		messages = append(messages, sqs.Message{Body: fmt.Appendf(nil, "%0*d", size, i)})
	}
	return messages
}

// failed are the places of errors.
func failed(errs []error) (places []int) {
	for i, err := range errs {
		if err != nil {
			places = append(places, i)
		}
	}
	return places
}

func TestAMessageIsPutOnTheQueueAsItIs(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessage", testbed.Fail(400, "RequestThrottled"), taken)
	const body = `{"change_id":"1"}`
	if err := queue(e.URL).Send(t.Context(), []byte(body)); err != nil {
		t.Fatal(err)
	}
	var in struct{ QueueURL, MessageBody string }
	if err := json.Unmarshal(e.Log()[1].Body, &in); err != nil || in.MessageBody != body || in.QueueURL != url {
		t.Errorf("%s %v", e.Log()[1].Body, err)
	}
}

func TestAMessageThatIsRefusedIsAnError(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.Always("SendMessage", testbed.Fail(400, "AccessDeniedException"))
	if err := queue(e.URL).Send(t.Context(), []byte("{}")); err == nil {
		t.Error("no error")
	}
}

func TestMessagesGoInTheirOrderAtMostTenAndABoundedSizeAtATime(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		n    int
		want []int
	}{
		{"small", 3, 23, []int{10, 10, 3}},
		{"large", 100 << 10, 5, []int{2, 2, 1}},
		{"as large as can be", 256 << 10, 2, []int{1, 1}},
		{"just fitting", 64 << 10, 8, []int{4, 4}},
		{"none", 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := testbed.NewEndpoint(t, "")
			if c.n > 0 {
				e.Always("SendMessageBatch", accept(all))
			}
			messages := some(c.n, c.size)
			if errs := queue(e.URL).SendBatch(t.Context(), messages); len(errs) != c.n || failed(errs) != nil {
				t.Errorf("%v", errs)
			}
			var sizes []int
			next := 0
			for _, in := range calls(t, e) {
				sizes = append(sizes, len(in.Entries))
				for _, entry := range in.Entries {
					if entry.MessageBody != string(messages[next].Body) || entry.DelaySeconds != 0 || in.QueueURL != url {
						t.Errorf("%.40v at %d", entry, next)
					}
					next++
				}
			}
			if !slices.Equal(sizes, c.want) {
				t.Errorf("batches of %v", sizes)
			}
		})
	}
}

func TestEachMessageHasItsOwnDelayInWholeSeconds(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessageBatch", accept(all))
	messages := some(4, 1)
	messages[1].Delay, messages[2].Delay, messages[3].Delay = time.Millisecond, 90*time.Second, 15*time.Minute
	if errs := queue(e.URL).SendBatch(t.Context(), messages); failed(errs) != nil {
		t.Fatal(errs)
	}
	for i, want := range []int{0, 1, 90, 900} {
		if got := calls(t, e)[0].Entries[i].DelaySeconds; got != want {
			t.Errorf("%v: %d s", messages[i].Delay, got)
		}
	}
}

func TestWhatNoQueueTakesFailsAloneAndIsNotSent(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessageBatch", accept(all))
	messages := slices.Concat(some(1, 1), []sqs.Message{
		{}, {Body: bytes.Repeat([]byte("a"), 256<<10+1)}, {Body: []byte("a"), Delay: -1}, {Body: []byte("a"), Delay: 15*time.Minute + 1},
		{Body: []byte("a\x00")}, {Body: []byte("a\xff")}, {Body: []byte("a\uffff")},
	}, some(1, 1))
	if errs := queue(e.URL).SendBatch(t.Context(), messages); !slices.Equal(failed(errs), []int{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("%v", errs)
	}
	if in := calls(t, e); len(in) != 1 || len(in[0].Entries) != 2 {
		t.Errorf("%.200v", in)
	}
}

func TestAMessageThatTheServiceHadTroubleWithIsSentAgainAlone(t *testing.T) {
	for code, sender := range map[string]bool{"InternalError": false, "RequestThrottled": true, "KmsThrottled": true} {
		t.Run(code, func(t *testing.T) {
			e := testbed.NewEndpoint(t, "")
			trouble := accept(func(body string) (string, bool) {
				if body == "3" || body == "5" {
					return code, sender
				}
				return "", false
			})
			e.On("SendMessageBatch", trouble, accept(all))
			if errs := queue(e.URL).SendBatch(t.Context(), some(8, 1)); failed(errs) != nil {
				t.Error(errs)
			}
			if in := calls(t, e); len(in) != 2 || len(in[1].Entries) != 2 || in[1].Entries[0].MessageBody != "3" || in[1].Entries[1].MessageBody != "5" {
				t.Errorf("%v", in)
			}
			e.Forget()
			e.On("SendMessageBatch", trouble, trouble, trouble)
			if errs := queue(e.URL).SendBatch(t.Context(), some(8, 1)); !slices.Equal(failed(errs), []int{3, 5}) || e.Calls("SendMessageBatch") != 3 {
				t.Errorf("%v after %d calls", errs, e.Calls("SendMessageBatch"))
			}
		})
	}
}

func TestAMessageThatIsRefusedIsNotSentAgain(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessageBatch", accept(func(body string) (string, bool) {
		if body == "1" {
			return "InvalidMessageContents", true
		}
		return "", false
	}))
	if errs := queue(e.URL).SendBatch(t.Context(), some(3, 1)); !slices.Equal(failed(errs), []int{1}) || !strings.Contains(errs[1].Error(), "InvalidMessageContents") {
		t.Error(errs)
	}
}

func TestAMessageWithoutAResultHasFailed(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessageBatch", testbed.Reply(200, `{"Successful":[{"Id":"0","MessageId":"m","MD5OfMessageBody":"`+sum("0")+`"}],"Failed":[{"Id":"7","SenderFault":false,"Code":"X"}]}`))
	if errs := queue(e.URL).SendBatch(t.Context(), some(2, 1)); !slices.Equal(failed(errs), []int{1}) {
		t.Error(errs)
	}
}

func TestAThrottledBatchIsTriedAgainAsAWhole(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessageBatch", testbed.Fail(400, "RequestThrottled"), testbed.Fail(400, "KmsThrottled"), accept(all))
	if errs := queue(e.URL).SendBatch(t.Context(), some(2, 1)); failed(errs) != nil {
		t.Error(errs)
	}
}

func TestABatchThatFailsEndsTheCallAndWhatFollowsIsNotTried(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("SendMessageBatch", accept(all), testbed.Fail(400, "AccessDeniedException"))
	for i, err := range queue(e.URL).SendBatch(t.Context(), some(25, 2)) {
		if (err != nil) != (i >= 10) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if e.Calls("SendMessageBatch") != 2 {
		t.Errorf("%d calls", e.Calls("SendMessageBatch"))
	}
}

func TestNothingIsSentWhenTheCallersTimeIsOver(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if errs := queue(e.URL).SendBatch(ctx, some(11, 1)); len(failed(errs)) != 11 || e.Calls(testbed.Any) != 0 {
		t.Errorf("%v after %d calls", errs, e.Calls(testbed.Any))
	}
}
