// Package boottest is a whole keyvend for tests: the handlers as they are
// deployed, over a table and a wrapper that count, fail and bite, with a clock
// that stands still until it is told. Nothing but the ports is faked.
//
// Every secret in a test begins with Canary. When the test ends, the world
// fails it if a canary or an API key was seen anywhere but in the answer to a
// vend: in another answer, in the log, in an audit line, in the table. It also
// fails the test if an answer is not as keyvend describes itself.
package boottest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/api/apitest"
	"keyvend/pkg/audit"
	"keyvend/pkg/boot"
	"keyvend/pkg/ident"
	"keyvend/pkg/operator"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// Canary is what every third-party key in tests begins with.
const Canary = "sk-canary-"

// World is one keyvend and the world around it.
type World struct {
	App     *boot.App
	Handler http.Handler      // all routes, as App.Whole gives them
	Table   *tabletest.Faulty // what the handlers use
	Engine  table.Table       // beneath it, for whoever can write the table
	Store   *store.Store      // over Engine
	Wrapper *sealtest.Wrapper
	Clock   *Clock
	Audit   *Audit
	Log     *Log
	// Providers are asked through this, and Checks is the queue of requests for
	// that.
	Providers *Providers
	Checks    *Checks
	// Site is what requests say in Sec-Fetch-Site, as a browser would; "": nothing.
	Site string

	t      testing.TB
	desk   func(context.Context, operator.Request) (operator.Response, error)
	mu     sync.Mutex
	tokens []string
}

// Config is what a test may choose. The zero value is the usual world.
type Config struct {
	Engine table.Table   // nil: in memory
	TTL    time.Duration // of unwrapped key material; 0: five minutes; below 0: none is kept
	Rows   time.Duration // of rows that vending keeps; 0: none is kept
}

// New makes a world.
func New(t testing.TB, cfg Config) *World {
	t.Helper()
	if cfg.Engine == nil {
		cfg.Engine = tabletest.NewMemory()
	}
	if cfg.TTL == 0 {
		cfg.TTL = 5 * time.Minute
	}
	w := &World{
		Engine:  cfg.Engine,
		Table:   tabletest.Faults(t, watched{cfg.Engine, t}),
		Wrapper: sealtest.NewWrapper(t),
		Clock:   &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		Audit:   &Audit{},
		Log:     &Log{},
		t:       t,
	}
	w.Providers = &Providers{t: t}
	w.Checks = &Checks{t: t, now: w.Clock.Now}
	clock := ident.Clock(w.Clock.Now)
	w.Store = &store.Store{Table: cfg.Engine, Clock: clock}
	w.App = boot.New(boot.Parts{
		Table:   w.Table,
		Wrapper: w.Wrapper,
		Ring: seal.Config{
			App: "keyvend", Environment: "test", KeyID: "fake",
			TTL: max(cfg.TTL, 0), Now: w.Clock.Now, Uptime: w.Clock.uptime,
		},
		Rows:   store.RecentConfig{TTL: cfg.Rows, Now: w.Clock.Now, Uptime: w.Clock.uptime},
		Asker:  w.Providers,
		Checks: w.Checks,
		Audit:  w.Audit,
		Log:    slog.New(slog.NewJSONHandler(w.Log, nil)),
		Clock:  clock,
	})
	w.Handler = w.App.Whole()
	w.desk = w.App.Tenants()
	t.Cleanup(w.silent)
	return w
}

// Operate asks the operator's side.
func (w *World) Operate(r operator.Request) operator.Response {
	w.t.Helper()
	answer, err := w.desk(w.t.Context(), r)
	if err != nil {
		w.t.Fatalf("%s: %v", r.Action, err)
	}
	if answer.Token != "" {
		w.keep(answer.Token)
	}
	return answer
}

// Tenant makes a tenant and returns its id.
func (w *World) Tenant() string {
	w.t.Helper()
	return w.Operate(operator.Request{Action: operator.CreateTenant, Name: "acme"}).Tenant.ID
}

// Key issues an API key of a tenant and returns its token.
func (w *World) Key(tenant string, scopes ...string) string {
	w.t.Helper()
	return w.Operate(operator.Request{Action: operator.IssueAPIKey, Tenant: tenant, Name: "test", Scopes: scopes}).Token
}

// WidgetToken mints a widget token for a user, in an organization or ("") in none.
func (w *World) WidgetToken(token, user, organization string, scopes ...string) string {
	w.t.Helper()
	body := map[string]any{"user_id": user, "scopes": scopes}
	if organization != "" {
		body["organization_id"] = organization
	}
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.keep(w.Must(http.StatusCreated, token, "POST", "/widgets/token", string(text)).Text("token"))
}

// Session begins a dashboard session.
func (w *World) Session(token string) string {
	w.t.Helper()
	return w.keep(w.Must(http.StatusCreated, token, "POST", "/keyvend/sessions", "").Text("token"))
}

// keep remembers a token that nothing may tell.
func (w *World) keep(token string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = append(w.tokens, token)
	return token
}

// Answer is an HTTP answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Code is the code of an error's body.
func (a Answer) Code() string { return a.Text("code") }

