package catalog_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/catalog"
)

//go:generate go test -run TestThePageOfProvidersIsFresh -update .

var update = flag.Bool("update", false, "write PROVIDERS.md anew")

func TestThePageOfProvidersIsFresh(t *testing.T) {
	const file = "PROVIDERS.md"
	want := []byte(providersPage(catalog.All()))
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not say what the catalog says: go generate ./pkg/catalog", file)
	}
}

func TestThePageSaysWhatCountsAsWhat(t *testing.T) {
	p := catalog.Provider{
		Slug: "acme", Name: "Acme", Category: "crm", Confidence: "medium", KeyPage: "https://acme.example/keys", KeyHint: "A key.", Help: "It expires.",
		ConfigFields: settings(), Check: new(catalog.Check), PerMinute: 7,
	}
	*p.Check = judged(t, okRule+`, {"status": 403, "all": [{"path": "a.b[]", "one_of": ["x", "y"]}, {"path": "c", "starts_with": "In"}, {"path": "d", "exists": true}], "verdict": "limited"}`)
	p.Check.Method, p.Check.Body = "POST", "{}"
	p.Check.Headers = map[string]string{"B": "2", "A": "1"}
	page := providersPage([]catalog.Provider{p})
	for _, want := range []string{
		"## Acme\n", "`acme`", "crm", "A key. It expires. [Where to get one](https://acme.example/keys).",
		"`POST https://api.example.com/me`, the key in the header `X-Key: {key}`, with `A: 1`, `B: 2` and the body `{}`", "at most 7 times a minute",
		"the key works: any other 200, 204;", "may not ask this: 403 with `a.b[]` being `x` or `y`, `c` beginning with `In` and a `d`, any other 403;",
		"bad or revoked: 200 with `ok` being `false`, 401, 404.", "`region` (Region): `us` (assumed), `eu`", "`domain` (Host): required, the name of a public host such as `acme.example.com`",
		"`dc` (Data center): from the key, such as `us1`", "Confidence medium", "`on_invalid` is `advise`",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page:\n%s", want, page)
		}
	}
	p.Check, p.Confidence = nil, "high"
	if page := providersPage([]catalog.Provider{p}); !strings.Contains(page, "never checked. Confidence high.\n") {
		t.Error(page)
	}
}

const pageHead = `# The providers of the catalog
Made from [providers](providers) by ` + "`go generate ./pkg/catalog`" + `; a test keeps it so. [README.md](README.md) says what the words mean.

keyvend asks each provider the one question below to learn whether a key still works. What no answer below speaks of says nothing about a key: rate limits, a provider's own failures, redirects, web pages, time-outs. An answer that calls a key bad counts only if nothing in the question was assumed: a key of one region asked in another is no bad key. ` + "`on_invalid`" + ` is what becomes of a key that is found bad, unless the tenant says otherwise: refuse vends it no more, advise tells of it.
`

// providersPage tells of providers in words.
func providersPage(providers []catalog.Provider) string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, p := range providers {
		fmt.Fprintf(&b, "\n## %s\n`%s` · %s\n\n", p.Name, p.Slug, p.Category)
		hint := strings.TrimSpace(p.KeyHint + " " + p.Help)
		fmt.Fprintf(&b, "* **Key:** %s [Where to get one](%s).\n", hint, p.KeyPage)
		if settings := settingsInWords(p.ConfigFields); settings != "" {
			fmt.Fprintf(&b, "* **Settings:** %s.\n", settings)
		}
		if p.Check == nil {
			fmt.Fprintf(&b, "* **Asked:** nothing that is free is known, so that keys are never checked. Confidence %s.\n", p.Confidence)
			continue
		}
		fmt.Fprintf(&b, "* **Asked:** %s; at most %d times a minute.\n", questionInWords(*p.Check), p.ChecksPerMinute())
		fmt.Fprintf(&b, "* **Answers:** %s.\n", answersInWords(*p.Check))
		policy := "advise"
		if p.Trusted() {
			policy = "refuse"
		}
		fmt.Fprintf(&b, "* Confidence %s: `on_invalid` is `%s`.\n", p.Confidence, policy)
	}
	return b.String()
}

