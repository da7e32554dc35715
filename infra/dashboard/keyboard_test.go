package dashboard_test

import (
	"fmt"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

// tabbable are the controls that the Tab key has to reach: those of the dialog, if
// one is open.
const tabbable = `[...(document.querySelector("dialog:modal") ?? document).querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
	.filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled && !(e.type === "radio" && !e.checked))`

// tabbing notes what the focus comes to from now on, and where it is not seen. It
// says how often Tab has to be pressed to go round, by way of the document.
const tabbing = `(() => {
	document.activeElement.blur();
	window.reached = new Set();
	window.unseen = [];
	window.tabbing?.abort();
	window.tabbing = new AbortController();
	addEventListener("focusin", ({ target }) => {
		window.reached.add(target);
		const { outlineStyle, outlineWidth } = getComputedStyle(target);
		if (outlineStyle !== "solid" || outlineWidth !== "3px") window.unseen.push(target.outerHTML);
	}, { signal: window.tabbing.signal });
	const places = 7; // in a time
	return 3 + ` + tabbable + `.reduce((sum, e) => sum + (e.type === "datetime-local" ? places : 1), 0);
})()`

// unreached presses Tab through a page, and names what that does not come to, or
// where nobody sees it. What it finds has to be there again: a page that is still
// at work moves the focus by itself.
func unreached(p *browsertest.Page) string {
	if passed(p) == "" {
		return ""
	}
	return passed(p)
}

func passed(p *browsertest.Page) string {
	p.Tab(browsertest.Eval[int](p, tabbing))
	return browsertest.Eval[string](p, `[...`+tabbable+`.filter((e) => !window.reached.has(e)).map((e) => "not reached: " + e.outerHTML), ...window.unseen.map((e) => "not seen: " + e)].join(", ")`)
}

// named is what the focus is on: the control's label or text.
const named = `(() => {
	const e = document.activeElement;
	return (e.ariaLabel ?? e.labels?.[0]?.textContent ?? e.textContent).trim();
})()`

// tabTo presses Tab, or Shift+Tab, until the focus is on the control of that name.
func tabTo(t *testing.T, p *browsertest.Page, name string, key ...string) {
	t.Helper()
	if len(key) == 0 {
		key = []string{"Tab"}
	}
	var passed []string
	for range 150 {
		p.Press(key...)
		now := browsertest.Eval[string](p, named)
		if now == name {
			return
		}
		passed = append(passed, now)
	}
	t.Fatalf("Tab does not come to %q, but to %q", name, passed)
}

// focused waits until the focus is on the control or heading of that name.
func focused(p *browsertest.Page, name string) {
	p.Wait("the focus on "+name, func() bool { return browsertest.Eval[string](p, named) == name })
}

// arrived waits until the focus is on a page's heading: the menu's link has the same
// name.
func arrived(p *browsertest.Page, heading string) {
	p.Wait("the page "+heading, func() bool {
		return browsertest.Eval[string](p, "document.activeElement.tagName") == "H1" && browsertest.Eval[string](p, named) == heading
	})
}

func TestEverythingCanBeDoneWithTheKeyboard(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := browsertest.Open(t)
	p.Visit(s.url + page)
	p.Find("heading", "Sign in to keyvend")
	tabTo(t, p, "API key")
	p.Type(s.desk)
	p.Press("Enter")
	arrived(p, "Integrations")

	// A provider is connected.
	tabTo(t, p, "Connect a provider")
	p.Press("Enter")
	arrived(p, "Connect a provider")
	tabTo(t, p, "Search (optional)")
	p.Type("openai")
	p.Says("1 provider of 95")
	tabTo(t, p, "OpenAI")
	p.Press("Enter")
	arrived(p, "Connect OpenAI")
	tabTo(t, p, "Description (optional)")
	p.Type("For your summaries.")
	tabTo(t, p, "Connect")
	p.Press("Enter")
	p.Says("OpenAI is connected.")
	arrived(p, "OpenAI")

	// It is switched off and on, and frozen; Escape undoes nothing and the focus goes
	// back to where it came from.
	for _, says := range []string{"OpenAI is off", "OpenAI is on"} {
		if says == "OpenAI is off" {
			tabTo(t, p, "Vend keys of OpenAI")
		}
		p.Press("Space")
		p.Says(says)
		focused(p, "Vend keys of OpenAI")
	}
	tabTo(t, p, "Freeze OpenAI")
	p.Press("Enter")
	focused(p, "Reason")
	p.Press("Escape")
	p.Gone("dialog", "")
	focused(p, "Freeze OpenAI")
	p.Press("Enter")
	focused(p, "Reason")
	p.Type("a key leaked")
	tabTo(t, p, "Freeze")
	p.Press("Enter")
	p.Says("OpenAI is frozen")
	focused(p, "Unfreeze OpenAI")
	p.Press("Enter")
	p.Says("OpenAI is not frozen any more.")
	focused(p, "Freeze OpenAI")

	// How its keys are checked is changed.
	tabTo(t, p, onSave)
	p.Press("ArrowDown")
	tabTo(t, p, "Save checks")
	p.Press("Enter")
	p.Says("Saved: how keys are checked.")
	if got := s.send("GET", "/keyvend/integrations/openai", nil)["verify_on_save"]; got != "warn" {
		t.Errorf("verify_on_save is %v", got)
	}

	// An account is found and disconnected.
	s.store("openai", "user_1", "sk-canary-of-user-1")
	s.store("openai", "user_2", "sk-canary-of-user-2")
	tabTo(t, p, "Accounts", "Shift+Tab")
	p.Press("Enter")
	arrived(p, "Accounts")
	tabTo(t, p, "User id (optional)")
	p.Type("user_2")
	p.Press("Enter")
	p.Gone("link", "user_1")
	arrived(p, "Accounts")
	tabTo(t, p, "user_2")
	p.Press("Enter")
	arrived(p, "user_2 at openai")
	tabTo(t, p, "Disconnect")
	p.Press("Enter")
	focused(p, "Cancel")
	tabTo(t, p, "Disconnect", "Shift+Tab")
	p.Press("Enter")
	p.Says("user_2 is disconnected from openai.")

	// An organization's switch.
	tabTo(t, p, "Organizations", "Shift+Tab")
	p.Press("Enter")
	arrived(p, "Organizations")
	tabTo(t, p, "Organization id")
	p.Type("org_1")
	p.Press("Enter")
	arrived(p, "Organization org_1")
	tabTo(t, p, "OpenAI for org_1")
	p.Press("Space")
	p.Says("OpenAI is not allowed any more for org_1.")

	// An API key is issued and revoked.
	tabTo(t, p, "API keys", "Shift+Tab")
	p.Press("Enter")
	arrived(p, "API keys")
	tabTo(t, p, "Name")
	p.Type("reporting")
	tabTo(t, p, "Read: look, and change nothing.")
	p.Press("Space")
	tabTo(t, p, "Issue")
	p.Press("Enter")
	p.Find("dialog", "The new API key")
	p.Press("Escape", "Escape") // only who has stored it leaves
	p.Find("dialog", "The new API key")
	tabTo(t, p, "I have stored it")
	p.Press("Enter")
	p.Says("reporting is issued.")
	tabTo(t, p, "Revoke reporting", "Shift+Tab")
	p.Press("Enter")
	focused(p, "Cancel")
	tabTo(t, p, "Revoke", "Shift+Tab")
	p.Press("Enter")
	p.Says("reporting is revoked.")
	arrived(p, "API keys") // its button is gone

	// Origins, and the way out.
	tabTo(t, p, "Settings", "Shift+Tab")
	p.Press("Enter")
	arrived(p, "Settings")
	tabTo(t, p, "Origins, one in a line (optional)")
	p.Type("https://app.example.com")
	tabTo(t, p, "Save origins")
	p.Press("Enter")
	p.Says("The origins are saved.")

	// The provider is removed, from the page's beginning, past its menu.
	tabTo(t, p, "Integrations", "Shift+Tab")
	p.Press("Enter")
	arrived(p, "Integrations")
	tabTo(t, p, "Skip to the page", "Shift+Tab")
	p.Press("Enter")
	if on := browsertest.Eval[string](p, "document.activeElement.id"); on != "main" {
		t.Errorf("the menu is not skipped: the focus is on %q", on)
	}
	tabTo(t, p, "OpenAI")
	p.Press("Enter")
	arrived(p, "OpenAI")
	tabTo(t, p, "Remove OpenAI")
	p.Press("Enter")
	p.Says("1 account goes with it")
	p.Type("openai")
	p.Press("Enter")
	p.Says("OpenAI is removed, with 1 account.")
	tabTo(t, p, "Sign out", "Shift+Tab")
	p.Press("Enter")
	p.Find("heading", "Sign in to keyvend")
	for _, line := range p.Console() {
		if !strings.Contains(line, "status of 4") {
			t.Error(line)
		}
	}
}

func TestALatePageTakesTheFocusFromNobodyWhoWentOn(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	tabTo(t, p, "Accounts", "Shift+Tab")
	wait, release := hold(p, "GET", "/keyvend/accounts")
	p.Press("Enter")
	wait()
	tabTo(t, p, "Events")
	release()
	p.Find("heading", "Accounts")
	focused(p, "Events")
	p.Press("Enter")
	arrived(p, "Events")
}

func TestALateAnswerAsksNobodyToSignInWhoSignedOut(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.send("DELETE", "/keyvend/sessions", nil)
	wait, release := hold(p, "GET", "/keyvend/freeze")
	p.Click("link", "Settings")
	wait()
	p.Find("dialog", "Sign in again")
	p.Press("Escape")
	p.Says("Your session has ended.")
	release()
	p.Fill("textbox", "API key", s.desk)
	p.Press("Enter")
	p.Find("heading", "Integrations")
	if open := browsertest.Eval[int](p, "document.querySelectorAll('dialog').length"); open != 0 {
		t.Error(fmt.Sprint(open, " dialogs are there"))
	}
}
