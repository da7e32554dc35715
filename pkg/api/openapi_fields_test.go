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

	"github.com/go-json-experiment/json/jsontext"

	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
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

// comparison compares types with schemas.
type comparison struct {
	t        *testing.T
	document described
	request  bool            // else what is compared is an answer
	seen     map[string]bool // the named schemas that were compared; nil: nobody asks
}

// field is one member of an object.
type field struct {
	of       reflect.Type
	optional bool
}

// fieldsOf are the fields that a struct has in JSON.
func fieldsOf(t reflect.Type) map[string]field {
	fields := map[string]field{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(fields, fieldsOf(f.Type))
		case name != "" && name != "-":
			fields[name] = field{f.Type, options == "omitempty"}
		}
	}
	return fields
}

// members are the types of fields whose Go type does not say what they hold, by
// field; nil: the description alone does.
var members = map[reflect.Type]map[string]reflect.Type{
	reflect.TypeFor[definitionBody](): {
		"key_hint": reflect.TypeFor[*string](), "help_url": reflect.TypeFor[*string](),
		"config_fields": reflect.TypeFor[[]catalog.ConfigField](), "check": reflect.TypeFor[*catalog.Check](),
	},
	reflect.TypeFor[updateIntegration](): {"description": reflect.TypeFor[*string]()},
}

// oneOf are types that are one of others on the wire.
var oneOf = map[reflect.Type][]reflect.Type{
	reflect.TypeFor[event.Data](): {reflect.TypeFor[event.Account](), reflect.TypeFor[event.Failure]()},
}

// compare holds a type against the schema that describes it; where names it in
// messages.
func (c comparison) compare(where string, of reflect.Type, schema described) {
	c.t.Helper()
	schema, nullable := c.resolve(schema)
	isPointer := of.Kind() == reflect.Pointer
	if !c.request && isPointer != nullable && of.Kind() != reflect.Slice {
		c.t.Errorf("%s may be null: %v. %s says the opposite", where, isPointer, descriptionFile)
	}
	if isPointer {
		of = of.Elem()
	}
	switch variants, listed := schema["oneOf"].([]any); {
	case schema["type"] == nil && !listed: // null, in words
	case listed && oneOf[of] != nil:
		for i, variant := range oneOf[of] {
			c.compare(where, variant, variants[i].(map[string]any))
		}
	case listed:
		c.object(where, of, c.union(variants))
	case of == reflect.TypeFor[jsontext.Value](), of.Kind() == reflect.Interface:
		// Whatever it is, the description alone says it.
	case of.Kind() == reflect.Struct:
		c.object(where, of, schema)
	case of.Kind() == reflect.Slice:
		c.is(where, "array", schema)
		if items := schema.in("items"); items != nil {
			c.compare(where+"[]", of.Elem(), items)
		}
	case of.Kind() == reflect.Map:
		c.is(where, "object", schema)
	default:
		c.is(where, kinds[of.Kind()], schema)
	}
}

// definitions is where the types are from in which null has no meaning of its
// own.
var definitions = reflect.TypeFor[catalog.Check]().PkgPath()

var kinds = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer",
}

func (c comparison) is(where, kind string, schema described) {
	c.t.Helper()
	if schema["type"] != kind {
		c.t.Errorf("%s is of type %s: %s says %v", where, kind, descriptionFile, schema["type"])
	}
}

// resolve follows references and takes null out of what a schema allows. Of one
// that allows nothing else an empty schema is left.
func (c comparison) resolve(schema described) (_ described, nullable bool) {
	for {
		reference, _ := schema["$ref"].(string)
		name, refers := strings.CutPrefix(reference, "#/components/schemas/")
		if !refers {
			break
		}
		if c.seen != nil {
			c.seen[name] = true
		}
		schema = c.document.in("components", "schemas", name)
	}
	if variants, ok := schema["oneOf"].([]any); ok && len(variants) == 2 && described(variants[1].(map[string]any))["type"] == "null" {
		inner, _ := c.resolve(variants[0].(map[string]any))
		return inner, true
	}
	if schema["type"] == "null" {
		return described{}, true
	}
	if types, ok := schema["type"].([]any); ok && len(types) == 2 && types[1] == "null" {
		plain := maps.Clone(schema)
		plain["type"] = types[0]
		return plain, true
	}
	return schema, false
}

// union is an object that has what any of the variants has, and needs what all
// of them need.
func (c comparison) union(variants []any) described {
	properties := map[string]any{}
	needed := map[any]int{}
	for _, variant := range variants {
		schema, _ := c.resolve(variant.(map[string]any))
		maps.Copy(properties, schema.in("properties"))
		required, _ := schema["required"].([]any)
		for _, name := range required {
			needed[name]++
		}
	}
	var required []any
	for name, n := range needed {
		if n == len(variants) {
			required = append(required, name)
		}
	}
	return described{"type": "object", "properties": properties, "required": required}
}

// object compares a struct's fields with an object's properties.
func (c comparison) object(where string, of reflect.Type, schema described) {
	c.t.Helper()
	c.is(where, "object", schema)
	fields, properties := fieldsOf(of), schema.in("properties")
	required, _ := schema["required"].([]any)
	for name, f := range fields {
		property, ok := properties[name].(map[string]any)
		if !ok {
			c.t.Errorf(`%s has the field %q, which is not described: add it to "properties" of its schema in %s`, where, name, descriptionFile)
			continue
		}
		if needed := slices.Contains(required, any(name)); !c.request && needed == f.optional {
			c.t.Errorf(`%s has the field %q, which is left out at times: %v. Its schema's "required" in %s says the opposite`, where, name, f.optional, descriptionFile)
		} else if _, nullable := c.resolve(property); c.request && needed == nullable && of.PkgPath() != definitions {
			c.t.Errorf("%s: null is as if %s was not sent, so it is either required or may be null: say so in %s", where, name, descriptionFile)
		}
		if member := members[of][name]; member != nil {
			f.of = member
		}
		if f.optional && f.of.Kind() == reflect.Pointer {
			f.of = f.of.Elem() // it is left out, and so never null
		}
		c.compare(where+"."+name, f.of, property)
	}
	for name := range properties {
		if _, ok := fields[name]; !ok {
			c.t.Errorf("%s has no field %q, which %s describes", where, name, descriptionFile)
		}
	}
}
