package widget_test

import (
	"slices"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

const openAIKey = "sk-canary-0123456789abcdef0123"

// field is what the field for the key holds.
func field(p *browsertest.Page) string {
	return browsertest.Eval[string](p, `document.querySelector("keyvend-pipes").shadowRoot.querySelector("#secret").value`)
}

func TestWhatIsPastedRoundAKeyIsTakenOffAndTold(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: OpenAI")
	p.Find("dialog", "Connect OpenAI")
	for pasted, says := range map[string]string{
		"Bearer " + openAIKey:                         "“Bearer” is no part of the key and was left out.",
		"export OPENAI_API_KEY='" + openAIKey + "'\n": "Spaces around the key were left out. The name in front of the key was left out. The quotation marks around the key were left out.",
		"\u200b" + openAIKey:                          "Invisible characters were left out.",
	} {
		p.Press("Control+a")
		p.Paste(pasted)
		p.Says(says)
		if got := field(p); got != openAIKey {
			t.Errorf("%q becomes %q", pasted, got)
		}
	}

	// A user may know better.
	p.Press("Control+a")
	p.Paste("CANARYKEY=canary+000000")
	p.Click("button", "Leave it as I pasted it")
	p.Says("This does not look like a key of OpenAI.")
	if got, focused := field(p), p.Focused(); got != "CANARYKEY=canary+000000" || focused.Name != "API key" {
		t.Errorf("left as %q, the focus is on %q", got, focused.Name)
	}
	p.Click("button", "Save it anyway")
	p.Gone("dialog", "Connect OpenAI")
	if keys := k.keys(); len(keys) != 1 || keys[0]["secret"] != "CANARYKEY=canary+000000" {
		t.Errorf("stored: %v", keys)
	}
	calm(t, p)
}

func TestAKeyIsNeverChanged(t *testing.T) {
	k := newKeyvend(t)
	k.offer("telegram-bot", nil)
	k.offer("acme", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	for name, key := range map[string]string{"Telegram bot": "123456789:canary0-_00000000000000000000000000", "acme": "canary=:/+ with a space=="} {
		p.Click("button", "Connect: "+name)
		p.Find("dialog", "Connect "+name)
		p.Paste(key)
		p.Press("Enter")
		p.Gone("dialog", "Connect "+name)
		if keys := k.keys(); keys[len(keys)-1]["secret"] != key {
			t.Errorf("%s becomes %v", key, keys[len(keys)-1])
		}
	}
}

func TestWhatCanBeNoKeyIsNotSent(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: OpenAI")
	p.Find("dialog", "Connect OpenAI")
	for pasted, says := range map[string]string{
		"curl https://api.openai.com/v1/models -H 'Authorization: Bearer " + openAIKey + "'": "This is a whole command. Copy the key alone.",
		"sk_kv_" + strings.Repeat("canary0000", 10):                                          "This key belongs to the server of this app, not to you.",
		openAIKey + "\n" + openAIKey:                                                         "This is more than one line.",
		"OPENAI_API_KEY=" + openAIKey + "\nSTRIPE_KEY=x\n":                                   "This is more than one line.",
		"sk-…0123": "This looks like a shortened form of a key.",
	} {
		p.Press("Control+a")
		p.Paste(pasted)
		p.Says(says)
		if text := p.Text(); strings.Contains(text, "Leave it as I pasted it") || strings.Contains(text, "left out") {
			t.Errorf("%q: the page says %s", pasted, text)
		}
		p.Wait("a field that is not right", func() bool { return p.Find("textbox", "API key").Is("invalid") == "true" })
		p.Press("Enter")
	}
	p.Press("Control+a", "Delete", "Enter")
	p.Says("API key is missing.")
	if keys := k.keys(); len(keys) > 0 {
		t.Errorf("stored: %v", keys)
	}
}

func TestADoubtIsToldBeforeAnythingIsSent(t *testing.T) {
	k := newKeyvend(t)
	k.offer("anthropic", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: Anthropic")
	p.Find("dialog", "Connect Anthropic")
	p.Type(openAIKey) // while someone is typing, everything is half a key
	if says := p.Text(); strings.Contains(says, "looks like") {
		t.Errorf("the page says %s", says)
	}
	p.Press("Enter")
	p.Says("This looks like a key of OpenAI, not of Anthropic.")
	if keys := k.keys(); len(keys) > 0 {
		t.Fatalf("stored: %v", keys)
	}
	if description := p.Find("textbox", "API key").Description; !strings.Contains(description, "looks like a key of OpenAI") {
		t.Errorf("the field is described as %q", description)
	}
	p.Click("button", "Save it anyway")
	p.Gone("dialog", "Connect Anthropic")
	if keys := k.keys(); len(keys) != 1 {
		t.Errorf("stored: %v", keys)
	}
}

func TestSettingsGoWithAKey(t *testing.T) {
	k := newKeyvend(t)
	k.offer("datadog", account("datadog", "0000", object{"config": object{"site": "datadoghq.eu"}}))
	k.offer("freshdesk", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))

	p.Click("button", "Connect: Freshdesk")
	p.Find("dialog", "Connect Freshdesk")
	p.Paste("canary00000000000000")
	p.Press("Enter")
	p.Says("Subdomain is missing.")
	if focused := p.Focused(); focused.Name != "Subdomain" || focused.Is("required") != "true" || !strings.Contains(focused.Description, "before .freshdesk.com") {
		t.Errorf("the focus is on %v", focused)
	}
	p.Type(" acme ")
	p.Press("Enter")
	p.Gone("dialog", "Connect Freshdesk")

	p.Click("button", "Replace key: Datadog")
	if site := p.Find("combobox", "Site (optional)"); site.Value != "EU1 (datadoghq.eu)" {
		t.Errorf("the site is %v", site)
	}
	p.Paste("0123456789abcdef0123456789abcdef")
	p.Click("button", "Save key")
	p.Gone("dialog", "Replace the key of Datadog")

	keys := k.keys()
	if len(keys) != 2 {
		t.Fatalf("stored: %v", keys)
	}
	for i, want := range []object{{"subdomain": "acme"}, {"site": "datadoghq.eu"}} {
		config, _ := keys[i]["config"].(object)
		for name, value := range want {
			if len(config) != len(want) || config[name] != value {
				t.Errorf("the settings are %v", config)
			}
		}
	}
	if slices.ContainsFunc(k.keys(), func(o object) bool { return o["secret"] == "" }) {
		t.Error("an empty key was stored")
	}
}

// A region that nobody chose is none that the key was refused in.
func TestASettingThatIsLeftOpenIsNotSent(t *testing.T) {
	k := newKeyvend(t)
	k.offer("posthog", nil)
	k.offer("gitlab-pat", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	for _, c := range []struct{ slug, name, role, label, says string }{
		{"posthog", "PostHog", "combobox", "Region (optional)", "Not sure (United States is assumed)"},
		{"gitlab-pat", "GitLab", "textbox", "Host (optional)", "Not sure (gitlab.com is assumed)"},
	} {
		p.Click("button", "Connect: "+c.name)
		p.Find("dialog", "Connect "+c.name)
		p.Find(c.role, c.label)
		if says := pipes[string](p, `((at) => at.placeholder ?? at.selectedOptions[0].label)(e.shadowRoot.querySelector("form .field:nth-child(2) :is(select, input)"))`); says != c.says {
			t.Errorf("%s: the setting says %q", c.slug, says)
		}
		p.Paste("canary-" + strings.Repeat("0", 40))
		p.Click("button", "Save it anyway")
		p.Gone("dialog", "Connect "+c.name)
		keys := k.keys()
		if config, _ := keys[len(keys)-1]["config"].(object); len(config) != 0 {
			t.Errorf("%s: sent: %v", c.slug, config)
		}
	}
	calm(t, p)
}

func TestASettingThatIsNoOptionAnyMoreIsChosenAnew(t *testing.T) {
	k := newKeyvend(t)
	fields := []object{{
		"field": "region", "label": "Region", "description": "Where it is.", "required": false, "default": "moon",
		"options": []object{{"value": "moon", "label": "Moon"}, {"value": "venus", "label": "Venus"}},
	}}
	k.offer("acme", account("acme", "0000", object{"config": object{"region": "mars"}}), object{"config_fields": fields})
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Replace key: acme")
	p.Find("dialog", "Replace the key of acme")
	p.Find("combobox", "Region (optional)")
	if region := pipes[string](p, `e.shadowRoot.querySelector("select").selectedOptions[0].label`); region != "Not sure (Moon is assumed)" {
		t.Errorf("the region is %q", region)
	}
}

func TestAServiceOrSettingMayBeCalledLikeAMemberOfEveryObject(t *testing.T) {
	k := newKeyvend(t)
	fields := []object{{"field": "constructor", "label": "Builder", "description": "Who built it.", "required": false, "format": "hostname"}}
	k.offer("constructor", account("constructor", "0000"), object{"config_fields": fields})
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Replace key: constructor")
	p.Find("dialog", "Replace the key of constructor")
	if builder := p.Find("textbox", "Builder (optional)"); builder.Value != "" {
		t.Errorf("the builder is %q", builder.Value)
	}
	p.Paste("canary00000000000000")
	p.Press("Enter")
	p.Says("constructor: the key is saved.")
	if config, _ := k.keys()[0]["config"].(object); len(config) != 0 {
		t.Errorf("the settings are %v", config)
	}
	for _, r := range p.Requests() {
		if strings.Contains(r.URL, "function") || strings.Contains(r.URL, "native") {
			t.Errorf("asked: %v", r)
		}
	}
	calm(t, p)
}

func TestATextThatIsFarTooLongIsNotLookedThrough(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: OpenAI")
	p.Find("dialog", "Connect OpenAI")
	p.Paste(strings.Repeat("bearer ", 100_000))
	p.Says("This is longer than any key. Copy the key alone.")
	if left := field(p); left != "" {
		t.Errorf("the field holds %d characters", len(left))
	}
	p.Press("Enter")
	if keys := k.keys(); len(keys) != 0 {
		t.Errorf("stored: %d", len(keys))
	}
}
