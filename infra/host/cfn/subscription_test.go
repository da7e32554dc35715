package cfn

import "testing"

func TestASubscriptionPassesTheLinesThatItNamesAndOtherPatternsAreAnError(t *testing.T) {
	s, err := newSubscription(map[string]any{"LogGroupName": "g", "FilterPattern": `{ $.log = "audit" }`})
	if err != nil || s.LogGroup != "g" {
		t.Fatal(s, err)
	}
	for line, want := range map[string]bool{
		`{"log":"audit"}`: true, `{"a":{"log":"x"},"log":"audit"}`: true,
		`{"log":"audits"}`: false, `{"log":["audit"]}`: false, `{"a":{"log":"audit"}}`: false, `["audit"]`: false, `{"log":"audit"`: false, ``: false,
	} {
		if got := s.Passes([]byte(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	for _, pattern := range []any{nil, "", "audit", `{ $.log = "a*" }`, `{ $.a.b = "c" }`, `{ $.a = "b" && $.c = "d" }`, `{ $.n = 1 }`} {
		if _, err := newSubscription(map[string]any{"LogGroupName": "g", "FilterPattern": pattern}); err == nil {
			t.Errorf("%v is taken", pattern)
		}
	}
}
