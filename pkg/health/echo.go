package health

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"strconv"
	"strings"
	"unicode"

	"keyvend/pkg/secret"
)

// run is how many characters of a key in a row are an echo; of a shorter key all are.
// What providers say of a key so that people tell it from others is shorter: what all
// their keys begin with and a few characters more, 16 at the most that are known of,
// and the last four.
const run = 20

// echoes reports whether an answer holds a run of the key that it is about, as it is or
// written as headers, addresses and pages write it. Rules about such an answer would
// read the key out: is it true that it begins with a, with b, …
func echoes(body []byte, key secret.Text) bool {
	said := string(bytes.ToLower(plain(body)))
	runs := make(map[string]bool, len(said))
	for i := range len(said) - run + 1 {
		runs[said[i:i+run]] = true
	}
	length := len(key.Reveal())
	for _, form := range forms(key.Reveal()) {
		if length < run && strings.Contains(said, form) {
			return true
		}
		// A coding is longer than the key, and so is a run of it but for its ends,
		// which what stands beside them has a part in.
		if most := longest(form, runs); length >= run && most >= run && most >= (run-1)*len(form)/length {
			return true
		}
	}
	return false
}

// longest is how long the longest piece of form is whose runs are all among runs.
func longest(form string, runs map[string]bool) int {
	most, pieces := 0, 0
	for i := range len(form) - run + 1 {
		pieces++
		if !runs[form[i:i+run]] {
			pieces = 0
			continue
		}
		most = max(most, run-1+pieces)
	}
	return most
}

// forms are the ways in which a plain answer may spell a key, in lower case: as it is,
// coded, and coded again.
func forms(key []byte) []string {
	all := [][]byte{key, plain(key)}
	for _, once := range codings(key) {
		all = append(all, once)
		all = append(all, codings(once)...)
	}
	var texts []string
	for _, form := range all {
		if len(form) > 0 {
			texts = append(texts, string(bytes.ToLower(form)))
		}
	}
	return texts
}

// codings are what a text becomes in hexadecimal and in base64.
func codings(text []byte) [][]byte {
	small := []byte(hex.EncodeToString(text))
	all := [][]byte{small, bytes.ToUpper(small)}
	for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // bytes of whatever stands before it, such as a user's name
			coded := coding.EncodeToString(append(make([]byte, before), text...))
			from, to := (before*8+5)/6, (before+len(text))*8/6 // the characters that the text alone decides
			all = append(all, []byte(coded[from:max(from, to)]))
		}
	}
	return all
}

// plain is a text without spaces, with what JSON, addresses and HTML
// make of a character undone, also where one of them is inside another.
func plain(text []byte) []byte {
	for range 2 {
		text = []byte(html.UnescapeString(string(unquoted(unescaped(text)))))
	}
	spaces := func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}
	return bytes.Map(spaces, text)
}

// unquoted is a text with the percent encoding of addresses undone.
func unquoted(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if b, err := hex.DecodeString(string(text[i+1 : i+3])); err == nil {
				out = append(out, b...)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

// unescaped is a body with the escapes of JSON's strings undone.
func unescaped(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' || i+1 == len(body) {
			out = append(out, body[i])
			continue
		}
		i++
		if body[i] == 'u' && i+4 < len(body) {
			if r, err := strconv.ParseUint(string(body[i+1:i+5]), 16, 16); err == nil {
				out = append(out, string(rune(r))...)
				i += 4
				continue
			}
		}
		if bytes.IndexByte([]byte("bfnrt"), body[i]) >= 0 {
			out = append(out, ' ') // keys have no control characters
			continue
		}
		out = append(out, body[i])
	}
	return out
}
