package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"keyvend/pkg/api/apitest"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/health"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// request is one that brings about an answer.
type request struct {
	path, body string       // "": those of the description
	before     func(*trial) // what has to be done first
}

// beforehand is what has to be there for an operation's example to succeed.
var beforehand = map[string]func(*trial){
	"DELETE /keyvend/freeze":                                 frozen,
	"DELETE /keyvend/integrations/{slug}/freeze":             frozen,
	"DELETE /keyvend/organizations/{organization_id}/freeze": frozen,
}

// frozen freezes what the path is about.
func frozen(d *trial) { d.Must(200, d.token, "PUT", d.there(d.Path), `{"reason":"why"}`) }

// provoked are requests that bring about what only some operations answer, or
// answer for reasons of their own.
var provoked = map[string][]request{
	"POST /data-integrations": {
		{body: `{"provider":"stripe","auth_methods":["oauth"]}`},
		{body: `{"provider":"openai","auth_methods":["api_key"]}`},
	},
	"PUT /data-integrations/{slug}": {
		{body: `{"custom_provider":{"name":"Mine"}}`},
		{body: `{"credentials":{}}`},
		{before: refusing, body: `{"api_key":` + badKey + `}`},
		{before: verified, body: `{"api_key":` + badKey + `}`},
	},
	"PUT /data-integrations/{slug}/api-key": {
		{before: refusing, body: badKey},
		{before: verified, body: badKey},
	},
	"PATCH /keyvend/integrations/{slug}": {{body: `{"check_interval":"1m"}`}},
	"POST /data-integrations/{slug}/api-key": {
		{body: `{"user_id":"user_1","secret":"x","connection_intent":"add"}`},
		{before: refusing, body: badKey},
		{before: verified, body: badKey},
	},
	"PUT /user_management/users/{user_id}/connected_accounts/{slug}":              {{body: `{"state":"connected","access_token":"x"}`}},
	"PATCH /keyvend/accounts/{account_id}":                                        {{body: `{"metadata":{"":"x"}}`}},
	"GET /keyvend/accounts":                                                       {{path: "/keyvend/accounts?user_id=.."}},
	"PUT /organizations/{organization_id}/data_integration_configurations/{slug}": {{body: `{"enabled":true,"scopes":[]}`}, {body: `{"scopes":null}`}},
	"PUT /keyvend/settings":                                                       {{body: `{"allowed_origins":["*"]}`}},
	"GET /keyvend/integrations/{slug}/usage":                                      {{path: "/keyvend/integrations/openai/usage?hours=0"}},
	"POST /data-integrations/{slug}/credentials":                                  {{before: stopped}, {before: switchedOff}},
	"POST /keyvend/vend":                                                          {{before: stopped}, {before: switchedOff}, {body: `{"slug":"nothing","user_id":"user_1"}`}},
	"POST /keyvend/reports":                                                       {{body: `{"slug":"nothing","user_id":"user_1","status":401}`}},
}

func stopped(d *trial) { d.Must(200, d.token, "PUT", "/keyvend/freeze", `{"reason":"why"}`) }

func switchedOff(d *trial) {
	d.Must(200, d.token, "PUT", "/data-integrations/openai", `{"enabled":false}`)
}

// badKey is one that a provider refuses.
const badKey = `{"user_id":"user_1","secret":"sk-example-first-0001"}`

// refusing has the provider asked about each key before it is stored, and refuse
// them all.
func refusing(d *trial) {
	d.Must(200, d.token, "PATCH", "/keyvend/integrations/openai", `{"verify_on_save":"require"}`)
	d.Providers.Say(http.StatusUnauthorized, `{"error":{"code":"invalid_api_key"}}`)
}

// verified has so many keys of the user verified that no more are.
func verified(d *trial) {
	refusing(d)
	for range health.UserLimits[0].Most {
		d.Do(d.token, "PUT", "/data-integrations/openai/api-key", badKey)
	}
}

// trial is the world of one operation, and what the operation answered there.
type trial struct {
	*boottest.World
	apitest.Operation
	tenant, token  string
	account, keyID string
	loses          *atomic.Bool
	seen           map[string]bool
}

// loser is a table whose every write comes too late while it is told to.
type loser struct {
	table.Table
	loses atomic.Bool
}

func (l *loser) Write(ctx context.Context, ops ...table.Op) error {
	if l.loses.Load() {
		return table.ErrCondition
	}
	return l.Table.Write(ctx, ops...)
}

func newTrial(t *testing.T, o apitest.Operation) *trial {
	t.Helper()
	engine := &loser{Table: tabletest.NewMemory()}
	w := boottest.New(t, boottest.Config{Engine: engine, TTL: -1})
	d := &trial{World: w, Operation: o, tenant: w.Tenant(), loses: &engine.loses, seen: map[string]bool{}}
	d.token = w.Key(d.tenant, "vend", "manage")
	w.Register(d.token, "openai")
	d.account = w.Upsert(d.token, "openai", "user_1", key).Text("id")
	d.keyID = keyIDOf(w.Key(d.tenant, "read"))
	w.Must(201, d.token, "POST", "/data-integrations", `{"provider":"mine","auth_methods":["api_key"],"custom_provider":{"name":"Mine"}}`)
	d.actAsBrowser()
	return d
}

// there and nowhere fill a path with what is there, and with what is not.
func (d *trial) there(path string) string {
	return strings.NewReplacer("{slug}", "openai", "{user_id}", "user_1", "{organization_id}", "org_1",
		"{account_id}", d.account, "{api_key_id}", d.keyID).Replace(path)
}

