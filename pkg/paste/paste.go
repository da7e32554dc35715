// Package paste knows what people and programs put by mistake where a
// provider's key belongs. It refuses only what can be a key of no provider, or what a
// key of the provider in question stands in, and warns of what may be meant:
// everything is taken as it is, and nothing is ever changed on the way.
//
// The widget warns of more while a user types, and takes off what stands round a
// key; testdata/cases.json has both, and holds both to the same rules.
package paste

import (
	"regexp"
	"strings"
)

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
	Spaces   = Mistake{"surrounding_spaces", "secret has spaces before or behind the key. Send the key alone."}
	Quotes   = Mistake{"quoted_key", "secret has quotation marks round the key. Send the key alone."}
	Nothing  = Mistake{"placeholder", "secret only stands for a key, or is empty but for what is round a key: a variable without its value, or a text that says where the key goes. Send the key itself."}
	Page     = Mistake{"address", "secret is the address of a page, which no key of this provider is. Send the key itself."}
	Name     = Mistake{"named_key", "secret has a name before the key. Send the key alone, without the name of a variable or header."}
)

// What may be meant. OtherVendor wants the name of the vendor added.
var (
	OtherVendor = Mistake{"another_vendors_key", "This looks like a key of another provider"}
	Publishable = Mistake{"publishable_key", "This looks like a public key, which cannot do what a secret one can."}
	SpaceInside = Mistake{"space_inside", "There is a space in this key. Look whether it is the key alone."}
	Address     = Mistake{"address", "This is an address, which few keys are."}
	TestKey     = Mistake{"test_key", "This looks like a test key, which works with test data alone."}
)

var (
	publishable = regexp.MustCompile(`^(?:pk_(?:live|test)_|(?:live|test)_pub_|phc_|sb_publishable_|pk\.eyJ)`)
	testKey     = regexp.MustCompile(`^(?:[a-z]{2,10}_)?(?:test|sdbx|sandbox)_|^EZTK`)
)

// Doubt reports what is odd about a key that is taken all the same, false when
// nothing is. known says that it looks like one of the provider's keys, vendor whose
// it looks like else, "" being nobody's.
func Doubt(key string, known bool, vendor string) (Mistake, bool) {
	switch {
	case !known && publishable.MatchString(key):
		return Publishable, true
	case vendor != "":
		return Mistake{OtherVendor.Code, OtherVendor.Sentence + ": " + vendor + "."}, true
	case address.MatchString(key):
		return Address, true
	case strings.Contains(key, " "):
		return SpaceInside, true
	case testKey.MatchString(key):
		return TestKey, true
	}
	return Mistake{}, false
}

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

// unquoted takes off quotes, and the comma or semicolon behind them.
func unquoted(s string) string {
	for _, quote := range []string{`"`, "'", "`"} {
		inside, opened := strings.CutPrefix(s, quote)
		if inside, closed := strings.CutSuffix(strings.TrimRight(inside, ",;"), quote); opened && closed {
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
	name, rest, _ := strings.Cut(s, " ")
	name = strings.TrimSuffix(name, ".exe")
	return (name == "curl" || name == "wget") && (strings.Contains(rest, "://") || strings.HasPrefix(rest, "-") || strings.Contains(rest, " -"))
}

// bearerWord also stands behind the name of the header that it is in.
var bearerWord = regexp.MustCompile(`(?i)^(?:authorization *: *)?bearer `)

func bearer(s string) bool { return bearerWord.MatchString(s) }

// Wrapped reports what a key of a provider is wrapped in, or that there is none in it,
// and false when text is none or is the key alone. known tells what looks like a key of
// the provider's, nil being that nobody knows: only what is found inside proves that
// the rest is no part of it. Some prove themselves: spaces, which no header keeps,
// quotes round the whole, names of variables, and what headers and settings of keys
// are called where no key goes on so.
func Wrapped(text string, known func(string) bool) (Mistake, bool) {
	formed := known != nil
	if !formed {
		known = func(string) bool { return false }
	}
	bare := strings.TrimSpace(text)
	inside := unquoted(bare)
	switch {
	case known(text): // alone
	case bare != text:
		return Spaces, true
	case nothing.MatchString(bare):
		return Nothing, true
	case quoted(bare), inside != bare && known(inside):
		return Quotes, true
	case variable.MatchString(bare), labelled.MatchString(bare), known(unnamed(bare)), known(unnamed(inside)):
		return Name, true
	case formed && address.MatchString(bare):
		return Page, true
	}
	return Mistake{}, false
}

// quoted reports whether the same quote is at both ends of s.
func quoted(s string) bool {
	return len(s) > 2 && strings.ContainsRune("\"'`", rune(s[0])) && s[len(s)-1] == s[0]
}

var (
	// nothing has no letter and no digit, is a word that programs and examples have in
	// a key's place, or the name of a variable that was left empty.
	nothing = regexp.MustCompile(`(?i)^(?:[^a-z0-9]*|bearer|token|undefined|null|\{\{.*\}\}|\$\{\w+\}|\W?(?:your|insert|replace)[-_ a-z]*(?:key|token|secret)[-_ a-z]*\W?|[a-z_]*(?:key|token|secret) *[:=] *["']*)$`)
	// variable is what a variable for a key is called, and that it is set.
	variable = regexp.MustCompile(`^(?:[A-Z0-9]+_[A-Z0-9_]*(?:KEY|TOKEN|SECRET)[A-Z0-9_]*|[A-Z0-9]*(?:KEY|TOKEN|SECRET)[A-Z0-9]*_[A-Z0-9_]*) *= *[^ =]`)
	// labelled is a variable with the word that sets it, a header with its option, or a
	// name that says what it is of, with a space or a quote where no key has one.
	labelled = regexp.MustCompile(`(?i)^(?:(?:export +|set +|\$env:)\w+ *=|(?:-H|--header) *["']|["']?[\w.-]*(?:authorization|key|token|secret)["']?(?: *[:=] *["']| *: | += )|token +[^ ]+$)`)
	// naming is a line of a shell, of a .env file, of JSON, or a header.
	naming  = regexp.MustCompile(`^(?:export +|set +|\$env:)?["']?[A-Za-z][\w .-]{0,63}?["']?(?:\s*[:=]\s*| +)(\S+)$`)
	address = regexp.MustCompile(`(?i)^https?://`)
)

func unnamed(s string) string {
	if found := naming.FindStringSubmatch(s); found != nil {
		return unquoted(found[1])
	}
	return s
}
