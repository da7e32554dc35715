package widget_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keyvend/infra/testbed"
	"keyvend/pkg/catalog"
	"keyvend/pkg/paste"
)

// pasteRun is what testdata/paste.mjs reads.
type pasteRun struct {
	Cases   json.RawMessage `json:"cases"`
	Samples []sampleKey     `json:"samples"`
	Texts   []pastedText    `json:"texts"`
	Wrapped []wrappedKey    `json:"wrapped"`
}

// wrappedKey is a key with something round it that people and programs put there.
type wrappedKey struct {
	sampleKey
	Text string `json:"text"`
}

// sampleKey is a text that has the form of a provider's keys.
type sampleKey struct {
	Provider string `json:"provider"`
	Key      string `json:"key"`
}

// pastedText is any text, and what Go says of it: the mistake that it is, and
// whether it looks like a key of a provider.
type pastedText struct {
	Text string          `json:"text"`
	Code string          `json:"code"`
	Like map[string]bool `json:"like"`
}

func TestThePasteGuardKnowsItsCasesAndChangesNoKey(t *testing.T) {
	cases, err := os.ReadFile("../../pkg/paste/testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	run := pasteRun{Cases: cases}
	random := rand.New(rand.NewPCG(1, 2))
	for _, p := range catalog.All() {
		for _, s := range p.KeyShapes {
			for range 20 {
				key := sample(random, s)
				if mistake, found := paste.Spot(key); found {
					t.Errorf("%s: %s is taken for %s", p.Slug, key, mistake.Code)
				}
				for _, known := range []func(string) bool{nil, func(string) bool { return false }} {
					if mistake, found := paste.Wrapped(key, known); found { // also where its form is not known yet
						t.Errorf("%s: %s is taken for %s", p.Slug, key, mistake.Code)
					}
				}
				vendor, _ := p.OtherVendor([]byte(key))
				if doubt, found := paste.Doubt(key, true, vendor); found && doubt != paste.TestKey {
					t.Errorf("%s: of %s is said %s", p.Slug, key, doubt.Sentence)
				}
				run.Samples = append(run.Samples, sampleKey{p.Slug, key})
				run.Texts = append(run.Texts, heard(p, spoilt(random, key)))
				run.Wrapped = append(run.Wrapped, wrapped(t, random, p, key)...)
			}
		}
	}
	for range 3000 {
		text := ""
		for range 1 + random.IntN(5) {
			text += fragments[random.IntN(len(fragments))]
		}
		mistake, _ := paste.Spot(text)
		run.Texts = append(run.Texts, pastedText{text, mistake.Code, map[string]bool{}})
	}
	report(t, run)
}

// fragments are what mistakes are made of.
var fragments = []string{
	" ", "  ", `"`, "'", "`", ",", ";", "$ ", "curl", "curl ", "wget ", " -", "-H", "://", "https://x", "Bearer", "bearer ", "BEARER  ", "Authorization", "authorization: ", ":",
	"sk_kv_", "sk_kv_" + strings.Repeat("canary0000", 10), strings.Repeat("-", 99), "eyJhbGciOiJFZERTQSIsInR5cCI6ImtleXZlbmQt", "d2lkZ2V0", ".", "KEY=", "x", "canary",
}

// wraps are what is put round a key. The widget takes them off, and the API, which
// changes nothing, refuses them.
var wraps = []string{" %", "% ", `"%"`, "'%'", "`%`", `"%",`, "'%';", "Bearer %", "bearer %", "Authorization: Bearer %", "API_KEY=%", `export THE_TOKEN="%"`, "SECRET = '%'", "x-api-key: %", `"apiKey": "%",`, ` KEY="%"`,
	"Authorization: %", "api_key: %", "key: '%',", "api_key = \"%\"", `-H "Authorization: Bearer %"`, "Token %", "set KEY=%", `$env:KEY="%"`, "my key %",
}

// wrapped is a key in one of the wraps, or none where that is a key as well.
func wrapped(t *testing.T, random *rand.Rand, p catalog.Provider, key string) []wrappedKey {
	t.Helper()
	wrap := wraps[random.IntN(len(wraps))]
	text := strings.Replace(wrap, "%", key, 1)
	known := func(s string) bool { return p.LooksLike([]byte(s)) }
	if known(strings.TrimSpace(text)) && strings.TrimSpace(wrap) != "%" {
		return nil
	}
	_, spotted := paste.Spot(text)
	if _, found := paste.Wrapped(text, known); !found && !spotted {
		t.Errorf("%s: the API takes %q", p.Slug, text)
	}
	return []wrappedKey{{sampleKey{p.Slug, key}, text}}
}

// report runs the guard in Node.js and tells what it got wrong.
func report(t *testing.T, run pasteRun) {
	t.Helper()
	node := testbed.Command(t, "node")
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	input := filepath.Join(t.TempDir(), "input.json")
	if err := os.WriteFile(input, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), node, "testdata/paste.mjs", source+"/paste.js", input).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func heard(p catalog.Provider, text string) pastedText {
	mistake, _ := paste.Spot(text)
	return pastedText{text, mistake.Code, map[string]bool{p.Slug: p.LooksLike([]byte(text))}}
}

// spoilt is a key with something done to it that people and programs do.
func spoilt(random *rand.Rand, key string) string {
	at := random.IntN(len(key) + 1)
	for range 1 + random.IntN(2) {
		key = []string{
			key[:min(at, len(key))], key[min(at, len(key)):], key + key,
			strings.ToUpper(key), `"` + key + `"`, "`" + key + "` ", "Bearer " + key, "bearer  " + key, "NAME=" + key,
			"curl -H " + key, "curl https://" + key, "wget " + key, "$ curl " + key + " -x", "sk_kv_" + key, "x sk_kv_" + key,
		}[random.IntN(15)]
	}
	return key
}

// sample makes a text of shape s.
func sample(random *rand.Rand, s catalog.Shape) string {
	var b strings.Builder
	for _, p := range s.Parts {
		switch {
		case p.Optional && random.IntN(2) == 0:
		case p.Text != "":
			b.WriteString(p.Text)
		case len(p.OneOf) > 0:
			b.WriteString(p.OneOf[random.IntN(len(p.OneOf))])
		case len(p.Groups) > 0:
			for i, n := range p.Groups {
				if i > 0 {
					b.WriteByte('-')
				}
				b.WriteString(characters(random, p, n))
			}
		default:
			least, most := max(p.MinLength, p.Length, 1), max(p.MaxLength, p.Length)
			if most == 0 {
				most = least + 40
			}
			b.WriteString(characters(random, p, least+random.IntN(most-least+1)))
		}
	}
	return b.String()
}

// characters are n of the part's alphabet.
func characters(random *rand.Rand, p catalog.Part, n int) string {
	one := catalog.Shape{Parts: []catalog.Part{{Alphabet: p.Alphabet, Extra: p.Extra, Length: 1}}}
	var all []byte
	for c := range byte(128) {
		if one.Matches([]byte{c}) {
			all = append(all, c)
		}
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = all[random.IntN(len(all))]
	}
	return string(b)
}
