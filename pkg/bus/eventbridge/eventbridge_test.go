package eventbridge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyvend/infra/testbed"
	"keyvend/pkg/account"
	"keyvend/pkg/bus/eventbridge"
	"keyvend/pkg/event"
	"keyvend/pkg/vault"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func bus(endpoint string) *eventbridge.Bus {
	cfg := testbed.Config()
	cfg.BaseEndpoint = &endpoint
	return eventbridge.New(cfg, "keyvend")
}

// some are n events, one second apart.
func some(n int) []vault.StoredEvent {
	var all []vault.StoredEvent
	for i := range n {
		a := &account.Account{
			ID: fmt.Sprintf("data_installation_01KJMBRG2V%016d", i), Slug: "openai", Owner: account.User("u", ""), State: account.Connected,
			UpdatedAt: time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC), Revision: 1,
		}
		all = append(all, vault.StoredEvent{Tenant: "tenant_1", Event: event.Of(nil, a, a.UpdatedAt)[0]})
	}
	return all
}

// call is what a PutEvents brought.
type call struct {
	Entries []struct {
		EventBusName, Source, DetailType, Detail string
		Resources                                []string
		Time                                     float64
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

// accept takes every entry but those of the given places.
func accept(refused ...int) testbed.Fault {
	return func(w http.ResponseWriter, x *testbed.Exchange) {
		var in call
		_ = json.Unmarshal(x.Body, &in) // an empty call is told by the test
		results := []map[string]string{}
		for i := range in.Entries {
			if slices.Contains(refused, i) {
				results = append(results, map[string]string{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"})
			} else {
				results = append(results, map[string]string{"EventId": fmt.Sprint("id", i)})
			}
		}
		body, _ := json.Marshal(map[string]any{"FailedEntryCount": len(refused), "Entries": results}) // always encodes
		testbed.Reply(200, string(body))(w, x)
	}
}

func TestAnEntryIsTheEventWithItsNameItsTimeAndItsTenant(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("PutEvents", accept())
	want := some(1)[0]
	if errs := bus(e.URL).Put(t.Context(), []vault.StoredEvent{want}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	entry := calls(t, e)[0].Entries[0]
	detail, err := json.Marshal(want.Event)
	if err != nil {
		t.Fatal(err)
	}
	if entry.EventBusName != "keyvend" || entry.Source != eventbridge.Source || entry.DetailType != string(event.Connected) ||
		entry.Detail != string(detail) || !slices.Equal(entry.Resources, []string{"tenant_1"}) || int64(entry.Time) != time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Unix() {
		t.Errorf("%+v", entry)
	}
}

func TestEventsGoInTheirOrderAtMostTenAndABoundedSizeAtATime(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes int // of each user's id
		n     int
		want  []int
	}{
		{"small", 1, 23, []int{10, 10, 3}},
		{"large", 100 << 10, 5, []int{2, 2, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := testbed.NewEndpoint(t, "")
			e.Always("PutEvents", accept())
			events := some(c.n)
			for _, s := range events {
				s.Event.Data.Account.UserID = strings.Repeat("u", c.bytes)
			}
			for i, err := range bus(e.URL).Put(t.Context(), events) {
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
			var sizes []int
			next := 0
			for _, in := range calls(t, e) {
				sizes = append(sizes, len(in.Entries))
				for _, entry := range in.Entries {
					if !strings.Contains(entry.Detail, events[next].Event.ID) {
						t.Errorf("entry %d is out of order", next)
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

func TestF28_EachEntryHasItsOwnResult(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("PutEvents", accept(1, 3), accept())
	errs := bus(e.URL).Put(t.Context(), some(12))
	for i, err := range errs {
		if failed := i == 1 || i == 3; (err != nil) != failed {
			t.Errorf("%d: %v", i, err)
		}
	}
	if e.Calls("PutEvents") != 2 {
		t.Errorf("%d calls: what was taken may have been sent again", e.Calls("PutEvents"))
	}
}

func TestABatchThatFailsEndsTheCallAndWhatFollowsIsNotTried(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("PutEvents", accept(), testbed.Fail(400, "AccessDeniedException"))
	for i, err := range bus(e.URL).Put(t.Context(), some(25)) {
		if (err != nil) != (i >= 10) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if e.Calls("PutEvents") != 2 {
		t.Errorf("%d calls", e.Calls("PutEvents"))
	}
}

func TestAThrottledOrFailedCallIsTriedAgain(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("PutEvents", testbed.Fail(400, "ThrottlingException"), testbed.Fail(500, "InternalException"), accept())
	if errs := bus(e.URL).Put(t.Context(), some(1)); errs[0] != nil {
		t.Error(errs[0])
	}
}

func TestAnEntryWithoutAResultHasFailed(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("PutEvents", testbed.Reply(200, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"},{}]}`))
	errs := bus(e.URL).Put(t.Context(), some(3))
	if errs[0] != nil || errs[1] == nil || errs[2] == nil {
		t.Errorf("%v", errs)
	}
}

func TestAnEventThatIsTooLargeFailsAloneAndIsNotSent(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	e.On("PutEvents", accept())
	events := some(3)
	events[1].Event.Data.Account.UserID = strings.Repeat("u", 256<<10)
	errs := bus(e.URL).Put(t.Context(), events)
	if errs[0] != nil || errs[1] == nil || errs[2] != nil || len(calls(t, e)[0].Entries) != 2 {
		t.Errorf("%v", errs)
	}
}

func TestNoEventsAreNoCall(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	if errs := bus(e.URL).Put(t.Context(), nil); len(errs) != 0 || e.Calls(testbed.Any) != 0 {
		t.Errorf("%v", errs)
	}
}

// The emulator reads the real client's calls.
func TestTheEmulatedServiceTakesTheEntries(t *testing.T) {
	endpoint := testbed.KMS(t) // the same program emulates both
	cfg := testbed.Config()
	cfg.BaseEndpoint = aws.String(endpoint)
	for i, err := range eventbridge.New(cfg, "default").Put(t.Context(), some(12)) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}
