package widget_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
	"keyvend/infra/testbed"
)

const embedPath = "/embed/" + tenantID

// framing is a page of the product that frames the widget with what stands behind
// the # of its address. It keeps all messages in window.got and answers those that
// ask for a token.
func (k *keyvend) framing(behind string) string {
	return k.page("/framing", "<iframe title='Connections' width='700' height='700'></iframe>", `
		window.got = [];
		const frame = document.querySelector("iframe");
		addEventListener("message", ({ origin, source, data }) => {
			if (source !== frame.contentWindow) return;
			got.push({ origin, ...data });
			if (data.type === "keyvend:token-needed") frame.contentWindow.postMessage({ type: "keyvend:token", token: `+quoted(k.token(time.Hour))+` }, `+quoted(k.url)+`);
		});
		frame.src = `+quoted(k.url+embedPath+behind)+`;`)
}

func TestTheWidgetInAFrameGetsItsTokenByMessageAndTellsNoKey(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.framing("#origin=" + k.host + "&theme=dark&dir=rtl&locale=de-DE"))
	frame := p.Frame(embedPath)
	frame.Click("button", "Connect: OpenAI")
	frame.Find("dialog", "Connect OpenAI")
	p.Type(openAIKey)
	p.Press("Enter")
	frame.Says("OpenAI: the key is saved.")
	frame.Says("Connected since 03.02.2026")
	if place := browsertest.Eval[string](frame, `location.hash + document.documentElement.dir + document.querySelector("keyvend-pipes").getAttribute("theme")`); place != "rtldark" {
		t.Errorf("the frame is %s", place)
	}
	p.Do(`document.querySelector("iframe").contentWindow.postMessage({ type: "keyvend:texts", texts: { title: "My keys" } }, ` + quoted(k.url) + `)`)
	frame.Says("My keys")

	p.Wait("what happened to be told", func() bool {
		return browsertest.Eval[bool](p, `["keyvend:token-needed", "keyvend:height", "keyvend-connected"].every((type) => got.some((m) => m.type === type))`)
	})
	told := browsertest.Eval[string](p, `JSON.stringify(got)`)
	if strings.Contains(told, canary) || !strings.Contains(told, `"detail":{"slug":"openai","account_id":"`+accountID("openai")+`"}`) {
		t.Errorf("the frame tells %s", told)
	}
	if strangers := browsertest.Eval[int](p, `got.filter((m) => m.origin !== `+quoted(k.url)+`).length`); strangers != 0 {
		t.Error("somebody else speaks")
	}
	gone(t, p, openAIKey)
	calm(t, p)
}

func TestAFrameTellsHowHighItHasToBeForWhatIsOpen(t *testing.T) {
	k := newKeyvend(t)
	k.offer("datadog", nil)
	p := browsertest.Open(t)
	p.Visit(k.framing("#origin=" + k.host))
	p.Do(`addEventListener("message", ({ data }) => { if (data.type === "keyvend:height") document.querySelector("iframe").height = data.height; })`)
	frame := p.Frame(embedPath)
	fits := func(what string) int {
		t.Helper()
		p.Wait(what+" is shown whole", func() bool {
			return browsertest.Eval[bool](frame, `(() => {
				const e = document.querySelector("keyvend-pipes"), dialog = e.shadowRoot.querySelector("dialog");
				return document.documentElement.scrollHeight <= innerHeight && (!dialog || dialog.scrollHeight <= dialog.clientHeight);
			})()`)
		})
		return browsertest.Eval[int](frame, `innerHeight`)
	}
	frame.Find("button", "Connect: Datadog")
	p.Do(`document.querySelector("iframe").height = 100`)
	frame.Click("button", "Connect: Datadog")
	frame.Find("dialog", "Connect Datadog")
	form := fits("the form")
	p.Press("Enter")
	frame.Says("API key is missing.")
	if withError := fits("the form with an error"); withError <= form {
		t.Errorf("%d pixels without, and %d with an error", form, withError)
	}
	p.Press("Escape")
	p.Wait("a lower frame", func() bool { return browsertest.Eval[int](frame, `innerHeight`) < form })
	fits("the list")
}

func TestAFrameHearsAndTellsNobodyButTheSiteThatItWasMadeFor(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.framing("#origin=https://another.example"))
	frame := p.Frame(embedPath)
	frame.Says("Loading your connections")
	p.Do(`document.querySelector("iframe").contentWindow.postMessage({ type: "keyvend:token", token: ` + quoted(k.token(time.Hour)) + ` }, "*")`)
	p.Do(`document.querySelector("iframe").contentWindow.postMessage({ type: "keyvend:texts", texts: { title: "Phished" } }, "*")`)
	p.Do(`await new Promise((done) => requestAnimationFrame(() => setTimeout(done)))`)
	if text := frame.Text(); text != "Connections Loading your connections…" {
		t.Errorf("the frame says %s", text)
	}
	if told := browsertest.Eval[string](p, `JSON.stringify(got)`); told != "[]" {
		t.Errorf("the frame tells %s", told)
	}
	frame.Says("Its own origin has to be the one behind the #")
}

func TestATokenBehindTheAddressIsTakenAwayFromThereAtOnce(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	token := k.token(time.Hour)
	p.Visit(k.framing("#token=" + token))
	frame := p.Frame(embedPath)
	frame.Find("button", "Connect: OpenAI")
	if left := browsertest.Eval[string](frame, `location.href`); strings.Contains(left, "#") {
		t.Errorf("left: %s", left)
	}
	for _, r := range p.Requests() {
		if strings.Contains(r.Body, token) {
			t.Errorf("the token is in %v", r)
		}
	}
	calm(t, p)
}

