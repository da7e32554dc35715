package widget_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
)

// pipes evaluates an expression about the element, which it calls e.
func pipes[T any](p *browsertest.Page, expression string) T {
	return browsertest.Eval[T](p, `(() => { const e = document.querySelector("keyvend-pipes"); return `+expression+`; })()`)
}

func TestALateListReplacesNoNewerOne(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Says("Not connected")
	release := k.hold(listPath)
	p.Do(`window.late = document.querySelector("keyvend-pipes").reload(); void 0`)
	p.Wait("a list that is late", func() bool { return k.waiting(listPath) == 1 })
	k.pass(listPath)
	p.Click("button", "Connect: OpenAI")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Find("button", "Replace key: OpenAI")
	release()
	p.Do(`await late`)
	if len(p.All("button", "Replace key: OpenAI")) != 1 {
		t.Errorf("the late list is shown: %s", p.Text())
	}
}

func TestWhatIsOpenAndEnteredSurvivesThatTheListIsMadeAnew(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Who used it: OpenAI")
	p.Says("with Nightly import")
	p.Click("button", "Connect: Datadog")
	p.Find("dialog", "Connect Datadog")
	const key = "0123456789abcdef0123456789abcdef"
	p.Paste(key)
	p.Press("Tab", "Tab", "ArrowDown", "ArrowDown")
	const state = `e.shadowRoot.querySelector("#secret").value + " " + e.shadowRoot.querySelector("select").value + " " + e.shadowRoot.querySelector(".ledger:not([hidden])")?.textContent.includes("Nightly import")`
	same := func(what string) {
		t.Helper()
		p.Wait(what+", and all is as it was", func() bool { return pipes[string](p, state) == key+" us3.datadoghq.com true" })
	}
	for what, change := range map[string]string{
		"the list was loaded again": `await e.reload()`,
		"there are other texts":     `e.texts = { title: "Mine" }`,
		"there are pictures":        `e.logos = { openai: "/openai.svg" }`,
		"there is another token":    `e.setAttribute("token", ` + quoted(k.token(time.Hour)) + `)`,
	} {
		p.Do(`const e = document.querySelector("keyvend-pipes"); ` + change)
		same(what)
	}
	// Also while the list cannot be loaded, and when it can again.
	k.answer(listPath, http.StatusServiceUnavailable, `{"message":"The service is busy."}`)
	p.Do(`await document.querySelector("keyvend-pipes").reload()`)
	k.answer(listPath, 0, "")
	p.Do(`document.querySelector("keyvend-pipes").setAttribute("token", ` + quoted(k.token(time.Hour)) + `)`)
	same("the list is there again")
	p.Click("button", "Save key")
	p.Says("Datadog: the key is saved.")
	if keys := k.keys(); len(keys) != 1 || keys[0]["secret"] != key || keys[0]["config"].(object)["site"] != "us3.datadoghq.com" {
		t.Errorf("stored: %v", keys)
	}
	p.Click("button", "Who used it: OpenAI")
	p.Wait("reads that are hidden again", func() bool { return pipes[bool](p, `e.shadowRoot.querySelector(".ledger:not([hidden])") === null`) })
	p.Do(`await document.querySelector("keyvend-pipes").reload()`)
	if !pipes[bool](p, `e.shadowRoot.querySelector(".ledger:not([hidden])") === null`) {
		t.Error("what was folded up unfolds")
	}
}

func TestWhatIsSaidOfAKeyIsWhatTheNewestListSays(t *testing.T) {
	k := newKeyvend(t)
	mine := account("openai", "Yz89")
	k.offer("openai", mine)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Replace key: OpenAI")
	p.Paste(openAIKey)
	k.mu.Lock()
	mine["health"] = health("valid", "works", "The key works.")
	k.mu.Unlock()
	first := k.hold(listPath)
	p.Press("Enter")
	p.Wait("the list after the save", func() bool { return k.waiting(listPath) == 1 })
	second := k.hold(listPath)
	p.Do(`document.querySelector("keyvend-pipes").reload(); void 0`) // which makes that one late
	p.Wait("another list", func() bool { return k.waiting(listPath) == 2 })
	first()
	p.Wait("the late one to have come", func() bool {
		return browsertest.Eval[int](p, `performance.getEntriesByType("resource").filter(({ name }) => name.endsWith("/_widgets/keyvend/providers")).length`) == 2
	})
	second()
	p.Says("OpenAI: the key is saved, and it works.")
}

