// Package paste knows what people and programs put by mistake where a
// provider's key belongs. It names only what can be a key of no provider:
// everything else is taken as it is, and nothing is ever changed on the way.
//
// The widget warns of more while a user types, and takes off what stands round a
// key; testdata/cases.json has both, and holds both to the same rules.
package paste

import "strings"

// Mistake is what a text is instead of a key.
type Mistake struct {
	Code     string
	Sentence string // what to do about it; it repeats nothing of the text
}

// The mistakes.
var (
	OwnKey   = Mistake{"keyvend_api_key", "secret is an API key of keyvend itself, not a key of the provider. Bring the key that the user got from the provider, and revoke this one if a user had it."}
	OwnToken = Mistake{"keyvend_token", "secret is a widget token or a session of keyvend itself, not a key of the provider. Bring the key that the user got from the provider."}
	Command  = Mistake{"whole_command", "secret is a whole command. Send the key alone, as the provider shows it."}
	Bearer   = Mistake{"bearer_prefix", `secret begins with "Bearer", which a header has before a key and no key has. Send the key alone.`}
)

// Spot reports what text is instead of a key, false when it may be one.
func Spot(text string) (Mistake, bool) {
	bare := unquoted(strings.TrimSpace(text))
	switch {
	case ownKey(bare):
		return OwnKey, true
	case strings.Contains(bare, ownHeader):
		return OwnToken, true
	case command(bare):
		return Command, true
	case bearer(bare):
		return Bearer, true
	}
	return Mistake{}, false
}

func unquoted(s string) string {
	for _, quote := range []string{`"`, "'", "`"} {
		inside, opened := strings.CutPrefix(s, quote)
		if inside, closed := strings.CutSuffix(inside, quote); opened && closed {
			return strings.TrimSpace(inside)
		}
	}
	return s
}

// Package apikey draws the token. Cut short or spoilt it is no less a mistake, so
// what follows the prefix at the beginning does not matter.
const (
	ownPrefix = "sk_kv_"
	ownLength = 106
)

// ownHeader begins the header of every token of package session: {"alg":"EdDSA",
// "typ":"keyvend-, without a space, in base64url.
const ownHeader = "eyJhbGciOiJFZERTQSIsInR5cCI6ImtleXZlbmQt"

// ownKey also finds a whole token behind something else: a name, a header.
func ownKey(s string) bool {
	if strings.HasPrefix(s, ownPrefix) {
		return true
	}
	for {
		_, behind, found := strings.Cut(s, ownPrefix)
		if !found {
			return false
		}
		if n := ownLength - len(ownPrefix); len(behind) >= n && !strings.ContainsFunc(behind[:n], notBase64URL) {
			return true
		}
		s = behind
	}
}

func notBase64URL(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !letter && (r < '0' || '9' < r) && r != '-' && r != '_'
}

// command wants an address or an option besides: the word alone proves nothing.
func command(s string) bool {
	s = strings.TrimPrefix(s, "$ ")
	return (strings.HasPrefix(s, "curl ") || strings.HasPrefix(s, "wget ")) &&
		(strings.Contains(s, "://") || strings.Contains(s, " -"))
}

func bearer(s string) bool {
	const word = "Bearer "
	return len(s) >= len(word) && strings.EqualFold(s[:len(word)], word)
}
