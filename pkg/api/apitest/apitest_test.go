package apitest

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed structure.json
var structure []byte

func served(t *testing.T) *Description {
	t.Helper()
	d, err := Served()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDescriptionIsServedByteForByte(t *testing.T) {
	file, err := os.ReadFile("../openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(served(t).text, file) {
		t.Error("what is served is not the file")
	}
}

func TestTheDescriptionIsAnOpenAPIDocument(t *testing.T) {
	form, err := jsonschema.UnmarshalJSON(bytes.NewReader(structure))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("structure.json", form); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(served(t).text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.MustCompile("structure.json").Validate(document); err != nil {
		t.Error(err)
	}
}

func TestEveryComponentIsThereCompilesAndIsUsed(t *testing.T) {
	d := served(t)
	missing := map[string]bool{}
	for _, match := range regexp.MustCompile(`"\$ref": "#/components/([^"]+)"`).FindAllSubmatch(d.text, -1) {
		missing[string(match[1])] = true
	}
	for _, kind := range []string{"headers", "parameters", "responses", "schemas"} {
		all := d.in("components", kind)
		for _, name := range all.names() {
			if !missing[kind+"/"+name] {
				t.Errorf("%s/%s is used by nothing", kind, name)
			}
			delete(missing, kind+"/"+name)
			if _, err := all.in(name).schema(closed); kind == "schemas" && err != nil {
				t.Error(err)
			}
		}
	}
	for name := range missing {
		t.Errorf("%s is not there", name)
	}
}

func TestOperationsHaveTheirOwnIDsTagsAndPathParameters(t *testing.T) {
	d := served(t)
	ids, tags := map[string]bool{}, map[string]bool{}
	for _, i := range d.in("tags").names() {
		tags[d.in("tags", i).text("name")] = true
	}
	for _, o := range d.Operations() {
		id, tag := o.part.text("operationId"), fmt.Sprint(o.part.in("tags", "0").value)
		if ids[id] {
			t.Errorf("%v: the operationId %s is another's", o, id)
		}
		ids[id] = true
		if !tags[tag] {
			t.Errorf(`%v: the tag %s is not in "tags"`, o, tag)
		}
		var named []string
		shared := d.in("paths", o.Path, "parameters")
		for _, i := range shared.names() {
			if parameter := shared.in(i); parameter.text("in") == "path" {
				named = append(named, "{"+parameter.text("name")+"}")
			}
		}
		if variables := regexp.MustCompile(`{\w+}`).FindAllString(o.Path, -1); !slices.Equal(named, variables) {
			t.Errorf("%v: its path has the parameters %v: describe them in this order beside its methods; there are %v", o, variables, named)
		}
	}
}

func TestExamplesAreAsTheirSchemasSay(t *testing.T) {
	d := served(t)
	for _, o := range d.Operations() {
		if o.Example == nil {
			continue
		}
		if err := o.body().in("schema").holds(closed, o.Example, "the example of "+o.String()); err != nil {
			t.Error(err)
		}
	}
	for _, name := range d.in("components", "parameters").names() {
		parameter := d.in("components", "parameters", name)
		if example := parameter.text("example"); example != "" {
			if err := parameter.in("schema").holdsText(example, "the example of "+name); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestTheCheckSeesWhatIsNotDescribed shows that Check has teeth.
func TestTheCheckSeesWhatIsNotDescribed(t *testing.T) {
	const (
		vend    = `{"active":true,"credential":{"object":"credential","auth_method":"api_key","value":"x","expires_at":null,"scopes":[],"missing_scopes":[],"config":{}}}`
		freeze  = `{"object":"freeze","frozen":true,"reason":"why","since":"2026-01-31T12:00:00.000Z"}`
		missing = `{"message":"There is none.","code":"not_found"}`
		busy    = `{"message":"Again.","code":"service_unavailable"}`
	)
	good := Exchange{Method: "POST", Target: "/data-integrations/openai/credentials?x=1", Body: []byte(`{"user_id":"a","new":1}`), Status: 200, Answer: []byte(vend)}
	for name, c := range map[string]struct {
		change func(*Exchange)
		want   string // in the error; "": there is none
	}{
		"as it is":                  {func(*Exchange) {}, ""},
		"a field more":              {func(x *Exchange) { x.Answer = []byte(strings.Replace(vend, `"config"`, `"new":1,"config"`, 1)) }, "'new' not allowed"},
		"a field more at the top":   {func(x *Exchange) { x.Answer = []byte(strings.Replace(vend, `"active"`, `"new":1,"active"`, 1)) }, "'new' not allowed"},
		"a field less":              {func(x *Exchange) { x.Answer = []byte(strings.Replace(vend, `"scopes":[],`, "", 1)) }, "missing property 'scopes'"},
		"another type":              {func(x *Exchange) { x.Answer = []byte(strings.Replace(vend, `true`, `"true"`, 1)) }, "openapi.json"},
		"a status":                  {func(x *Exchange) { x.Status = 409 }, `add the status 409 to "responses" of post /data-integrations/{slug}/credentials`},
		"a code":                    {func(x *Exchange) { x.Status, x.Answer = 404, []byte(strings.Replace(missing, "not_found", "gone", 1)) }, "'not_found'"},
		"an error":                  {func(x *Exchange) { x.Status, x.Answer = 404, []byte(missing) }, ""},
		"an error with a field":     {func(x *Exchange) { x.Status, x.Answer = 404, []byte(`{"message":"x","code":"not_found","error":"x"}`) }, "'error' not allowed"},
		"no JSON":                   {func(x *Exchange) { x.Answer = []byte("<html>") }, "no JSON"},
		"no Content-Type":           {func(x *Exchange) { x.Header = http.Header{} }, "Content-Type"},
		"a body that was taken":     {func(x *Exchange) { x.Body = []byte(`{"user_id":"a b"}`) }, "what was taken"},
		"a parameter that was":      {func(x *Exchange) { x.Target = "/data-integrations/Open%20AI/credentials" }, `slug="Open AI"`},
		"a new route":               {func(x *Exchange) { x.Target = "/keyvend/new" }, `add it to "paths" of pkg/api/openapi.json`},
		"a new method":              {func(x *Exchange) { x.Method = "PATCH" }, `add it to "paths" of pkg/api/openapi.json`},
		"a path that is not there":  {func(x *Exchange) { x.Target, x.Status, x.Answer = "/new", 404, []byte(missing) }, ""},
		"a method that is not":      {func(x *Exchange) { x.Method, x.Status, x.Answer = "PATCH", 405, []byte(missing) }, ""},
		"a body of 204":             {func(x *Exchange) { x.Method, x.Target, x.Status = "DELETE", "/keyvend/freeze", 204 }, "has a body"},
		"503 without its header":    {func(x *Exchange) { x.Status, x.Answer = 503, []byte(busy) }, "Retry-After"},
		"the path with fewer names": {func(x *Exchange) { x.Method, x.Target, x.Answer = "GET", "/keyvend/freeze", []byte(freeze) }, ""},
		"a time in another form": {func(x *Exchange) {
			x.Method, x.Target, x.Answer = "GET", "/keyvend/freeze", []byte(strings.Replace(freeze, ".000Z", "Z", 1))
		}, "since"},
	} {
		x := good
		x.Header = http.Header{"Content-Type": {mediaType + "; charset=utf-8"}}
		c.change(&x)
		switch err := served(t).Check(x); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want a word about %s", name, err, c.want)
		}
	}
}
