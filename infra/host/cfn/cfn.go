// Package cfn reads a SAM template: its resources with the intrinsic functions
// resolved, and its functions with the globals merged in. It knows what
// keyvend's template uses and refuses the rest.
package cfn

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Template is a parsed template. Intrinsic functions stand in it in their long
// form: a map with one key such as "Ref" or "Fn::GetAtt".
type Template struct {
	Parameters map[string]Parameter `yaml:"Parameters"`
	Resources  map[string]Resource
	root       map[string]any
}

// Parameter is a template parameter; Default is its text, nil for none.
type Parameter struct {
	Type    string
	Default *string
}

// Resource is one resource, unresolved.
type Resource struct {
	Type       string
	Properties map[string]any
	Attributes map[string]any // DeletionPolicy, Metadata and the like
}

// Load reads a template file.
func Load(path string) (*Template, error) {
	raw, err := os.ReadFile(path) // #nosec G304 -- the operator names the template
	if err != nil {
		return nil, err
	}
	return Parse(raw)
}

// Parse reads a template.
func Parse(raw []byte) (*Template, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(raw, &node); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if len(node.Content) != 1 {
		return nil, fmt.Errorf("template: want one document, have %d", len(node.Content))
	}
	value, err := plain(node.Content[0])
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	root, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("template: the top is no mapping")
	}
	t := &Template{root: root, Parameters: map[string]Parameter{}, Resources: map[string]Resource{}}
	for name, v := range Map(root["Parameters"]) {
		p := Map(v)
		parameter := Parameter{Type: text(p["Type"])}
		if d, ok := p["Default"]; ok {
			s := text(d)
			parameter.Default = &s
		}
		t.Parameters[name] = parameter
	}
	for name, v := range Map(root["Resources"]) {
		r := Map(v)
		t.Resources[name] = Resource{Type: text(r["Type"]), Properties: Map(r["Properties"]), Attributes: r}
	}
	return t, nil
}

// Map is v as a mapping, nil if it is none.
func Map(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// List is v as a list; a single value is a list of itself, nil is empty.
func List(v any) []any {
	switch l := v.(type) {
	case nil:
		return nil
	case []any:
		return l
	default:
		return []any{v}
	}
}

// Strings is List for texts.
func Strings(v any) []string {
	var all []string
	for _, item := range List(v) {
		all = append(all, text(item))
	}
	return all
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// plain turns a YAML node into maps, lists and scalars.
func plain(n *yaml.Node) (any, error) {
	if n.Kind == yaml.AliasNode {
		return nil, fmt.Errorf("line %d: CloudFormation knows no aliases", n.Line)
	}
	if name, ok := strings.CutPrefix(n.Tag, "!"); ok && !strings.HasPrefix(name, "!") {
		return intrinsic(n, name)
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			v, err := plain(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := plain(c)
			if err != nil {
				return nil, err
			}
			l[i] = v
		}
		return l, nil
	default:
		var v any
		err := n.Decode(&v)
		return v, err
	}
}

func intrinsic(n *yaml.Node, name string) (any, error) {
	bare := *n
	bare.Tag = ""
	v, err := plain(&bare)
	if err != nil {
		return nil, err
	}
	switch {
	case name == "Ref" || name == "Condition":
	case name == "GetAtt":
		if s, ok := v.(string); ok {
			logical, attribute, _ := strings.Cut(s, ".")
			v = []any{logical, attribute}
		}
		name = "Fn::GetAtt"
	default:
		name = "Fn::" + name
	}
	return map[string]any{name: v}, nil
}

// Values says what references stand for.
type Values struct {
	// Parameters override the defaults of the template's parameters.
	Parameters map[string]string
	// Pseudo are the parameters that begin with "AWS::".
	Pseudo map[string]string
	// Attribute is a resource's physical value; attribute "" is what Ref gives.
	Attribute func(logical, attribute string) (string, error)
}

type noValue struct{}

// Resolve returns v with every intrinsic function replaced by its value, and
// what is AWS::NoValue left out.
func (t *Template) Resolve(v any, with Values) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::") {
					return t.call(name, argument, with)
				}
			}
		}
		m := make(map[string]any, len(v))
		for name, value := range v {
			r, err := t.Resolve(value, with)
			if err != nil {
				return nil, err
			}
			if _, none := r.(noValue); !none {
				m[name] = r
			}
		}
		return m, nil
	case []any:
		var l []any
		for _, value := range v {
			r, err := t.Resolve(value, with)
			if err != nil {
				return nil, err
			}
			if _, none := r.(noValue); !none {
				l = append(l, r)
			}
		}
		return l, nil
	default:
		return v, nil
	}
}

