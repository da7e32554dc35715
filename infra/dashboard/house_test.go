package dashboard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"

	"keyvend/infra/browsertest"
	"keyvend/infra/fakeprovider"
	"keyvend/infra/testbed"
	"keyvend/pkg/boot"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/operator"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

// nobody is asked but the fake providers.
type nobody struct{}

func (nobody) Ask(context.Context, catalog.Ask) (health.Answer, error) {
	return health.Answer{}, health.ErrNotAsked
}

// house is a keyvend as infra/local runs it: one for all tests of the process.
type house struct {
	url     string
	tenants func(context.Context, operator.Request) (operator.Response, error)
	fakes   *fakeprovider.Kit
}

var opened = sync.OnceValues(func() (*house, error) {
	dir, err := os.MkdirTemp("", "dashboard")
	if err != nil {
		return nil, err
	}
	fakes := &fakeprovider.Kit{}
	app, err := boot.OpenLocal(dir, fakes.Asker(nobody{}), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	go app.Follow(context.Background())
	go app.Check(context.Background())
	return &house{httptest.NewServer(app.Whole()).URL, app.Tenants(), fakes}, nil
})

// shop is a tenant with its API keys, and what its backend can ask.
type shop struct {
	*house
	t       testing.TB
	tenant  string
	backend string // an API key with all scopes
	desk    string // one without vend
}

// open makes a tenant of the test's own.
func open(t testing.TB) *shop {
	t.Helper()
	h, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{house: h, t: t}
	s.tenant = s.operate(operator.Request{Action: operator.CreateTenant, Name: t.Name()}).Tenant.ID
	s.backend = s.issue("backend", "manage", "vend", "widget")
	s.desk = s.issue("desk", "manage", "widget")
	return s
}

// issue makes an API key and returns its token.
func (s *shop) issue(name string, scopes ...string) string {
	s.t.Helper()
	return s.operate(operator.Request{Action: operator.IssueAPIKey, Tenant: s.tenant, Name: name, Scopes: scopes}).Token
}

func (s *shop) operate(r operator.Request) operator.Response {
	s.t.Helper()
	done, err := s.tenants(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	return done
}

// send makes a request as the tenant's backend and returns the answer's body.
func (s *shop) send(method, path string, body any) map[string]any {
	s.t.Helper()
	read, status, said := s.try(method, path, body)
	if status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, said)
	}
	return read
}

// try is send that may be refused.
func (s *shop) try(method, path string, body any) (read map[string]any, status int, said []byte) {
	s.t.Helper()
	text, isText := body.([]byte)
	if !isText && body != nil {
		text, _ = json.Marshal(body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.backend)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err = io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	read = map[string]any{}
	if len(said) > 0 {
		if err := json.Unmarshal(said, &read); err != nil {
			s.t.Fatal(err)
		}
	}
	return read, answer.StatusCode, said
}

type object = map[string]any

// connect registers a provider of the catalog.
func (s *shop) connect(slug string) {
	s.t.Helper()
	s.send("POST", "/data-integrations", object{"provider": slug, "auth_methods": []string{"api_key"}, "enabled": true})
}

// fake registers the fake provider that takes a key as a bearer token.
func (s *shop) fake() {
	s.t.Helper()
	s.send("POST", "/data-integrations", fakeprovider.Bearer().Registration())
	s.send("PATCH", "/keyvend/integrations/fake-bearer", fakeprovider.Bearer().Definition())
}

// store stores a user's key and returns the account's id.
func (s *shop) store(slug, user, secret string, more ...object) string {
	s.t.Helper()
	body := object{"user_id": user, "secret": secret}
	for _, m := range more {
		for name, value := range m {
			body[name] = value
		}
	}
	return s.send("PUT", "/data-integrations/"+slug+"/api-key", body)["id"].(string)
}

// vend reads a user's key.
func (s *shop) vend(slug, user string) {
	s.t.Helper()
	s.send("POST", "/data-integrations/"+slug+"/credentials", object{"user_id": user})
}

// signedIn opens the dashboard in a tab of its own, signed in by a link.
func (s *shop) signedIn() *browsertest.Page {
	s.t.Helper()
	p := browsertest.Open(s.t)
	p.Visit(s.url + "/dashboard#key=" + s.desk)
	p.Find("heading", "Integrations")
	return p
}

// at goes to a page of the dashboard by its address, and waits until the page that
// was there is gone: it may have controls of the same names.
func (s *shop) at(p *browsertest.Page, place string) {
	s.t.Helper()
	const left = `document.querySelector("#main > h1[data-left]") === null`
	p.Do(fmt.Sprintf(`if (location.hash !== %q) document.querySelector("#main > h1")?.setAttribute("data-left", "")`, "#/"+place))
	p.Visit(s.url + "/dashboard#/" + place)
	p.Wait("that the page before is gone", func() bool { return browsertest.Eval[bool](p, left) })
}

func TestTheTypesAreRight(t *testing.T) {
	node := testbed.Command(t, "node")
	compiler := testbed.Tool(t, "web/node_modules/typescript/bin/tsc")
	if out, err := exec.CommandContext(t.Context(), node, compiler, "-p", "tsconfig.json").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
