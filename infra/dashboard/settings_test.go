package dashboard_test

import (
	"fmt"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
	"keyvend/pkg/operator"
)

func TestAnIssuedAPIKeyIsShownOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "api-keys")
	p.Says("go run ./infra/operator issue-api-key " + s.tenant + ` "backend" vend`)
	if len(p.All("checkbox", "")) != 3 {
		t.Error("other scopes than manage, read and widget can be chosen")
	}
	p.Click("button", "Issue")
	p.Says("Name is missing.")
	p.Fill("textbox", "Name", "reporting")
	p.Click("button", "Issue")
	p.Says("An API key needs at least one scope")
	p.Click("checkbox", "Read: look, and change nothing.")
	p.Click("button", "Issue")
	p.Find("heading", "The new API key")
	token := browsertest.Eval[string](p, `document.querySelector("dialog code").textContent`)
	p.Press("Escape") // only who has stored it leaves
	p.Click("button", "Copy the new API key")
	p.Wait("it is copied, or selected for it", func() bool {
		return strings.Contains(p.Text(), "Copied.") || browsertest.Eval[string](p, "String(getSelection())") == token
	})
	p.Click("button", "I have stored it")
	p.Says("reporting is issued.")
	if left := browsertest.Eval[string](p, "document.documentElement.outerHTML + JSON.stringify({...sessionStorage})"); !strings.HasPrefix(token, "sk_kv_") || strings.Contains(left, token) {
		t.Errorf("the page still holds the token %.8s…", token)
	}
	s.desk = token
	s.at(p, "settings")
	p.Find("heading", "Settings")
	s.at(p, "api-keys")
	p.Says("In the dashboard, with api_key_")
	p.Says("An operator")
	p.Click("button", "Revoke reporting")
	p.Click("button", "Revoke")
	p.Says("reporting is revoked.")
	p.Says("Revoked")
	p.Gone("button", "Revoke reporting")
}

func TestAPIKeysOfOneNameAreToldApartByTheirIDs(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := s.operate(operator.Request{Action: operator.IssueAPIKey, Tenant: s.tenant, Name: "ci", Scopes: []string{"read"}}).APIKey.ID
	s.issue("ci", "read")
	p := s.signedIn()
	s.at(p, "api-keys")
	p.Find("button", "Revoke desk")
	p.Click("button", "Revoke ci "+first)
	p.Says("Its id is " + first)
	p.Click("button", "Revoke")
	p.Says("ci is revoked.")
	p.Gone("button", "Revoke ci "+first)
	p.Find("button", "Revoke ci") // the one that is left
}

func TestTheOnlySightOfANewAPIKeyStaysWhereverOneGoes(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "api-keys")
	p.Fill("textbox", "Name", "reporting")
	p.Click("checkbox", "Read: look, and change nothing.")
	p.Click("button", "Issue")
	p.Find("heading", "The new API key")
	const token = `document.querySelector("dialog code")?.textContent ?? ""`
	shown := browsertest.Eval[string](p, token)
	p.Do("history.back()")
	p.Wait("another page", func() bool { return !browsertest.Eval[bool](p, `location.hash.includes("api-keys")`) })
	p.Do("location.hash = '#/settings'")
	p.Wait("the page of the link", func() bool {
		return browsertest.Eval[string](p, `document.querySelector("h1")?.textContent ?? ""`) == "Settings"
	})
	if now := browsertest.Eval[string](p, token); now != shown || !strings.HasPrefix(now, "sk_kv_") {
		t.Error("the new key is to be seen no more")
	}
	// Nor does it go with the page, unasked.
	if asks := browsertest.Eval[bool](p, `!dispatchEvent(new Event("beforeunload", { cancelable: true }))`); !asks {
		t.Error("the page is left unasked")
	}
	p.Click("button", "I have stored it")
	p.Says("reporting is issued.")
	if asks := browsertest.Eval[bool](p, `!dispatchEvent(new Event("beforeunload", { cancelable: true }))`); asks {
		t.Error("the page cannot be left afterwards")
	}
}

