package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
	"keyvend/infra/testbed"
)

// demoURL is where infra/local says that its demo page is.
func (p *localProcess) demoURL() string {
	for s := bufio.NewScanner(bytes.NewReader(p.out.Bytes())); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) > 0 && strings.HasSuffix(fields[len(fields)-1], "/_demo/") {
			return fields[len(fields)-1]
		}
	}
	p.t.Fatalf("no demo page is printed:\n%s", p.out.Bytes())
	return ""
}

// TestTheDemoPageCanBeClickedThrough goes the whole way of a user's key, from the
// address that infra/local prints.
func TestTheDemoPageCanBeClickedThrough(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(testbed.Tool(t, "web/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	local := startLocal(t, t.TempDir())
	p := browsertest.Open(t)
	p.Visit(local.demoURL())
	save := func(key string) {
		t.Helper()
		p.Paste(key)
		p.Click("button", "Save key")
	}

	p.Click("button", "Connect: Acme Mail")
	p.Find("dialog", "Connect Acme Mail")
	save("sk-canary-fake-revoked-0004")
	p.Says("The provider refuses this key.")
	p.Paste(`export FAKE_API_KEY="sk-canary-fake-valid-0007"`)
	p.Says("The name in front of the key was left out.")
	p.Click("button", "Save key")
	p.Says("Acme Mail: the key is saved, and it works.")
	p.Says("••••0007")

	p.Click("button", "Use the key: Acme Mail")
	p.Says("The backend has read the key.")
	p.Click("button", "Who used it: Acme Mail")
	p.Says("once with Backend of the demo page")

	p.Click("button", "Replace key: Acme Mail")
	p.Find("dialog", "Replace the key of Acme Mail")
	save("sk-canary-fake-limited-0003")
	p.Says("Works with limits")
	p.Click("button", "Replace key: Acme Mail")
	p.Find("dialog", "Replace the key of Acme Mail")
	save("sk-canary-fake-valid-0002")
	p.Says("Acme Mail: the key is saved, and it works.")

	p.Click("button", "Revoke it at the provider: Acme Mail")
	p.Says("Needs a new key")
	p.Click("button", "Use the key: Acme Mail")
	p.Says("keyvend gave the backend no key: needs_reauthorization.")
	p.Click("button", "Make it good again: Acme Mail")
	p.Wait("a key that works", func() bool {
		return !strings.Contains(p.Text(), "Needs a new key") && strings.Contains(p.Text(), "Works")
	})

	p.Click("button", "Connect: Dream Maps")
	p.Find("combobox", "Region (optional)")
	save("sk-canary-fake-valid-eu-0006")
	p.Says("Dream Maps: the key is saved. Dream Maps refused this key, but maybe only because of this setting: Region.") // which was only assumed
	p.Click("button", "Use the key: Dream Maps")
	p.Says("The backend has read the key.")

	p.Click("button", "Disconnect: Acme Mail")
	p.Find("alertdialog", "Disconnect Acme Mail?")
	p.Click("button", "Disconnect")
	p.Says("Acme Mail is disconnected.")

	p.Do("(0, eval)(" + asJavaScript(string(axe)) + ")")
	for _, theme := range []string{"light", "dark"} {
		p.Prefer(theme, true)
		if found := browsertest.Eval[string](p, `axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ")).join("; ")).join("\n"))`); found != "" {
			t.Errorf("%s: %s", theme, found)
		}
	}
	p.Resize(320, 700)
	if wide := browsertest.Eval[int](p, `document.documentElement.scrollWidth`); wide > 320 {
		t.Errorf("the page is %d pixels wide", wide)
	}
	for _, asked := range p.Asked() {
		if _, url, _ := strings.Cut(asked, " "); !strings.HasPrefix(url, local.env["KEYVEND_URL"]) && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asked for %s", asked)
		}
	}

	p.Click("button", "Go to its dashboard")
	p.Says("Pretend Payments")
}

// asJavaScript is a text as a literal of JavaScript.
func asJavaScript(text string) string {
	literal, _ := json.Marshal(text) // a string has no error
	return string(literal)
}
