package dashboard_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

// hold keeps the answers to requests of a method whose path ends so from the page,
// after keyvend gave them. It returns what waits until one is held, and what lets
// all of them through.
func hold(p *browsertest.Page, method, path string) (wait, release func()) {
	p.Do(fmt.Sprintf(`
		const real = window.fetch;
		window.held = [];
		window.fetch = async (address, asked) => {
			const answer = await real(address, asked);
			if (asked.method === %q && new URL(address).pathname.endsWith(%q)) await new Promise((go) => window.held.push(go));
			return answer;
		};
		window.release = () => { window.fetch = real; window.held.forEach((go) => go()); };`, method, path))
	wait = func() {
		p.Wait("an answer that is held", func() bool { return browsertest.Eval[int](p, "window.held.length") > 0 })
	}
	return wait, func() { p.Do("window.release()") }
}

// chosen is what a list of options shows.
func chosen(p *browsertest.Page, list string) string { return p.Find("combobox", list).Value }

const (
	onSave    = "When a key is saved"
	warns     = "ask the provider, store it, and tell when it is refused"
	unasked   = "store it unasked"
	onRefusal = "When its provider refuses a stored key"
	advises   = "vend it all the same, and tell"
)

func TestWhatWasBegunToBeEnteredIsThereAfterThePageIsDrawnAnew(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	s.send("PUT", "/keyvend/integrations/openai/freeze", object{"reason": "a key leaked"})
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Find("heading", "OpenAI")
	wait, release := hold(p, "GET", "/keyvend/integrations/openai")
	p.Click("button", "Unfreeze OpenAI")
	wait()
	choose(t, p, onSave, warns)
	p.Fill("textbox", "Description (optional)", "For your summaries.")
	p.Press("ArrowLeft")
	p.Type("!")
	if strings.Contains(p.Text(), "is not frozen any more") {
		t.Error("it is said to be done before the page is drawn anew")
	}
	release()
	p.Says("OpenAI is not frozen any more.")
	p.Find("button", "Freeze OpenAI")
	if got := chosen(p, onSave); got != warns {
		t.Errorf("what was chosen is lost: %q", got)
	}
	if focus := p.Focused(); focus.Name != "Description (optional)" || focus.Value != "For your summaries!." {
		t.Errorf("the focus is on %q, which holds %q", focus.Name, focus.Value)
	}
	p.Type("!") // where the cursor was
	choose(t, p, onRefusal, advises)
	p.Click("button", "Save checks")
	p.Says("Saved: how keys are checked.")
	if got := s.send("GET", "/keyvend/integrations/openai", nil); got["verify_on_save"] != "warn" || got["on_invalid"] != "advise" {
		t.Errorf("saved: %v", got)
	}

	// What was sent is not held on to; what was not is, on this page alone.
	s.send("PATCH", "/keyvend/integrations/openai", object{"verify_on_save": "off"})
	p.Click("link", "7 days")
	p.Wait("what is stored", func() bool { return chosen(p, onSave) == unasked })
	if held := p.Find("textbox", "Description (optional)").Value; held != "For your summaries!!." {
		t.Errorf("the description is %q", held)
	}
	s.connect("linear")
	s.at(p, "integrations/linear")
	p.Find("heading", "Linear")
	if held := p.Find("textbox", "Description (optional)").Value; held != "" {
		t.Errorf("another page has the description %q", held)
	}
}

func TestAnAnswerThatIsOlderThanAChangeIsNotDrawn(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	s.send("PUT", "/keyvend/integrations/openai/freeze", object{"reason": "a key leaked"})
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Find("heading", "OpenAI")
	wait, release := hold(p, "GET", "/integrations/openai")
	p.Click("button", "Unfreeze OpenAI")
	wait()
	p.Fill("textbox", "Checks every", "90m")
	p.Click("button", "Save checks")
	p.Says("Saved: how keys are checked.")
	release()
	p.Says("OpenAI is not frozen any more.")
	if shown := p.Find("textbox", "Checks every").Value; shown != "90m" {
		t.Errorf("the page shows %q, which was read before it was changed", shown)
	}
}

