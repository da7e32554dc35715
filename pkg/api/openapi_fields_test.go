package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/secret"
	"keyvend/pkg/vault"
)

const descriptionFile = "pkg/api/openapi.json"

// described is a part of the description.
type described map[string]any

func theDescription(t *testing.T) described {
	t.Helper()
	var document described
	if err := json.Unmarshal(description, &document); err != nil {
		t.Fatalf("%s: %v", descriptionFile, err)
	}
	return document
}

func (d described) in(names ...string) described {
	for _, name := range names {
		inner, _ := d[name].(map[string]any)
		d = inner
	}
	return d
}

func TestEveryRouteIsDescribedWithItsScopeAndNothingElseIs(t *testing.T) {
	document := theDescription(t)
	served := map[string]bool{}
	for _, routes := range functions() {
		for _, r := range routes {
			if _, file := r.handler.(static); file {
				continue // it speaks no JSON
			}
			served[r.Method+" "+r.Path] = true
			operation := document.in("paths", r.Path, strings.ToLower(r.Method))
			if operation == nil {
				t.Errorf(`%s %s is served and not described: add it to "paths" of %s, with "x-keyvend-scope": %q`, r.Method, r.Path, descriptionFile, r.Scope)
				continue
			}
			said, _ := operation["x-keyvend-scope"].(string)
			if said != string(r.Scope) {
				t.Errorf(`%s %s needs the scope %q: say so in its "x-keyvend-scope" in %s, which says %q`, r.Method, r.Path, r.Scope, descriptionFile, said)
			}
			if _, anyone := operation["security"]; anyone != (r.Scope == "") {
				t.Errorf(`%s %s: "security": [] is for what needs no API key, and for that alone`, r.Method, r.Path)
			}
		}
	}
	for path, item := range document.in("paths") {
		for method := range item.(map[string]any) {
			if name := strings.ToUpper(method) + " " + path; method != "parameters" && !served[name] {
				t.Errorf("%s is described and not served: take it out of %s", name, descriptionFile)
			}
		}
	}
}

// input is what the operation reads of a request.
func (operation[T, P]) input() any { return new(T) }

func (byToken[T, P]) input() any { return new(T) }

func TestEveryFieldOfARequestsBodyIsDescribedAndNothingElseIs(t *testing.T) {
	document := theDescription(t)
	bodies := 0
	for _, routes := range functions() {
		for _, r := range routes {
			reads, ok := r.handler.(interface{ input() any })
			if !ok {
				continue // it is for anyone, and reads nothing
			}
			body := document.in("paths", r.Path, strings.ToLower(r.Method), "requestBody")
			read := reflect.TypeOf(reads.input()).Elem()
			if len(fieldsOf(read)) == 0 {
				if body != nil {
					t.Errorf("%s %s reads no body, and %s describes one", r.Method, r.Path, descriptionFile)
				}
				continue
			}
			bodies++
			schema := body.in("content", "application/json", "schema")
			if schema == nil {
				t.Errorf(`%s %s reads a body: describe it as its "requestBody" in %s`, r.Method, r.Path, descriptionFile)
				continue
			}
			comparison{t: t, document: document, request: true}.compare(fmt.Sprintf("the body of %s %s", r.Method, r.Path), read, schema)
		}
	}
	if bodies < 10 {
		t.Errorf("only %d bodies were looked at", bodies)
	}
}

// decoded is all that the operation makes of a request.
func (operation[T, P]) decoded(r *request) any { return decoded[T, P](r) }

func (byToken[T, P]) decoded(r *request) any { return decoded[T, P](r) }

func decoded[T any, P interface {
	*T
	input
}](r *request) any {
	in := P(new(T))
	target, err := in.decode(r)
	forget(in)
	return []any{in, target, err}
}

// forget takes out the secret, since no two can be compared.
func forget(in any) {
	var key *vault.Upsert
	switch in := in.(type) {
	case *putKey:
		key = &in.upserted
	case *addKey:
		key = &in.upserted
	case *widgetKeyBody:
		key = &in.upserted
	case *createIntegration:
		key = in.registration.FirstKey
	}
	if key != nil {
		key.Secret = secret.Text{}
	}
}

// TestEveryParameterOfARequestIsDescribedAndNothingElseIs tries every name that
// stands in the code as a parameter of every operation, and sees whether the
// operation makes something else of the request.
func TestEveryParameterOfARequestIsDescribedAndNothingElseIs(t *testing.T) {
	document, names := theDescription(t), namesInTheCode(t)
	for _, routes := range functions() {
		for _, r := range routes {
			reads, ok := r.handler.(interface{ decoded(*request) any })
			if !ok {
				continue
			}
			said := document.parameters(r)
			without := reads.decoded(document.example(t, r, "", ""))
			for _, name := range names {
				with := reads.decoded(document.example(t, r, name, ""))
				if read := !reflect.DeepEqual(without, with); read != said["query "+name] {
					t.Errorf(`%s %s reads the parameter %s of the query: %v. Its "parameters" in %s say the opposite`, r.Method, r.Path, name, read, descriptionFile)
				}
			}
			const header = "Idempotency-Key"
			with := reads.decoded(document.example(t, r, "", header))
			if read := !reflect.DeepEqual(without, with); read != said["header "+header] {
				t.Errorf(`%s %s honours %s: %v. Its "parameters" in %s say the opposite`, r.Method, r.Path, header, read, descriptionFile)
			}
		}
	}
}

