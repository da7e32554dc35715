package dashboard_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

// choose picks an option of a list by its text.
func choose(t *testing.T, p *browsertest.Page, list, option string) {
	t.Helper()
	p.Find("combobox", list)
	chosen := browsertest.Eval[bool](p, fmt.Sprintf(`(() => {
		const label = [...document.querySelectorAll("label")].filter((l) => l.textContent === %q && l.checkVisibility()).at(-1);
		const select = document.getElementById(label.htmlFor);
		const option = [...select.options].find((o) => o.text === %q);
		if (!option) return false;
		select.value = option.value;
		select.dispatchEvent(new Event("change", { bubbles: true }));
		return true;
	})()`, list, option))
	if !chosen {
		t.Fatalf("%s has no %q", list, option)
	}
}

func TestConnectingAProviderOfTheCatalog(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	p.Says("No provider is connected yet. Connect one")
	p.Click("link", "Connect a provider")
	p.Says("95 providers of 95")
	p.Fill("searchbox", "Search (optional)", "ANTHRO")
	p.Says("1 provider of 95")
	p.Click("link", "Anthropic")
	p.Find("heading", "Connect Anthropic")
	p.Says("One for each provider, and final: it cannot be changed later.")
	if p.Find("radio", "API key").Is("checked") != "true" || p.Find("radio", "OAuth").Is("disabled") != "true" {
		t.Error("another method than API keys can be chosen")
	}
	p.Fill("textbox", "Description (optional)", "Used to <b>summarize</b> your documents.")
	if shown := browsertest.Eval[string](p, `document.querySelector(".widget .described").textContent`); shown != "Used to <b>summarize</b> your documents." {
		t.Errorf("the preview shows %q", shown)
	}
	p.Click("button", "Connect")
	p.Says("Anthropic is connected. Users can bring their keys now.")
	p.Find("heading", "Anthropic")
	p.Says("No account is connected yet.")
	got := s.send("GET", "/data-integrations/anthropic", nil)
	if got["enabled"] != true || got["description"] != "Used to <b>summarize</b> your documents." || fmt.Sprint(got["auth_methods"]) != "[api_key]" {
		t.Errorf("connected as %v", got)
	}
	s.at(p, "connect")
	p.Fill("searchbox", "Search (optional)", "anthropic")
	p.Says("connected already")

	// What the catalog does not have is defined, under the name that was looked for.
	p.Fill("searchbox", "Search (optional)", " Zzzz Überpost ")
	p.Says("0 providers of 95")
	p.Click("link", "Define Zzzz Überpost as a provider of your own")
	p.Find("heading", "Define a provider")
	const first = `[...document.querySelectorAll("main input[type=text]")].slice(0, 2).map((field) => field.value).join(" | ")`
	if got := browsertest.Eval[string](p, first); got != "Zzzz Überpost | zzzz-uberpost" {
		t.Errorf("name and slug are %q", got)
	}

	// Who does not enable it does so later.
	s.at(p, "connect/linear")
	p.Click("checkbox", "Switch it on at once")
	p.Click("button", "Connect")
	p.Says("Linear is connected. Switch it on when users may bring their keys.")
	p.Click("switch", "Vend keys of Linear")
	p.Says("Linear is on: keys are vended, and users see it in the widget.")
}

func TestAProviderThatIsConnectedIsConnectedOnceAndItsPageIsShownTheWay(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "connect/linear")
	p.Find("heading", "Connect Linear")
	s.connect("linear") // in another tab
	p.Click("button", "Connect")
	p.Says("Linear is connected already. See its page, among the integrations.")
	if text := p.Text(); strings.Contains(text, "PUT, or DELETE") {
		t.Errorf("the API's words are for others: %s", text)
	}
	s.at(p, "integrations/linear")
	p.Find("heading", "Linear")
	p.Do(`history.back()`) // also to the address of the form
	p.Find("heading", "Connect Linear")
	p.Says("Linear is connected already.")
	p.Gone("button", "Connect")
	p.Click("link", "Go to its page")
	p.Find("heading", "Linear")
}