func TestWhatIsSaidOfAKeyLastsNoLongerThanItIsTrue(t *testing.T) {
	k := newKeyvend(t)
	mine := account("openai", "Yz89")
	k.offer("openai", mine)
	p := browsertest.Open(t)
	change := func(with object) {
		t.Helper()
		k.mu.Lock()
		maps.Copy(mine, with)
		k.mu.Unlock()
		p.Do(`await document.querySelector("keyvend-pipes").reload()`)
	}
	news := func() string { return pipes[string](p, `e.shadowRoot.querySelector(".news").textContent`) }
	save := func() {
		t.Helper()
		p.Click("button", "Replace key: OpenAI")
		p.Find("dialog", "Replace the key of OpenAI")
		p.Paste(openAIKey)
		p.Press("Enter")
		p.Says("OpenAI: the key is saved")
	}
	p.Visit(k.element(""))
	save()
	change(object{"last_used_at": "2026-03-01T12:00:00.000Z"})
	for _, c := range []struct {
		with object
		says string
	}{
		{object{"expires_at": nil}, "OpenAI: the key is saved. It will be checked soon."},
		{object{"health": health("valid", "works", "The key works.")}, "OpenAI: the key is saved, and it works."},
		{object{"health": health("limited", "restricted", "It lacks a permission.")}, "OpenAI: the key is saved. It lacks a permission."},
		{object{"state": "needs_reauthorization", "health": health("invalid", "refused", "The provider refuses this key.")}, ""},
	} {
		if change(c.with); news() != c.says {
			t.Errorf("%v: it says %q", c.with, news())
		}
	}

	// Above a list that cannot be loaded, or whose session has ended, nothing is praised.
	good := object{"state": "connected", "health": health("valid", "works", "The key works.")}
	for status, body := range map[int]string{
		http.StatusServiceUnavailable: `{"message":"The service is busy."}`,
		http.StatusForbidden:          `{"message":"This widget token is not valid.","code":"invalid_widget_token"}`,
	} {
		change(good)
		save()
		k.answer(listPath, status, body)
		if change(good); news() != "" {
			t.Errorf("%d: it says %q", status, news())
		}
		k.answer(listPath, 0, "")
		change(good)
	}

	// But that a key was stored is said, also when the list does not come after it.
	p.Click("button", "Replace key: OpenAI")
	p.Find("dialog", "Replace the key of OpenAI")
	k.answer(listPath, http.StatusServiceUnavailable, `{"message":"The service is busy."}`)
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("OpenAI: the key is saved. It will be checked soon.")
	k.answer(listPath, 0, "")
	if change(good); news() != "OpenAI: the key is saved, and it works." {
		t.Errorf("with the list it says %q", news())
	}

	p.Click("button", "Disconnect: OpenAI")
	p.Find("alertdialog", "Disconnect OpenAI?")
	p.Click("button", "Disconnect")
	p.Says("OpenAI is disconnected.")
	k.mu.Lock()
	k.accounts[owner{anna, "openai"}] = mine // in another tab
	k.mu.Unlock()
	if change(good); news() != "" {
		t.Errorf("of a key that is there it says %q", news())
	}
}

// oneRead is what there is to tell of a key that was read once.
func oneRead(name string) []object {
	return []object{{
		"window_start": "2026-03-01T23:55:00.000Z", "count": 1, "last_read_at": "2026-03-01T23:58:00.000Z",
		"api_key_id": "api_key_01KJMMA2G0E8CREG05T91RTXB4", "api_key_name": name,
	}}
}

var readsPath = "GET /_widgets/keyvend/accounts/" + accountID("openai") + "/reads"

