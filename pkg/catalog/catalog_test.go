package catalog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/catalog"
)

var slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func TestCatalogKnowsAllProvidersOfThisRelease(t *testing.T) {
	want := strings.Fields(`
		airtable anthropic apify apollo asana ashby assemblyai brevo brex buildkite cal-com calendly
		circleci clerk clickup close cloudflare coda cohere datadog deepgram deepseek digitalocean
		discord-bot doppler easypost elevenlabs exa figma firecrawl fireworks freshdesk github-pat
		gitlab-pat google-gemini grafana groq honeycomb hubspot huggingface hunter incident-io intercom
		klaviyo langsmith launchdarkly lemonsqueezy linear lob loops mailchimp mailgun mistral monday
		netlify newrelic notion openai openrouter opsgenie paddle pagerduty pandadoc perplexity pinecone
		pipedrive posthog postman postmark readwise replicate resend sendgrid sentry shippo shopify
		shortcut slack-bot snyk sparkpost square stability stripe supabase tailscale tavily telegram-bot
		telnyx terraform-cloud todoist together typeform vercel wise xai`)
	if len(want) != 95 {
		t.Fatalf("the test lists %d providers, not 95", len(want))
	}
	for _, slug := range want {
		if !catalog.Has(slug) {
			t.Errorf("%s is missing: a slug that was released is not taken away", slug)
		}
	}
}

func TestAllIsSortedBySlugWithoutRepeats(t *testing.T) {
	all := catalog.All()
	files, err := os.ReadDir("providers")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(files) {
		t.Errorf("%d providers of %d files", len(all), len(files))
	}
	for i, p := range all {
		if i > 0 && all[i-1].Slug >= p.Slug {
			t.Errorf("%s stands before %s", all[i-1].Slug, p.Slug)
		}
		if !slugForm.MatchString(p.Slug) {
			t.Errorf("%q cannot be a slug", p.Slug)
		}
	}
}

func TestLookupAndListingGiveTheSameProviders(t *testing.T) {
	for _, p := range catalog.All() {
		got, ok := catalog.Lookup(p.Slug)
		if !ok || !reflect.DeepEqual(got, p) {
			t.Errorf("%s: looked up %+v, listed %+v", p.Slug, got, p)
		}
	}
}

func TestWhatACallerDoesToAnAnswerReachesNoOther(t *testing.T) {
	all := catalog.All()
	all[0].Slug = "changed"
	if catalog.All()[0].Slug == "changed" {
		t.Error("a change in one listing shows in the next")
	}
	p, _ := catalog.Lookup("mailchimp")
	p.ConfigFields[0].Field, p.KeyShapes[0].Parts[0].Length = "changed", 1
	if q, _ := catalog.Lookup("mailchimp"); reflect.DeepEqual(p, q) {
		t.Error("a change in one answer shows in the next")
	}
}

func TestUnknownSlugIsNotInTheCatalog(t *testing.T) {
	for _, slug := range []string{
		"", "nobody", "OpenAI", "openai ", "openai.json", "openai/", "/openai", "./openai", "../providers/openai",
		"openai\x00", "*", "open*", "..", "\xff", strings.Repeat("a", 1<<16),
	} {
		if _, ok := catalog.Lookup(slug); ok || catalog.Has(slug) {
			t.Errorf("%.40q is in the catalog", slug)
		}
	}
}

func TestProviderIsServedWithListsWhereItHasNothing(t *testing.T) {
	p, _ := catalog.Lookup("exa") // which has no check either
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"key_shapes":[]`, `"config_fields":[]`, `"auth_methods":["api_key"]`} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	if bytes.Contains(b, []byte("check")) {
		t.Errorf("%s says something of a check", b)
	}
}

func TestAProviderIsAskedAtItsOwnPaceOrAtTheUsualOne(t *testing.T) {
	for slug, want := range map[string]int{"huggingface": 10, "stripe": 60, "exa": 60} {
		if p, _ := catalog.Lookup(slug); p.ChecksPerMinute() != want {
			t.Errorf("%s: %d a minute", slug, p.ChecksPerMinute())
		}
	}
	if got := (catalog.Provider{Slug: "acme"}).ChecksPerMinute(); got != 60 {
		t.Errorf("a custom provider: %d a minute", got)
	}
}

func TestOnlyHighConfidenceIsTrusted(t *testing.T) {
	for confidence, want := range map[string]bool{"high": true, "medium": false, "low": false, "": false} {
		if got := (catalog.Provider{Confidence: confidence}).Trusted(); got != want {
			t.Errorf("%q: %v", confidence, got)
		}
	}
}

func TestFieldIsFoundByItsNameOnly(t *testing.T) {
	p, _ := catalog.Lookup("shopify")
	if f, ok := p.Field("shop"); !ok || f.Label != "Shop name" {
		t.Errorf("got %+v, %v", f, ok)
	}
	if f, ok := p.Field("Shop name"); ok {
		t.Errorf("got %+v", f)
	}
}

// The budgets have room for a few more fields an entry, none for decoding a
// second entry.
func TestAnswersStayWithinTheirAllocationBudget(t *testing.T) {
	largest := slices.MaxFunc(catalog.All(), func(a, b catalog.Provider) int { return size(a) - size(b) })
	for name, c := range map[string]struct {
		budget float64
		call   func()
	}{
		"Has":                         {4, func() { catalog.Has("openai") }},
		"Lookup of an unknown slug":   {8, func() { catalog.Lookup("nobody") }},
		"Lookup of a common entry":    {60, func() { catalog.Lookup("openai") }},
		"Lookup of the largest entry": {130, func() { catalog.Lookup(largest.Slug) }},
		"All after the first":         {1, func() { catalog.All() }},
	} {
		if got := testing.AllocsPerRun(50, c.call); got > c.budget {
			t.Errorf("%s (largest: %s): %v allocations, the budget is %v", name, largest.Slug, got, c.budget)
		}
	}
}

func size(p catalog.Provider) int { return len(fmt.Sprint(p)) }

func TestImportingCostsNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A process that imports the package and runs no test at all.
	child := exec.Command(self, "-test.run=^$")
	child.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	trace, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	if !bytes.Contains(trace, []byte("init runtime ")) {
		t.Fatalf("no trace of initialization:\n%s", trace)
	}
	budget := " 0 bytes, 0 allocs"
	if testing.CoverMode() != "" {
		budget = " 1 allocs" // that of the coverage counters
	}
	for line := range strings.Lines(string(trace)) {
		if strings.HasPrefix(line, "init keyvend/pkg/catalog ") && !strings.Contains(line, budget) {
			t.Error(line)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, slug := range []string{"openai", "google-gemini", "", "../providers/openai", "openai.json", "a\x00"} {
		f.Add(slug)
	}
	f.Fuzz(func(t *testing.T, slug string) {
		p, ok := catalog.Lookup(slug)
		if ok != catalog.Has(slug) {
			t.Errorf("%q: Lookup and Has do not agree", slug)
		}
		if ok && (p.Slug != slug || !slugForm.MatchString(slug)) {
			t.Errorf("%q gives %q", slug, p.Slug)
		}
	})
}

func BenchmarkHas(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		catalog.Has("openai")
	}
}

func BenchmarkLookup(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		catalog.Lookup("openai")
	}
}

func BenchmarkLooksLike(b *testing.B) {
	p, _ := catalog.Lookup("openai")
	key := []byte("sk-canary-" + strings.Repeat("x", 154))
	b.ReportAllocs()
	for b.Loop() {
		p.LooksLike(key)
	}
}
