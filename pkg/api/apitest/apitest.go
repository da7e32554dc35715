// Package apitest holds what goes over the wire against the description of the
// API that keyvend serves of itself. What an answer has and the description has
// not is an error here, although clients are told to ignore it.
package apitest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"keyvend/pkg/api"
)

// File is where the description lies.
const File = "pkg/api/openapi.json"

// Description answers what the description says.
type Description struct {
	text     []byte
	root     node
	compiler *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema

	found sync.Map // what was found to be as described already: tests see much again
}

// The two forms in which schemas are held against values.
const (
	asItIs = "openapi.json"
	closed = "closed.json" // objects have no members but those that are described
)

// Served is the description as GET /openapi.json answers it. It is read once.
var Served = sync.OnceValues(func() (*Description, error) {
	server := api.New(api.Config{Log: slog.New(slog.DiscardHandler)}, api.Providers(nil, nil, nil, nil)...)
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	return read(answer.Body.Bytes())
})

func read(text []byte) (*Description, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", File, err)
	}
	root, _ := value.(map[string]any)
	d := &Description{text: text, root: root, compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 is written in
	d.compiler.AssertFormat()
	return d, errors.Join(d.compiler.AddResource(asItIs, value), d.compiler.AddResource(closed, closing(value)))
}

// closing is a copy of the document whose objects are closed, but for those that
// say themselves what else they may have.
func closing(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = closing(element)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v)+1)
		for name, member := range v {
			object[name] = closing(member)
		}
		_, lists := v["properties"].(map[string]any)
		_, says := v["additionalProperties"]
		if lists && !says && (v["type"] == "object" || contains(v["type"], "object")) {
			object["additionalProperties"] = false
		}
		return object
	default:
		return value
	}
}

func contains(list any, want string) bool {
	all, _ := list.([]any)
	return slices.Contains(all, any(want))
}

// node is an object of the document.
type node map[string]any

// in is the object that stands in n under these names, nil when there is none.
func (n node) in(names ...string) node {
	for _, name := range names {
		inner, _ := n[name].(map[string]any)
		n = inner
	}
	return n
}

// list is the list that stands in n under these names.
func (n node) list(names ...string) []any {
	last := len(names) - 1
	list, _ := n.in(names[:last]...)[names[last]].([]any)
	return list
}

func (n node) text(name string) string {
	text, _ := n[name].(string)
	return text
}

// at is the object at a pointer, or what that refers to, and where it stands.
func (d *Description) at(pointer ...string) (node, []string) {
	var value any = map[string]any(d.root)
	for _, name := range pointer {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, _ := strconv.Atoi(name)
			value = v[i]
		default:
			value = nil
		}
	}
	object, _ := value.(map[string]any)
	if reference, refers := strings.CutPrefix(node(object).text("$ref"), "#/"); refers {
		return d.at(strings.Split(reference, "/")...)
	}
	return object, pointer
}

// Operation is one method of one path.
type Operation struct {
	Method, Path string
	Example      []byte           // a body to send; nil when the operation takes none
	Answers      map[int][]string // the codes of errors by status
}

func (o Operation) String() string { return o.Method + " " + o.Path }

// Operations are all that the description has, in order.
func (d *Description) Operations() []Operation {
	var all []Operation
	for _, path := range slices.Sorted(maps.Keys(d.root.in("paths"))) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			described := d.root.in("paths", path, method)
			if described == nil {
				continue
			}
			o := Operation{Method: strings.ToUpper(method), Path: path, Answers: map[int][]string{}}
			if example, ok := described.in("requestBody", "content", mediaType)["example"]; ok {
				o.Example, _ = json.Marshal(example) // it was JSON a moment ago
			}
			for status := range described.in("responses") {
				n, _ := strconv.Atoi(status)
				o.Answers[n] = d.codes(path, method, status)
			}
			all = append(all, o)
		}
	}
	return all
}

const mediaType = "application/json"

