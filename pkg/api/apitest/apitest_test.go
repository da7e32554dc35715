package apitest

import (
	"bytes"
	_ "embed"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
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
	used := map[string]bool{}
	for _, match := range regexp.MustCompile(`"\$ref": "#/components/([^"]+)"`).FindAllSubmatch(d.text, -1) {
		used[string(match[1])] = true
	}
	for kind, all := range d.root.in("components") {
		for name := range all.(map[string]any) {
			if kind != "securitySchemes" && !used[kind+"/"+name] {
				t.Errorf("%s/%s is used by nothing", kind, name)
			}
			delete(used, kind+"/"+name)
			for _, form := range []string{asItIs, closed} {
				if _, err := d.schema(form, []string{"components", "schemas", name}); kind == "schemas" && err != nil {
					t.Error(err)
				}
			}
		}
	}
	for name := range used {
		t.Errorf("%s is not there", name)
	}
}

func TestOperationsHaveTheirOwnIDsTagsAndPathParameters(t *testing.T) {
	d := served(t)
	ids, tags := map[string]bool{}, map[string]bool{}
	for i := range d.root.list("tags") {
		tag, _ := d.at("tags", strconv.Itoa(i))
		tags[tag.text("name")] = true
	}
	for _, o := range d.Operations() {
		described := d.root.in("paths", o.Path, strings.ToLower(o.Method))
		if id := described.text("operationId"); ids[id] {
			t.Errorf("%v: the operationId %s is another's", o, id)
		} else {
			ids[id] = true
		}
		if tag, _ := described["tags"].([]any)[0].(string); !tags[tag] {
			t.Errorf(`%v: the tag %s is not in "tags"`, o, tag)
		}
		var named, variables []string
		for i := range d.root.list("paths", o.Path, "parameters") {
			if parameter, _ := d.at("paths", o.Path, "parameters", strconv.Itoa(i)); parameter.text("in") == "path" {
				named = append(named, "{"+parameter.text("name")+"}")
			}
		}
		for _, segment := range strings.Split(o.Path, "/") {
			if strings.HasPrefix(segment, "{") {
				variables = append(variables, segment)
			}
		}
		if !slices.Equal(named, variables) {
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
		if err := d.valid(closed, o.Example, "the example of "+o.String(), "paths", o.Path, strings.ToLower(o.Method), "requestBody", "content", mediaType, "schema"); err != nil {
			t.Error(err)
		}
	}
	for name := range d.root.in("components", "parameters") {
		parameter, at := d.at("components", "parameters", name)
		if example, ok := parameter["example"].(string); ok {
			if err := d.parameter(example, "the example of "+name, at); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestTheCheckSeesWhatIsNotDescribed shows that Check has teeth.
func TestTheCheckSeesWhatIsNotDescribed(t *testing.T) {
	const (
		vend    = `{"active":true,"credential":{"object":"credential","auth_method":"api_key","value":"x","expires_at":null,"scopes":[],"missing_scopes":[],"config":{}}}`
		freeze  = `{"object":"freeze","reason":"why","since":"2026-01-31T12:00:00.000Z"}`
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
