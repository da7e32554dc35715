package health

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/ident"
	"keyvend/pkg/secret"
)

type says struct {
	status int
	body   string
}

func (s says) Ask(context.Context, catalog.Ask) (Answer, error) {
	return Answer{Status: s.status, ContentType: "application/json", Body: []byte(s.body)}, nil
}

func TestF60_RulesReadNoKeyOutOfAnAnswerThatEchoesIt(t *testing.T) {
	const key = `sk-canary-/"<+0123456789`
	escaped, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	unicode := ""
	for _, r := range key {
		unicode += fmt.Sprintf(`\u%04x`, r)
	}
	bodies := map[string]string{
		"as it is":    `{"told":` + strings.ReplaceAll(string(escaped), `\u003c`, "<") + `}`,
		"escaped":     `{"told":` + string(escaped) + `}`,
		"all escaped": `{"told":"Bearer ` + unicode + `"}`,
		"slashes":     `{"told":"` + strings.ReplaceAll(strings.ReplaceAll(key, `"`, `\"`), "/", `\/`) + `"}`,
		"in a URL":    `{"told":"https://api.acme.example/?key=sk-canary-%2F%22%3C%2B0123456789"}`,
		"hexadecimal": fmt.Sprintf(`{"told":"%x"}`, key),
		"upper case":  fmt.Sprintf(`{"told":"%X"}`, key),
		"in capitals": `{"told":"` + strings.ToUpper(strings.ReplaceAll(key, `"`, `\"`)) + `"}`,
		"lower case":  `{"told":"?key=sk-canary-%2f%22%3c%2b0123456789"}`,
		"component":   `{"told":"sk-canary-%2F%22%3C+0123456789"}`,
		"twice":       `{"told":"?next=%2F%3Fkey%3Dsk-canary-%252F%2522%253C%252B0123456789"}`,
		"entities":    `{"told":"sk-canary-/&quot;&#60;&#x2b;0123456789"}`,
		"broken":      `{"told":"sk-canary-/\"<+\n 0123456789"}`,
		"in parts":    `{"id":"sk-c","told":"anary-/\"<+0123456789"}`,
	}
	for _, before := range []string{"", "u", "us", "use", "user:"} {
		for after := range 3 {
			text := before + key + strings.Repeat("~", after)
			bodies[fmt.Sprintf("base64 after %q before %d", before, after)] = `{"told":"Basic ` + base64.StdEncoding.EncodeToString([]byte(text)) + `"}`
			bodies[fmt.Sprintf("base64url after %q before %d", before, after)] = `{"told":"` + base64.RawURLEncoding.EncodeToString([]byte(text)) + `"}`
		}
	}
	ask := func(p catalog.Provider, status int, body, key string) Verdict {
		e := Examiner{Asker: says{status, body}, Clock: ident.Clock(func() time.Time { return time.Unix(1e9, 0) })}
		return e.Examine(t.Context(), p, nil, secret.FromString(key)).Verdict
	}
	provider := catalog.Provider{
		Check: &catalog.Check{
			Placement: catalog.Placement{In: "header", Name: "Authorization", Template: "Bearer {key}"}, Method: "GET", URL: "https://api.acme.example/echo",
			Limited: []int{200}, Invalid: []int{401, 403}, When: []catalog.Rule{
				{Status: 200, All: []catalog.Condition{{Path: "told", Exists: true}}, Verdict: catalog.Valid},
				{Status: 403, All: []catalog.Condition{{Path: "told", StartsWith: "s"}}, Verdict: catalog.Limited},
			},
		},
	}
	look := func(body, key string) Verdict { return ask(provider, 200, body, key) }
	for name, body := range bodies {
		if got := look(body, key); got != catalog.Limited {
			t.Errorf("%s: a rule found the answer %s", name, got)
		}
		if got := look(body, "sk-canary-of-somebody-else"); got != catalog.Valid {
			t.Errorf("%s: no rule found an answer without the key: %s", name, got)
		}
	}
	if got := ask(provider, 401, bodies["as it is"], key); got != catalog.Invalid {
		t.Errorf("a status that no rule looks into is %s", got)
	}
	if got := ask(provider, 403, bodies["as it is"], key); got != Unknown {
		t.Errorf("a refusal of which a rule might say more is %s", got)
	}
	curated := provider
	curated.Confidence = "low"
	if got := ask(curated, 200, bodies["as it is"], key); got != catalog.Valid {
		t.Errorf("a rule of the catalog's finds the answer %s", got)
	}
	for _, short := range []string{"k", "k0", "k-0"} {
		if got := look(`{"told":"`+short+`"}`, short); got != catalog.Limited {
			t.Errorf("a rule read the short key %s: %s", short, got)
		}
	}
	if got := look(`<html>`+key, key); got != Unknown {
		t.Errorf("a web page that holds the key is %s", got)
	}
}