// codes are those that an answer's error may have.
func (d *Description) codes(path, method, status string) (codes []string) {
	response, _ := d.at("paths", path, method, "responses", status)
	listed, _ := response.in("content", mediaType, "schema", "properties", "code")["enum"].([]any)
	for _, code := range listed {
		codes = append(codes, fmt.Sprint(code))
	}
	return codes
}

// Longest is how many characters the texts of an operation's body may have, by
// name: of those texts that may be a run of x.
func (d *Description) Longest(o Operation) (map[string]int, error) {
	longest := map[string]int{}
	schema, at := d.at("paths", o.Path, strings.ToLower(o.Method), "requestBody", "content", mediaType, "schema")
	for name := range schema.in("properties") {
		property, where := d.at(slices.Concat(at, []string{"properties", name})...)
		if property["oneOf"] != nil { // it may be null as well
			property, where = d.at(slices.Concat(where, []string{"oneOf", "0"})...)
		}
		most, err := strconv.Atoi(fmt.Sprint(property["maxLength"]))
		if err != nil {
			continue
		}
		compiled, err := d.schema(asItIs, where)
		if err != nil {
			return nil, err
		}
		if compiled.Validate(strings.Repeat("x", most)) == nil {
			longest[name] = most
		}
	}
	return longest, nil
}

// Exchange is a request and its answer.
type Exchange struct {
	Method string
	Target string // path and query, as they were sent
	Body   []byte
	Status int
	Header http.Header // of the answer
	Answer []byte
}

func (x Exchange) String() string {
	path, _, _ := strings.Cut(x.Target, "?")
	return fmt.Sprintf("%s %s → %d", x.Method, path, x.Status)
}

// Check says all in which an exchange is not as it is described, nil when it is.
// A request need only be as described when it succeeded.
func (d *Description) Check(x Exchange) error {
	path, query, _ := strings.Cut(x.Target, "?")
	template, known := d.template(path)
	method := strings.ToLower(x.Method)
	if !known || d.root.in("paths", template, method) == nil {
		return d.refused(x, known)
	}
	response, at := d.at("paths", template, method, "responses", strconv.Itoa(x.Status))
	if response == nil {
		return fmt.Errorf(`%v is not described: add the status %d to "responses" of %s %s in %s. The answer was %s`,
			x, x.Status, method, template, File, x.Answer)
	}
	err := errors.Join(d.headers(x, response, at), d.body(x, response, at))
	if x.Status < http.StatusMultipleChoices {
		err = errors.Join(err, d.request(x, template, method, path, query))
	}
	return err
}

// template is the described path that a path is one of.
func (d *Description) template(path string) (template string, known bool) {
	sent := strings.Split(path, "/")
	least := len(sent) + 1
	for candidate := range d.root.in("paths") {
		segments := strings.Split(candidate, "/")
		if len(segments) != len(sent) {
			continue
		}
		variables, fits := 0, true
		for i, segment := range segments {
			if strings.HasPrefix(segment, "{") {
				variables++
				fits = fits && sent[i] != ""
			} else {
				fits = fits && segment == sent[i]
			}
		}
		if fits && variables < least {
			least, template, known = variables, candidate, true
		}
	}
	return template, known
}

// refused checks an answer to what the description does not have.
func (d *Description) refused(x Exchange, isPath bool) error {
	want := http.StatusNotFound
	if isPath {
		want = http.StatusMethodNotAllowed
	}
	if x.Status != want {
		return fmt.Errorf(`%v, and it is not described: add it to "paths" of %s. The answer was %s`, x, File, x.Answer)
	}
	return d.valid(closed, x.Answer, x.String(), "components", "schemas", "Error")
}

// headers checks that an answer has the headers that are described for it.
func (d *Description) headers(x Exchange, response node, at []string) error {
	for name := range response.in("headers") {
		_, header := d.at(slices.Concat(at, []string{"headers", name})...)
		sent := x.Header.Get(name)
		if err := d.parameter(sent, fmt.Sprintf("%v: the header %s is %q", x, name, sent), header); err != nil {
			return err
		}
	}
	return nil
}

