package catalog

import "strings"

// template is text with {names} in it.
type template []piece

// piece is text that stands for itself, or a name.
type piece struct {
	text   string
	isName bool
}

// parseTemplate is false for text with a brace that is not part of a {name}.
func parseTemplate(text string) (template, bool) {
	var t template
	for text != "" {
		open := strings.IndexAny(text, "{}")
		if open < 0 {
			return append(t, piece{text: text}), true
		}
		if open > 0 {
			t = append(t, piece{text: text[:open]})
		}
		if text[open] == '}' {
			return nil, false
		}
		text = text[open+1:]
		end := strings.IndexAny(text, "{}")
		if end <= 0 || text[end] == '{' {
			return nil, false
		}
		t = append(t, piece{text: text[:end], isName: true})
		text = text[end+1:]
	}
	return t, true
}

func (t template) names() []string {
	var names []string
	for _, p := range t {
		if p.isName {
			names = append(names, p.text)
		}
	}
	return names
}

// with is the template with each piece replaced by what f makes of it.
func (t template) with(f func(piece) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t {
		text, err := f(p)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// literal is the template without its names.
func (t template) literal() string {
	var b strings.Builder
	for _, p := range t {
		if !p.isName {
			b.WriteString(p.text)
		}
	}
	return b.String()
}
