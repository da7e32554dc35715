package widget_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
	"keyvend/infra/testbed"
)

// furnished has one service of each kind.
func furnished(t *testing.T) *keyvend {
	t.Helper()
	k := newKeyvend(t)
	k.offer("openai", account("openai", "Yz89", object{
		"health": health("valid", "works", "The key works."), "last_used_at": "2026-03-01T23:58:00.000Z", "expires_at": "2026-12-31T22:00:00.000Z",
	}), object{"description": "Used to summarize your documents."})
	k.offer("stripe", account("stripe", "a1B2", object{
		"state": "needs_reauthorization", "health": health("invalid", "refused", "The provider refuses this key. It was revoked or replaced: bring a new one."),
	}), object{"description": "Used to match payments with invoices."})
	k.offer("datadog", nil, object{"description": "Used to send alerts when something needs you."})
	k.reads = []object{
		{"window_start": "2026-03-01T23:55:00.000Z", "count": 12, "last_read_at": "2026-03-01T23:58:00.000Z", "api_key_id": "api_key_01KJMMA2G0E8CREG05T91RTXB4", "api_key_name": "Nightly import"},
		{"window_start": "2026-03-01T12:00:00.000Z", "count": 1, "last_read_at": "2026-03-01T12:01:00.000Z", "api_key_id": "api_key_01KJMMA2G0E8CREG05T91RTXB5", "api_key_name": nil},
	}
	return k
}

func TestEverythingCanBeDoneWithTheKeyboard(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("Datadog")
	tab := func(name string) {
		t.Helper()
		p.Press("Tab")
		if focused := p.Focused(); focused.Name != name {
			t.Fatalf("the focus is on %q, want %q", focused.Name, name)
		}
		if width := browsertest.Eval[string](p, `(() => {
			let e = document.activeElement;
			while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
			return getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth;
		})()`); width != "solid3px" {
			t.Errorf("the focus on %q is not to be seen: %s", name, width)
		}
	}
	for _, service := range []string{"OpenAI", "Stripe"} {
		tab("Replace key: " + service)
		tab("Who used it: " + service)
		tab("Disconnect: " + service)
	}
	tab("Connect: Datadog")

	// A form: Escape closes it, and the focus goes back to where it came from.
	p.Press("Enter")
	p.Find("dialog", "Connect Datadog")
	if focused := p.Focused(); focused.Name != "API key" {
		t.Errorf("a form begins at %q", focused.Name)
	}
	p.Press("Escape")
	p.Gone("dialog", "Connect Datadog")
	if focused := p.Focused(); focused.Name != "Connect: Datadog" {
		t.Errorf("the focus is on %q", focused.Name)
	}

	p.Press("Space")
	p.Find("dialog", "Connect Datadog")
	p.Paste("0123456789abcdef0123456789abcdef")
	tab("Show key")
	p.Press("Space")
	p.Wait("a key that is shown", func() bool { return len(p.All("button", "Hide key")) == 1 })
	tab("Site (optional)")
	p.Press("ArrowDown", "ArrowDown")
	tab("Save key")
	p.Press("Enter")
	p.Gone("dialog", "Connect Datadog")
	p.Says("Datadog: the key is saved.")
	p.Wait("the focus on the service", func() bool { return p.Focused().Name == "Replace key: Datadog" })

	tab("Who used it: Datadog")
	p.Press("Enter")
	p.Says("12 times within five minutes")
	if opener := p.Focused(); opener.Is("expanded") != "true" {
		t.Errorf("the opener says %q", opener.Is("expanded"))
	}
	tab("Disconnect: Datadog")
	p.Press("Enter")
	p.Find("alertdialog", "Disconnect Datadog?")
	// What is in the list cannot be reached from here.
	for range 5 {
		p.Press("Tab")
		if name := p.Focused().Name; strings.Contains(name, ":") {
			t.Errorf("the focus leaves the dialog for %q", name)
		}
	}
	p.Press("Escape")
	p.Gone("alertdialog", "Disconnect Datadog?")
	p.Press("Enter")
	p.Find("alertdialog", "Disconnect Datadog?")
	tab("Disconnect")
	p.Press("Enter")
	p.Says("Datadog is disconnected.")
	p.Wait("the focus on the service", func() bool { return p.Focused().Name == "Connect: Datadog" })
	if keys := k.keys(); len(keys) != 1 || keys[0]["config"].(object)["site"] != "us3.datadoghq.com" {
		t.Errorf("stored: %v", keys)
	}
	calm(t, p)
}

