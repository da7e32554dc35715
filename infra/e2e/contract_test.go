package e2e

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"keyvend/pkg/api/apitest"
)

//go:embed contract/pipes-openapi.yaml
var contractFile []byte

//go:embed contract/events-webhooks-openapi.yaml
var eventsFile []byte

// contract answers what the OpenAPI file says of an answer.
type contract struct {
	compiler *jsonschema.Compiler
	paths    map[string]map[string]any // path template → its operations

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

// readContract reads the files once for all tests, as one.
var readContract = sync.OnceValues(func() (*contract, error) {
	var document, events map[string]any
	if err := errors.Join(yaml.Unmarshal(contractFile, &document), yaml.Unmarshal(eventsFile, &events)); err != nil {
		return nil, err
	}
	for _, part := range [][]string{{"paths"}, {"components", "schemas"}} {
		into, from := document, events
		for _, name := range part {
			into, from = into[name].(map[string]any), from[name].(map[string]any)
		}
		for name, value := range from {
			if _, there := into[name]; !there {
				into[name] = value
			}
		}
	}
	// The validator wants values as encoding/json makes them.
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := &contract{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 is written in
	c.compiler.AssertFormat()
	c.paths = map[string]map[string]any{}
	for path, operations := range plain.(map[string]any)["paths"].(map[string]any) {
		c.paths[path] = operations.(map[string]any)
	}
	return c, c.compiler.AddResource("contract.json", plain)
})

// schema compiles the part of the file at a JSON pointer.
func (c *contract) schema(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.compiled[pointer]; ok {
		return s, nil
	}
	s, err := c.compiler.Compile("contract.json#" + pointer)
	c.compiled[pointer] = s
	return s, err
}

// answerTo is where the file describes an operation's answer, or "".
func (c *contract) answerTo(method, path string, status int) string {
	for template, operations := range c.paths {
		if !matches(template, path) {
			continue
		}
		operation, ok := operations[strings.ToLower(method)].(map[string]any)
		if !ok {
			continue
		}
		described, _ := operation["responses"].(map[string]any)[strconv.Itoa(status)].(map[string]any)
		content, _ := described["content"].(map[string]any)
		if content["application/json"] == nil {
			return ""
		}
		escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(template)
		// A JSON pointer inside a URL: braces are escaped.
		escaped = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(escaped)
		return fmt.Sprintf("/paths/%s/%s/responses/%d/content/application~1json/schema", escaped, strings.ToLower(method), status)
	}
	return ""
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !strings.HasPrefix(want[i], "{") && want[i] != got[i] {
			return false
		}
	}
	return true
}

// upsertAnswer is what POST …/api-key answers, which newer clients send and the
// file does not have.
const (
	upsertAnswer = "/components/schemas/ConnectedAccount"
	mismatch     = "/components/schemas/AuthMethodMismatchError"
)

// conforms holds an answer against the contract: what the file says of it, the
// fields that official clients need beyond that, ids and times.
func conforms(a answer) {
	a.t.Helper()
	c, err := readContract()
	if err != nil {
		a.t.Fatalf("the contract file: %v", err)
	}
	path, _, _ := strings.Cut(a.asked.path, "?")
	pointer := c.answerTo(a.asked.method, path, a.status)
	if a.status == http.StatusOK && a.asked.method == http.MethodPost && strings.HasSuffix(path, "/api-key") {
		pointer = upsertAnswer
	}
	if a.status >= 400 {
		if wellFormedError(a); a.text("code") != "auth_method_mismatch" && a.status == http.StatusUnprocessableEntity {
			pointer = "" // the file knows one code here; clients know the others
		} else if pointer == "" && a.text("code") == "auth_method_mismatch" {
			pointer = mismatch
		}
	}
	if pointer != "" {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
		if err != nil {
			a.t.Fatalf("%v: not JSON: %q", a, a.body)
		}
		if path == "/events" && a.status == http.StatusOK {
			value = ownEvents(a, c, value)
		}
		valid(a, c, pointer, value)
	}
	// The widget's shapes are its own, which only the widget itself can tell.
	if a.status < 300 && !strings.HasPrefix(path, "/keyvend/") && !strings.HasPrefix(path, "/_widgets/") {
		var value any
		_ = json.Unmarshal(a.body, &value)
		complete(a, "", value)
	}
}

// asDescribed holds an answer against what keyvend says of itself.
func asDescribed(a answer) {
	a.t.Helper()
	served, err := apitest.Served()
	if err != nil {
		a.t.Fatal(err)
	}
	body, err := io.ReadAll(reader(a.asked.body))
	if err != nil {
		a.t.Fatal(err)
	}
	if err := served.Check(apitest.Exchange{
		Method: a.asked.method, Target: a.asked.path, Body: body,
		Status: a.status, Header: a.header, Answer: a.body,
	}); err != nil {
		a.t.Error(err)
	}
}

// valid holds a value against the part of the contract at a pointer.
func valid(a answer, c *contract, pointer string, value any) {
	a.t.Helper()
	schema, err := c.schema(pointer)
	if err != nil {
		a.t.Fatalf("the contract at %s: %v", pointer, err)
	}
	if err := schema.Validate(value); err != nil {
		a.t.Errorf("%v: not as the contract says: %v\n%s", a, err, a.body)
	}
}

// ownEvents holds events whose names the contract does not have against what it
// says of every event and of an account, and returns the list without them.
func ownEvents(a answer, c *contract, list any) any {
	a.t.Helper()
	object, _ := list.(map[string]any)
	rows, _ := object["data"].([]any)
	theirs := []any{}
	for _, row := range rows {
		e, _ := row.(map[string]any)
		name, _ := strings.CutPrefix(fmt.Sprint(e["event"]), "pipes.connected_account.")
		if !slices.Contains([]string{"rotated", "recovered", "expiring"}, name) {
			theirs = append(theirs, row)
			continue
		}
		valid(a, c, "/components/schemas/EventSchema/allOf/0", row)
		valid(a, c, "/components/schemas/PipesConnectedAccount", e["data"])
		valid(a, c, "/components/schemas/EventContextDto", e["context"])
	}
	if object != nil {
		object["data"] = theirs
	}
	return list
}

// wellFormedError checks the form that every error has.
func wellFormedError(a answer) {
	a.t.Helper()
	object := a.object()
	if message, _ := object["message"].(string); message == "" {
		a.t.Errorf("%v: no message: %s", a, a.body)
	}
	for name := range object {
		if name == "verdict" && object["code"] == "key_refused" {
			continue
		}
		if !slices.Contains([]string{"message", "code", "errors"}, name) {
			a.t.Errorf("%v: an error has a field %q: %s", a, name, a.body)
		}
	}
	if a.status == http.StatusUnauthorized && string(a.body) != `{"message":"Unauthorized","code":"unauthorized"}` {
		a.t.Errorf("%v: %s", a, a.body)
	}
}

// shapes are the fields of each kind of object: all of them, since official
// clients fail on absent ones, and no others, since contract paths stay pure.
// "?" marks a field that may be null.
func shapes() map[string]string {
	const account = "object id connection_role account_identifier? account_display_name? user_id organization_id? " +
		"scopes auth_method api_key_last_4? state created_at updated_at"
	return map[string]string{
		"data_integration": "object id slug integration_type ownership description? enabled state scopes? redirect_uri " +
			"auth_methods credentials? installation? config custom_provider? created_at updated_at",
		"data_integration.installation": "id connection_role account_identifier? account_display_name? user_id organization_id? api_key_last_4?",
		"data_integration.custom_provider": "name authorization_url? token_url? refresh_token_url? pkce_enabled request_scope_separator " +
			"scopes_required client_secret_required additional_authorization_parameters token_body_content_type authenticate_via",
		"connected_account": account,
		"credential":        "object auth_method value expires_at? scopes missing_scopes config",
		"data_provider": "object id name description? slug integration_type credentials_type scopes? auth_methods connection_owner ownership " +
			"created_at updated_at integrationType credentialsType createdAt updatedAt connected_account? connected_accounts",
		"data_provider.connected_account": account + " userlandUserId organizationId? createdAt updatedAt",
		// The file's credentials are those of an organization's own OAuth app.
		"data_integration_configuration": "object id organization_id slug name enabled scopes? config created_at updated_at",
		"list":                           "object data list_metadata",
		"event":                          "object id event data created_at context",
		// The revision is ours: by it a consumer drops what is older. So is the
		// reason, which only changes of health have.
		"event.data": "object id data_integration_id provider_slug user_id organization_id? scopes state created_at updated_at revision reason~",
	}
}

var (
	ulidForm  = regexp.MustCompile(`^(data_integration|data_installation|event)_[0-9A-HJKMNP-TV-Z]{26}$`)
	stampForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
)

// complete checks value and everything inside it, found as a field of parent.
func complete(a answer, parent string, value any) {
	a.t.Helper()
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			complete(a, parent, element)
		}
	case map[string]any:
		kind, _ := v["object"].(string)
		if kind == "" || kind == "connected_account" && parent != "" {
			kind = parent
		}
		if shape, ok := shapes()[kind]; ok {
			fields(a, kind, shape, v)
		}
		for name, element := range v {
			complete(a, childOf(kind, name), element)
		}
	}
}

