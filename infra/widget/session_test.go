package widget_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
)

const (
	listPath = "GET /_widgets/keyvend/providers"
	putPath  = "PUT /_widgets/DataIntegrations/openai/api-key"
)

// renewing is a page whose widget gets its tokens from a function: those in window.
// tokens, one after the other. Long timers run when the test says so.
func (k *keyvend) renewing(tokens ...string) string {
	return k.page("/renewing", "<keyvend-pipes></keyvend-pipes>", `
		window.tokens = `+quoted(strings.Join(tokens, " "))+`.split(" ");
		window.asked = 0;
		window.timers = [];
		const usual = window.setTimeout;
		window.setTimeout = (f, ms, ...rest) => ms < 5000 ? usual(f, ms, ...rest) : window.timers.push({f, ms});
		document.querySelector("keyvend-pipes").authToken = async () => { asked++; return tokens.length > 1 ? tokens.shift() : tokens[0]; };`)
}

func TestATokenIsRenewedHalfAMinuteBeforeItsEnd(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.renewing(k.token(10*time.Minute), k.token(20*time.Minute)))
	p.Says("OpenAI")
	const first = `(timers[0]?.ms ?? 0) / 1000`
	if wait := browsertest.Eval[float64](p, first); wait < 9*60+15 || wait > 9*60+30 {
		t.Errorf("it is renewed after %v seconds", wait)
	}
	p.Do(`timers.shift().f()`)
	p.Wait("another token, and the next timer", func() bool { return browsertest.Eval[bool](p, `asked === 2 && timers.length === 1`) })
	if wait := browsertest.Eval[float64](p, first); wait < 19*60+15 || wait > 19*60+30 {
		t.Errorf("the next is renewed after %v seconds", wait)
	}
	calm(t, p)
}

func TestAClockThatIsWrongMakesNoLoop(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.renewing(k.token(-time.Hour)))
	p.Says("OpenAI")
	if browsertest.Eval[int](p, `asked * 10 + timers.length`) != 10 {
		t.Error("a token that seems to have ended is asked for again")
	}
}

func TestARefusedTokenIsRenewedOnceAndTheKeyIsStored(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.renewing(k.token(time.Hour)))
	p.Click("button", "Connect: OpenAI")
	k.revoke()
	p.Do("tokens[0] = " + quoted(k.token(2*time.Hour)))
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("the key is saved")
	if asked := browsertest.Eval[int](p, "asked"); asked != 2 || len(k.keys()) != 1 {
		t.Errorf("asked for %d tokens, stored %v", asked, k.keys())
	}
}

func TestASessionThatHasEndedIsSaidAndGoesOnWithAnotherToken(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("OpenAI")
	p.Do(`window.ended = 0; addEventListener("keyvend-expired", () => ended++);`)
	k.revoke()

	// In a form.
	p.Click("button", "Connect: OpenAI")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("Your session has ended. Reload the page to go on.")
	if browsertest.Eval[int](p, "ended") != 1 || len(k.keys()) > 0 {
		t.Errorf("the page heard of it %d times, stored %v", browsertest.Eval[int](p, "ended"), k.keys())
	}
	// The page brings another token, and what is open stays open.
	p.Do(`document.querySelector("keyvend-pipes").setAttribute("token", ` + quoted(k.token(time.Hour)) + `)`)
	p.Find("dialog", "Connect OpenAI")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("the key is saved")

	// In the list.
	k.revoke()
	p.Do(`document.querySelector("keyvend-pipes").reload()`)
	p.Find("alert", "")
	p.Says("Your session has ended. Reload the page to go on.")
	p.Do(`document.querySelector("keyvend-pipes").setAttribute("token", ` + quoted(k.token(time.Hour)) + `)`)
	p.Find("button", "Replace key: OpenAI")
}

// secret is what the field for a key holds, "" when there is no form.
const secret = `document.querySelector("keyvend-pipes").shadowRoot.querySelector("#secret")?.value ?? ""`

