package api

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
)

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

// members are the types of fields whose Go type does not say what they hold. Of
// others of that kind the description alone says it.
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
	case schema["type"] == nil && !listed:
		if of.Kind() == reflect.Struct && of.NumField() > 0 && !c.request {
			c.t.Errorf("%s is described as null for ever: describe its fields in %s", where, descriptionFile)
		}
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