// Text is the value at a dotted path in the body, as text; "" when there is
// none or null.
func (a Answer) Text(path string) string {
	var v any
	if json.Unmarshal([]byte(a.Body), &v) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		fields, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = fields[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// Do sends a request with the given API key. header holds names and values in
// turn.
func (w *World) Do(token, method, path, body string, header ...string) Answer {
	w.t.Helper()
	return w.DoContext(w.t.Context(), token, method, path, body, header...)
}

// DoContext is Do for a request that ctx bounds.
func (w *World) DoContext(ctx context.Context, token, method, path, body string, header ...string) Answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://keyvend.test"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if w.Site != "" {
		r.Header.Set("Sec-Fetch-Site", w.Site)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return w.Send(r)
}

// Send sends a request as it is.
func (w *World) Send(r *http.Request) Answer {
	w.t.Helper()
	recorder, body := httptest.NewRecorder(), &bytes.Buffer{}
	r.Body = io.NopCloser(io.TeeReader(r.Body, body))
	w.Handler.ServeHTTP(recorder, r)
	a := Answer{recorder.Code, recorder.Header(), recorder.Body.String()}
	w.described(r, body.Bytes(), a)
	vended := a.Status == http.StatusOK && (strings.HasSuffix(r.URL.Path, "/credentials") || r.URL.Path == "/keyvend/vend")
	if strings.Contains(a.Body+fmt.Sprint(a.Header), Canary) && !vended {
		w.t.Errorf("%s %s: the answer tells a secret: %d %s", r.Method, r.URL.Path, a.Status, a.Body)
	}
	return a
}

// described fails the test if an exchange is not as the API describes itself.
func (w *World) described(r *http.Request, body []byte, a Answer) {
	w.t.Helper()
	description, err := apitest.Served()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := description.Check(apitest.Exchange{
		Method: r.Method, Target: r.URL.RequestURI(), Body: body,
		Status: a.Status, Header: a.Header, Answer: []byte(a.Body),
	}); err != nil {
		w.t.Error(err)
	}
}

// Must is Do for a request that has to be answered with status.
func (w *World) Must(status int, token, method, path, body string, header ...string) Answer {
	w.t.Helper()
	a := w.Do(token, method, path, body, header...)
	if a.Status != status {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	return a
}

// Register registers a provider of the catalog, enabled, for API keys.
func (w *World) Register(token, slug string) Answer {
	w.t.Helper()
	return w.Must(http.StatusCreated, token, "POST", "/data-integrations",
		`{"provider":"`+slug+`","enabled":true,"auth_methods":["api_key"]}`)
}

// Upsert stores a key for a user.
func (w *World) Upsert(token, slug, user, secret string) Answer {
	w.t.Helper()
	return w.Must(http.StatusOK, token, "PUT", "/data-integrations/"+slug+"/api-key",
		`{"user_id":"`+user+`","secret":"`+secret+`"}`)
}

// Vend asks for a user's key.
func (w *World) Vend(token, slug, user string) Answer {
	w.t.Helper()
	return w.Do(token, "POST", "/data-integrations/"+slug+"/credentials", `{"user_id":"`+user+`"}`)
}

// silent is the end of every test.
func (w *World) silent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.Log.String() + w.Audit.text()
	if strings.Contains(seen, Canary) {
		w.t.Errorf("log or audit tell a secret: %s", seen)
	}
	for _, token := range w.tokens {
		if strings.Contains(seen, token[:80]) || strings.Contains(seen, token[len(token)-40:]) {
			w.t.Errorf("log or audit tell a token: %s", seen)
		}
	}
}

// watched is the engine as the handlers write it: nothing in clear.
type watched struct {
	table.Table
	t testing.TB
}

// Write implements table.Table.
func (w watched) Write(ctx context.Context, ops ...table.Op) error {
	for _, op := range ops {
		if bytes.Contains(op.Item.Doc, []byte(Canary)) {
			w.t.Errorf("the row %v holds a secret in clear", op.Item.Key)
		}
	}
	return w.Table.Write(ctx, ops...)
}

// Clock is the time of a world.
type Clock struct {
	mu  sync.Mutex
	now time.Time
	up  time.Duration
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *Clock) uptime() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// Pass lets time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.up = c.now.Add(d), c.up+d
}

// Audit is an audit log in memory.
type Audit struct {
	mu    sync.Mutex
	lines []audit.Line
	fail  error
}

// Record implements audit.Log.
func (a *Audit) Record(ctx context.Context, line audit.Line) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	line.RequestID = audit.RequestID(ctx)
	a.lines = append(a.lines, line)
	return nil
}

// Fail lets every Record from now on fail; nil ends it.
func (a *Audit) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

// Lines are the lines so far.
func (a *Audit) Lines() []audit.Line {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]audit.Line(nil), a.lines...)
}

// Last is the newest line, the zero one when there is none.
func (a *Audit) Last() audit.Line {
	lines := a.Lines()
	if len(lines) == 0 {
		return audit.Line{}
	}
	return lines[len(lines)-1]
}

func (a *Audit) text() string {
	text, _ := json.Marshal(a.Lines()) // texts and times always encode
	return string(text)
}

// Log is a log in memory.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Alarms are the alarms that were raised, in order.
func (l *Log) Alarms() []string {
	var alarms []string
	for line := range strings.Lines(l.String()) {
		var entry struct{ Alarm string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Alarm != "" {
			alarms = append(alarms, entry.Alarm)
		}
	}
	return alarms
}
