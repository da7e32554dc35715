package paste_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/catalog"
	"keyvend/pkg/paste"
)

func TestWhatCanBeNoKeyIsSpottedAndNothingElse(t *testing.T) {
	text, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Name, Provider, Text, API string }
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	spotted := map[string]bool{}
	for _, c := range cases {
		p, _ := catalog.Lookup(c.Provider)
		mistake, found := paste.Spot(c.Text)
		if !found {
			var known func(string) bool
			if len(p.KeyShapes) > 0 {
				known = func(s string) bool { return p.LooksLike([]byte(s)) }
			}
			mistake, found = paste.Wrapped(c.Text, known)
		}
		spotted[mistake.Code] = true
		// What is not printable is refused before anyone looks what it is.
		if elsewhere := slices.Contains([]string{"required", "forbidden_characters", "too_long"}, c.API); !elsewhere && mistake.Code != c.API {
			t.Errorf("%s: %q, want %q", c.Name, mistake.Code, c.API)
		}
		if found != (mistake.Sentence != "") || strings.Contains(mistake.Sentence, "canary") {
			t.Errorf("%s: %v %q", c.Name, found, mistake.Sentence)
		}
	}
	for _, m := range []paste.Mistake{paste.OwnKey, paste.OwnToken, paste.Command, paste.Bearer, paste.Spaces, paste.Quotes, paste.Name, paste.Nothing, paste.Page} {
		if !spotted[m.Code] {
			t.Errorf("no case of %s", m.Code)
		}
	}
}

// A provider may give out keys of any form tomorrow.
func TestNoKeyThatWasMadeAtRandomIsRefused(t *testing.T) {
	const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	random := rand.New(rand.NewPCG(1, 2))
	for _, alphabet := range []string{base64, base64 + "-_", base64 + "+/=", "abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdef-", base64 + "-_.:=~", "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"} {
		for range 4_000 {
			key := make([]byte, 12+random.IntN(60))
			for i := range key {
				key[i] = alphabet[random.IntN(len(alphabet))]
			}
			for _, known := range []func(string) bool{nil, func(string) bool { return false }} {
				if mistake, found := paste.Wrapped(string(key), known); found {
					t.Errorf("%s is taken for %s", key, mistake.Code)
				}
			}
		}
	}
}

// FuzzSpot: what is spotted has a sentence that repeats nothing of it, what is
// spotted stays so in spaces and quotes, and no key that is known is found wrapped.
func FuzzSpot(f *testing.F) {
	for _, text := range []string{"", "sk-canary", `"sk_kv_canary"`, "Authorization: Bearer x", "$ curl -x", "`wget a://`", `A="sk-canary",`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mistake, found := paste.Spot(text)
		if found != (mistake.Code != "") || found != (mistake.Sentence != "") {
			t.Errorf("%q: %v %v", text, mistake, found)
		}
		if again, _ := paste.Spot(text); again != mistake {
			t.Errorf("%q: %v and then %v", text, mistake, again)
		}
		if in, _ := paste.Spot("  " + text + "  "); found && in != mistake {
			t.Errorf("%q in spaces: %v", text, in)
		}
		if mistake, found := paste.Wrapped(text, func(string) bool { return true }); found {
			t.Errorf("%q is known, and has %v", text, mistake)
		}
	})
}
