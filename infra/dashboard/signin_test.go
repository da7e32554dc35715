package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
	"keyvend/pkg/operator"
)

// the dashboard's addresses, before and after the #.
const page = "/dashboard"

// keysNowhere checks that a tab holds and sent an API key nowhere but to begin
// sessions.
func keysNowhere(t *testing.T, p *browsertest.Page, key string) {
	t.Helper()
	if kept := browsertest.Eval[string](p, `JSON.stringify([{...sessionStorage}, {...localStorage}, location.href, document.cookie, document.documentElement.outerHTML])`); strings.Contains(kept, key) {
		t.Error("the page keeps the API key")
	}
	for _, r := range p.Requests() {
		sent := strings.Contains(r.URL+r.Body, key)
		for _, value := range r.Headers {
			text, _ := value.(string)
			sent = sent || strings.Contains(text, key) && !(r.Method == "POST" && strings.HasSuffix(r.URL, "/keyvend/sessions"))
		}
		if sent && !strings.Contains(r.URL, page+"#key=") { // the link itself, whose fragment stays in the browser
			t.Errorf("the API key went along with %s %s", r.Method, r.URL)
		}
	}
}

func TestSigningInForgetsTheAPIKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := browsertest.Open(t)
	p.Visit(s.url + page + "#/settings")
	p.Fill("textbox", "API key", s.desk)
	p.Press("Enter")
	p.Find("heading", "Settings") // the page that the address names
	keysNowhere(t, p, s.desk)
	p.Visit(s.url + page)
	p.Find("heading", "Integrations") // a reload asks for nothing
	p.Click("button", "Sign out")
	p.Says("You are signed out.")
	if kept := browsertest.Eval[int](p, "sessionStorage.length"); kept != 0 {
		t.Error("the session is kept after signing out")
	}
	p.Visit(s.url + page)
	p.Find("heading", "Sign in to keyvend")
}

func TestALinkSignsInAndIsTakenOutOfTheAddress(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	keysNowhere(t, p, s.desk)
	if length := browsertest.Eval[int](p, "history.length"); length > 2 {
		t.Errorf("the link is one of %d addresses to go back to", length)
	}
	p.Click("button", "Sign out")
	p.Says("You are signed out.")
	p.Visit(s.url + page + "#key=" + s.backend) // in the same tab, without loading it anew
	p.Says("The link's key does not sign in. This API key can read stored keys")
	keysNowhere(t, p, s.backend)
}

// Whoever sent the link ends nobody's session, nor anything that he is doing.
func TestALinkThatDoesNotSignInLeavesWhoIsSignedInWhereHeIs(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Fill("textbox", "Description (optional)", "For your summaries.")
	for _, key := range []string{"garbage", s.backend} {
		p.Do("location.hash = " + fmt.Sprintf("%q", "#key="+key))
		p.Says("The link's key does not sign in.")
		p.Says("You stay signed in.")
		if place := browsertest.Eval[string](p, "location.hash"); place != "#/integrations/openai" {
			t.Errorf("the link leads to %q", place)
		}
		if held := p.Find("textbox", "Description (optional)").Value; held != "For your summaries." {
			t.Errorf("of what was begun %q is left", held)
		}
		keysNowhere(t, p, key)
		p.Click("button", "Close")
		p.Gone("button", "Close")
	}
	p.Click("button", "Save description")
	p.Says("The description is saved.")

	p.Visit("about:blank")
	p.Visit(s.url + page + "#key=garbage") // where the page is loaded
	p.Find("heading", "Integrations")
	p.Says("The link's key does not sign in.")
	p.Visit("about:blank")
	p.Visit(s.url + page)
	p.Find("button", "Sign out")

	// One that does sign in begins another session.
	other := open(t)
	p.Do("location.hash = " + fmt.Sprintf("%q", "#key="+other.desk))
	p.Says("Tenant " + other.tenant)
	p.Says("No provider is connected yet.")
}

func TestALinkFromElsewhereSignsNobodyIn(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := browsertest.Open(t)
	p.Visit(s.url + page)
	p.Find("heading", "Sign in to keyvend")
	for host, want := range map[string]string{"127.0.0.1": "sk_kv_canary", "localhost": "sk_kv_canary", "keyvend.example": "", "localhost.example": "", "127.0.0.1.example": ""} {
		got := browsertest.Eval[string](p, module("session.js", fmt.Sprintf(`m.keyInAddress({hash: "#key=sk_kv_canary", hostname: %q, pathname: location.pathname})`, host)))
		if got != want {
			t.Errorf("at %s the link has the key %q", host, got)
		}
	}
}

