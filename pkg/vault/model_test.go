package vault_test

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table/bolt"
)

// place is where a key can lie: whose, for which provider.
type place struct{ slug, user, organization string }

// owner is the place's owner in a body.
func (p place) owner() string {
	if p.organization == "" {
		return `"user_id":"` + p.user + `"`
	}
	return `"user_id":"` + p.user + `","organization_id":"` + p.organization + `"`
}

// path is the place's account.
func (p place) path() string {
	path := "/user_management/users/" + p.user + "/connected_accounts/" + p.slug
	if p.organization == "" {
		return path
	}
	return path + "?organization_id=" + p.organization
}

var places = []place{
	{"openai", "anna", ""}, {"openai", "anna", "org"}, {"openai", "bob", ""}, {"stripe", "anna", ""},
}

// model is what a tenant's registrations and keys are, said in the plainest way.
type model struct {
	enabled  map[string]bool // by slug; registered if there
	accounts map[place]modelAccount
}

type modelAccount struct{ id, secret, state string }

func (m model) clone() model { return model{maps.Clone(m.enabled), maps.Clone(m.accounts)} }

// op is a request, and what it makes of the model when it succeeds.
type op struct {
	method, path, body string
	change             func(model)
	status             int // when nothing goes wrong
}

func draw(t *rapid.T, m model, serial int) op {
	p := rapid.SampledFrom(places).Draw(t, "place")
	enabled, registered := m.enabled[p.slug]
	account, connected := m.accounts[p]
	either := func(there bool, status int) int {
		if there {
			return status
		}
		return http.StatusNotFound
	}
	nothing := func(model) {}
	switch rapid.SampledFrom([]string{"register", "upsert", "upsert", "upsert", "disconnect", "remove", "state", "switch", "inline"}).Draw(t, "op") {
	case "register":
		o := op{"POST", "/data-integrations", `{"provider":"` + p.slug + `","enabled":true,"auth_methods":["api_key"]}`, nothing, http.StatusConflict}
		if !registered {
			o.status, o.change = http.StatusCreated, func(m model) { m.enabled[p.slug] = true }
		}
		return o
	case "remove":
		return op{"DELETE", "/data-integrations/" + p.slug, "", func(m model) {
			delete(m.enabled, p.slug)
			maps.DeleteFunc(m.accounts, func(at place, _ modelAccount) bool { return at.slug == p.slug })
		}, either(registered, http.StatusNoContent)}
	case "disconnect":
		return op{"DELETE", p.path(), "", func(m model) { delete(m.accounts, p) }, either(connected, http.StatusNoContent)}
	case "state":
		state := rapid.SampledFrom([]string{"connected", "needs_reauthorization"}).Draw(t, "state")
		return op{"PUT", p.path(), `{"state":"` + state + `"}`, func(m model) {
			account.state = state
			m.accounts[p] = account
		}, either(connected, http.StatusOK)}
	case "switch":
		return op{"PUT", "/data-integrations/" + p.slug, fmt.Sprintf(`{"enabled":%v}`, !enabled),
			func(m model) { m.enabled[p.slug] = !enabled }, either(registered, http.StatusOK)}
	}
	secret := fmt.Sprintf("%sfor-%s-%04d", boottest.Canary, p.user, serial)
	body := `{` + p.owner() + `,"secret":"` + secret + `"}`
	o := op{"PUT", "/data-integrations/" + p.slug + "/api-key", body, func(m model) {
		m.accounts[p] = modelAccount{id: account.id, secret: secret, state: "connected"}
	}, either(registered, http.StatusOK)}
	if rapid.Bool().Draw(t, "inline") {
		o.path, o.body = "/data-integrations/"+p.slug, `{"api_key":`+body+`}`
	}
	return o
}

// machine is a tenant under test, and what it should be.
type machine struct {
	*boottest.World
	engine *mortal
	token  string
	should model
	known  map[string]place // account ids ever seen, and whose they are
}

// differs says where the tenant is not what m says; "" when it is. Ids that m
// does not know yet must be new ones.
func (x *machine) differs(m model) string {
	for _, slug := range []string{"openai", "stripe"} {
		enabled, registered := m.enabled[slug]
		got := x.Do(x.token, "GET", "/data-integrations/"+slug, "")
		if (got.Status == http.StatusOK) != registered || registered && got.Text("enabled") != fmt.Sprint(enabled) {
			return fmt.Sprintf("%s: %d %s", slug, got.Status, got.Body)
		}
	}
	for _, p := range places {
		if wrong := x.differsAt(p, m); wrong != "" {
			return fmt.Sprintf("%v: %s", p, wrong)
		}
	}
	return ""
}