func TestOriginsAreSavedOrRefusedWithTheServersSentence(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "settings")
	p.Says("where keyvend runs on a laptop, on those of this laptop")
	p.Fill("textbox", "Origins, one in a line (optional)", "https://app.example.com/")
	p.Click("button", "Save origins")
	p.Says("is not an origin like https://app.example.com")
	if n := strings.Count(p.Text(), "is not an origin like"); n != 1 {
		t.Errorf("the sentence stands %d times on the page", n)
	}
	p.Fill("textbox", "Origins, one in a line (optional)", "https://app.example.com\n\n  https://admin.example.com ")
	p.Click("button", "Save origins")
	p.Says("The origins are saved.")
	if got := fmt.Sprint(s.send("GET", "/keyvend/settings", nil)["allowed_origins"]); got != "[https://app.example.com https://admin.example.com]" {
		t.Errorf("saved as %s", got)
	}
}

func TestEveryoneIsSignedOut(t *testing.T) {
	t.Parallel()
	s := open(t)
	p, other := s.signedIn(), s.signedIn()
	s.at(p, "settings")
	p.Click("button", "Sign everyone out")
	p.Find("heading", "Sign everyone out?")
	p.Click("button", "Sign everyone out")
	p.Find("heading", "Sign in to keyvend")
	other.Click("link", "Settings")
	other.Find("heading", "Sign in again")
	other.Press("Escape")
	other.Find("heading", "Sign in to keyvend")
	if text := other.Text(); strings.Contains(text, s.tenant) {
		t.Error("what was on the page is there still")
	}
}

func TestAFrozenTenantIsToldOnEveryPage(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "settings")
	p.Click("button", "Freeze the whole tenant")
	p.Fill("textbox", "Reason", "an incident")
	p.Click("button", "Freeze")
	p.Says("Nothing is vended: this tenant is frozen")
	p.Click("link", "Accounts")
	p.Find("heading", "Accounts")
	p.Says("Nothing is vended: this tenant is frozen")
	p.Visit(s.url + page)
	p.Says("an incident")
	s.at(p, "settings")
	p.Click("button", "Unfreeze the whole tenant")
	p.Says("the whole tenant is not frozen any more.")
	if strings.Contains(p.Text(), "Nothing is vended") {
		t.Error("the page says that it is frozen still")
	}
}

func TestWhatIsNotThereIsSaidInTheServersSentenceWithItsRequest(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	for place, sentence := range map[string]string{
		"nowhere":                                "There is no page of this address.",
		"constructor":                            "There is no page of this address.",
		"accounts/a/b":                           "There is no page of this address.",
		"accounts/data_installation_00000000000": "There is no connected account of this id.",
		"integrations/unknown":                   "There is no integration unknown",
		"connect/unknown":                        "The catalog has no such provider.",
		"integrations/..":                        "There is no integration ..",
		"organizations/org%2F..%2Fx":             "This is no organization's id.",
		"organizations/..":                       "This is no organization's id.",
		"accounts?user_id=a%20b":                 "This page cannot be shown",
		"events?from=yesterday":                  "range_start is a date or time like",
		"accounts/%E0%A4%A":                      "There is no connected account of this id.",
	} {
		s.at(p, place)
		p.Says(sentence)
		if strings.HasPrefix(sentence, "There is no connected") && !strings.Contains(p.Text(), "Request req_") {
			t.Errorf("%s does not tell the request: %s", place, p.Text())
		}
	}
}

func TestWhereThereIsNothingThePageSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	says := func(place, nothing, next string) {
		t.Helper()
		s.at(p, place)
		p.Says(nothing)
		p.Says(next)
	}
	says("", "No provider is connected yet.", "Connect a provider")
	says("accounts", "No account is connected yet.", "See the integrations")
	says("accounts?user_id=nobody", "No account is like that.", "show all accounts")
	says("organizations", "keyvend knows no list of organizations", "Show its switches")
	says("organizations/org_1", "no provider is connected yet", "Connect one")
	says("events", "Nothing has happened within the last 30 days.", "it shows here")
	says("events?organization_id=org_1", "No event of the last 30 days is like that.", "Show all events")
	says("settings", "No origin is listed yet", "Write down where your product runs.")
	s.connect("openai")
	says("integrations/openai", "No account is connected yet.", "PUT /data-integrations/ openai /api-key")
	p.Says("No key was asked for in this time.")
	says("accounts?integration=openai", "No account of openai is connected.", "See the integration")
	says("accounts?integration=openai&user_id=nobody", "No account is like that.", "show all accounts")
	s.at(p, "integrations/openai")
	p.Says("No key stopped working in this time")
	id := s.store("openai", "user_1", "sk-canary-of-user-1")
	says("accounts/"+id, "Nobody has looked at this key yet.", "Check now asks its provider.")
	p.Says("Nobody has read this key lately.")
	p.Says("Keys of this provider need no settings.")
}