func TestTheFocusStaysInTheWidgetWhenItIsLoadedAnew(t *testing.T) {
	k := furnished(t)
	k.answer(listPath, http.StatusServiceUnavailable, `{"message":"The service is busy."}`)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Find("button", "Try again")
	p.Press("Tab")
	if focused := p.Focused(); focused.Name != "Try again" {
		t.Fatalf("the focus is on %q", focused.Name)
	}
	k.answer(listPath, 0, "")
	p.Press("Enter")
	p.Says("Datadog")
	if focused := p.Focused(); focused.Name != "Connections" {
		t.Errorf("the focus is on %v", focused)
	}
	p.Press("Tab")
	if focused := p.Focused(); focused.Name != "Replace key: OpenAI" {
		t.Errorf("and then on %q", focused.Name)
	}
	p.Do(`await document.querySelector("keyvend-pipes").reload()`)
	if focused := p.Focused(); focused.Name != "Replace key: OpenAI" {
		t.Errorf("after a reload it is on %q", focused.Name)
	}
}

// findings are what axe-core has to say about the page as it is.
func findings(p *browsertest.Page, axe string) string {
	if browsertest.Eval[bool](p, `"axe" in window`) {
		axe = ""
	}
	return browsertest.Eval[string](p, axe+`;axe.run(document, {resultTypes: ["violations"]}).then(({violations, incomplete}) =>
		violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ") + " " + n.failureSummary).join("; ")).join("\n"))`)
}

const stripePath = "PUT /_widgets/DataIntegrations/stripe/api-key"