// childOf names the shape of an object's field.
func childOf(kind, field string) string {
	switch {
	case field == "data" && kind == "list":
		return ""
	case field == "connected_accounts":
		return kind + ".connected_account"
	}
	return kind + "." + field
}

func fields(a answer, kind, shape string, object map[string]any) {
	a.t.Helper()
	known := map[string]bool{}
	for _, field := range strings.Fields(shape) {
		name, mayBeNull := strings.CutSuffix(field, "?")
		name, mayLack := strings.CutSuffix(name, "~")
		known[name] = true
		value, there := object[name]
		switch {
		case !there && mayLack:
		case !there:
			a.t.Errorf("%v: %s lacks %s: %s", a, kind, name, a.body)
		case value == nil && !mayBeNull:
			a.t.Errorf("%v: %s.%s is null: %s", a, kind, name, a.body)
		case name == "id" && !ulidForm.MatchString(fmt.Sprint(value)):
			a.t.Errorf("%v: %s.id is %v", a, kind, value)
		case value != nil && isTime(name) && !stampForm.MatchString(fmt.Sprint(value)):
			a.t.Errorf("%v: %s.%s is %v", a, kind, name, value)
		}
	}
	for name := range object {
		if !known[name] {
			a.t.Errorf("%v: %s has a field %q that the contract does not know", a, kind, name)
		}
	}
}

