package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ConfigField is a setting that belongs to a key and is no secret: a region, a
// host, a shop's name.
type ConfigField struct {
	Field       string   `json:"field"`             // its name in config
	Label       string   `json:"label"`             // its name in a form
	Description string   `json:"description"`       // one sentence that says what to enter
	Required    bool     `json:"required"`          // there is no key without it
	Default     string   `json:"default,omitempty"` // what holds when it is not given
	Example     string   `json:"example,omitempty"` // a value that is right in form
	Options     []Option `json:"options,omitempty"` // when present, the only values
	Format      string   `json:"format,omitempty"`  // "hostname": a public host, with neither scheme, port nor path
	Shapes      []Shape  `json:"shapes,omitempty"`  // when present, the value has one of them
	// DeriveFromKey, when present, says where the key itself holds the value,
	// so that no one need be asked for it.
	DeriveFromKey *Derivation `json:"derive_from_key,omitempty"`
}

// Option is one value that a field may have.
type Option struct {
	Value string `json:"value"`
	Label string `json:"label"` // what a form calls it
}

// Derivation is a place in a key.
type Derivation struct {
	AfterLast string `json:"after_last"` // what follows the last one of this text
}

// MaxValue is how many bytes a config value may have.
const MaxValue = 255

// formatHostname is the one named format there is.
const formatHostname = "hostname"

// AnyHost reports whether a value of the field is the name of a host of anybody's.
func (f ConfigField) AnyHost() bool { return f.Format == formatHostname && len(f.Options) == 0 }

// Check reports whether value may be stored for the field. When it may not,
// reason is a sentence for the person who entered it, which never repeats the
// value: it may be a key that was pasted into the wrong field. An empty value
// means that none was given, which keeps no key from being stored.
func (f ConfigField) Check(value string) (reason string, ok bool) {
	switch {
	case value == "":
		return "", true
	case len(value) > MaxValue:
		return fmt.Sprintf("%s is too long: it has at most %d characters.", f.Label, MaxValue), false
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Sprintf("%s has characters that cannot be used. Type it instead of pasting it.", f.Label), false
	case len(f.Options) > 0:
		return f.checkOption(value)
	case f.Format == formatHostname && !PublicHostname(value):
		return fmt.Sprintf("%s is not the name of a public host. Enter the name alone, in lower case, without https:// and without a path%s.", f.Label, f.such()), false
	case len(f.Shapes) > 0 && !slices.ContainsFunc(f.Shapes, func(s Shape) bool { return s.Matches([]byte(value)) }):
		return fmt.Sprintf("%s does not have the right form%s. %s", f.Label, f.such(), f.Description), false
	}
	return "", true
}

// Missing are the names of the settings without which there is no key, and which
// config does not have.
func (p Provider) Missing(config map[string]string) []string {
	var names []string
	for _, f := range p.ConfigFields {
		if f.Required && config[f.Field] == "" {
			names = append(names, f.Field)
		}
	}
	return names
}

func (f ConfigField) checkOption(value string) (reason string, ok bool) {
	values := make([]string, len(f.Options))
	for i, o := range f.Options {
		values[i] = o.Value
	}
	if slices.Contains(values, value) {
		return "", true
	}
	return fmt.Sprintf("%s must be one of these: %s.", f.Label, strings.Join(values, ", ")), false
}

// such adds the example to a sentence.
func (f ConfigField) such() string {
	if f.Example == "" {
		return ""
	}
	return ", such as " + f.Example
}

// Derive returns the value that key holds for the field: false when the field
// is not derived, or when what the key holds does not pass Check, so that no
// piece of an odd key passes for a setting.
func (f ConfigField) Derive(key []byte) (string, bool) {
	if f.DeriveFromKey == nil {
		return "", false
	}
	mark := []byte(f.DeriveFromKey.AfterLast)
	i := bytes.LastIndex(key, mark)
	if i < 0 {
		return "", false
	}
	value := string(key[i+len(mark):])
	if _, ok := f.Check(value); !ok || value == "" {
		return "", false
	}
	return value, true
}

// PublicHostname reports whether s can be the name of a host on the public
// internet, in the one spelling that is stored: lower case, at least two
// labels, no dot at the end. Addresses of every notation are refused, since no
// top-level domain begins with a digit. It says nothing about what the name
// resolves to; who dials it checks that.
func PublicHostname(s string) bool {
	labels := strings.Split(s, ".")
	if len(s) > 253 || len(labels) < 2 || slices.ContainsFunc(labels, badLabel) {
		return false
	}
	top := labels[len(labels)-1]
	return !inAlphabet("digits", top[0]) && !slices.Contains(privateDomains(), top)
}

func badLabel(l string) bool {
	notAllowed := func(c byte) bool { return c != '-' && !inAlphabet("lower_alphanumeric", c) }
	return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || slices.ContainsFunc([]byte(l), notAllowed)
}

// privateDomains are top-level names that only mean something inside a network.
func privateDomains() []string {
	return []string{"arpa", "corp", "home", "internal", "intranet", "lan", "local", "localdomain", "localhost", "private"}
}