func settingsInWords(fields []catalog.ConfigField) string {
	var all []string
	for _, f := range fields {
		var values []string
		if f.Required {
			values = append(values, "required")
		}
		if f.DeriveFromKey != nil {
			values = append(values, "from the key")
		}
		for _, o := range f.Options {
			values = append(values, code(o.Value)+assumed(o.Value == f.Default))
		}
		switch {
		case f.Format != "":
			values = append(values, "the name of a public host such as "+code(f.Example))
		case f.Example != "":
			values = append(values, "such as "+code(f.Example))
		}
		if f.Default != "" && len(f.Options) == 0 {
			values = append(values, code(f.Default)+assumed(true))
		}
		all = append(all, fmt.Sprintf("%s (%s): %s", code(f.Field), f.Label, strings.Join(values, ", ")))
	}
	return strings.Join(all, "; ")
}

func assumed(is bool) string {
	if is {
		return " (assumed)"
	}
	return ""
}

func questionInWords(c catalog.Check) string {
	p := c.Placement
	place := map[string]string{
		catalog.InHeader: "in the header " + code(p.Name+": "+p.Template),
		catalog.InBasic:  "in basic authentication as " + code(p.Template),
		catalog.InQuery:  "in the query as " + code(p.Name+"="+p.Template),
		catalog.InPath:   "before the path as " + code(p.Template),
	}[p.In]
	var beside []string
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		beside = append(beside, code(name+": "+c.Headers[name]))
	}
	if c.Body != "" {
		beside = append(beside, "the body "+code(c.Body))
	}
	words := fmt.Sprintf("%s, the key %s", code(c.Method+" "+c.URL), place)
	if len(beside) > 0 {
		words += ", with " + enumerated(beside, "and")
	}
	return words
}

func answersInWords(c catalog.Check) string {
	var all []string
	for _, v := range []struct {
		verdict  catalog.Verdict
		words    string
		statuses []int
	}{
		{catalog.Valid, "the key works", c.Valid},
		{catalog.Limited, "the key works but may not ask this", c.Limited},
		{catalog.Invalid, "the key is bad or revoked", c.Invalid},
	} {
		var cases []string
		for _, rule := range c.When {
			if rule.Verdict == v.verdict {
				cases = append(cases, ruleInWords(rule))
			}
		}
		for _, status := range v.statuses {
			words := fmt.Sprint(status)
			if slices.ContainsFunc(c.When, func(r catalog.Rule) bool { return r.Status == status }) {
				words = "any other " + words
			}
			cases = append(cases, words)
		}
		if len(cases) > 0 {
			all = append(all, v.words+": "+strings.Join(cases, ", "))
		}
	}
	return strings.Join(all, "; ")
}

func ruleInWords(rule catalog.Rule) string {
	var conditions []string
	for _, c := range rule.All {
		var texts []string
		for _, text := range c.OneOf {
			texts = append(texts, code(text))
		}
		words := "a " + code(c.Path)
		switch {
		case c.Equals != nil:
			words = code(c.Path) + " being " + code(fmt.Sprint(c.Equals))
		case len(texts) > 0:
			words = code(c.Path) + " being " + enumerated(texts, "or")
		case c.StartsWith != "":
			words = code(c.Path) + " beginning with " + code(c.StartsWith)
		}
		conditions = append(conditions, words)
	}
	return fmt.Sprintf("%d with %s", rule.Status, enumerated(conditions, "and"))
}

// enumerated joins texts as a sentence does; there is one at least.
func enumerated(texts []string, word string) string {
	last := len(texts) - 1
	if last == 0 {
		return texts[0]
	}
	return strings.Join(texts[:last], ", ") + " " + word + " " + texts[last]
}

func code(text string) string { return "`" + text + "`" }