// parameters are those that are described for a route, each with its place.
func (d described) parameters(r Route) map[string]bool {
	found := map[string]bool{}
	path := d.in("paths", r.Path)
	for _, of := range []described{path, path.in(strings.ToLower(r.Method))} {
		list, _ := of["parameters"].([]any)
		for _, element := range list {
			parameter := described(element.(map[string]any))
			if reference, refers := parameter["$ref"].(string); refers {
				parameter = d.in("components", "parameters", strings.TrimPrefix(reference, "#/components/parameters/"))
			}
			found[fmt.Sprint(parameter["in"], " ", parameter["name"])] = true
		}
	}
	return found
}

// example is a request as the description has it, with one more parameter and
// header, if they have names.
func (d described) example(t *testing.T, r Route, parameter, header string) *request {
	t.Helper()
	body, err := json.Marshal(d.in("paths", r.Path, strings.ToLower(r.Method), "requestBody", "content", "application/json")["example"])
	if err != nil {
		t.Fatal(err)
	}
	sent := httptest.NewRequest(r.Method, "/", bytes.NewReader(body))
	if parameter != "" {
		sent.URL.RawQuery = parameter + "=zz"
	}
	if header != "" {
		sent.Header.Set(header, "zz")
	}
	return &request{Request: sent, values: map[string]string{
		"slug": "openai", "user_id": "user_1", "organization_id": "org_1",
		"account_id": ident.AccountPrefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV", "api_key_id": ident.APIKeyPrefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV",
	}}
}

// namesInTheCode are all texts of this package that could be a parameter's name.
func namesInTheCode(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, match := range regexp.MustCompile(`"([a-z_]+)"`).FindAllSubmatch(text, -1) {
			found[string(match[1])] = true
		}
	}
	if !found["limit"] {
		t.Error("the code names no limit: this test sees nothing")
	}
	return slices.Sorted(maps.Keys(found))
}

// answers are the types of answers by the schemas that describe them. What they
// hold is compared along with them.
func answers() map[string]any {
	return map[string]any{
		"DataIntegrationList": list[wireIntegration]{},
		"DataProviderList":    list[wireProvider]{},
		"ConnectedAccount":    wireAccount{},
		"AccountList":         list[wireFullAccount]{},
		"Vended":              wireVended{},
		"VendedInDetail":      wireDetailed{},
		"LookAccepted":        wireAccepted{},
		"LookList":            list[wireLook]{},
		"ReadList":            list[wireRead]{},
		"HourList":            list[wireHour]{},
		"Freeze":              wireFreeze{},
		"ConfigurationList":   list[wireConfiguration]{},
		"EventList":           list[event.Event]{},
		"Settings":            wireSettings{},
		"APIKeyList":          list[wireAPIKey]{},
		"IssuedAPIKey":        wireIssuedKey{},
		"Definition":          wireDefinition{},
		"CatalogProviderList": list[wireCatalogEntry]{},
		"Error":               failure{},

		"WidgetToken":             wireToken{},
		"DashboardSession":        wireSession{},
		"WidgetSettings":          wireWidgetSettings{},
		"WidgetIntegrationList":   wireWidgetList[wireWidgetIntegration]{},
		"WidgetDone":              wireDone{},
		"WidgetConfigurationList": wireWidgetList[wireWidgetConfiguration]{},
		"OfferList":               list[wireOffer]{},
		"OwnReadList":             list[wireOwnRead]{},
	}
}

func TestEveryFieldOfAnAnswerIsDescribedAndNothingElseIs(t *testing.T) {
	document := theDescription(t)
	seen := map[string]bool{
		// Written as they are, and so compared with what is answered only.
		"Offboarding": true, "Health": true, "Description": true,
	}
	for name, value := range answers() {
		schema := described{"$ref": "#/components/schemas/" + name}
		comparison{t: t, document: document, seen: seen}.compare(name, reflect.TypeOf(value), schema)
	}
	for _, name := range slices.Sorted(maps.Keys(answered(document))) {
		if !seen[name] {
			t.Errorf("answers have the schema %s of %s: name its type in answers(), in openapi_fields_test.go", name, descriptionFile)
		}
	}
}

func TestEveryReasonIsDescribedAndNothingElseIs(t *testing.T) {
	schemas := theDescription(t).in("components", "schemas")
	said := map[any]bool{}
	for _, part := range []described{schemas.in("Reason"), schemas.in("EventAccount", "properties", "reason")} {
		reasons, _ := part["enum"].([]any)
		for _, reason := range reasons {
			said[reason] = true
		}
	}
	for _, reason := range health.Reasons() {
		if !said[string(reason)] {
			t.Errorf("accounts or events may have the reason %s: add it to its schemas in %s", reason, descriptionFile)
		}
		delete(said, string(reason))
	}
	for reason := range said {
		t.Errorf("%s describes the reason %v, which there is not", descriptionFile, reason)
	}
}

// answered are the schemas of objects that answers have, by name.
func answered(document described) map[string]bool {
	found := map[string]bool{}
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			reference, _ := v["$ref"].(string)
			if name, is := strings.CutPrefix(reference, "#/components/schemas/"); is && !found[name] {
				schema := document.in("components", "schemas", name)
				if schema["properties"] != nil || schema["oneOf"] != nil {
					found[name] = true
				}
				walk(map[string]any(schema))
			}
			for name, member := range v {
				if name != "requestBody" && name != "parameters" {
					walk(member)
				}
			}
		}
	}
	walk(map[string]any(document.in("paths")))
	walk(map[string]any(document.in("components", "responses")))
	return found
}