func TestAnAnswerToAPageThatWasLeftTellsAndLeadsNobodyAway(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	s.at(p, "connect/linear")
	p.Find("heading", "Connect Linear")
	wait, release := hold(p, "POST", "/data-integrations")
	p.Click("button", "Connect")
	wait()
	p.Click("link", "API keys")
	release()
	p.Says("Linear is connected.")
	p.Find("heading", "API keys")
	if place := browsertest.Eval[string](p, "location.hash"); place != "#/api-keys" {
		t.Errorf("the page is %s", place)
	}

	// A refusal is told as well.
	s.at(p, "settings")
	p.Fill("textbox", "Origins, one in a line (optional)", "https://app.example.com/")
	wait, release = hold(p, "PUT", "/keyvend/settings")
	p.Click("button", "Save origins")
	wait()
	p.Click("link", "Events")
	release()
	p.Says("is not an origin like https://app.example.com")
	p.Find("heading", "Events")
}

func TestAPageThatWasLeftBeforeItCameReplacesNoOther(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	wait, release := hold(p, "GET", "/keyvend/api_keys")
	p.Click("link", "API keys")
	p.Click("link", "Settings")
	p.Find("heading", "Settings")
	wait()
	p.Do("await new Promise((gone) => setTimeout(gone, 300))") // behind whatever the first page had in mind to say
	p.Find("heading", "Settings")
	release()
	p.Find("heading", "Settings")
	p.Gone("heading", "API keys")
}

func TestADialogThatIsLeftWhileItIsDoneIsDone(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Click("button", "Remove OpenAI")
	p.Fill("textbox", "Write its slug, openai, to remove it", "openai")
	wait, release := hold(p, "DELETE", "/data-integrations/openai")
	p.Click("button", "Remove")
	wait()
	p.Press("Escape")
	p.Gone("dialog", "")
	release()
	p.Says("OpenAI is removed, with 0 accounts.")
	p.Says("No provider is connected yet.")

	// One of a page that is left goes with it.
	s.connect("linear")
	s.at(p, "integrations/linear")
	p.Click("button", "Remove Linear")
	p.Find("dialog", "Remove Linear?")
	p.Do("history.back()")
	p.Gone("dialog", "")
	p.Find("heading", "Integrations")
}

func TestTwoQuickClicksDoOneThing(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	p.Find("switch", "Vend keys of OpenAI")
	twice := func(role, name, deed, says string) {
		t.Helper()
		asked := func() int {
			return len(slices.DeleteFunc(p.Asked(), func(asked string) bool { return !strings.HasPrefix(asked, deed) }))
		}
		before := asked()
		method, path, _ := strings.Cut(deed, " "+s.url)
		wait, release := hold(p, method, path)
		p.Click(role, name)
		p.Click(role, name)
		wait()
		p.Click(role, name)
		release()
		p.Says(says)
		if times := asked() - before; times != 1 {
			t.Errorf("%s: asked %d times", deed, times)
		}
	}
	twice("switch", "Vend keys of OpenAI", "PUT "+s.url+"/data-integrations/openai", "OpenAI is off")
	s.at(p, "integrations/openai")
	p.Find("heading", "OpenAI")
	twice("button", "Save checks", "PATCH "+s.url+"/keyvend/integrations/openai", "Saved: how keys are checked.")
	s.at(p, "api-keys")
	p.Fill("textbox", "Name", "reporting")
	p.Click("checkbox", "Read: look, and change nothing.")
	twice("button", "Issue", "POST "+s.url+"/keyvend/api_keys", "The new API key")
}

func TestNewEventsLeaveTheFocusWhereItIs(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	s.store("openai", "user_1", "sk-canary-of-user-1")
	p := s.signedIn()
	s.at(p, "events")
	p.Find("link", "user_1")
	p.Do(`[...document.querySelectorAll("td a")].find((a) => a.textContent === "user_1").focus()`)
	s.store("openai", "user_2", "sk-canary-of-user-2")
	p.Find("link", "user_2")
	if focus := p.Focused().Name; focus != "user_1" {
		t.Errorf("the focus is on %q", focus)
	}
	if first := browsertest.Eval[string](p, `document.querySelector("tbody tr").textContent`); !strings.Contains(first, "user_2") {
		t.Errorf("the newest event is not the first: %s", first)
	}
}