func (x *machine) differsAt(p place, m model) string {
	enabled, registered := m.enabled[p.slug]
	account, connected := m.accounts[p]
	vend := x.Do(x.token, "POST", "/data-integrations/"+p.slug+"/credentials", `{`+p.owner()+`}`)
	var want string
	switch {
	case !registered:
		want = "not_found"
	case !enabled:
		want = "data_integration_disabled"
	case !connected:
		want = "not_installed"
	case account.state != "connected":
		want = account.state
	default:
		want = account.secret
	}
	if got := vend.Code() + vend.Text("error") + vend.Text("credential.value"); got != want {
		return fmt.Sprintf("vend: %s, want %q", vend.Body, want)
	}
	shown := x.Do(x.token, "GET", p.path(), "")
	if (shown.Status == http.StatusOK) != connected {
		return fmt.Sprintf("shown: %d %s", shown.Status, shown.Body)
	}
	if !connected {
		return ""
	}
	id := shown.Text("id")
	owner, seen := x.known[id]
	switch {
	case shown.Text("state") != account.state || shown.Text("api_key_last_4") != account.secret[len(account.secret)-4:]:
		return shown.Body
	case account.id != "" && id != account.id:
		return fmt.Sprintf("the id was %s and is %s", account.id, id)
	case account.id == "" && seen && owner != p:
		return fmt.Sprintf("the id %s was %v's", id, owner)
	}
	return ""
}

// adopt makes m what should be, and learns the ids of new accounts. An id that
// was given to an account since deleted must not come back.
func (x *machine) adopt(t *rapid.T, m model) {
	for p, account := range m.accounts {
		if account.id != "" {
			continue
		}
		account.id = x.Do(x.token, "GET", p.path(), "").Text("id")
		if _, again := x.known[account.id]; again {
			t.Fatalf("%v: the id %s comes back", p, account.id)
		}
		x.known[account.id] = p
		m.accounts[p] = account
	}
	x.should = m
}

func (x *machine) step(t *rapid.T, serial int) {
	switch rapid.SampledFrom([]string{"ask", "ask", "ask", "ask", "crash", "crash", "sweep", "restart", "wait"}).Draw(t, "step") {
	case "ask":
		x.ask(t, draw(t, x.should, serial))
	case "crash":
		x.crash(t, draw(t, x.should, serial))
	case "sweep":
		if _, err := x.App.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	case "restart":
		x.Handler = x.App.Whole()
	case "wait":
		x.Clock.Pass(time.Duration(rapid.IntRange(1, 20).Draw(t, "minutes")) * time.Minute)
	}
	if wrong := x.differs(x.should); wrong != "" {
		t.Fatal(wrong)
	}
}

func (x *machine) ask(t *rapid.T, o op) {
	got := x.Do(x.token, o.method, o.path, o.body)
	if got.Status != o.status {
		t.Fatalf("%s %s %s: %d %s, want %d", o.method, o.path, o.body, got.Status, got.Body, o.status)
	}
	if o.status >= 400 {
		return
	}
	next := x.should.clone()
	o.change(next)
	if wrong := x.differs(next); wrong != "" {
		t.Fatalf("after %s %s: %s", o.method, o.path, wrong)
	}
	x.adopt(t, next)
}

// crash lets the process die somewhere in the request. What it asked for has
// happened whole or not at all, and asking again converges.
func (x *machine) crash(t *rapid.T, o op) {
	x.engine.live(rapid.IntRange(0, 3).Draw(t, "calls"), rapid.Bool().Draw(t, "stored"))
	x.Do(x.token, o.method, o.path, o.body, "Idempotency-Key", o.body)
	x.engine.live(-1, false)
	x.Handler = x.App.Whole()
	next := x.should.clone()
	if o.status < 400 {
		o.change(next)
	}
	before, after := x.differs(x.should), x.differs(next)
	switch {
	case after == "":
		x.adopt(t, next)
	case before != "":
		t.Fatalf("half of %s %s %s happened: it is neither before (%s) nor after (%s)", o.method, o.path, o.body, before, after)
	}
	again := x.Do(x.token, o.method, o.path, o.body, "Idempotency-Key", o.body)
	if again.Status >= 500 {
		t.Fatalf("again: %d %s", again.Status, again.Body)
	}
	if o.status >= 400 {
		return
	}
	if wrong := x.differs(next); wrong != "" {
		t.Fatalf("again: %d %s, but %s", again.Status, again.Body, wrong)
	}
	if x.differs(x.should) != "" {
		x.adopt(t, next)
	}
}

// TestStateMachine is the fuzz target FuzzStateMachine with seeds of its own.
func TestF27_AnySequenceOfRequestsCrashesAndSweepsIsWhatTheModelSays(t *testing.T) {
	rapid.Check(t, stateMachine(t))
}

func FuzzStateMachine(f *testing.F) {
	f.Fuzz(func(t *testing.T, seed []byte) { rapid.MakeFuzz(stateMachine(t))(t, seed) })
}

func stateMachine(t *testing.T) func(*rapid.T) {
	// Nothing expires by the clock of this machine, which is far from the simulated one.
	file, err := bolt.Config{Now: func() time.Time { return time.Unix(0, 0) }}.Open(filepath.Join(t.TempDir(), "keyvend.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	engine := &mortal{Table: file, left: -1}
	w := boottest.New(t, boottest.Config{Engine: engine})
	return func(t *rapid.T) {
		x := &machine{
			World: w, engine: engine, token: w.Key(w.Tenant(), "vend", "manage"),
			should: model{map[string]bool{}, map[place]modelAccount{}}, known: map[string]place{},
		}
		for serial := range rapid.IntRange(1, 12).Draw(t, "steps") {
			x.step(t, serial)
		}
	}
}
