package health

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
