package paste_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/paste"
)

func TestWhatCanBeNoKeyIsSpottedAndNothingElse(t *testing.T) {
	text, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Name, Text, API string }
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	spotted := map[string]bool{}
	for _, c := range cases {
		mistake, found := paste.Spot(c.Text)
		spotted[mistake.Code] = true
		// What is not printable is refused before anyone looks what it is.
		if elsewhere := slices.Contains([]string{"required", "forbidden_characters", "too_long"}, c.API); !elsewhere && mistake.Code != c.API {
			t.Errorf("%s: %q, want %q", c.Name, mistake.Code, c.API)
		}
		if found != (mistake.Sentence != "") || strings.Contains(mistake.Sentence, "canary") {
			t.Errorf("%s: %v %q", c.Name, found, mistake.Sentence)
		}
	}
	for _, m := range []paste.Mistake{paste.OwnKey, paste.OwnToken, paste.Command, paste.Bearer} {
		if !spotted[m.Code] {
			t.Errorf("no case of %s", m.Code)
		}
	}
}
