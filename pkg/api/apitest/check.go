package apitest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"keyvend/pkg/api"
)

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
	path, _, _ := strings.Cut(x.Target, "?")
	if api.IsPage(path) || api.IsPreflight(x.Method, path) {
		return nil // it is about what speaks JSON
	}
	template := d.template(path)
	operation := d.in("paths", template, strings.ToLower(x.Method))
	if operation.value == nil {
		return d.refused(x, template != "")
	}
	response := operation.in("responses", strconv.Itoa(x.Status))
	if response.value == nil {
		return fmt.Errorf(`%v is not described: add the status %d to "responses" of %s %s in %s. The answer was %s`,
			x, x.Status, strings.ToLower(x.Method), template, File, x.Answer)
	}
	err := errors.Join(x.headers(response), x.answer(response))
	if x.Status < http.StatusMultipleChoices {
		err = errors.Join(err, x.parameters(template, d.in("paths", template, "parameters")),
			x.parameters(template, operation.in("parameters")), x.body(operation))
	}
	return err
}

// template is the described path that a path is one of: of several the one with
// the fewest variables, "" when there is none.
func (d *Description) template(path string) (template string) {
	sent := strings.Split(path, "/")
	least := len(sent) + 1
	for _, candidate := range d.in("paths").names() {
		if n, fits := variables(strings.Split(candidate, "/"), sent); fits && n < least {
			least, template = n, candidate
		}
	}
	return template
}

// variables counts those of a path, and says whether what was sent fits.
func variables(segments, sent []string) (n int, fits bool) {
	if len(segments) != len(sent) {
		return 0, false
	}
	for i, segment := range segments {
		switch {
		case strings.HasPrefix(segment, "{") && sent[i] != "":
			n++
		case segment != sent[i]:
			return 0, false
		}
	}
	return n, true
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
	return d.in("components", "schemas", "Error").holds(closed, x.Answer, x.String())
}

// headers checks those that are described for an answer, which may lack what is not
// required.
func (x Exchange) headers(response part) error {
	var all []error
	for _, name := range response.in("headers").names() {
		sent := x.Header.Get(name)
		if required, _ := response.in("headers", name, "required").value.(bool); !required && sent == "" {
			continue
		}
		all = append(all, response.in("headers", name, "schema").holdsText(sent, fmt.Sprintf("%v: the header %s is %q", x, name, sent)))
	}
	return errors.Join(all...)
}

func (x Exchange) answer(response part) error {
	if response.in("content").value == nil {
		if len(x.Answer) > 0 {
			return fmt.Errorf("%v has a body, and %s describes none: %s", x, File, x.Answer)
		}
		return nil
	}
	if kind, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";"); kind != mediaType {
		return fmt.Errorf("%v has the Content-Type %q", x, kind)
	}
	return response.in("content", mediaType, "schema").holds(closed, x.Answer, x.String())
}

// parameters checks that those that were taken are described so.
func (x Exchange) parameters(template string, described part) error {
	path, query, _ := strings.Cut(x.Target, "?")
	sent, _ := url.ParseQuery(query)
	segments := strings.Split(path, "/")
	for i, variable := range strings.Split(template, "/") {
		if strings.HasPrefix(variable, "{") {
			text, _ := url.PathUnescape(segments[i])
			sent.Set(strings.Trim(variable, "{}"), text)
		}
	}
	var all []error
	for _, i := range described.names() {
		name := described.in(i).text("name")
		if text := sent.Get(name); text != "" {
			all = append(all, described.in(i, "schema").holdsText(text, fmt.Sprintf("%v: it was taken with %s=%q", x, name, text)))
		}
	}
	return errors.Join(all...)
}

// body checks that what was taken is described so.
func (x Exchange) body(operation part) error {
	schema := operation.in("requestBody", "content", mediaType, "schema")
	if schema.value == nil {
		return nil
	}
	return schema.holds(asItIs, x.Body, fmt.Sprintf("%v: what was taken", x))
}

// finding is that a text is as a schema says.
type finding struct {
	schema *jsonschema.Schema
	text   [sha256.Size]byte
}

// holds says in what JSON is not as the schema p says.
func (p part) holds(form string, text []byte, what string) error {
	schema, err := p.schema(form)
	if err != nil {
		return err
	}
	seen := finding{schema, sha256.Sum256(text)}
	if _, before := p.of.found.Load(seen); before {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: no JSON: %q", what, text)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf(`%s is not as %s describes it; what is new belongs to "properties" and, when it is always there, to "required" of its schema: %w: %s`, what, File, err, text)
	}
	p.of.found.Store(seen, nil)
	return nil
}

// holdsText is holds for a parameter or a header: text, a number or a list with
// commas.
func (p part) holdsText(text, what string) error {
	schema, err := p.schema(asItIs)
	if err != nil {
		return err
	}
	list := []any{}
	for element := range strings.SplitSeq(text, ",") {
		list = append(list, element)
	}
	readings := []any{list, text}
	if n, err := strconv.Atoi(text); err == nil {
		readings = append(readings, n)
	}
	for _, value := range readings {
		if err = schema.Validate(value); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s, and %s does not describe it so: %w", what, File, err)
}
