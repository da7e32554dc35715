package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/infra/host/lambda"
	"keyvend/infra/testbed"
)

// built is the temporary folder of the functions, once they were compiled; see
// TestMain.
var built string

var build = sync.OnceValue(func() (err error) {
	if built, err = os.MkdirTemp("", "keyvend-stack-"); err != nil {
		return err
	}
	return testbed.Share("functions", "../../..", built, func(dir string) error { return Build(context.Background(), "../../..", dir) })
})

// shipped starts the real functions, as they ship, on a table of their own.
func shipped(t *testing.T, change func(*Config)) *Stack {
	t.Helper()
	dynamodb, kms := testbed.DynamoDB(t), testbed.KMS(t)
	if err := build(); err != nil {
		t.Fatal(err)
	}
	c := Config{
		Template: "../../../template.yaml", Bootstraps: built, Table: fmt.Sprintf("shipped-%d", time.Now().UnixNano()),
		DynamoDB: dynamodb, KMS: kms,
	}
	fakes, err := (&fakeprovider.Kit{}).Serve(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fakes.Close() })
	c.Environment = FakeProviders(fakes)
	if change != nil {
		change(&c)
	}
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// say sends one request with a JSON body, "" for none.
func say(t *testing.T, s *Stack, method, path, token, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	return w.Code, out
}

func operate(t *testing.T, s *Stack, payload string) map[string]any {
	t.Helper()
	answer, err := s.Invoke(t.Context(), "tenants", []byte(payload))
	// On a busy machine a cold KMS and a cold table take longer than an attempt.
	for end := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), "service_unavailable") && time.Now().Before(end); {
		answer, err = s.Invoke(t.Context(), "tenants", []byte(payload))
	}
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	var out map[string]any
	if err := json.Unmarshal(answer, &out); err != nil {
		t.Fatalf("%s: %s", payload, answer)
	}
	return out
}

// customer makes a tenant and an API key for everything.
func customer(t *testing.T, s *Stack) (tenant string, issued map[string]any, token string) {
	t.Helper()
	create, err := os.ReadFile(filepath.Join("../../../events", "tenants.json"))
	if err != nil {
		t.Fatal(err)
	}
	tenant = findText(operate(t, s, string(create)), "tenant_")
	issued = operate(t, s, `{"action":"issue_api_key","tenant":"`+tenant+`","name":"all","scopes":["vend","manage"]}`)
	token = findText(issued, "sk_kv_")
	if tenant == "" || token == "" {
		t.Fatalf("no token in %v", issued)
	}
	return tenant, issued, token
}

