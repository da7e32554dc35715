package catalog_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// schema is a JSON Schema. It understands the keywords that
// provider.schema.json uses and reports any other, so that none is ignored.
type schema struct {
	root map[string]any
}

func readSchema(t testing.TB) schema {
	t.Helper()
	b, err := os.ReadFile("provider.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s.root); err != nil {
		t.Fatalf("provider.schema.json: %v", err)
	}
	return s
}

// validate returns what is wrong with v, each with the path of the member.
func (s schema) validate(v any) []string { return s.against(s.root, v, "") }

func (s schema) against(rules map[string]any, v any, at string) []string {
	var wrong []string
	for _, keyword := range slices.Sorted(maps.Keys(rules)) {
		wrong = append(wrong, s.keyword(keyword, rules, v, at)...)
	}
	return wrong
}

func (s schema) keyword(keyword string, rules map[string]any, v any, at string) []string {
	rule := rules[keyword]
	switch keyword {
	case "$schema", "$defs", "title", "description":
		return nil
	case "$ref":
		name := strings.TrimPrefix(rule.(string), "#/$defs/")
		return s.against(s.root["$defs"].(map[string]any)[name].(map[string]any), v, at)
	case "type":
		return unless(slices.ContainsFunc(types(rule), func(t string) bool { return hasType(v, t) }), at, "must be of type %v", rule)
	case "enum":
		return unless(slices.Contains(rule.([]any), v), at, "must be one of %v", rule)
	case "const":
		return unless(v == rule, at, "can only be %v", rule)
	case "pattern", "minLength", "maxLength":
		return aboutText(keyword, rule, v, at)
	case "minimum", "maximum", "minItems", "uniqueItems", "items":
		return s.aboutNumbersAndLists(keyword, rule, v, at)
	case "required", "dependentRequired", "additionalProperties", "properties":
		return s.aboutMembers(keyword, rules, v, at)
	case "allOf", "oneOf", "not":
		return s.combined(keyword, rule, v, at)
	}
	return []string{fmt.Sprintf("%s: the tests do not know the schema's keyword %s", at, keyword)}
}

// types are the one type or the several that a schema names.
func types(rule any) []string {
	if one, ok := rule.(string); ok {
		return []string{one}
	}
	var several []string
	for _, t := range rule.([]any) {
		several = append(several, t.(string))
	}
	return several
}

func hasType(v any, want string) bool {
	switch v := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && v == float64(int(v))
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}

func aboutText(keyword string, rule, v any, at string) []string {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	switch keyword {
	case "pattern":
		return unless(regexp.MustCompile(rule.(string)).MatchString(text), at, "must match %v", rule)
	case "minLength":
		return unless(utf8.RuneCountInString(text) >= int(rule.(float64)), at, "has fewer than %v characters", rule)
	default:
		return unless(utf8.RuneCountInString(text) <= int(rule.(float64)), at, "has more than %v characters", rule)
	}
}

func (s schema) aboutNumbersAndLists(keyword string, rule, v any, at string) []string {
	if n, ok := v.(float64); ok {
		return append(
			unless(keyword != "minimum" || n >= rule.(float64), at, "must be at least %v", rule),
			unless(keyword != "maximum" || n <= rule.(float64), at, "must be at most %v", rule)...)
	}
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	var wrong []string
	for i, item := range list {
		twice := slices.ContainsFunc(list[:i], func(o any) bool { return reflect.DeepEqual(o, item) })
		here := fmt.Sprintf("%s[%d]", at, i)
		switch keyword {
		case "uniqueItems":
			wrong = append(wrong, unless(!twice, here, "stands there twice")...)
		case "items":
			wrong = append(wrong, s.against(rule.(map[string]any), item, here)...)
		}
	}
	if keyword == "minItems" {
		wrong = unless(len(list) >= int(rule.(float64)), at, "needs at least %v items", rule)
	}
	return wrong
}

func (s schema) aboutMembers(keyword string, rules map[string]any, v any, at string) []string {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	known, _ := rules["properties"].(map[string]any)
	var wrong []string
	switch keyword {
	case "required":
		for _, name := range rules["required"].([]any) {
			_, has := object[name.(string)]
			wrong = append(wrong, unless(has, member(at, name.(string)), "is missing")...)
		}
	case "dependentRequired":
		for name, needs := range rules["dependentRequired"].(map[string]any) {
			for _, need := range needs.([]any) {
				_, has := object[name]
				_, hasNeed := object[need.(string)]
				wrong = append(wrong, unless(!has || hasNeed, member(at, name), "needs %v beside it", need)...)
			}
		}
	case "additionalProperties":
		for name, value := range object {
			_, is := known[name]
			others, any := rules[keyword].(map[string]any)
			if !is && any {
				wrong = append(wrong, s.against(others, value, member(at, name))...)
				continue
			}
			wrong = append(wrong, unless(is, member(at, name), "is not a known field")...)
		}
	case "properties":
		for name, value := range object {
			if rule, is := known[name]; is {
				wrong = append(wrong, s.against(rule.(map[string]any), value, member(at, name))...)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (s schema) combined(keyword string, rule, v any, at string) []string {
	if keyword == "not" {
		return unless(len(s.against(rule.(map[string]any), v, at)) > 0, at, "may not be as in %v", rule)
	}
	var wrong []string
	fit := 0
	for _, r := range rule.([]any) {
		w := s.against(r.(map[string]any), v, at)
		wrong = append(wrong, w...)
		if len(w) == 0 {
			fit++
		}
	}
	if keyword == "oneOf" {
		return unless(fit == 1, at, "must have exactly one of %v", rule)
	}
	return wrong
}

func member(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func unless(ok bool, at, format string, args ...any) []string {
	if ok {
		return nil
	}
	return []string{at + ": " + fmt.Sprintf(format, args...)}
}
