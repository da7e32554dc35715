package stack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const prefix = "pipes.connected_account."

// told awaits n events in GET /events, oldest first, and returns their names
// and ids.
func told(t *testing.T, s *Stack, token string, n int) (names, ids []string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		status, out := say(t, s, "GET", "/events?order=asc&limit=100", token, "")
		if status != 200 {
			t.Fatalf("GET /events: %d %v, denied %v", status, out, s.Denied())
		}
		names, ids = nil, nil
		for _, e := range out["data"].([]any) {
			names = append(names, fmt.Sprint(e.(map[string]any)["event"]))
			ids = append(ids, fmt.Sprint(e.(map[string]any)["id"]))
		}
		if len(names) >= n || time.Now().After(end) {
			return names, ids
		}
		time.Sleep(100 * time.Millisecond) // between looks
	}
}

// busIDs are the ids of the events on the bus, in their order.
func busIDs(t *testing.T, s *Stack) []string {
	t.Helper()
	var ids []string
	for _, e := range s.Events() {
		var detail struct{ ID, Event string }
		if err := json.Unmarshal([]byte(e.Detail), &detail); err != nil || e.Source != "keyvend" || e.DetailType != detail.Event || e.EventBusName != busName {
			t.Errorf("%+v %v", e, err)
		}
		ids = append(ids, detail.ID)
	}
	return ids
}

func TestEachChangeOfAnAccountIsToldOnceByGETEventsAndOnTheBus(t *testing.T) {
	log := &writer{}
	s := shipped(t, func(c *Config) { c.Log = log })
	_, _, token := customer(t, s)
	for _, step := range []struct {
		want         int
		method, path string
		body         string
	}{
		{201, "POST", "/data-integrations", `{"provider":"openai","enabled":true,"auth_methods":["api_key"]}`},
		{200, "PUT", "/data-integrations/openai/api-key", `{"user_id":"u","secret":"sk-canary-outbox-1111"}`},
		{200, "PUT", "/data-integrations/openai/api-key", `{"user_id":"u","secret":"sk-canary-outbox-2222"}`},
		{200, "PUT", "/user_management/users/u/connected_accounts/openai", `{"state":"needs_reauthorization"}`},
		{200, "PUT", "/user_management/users/u/connected_accounts/openai", `{"state":"connected"}`},
		{204, "DELETE", "/user_management/users/u/connected_accounts/openai", ""},
		{200, "PUT", "/data-integrations/openai/api-key", `{"user_id":"v","secret":"sk-canary-outbox-3333"}`},
		{204, "DELETE", "/data-integrations/openai", ""},
	} {
		if status, out := say(t, s, step.method, step.path, token, step.body); status != step.want {
			t.Fatalf("%s %s: %d %v", step.method, step.path, status, out)
		}
	}
	if swept, err := s.Tick(t.Context(), "sweep"); err != nil {
		t.Fatalf("%s %v", swept, err)
	}
	names, ids := told(t, s, token, 7)
	want := []string{"connected", "rotated", "reauthorization_needed", "recovered", "disconnected", "connected", "disconnected"}
	for i := range want {
		want[i] = prefix + want[i]
	}
	if !slices.Equal(names, want) {
		t.Errorf("told %v", names)
	}
	onBus := busIDs(t, s)
	slices.Sort(onBus)
	if !slices.Equal(onBus, ids) {
		t.Errorf("on the bus %v\nlisted     %v", onBus, ids)
	}
	if denied := s.Denied(); len(denied) > 0 {
		t.Errorf("the roles lack: %v", denied)
	}
	if aside := s.Aside(); len(aside) > 0 {
		t.Errorf("set aside: %v", aside)
	}
}

// noted are the ids of the stored events, and whether all are noted as sent.
func noted(t *testing.T, s *Stack) (ids []string, all bool) {
	t.Helper()
	var out struct {
		Items []map[string]struct{ S string }
	}
	if err := call(t.Context(), s.config.DynamoDB, s.config.Region, "DynamoDB_20120810.Scan",
		map[string]any{"TableName": s.TableName(), "ConsistentRead": true}, &out); err != nil {
		t.Fatal(err)
	}
	all = true
	for _, item := range out.Items {
		if strings.HasPrefix(item["PK"].S, "E#") {
			ids = append(ids, item["SK"].S)
			all = all && strings.Contains(item["doc"].S, `"sent_at"`)
		}
	}
	return ids, all
}

// F27: the outbox dies at each of its steps; each event is stored once, and on
// the bus once unless it died between sending and noting so.
func TestF27_AnOutboxKilledAtAnyStepTellsEachEventInTheEnd(t *testing.T) {
	s, token, pool, kill := mortal(t, "outbox")
	// The first PutItem stores an event, the second notes that it was sent. A call
	// may still arrive whose caller was killed before it.
	steps := []struct {
		moment
		sent, atMost int
	}{
		{moment{"before", "PutItem", 1}, 1, 1}, {moment{"after", "PutItem", 1}, 1, 1}, {moment{"before", "PutEvents", 1}, 1, 2},
		{moment{"after", "PutEvents", 1}, 2, 2}, {moment{"before", "PutItem", 2}, 1, 2}, {moment{"after", "PutItem", 2}, 1, 1},
	}
	for i, step := range steps {
		before := len(s.Events())
		killed := dieAt(kill, pool, "outbox", step.moment)
		user := fmt.Sprintf("u%d", i)
		if status, out := say(t, s, "PUT", "/data-integrations/openai/api-key", token, `{"user_id":"`+user+`","secret":"sk-canary-killed-0000"}`); status != 200 {
			t.Fatalf("%d %v", status, out)
		}
		select {
		case <-killed:
		case <-time.After(time.Minute):
			t.Fatalf("%+v: the step was never reached", step)
		}
		kill.Store(nil)
		var ids []string
		for end, all := time.Now().Add(time.Minute), false; (len(ids) <= i || !all) && time.Now().Before(end); {
			ids, all = noted(t, s)
			time.Sleep(50 * time.Millisecond) // between looks
		}
		slices.Sort(ids)
		if len(ids) != i+1 {
			t.Fatalf("%+v: stored %v", step, ids)
		}
		sent := busIDs(t, s)[before:]
		if len(sent) < step.sent || len(sent) > step.atMost || slices.ContainsFunc(sent, func(id string) bool { return id != ids[i] }) {
			t.Errorf("%+v: sent %v, stored %s", step, sent, ids[i])
		}
	}
	if names, _ := told(t, s, token, len(steps)); len(names) != len(steps) {
		t.Errorf("told %v", names)
	}
}