func (d *trial) nowhere(path string) string {
	return strings.NewReplacer("{slug}", "nothing", "{user_id}", "nobody", "{organization_id}", "org_2",
		"{account_id}", "data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV", "{api_key_id}", "api_key_01ARZ3NDEKTSV4RRFFQ69G5FAV").Replace(path)
}

// ask sends a request to the operation; "" are its own path and example. That
// the answer is as described the world itself sees to.
func (d *trial) ask(token, path, body string) boottest.Answer {
	if path == "" {
		path = d.there(d.Path)
	}
	if body == "" {
		body = string(d.Example)
	}
	got := d.Do(token, d.Method, path, body)
	d.see(got)
	return got
}

func (d *trial) see(got boottest.Answer) { d.seen[answered(got.Status, got.Code())] = true }

func answered(status int, code string) string {
	return strings.TrimSpace(fmt.Sprint(status, " ", code))
}

// refuse asks for what every operation refuses alike.
func (d *trial) refuse() {
	d.ask("", "", "")
	for _, scope := range []string{"widget", "read"} {
		d.ask(d.Key(d.tenant, scope), "", "")
	}
	d.ask(d.token, d.nowhere(d.Path), "")
	d.ask(d.token, d.there(strings.NewReplacer("{user_id}", "a%20b", "{organization_id}", "a%20b").Replace(d.Path)), "")
	d.ask(d.token, d.there(d.Path)+"?x=1&x=2", "")
	if d.Example != nil {
		d.ask(d.token, "", "[]")
		d.ask(d.token, "", "{}")
		d.ask(d.token, "", strings.Repeat(" ", 64<<10+1))
	}
	for _, r := range append(provoked[d.String()], provokedByBrowsers(d)...) {
		if r.before != nil {
			r.before(d)
		}
		d.ask(d.token, r.path, r.body)
	}
	d.insist()
}

// insist asks from one address, with what is no key and no token, until that is not
// listened to any more.
func (d *trial) insist() {
	if len(d.Answers) == 1 {
		return // it asks for no API key
	}
	for range burst + 1 {
		r := httptest.NewRequest(d.Method, d.there(d.Path), http.NoBody)
		r.RemoteAddr = attacker
		r.Header.Set("Authorization", "Bearer "+nobody)
		d.see(d.Send(r))
	}
}

// succeed asks for what the operation is for.
func (d *trial) succeed() {
	if before := beforehand[d.String()]; before != nil {
		before(d)
	}
	d.loses.Store(true)
	d.ask(d.token, "", "")
	d.loses.Store(false)
	d.ask(d.token, "", "")
}

// fail asks while something is out of order.
func (d *trial) fail() {
	if len(d.Answers) > 1 { // else it asks nothing of the table
		d.Table.Fail(tabletest.Next(tabletest.Get))
	}
	d.ask(d.token, "", "")
	d.Wrapper.Always(sealtest.Answer(func([]byte) []byte { return []byte("not what was wrapped") }))
	d.ask(d.token, "", "")
	d.Wrapper.Always(nil)
}

// TestEveryAnswerThatIsDescribedHappens sends each operation its example, and
// what it refuses.
func TestEveryAnswerThatIsDescribedHappens(t *testing.T) {
	served, err := apitest.Served()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range served.Operations() {
		t.Run(o.String(), func(t *testing.T) {
			t.Parallel()
			d := newTrial(t, o)
			d.refuse()
			clean := newTrial(t, o)
			clean.succeed()
			clean.fail()
			for _, status := range slices.Sorted(maps.Keys(o.Answers)) {
				codes := o.Answers[status]
				if len(codes) == 0 {
					codes = []string{""}
				}
				for _, code := range codes {
					if name := answered(status, code); !d.seen[name] && !clean.seen[name] {
						t.Errorf("%v is said to answer %s, which it never did here: add a request that brings it about to provoked in openapi_test.go, or take it out of %s", o, name, apitest.File)
					}
				}
			}
		})
	}
}

func TestLimitsThatAreDescribedAreThoseOfTheHandlers(t *testing.T) {
	served, err := apitest.Served()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, o := range served.Operations() {
		longest, err := o.Longest()
		if err != nil {
			t.Fatal(err)
		}
		delete(longest, "provider") // the catalog has none of such a name
		delete(longest, "slug")     // nor is one registered
		for name, most := range longest {
			checked++
			d := newTrial(t, o)
			path := d.there(strings.Replace(o.Path, "/keyvend/integrations/{slug}", "/keyvend/integrations/mine", 1)) // one that can be defined
			with := func(length int) boottest.Answer {
				return d.ask(d.token, path, changed(t, o.Example, name, strings.Repeat("x", length)))
			}
			if got := with(most + 1); got.Status != http.StatusUnprocessableEntity || got.Code() != "unprocessable_entity" {
				t.Errorf("%v takes %d characters for %s, and %s says at most %d: %d %s", o, most+1, name, apitest.File, most, got.Status, got.Body)
			}
			if got := with(most); got.Status >= 300 && got.Code() != "auth_method_mismatch" {
				t.Errorf("%v does not take the %d characters for %s that %s says: %d %s", o, most, name, apitest.File, got.Status, got.Body)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d limits were looked at", checked)
	}
	d := newTrial(t, apitest.Operation{})
	for target, status := range map[string]int{
		"/data-integrations?limit=0": 422, "/data-integrations?limit=1": 200, "/data-integrations?limit=100": 200, "/data-integrations?limit=101": 422,
		"/keyvend/accounts?user_id=" + strings.Repeat("x", 128): 200, "/keyvend/accounts?user_id=" + strings.Repeat("x", 129): 422,
	} {
		d.Must(status, d.token, "GET", target, "")
	}
}

// changed is a body with another value for one of its fields.
func changed(t *testing.T, body []byte, name, value string) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		t.Fatal(err)
	}
	object[name] = value
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
