package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/infra/host/lambda"
	"keyvend/infra/testbed"
	"keyvend/pkg/serve"
)

// The test binary is the bootstrap of every function: under a Runtime API it
// makes the AWS calls that the test asks for, with what the template gave it.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		defer func() { _ = os.RemoveAll(built) }() // "" when nothing was compiled
		testbed.Main(m)
		return
	}
	fmt.Println("started sk-canary-output")
	switch strings.TrimPrefix(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), Name+"-") {
	case "sweep", "tenants":
		serve.Event(func(ctx context.Context, event json.RawMessage) (map[string]any, error) {
			var ask struct{ Target, Body string }
			_ = json.Unmarshal(event, &ask)
			if ask.Target == "" {
				return map[string]any{"event": event}, nil
			}
			out, err := askAWS(ctx, ask.Target, ask.Body)
			return map[string]any{"out": out, "err": fmt.Sprint(err)}, nil
		})
	case "sender":
		serve.Event(sender)
	case "worker":
		serve.Event(worker)
	default:
		serve.Lambda(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := map[string]any{
				"function": os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "path": r.URL.Path, "method": r.Method,
				"table": os.Getenv("KEYVEND_TABLE"), "key": os.Getenv("KEYVEND_KMS_KEY"), "pid": os.Getpid(),
			}
			if target := r.URL.Query().Get("target"); target != "" {
				answer, err := askAWS(r.Context(), target, r.URL.Query().Get("body"))
				out["out"], out["err"] = answer, fmt.Sprint(err)
			}
			_ = json.NewEncoder(w).Encode(out)
		}))
	}
}

// askAWS makes one call through the endpoint that the function was given.
func askAWS(ctx context.Context, target, body string) (any, error) {
	endpoint := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB")
	if strings.HasPrefix(target, "TrentService.") {
		endpoint = os.Getenv("AWS_ENDPOINT_URL_KMS")
	}
	body = strings.NewReplacer("TABLE", os.Getenv("KEYVEND_TABLE"), "KEY", os.Getenv("KEYVEND_KMS_KEY")).Replace(body)
	var out any
	err := call(ctx, endpoint, os.Getenv("AWS_REGION"), target, json.RawMessage(body), &out)
	return out, err
}

// writer keeps what environments print.
type writer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func begin(t *testing.T, change func(*Config)) *Stack {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"providers", "keys", "vend", "sweep", "tenants"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(dir, name, "bootstrap")); err != nil {
			t.Fatal(err)
		}
	}
	c := Config{
		Template: "../../../template.yaml", Bootstraps: dir, Table: fmt.Sprintf("host-%d", time.Now().UnixNano()),
		DynamoDB: testbed.DynamoDB(t), KMS: testbed.KMS(t),
	}
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

func get(t *testing.T, s *Stack, method, target string) map[string]any {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	body, _ := io.ReadAll(w.Result().Body)
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", target, w.Code, body)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRequestsReachTheFunctionOfTheirRouteWithTheTemplatesVariables(t *testing.T) {
	log := &writer{}
	s := begin(t, func(c *Config) { c.Log = log })
	for target, want := range map[string]string{
		"/data-integrations": "providers", "/data-integrations/openai": "providers", "/healthz": "providers", "/no/such/path": "providers",
		"/data-integrations/openai/api-key": "keys", "/user_management/users/auth0%7C1/data_providers": "keys",
		"/data-integrations/openai/credentials": "vend", "/data-integrations/openai/token": "vend",
	} {
		out := get(t, s, "DELETE", target)
		if out["function"] != Name+"-"+want || out["method"] != "DELETE" || out["table"] != s.TableName() || out["key"] != s.KeyARN() {
			t.Errorf("%s: %v", target, out)
		}
	}
	if !strings.HasPrefix(s.KeyARN(), "arn:aws:kms:eu-central-1:") {
		t.Errorf("key %s", s.KeyARN())
	}
	if !strings.Contains(log.String(), "sk-canary-output") {
		t.Error("what environments print is not captured")
	}
}

func TestATickAndAnInvocationReachTheFunction(t *testing.T) {
	s := begin(t, nil)
	out, err := s.Tick(t.Context(), "sweep")
	if err != nil || !strings.Contains(string(out), `"aws.events"`) {
		t.Errorf("%s %v", out, err)
	}
	out, err = s.Invoke(t.Context(), "tenants", []byte(`{"action":"x"}`))
	if err != nil || string(out) != `{"event":{"action":"x"}}` {
		t.Errorf("%s %v", out, err)
	}
	if _, err := s.Invoke(t.Context(), "nobody", nil); !errors.Is(err, ErrNoFunction) {
		t.Error(err)
	}
}

func TestSchedulesInvokeTheirFunctionUntilTheStackCloses(t *testing.T) {
	s := begin(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.tick(ctx, "sweep", 10*time.Millisecond); close(done) }()
	pool, err := s.Function("sweep")
	if err != nil {
		t.Fatal(err)
	}
	for len(pool.Environments()) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-done
}