func (d *Description) body(x Exchange, response node, at []string) error {
	if response.in("content") == nil {
		if len(x.Answer) > 0 {
			return fmt.Errorf("%v has a body, and %s describes none: %s", x, File, x.Answer)
		}
		return nil
	}
	if kind, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";"); kind != mediaType {
		return fmt.Errorf("%v has the Content-Type %q", x, kind)
	}
	return d.valid(closed, x.Answer, x.String(), slices.Concat(at, []string{"content", mediaType, "schema"})...)
}

// request checks that what was taken is described as something to send.
func (d *Description) request(x Exchange, template, method, path, query string) error {
	var all []error
	sent, _ := url.ParseQuery(query)
	for i, variable := range strings.Split(template, "/") {
		if name, is := strings.CutPrefix(variable, "{"); is {
			text, _ := url.PathUnescape(strings.Split(path, "/")[i])
			sent.Set(strings.TrimSuffix(name, "}"), text)
		}
	}
	for _, of := range [][]string{{"paths", template, "parameters"}, {"paths", template, method, "parameters"}} {
		for i := range d.root.list(of...) {
			parameter, at := d.at(slices.Concat(of, []string{strconv.Itoa(i)})...)
			if text := sent.Get(parameter.text("name")); text != "" {
				all = append(all, d.parameter(text, fmt.Sprintf("%v: it was taken with %s=%q", x, parameter["name"], text), at))
			}
		}
	}
	if len(x.Body) > 0 && d.root.in("paths", template, method, "requestBody") != nil {
		all = append(all, d.valid(asItIs, x.Body, fmt.Sprintf("%v: what was taken", x), "paths", template, method, "requestBody", "content", mediaType, "schema"))
	}
	return errors.Join(all...)
}

// parameter holds the text of a parameter or a header against its schema.
func (d *Description) parameter(text, what string, at []string) error {
	where := slices.Concat(at, []string{"schema"})
	schema, err := d.schema(asItIs, where)
	if err != nil {
		return err
	}
	for _, value := range readings(text) {
		if err = schema.Validate(value); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s, and %s does not describe it so: %w", what, File, err)
}

// readings are what a text outside of JSON may stand for.
func readings(text string) []any {
	list := []any{}
	for part := range strings.SplitSeq(text, ",") {
		list = append(list, part)
	}
	all := []any{text, list}
	if n, err := strconv.Atoi(text); err == nil {
		all = append(all, n)
	}
	return all
}

// valid holds JSON against a schema of the document.
func (d *Description) valid(form string, text []byte, what string, pointer ...string) error {
	schema, err := d.schema(form, pointer)
	if err != nil {
		return err
	}
	seen := finding{schema, sha256.Sum256(text)}
	if _, before := d.found.Load(seen); before {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: no JSON: %q", what, text)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf(`%s is not as %s describes it; what is new belongs to "properties" and, when it is always there, to "required" of its schema: %w: %s`, what, File, err, text)
	}
	d.found.Store(seen, nil)
	return nil
}

// finding is that a text is as a schema says.
type finding struct {
	schema *jsonschema.Schema
	text   [sha256.Size]byte
}

// schema compiles the part of the document at a pointer.
func (d *Description) schema(form string, pointer []string) (*jsonschema.Schema, error) {
	var at strings.Builder
	at.WriteString(form + "#")
	for _, name := range pointer {
		// A JSON pointer inside a URL.
		name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		at.WriteString("/" + url.PathEscape(name))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if schema, ok := d.compiled[at.String()]; ok {
		return schema, nil
	}
	schema, err := d.compiler.Compile(at.String())
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", File, strings.Join(pointer, "/"), err)
	}
	d.compiled[at.String()] = schema
	return schema, nil
}
