package sqs_test

import (
	"crypto/md5" // #nosec G501 -- the service answers with it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"keyvend/infra/testbed"
	"keyvend/pkg/bus/sqs"
)

const url = "https://sqs.eu-central-1.amazonaws.com/123456789012/keyvend-aside"

func queue(endpoint string) *sqs.Queue {
	cfg := testbed.Config()
	cfg.BaseEndpoint = &endpoint
	return sqs.New(cfg, url)
}

func taken(w http.ResponseWriter, x *testbed.Exchange) {
	var in struct{ MessageBody string }
	_ = json.Unmarshal(x.Body, &in) // the test looks at the body
	sum := md5.Sum([]byte(in.MessageBody))
	testbed.Reply(200, fmt.Sprintf(`{"MessageId":"1","MD5OfMessageBody":%q}`, hex.EncodeToString(sum[:])))(w, x)
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