// The whole flow, and every action of it under the permissions of the template.
func TestTheShippedFunctionsDoTheirWorkWithTheirOwnRoles(t *testing.T) {
	const secretKey = "sk-canary-shipped-4242"
	log := &writer{}
	s := shipped(t, func(c *Config) { c.Log = log })
	tenant, issued, token := customer(t, s)
	operate(t, s, `{"action":"list_tenants"}`)
	operate(t, s, `{"action":"list_api_keys","tenant":"`+tenant+`"}`)

	expect := func(want int, method, path, body string) map[string]any {
		t.Helper()
		status, out := say(t, s, method, path, token, body)
		if status != want {
			t.Fatalf("%s %s: %d %v\ndenied %v", method, path, status, out, s.Denied())
		}
		return out
	}
	vend := func() string {
		t.Helper()
		return fmt.Sprint(expect(200, "POST", "/data-integrations/openai/credentials", `{"user_id":"auth0|1"}`))
	}
	expect(200, "GET", "/healthz", "")
	expect(404, "GET", "/no/such/path", "")
	expect(201, "POST", "/data-integrations", `{"provider":"openai","enabled":true,"auth_methods":["api_key"],"api_key":{"user_id":"first","secret":"`+secretKey+`0"}}`)
	expect(200, "GET", "/data-integrations", "")
	expect(200, "GET", "/data-integrations/openai", "")
	expect(200, "PUT", "/data-integrations/openai/api-key", `{"user_id":"auth0|1","secret":"`+secretKey+`"}`)
	if out := vend(); !strings.Contains(out, secretKey) {
		t.Errorf("vended %s", out)
	}
	expect(200, "PUT", "/data-integrations/openai/api-key", `{"user_id":"auth0|1","secret":"`+secretKey+`-rotated"}`)
	for range 3 { // whichever environment answers
		if out := vend(); !strings.Contains(out, secretKey+"-rotated") {
			t.Errorf("after the rotation: %s", out)
		}
	}
	expect(200, "GET", "/user_management/users/auth0%7C1/data_providers", "")
	expect(200, "GET", "/user_management/users/auth0%7C1/connected_accounts/openai", "")
	expect(204, "DELETE", "/user_management/users/auth0%7C1/connected_accounts/openai", "")
	if out := vend(); strings.Contains(out, secretKey) {
		t.Errorf("after the disconnect: %s", out)
	}
	expect(204, "DELETE", "/data-integrations/openai", "")
	swept, err := s.Tick(t.Context(), "sweep")
	if err != nil || !strings.Contains(string(swept), `"accounts":1`) {
		t.Errorf("sweep: %s %v", swept, err)
	}
	operate(t, s, `{"action":"revoke_api_key","tenant":"`+tenant+`","api_key":"`+findText(issued, "api_key_")+`"}`)
	if status, _ := say(t, s, "GET", "/data-integrations", token, ""); status != 401 {
		t.Errorf("after the revocation: %d", status)
	}
	if denied := s.Denied(); len(denied) > 0 {
		t.Errorf("the roles lack: %v", denied)
	}
	if out := log.String(); strings.Contains(out, secretKey) || strings.Contains(out, token) || !strings.Contains(out, "auth0|1") {
		t.Errorf("F45: log %s", out)
	}
}

