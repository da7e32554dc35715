package catalog

import (
	"bytes"
	"strings"
)

// Shape is a form that a text may have: its parts, one after the other, and
// nothing before or after them.
type Shape struct {
	Name  string `json:"name,omitempty"` // what a text of this form is called, where there are several
	Parts []Part `json:"parts"`
}

// Part is a piece of a Shape. It is exactly one of these:
//
//   - Text: this very text;
//   - OneOf: one of these texts;
//   - Alphabet with Groups: groups of so many characters, a hyphen between
//     them; 8, 4, 4, 4, 12 is a UUID;
//   - Alphabet without Groups: a run of characters, Length of them, or
//     MinLength (1 when not stated) to MaxLength (no limit when not stated).
type Part struct {
	Text      string   `json:"text,omitempty"`
	OneOf     []string `json:"one_of,omitempty"`
	Alphabet  string   `json:"alphabet,omitempty"` // a name from the schema's list
	Extra     string   `json:"extra,omitempty"`    // further characters beside the alphabet's
	Length    int      `json:"length,omitempty"`
	MinLength int      `json:"min_length,omitempty"`
	MaxLength int      `json:"max_length,omitempty"`
	Groups    []int    `json:"groups,omitempty"`
	Optional  bool     `json:"optional,omitempty"` // the part may be missing
}

// Matches reports whether text has this shape. It takes time in proportion to
// the text's length and the number of parts, whatever the text.
func (s Shape) Matches(text []byte) bool {
	// at[i] says that the parts so far can end before text[i].
	at := make([]bool, len(text)+1)
	at[0] = true
	for _, p := range s.Parts {
		next := p.ends(text, at)
		if p.Optional {
			for i := range at {
				next[i] = next[i] || at[i]
			}
		}
		at = next
	}
	return at[len(text)]
}

// ends says where the part can end when it starts where starts says.
func (p Part) ends(text []byte, starts []bool) []bool {
	switch {
	case p.Text != "":
		return literalEnds(text, starts, p.Text)
	case len(p.OneOf) > 0:
		return literalEnds(text, starts, p.OneOf...)
	case len(p.Groups) > 0:
		return p.groupEnds(text, starts)
	}
	return p.runEnds(text, starts)
}

func literalEnds(text []byte, starts []bool, literals ...string) []bool {
	ends := make([]bool, len(starts))
	for i, start := range starts {
		for _, l := range literals {
			if start && bytes.HasPrefix(text[i:], []byte(l)) {
				ends[i+len(l)] = true
			}
		}
	}
	return ends
}

func (p Part) groupEnds(text []byte, starts []bool) []bool {
	ends := starts
	for i, n := range p.Groups {
		if i > 0 {
			ends = literalEnds(text, ends, "-")
		}
		ends = Part{Alphabet: p.Alphabet, Extra: p.Extra, Length: n}.runEnds(text, ends)
	}
	return ends
}

func (p Part) runEnds(text []byte, starts []bool) []bool {
	least, most := p.bounds(len(text))
	// From one start the ends are a range. opened counts the ranges that begin
	// at a place less those that ended before it, so its running sum is how
	// many ranges cover the place.
	opened := make([]int, len(starts)+1)
	run := 0 // how many characters of the alphabet follow from i on
	for i := len(text); i >= 0; i-- {
		if i < len(text) && p.takes(text[i]) {
			run++
		} else {
			run = 0
		}
		if last := min(run, most); starts[i] && least <= last {
			opened[i+least]++
			opened[i+last+1]--
		}
	}
	ends := make([]bool, len(starts))
	covering := 0
	for i := range ends {
		covering += opened[i]
		ends[i] = covering > 0
	}
	return ends
}

// bounds returns the fewest and the most characters of a run; longest stands
// for no limit.
func (p Part) bounds(longest int) (least, most int) {
	if p.Length > 0 {
		return p.Length, p.Length
	}
	least, most = max(p.MinLength, 1), p.MaxLength
	if most == 0 {
		most = longest
	}
	return least, most
}

func (p Part) takes(c byte) bool {
	return inAlphabet(p.Alphabet, c) || strings.IndexByte(p.Extra, c) >= 0
}

// inAlphabet knows the schema's named alphabets; an unknown one is empty.
func inAlphabet(name string, c byte) bool {
	digit := '0' <= c && c <= '9'
	lower := 'a' <= c && c <= 'z'
	upper := 'A' <= c && c <= 'Z'
	switch name {
	case "digits":
		return digit
	case "lower_hex":
		return digit || 'a' <= c && c <= 'f'
	case "upper_hex":
		return digit || 'A' <= c && c <= 'F'
	case "hex":
		return digit || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
	case "lower_letters":
		return lower
	case "upper_letters":
		return upper
	case "letters":
		return lower || upper
	case "lower_alphanumeric":
		return lower || digit
	case "upper_alphanumeric":
		return upper || digit
	case "alphanumeric":
		return lower || upper || digit
	case "base64":
		return lower || upper || digit || c == '+' || c == '/' || c == '='
	case "base64url":
		return lower || upper || digit || c == '-' || c == '_'
	case "visible":
		return '!' <= c && c <= '~'
	}
	return false
}
