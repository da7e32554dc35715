package health

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"

	"keyvend/pkg/secret"
)

// shortest is the length from which on a key can be told from other text.
const shortest = 8

// echoes reports whether an answer holds the key that it is about, as it is or
// encoded as headers and addresses carry it. Rules about such an answer would read
// the key out: is it true that it begins with a, with b, …
func echoes(body []byte, key secret.Text) bool {
	if key.Len() < shortest {
		return false
	}
	said := unescaped(body)
	for _, form := range forms(key.Reveal()) {
		if bytes.Contains(said, form) {
			return true
		}
	}
	return false
}

// forms are the ways in which an answer may spell a key.
func forms(key []byte) [][]byte {
	lower := []byte(hex.EncodeToString(key))
	all := [][]byte{key, []byte(url.QueryEscape(string(key))), []byte(url.PathEscape(string(key))), lower, bytes.ToUpper(lower)}
	for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // bytes of whatever stands before it, such as a user's name
			text := coding.EncodeToString(append(make([]byte, before), key...))
			from, to := (before*8+5)/6, (before+len(key))*8/6 // the characters that the key alone decides
			all = append(all, []byte(text[from:to]))
		}
	}
	return all
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
		out = append(out, body[i]) // keys have no control characters
	}
	return out
}