// F40: odd requests get an answer of ours, and no function fails over them.
func TestF40_NoRequestMakesAShippedFunctionFail(t *testing.T) {
	s := shipped(t, nil)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for _, path := range []string{
		"/", "//", "//evil.example/..", "/..", "/../data-integrations", "/data-integrations/", "/data-integrations//credentials", "/data-integrations/../credentials",
		"/data-integrations/%25/credentials", "/data-integrations/%2500/credentials", "/data-integrations/%00/credentials", "/data-integrations/%2e%2e/credentials",
		"/data-integrations/%FF/api-key", "/data-integrations/a%3Fb/api-key", "/data-integrations/a%23b/token", "/data-integrations/a%20b", "/user_management/users/%25zz/data_providers",
		"/healthz/", "/%2e", "/*", "/prod/healthz", "/data-integrations/a%2Fb/credentials",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"} {
			r, err := http.NewRequest(method, server.URL+path, strings.NewReader("\x00{"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			var out struct{ Message, Code string }
			err = json.NewDecoder(res.Body).Decode(&out)
			_ = res.Body.Close()
			if res.StatusCode < 400 || res.StatusCode >= 500 || err != nil || out.Message == "" {
				t.Errorf("%s %s: %d %+v %v", method, path, res.StatusCode, out, err)
			}
		}
	}
	for _, name := range []string{"providers", "keys", "vend"} {
		for _, payload := range []string{`{}`, `null`, `[]`, `{"version":"1.0","httpMethod":"GET"}`, `{"Records":[]}`, `{"version":"2.0","rawPath":"%","requestContext":{"http":{"method":"GET"}}}`,
			`{"version":"2.0","rawPath":"/a\u0000","isBase64Encoded":true,"body":"%","requestContext":{"http":{"method":"POST"}}}`} {
			out, err := s.Invoke(t.Context(), name, []byte(payload))
			var answer struct{ StatusCode int }
			if err != nil || json.Unmarshal(out, &answer) != nil || answer.StatusCode < 400 || answer.StatusCode > 499 {
				t.Errorf("%s %s: %s %v", name, payload, out, err)
			}
		}
	}
}

// hook is told of each call that a function makes to AWS, before and after it.
type hook func(when, function, operation string)

// mortal is a stack with one environment of each function, a tenant with openai
// registered, the pool of one function, and where to put what kills it.
func mortal(t *testing.T, function string) (s *Stack, token string, pool *lambda.Pool, kill *atomic.Pointer[hook]) {
	t.Helper()
	kill = new(atomic.Pointer[hook])
	at := func(when string) func(function, operation string) {
		return func(function, operation string) {
			if f := kill.Load(); f != nil {
				(*f)(when, function, operation)
			}
		}
	}
	s = shipped(t, func(c *Config) { c.Before, c.After, c.Environments = at("before"), at("after"), 1 })
	_, _, token = customer(t, s)
	if status, out := say(t, s, "POST", "/data-integrations", token, `{"provider":"openai","enabled":true,"auth_methods":["api_key"]}`); status != 201 {
		t.Fatalf("%d %v", status, out)
	}
	pool, err := s.Function(function)
	if err != nil {
		t.Fatal(err)
	}
	return s, token, pool, kill
}

// moment is one of a function's life: before or after its nth call of an operation.
type moment struct {
	when, operation string
	nth             int
}

// dieAt has a function's processes killed at a moment, and closes what it returns.
func dieAt(kill *atomic.Pointer[hook], pool *lambda.Pool, function string, m moment) (killed chan struct{}) {
	killed = make(chan struct{})
	var mu sync.Mutex
	count := 0
	var killer hook = func(when, of, operation string) {
		if of != function || when != m.when || operation != m.operation {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if count++; count == m.nth {
			close(killed)
			killAll(pool)
		}
	}
	kill.Store(&killer)
	return killed
}

// F27: a function that dies at any step of a write leaves the whole old state
// or the whole new one, and the same request again succeeds.
func TestF27_AFunctionKilledAtAnyStepLeavesNoHalfState(t *testing.T) {
	s, token, pool, kill := mortal(t, "keys")
	vended := func() string {
		_, out := say(t, s, "POST", "/data-integrations/openai/credentials", token, `{"user_id":"u"}`)
		return findText(out, "sk-canary-")
	}
	for round, step := range []moment{
		{"before", "BatchGetItem", 1}, {"after", "BatchGetItem", 1}, {"before", "Decrypt", 1}, {"after", "Decrypt", 1}, {"before", "PutItem", 1}, {"after", "PutItem", 1},
	} {
		killAll(pool) // a cold process takes every step
		before := vended()
		fresh := fmt.Sprintf("sk-canary-round-%d", round)
		body := `{"user_id":"u","secret":"` + fresh + `"}`
		killed := dieAt(kill, pool, "keys", step)
		status, _ := say(t, s, "PUT", "/data-integrations/openai/api-key", token, body)
		kill.Store(nil)
		select {
		case <-killed:
		default:
			t.Fatalf("%v: the step was never reached", step)
		}
		if status != 500 {
			t.Errorf("%v: the killed request: %d", step, status)
		}
		if got := vended(); got != before && got != fresh {
			t.Errorf("%v: %q, neither %q nor %q", step, got, before, fresh)
		}
		if status, out := say(t, s, "PUT", "/data-integrations/openai/api-key", token, body); status != 200 {
			t.Errorf("%v: again: %d %v", step, status, out)
		}
		if got := vended(); got != fresh {
			t.Errorf("%v: after the repetition %q", step, got)
		}
	}
}

func killAll(pool *lambda.Pool) {
	for _, e := range pool.Environments() {
		e.Kill()
	}
}

// findText is the first text in v that begins with prefix.
func findText(v any, prefix string) string {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, prefix) {
			return v
		}
	case map[string]any:
		for _, inner := range v {
			if found := findText(inner, prefix); found != "" {
				return found
			}
		}
	}
	return ""
}
