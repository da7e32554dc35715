package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/paste"
)

// The cases are the widget's too; what it takes off, the API never touches.
func TestASecretIsStoredAsItWasSentOrRefusedWithASentence(t *testing.T) {
	text, err := os.ReadFile("../paste/testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Name, Provider, Text, API string }
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusCreated, a.token, "POST", "/data-integrations",
		`{"provider":"acme","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme"}}`)
	registered := map[string]bool{"acme": true, "openai": true}
	for _, c := range cases {
		if !registered[c.Provider] {
			a.Register(a.token, c.Provider)
			registered[c.Provider] = true
		}
		body, err := json.Marshal(map[string]string{"user_id": "paula", "secret": c.Text})
		if err != nil {
			t.Fatal(err)
		}
		got := a.Do(a.token, "PUT", "/data-integrations/"+c.Provider+"/api-key", string(body))
		if c.API == "" {
			if value := a.Vend(a.token, c.Provider, "paula").Text("credential.value"); got.Status != http.StatusOK || value != c.Text {
				t.Errorf("%s: %d %s, vended as %q", c.Name, got.Status, got.Body, value)
			}
			continue
		}
		if mistake, found := paste.Spot(c.Text); got.Status != http.StatusUnprocessableEntity || found && c.API == mistake.Code && got.Text("message") != mistake.Sentence {
			t.Errorf("%s: %d %s, want %q", c.Name, got.Status, got.Body, mistake.Sentence)
		}
	}
}
