package api_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
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
	var cases []struct{ Name, Provider, Text, API, Doubt string }
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
		if told := got.Header.Get("Keyvend-Warning"); c.API != "" && told != "" {
			t.Errorf("%s: refused, and warned of %q", c.Name, told)
		}
		if c.API == "" {
			if value := a.Vend(a.token, c.Provider, "paula").Text("credential.value"); got.Status != http.StatusOK || value != c.Text {
				t.Errorf("%s: %d %s, vended as %q", c.Name, got.Status, got.Body, value)
			}
			told, _, _ := strings.Cut(got.Header.Get("Keyvend-Warning"), ";")
			if told != warnings[c.Doubt] || strings.Contains(got.Header.Get("Keyvend-Warning"), "canary") {
				t.Errorf("%s: warned of %q", c.Name, got.Header.Get("Keyvend-Warning"))
			}
			continue
		}
		if mistake, found := paste.Spot(c.Text); got.Status != http.StatusUnprocessableEntity || found && c.API == mistake.Code && got.Text("message") != mistake.Sentence {
			t.Errorf("%s: %d %s, want %q", c.Name, got.Status, got.Body, mistake.Sentence)
		}
	}
}

// warnings are what the API says of a key that it stores, by what the widget says.
var warnings = map[string]string{
	"other_vendor": "another_vendors_key", "publishable": "publishable_key", "space_inside": "space_inside", "test_key": "test_key",
	"address": "address",
}

func TestAWarningIsInAHeaderWhereverAKeyIsBrought(t *testing.T) {
	const publishable, want = "pk_live_canary00000000000000", `publishable_key;message="This looks like a public key, which cannot do what a secret one can."`
	a := newWidgeted(t, boottest.Config{})
	a.Register(a.token, "stripe")
	body := `{"user_id":"paula","secret":"` + publishable + `"}`
	inline := `"api_key":` + body
	for what, got := range map[string]boottest.Answer{
		"PUT":    a.Do(a.token, "PUT", "/data-integrations/stripe/api-key", body),
		"POST":   a.Do(a.token, "POST", "/data-integrations/stripe/api-key", body),
		"create": a.Do(a.token, "POST", "/data-integrations", `{"provider":"anthropic","enabled":true,"auth_methods":["api_key"],`+inline+`}`),
		"update": a.Do(a.token, "PUT", "/data-integrations/stripe", `{`+inline+`}`),
		"widget": a.Do(a.anna, "PUT", "/_widgets/DataIntegrations/stripe/api-key", `{"secret":"`+publishable+`"}`, "Origin", page),
	} {
		if told := got.Header.Get("Keyvend-Warning"); got.Status/100 != 2 || told != want {
			t.Errorf("%s: %d %s %q", what, got.Status, got.Body, told)
		}
		if shown := got.Header.Get("Access-Control-Expose-Headers"); what == "widget" && !strings.Contains(shown, "Keyvend-Warning") {
			t.Errorf("pages see %s", shown)
		}
	}
}

// Whatever a key is made of, it is vended as it was brought.
func TestAnyPrintableSecretIsStoredAsItIs(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusCreated, a.token, "POST", "/data-integrations",
		`{"provider":"acme","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme"}}`)
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		text := make([]byte, 8+random.IntN(80))
		for i := range text {
			text[i] = byte(' ' + 1 + random.IntN('~'-' '))
		}
		text[0] = 'x' // no quote
		body, err := json.Marshal(map[string]string{"user_id": "paula", "secret": string(text)})
		if err != nil {
			t.Fatal(err)
		}
		a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/acme/api-key", string(body))
		if value := a.Vend(a.token, "acme", "paula").Text("credential.value"); value != string(text) {
			t.Errorf("%q is vended as %q", text, value)
		}
	}
}