// dice makes keys and answers, the same ones each time.
type dice struct{ *rand.Rand }

func (d dice) text(alphabet string, least, most int) string {
	text := make([]byte, least+d.IntN(most-least+1))
	for i := range text {
		text[i] = alphabet[d.IntN(len(alphabet))]
	}
	return string(text)
}

func (d dice) key() string {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alphabets := []string{digits + "abcdef", digits + letters, digits + letters + "-_", digits + letters + "+/=", digits + letters + ".:~"}
	return "sk-canary-" + d.text(alphabets[d.IntN(len(alphabets))], 1, 100)
}

// part is a piece of the key of at least so many characters, or all of it.
func (d dice) part(key string, least int) string {
	length := min(len(key), least+d.IntN(len(key)))
	from := d.IntN(len(key) - length + 1)
	return key[from : from+length]
}

// coded is a text as it is, in hexadecimal or in base64, with something round it.
func (d dice) coded(text string) string {
	text = d.text("user:", 0, 5) + text + d.text("~!", 0, 5)
	codings := []func(string) string{
		func(s string) string { return s },
		func(s string) string { return hex.EncodeToString([]byte(s)) },
		func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	}
	return codings[d.IntN(len(codings))](text)
}

// spelled is a text as JSON has it, with some of its characters written otherwise.
func (d dice) spelled(text string) string {
	ways := []string{"%c", `\u%04x`, "%%%02X", "&#%d;", "&#x%x;", "%%25%02x", "%c "}
	way := ways[d.IntN(len(ways))]
	said := ""
	for _, r := range text {
		if d.IntN(3) == 0 {
			said += fmt.Sprintf(way, r)
			continue
		}
		said += string(r)
	}
	return said
}

func TestF60_NoRuleSeesTwentyCharactersOfAKeyInARowHoweverOftenTheyAreCoded(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(60, 7))}
	for range 3000 {
		key := d.key()
		part := d.part(key, 20)
		text := d.coded(d.coded(part))
		body := `{"ok":true,"told":["` + d.spelled(text) + `"]}`
		if !echoes([]byte(body), secret.FromString(key)) {
			t.Fatalf("a rule may read %q of %q in %s", part, key, body)
		}
	}
}

func TestF60_WhatProvidersSayOfKeysSoThatPeopleTellThemApartIsNoEcho(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(60, 8))}
	for range 3000 {
		key := d.key() + d.text("0123456789abcdef", 40, 40)
		pieces := []string{key[:d.IntN(20)], d.part(key, 1)[:1], key[len(key)-d.IntN(20):]}
		body := `{"name":"Canary","hint":"` + strings.Join(pieces, []string{"...", "…", "********", `","last":"`}[d.IntN(4)]) + `"}`
		if echoes([]byte(body), secret.FromString(key)) {
			t.Fatalf("%s is taken for %q", body, key)
		}
	}
	for key, body := range map[string]string{
		"sk-ant-api03-R2Dcanary0123456789canary0123456789igAA": `{"id":"apikey_01Rj2N8SVvo6BePZj99NhmiT","partial_key_hint":"sk-ant-api03-R2D...igAA","status":"active"}`,
		"sk-proj-canary0123456789canary0123456789wxyz":         `{"error":{"message":"Incorrect API key provided: sk-proj-********************************wxyz.","code":"invalid_api_key"}}`,
		"AC0123456789:sk-canary-0123456789":                    `{"id":"AC0123456789","name":"Canary","status":"active"}`,
	} {
		if echoes([]byte(body), secret.FromString(key)) {
			t.Errorf("%s is taken for an echo", body)
		}
	}
}
