package widget_test

import (
	"encoding/json"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

func TestAUserConnectsReplacesAndDisconnectsAKey(t *testing.T) {
	k := newKeyvend(t)
	k.offer("linear", nil, object{"description": "Used to create issues."})
	p := browsertest.Open(t)
	p.Visit(k.element(""))

	p.Says("Used to create issues.")
	p.Says("Not connected")
	p.Click("button", "Connect: Linear")
	p.Find("dialog", "Connect Linear")
	link := p.Find("link", "Where do I find it? (opens in a new tab)")
	if url := link.Is("url"); url != "https://linear.app/settings/account/security" {
		t.Errorf("the link leads to %s", url)
	}
	key := "lin_api_" + strings.Repeat("canary00", 5)
	p.Fill("textbox", "API key", key)
	p.Click("button", "Save key")
	p.Gone("dialog", "Connect Linear")
	p.Says("Linear: the key is saved. It will be checked soon.")
	p.Says("ry00")
	p.Says("Connected since")
	p.Says("Not checked yet")
	if focused := p.Focused(); focused.Name != "Replace key: Linear" {
		t.Errorf("the focus is on %q", focused.Name)
	}

	p.Click("button", "Replace key: Linear")
	p.Says("The key that is stored ends with")
	p.Fill("textbox", "API key", key[:len(key)-4]+"0002")
	p.Click("button", "Save key")
	p.Gone("dialog", "Replace the key of Linear")
	p.Says("0002")

	p.Click("button", "Disconnect: Linear")
	p.Find("alertdialog", "Disconnect Linear?")
	if focused := p.Focused(); focused.Name != "Cancel" {
		t.Errorf("the focus is on %q", focused.Name)
	}
	p.Click("button", "Disconnect")
	p.Gone("alertdialog", "Disconnect Linear?")
	p.Says("Linear is disconnected.")
	p.Find("button", "Connect: Linear")

	keys := k.keys()
	if len(keys) != 2 || keys[0]["secret"] != key || keys[1]["secret"] != key[:len(key)-4]+"0002" {
		t.Errorf("stored: %v", keys)
	}
	calm(t, p)
}

// calm checks that the browser had nothing to complain about.
func calm(t *testing.T, p *browsertest.Page) {
	t.Helper()
	if console := p.Console(); len(console) > 0 {
		t.Errorf("the console has %s", strings.Join(console, "\n"))
	}
}

// quoted is s in JavaScript.
func quoted(s string) string {
	text, _ := json.Marshal(s) // a string has no error
	return string(text)
}
