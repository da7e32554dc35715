package api_test

import (
	"net/http"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
)

func TestWhoFreezesWithoutAReasonIsToldTheWholeCallAtOnce(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, path := range []string{"/keyvend/freeze", "/keyvend/integrations/openai/freeze", "/keyvend/organizations/org/freeze"} {
		sentences := map[string]bool{}
		for body, status := range map[string]int{
			"":                   http.StatusBadRequest,
			`{"reason":["why"]}`: http.StatusBadRequest,
			`{"reason":7}`:       http.StatusBadRequest,
			`{}`:                 http.StatusUnprocessableEntity,
			`{"reason":""}`:      http.StatusUnprocessableEntity,
			`{"reason":null}`:    http.StatusUnprocessableEntity,
		} {
			got := a.Must(status, a.token, "PUT", path, body)
			sentences[got.Text("message")] = true
			if !strings.Contains(got.Text("message"), `{"reason": "…"}`) {
				t.Errorf("%s %q: %s", path, body, got.Body)
			}
		}
		if len(sentences) != 1 {
			t.Errorf("%s: %v", path, sentences)
		}
		if got := a.Must(http.StatusOK, a.token, "GET", path, ""); !strings.Contains(got.Body, `"frozen":false`) {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
	a.vends(t, key)
}

func TestAnOriginThatIsWrittenTwiceIsStoredOnce(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	got := a.Must(http.StatusOK, a.token, "PUT", "/keyvend/settings",
		`{"allowed_origins":["https://b.example.com","https://a.example.com","https://b.example.com"]}`)
	if want := `"allowed_origins":["https://b.example.com","https://a.example.com"]`; !strings.Contains(got.Body, want) {
		t.Errorf("%s, not %s", got.Body, want)
	}
}