func TestATokenBehindTheAddressIsUsedAlsoWhereMessagesBringTheNext(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	first := k.token(time.Hour)
	p.Visit(k.framing("#origin=" + k.host + "&token=" + first))
	frame := p.Frame(embedPath)
	frame.Find("button", "Connect: OpenAI")
	const asked = `got.filter(({ type }) => type === "keyvend:token-needed").length`
	if n := browsertest.Eval[int](p, asked); n != 0 {
		t.Errorf("%d tokens were asked for beside the one that was there", n)
	}
	p.Wait("its height to be told", func() bool { return browsertest.Eval[bool](p, `got.some(({ type }) => type === "keyvend:height")`) })
	k.revokeOne(first)
	bring := func() {
		t.Helper()
		frame.Click("button", "Connect: OpenAI")
		frame.Find("dialog", "Connect OpenAI")
		p.Type(openAIKey)
		p.Press("Enter")
	}
	bring()
	frame.Says("OpenAI: the key is saved.")

	stranger := k.tokenOf(anna, "tenant_01KJMMA2G0E8CREG05T91RTXB5", time.Hour)
	p.Visit("about:blank")
	p.Visit(k.framing("#origin=" + k.host + "&token=" + stranger))
	p.Frame(embedPath).Says("This token is another tenant's")

	// A site that sends no messages has no other one.
	k.mu.Lock()
	clear(k.accounts)
	k.mu.Unlock()
	p.Visit("about:blank")
	p.Visit(k.page("/silent", "<iframe title='Connections' width='700' height='700' src='"+k.url+embedPath+"#origin="+k.host+"&token="+k.token(time.Hour)+"'></iframe>", ""))
	frame = p.Frame(embedPath)
	frame.Find("button", "Connect: OpenAI")
	k.revoke()
	bring()
	frame.Says("Your session has ended.")
}

// A link cannot have people bring their keys to somebody else's account.
func TestALinkShowsNobodyAWidget(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	for _, behind := range []string{"#token=" + k.token(time.Hour), "#origin=" + k.host, "#origin=" + k.url + "&token=" + k.token(time.Hour), ""} {
		p.Visit("about:blank")
		p.Visit(k.url + embedPath + behind)
		p.Says("Open the app that you use, and look for your connections there.")
		if left := browsertest.Eval[string](p, `location.href`); strings.Contains(left, "#") {
			t.Errorf("left: %s", left)
		}
		p.Do(`postMessage({ type: "keyvend:token", token: ` + quoted(k.token(time.Hour)) + ` }, "*"); await new Promise((done) => setTimeout(done))`)
		if browsertest.Eval[bool](p, `document.querySelector("keyvend-pipes") !== null`) {
			t.Errorf("%s shows a widget", behind)
		}
	}
	for _, r := range p.Requests() {
		if strings.Contains(r.URL, "/_widgets/") {
			t.Errorf("asked: %v", r)
		}
	}
	calm(t, p)
}

func TestAFrameSaysWhatItLacks(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.framing(""))
	p.Frame(embedPath).Says("has to name itself behind the # of the address: #origin=https://app.example.com")

	stranger := k.tokenOf(anna, "tenant_01KJMMA2G0E8CREG05T91RTXB5", time.Hour)
	p.Visit("about:blank")
	p.Visit(k.framing("#token=" + stranger))
	p.Frame(embedPath).Says("This token is another tenant's")

	p.Visit("about:blank")
	p.Visit(k.framing("#origin=" + k.host))
	frame := p.Frame(embedPath)
	frame.Find("button", "Connect: OpenAI")
	p.Do(`document.querySelector("iframe").contentWindow.postMessage({ type: "keyvend:token", token: ` + quoted(stranger) + ` }, ` + quoted(k.url) + `)`)
	frame.Says("This token is another tenant's")
	if browsertest.Eval[bool](frame, `document.querySelector("keyvend-pipes") !== null`) {
		t.Error("the widget is there still")
	}
}

func TestAxeFindsNothingOnThePageForFrames(t *testing.T) {
	axe, err := os.ReadFile(testbed.Tool(t, "web/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	k := furnished(t)
	for _, theme := range []string{"light", "dark"} {
		p := browsertest.Open(t)
		p.Prefer(theme, true)
		p.Visit(k.url + embedPath)
		p.Says("Open the app that you use")
		if found := findings(p, string(axe)); found != "" {
			t.Errorf("%s, without an app: %s", theme, found)
		}
		p.Visit(k.framing("#token=" + k.token(time.Hour)))
		frame := p.Frame(embedPath)
		frame.Says("Datadog")
		if found := findings(frame, string(axe)); found != "" {
			t.Errorf("%s, list: %s", theme, found)
		}
		frame.Click("button", "Connect: Datadog")
		frame.Find("dialog", "Connect Datadog")
		if found := findings(frame, string(axe)); found != "" {
			t.Errorf("%s, form: %s", theme, found)
		}
		p.Press("Escape")
		p.Do(`document.querySelector("iframe").width = 320`)
		if wide := browsertest.Eval[string](frame, overflow); wide != "" {
			t.Errorf("%s: %s", theme, wide)
		}
	}
}