// The roles are those of the template, the table and the key are real.
func TestFunctionsCanDoWhatTheirRolesAllowAndNothingElse(t *testing.T) {
	s := begin(t, nil)
	const put = `{"TableName":"TABLE","Item":{"PK":{"S":"%s"},"SK":{"S":"x"}}}`
	const one = `{"TableName":"TABLE","Key":{"PK":{"S":"%s"},"SK":{"S":"x"}}}`
	const read = `{"RequestItems":{"TABLE":{"Keys":[{"PK":{"S":"%s"},"SK":{"S":"x"}}]}}}`
	const list = `{"TableName":"TABLE","IndexName":"list","KeyConditionExpression":"list_pk = :p","ExpressionAttributeValues":{":p":{"S":"%s"}}}`
	const wrap = `{"KeyId":"KEY","Plaintext":"YQ==","EncryptionContext":{"purpose":"%s"}}`
	const ddb = "DynamoDB_20120810."
	for _, c := range []struct {
		function, target, body, name string
		allowed                      bool
	}{
		{"providers", ddb + "PutItem", put, "I#t", true},
		{"providers", ddb + "PutItem", put, "K#t", false},
		{"keys", ddb + "PutItem", put, "U#t#u", true},
		{"keys", ddb + "PutItem", put, "I#t", false},
		{"vend", ddb + "BatchGetItem", read, "P#t", true},
		{"vend", ddb + "GetItem", one, "P#t", false},
		{"vend", ddb + "PutItem", put, "U#t#u", false},
		{"vend", ddb + "Scan", `{"TableName":"TABLE"}%.0s`, "", false},
		{"sweep", ddb + "DeleteItem", one, "U#t#u", true},
		{"sweep", ddb + "PutItem", put, "U#t#u", false},
		{"sweep", ddb + "Query", list, "U#t#i#0", true},
		{"tenants", ddb + "Query", list, "T#TENANTS", true},
		{"tenants", ddb + "PutItem", put, "U#t#u", false},
		{"tenants", "TrentService.Encrypt", wrap, "seal", true},
		{"tenants", "TrentService.Encrypt", wrap, "other", false},
		{"vend", "TrentService.Encrypt", wrap, "seal", false},
		{"sweep", "TrentService.Encrypt", wrap, "ingest", false},
	} {
		body := fmt.Sprintf(c.body, c.name)
		var out map[string]any
		if paths := map[string]string{"providers": "/healthz", "keys": "/data-integrations/a/api-key", "vend": "/data-integrations/a/credentials"}; paths[c.function] != "" {
			out = get(t, s, "GET", paths[c.function]+"?"+query(c.target, body))
		} else {
			ask, _ := json.Marshal(map[string]string{"target": c.target, "body": body})
			answer, err := s.Invoke(t.Context(), c.function, ask)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(answer, &out); err != nil {
				t.Fatal(err)
			}
		}
		denied := strings.Contains(fmt.Sprint(out["err"]), "AccessDeniedException")
		if denied == c.allowed || (c.allowed && out["err"] != "<nil>") {
			t.Errorf("%s %s %s: %v", c.function, c.target, c.name, out["err"])
		}
	}
	if d := s.Denied(); len(d["vend"]) != 4 || len(d["keys"]) != 1 {
		t.Errorf("denied: %v", d)
	}
}

func query(target, body string) string {
	return "target=" + target + "&body=" + strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", " ", "%20", "#", "%23").Replace(body)
}

func TestAFunctionThatDiesIsA500AndTheNextRequestIsServed(t *testing.T) {
	s := begin(t, nil)
	first := get(t, s, "GET", "/healthz")["pid"]
	pool, err := s.Function("providers")
	if err != nil {
		t.Fatal(err)
	}
	pool.Environments()[0].Kill()
	if second := get(t, s, "GET", "/healthz")["pid"]; first == second {
		t.Error("the same process")
	}
}

func TestATableThatIsThereIsUsed(t *testing.T) {
	first := begin(t, nil)
	second := begin(t, func(c *Config) { c.Table, c.KeyARN = first.TableName(), first.KeyARN() })
	if second.KeyARN() != first.KeyARN() {
		t.Errorf("key %s", second.KeyARN())
	}
	if out := get(t, second, "GET", "/healthz"); out["table"] != first.TableName() {
		t.Errorf("%v", out)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]Config{
		"template": {Template: "missing.yaml"},
		"dynamodb": {Template: "../../../template.yaml", Table: "t", DynamoDB: "http://127.0.0.1:1", KMS: "http://127.0.0.1:1"},
	} {
		if _, err := Start(t.Context(), c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var failed *lambda.FunctionError
	s := begin(t, func(c *Config) { c.Bootstraps = t.TempDir() })
	if _, err := s.Tick(t.Context(), "sweep"); err == nil || errors.As(err, &failed) {
		t.Errorf("no binary: %v", err)
	}
}