func (t *Template) call(name string, argument any, with Values) (any, error) {
	switch name {
	case "Ref":
		return t.ref(text(argument), with)
	case "Fn::GetAtt":
		parts := Strings(argument)
		if len(parts) != 2 || t.Resources[parts[0]].Type == "" {
			return nil, fmt.Errorf("template: GetAtt %v", argument)
		}
		return with.Attribute(parts[0], parts[1])
	case "Fn::Sub":
		return t.sub(argument, with)
	case "Fn::If":
		parts := List(argument)
		if len(parts) != 3 {
			return nil, fmt.Errorf("template: If %v", argument)
		}
		holds, err := t.condition(map[string]any{"Condition": parts[0]}, with)
		if err != nil {
			return nil, err
		}
		if holds {
			return t.Resolve(parts[1], with)
		}
		return t.Resolve(parts[2], with)
	default:
		return nil, fmt.Errorf("template: %s is not supported", name)
	}
}

func (t *Template) ref(name string, with Values) (any, error) {
	if name == "AWS::NoValue" {
		return noValue{}, nil
	}
	if v, ok := with.Pseudo[name]; ok {
		return v, nil
	}
	if p, ok := t.Parameters[name]; ok {
		if v, given := with.Parameters[name]; given {
			return v, nil
		}
		if p.Default == nil {
			return nil, fmt.Errorf("template: parameter %s has no value", name)
		}
		return *p.Default, nil
	}
	if t.Resources[name].Type == "" {
		return nil, fmt.Errorf("template: Ref %s: no such parameter or resource", name)
	}
	return with.Attribute(name, "")
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9:]+)(?:\.([A-Za-z0-9.]+))?\}`)

func (t *Template) sub(argument any, with Values) (any, error) {
	s, ok := argument.(string)
	if !ok {
		return nil, fmt.Errorf("template: Sub with a map is not supported")
	}
	var failed error
	out := placeholder.ReplaceAllStringFunc(s, func(match string) string {
		part := placeholder.FindStringSubmatch(match)
		var (
			v   any
			err error
		)
		if part[2] == "" {
			v, err = t.ref(part[1], with)
		} else {
			v, err = t.call("Fn::GetAtt", []any{part[1], part[2]}, with)
		}
		if err != nil {
			failed = err
		}
		return text(v)
	})
	return out, failed
}

func (t *Template) condition(v any, with Values) (bool, error) {
	for name, argument := range Map(v) {
		switch name {
		case "Condition":
			named, ok := Map(t.root["Conditions"])[text(argument)]
			if !ok {
				return false, fmt.Errorf("template: no condition %v", argument)
			}
			return t.condition(named, with)
		case "Fn::Not":
			holds, err := t.condition(List(argument)[0], with)
			return !holds, err
		case "Fn::Equals":
			sides, err := t.Resolve(argument, with)
			if err != nil {
				return false, err
			}
			pair := Strings(sides)
			return len(pair) == 2 && pair[0] == pair[1], nil
		}
	}
	return false, fmt.Errorf("template: condition %v is not supported", v)
}

// Properties returns a resource's properties, resolved.
func (t *Template) Properties(logical string, with Values) (map[string]any, error) {
	resolved, err := t.Resolve(t.Resources[logical].Properties, with)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", logical, err)
	}
	return Map(resolved), nil
}

// Named lists the logical ids of a type, sorted.
func (t *Template) Named(kind string) []string {
	var ids []string
	for id, r := range t.Resources {
		if r.Type == kind {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