func TestDefiningAProviderOfOnesOwn(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "custom-provider")
	p.Fill("textbox", "Name", "Fake Région")
	if slug := p.Find("textbox", "Slug").Value; slug != "fake-region" {
		t.Errorf("the slug of the name is %q", slug)
	}
	p.Fill("textbox", "Which key to bring (optional)", "A key that begins with fake-.")
	p.Click("button", "Add setting")
	p.Type("region") // the focus is where the new setting begins
	p.Fill("textbox", "Label", "Region")
	p.Fill("textbox", "What to enter", "Where your account is.")
	choose(t, p, "Values", "One of a list")
	p.Fill("textbox", "The list (optional)", "us = United States\neu")
	p.Fill("textbox", "Default (optional)", "us")
	p.Click("checkbox", "Check keys")
	p.Fill("textbox", "URL", "https://{region}.region.fake-providers.example:8443/v1/account")
	p.Click("button", "Connect")

	p.Says("The provider is there already, switched off. Correct this and send it again")
	if invalid := p.Find("textbox", "URL").Is("invalid"); invalid != "true" {
		t.Error("what is wrong with the URL is not said beside it")
	}
	if got := s.send("GET", "/data-integrations/fake-region", nil); got["enabled"] != false {
		t.Error("users see a provider whose definition was refused")
	}
	p.Fill("textbox", "Name", "Fake region")
	p.Fill("textbox", "URL", "https://{region}.region.fake-providers.example/v1/account")
	p.Click("button", "Connect")

	p.Says("Fake region is connected.")
	got := s.send("GET", "/keyvend/integrations/fake-region", nil)
	check := got["check"].(object)
	if got["name"] != "Fake region" || check["url"] != "https://{region}.region.fake-providers.example/v1/account" ||
		fmt.Sprint(check["placement"]) != "map[in:header name:Authorization template:Bearer {key}]" || fmt.Sprint(check["valid"], check["invalid"]) != "[200] [401]" {
		t.Errorf("defined as %v", got)
	}
	if fields := fmt.Sprint(got["config_fields"]); fields != "[map[default:us description:Where your account is. field:region label:Region options:[map[label:United States value:us] map[label:eu value:eu]] required:false]]" {
		t.Errorf("with the settings %s", fields)
	}
	if made := s.send("GET", "/data-integrations/fake-region", nil); made["enabled"] != true {
		t.Error("it is not switched on")
	}
}

func TestADefinitionComesBackAsItWasFromAFormThatNobodyTouched(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.send("POST", "/data-integrations", object{"provider": "acme", "auth_methods": []string{"api_key"}, "custom_provider": object{"name": "Acme"}})
	s.send("PATCH", "/keyvend/integrations/acme", []byte(`{
		"key_hint": "A key.", "help_url": "https://acme.example/keys",
		"config_fields": [
			{"field": "shop", "label": "Shop", "description": "Its name.", "required": true, "example": "12-3", "shapes": [{"parts": [{"alphabet": "digits", "extra": "-", "min_length": 2, "max_length": 9}]}]},
			{"field": "host", "label": "Host", "description": "Its host.", "required": false, "default": "api.acme.example", "example": "api.eu.acme.example", "format": "hostname"},
			{"field": "odd", "label": "Odd", "description": "Odd.", "required": false, "example": "ab-1", "shapes": [{"name": "two parts", "parts": [{"text": "ab-"}, {"alphabet": "digits", "optional": true}]}]},
			{"field": "dc", "label": "Center", "description": "After the hyphen.", "required": false, "options": [{"value": "us1", "label": "US"}, {"value": "us2", "label": "US = two"}]}
		],
		"check": {
			"placement": {"in": "query", "name": "token", "template": "v-{key}"}, "method": "POST", "url": "https://{host}/me",
			"headers": {"Accept": "application/json", "X-Shop": "{shop}"}, "body": "{\"a\": 1}", "valid": [200, 201], "limited": [403],
			"when": [
				{"status": 401, "all": [{"path": "a.b[].c", "equals": 7}, {"path": "d", "one_of": ["x", "y"]}], "verdict": "invalid"},
				{"status": 400, "all": [{"path": "e", "starts_with": "no "}, {"path": "f", "exists": true}, {"path": "g", "equals": false}, {"path": "h", "equals": "text"}], "verdict": "limited"}
			]
		}
	}`))
	before := s.send("GET", "/keyvend/integrations/acme", nil)
	p := s.signedIn()
	s.at(p, "integrations/acme")
	p.Says("Change the definition")
	browsertest.Eval[bool](p, `document.querySelector("details:has(form)").open = true`)
	p.Click("button", "Save provider")
	p.Says("The provider is saved.")
	after := s.send("GET", "/keyvend/integrations/acme", nil)
	for _, member := range []string{"name", "key_hint", "help_url", "config_fields", "check"} {
		if fmt.Sprint(before[member]) != fmt.Sprint(after[member]) {
			t.Errorf("%s was\n%v\nand is\n%v", member, before[member], after[member])
		}
	}
}

