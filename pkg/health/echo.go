package health

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"slices"
	"strconv"
	"unicode"

	"keyvend/pkg/secret"
)

// echoes reports whether an answer holds the key that it is about, as it is or
// written as headers, addresses and pages write it. Rules about such an answer would
// read the key out: is it true that it begins with a, with b, …
func echoes(body []byte, key secret.Text) bool {
	said := plain(body)
	for _, form := range forms(key.Reveal()) {
		if bytes.Contains(said, form) {
			return true
		}
	}
	return false
}

// forms are the ways in which a plain answer may spell a key.
func forms(key []byte) [][]byte {
	all := [][]byte{bytes.ToLower(key), plain(key), []byte(hex.EncodeToString(key))}
	for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // bytes of whatever stands before it, such as a user's name
			text := coding.EncodeToString(append(make([]byte, before), key...))
			from, to := (before*8+5)/6, (before+len(key))*8/6 // the characters that the key alone decides
			all = append(all, bytes.ToLower([]byte(text[from:max(from, to)])))
		}
	}
	return slices.DeleteFunc(all, func(form []byte) bool { return len(form) == 0 })
}

// plain is a text in one case and without spaces, with what JSON, addresses and HTML
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
	return bytes.ToLower(bytes.Map(spaces, text))
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