func TestAnotherUsersTokenContinuesNothing(t *testing.T) {
	bring := func(token string) string {
		return `document.querySelector("keyvend-pipes").setAttribute("token", ` + quoted(token) + `)`
	}
	for name, c := range map[string]struct{ user, tenant string }{
		"another user":           {"user_ben", tenantID},
		"a user of that name of": {anna, "tenant_01KJMMA2G0E8CREG05T91RTXB5"},
	} {
		k := newKeyvend(t)
		k.offer("openai", account("openai", "Yz89"))
		k.reads = oneRead("Nightly import")
		p := browsertest.Open(t)
		p.Visit(k.element(""))
		p.Click("button", "Who used it: OpenAI")
		p.Says("with Nightly import")
		other := k.tokenOf(c.user, c.tenant, time.Hour)

		// A form that is open is closed, with what is in it.
		p.Click("button", "Replace key: OpenAI")
		p.Find("dialog", "Replace the key of OpenAI")
		p.Paste(openAIKey)
		p.Do(bring(other))
		p.Gone("dialog", "Replace the key of OpenAI")
		if left := browsertest.Eval[string](p, everywhere); strings.Contains(left, openAIKey) || strings.Contains(left, "Nightly import") {
			t.Errorf("%s finds %s", name, left)
		}

		// A key on its way goes on under no other token, and nobody else hears of it.
		p.Do(bring(k.token(time.Hour)))
		p.Click("button", "Replace key: OpenAI")
		p.Find("dialog", "Replace the key of OpenAI")
		p.Paste(openAIKey)
		release := k.hold(putPath)
		k.answer(putPath, http.StatusForbidden, `{"message":"This widget token is not valid.","code":"invalid_widget_token"}`)
		p.Press("Enter")
		p.Wait("a key on its way", func() bool { return k.waiting(putPath) == 1 })
		k.answer(putPath, 0, "")
		k.pass(putPath)
		p.Do(bring(other))
		release()
		p.Gone("dialog", "Replace the key of OpenAI")
		p.Find("button", map[bool]string{true: "Replace key: OpenAI", false: "Connect: OpenAI"}[c.user == anna])
		p.Do(`await document.querySelector("keyvend-pipes").reload()`)
		if keys := k.keys(); len(keys) != 0 {
			t.Errorf("%s: stored %v for %v", name, keys, k.users)
		}
		if says := p.Text(); strings.Contains(says, "was not saved") || strings.Contains(says, "Nobody knows") {
			t.Errorf("%s reads %s", name, says)
		}
	}
}

func TestAFunctionThatAnswersAnotherUsersTokenBeginsAnew(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.renewing(k.token(10*time.Minute), k.tokenOf("user_ben", tenantID, 10*time.Minute)))
	p.Click("button", "Connect: OpenAI")
	p.Find("dialog", "Connect OpenAI")
	p.Paste(openAIKey)
	p.Do(`timers.shift().f()`)
	p.Gone("dialog", "Connect OpenAI")
	if left := browsertest.Eval[string](p, secret); left != "" {
		t.Errorf("the field holds %s", left)
	}
	p.Click("button", "Connect: OpenAI")
	p.Find("dialog", "Connect OpenAI")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("OpenAI: the key is saved.")
	if keys := k.keys(); len(keys) != 1 || k.users[0] != "user_ben" {
		t.Errorf("stored %v for %v", keys, k.users)
	}
	calm(t, p)
}

