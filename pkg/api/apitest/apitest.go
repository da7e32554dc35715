// Package apitest holds what goes over the wire against the description of the
// API that keyvend serves of itself. What an answer has and the description has
// not is an error here, although clients are told to ignore it.
package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"keyvend/pkg/api"
)

// File is where the description lies.
const File = "pkg/api/openapi.json"

const mediaType = "application/json"

// Description answers what the description says.
type Description struct {
	text     []byte
	root     any
	compiler *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema

	found sync.Map // what was found to be as it is described: tests see much again
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
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", File, err)
	}
	d := &Description{text: text, root: root, compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 is written in
	d.compiler.AssertFormat()
	return d, errors.Join(d.compiler.AddResource(asItIs, root), d.compiler.AddResource(closed, closing(root)))
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
		types, _ := v["type"].([]any)
		_, says := v["additionalProperties"]
		if !says && (v["type"] == "object" || slices.Contains(types, any("object"))) {
			object["additionalProperties"] = false
		}
		return object
	default:
		return value
	}
}

// part is a part of the document.
type part struct {
	of      *Description
	pointer []string
	value   any // nil: there is no such part
}

// in is what stands in the document under these names, or what that refers to.
func (d *Description) in(names ...string) part { return part{of: d, value: d.root}.in(names...) }

// in is what stands in p under these names, or what that refers to. A reference
// that has something beside it is not followed.
func (p part) in(names ...string) part {
	for _, name := range names {
		var value any
		switch v := p.value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, _ := strconv.Atoi(name)
			value = v[i]
		}
		p = part{p.of, append(slices.Clone(p.pointer), name), value}
		if reference, refers := strings.CutPrefix(p.text("$ref"), "#/"); refers && len(p.names()) == 1 {
			p = p.of.in(strings.Split(reference, "/")...)
		}
	}
	return p
}

// text is the text that stands in p under a name, "" when there is none.
func (p part) text(name string) string {
	object, _ := p.value.(map[string]any)
	text, _ := object[name].(string)
	return text
}

// names are those of an object's members, and the places of a list's elements.
func (p part) names() (names []string) {
	switch v := p.value.(type) {
	case map[string]any:
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
	case []any:
		for i := range v {
			names = append(names, strconv.Itoa(i))
		}
	}
	return names
}

// schema compiles the part, which is a schema.
func (p part) schema(form string) (*jsonschema.Schema, error) {
	var at strings.Builder
	at.WriteString(form + "#")
	for _, name := range p.pointer {
		// A JSON pointer inside a URL.
		name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		at.WriteString("/" + url.PathEscape(name))
	}
	d := p.of
	d.mu.Lock()
	defer d.mu.Unlock()
	if schema, ok := d.compiled[at.String()]; ok {
		return schema, nil
	}
	schema, err := d.compiler.Compile(at.String())
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", File, strings.Join(p.pointer, "/"), err)
	}
	d.compiled[at.String()] = schema
	return schema, nil
}

// Operation is one method of one path.
type Operation struct {
	Method, Path string
	Example      []byte           // a body to send; nil when the operation takes none
	Answers      map[int][]string // the codes of errors by status

	part part
}

func (o Operation) String() string { return o.Method + " " + o.Path }

// Operations are all that the description has, sorted by path.
func (d *Description) Operations() []Operation {
	var all []Operation
	for _, path := range d.in("paths").names() {
		for _, method := range d.in("paths", path).names() {
			if method == "parameters" {
				continue
			}
			o := Operation{Method: strings.ToUpper(method), Path: path, Answers: map[int][]string{}, part: d.in("paths", path, method)}
			if body := o.body(); body.value != nil {
				o.Example, _ = json.Marshal(body.in("example").value) // it was JSON a moment ago
			}
			for _, status := range o.part.in("responses").names() {
				n, _ := strconv.Atoi(status)
				o.Answers[n] = codes(o.part.in("responses", status))
			}
			all = append(all, o)
		}
	}
	return all
}

func (o Operation) body() part { return o.part.in("requestBody", "content", mediaType) }

// codes are those that the error of an answer may have.
func codes(response part) (codes []string) {
	listed, _ := response.in("content", mediaType, "schema", "properties", "code", "enum").value.([]any)
	for _, code := range listed {
		codes = append(codes, fmt.Sprint(code))
	}
	return codes
}

// Longest is how many characters the texts of the operation's body may have, by
// name: of those texts that may be a run of x.
func (o Operation) Longest() (map[string]int, error) {
	longest := map[string]int{}
	properties := o.body().in("schema", "properties")
	for _, name := range properties.names() {
		schema, err := properties.in(name).schema(asItIs)
		if err != nil {
			return nil, err
		}
		takes := func(length int) bool { return schema.Validate(strings.Repeat("x", length)) == nil }
		for _, limit := range regexp.MustCompile(`"maxLength": (\d+)`).FindAllSubmatch(o.part.of.text, -1) {
			if most, _ := strconv.Atoi(string(limit[1])); takes(most) && !takes(most+1) {
				longest[name] = most
			}
		}
	}
	return longest, nil
}