func TestWhatAnIntegrationDoesIsSwitchedFrozenAndChanged(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	p.Click("switch", "Vend keys of OpenAI")
	p.Says("OpenAI is off")
	if p.Find("switch", "Vend keys of OpenAI").Is("checked") != "false" || s.send("GET", "/data-integrations/openai", nil)["enabled"] != false {
		t.Error("it is on")
	}
	p.Click("link", "OpenAI")
	p.Click("button", "Freeze OpenAI")
	p.Click("button", "Freeze")
	p.Says("Reason is missing.")
	p.Fill("textbox", "Reason", "a key leaked")
	p.Click("button", "Freeze")
	p.Says("Frozen since")
	if frozen := s.send("GET", "/keyvend/integrations/openai/freeze", nil); frozen["reason"] != "a key leaked" {
		t.Errorf("frozen: %v", frozen)
	}
	s.at(p, "")
	p.Find("heading", "Integrations")
	p.Says("Frozen")
	s.at(p, "integrations/openai")
	p.Find("heading", "OpenAI")
	p.Click("button", "Unfreeze OpenAI")
	p.Says("OpenAI is not frozen any more.")

	choose(t, p, onSave, warns)
	choose(t, p, onRefusal, advises)
	p.Fill("textbox", "Checks every", "5m")
	p.Click("button", "Save checks")
	p.Says("check_interval is off, or minutes or hours such as 90m or 24h, from 15m to 720h.")
	p.Fill("textbox", "Checks every", "90m")
	p.Click("button", "Save checks")
	p.Says("Saved: how keys are checked.")
	got := s.send("GET", "/keyvend/integrations/openai", nil)
	if fmt.Sprintf("%v %v %v", got["verify_on_save"], got["on_invalid"], got["check_interval"]) != "warn advise 90m" {
		t.Errorf("defined as %v", got)
	}
}

func TestNoNameOrReasonTurnsTheDirectionOfWhatIsRead(t *testing.T) {
	t.Parallel()
	s := open(t)
	const turned = "gnp\u202Egnp.exe\u2066"
	s.send("POST", "/data-integrations", object{
		"provider": "turned", "auth_methods": []string{"api_key"}, "enabled": true,
		"custom_provider": object{"name": "Turned"}, "description": "for " + turned,
	})
	for _, name := range []string{turned, "A\u202E"} { // which would stand in every list
		if _, status, _ := s.try("PUT", "/data-integrations/turned", object{"custom_provider": object{"name": name}}); status != 422 {
			t.Errorf("%q is taken: %d", name, status)
		}
	}
	s.send("PUT", "/keyvend/integrations/turned/freeze", object{"reason": "as " + turned})
	p := s.signedIn()
	s.at(p, "integrations/turned")
	p.Says(`as gnp\u202egnp.exe\u2066`)
	const shown = `document.title + document.body.innerText + [...document.querySelectorAll("[aria-label]")].map((e) => e.ariaLabel).join("")`
	if text := browsertest.Eval[string](p, shown); strings.ContainsAny(text, "\u202E\u2066") {
		t.Errorf("what turns the direction is on the page: %q", text)
	}
}

func TestTwoKeysWorkAndOneWorks(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fake()
	p := s.signedIn()
	for i, words := range []string{"1 works", "2 work"} {
		id := s.store("fake-bearer", fmt.Sprint("user_", i), fmt.Sprint("sk-canary-fake-valid-000", i))
		s.send("POST", "/keyvend/accounts/"+id+"/check", nil)
		p.Wait(words, func() bool {
			all, _ := json.Marshal(s.send("GET", "/keyvend/accounts", nil))
			return strings.Count(string(all), `"verdict":"valid"`) == i+1
		})
		s.at(p, "accounts")
		p.Find("heading", "Accounts")
		s.at(p, "integrations")
		p.Find("heading", "Integrations")
		p.Says(words)
	}
	if strings.Contains(p.Text(), "2 works") {
		t.Error("2 works")
	}
}

