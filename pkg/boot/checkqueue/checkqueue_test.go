package checkqueue_test

import (
	"crypto/md5" // #nosec G501 -- the service answers with it
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"keyvend/infra/testbed"
	"keyvend/pkg/boot"
	"keyvend/pkg/boot/checkqueue"
	"keyvend/pkg/health"
	"keyvend/pkg/vault"
)

// accept takes all messages of a call.
func accept(w http.ResponseWriter, x *testbed.Exchange) {
	var in struct {
		Entries []struct {
			ID          string `json:"Id"`
			MessageBody string
		}
	}
	_ = json.Unmarshal(x.Body, &in) // an empty call takes nothing
	var taken []map[string]string
	for _, e := range in.Entries {
		sum := md5.Sum([]byte(e.MessageBody)) // #nosec G401 -- the service answers with it
		taken = append(taken, map[string]string{"Id": e.ID, "MessageId": e.ID, "MD5OfMessageBody": hex.EncodeToString(sum[:])})
	}
	body, _ := json.Marshal(map[string]any{"Successful": taken}) // texts always encode
	testbed.Reply(http.StatusOK, string(body))(w, x)
}

func TestARequestThatNoMessageCanHoldKeepsNoOtherFromBeingQueued(t *testing.T) {
	endpoint := testbed.NewEndpoint(t, "")
	endpoint.Always("SendMessageBatch", accept)
	cfg := testbed.Config()
	cfg.BaseEndpoint = &endpoint.URL
	parts := boot.Parts{}
	env := func(string) string { return "https://sqs.eu-central-1.amazonaws.com/123456789012/keyvend-checks" }
	if err := checkqueue.FromEnv(cfg, env, &parts); err != nil {
		t.Fatal(err)
	}
	requests := make([]vault.CheckRequest, 3)
	for i := range requests {
		requests[i] = vault.CheckRequest{Tenant: "acme", Slug: "openai", User: "anna", Cause: health.Asked}
	}
	requests[1].AskedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) // JSON ends with the year 9999
	errs := parts.Checks.Send(t.Context(), requests)
	if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("%v", errs)
	}
	if n := endpoint.Calls("SendMessageBatch"); n != 1 {
		t.Errorf("%d calls", n)
	}
}