// module is an expression in terms of a module of the dashboard's, m.
func module(name, expression string) string {
	return fmt.Sprintf(`import(new URL(%q, document.querySelector("script[src]").src)).then((m) => %s)`, name, expression)
}

func TestKeysThatMayNotSignInAreRefusedWithTheServersSentence(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := browsertest.Open(t)
	p.Visit(s.url + page)
	for _, refused := range []struct{ key, sentence string }{
		{s.backend, "This API key can read stored keys, and such a key must not come into a browser."},
		{"sk_kv_canary", "This is not an API key of this keyvend"},
		{s.issue("reader", "read"), "The dashboard needs a key with the scope manage."},
	} {
		p.Fill("textbox", "API key", refused.key)
		p.Click("button", "Sign in")
		p.Says(refused.sentence)
		p.Says("Request")
		if held := p.Find("textbox", "API key").Value; held != "" {
			t.Error("the field holds the key still")
		}
		keysNowhere(t, p, refused.key)
	}
	p.Click("button", "Sign in")
	p.Says("API key is missing.")
}

func TestASessionThatEndsLosesNothingOfThePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	other := open(t)
	s.connect("openai")
	p := s.signedIn()
	s.at(p, "integrations/openai")
	p.Fill("textbox", "Description (optional)", "For your summaries.")
	s.send("DELETE", "/keyvend/sessions", nil)
	p.Click("button", "Save description")
	p.Find("heading", "Sign in again")
	if seen := browsertest.Eval[string](p, "getComputedStyle(document.getElementById('main')).visibility"); seen != "hidden" {
		t.Error("the page is to be seen without a session")
	}
	p.Fill("textbox", "API key", other.desk)
	p.Press("Enter")
	p.Says("This API key is another tenant's.")
	p.Fill("textbox", "API key", s.desk)
	p.Press("Enter")
	p.Says("The description is saved.")
	keysNowhere(t, p, s.desk)
	if said := s.send("GET", "/data-integrations/openai", nil)["description"]; said != "For your summaries." {
		t.Errorf("the description is %v", said)
	}
}

func TestASessionSaysBeforehandThatItEndsAndAsksForAKeyWhenItDoes(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := browsertest.Open(t)
	p.Before(`const real = window.setTimeout; window.setTimeout = (act, time) => real(act, time / 100)`)
	end := time.Now().Add(6 * time.Minute)
	brief := s.operate(operator.Request{Action: operator.IssueAPIKey, Tenant: s.tenant, Name: "brief", Scopes: []string{"manage"}, ExpiresAt: &end}).Token
	p.Visit(s.url + page + "#key=" + brief)
	p.Says("This session ends at")
	p.Find("heading", "Sign in again")
	p.Click("button", "Sign out")
	p.Says("Your session has ended.")
	p.Fill("textbox", "API key", s.desk)
	p.Press("Enter")
	p.Find("heading", "Integrations")
	if strings.Contains(p.Text(), "This session ends at") {
		t.Error("a session of an hour says that it ends")
	}
}

func TestASessionThatComesAfterSigningOutIsNotBegun(t *testing.T) {
	t.Parallel()
	other := open(t)
	for name, leave := range map[string]func(*browsertest.Page, *shop){
		"the button": func(p *browsertest.Page, _ *shop) { p.Click("button", "Sign out") },
		"a link":     func(p *browsertest.Page, s *shop) { p.Visit(s.url + page + "#key=" + other.desk) },
	} {
		s := open(t)
		p := s.signedIn()
		s.send("DELETE", "/keyvend/sessions", nil)
		s.at(p, "settings")
		p.Find("heading", "Sign in again")
		p.Do(`const usual = fetch;
			window.fetch = async (...of) => {
				const answer = await usual(...of);
				if (!window.go) await new Promise((go) => (window.go = go));
				return answer;
			}`)
		p.Fill("textbox", "API key", s.desk)
		p.Press("Enter")
		p.Wait("a session that is late", func() bool { return browsertest.Eval[bool](p, `"go" in window`) })
		leave(p, s)
		p.Gone("heading", "Sign in again")
		if name == "a link" {
			p.Find("heading", "Integrations")
		}
		p.Do(`go(); await new Promise((done) => setTimeout(done))`)
		want := ""
		if name == "a link" {
			want = other.tenant
		} else {
			p.Find("heading", "Sign in to keyvend")
		}
		kept := browsertest.Eval[string](p, `JSON.parse(sessionStorage.getItem("keyvend.session") ?? "{}").tenant_id ?? ""`)
		if kept != want {
			t.Errorf("%s: the session of %q is kept, want %q", name, kept, want)
		}
	}
}