func TestFailuresSayWhatToDoNext(t *testing.T) {
	k := newKeyvend(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("There is nothing to connect yet. As soon as this app offers a service, it appears here.")

	k.offer("openai", nil)
	again := func(request string, status int, body, says string) {
		t.Helper()
		k.answer(request, status, body)
		p.Do(`document.querySelector("keyvend-pipes").reload()`)
		p.Says(says)
	}
	again(listPath, http.StatusServiceUnavailable, `{"message":"The service is busy. Try again in a moment.","code":"service_unavailable"}`, "Your connections could not be loaded. The service is busy. Try again in a moment.")
	again(listPath, http.StatusTooManyRequests, `{"message":"Too many requests. Wait a minute and try again.","code":"rate_limit_exceeded"}`, "Your connections could not be loaded. Too many requests. Wait a minute and try again.")
	again(listPath, http.StatusBadGateway, `<html>`, "Your connections could not be loaded. Something went wrong. Try again.")
	again(listPath, http.StatusForbidden, `{"message":"Pages of this origin may not use this token.","code":"origin_not_allowed"}`, "Pages of this origin may not use this token.")
	k.answer(listPath, 0, "")
	p.Click("button", "Try again")
	p.Click("button", "Connect: OpenAI")

	k.answer(putPath, http.StatusUnprocessableEntity, `{"message":"The provider refuses this key. Look whether it was copied whole.","code":"key_refused"}`)
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("The provider refuses this key. Look whether it was copied whole. Nothing was stored. Enter the key once more.")
	k.answer(putPath, http.StatusUnprocessableEntity, `{"message":"Bring another one; nothing was stored.","code":"key_refused"}`)
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("Bring another one; nothing was stored.")
	if text := p.Text(); strings.Contains(text, "Nothing was stored") {
		t.Errorf("that nothing was stored is said twice: %s", text)
	}
	// What a setting is called in the API is nothing to people.
	k.answer(putPath, http.StatusUnprocessableEntity, `{"message":"config.host: Host is not the name of a public host.","code":"unprocessable_entity"}`)
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("Host is not the name of a public host. Nothing was stored.")
	if text := p.Text(); strings.Contains(text, "config.") {
		t.Errorf("the API's words are for others: %s", text)
	}
	// Of what is not there any more nobody is asked for a key.
	k.answer(putPath, http.StatusNotFound, `{"message":"This provider is not offered any more.","code":"not_found"}`)
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("This provider is not offered any more. Nothing was stored.")
	if text := p.Text(); strings.Contains(text, "Enter the key once more") {
		t.Errorf("a key is asked for: %s", text)
	}
	k.answer(putPath, http.StatusUnprocessableEntity, `{"message":"Bring another one; nothing was stored.","code":"key_refused"}`)
	p.Do(`document.querySelector("keyvend-pipes").texts = {"error.key_refused": "Nope."}`)
	p.Press("Escape")
	p.Click("button", "Connect: OpenAI")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("Nope. Nothing was stored.")
	for status, says := range map[int]string{http.StatusTooManyRequests: "This user has tried too many keys. Try again in ten minutes. Nothing was stored.", http.StatusServiceUnavailable: "This user has tried too many keys. Try again in ten minutes. Nobody knows whether the key was stored."} {
		k.answer(putPath, status, `{"message":"This user has tried too many keys. Try again in ten minutes.","code":"verification_limit"}`)
		p.Paste(openAIKey)
		p.Press("Enter")
		p.Says(says)
	}
	p.Press("Escape")

	p.Do(`window.fetch = () => Promise.reject(new TypeError("away"))`)
	p.Click("button", "Connect: OpenAI")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("The server did not answer. Look whether you are online, and try again. Nobody knows whether the key was stored. Enter it once more: that does no harm.")
	if keys := k.keys(); len(keys) > 0 {
		t.Errorf("stored: %v", keys)
	}
}

func TestAKeysHealthIsSaidInWords(t *testing.T) {
	k := newKeyvend(t)
	cases := map[string]struct {
		account    object
		news, word string
	}{
		"good":    {object{"health": health("valid", "works", "The key works.")}, "good: the key is saved, and it works.", "Works"},
		"limited": {object{"health": health("limited", "restricted", "It lacks a permission.")}, "limited: the key is saved. It lacks a permission.", "Works with limits"},
		"refused": {object{"health": health("invalid", "refused", "The provider refuses this key.")}, "refused: the key is saved. The provider refuses this key.", "Refused"},
		"silent":  {object{"health": health("unknown", "timed_out", "It did not answer in time.")}, "silent: the key is saved. It did not answer in time.", "Could not be checked"},
		"once":    {object{"health": health("unknown", "refused_once", "It is asked again.")}, "once: the key is saved. The provider refused this key. Look whether you copied the right one.", "Refused once"},
		"posthog": {object{"health": health("unknown", "refused_there", "At an assumed address.")}, "PostHog: the key is saved. PostHog refused this key, but maybe only because of this setting: Region.", "May need a setting"},
		"new":     {object{}, "new: the key is saved. It will be checked soon.", "Not checked yet"},
	}
	for slug, c := range cases {
		k.offer(slug, account(slug, "Yz89", c.account))
	}
	k.offer("ended", account("ended", "Yz89", object{"state": "needs_reauthorization", "health": health("valid", "works", "The key works.")}))
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("Needs a new key")
	if row := browsertest.Eval[string](p, `[...document.querySelector("keyvend-pipes").shadowRoot.querySelectorAll("li")].find((row) => row.textContent.includes("Needs a new key")).textContent`); strings.Contains(row, "works") {
		t.Errorf("a key that is to be replaced is praised: %s", row)
	}
	for _, c := range cases {
		p.Says(c.word)
		name, _, _ := strings.Cut(c.news, ":")
		p.Click("button", "Replace key: "+name)
		p.Find("dialog", "Replace the key of "+name)
		p.Paste(openAIKey)
		p.Press("Enter")
		p.Says(c.news)
	}
}
