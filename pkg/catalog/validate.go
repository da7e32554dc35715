package catalog

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is a member of a definition that is wrong: where it stands, such as
// "when[0].status", and a sentence that says why. The sentence never repeats
// the value: it may be a key that went to the wrong place.
type Problem struct{ Field, Reason string }

// The bounds of a definition: of lists in items, of texts in bytes.
const (
	maxFields     = 20
	maxOptions    = 50
	maxShapes     = 10
	maxParts      = 20
	maxName       = 64
	maxCharacters = 64
	maxCount      = 8192
	maxLabel      = 60 // in characters
	maxSentence   = 300
)

// report collects problems.
type report []Problem

func (r *report) unless(ok bool, field, reason string) bool {
	if !ok {
		*r = append(*r, Problem{field, reason})
	}
	return ok
}

// within takes over what a part of the definition was found to have.
func (r *report) within(at string, problems []Problem) {
	for _, p := range problems {
		*r = append(*r, Problem{strings.TrimSuffix(at+"."+p.Field, "."), p.Reason})
	}
}

// ValidateFields says all that is wrong with the definitions of config fields.
func ValidateFields(fields []ConfigField) []Problem {
	var r report
	r.unless(len(fields) <= maxFields, "", fmt.Sprintf("There are at most %d settings.", maxFields))
	seen := map[string]bool{}
	for i, f := range fields[:min(len(fields), maxFields)] {
		at := fmt.Sprintf("[%d]", i)
		r.unless(!seen[f.Field], at+".field", "Two settings have this name.")
		seen[f.Field] = true
		r.within(at, f.Validate())
	}
	return r
}

// Validate says all that is wrong with the definition of the field.
func (f ConfigField) Validate() []Problem {
	var r report
	r.unless(FieldName(f.Field) && f.Field != keyName, "field", "A setting's name has 1 to 32 of a-z, 0-9 and _, begins with a letter, and is not key, which stands for the key itself.")
	r.unless(line(f.Label, maxLabel), "label", fmt.Sprintf("What a form calls the setting: one line of 1 to %d characters.", maxLabel))
	r.unless(line(f.Description, maxSentence), "description", fmt.Sprintf("What to enter: one line of 1 to %d characters.", maxSentence))
	f.validateConstraint(&r)
	if d := f.DeriveFromKey; d != nil {
		r.unless(characters(d.AfterLast), "derive_from_key.after_last", charactersReason)
	}
	if len(r) == 0 { // a value can be held against a sound definition only
		f.validateValues(&r)
	}
	return r
}

const charactersReason = "This is 1 to 64 visible ASCII characters, without spaces."

func (f ConfigField) validateConstraint(r *report) {
	kinds := 0
	for _, stated := range []bool{len(f.Options) > 0, f.Format != "", len(f.Shapes) > 0} {
		if stated {
			kinds++
		}
	}
	r.unless(kinds == 1, "", "A setting has exactly one of options, format and shapes: its values end up in addresses, so they must be checked.")
	r.unless(f.Format == "" || f.Format == formatHostname, "format", `The only format is "hostname".`)
	f.validateOptions(r)
	r.unless(len(f.Shapes) <= maxShapes, "shapes", fmt.Sprintf("There are at most %d shapes.", maxShapes))
	for i, s := range f.Shapes[:min(len(f.Shapes), maxShapes)] {
		r.within(fmt.Sprintf("shapes[%d]", i), s.validate())
	}
}

func (f ConfigField) validateOptions(r *report) {
	if len(f.Options) == 0 {
		return
	}
	r.unless(len(f.Options) > 1 && len(f.Options) <= maxOptions, "options", fmt.Sprintf("There are 2 to %d options.", maxOptions))
	seen := map[string]bool{}
	for i, o := range f.Options[:min(len(f.Options), maxOptions)] {
		at := fmt.Sprintf("options[%d]", i)
		r.unless(characters(o.Value), at+".value", charactersReason)
		r.unless(!seen[o.Value], at+".value", "Two options have this value.")
		seen[o.Value] = true
		r.unless(line(o.Label, maxLabel), at+".label", fmt.Sprintf("What a form calls the option: one line of 1 to %d characters.", maxLabel))
	}
	r.unless(f.Default == "" || f.Options[0].Value == f.Default, "options", "The default is one of the options, and the first.")
}