func TestAxeFindsNothingInEitherTheme(t *testing.T) {
	axe, err := os.ReadFile(testbed.Tool(t, "web/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	k := furnished(t)
	for _, theme := range []string{"light", "dark"} {
		p := browsertest.Open(t)
		p.Prefer(theme, true)
		p.Visit(k.element(""))
		check := func(what string) {
			t.Helper()
			if found := findings(p, string(axe)); found != "" {
				t.Errorf("%s, %s: %s", theme, what, found)
			}
		}
		p.Click("button", "Who used it: OpenAI")
		p.Says("12 times")
		check("list")
		p.Click("button", "Connect: Datadog")
		p.Find("dialog", "Connect Datadog")
		check("form")
		p.Paste("canary")
		p.Says("This does not look like a key of Datadog.")
		check("warning")
		p.Press("Control+a")
		p.Paste("curl https://canary.example -X POST")
		p.Says("This is a whole command.")
		check("refusal")
		p.Press("Escape")
		p.Click("button", "Disconnect: OpenAI")
		p.Find("alertdialog", "Disconnect OpenAI?")
		check("question")
		p.Press("Escape")
		p.Click("button", "Replace key: Stripe")
		p.Find("dialog", "Replace the key of Stripe")
		p.Paste("sk_live_canary00000000000000")
		release := k.hold(stripePath)
		k.answer(stripePath, http.StatusUnprocessableEntity, `{"message":"The provider refuses this key.","code":"key_refused"}`)
		p.Press("Enter")
		p.Find("button", "Saving…")
		check("saving")
		release()
		p.Says("The provider refuses this key. Nothing was stored.")
		check("refused key")
		k.answer(stripePath, 0, "")
		p.Paste("sk_live_canary00000000000000")
		p.Press("Enter")
		p.Says("Stripe: the key is saved.")
		check("news")
		k.answer(listPath, http.StatusServiceUnavailable, `{"message":"The service is busy."}`)
		p.Do(`document.querySelector("keyvend-pipes").reload()`)
		p.Find("button", "Try again")
		check("failure")
		k.answer(listPath, http.StatusOK, `{"data":[]}`)
		p.Click("button", "Try again")
		p.Says("There is nothing to connect yet.")
		check("nothing")
		k.answer(listPath, 0, "")
		release = k.hold(listPath)
		p.Do(`document.querySelector("keyvend-pipes").setAttribute("base-url", "/")`)
		p.Says("Loading your connections")
		check("loading")
		release()
		p.Do(`document.body.append(document.createElement("input"))`)
		if found := findings(p, string(axe)); !strings.Contains(found, "label") {
			t.Errorf("a field without a name is not found: %s", found)
		}
	}
}

func TestTheThemeIsThePagesOrElseTheUsers(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	background := func() string {
		return browsertest.Eval[string](p, `getComputedStyle(document.querySelector("keyvend-pipes")).backgroundColor`)
	}
	const light, dark = "rgb(255, 255, 255)", "rgb(23, 25, 29)"
	for _, c := range []struct{ user, page, want string }{{"light", "", light}, {"dark", "", dark}, {"dark", "light", light}, {"light", "dark", dark}} {
		p.Prefer(c.user, false)
		p.Do(`document.querySelector("keyvend-pipes").setAttribute("theme", ` + quoted(c.page) + `)`)
		if got := background(); got != c.want {
			t.Errorf("the user's %q and the page's %q make %s", c.user, c.page, got)
		}
	}
	p.Do(`document.querySelector("keyvend-pipes").style.setProperty("--keyvend-background", "rgb(1, 2, 3)")`)
	if got := background(); got != "rgb(1, 2, 3)" {
		t.Errorf("the page's own color makes %s", got)
	}
}

func TestNothingMovesForWhoWantsItStill(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: Datadog")
	p.Find("dialog", "Connect Datadog")
	for still, want := range map[bool]bool{false: true, true: false} {
		p.Prefer("light", still)
		moves := browsertest.Eval[bool](p, `(() => {
			const all = [...document.querySelector("keyvend-pipes").shadowRoot.querySelectorAll("*")].map((e) => getComputedStyle(e));
			return all.some((s) => s.animationName !== "none" || s.transitionDuration !== "0s");
		})()`)
		if moves != want {
			t.Errorf("still: %v, and something moves: %v", still, moves)
		}
	}
}

// overflow names what is wider than the page.
const overflow = `(() => {
	const wide = [];
	const walk = (root) => root.querySelectorAll("*").forEach((e) => {
		const box = e.getBoundingClientRect();
		if (box.width > 2 && (box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5)) wide.push(e.tagName + "." + e.className + " " + box.left + "–" + box.right);
		if (e.shadowRoot) walk(e.shadowRoot);
	});
	walk(document.body);
	if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wide.push("the page");
	return wide.join(", ");
})()`

func TestNothingIsWiderThan320Pixels(t *testing.T) {
	k := furnished(t)
	k.offer("acme", account("acme", "0000"), object{"name": strings.Repeat("Long", 30), "description": strings.Repeat("x", 200)})
	for _, direction := range []string{"ltr", "rtl"} {
		p := browsertest.Open(t)
		p.Resize(320, 700)
		p.Visit(k.element(`dir="` + direction + `"`))
		p.Click("button", "Who used it: OpenAI")
		p.Says("12 times")
		if wide := browsertest.Eval[string](p, overflow); wide != "" {
			t.Errorf("%s, list: %s", direction, wide)
		}
		p.Click("button", "Connect: Datadog")
		p.Find("dialog", "Connect Datadog")
		p.Paste(`"` + strings.Repeat("canary00", 20) + `"`)
		p.Says("This does not look like")
		if wide := browsertest.Eval[string](p, overflow); wide != "" {
			t.Errorf("%s, form: %s", direction, wide)
		}
	}
}

func TestFromRightToLeftEverythingIsOnTheOtherSide(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("OpenAI")
	places := func() []float64 {
		return browsertest.Eval[[]float64](p, `(() => {
			const root = document.querySelector("keyvend-pipes").shadowRoot;
			const middle = (e) => (e.getBoundingClientRect().left + e.getBoundingClientRect().right) / 2;
			return [root.querySelector(".logo"), root.querySelector("h3 bdi"), root.querySelector("button")].map(middle);
		})()`)
	}
	before := places()
	p.Do(`document.documentElement.dir = "rtl"`)
	after := places()
	width := browsertest.Eval[float64](p, `document.documentElement.clientWidth`)
	for i := range before {
		if mirrored := width - after[i]; mirrored < before[i]-1 || before[i]+1 < mirrored {
			t.Errorf("%v becomes %v in a page of %v", before, after, width)
		}
	}
	// Keys run from left to right in every text.
	p.Click("button", "Connect: Datadog")
	if direction := browsertest.Eval[string](p, `getComputedStyle(document.querySelector("keyvend-pipes").shadowRoot.querySelector("#secret")).direction`); direction != "ltr" {
		t.Errorf("a key runs %s", direction)
	}
}

func TestTimesAreTheUsers(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Live("de-DE", "Asia/Tokyo")
	p.Visit(k.element(""))
	p.Says("Last used 02.03.2026, 08:58")
	p.Says("Expires 01.01.2027")
	p.Click("button", "Who used it: OpenAI")
	p.Says("02.03.2026, 08:58 12 times within five minutes with Nightly import")
	p.Says("01.03.2026, 21:01 once with api_key_01KJMMA2G0E8CREG05T91RTXB5")
	p.Says("Japanische Normalzeit")
	p.Do(`document.querySelector("keyvend-pipes").setAttribute("locale", "en-GB")`)
	p.Says("Last used 2 Mar 2026, 08:58")
	p.Do(`document.querySelector("keyvend-pipes").setAttribute("locale", "no such locale")`)
	p.Says("Last used 02.03.2026, 08:58")
}

func TestAllTextsCanBeReplaced(t *testing.T) {
	k := furnished(t)
	// Every text, but in capitals, by way of JSON; what is filled in stays.
	p := browsertest.Open(t)
	p.Visit(k.page("/texts", "", `
		import { TEXTS } from "`+k.url+`/assets/test/widget/words.js";
		const pipes = document.createElement("keyvend-pipes");
		const texts = Object.fromEntries(Object.entries(TEXTS).map(([key, text]) => [key, text.replace(/(\{\w+\})|\w/g, (c, name) => name ?? c.toUpperCase())]));
		pipes.setAttribute("texts", JSON.stringify({ ...texts, lang: "de", "reason.refused": "NOPE" }));
		pipes.setAttribute("token", `+quoted(k.token(time.Hour))+`);
		document.querySelector("main").append(pipes);`))
	p.Says("CONNECTIONS")
	p.Says("NOPE")
	p.Click("button", "WHO USED IT: OpenAI")
	p.Says("12 TIMES WITHIN FIVE MINUTES")
	small := func(what string) {
		t.Helper()
		text := p.Text()
		for _, own := range []string{
			"Settings", "Used to summarize your documents.", "Used to match payments with invoices.", "Used to send alerts when something needs you.",
			"An API key of 32 hexadecimal digits, not an application key.", "Much of what reads data in Datadog asks for an application key as well, which cannot be entered here.",
			"Site (", "Choose the Datadog site where you sign in.", "US1 (datadoghq.com)", "US3 (us3.datadoghq.com)", "US5 (us5.datadoghq.com)", "EU1 (datadoghq.eu)", "AP1 (ap1.datadoghq.com)", "AP2 (ap2.datadoghq.com)",
			"OpenAI", "Stripe", "Datadog", "Yz89", "a1B2", "api_key_01KJMMA2G0E8CREG05T91RTXB5", "Nightly import", "Coordinated Universal Time", "Feb", "Mar", "Dec",
		} {
			text = strings.ReplaceAll(text, own, "")
		}
		if text != strings.ToUpper(text) {
			t.Errorf("%s: some texts stay: %s", what, text)
		}
	}
	small("list")
	p.Click("button", "CONNECT: Datadog")
	p.Find("dialog", "CONNECT Datadog")
	p.Paste(`"` + canary + `0"`)
	p.Says("THIS DOES NOT LOOK LIKE A KEY OF Datadog.")
	small("form")
	p.Press("Escape")
	p.Click("button", "DISCONNECT: OpenAI")
	p.Find("alertdialog", "DISCONNECT OpenAI?")
	small("question")
	if lang := browsertest.Eval[string](p, `document.querySelector("keyvend-pipes").shadowRoot.querySelector("section").lang`); lang != "de" {
		t.Errorf("the texts are in %q", lang)
	}
}

func TestThereIsATextForAllThatIsSaid(t *testing.T) {
	texts := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^  "?([\w.]+)"?: "`).FindAllStringSubmatch(read(t, source+"/words.js"), -1) {
		texts[found[1]] = true
	}
	said := map[string]bool{}
	for _, name := range []string{"element", "list", "ledger", "form", "words"} {
		for _, found := range regexp.MustCompile(`say\((?:[\w.]+ \? )?"(\w+)"(?: : "(\w+)")?`).FindAllStringSubmatch(read(t, source+"/"+name+".js"), -1) {
			said[found[1]] = true
			if found[2] != "" {
				said[found[2]] = true
			}
		}
	}
	for _, found := range regexp.MustCompile(`"(doubt|taken)": (?:\[([^\]]*)\]|("\w+"))`).FindAllStringSubmatch(read(t, "../../pkg/paste/testdata/cases.json"), -1) {
		for _, what := range regexp.MustCompile(`\w+`).FindAllString(found[2]+found[3], -1) {
			said[found[1]+"."+what] = true
		}
	}
	for name := range said {
		if !texts[name] {
			t.Errorf("there is no text for %s", name)
		}
	}
	if len(texts) < 80 || len(said) < 60 {
		t.Errorf("%d texts, %d of them are said", len(texts), len(said))
	}
}

func TestHeadingsFitIntoThePage(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(`heading-level="3"`))
	p.Says("Datadog")
	p.Click("button", "Connect: Datadog")
	const levels = `[...e.shadowRoot.querySelectorAll("h2, h3")].map((h) => h.ariaLevel).join("")`
	if got := pipes[string](p, levels); got != "34443" {
		t.Errorf("the headings are of the levels %s", got)
	}
	p.Press("Escape")
	p.Gone("dialog", "Connect Datadog")
	for attribute, want := range map[string]string{"1": "1222", "": "2333", "x": "2333", "9": "5666"} {
		p.Do(`document.querySelector("keyvend-pipes").setAttribute("heading-level", ` + quoted(attribute) + `)`)
		if got := pipes[string](p, levels); got != want {
			t.Errorf("%q: the headings are of the levels %s", attribute, got)
		}
	}
}
