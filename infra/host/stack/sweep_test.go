package stack

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// placed is where the accounts lie: in the table, or ("") as an index has them.
func placed(t *testing.T, s *Stack, index string) (keys []string) {
	t.Helper()
	var out struct {
		Items []map[string]struct{ S string }
	}
	in := map[string]any{"TableName": s.TableName()}
	if index != "" {
		in["IndexName"] = index
	}
	if err := call(t.Context(), s.config.DynamoDB, s.config.Region, "DynamoDB_20120810.Scan", in, &out); err != nil {
		t.Fatal(err)
	}
	for _, item := range out.Items {
		if strings.HasPrefix(item["SK"].S, "ACCOUNT#") {
			keys = append(keys, item["PK"].S)
		}
	}
	return keys
}

// F50, F6: the sweep's process dies of SIGKILL at ten points. In the end neither
// rows nor index entries are left, but for what was made meanwhile.
func TestF50_ASweepKilledTenTimesLeavesOnlyWhatWasMadeSince(t *testing.T) {
	s, token, pool, kill := mortal(t, "sweep")
	expect := func(want int, method, path, body string) map[string]any {
		t.Helper()
		status, out := say(t, s, method, path, token, body)
		if status != want {
			t.Fatalf("%s %s: %d %v", method, path, status, out)
		}
		return out
	}
	const users = 24
	for i := range users {
		expect(200, "PUT", "/data-integrations/openai/api-key", fmt.Sprintf(`{"user_id":"u%d","secret":"sk-canary-swept-%04d"}`, i, i))
	}
	expect(204, "DELETE", "/data-integrations/openai", "")

	// Four queries ask for jobs, the fifth for accounts; PutItem keeps what a pass
	// has found, and comes last.
	for i, step := range []moment{
		{"before", "Query", 1}, {"after", "Query", 5}, {"before", "BatchGetItem", 1}, {"after", "BatchGetItem", 1},
		{"before", "DeleteItem", 1}, {"after", "DeleteItem", 1}, {"before", "DeleteItem", 2}, {"after", "DeleteItem", 2},
		{"before", "PutItem", 1}, {"after", "PutItem", 1},
	} {
		left := len(placed(t, s, ""))
		killed := dieAt(kill, pool, "sweep", step)
		answer, err := s.Tick(t.Context(), "sweep")
		kill.Store(nil)
		select {
		case <-killed:
		default:
			t.Fatalf("%+v: the step was never reached, with %d accounts left: %s", step, left, answer)
		}
		if err == nil {
			t.Errorf("%+v: a killed sweep answered %s", step, answer)
		}
		if i == 5 { // over a dead row, or where it was
			expect(201, "POST", "/data-integrations", `{"provider":"openai","enabled":true,"auth_methods":["api_key"]}`)
			expect(200, "PUT", "/data-integrations/openai/api-key", `{"user_id":"u7","secret":"sk-canary-swept-anew"}`)
		}
		if i < 8 && left < 2 {
			t.Errorf("%+v: only %d accounts were left: this test sees little", step, left)
		}
	}
	if _, err := s.Tick(t.Context(), "sweep"); err != nil {
		t.Fatal(err)
	}
	for _, index := range []string{"", "list", "ids"} {
		if left := placed(t, s, index); len(left) != 1 || !strings.HasSuffix(left[0], "#u7") {
			t.Errorf("index %q: %v are left", index, left)
		}
	}
	vended := expect(200, "POST", "/data-integrations/openai/credentials", `{"user_id":"u7"}`)
	if findText(vended, "sk-canary-swept-anew") == "" {
		t.Errorf("%v", vended)
	}
	if gone := expect(200, "POST", "/data-integrations/openai/credentials", `{"user_id":"u8"}`); findText(gone, "sk-canary-") != "" {
		t.Error("an account of the old registration is vended")
	}
	// Each account's beginning and end is told once, although the row of u7 was
	// written over and sweeps died behind deletions.
	const events = 2*users + 1
	var ids []string
	for end, all := time.Now().Add(time.Minute), false; (len(ids) < events || !all) && time.Now().Before(end); {
		ids, all = noted(t, s)
		time.Sleep(50 * time.Millisecond) // between looks
	}
	if sent := busIDs(t, s); len(ids) != events || len(sent) != events {
		t.Errorf("%d events are stored and %d were sent, want %d", len(ids), len(sent), events)
	}
	if denied := s.Denied(); len(denied) > 0 {
		t.Errorf("the roles lack: %v", denied)
	}
}