func TestRemovingAProviderTellsWhatGoesAndWantsItsSlug(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	for i := range 3 {
		s.store("openai", fmt.Sprintf("user_%d", i), "sk-canary-of-somebody")
	}
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Click("button", "Remove OpenAI")
	p.Says("3 accounts go with it")
	p.Fill("textbox", "Write its slug, openai, to remove it", "open")
	p.Click("button", "Remove")
	p.Says("This is not its slug. Write openai.")
	p.Press("Escape")
	p.Gone("dialog", "")
	if focus := p.Focused().Name; focus != "Remove OpenAI" {
		t.Errorf("the focus is on %q", focus)
	}
	p.Press("Enter")
	p.Fill("textbox", "Write its slug, openai, to remove it", "openai")
	p.Click("button", "Remove")
	p.Says("OpenAI is removed, with 3 accounts.")
	p.Says("No provider is connected yet.")
}

func TestAProviderThatIsRemovedMeanwhileIsSaidToBe(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Click("button", "Remove OpenAI")
	p.Fill("textbox", "Write its slug, openai, to remove it", "openai")
	s.send("DELETE", "/data-integrations/openai", nil) // in another tab
	p.Click("button", "Remove")
	p.Says("OpenAI was removed already.")
	p.Says("No provider is connected yet.")
	p.Gone("dialog", "")
}

func TestCountsStopAtAHundred(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	for i := range 101 {
		s.store("openai", fmt.Sprintf("user_%d", i), "sk-canary-of-somebody")
	}
	p := s.signedIn()
	p.Says("100+ accounts")
	p.Says("100 not checked yet")
	asked := 0
	for _, r := range p.Requests() {
		if strings.Contains(r.URL, "/keyvend/accounts") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("%d requests to count", asked)
	}
}

func TestASettingThatIsNotOnTheListAnyMoreIsShownAsItIs(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.send("POST", "/data-integrations", object{
		"provider": "acme", "auth_methods": []string{"api_key"}, "enabled": true, "custom_provider": object{"name": "Acme"},
	})
	fields := func(values ...string) object {
		options := []object{}
		for _, v := range values {
			options = append(options, object{"value": v, "label": v})
		}
		return object{"config_fields": []object{
			{"field": "region", "label": "Region", "description": "Where it is.", "required": true, "options": options},
			{"field": "constructor", "label": "Builder", "description": "Who built it.", "required": false, "example": "ada", "shapes": []object{{"parts": []object{{"alphabet": "lower_letters"}}}}},
		}}
	}
	s.send("PATCH", "/keyvend/integrations/acme", fields("moon", "mars"))
	id := s.store("acme", "ada", "canary-0000-0000", object{"config": object{"region": "mars"}})
	s.send("PATCH", "/keyvend/integrations/acme", fields("moon", "venus"))
	p := s.signedIn()
	s.at(p, "accounts/"+id)
	p.Says("Region mars Builder none")
}

func TestAFormWhoseAnswerWasLostIsSentAgainOrCorrected(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	lose := `{
		const real = window.fetch;
		window.fetch = async (address, asked) => {
			const answer = await real(address, asked);
			if (asked.method !== "POST") return answer;
			window.fetch = real;
			throw new TypeError("the answer is lost");
		};
	}`
	s.at(p, "connect/linear")
	p.Find("heading", "Connect Linear")
	p.Do(lose)
	p.Click("button", "Connect")
	p.Says("keyvend cannot be reached.")
	p.Fill("textbox", "Description (optional)", "Corrected.")
	p.Click("button", "Connect")
	p.Says("Linear is connected already.")
	if strings.Contains(p.Text(), "Idempotency-Key") {
		t.Error("people are told of an Idempotency-Key")
	}
	p.Fill("textbox", "Description (optional)", "")
	p.Click("button", "Connect")
	p.Says("Linear is connected.")

	s.at(p, "custom-provider")
	p.Fill("textbox", "Name", "Acme")
	p.Do(lose)
	p.Click("button", "Connect")
	p.Says("keyvend cannot be reached.")
	p.Click("button", "Connect")
	p.Says("Acme is connected.")
}