func (f ConfigField) validateValues(r *report) {
	for _, v := range []struct{ member, value string }{{"default", f.Default}, {"example", f.Example}} {
		if v.value != "" {
			_, ok := f.Check(v.value)
			r.unless(ok, v.member, "This is not a value that the setting takes.")
		}
	}
	r.unless(f.Example != "" || len(f.Options) > 0, "example", "A value of the right form is missing: people are shown it when they enter another.")
	r.unless(!f.Required || f.Default == "" && f.DeriveFromKey == nil, "required", "The value comes from elsewhere, so no one need be asked for it.")
}

// validate says all that is wrong with the definition of the shape.
func (s Shape) validate() []Problem {
	var r report
	r.unless(s.Name == "" || line(s.Name, maxLabel), "name", fmt.Sprintf("One line of at most %d characters.", maxLabel))
	r.unless(len(s.Parts) > 0 && len(s.Parts) <= maxParts, "parts", fmt.Sprintf("There are 1 to %d parts.", maxParts))
	for i, p := range s.Parts[:min(len(s.Parts), maxParts)] {
		r.within(fmt.Sprintf("parts[%d]", i), p.validate())
	}
	return r
}

func (p Part) validate() []Problem {
	var r report
	kinds := 0
	for _, stated := range []bool{p.Text != "", len(p.OneOf) > 0, p.Alphabet != ""} {
		if stated {
			kinds++
		}
	}
	if !r.unless(kinds == 1, "", "A part has exactly one of text, one_of and alphabet.") {
		return r
	}
	for _, text := range append(p.OneOf, p.Text, p.Extra) {
		r.unless(text == "" || characters(text), "", charactersReason)
	}
	r.unless(len(p.OneOf) <= maxOptions && !slices.Contains(p.OneOf, ""), "one_of", fmt.Sprintf("These are at most %d texts, none of them empty.", maxOptions))
	r.unless(p.Alphabet == "" || alphabet(p.Alphabet), "alphabet", "There is no such alphabet.")
	p.validateCounts(&r)
	return r
}

func (p Part) validateCounts(r *report) {
	counted := p.Length != 0 || p.MinLength != 0 || p.MaxLength != 0 || len(p.Groups) > 0
	r.unless(p.Alphabet != "" || !counted && p.Extra == "", "", "extra, groups and lengths belong to an alphabet.")
	r.unless(p.Length == 0 || p.MinLength == 0 && p.MaxLength == 0, "length", "length excludes min_length and max_length.")
	r.unless(len(p.Groups) == 0 || p.Length == 0 && p.MinLength == 0 && p.MaxLength == 0, "groups", "groups excludes the lengths.")
	r.unless(len(p.Groups) != 1 && len(p.Groups) <= maxParts, "groups", fmt.Sprintf("There are 2 to %d groups.", maxParts))
	r.unless(p.MaxLength == 0 || p.MinLength <= p.MaxLength, "max_length", "max_length is below min_length.")
	for _, n := range append([]int{p.Length, p.MinLength, p.MaxLength}, p.Groups...) {
		r.unless(n >= 0 && n <= maxCount, "", fmt.Sprintf("Lengths are numbers from 1 to %d.", maxCount))
	}
	r.unless(!slices.Contains(p.Groups, 0), "groups", fmt.Sprintf("Lengths are numbers from 1 to %d.", maxCount))
}

// FieldName reports whether a text has the form of a config field's name.
func FieldName(name string) bool {
	return name != "" && len(name) <= 32 && inAlphabet("lower_letters", name[0]) && only(name, "lower_alphanumeric", "_")
}

// only reports whether text has nothing but characters of the alphabet and
// extra ones.
func only(text, alphabet, extra string) bool {
	p := Part{Alphabet: alphabet, Extra: extra}
	return !slices.ContainsFunc([]byte(text), func(c byte) bool { return !p.takes(c) })
}

// line reports whether text is one line for people, of 1 to most characters.
func line(text string, most int) bool {
	return text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= most &&
		strings.TrimSpace(text) == text && !strings.ContainsFunc(text, unicode.IsControl)
}

func characters(text string) bool { return len(text) <= maxCharacters && visibleText(text) }

// alphabet reports whether inAlphabet knows that name.
func alphabet(name string) bool {
	for c := byte('!'); c <= '~'; c++ {
		if inAlphabet(name, c) {
			return true
		}
	}
	return false
}
