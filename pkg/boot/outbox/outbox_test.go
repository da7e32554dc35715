package outbox

import (
	"strings"
	"testing"
)

func TestAMissingVariableIsNamedAndHasNoDefault(t *testing.T) {
	whole := map[string]string{"KEYVEND_TABLE": "t", "KEYVEND_EVENT_BUS": "b", "KEYVEND_ASIDE_QUEUE": "https://sqs/1/q"}
	from := func(missing string) func(string) string {
		return func(name string) string {
			if name == missing {
				return ""
			}
			return whole[name]
		}
	}
	for name := range whole {
		if _, err := fromEnv(t.Context(), from(name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	c, err := configFrom(from(""))
	if want := (Config{Table: "t", EventBus: "b", Aside: "https://sqs/1/q"}); err != nil || c != want {
		t.Errorf("%+v %v", c, err)
	}
}

func TestTheFunctionIsMadeWithoutACallAndWithoutAKMSKey(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	function, err := fromEnv(t.Context(), func(name string) string {
		return map[string]string{"KEYVEND_TABLE": "t", "KEYVEND_EVENT_BUS": "b", "KEYVEND_ASIDE_QUEUE": "https://sqs/1/q"}[name]
	})
	if err != nil || function == nil {
		t.Error(err)
	}
}
