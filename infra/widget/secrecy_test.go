package widget_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
)

// everywhere is all that the page holds and keeps: every element of every shadow
// tree with its attributes and what is in its field, and every storage.
const everywhere = `(async () => {
	const seen = [];
	const walk = (node) => {
		if (node.nodeType === 3) seen.push(node.data);
		if (node.nodeType === 1) {
			for (const a of node.attributes) seen.push(a.value);
			if ("value" in node) seen.push(String(node.value));
			if (node.shadowRoot) walk(node.shadowRoot);
		}
		node.childNodes.forEach(walk);
	};
	walk(document);
	seen.push(location.href, document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), JSON.stringify(history.state), window.name);
	for (const base of await indexedDB.databases()) seen.push(base.name);
	for (const name of await caches.keys()) seen.push(name);
	for (const entry of performance.getEntries()) seen.push(entry.name);
	return seen.join("\n");
})()`

// gone checks that the key is nowhere but in the body of the one request.
func gone(t *testing.T, p *browsertest.Page, key string) {
	t.Helper()
	if all := browsertest.Eval[string](p, everywhere); strings.Contains(all, key) {
		t.Errorf("the page has the key: %s", all)
	}
	if console := strings.Join(p.Console(), "\n"); strings.Contains(console, key) {
		t.Errorf("the console has the key: %s", console)
	}
	sent := 0
	for _, r := range p.Requests() {
		if strings.Contains(r.URL, key) {
			t.Errorf("an address has the key: %s", r.URL)
		}
		for _, header := range r.Headers {
			if text, _ := header.(string); strings.Contains(text, key) {
				t.Errorf("a header has the key: %s", text)
			}
		}
		if strings.Contains(r.Body, key) {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("the key was sent %d times", sent)
	}
}

func TestF45_TheKeyIsNowhereOnceItWasSent(t *testing.T) {
	key := canary + "0123456789abcdef"
	for name, c := range map[string]struct {
		status int
		next   string
	}{
		"stored":  {},
		"refused": {http.StatusUnprocessableEntity, "Nothing was stored. Enter the key once more."},
		"limited": {http.StatusTooManyRequests, "Nothing was stored. Enter the key once more."},
		"failing": {http.StatusInternalServerError, "Nobody knows whether the key was stored. Enter it once more: that does no harm."},
	} {
		k := newKeyvend(t)
		k.offer("openai", nil)
		if c.status != 0 {
			k.answer(putPath, c.status, `{"message":"The provider refuses this key.","code":"key_refused"}`)
		}
		p := browsertest.Open(t)
		p.Visit(k.element(""))
		p.Do(`window.heard = []; for (const name of ["keyvend-connected", "keyvend-expired"]) addEventListener(name, (e) => heard.push(JSON.stringify(e.detail)));`)
		p.Click("button", "Connect: OpenAI")
		p.Fill("textbox", "API key", key)
		p.Click("button", "Show key")
		if all := browsertest.Eval[string](p, everywhere); !strings.Contains(all, key) {
			t.Fatal("a key that is there is not seen")
		}
		p.Click("button", "Save key")
		if c.status == 0 {
			p.Says("the key is saved")
			if heard := browsertest.Eval[string](p, `heard.join()`); heard != `{"slug":"openai","account_id":"`+accountID("openai")+`"}` {
				t.Errorf("the page hears %s", heard)
			}
		} else {
			p.Says("The provider refuses this key. " + c.next)
			if focused := p.Focused(); focused.Name != "API key" || focused.Value != "" {
				t.Errorf("%s: the focus is on %v", name, focused)
			}
		}
		gone(t, p, key)
	}
}

func TestF45_AFormThatIsClosedTakesTheKeyWithIt(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: OpenAI")
	p.Fill("textbox", "API key", canary+"0123456789abcdef")
	p.Press("Escape")
	p.Gone("dialog", "Connect OpenAI")
	if all := browsertest.Eval[string](p, everywhere); strings.Contains(all, canary) {
		t.Errorf("the page has the key: %s", all)
	}
	if len(k.keys()) > 0 {
		t.Errorf("stored: %v", k.keys())
	}
}

func TestF45_APageThatWasLeftComesBackWithoutTheKey(t *testing.T) {
	k := newKeyvend(t)
	k.offer("freshdesk", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	away := k.page("/away", "<p>Elsewhere</p>", "")
	p.Click("button", "Connect: Freshdesk")
	p.Find("dialog", "Connect Freshdesk")
	p.Type(canary + "0123456789abcdef")
	p.Click("button", "Show key")
	p.Fill("textbox", "Subdomain", "acme")
	p.Do(`window.kept = true; addEventListener("pageshow", ({ persisted }) => window.back = persisted)`)
	p.Visit(away)
	p.Says("Elsewhere")
	p.Do(`setTimeout(() => history.back())`)
	p.Says("Settings")
	p.Wait("the page to be there again", func() bool { return len(p.All("button", "Connect: Freshdesk"))+len(p.All("dialog", "")) > 0 })
	if all := browsertest.Eval[string](p, everywhere); strings.Contains(all, canary) {
		t.Errorf("the page has the key: %s", all)
	}
	t.Logf("the browser had kept the page: %v", browsertest.Eval[bool](p, `window.kept === true`))

	// A browser that keeps pages says so when one is left.
	p.Visit(k.element(""))
	p.Click("button", "Connect: Freshdesk")
	p.Find("dialog", "Connect Freshdesk")
	p.Type(canary + "0123456789abcdef")
	p.Fill("textbox", "Subdomain", "acme")
	p.Do(`dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))`)
	all := browsertest.Eval[string](p, everywhere)
	if strings.Contains(all, canary) || !strings.Contains(all, "acme") {
		t.Errorf("the page has %s", all)
	}
	// And what is entered then is taken.
	p.Fill("textbox", "API key", "canary00000000000000")
	p.Press("Enter")
	p.Says("Freshdesk: the key is saved.")
}

func TestF45_TheKeyIsNowhereWhenThePageIsLeftWhileItIsSaved(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	away := k.page("/away", "<p>Elsewhere</p>", "")
	k.hold(putPath)
	p.Click("button", "Connect: OpenAI")
	p.Type(openAIKey)
	p.Press("Enter")
	p.Find("button", "Saving…")
	p.Wait("the key on its way", func() bool { return k.waiting(putPath) > 0 })
	if all := browsertest.Eval[string](p, everywhere); strings.Contains(all, openAIKey) {
		t.Errorf("the page has the key while it is sent: %s", all)
	}
	p.Visit(away)
	p.Says("Elsewhere")
	p.Do(`setTimeout(() => history.back())`)
	p.Says("Settings")
	p.Says("OpenAI")
	gone(t, p, openAIKey)
}

// Browsers ask whether they may keep what was in a field for passwords.
func TestF45_BrowsersAreToldThatTheFieldIsNoPasswordToKeep(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: OpenAI")
	p.Find("dialog", "Connect OpenAI")
	const about = `(() => { const f = document.querySelector("keyvend-pipes").shadowRoot.querySelector("#secret"); return f.type + " " + f.autocomplete + " " + f.spellcheck; })()`
	for _, want := range []string{"password one-time-code false", "text one-time-code false"} {
		if got := browsertest.Eval[string](p, about); got != want {
			t.Errorf("the field is %q, want %q", got, want)
		}
		p.Click("button", map[bool]string{true: "Show key", false: "Hide key"}[strings.HasPrefix(want, "password")])
	}
}

// made is what the maker of elements does, with every attribute that runs or loads.
const made = `import(%q).then(({ el, outside }) => {
	const runs = ["onclick", "onerror", "style", "src", "srcdoc", "action", "formaction", "href"].filter((name) => {
		try { el("a", { [name]: "javascript:window.ran=1" }); return true; } catch { return false; }
	});
	return [...runs, ...["javascript:x", "https://a:b@acme.example", "http://acme.example", "/x"].filter((address) => outside(address, "x", "y"))].join();
})`

func TestF48_WhatCouldRunIsNotMade(t *testing.T) {
	k := newKeyvend(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("There is nothing to connect yet.")
	if runs := browsertest.Eval[string](p, fmt.Sprintf(made, k.url+"/assets/test/dom.js")); runs != "" {
		t.Errorf("made: %s", runs)
	}
}

func TestNothingIsAskedOfAnyoneElse(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", account("openai", "Yz89"))
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("OpenAI")
	for _, r := range p.Requests() {
		if !strings.HasPrefix(r.URL, k.url+"/") && !strings.HasPrefix(r.URL, k.host+"/") {
			t.Errorf("asked: %v", r)
		}
	}
	calm(t, p)
}

// hostile are texts that run, or lead somewhere, where they are taken for more
// than texts.
var hostile = []string{
	`<img src=x onerror="window.ran = true">`, `<script>window.ran = true</script>`, `"><svg onload="window.ran = true">`,
	`{{constructor.constructor("window.ran = true")()}}`, `<a href="javascript:window.ran = true">x</a>`, `</textarea><iframe srcdoc="x">`,
}

func TestF48_MarkupIsShownAsText(t *testing.T) {
	k := newKeyvend(t)
	k.strange = true
	for i, text := range hostile {
		settings := []object{
			{"field": text, "label": text, "description": text, "required": false, "example": text, "default": text},
			{"field": "choice", "label": "Choice", "description": text, "required": false, "options": []object{{"value": text, "label": text}}},
		}
		slug := fmt.Sprintf("acme-%d", i)
		k.offer(slug, account("", "Yz89", object{"id": text, "health": health("invalid", "other", text)}), object{
			"name": text, "description": text, "key_hint": text, "help": text, "help_url": "https://acme.example/" + text, "config_fields": settings,
		})
		k.answer("PUT /_widgets/DataIntegrations/"+slug+"/api-key", http.StatusUnprocessableEntity, jsonAnswer(object{"message": text}).body)
	}
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	for _, text := range hostile {
		p.Says(text)
		k.mu.Lock()
		k.reads = []object{{"count": 1, "last_read_at": text, "api_key_id": "api_key_1", "api_key_name": text}}
		k.mu.Unlock()
		p.Click("button", "Who used it: "+text)
		p.Says("with " + text)
		p.Click("button", "Replace key: "+text)
		p.Find("dialog", "Replace the key of "+text)
		p.Type(canary + "0123")
		p.Press("Enter")
		p.Says(text + " Nothing was stored.")
		if n := browsertest.Eval[int](p, `(() => {
			const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
			return all(document.body).filter((e) => /^(script|svg|iframe|img|object|embed|style)$/i.test(e.tagName) || [...e.attributes].some((a) => a.name.startsWith("on") || a.name === "style")).length;
		})()`); n != 0 {
			t.Errorf("%s: %d elements", text, n)
		}
		p.Press("Escape")
	}
	if browsertest.Eval[bool](p, `"ran" in window`) {
		t.Error("a text ran")
	}
}

func TestF48_NothingIsDrawnInAnotherOrderThanItIsIn(t *testing.T) {
	k := newKeyvend(t)
	k.offer("acme", nil, object{"name": "Acme\u202egnp.exe", "description": "Of\u2067 all."})
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("Acmegnp.exe")
	p.Click("button", "Connect: Acmegnp.exe")
	p.Find("dialog", "Connect Acmegnp.exe")
	if text := p.Text(); strings.ContainsAny(text, "\u202e\u2067") {
		t.Errorf("the page says %q", text)
	}
}

func TestF48_OnlyLinksByHTTPSAreLinks(t *testing.T) {
	k := newKeyvend(t)
	links := map[string]bool{
		"https://acme.example/keys":             true,
		"javascript:window.ran=true":            false,
		" javascript:window.ran=true":           false, //nolint:gocritic // the space is what is tried
		"java\tscript:window.ran=true":          false,
		"data:text/html,<script>ran=1</script>": false,
		"http://acme.example/keys":              false,
		"//acme.example/keys":                   false, // by http, as the page is
		"blob:https://acme.example/x":           false,
		"https://":                              false,
		"https://acme:canary@acme.example/":     false,
		"":                                      false,
	}
	names := map[string]string{}
	for address := range links {
		names[address] = fmt.Sprintf("Acme %d", len(names))
		k.offer("acme", nil, object{"name": names[address], "help_url": address})
	}
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	for address, want := range links {
		p.Click("button", "Connect: "+names[address])
		p.Find("dialog", "Connect "+names[address])
		if got := len(p.All("link", "")) == 1; got != want {
			t.Errorf("%q is a link: %v", address, got)
		}
		if rel := browsertest.Eval[string](p, `document.querySelector("keyvend-pipes").shadowRoot.querySelector("dialog a")?.rel ?? ""`); want && rel != "noopener noreferrer" {
			t.Errorf("rel is %q", rel)
		}
		p.Press("Escape")
	}
}

func TestF48_PicturesAreThePagesOwnOrByHTTPS(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	k.offer("linear", nil)
	k.offer("stripe", nil)
	p := browsertest.Open(t)
	p.Visit(k.page("/logos", `<keyvend-pipes token="`+k.token(time.Hour)+`"></keyvend-pipes>`,
		`document.querySelector("keyvend-pipes").logos = {openai: "/openai.svg", linear: "javascript:window.ran=1", stripe: "data:image/svg+xml,<svg/>"}`))
	p.Says("Stripe")
	p.Wait("initials in place of what is no picture", func() bool {
		return browsertest.Eval[string](p, `[...document.querySelector("keyvend-pipes").shadowRoot.querySelectorAll(".logo")].map((e) => e.tagName + e.textContent).join()`) == "SPANO,SPANL,SPANS"
	})
	asked := 0
	for _, r := range p.Requests() {
		if strings.HasSuffix(r.URL, "/openai.svg") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the page's own picture was asked for %d times", asked)
	}
}

func TestAPictureThatThePageNamesTakesThePlaceOfTheInitial(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	k.offer("linear", nil)
	k.mu.Lock()
	k.pages["/openai.svg"] = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><circle r="20"/></svg>`
	k.mu.Unlock()
	p := browsertest.Open(t)
	p.Visit(k.page("/logo", `<keyvend-pipes token="`+k.token(time.Hour)+`"></keyvend-pipes>`, `document.querySelector("keyvend-pipes").logos = {openai: "/openai.svg"}`))
	p.Says("Linear")
	p.Wait("a picture and an initial", func() bool {
		return pipes[string](p, `[...e.shadowRoot.querySelectorAll(".logo")].map((l) => l.tagName + (l.naturalWidth ?? l.textContent) + l.ariaHidden + l.getAttribute("alt")).join()`) == "IMG40null,SPANLtruenull"
	})
	calm(t, p)
}