func isTime(field string) bool {
	return strings.HasSuffix(field, "_at") || strings.HasSuffix(field, "At")
}

// TestValidatorRefusesWrongAnswers shows that the checks above see something.
func TestValidatorRefusesWrongAnswers(t *testing.T) {
	const path = "/data-integrations/openai/credentials"
	for name, body := range map[string]string{
		"a credential without config":   `{"active":true,"credential":{"object":"credential","auth_method":"api_key","value":"x","expires_at":null,"scopes":[],"missing_scopes":[]}}`,
		"an unknown reason":             `{"active":false,"error":"expired"}`,
		"active that is no boolean":     `{"active":"true","error":"not_installed"}`,
		"a method that does not exist":  `{"active":true,"credential":{"object":"credential","auth_method":"password","value":"x","expires_at":null,"scopes":[],"missing_scopes":[],"config":{}}}`,
		"a field of somebody else's":    `{"active":true,"credential":{"object":"credential","auth_method":"api_key","value":"x","expires_at":null,"scopes":[],"missing_scopes":[],"config":{},"user":"u"}}`,
		"neither of the contract forms": `{}`,
	} {
		r := &counting{TB: t}
		conforms(answer{t: r, asked: request{method: "POST", path: path}, status: 200, body: []byte(body)})
		if r.count == 0 {
			t.Errorf("%s passes: %s", name, body)
		}
	}
}

// counting counts errors in place of failing.
type counting struct {
	testing.TB
	count int
}

func (r *counting) Errorf(string, ...any) { r.count++ }
func (r *counting) Helper()               {}