func TestALateAnswerAboutReadsReplacesNoNewerOne(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", account("openai", "Yz89"))
	k.reads = oneRead("Nightly import")
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	release := k.hold(readsPath)
	k.answer(readsPath, http.StatusServiceUnavailable, `{"message":"The service is busy."}`)
	p.Click("button", "Who used it: OpenAI")
	p.Wait("an answer that is late", func() bool { return k.waiting(readsPath) == 1 })
	k.pass(readsPath)
	k.answer(readsPath, 0, "")
	p.Do(`document.querySelector("keyvend-pipes").reload(); void 0`)
	p.Says("with Nightly import")
	release()
	asked := func() int {
		return browsertest.Eval[int](p, `performance.getEntriesByType("resource").filter(({ name }) => name.endsWith("/reads")).length`)
	}
	p.Wait("the late one to have come", func() bool { return asked() == 2 })
	p.Do(`await new Promise((done) => setTimeout(done))`)
	if says := p.Text(); !strings.Contains(says, "with Nightly import") || strings.Contains(says, "could not be loaded") {
		t.Errorf("the late one is shown: %s", says)
	}
	// What only draws the list anew asks for nothing.
	p.Do(`const e = document.querySelector("keyvend-pipes"); e.texts = { title: "Mine" }; e.logos = {}; e.setAttribute("locale", "de-DE"); await new Promise((done) => setTimeout(done))`)
	p.Says("Mine")
	p.Says("with Nightly import")
	if n := asked(); n != 2 {
		t.Errorf("the reads were asked for %d times", n)
	}
}

func TestAListThatIsTheSameIsNotMadeAnew(t *testing.T) {
	k := furnished(t)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Who used it: OpenAI")
	p.Says("with Nightly import")
	p.Do(`window.button = document.querySelector("keyvend-pipes").shadowRoot.querySelector("li button")`)
	k.mu.Lock()
	k.reads = append(oneRead("Exports"), k.reads...)
	k.mu.Unlock()
	p.Do(`await document.querySelector("keyvend-pipes").reload()`)
	p.Says("with Exports")
	if !browsertest.Eval[bool](p, `button.isConnected`) {
		t.Error("the button under the mouse is another")
	}
	k.offer("linear", nil)
	p.Do(`await document.querySelector("keyvend-pipes").reload()`)
	p.Find("button", "Connect: Linear")
	if browsertest.Eval[bool](p, `button.isConnected`) {
		t.Error("what has changed is not shown")
	}
}

func TestTwoQuickClicksStoreAndDisconnectOnce(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	p.Click("button", "Connect: OpenAI")
	p.Paste(openAIKey)
	release := k.hold(putPath)
	twice := `const b = [...document.querySelector("keyvend-pipes").shadowRoot.querySelectorAll("dialog .actions button")]; b.find((x) => x.matches(".main, .danger")).click(); b.find((x) => x.matches(".main, .danger")).click()`
	p.Do(twice)
	p.Press("Enter")
	p.Find("button", "Saving…")
	release()
	p.Says("the key is saved")
	p.Click("button", "Disconnect: OpenAI")
	p.Find("alertdialog", "Disconnect OpenAI?")
	p.Do(twice)
	p.Says("OpenAI is disconnected.")
	deletes := 0
	for _, r := range p.Requests() {
		if r.Method == http.MethodDelete {
			deletes++
		}
	}
	if len(k.keys()) != 1 || deletes != 1 {
		t.Errorf("stored %d times, disconnected %d times", len(k.keys()), deletes)
	}
	calm(t, p)
}

func TestWhoClosesAFormThatSavesIsToldWhatBecameOfIt(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.element(""))
	for _, c := range []struct {
		status int
		says   string
	}{
		{http.StatusUnprocessableEntity, "OpenAI: the key was not saved. The provider refuses this key. Nothing was stored. Enter the key once more."},
		{0, "OpenAI: the key is saved. It will be checked soon."},
	} {
		k.answer(putPath, c.status, `{"message":"The provider refuses this key.","code":"key_refused"}`)
		release := k.hold(putPath)
		p.Click("button", "Connect: OpenAI")
		p.Paste(openAIKey)
		p.Press("Enter")
		p.Find("button", "Saving…")
		p.Press("Escape")
		p.Gone("dialog", "Connect OpenAI")
		release()
		p.Says(c.says)
	}
}

func TestAServerThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.page("/impatient", `<keyvend-pipes token="`+k.token(time.Hour)+`"></keyvend-pipes>`, `
		const usual = AbortSignal.timeout.bind(AbortSignal);
		window.patience = 0;
		AbortSignal.timeout = (ms) => {
			patience = ms;
			if (!window.hurry) return usual(ms);
			window.hurry = false;
			const clock = new AbortController();
			window.timeOut = () => clock.abort();
			return clock.signal;
		};`))
	p.Click("button", "Connect: OpenAI")
	p.Paste(openAIKey)
	k.hold(putPath)
	p.Do(`window.hurry = true`)
	p.Press("Enter")
	p.Wait("a key that is stored", func() bool { return k.waiting(putPath) == 1 })
	p.Do(`timeOut()`)
	p.Says("The server did not answer. Look whether you are online, and try again. Nobody knows whether the key was stored.")
	if wait := browsertest.Eval[int](p, `patience`); wait < 35_000 || wait > 60_000 {
		t.Errorf("an answer may take %d ms", wait)
	}
	p.Says("Key that ends with") // it was stored after all
}

func TestAnElementThatIsTakenAwayAsksForNothingMore(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	p := browsertest.Open(t)
	p.Visit(k.renewing(k.token(10 * time.Minute)))
	p.Says("OpenAI")
	p.Do(`document.querySelector("keyvend-pipes").authToken = () => new Promise((give) => { window.give = give; })`)
	p.Wait("a token to be asked for", func() bool { return browsertest.Eval[bool](p, `"give" in window`) })
	p.Do(`timers.length = 0; document.querySelector("keyvend-pipes").remove(); give(` + quoted(k.token(10*time.Minute)) + `); await new Promise((done) => setTimeout(done, 0))`)
	if timers := browsertest.Eval[int](p, `timers.filter(({ms}) => ms > 60_000).length`); timers != 0 {
		t.Errorf("%d renewals are still to come", timers)
	}
}

func TestWhateverHappensToTheElementWhileAListLoadsThrowsNothing(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	again := quoted(k.token(time.Hour))
	bob := quoted(k.tokenOf("user_bob", tenantID, time.Hour))
	p := browsertest.Open(t)
	for name, c := range map[string]struct {
		does  string // with the element e
		shows string
	}{
		"removed":                  {`e.remove()`, ""},
		"moved":                    {`document.querySelector("h1").before(e)`, "Not connected"},
		"moved, twice":             {`document.querySelector("h1").before(e); document.querySelector("h1").after(e)`, "Not connected"},
		"removed and added later":  {`e.remove(); await pause(); document.body.append(e)`, "Not connected"},
		"removed, with a reload":   {`e.remove(); await e.reload()`, ""},
		"another token":            {`e.setAttribute("token", ` + again + `)`, "Not connected"},
		"another token, and moved": {`e.setAttribute("token", ` + again + `); document.querySelector("h1").before(e)`, "Not connected"},
		"another user's token":     {`e.setAttribute("token", ` + bob + `)`, "Not connected"},
		"no token any more":        {`e.removeAttribute("token")`, "Loading"},
		"a token after none":       {`e.removeAttribute("token"); await pause(); e.setAttribute("token", ` + again + `)`, "Not connected"},
		"a function for tokens":    {`e.authToken = async () => ` + again, "Not connected"},
		"a reload, and removed":    {`e.reload(); e.remove()`, ""},
		"removed with a new token": {`e.remove(); e.setAttribute("token", ` + again + `); document.body.append(e)`, "Not connected"},
	} {
		for _, doing := range []string{"", "a save", "a disconnection"} {
			k.mu.Lock()
			delete(k.accounts, owner{anna, "openai"})
			if doing == "a disconnection" {
				k.accounts[owner{anna, "openai"}] = account("openai", "Yz89")
			}
			k.mu.Unlock()
			p.Visit(k.element(""))
			p.Do(`window.e = document.querySelector("keyvend-pipes"); window.pause = () => new Promise((done) => setTimeout(done, 50)); window.settled = [];`)
			var release func()
			switch doing {
			case "a save":
				p.Click("button", "Connect: OpenAI")
				p.Paste(openAIKey)
				release = k.hold(listPath)
				p.Press("Enter")
			case "a disconnection":
				p.Click("button", "Disconnect: OpenAI")
				release = k.hold(listPath)
				p.Click("button", "Disconnect")
			default:
				p.Says("Not connected")
				release = k.hold(listPath)
				p.Do(`settled.push(e.reload())`)
			}
			p.Wait(name+": a list that is late", func() bool { return k.waiting(listPath) > 0 })
			k.pass(listPath)
			p.Do(c.does)
			release()
			p.Wait("the late list to have gone", func() bool { return k.waiting(listPath) == 0 })
			p.Do(`await Promise.all(settled); await pause()`)
			if c.shows != "" && doing == "" {
				p.Says(c.shows)
			}
			if said := p.Console(); len(said) > 0 {
				t.Fatalf("%s during %q: %s", name, doing, said)
			}
		}
	}
}
