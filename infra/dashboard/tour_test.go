package dashboard_test

import (
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

// Texts that somebody put where a name, a description or a link belongs. Run, the
// first would set window.ran.
const (
	markup = `<img src=x onerror="ran=1"><script>ran=1</script><a href="javascript:ran=1">bold</a>`
	script = `javascript:window.ran=1`
	data   = `data:text/html,<script>parent.ran=1</script>`
)

// furnished is a tenant with something on every page: accounts of each kind of
// health, vends, events, API keys, a freeze, and texts that carry markup.
type furnished struct {
	*shop
	account, bad, odd string // ids of accounts
	keys              []string
}

func furnish(t *testing.T) furnished {
	t.Helper()
	f := furnished{shop: open(t)}
	f.fake()
	good, revoked := "fake-valid-"+f.tenant, "fake-valid-2-"+f.tenant
	f.keys = []string{good, revoked, "sk-canary-"}
	f.account = f.store("fake-bearer", "user_1", good, object{"metadata": object{"plan": "pro", markup[:20]: data}})
	f.bad = f.store("fake-bearer", "auth0|anna@example.com", revoked, object{"organization_id": "org_1"})
	f.vend("fake-bearer", "user_1")
	f.fakes.Revoke(revoked)
	f.send("POST", "/keyvend/accounts/"+f.account+"/check", nil)
	f.send("POST", "/keyvend/reports", object{"slug": "fake-bearer", "user_id": "auth0|anna@example.com", "organization_id": "org_1", "status": 401})

	f.send("POST", "/data-integrations", object{"provider": "odd", "auth_methods": []string{"api_key"}, "enabled": true, "description": markup, "custom_provider": object{"name": markup}})
	f.send("PATCH", "/keyvend/integrations/odd", object{
		"key_hint":      markup,
		"config_fields": []object{{"field": "zone", "label": markup[:28], "description": script, "required": false, "options": []object{{"value": "a", "label": data}, {"value": "b", "label": "B"}}}},
		"check": object{"placement": object{"in": "header", "name": "X-Key", "template": "{key}"}, "method": "GET", "url": "https://odd.fake-providers.example/me", "headers": object{"X-Odd": markup},
			"valid": []int{200}, "invalid": []int{401}, "when": []object{{"status": 401, "all": []object{{"path": "a.b", "one_of": []string{markup, data}}}, "verdict": "invalid"}}},
	})
	f.odd = f.store("odd", script, "sk-canary-of-nobody", object{"organization_id": "data:text,<b>", "config": object{"zone": "a"}})
	f.send("PUT", "/keyvend/organizations/org_1/freeze", object{"reason": markup})
	f.send("PUT", "/keyvend/settings", object{"allowed_origins": []string{"https://app.example.com"}})
	f.issue(markup, "read")
	for _, account := range []string{f.account, f.bad} {
		f.wait(t, account)
	}
	return f
}

// wait waits until something is known of an account's key.
func (f furnished) wait(t *testing.T, account string) {
	t.Helper()
	browsertest.Until(t, "what is known of a key", func() bool {
		health, _ := f.send("GET", "/keyvend/accounts/"+account, nil)["health"].(object)
		return health != nil && health["verdict"] != "unknown"
	})
}

// A stop is a page of the tour, or a page with a dialog.
type stop struct {
	name, place string
	ready       string                    // a heading that shows that it is there
	open        func(p *browsertest.Page) // opens its dialog
}

// dialog presses a button and waits for the dialog that it opens.
func dialog(button, title string) func(*browsertest.Page) {
	return func(p *browsertest.Page) {
		p.Click("button", button)
		p.Find("dialog", title)
	}
}

// tour is every page, and every dialog on one.
func (f furnished) tour() []stop {
	unfolded := func(p *browsertest.Page) {
		p.Do(`for (const d of document.querySelectorAll("details")) d.open = true`)
	}
	whole := func(p *browsertest.Page) {
		for _, button := range []string{"Add setting", "Add header", "Add rule"} {
			if button == "Add header" {
				p.Click("checkbox", "Check keys")
			}
			p.Click("button", button)
		}
		p.Click("button", "Connect")
		p.Says("Name is missing.")
	}
	return []stop{
		{"integrations", "integrations", "Integrations", func(p *browsertest.Page) { p.Says("1 works") }},
		{"an integration", "integrations/fake-bearer", "Fake bearer", unfolded},
		{"an odd integration", "integrations/odd", markup, unfolded},
		{"removal", "integrations/fake-bearer", "Fake bearer", dialog("Remove Fake bearer", "Remove Fake bearer?")},
		{"freeze", "integrations/fake-bearer", "Fake bearer", dialog("Freeze Fake bearer", "Freeze Fake bearer?")},
		{"the catalog", "connect", "Connect a provider", func(p *browsertest.Page) { p.Fill("searchbox", "Search (optional)", "data") }},
		{"connecting", "connect/grafana", "Connect Grafana", nil},
		{"a provider of one's own", "custom-provider", "Define a provider", whole},
		{"accounts", "accounts", "Accounts", nil},
		{"no such accounts", "accounts?user_id=nobody", "Accounts", nil},
		{"an account", "accounts/" + f.account, "user_1 at fake-bearer", nil},
		{"an account that needs a key", "accounts/" + f.bad, "auth0|anna@example.com at fake-bearer", nil},
		{"an odd account", "accounts/" + f.odd, script + " at odd", nil},
		{"disconnecting", "accounts/" + f.account, "user_1 at fake-bearer", dialog("Disconnect", "Disconnect this account?")},
		{"asking for a key", "accounts/" + f.account, "user_1 at fake-bearer", dialog("Ask for a new key", "Ask for a new key?")},
		{"offboarding", "accounts?user_id=user_1", "Accounts", dialog("Offboard user user_1", "Offboard user user_1?")},
		{"organizations", "organizations", "Organizations", nil},
		{"a frozen organization", "organizations/org_1", "Organization org_1", nil},
		{"events", "events", "Events", unfolded},
		{"API keys", "api-keys", "API keys", nil},
		{"revoking", "api-keys", "API keys", dialog("Revoke backend", "Revoke backend?")},
		{"a new API key", "api-keys", "API keys", func(p *browsertest.Page) {
			p.Fill("textbox", "Name", "touring")
			p.Click("checkbox", "Read: look, and change nothing.")
			p.Click("button", "Issue")
			p.Find("dialog", "The new API key")
		}},
		{"settings", "settings", "Settings", nil},
		{"signing out everyone", "settings", "Settings", dialog("Sign everyone out", "Sign everyone out?")},
		{"no such page", "nowhere", "No such page", nil},
		{"a failure", "events?from=yesterday", "This page cannot be shown", nil},
		{"signing in again", "settings", "Settings", func(p *browsertest.Page) {
			f.send("DELETE", "/keyvend/sessions", nil)
			p.Click("link", "Events")
			p.Find("dialog", "Sign in again")
		}},
		{"signing in", "", "Sign in to keyvend", func(p *browsertest.Page) {
			p.Click("button", "Sign in")
			p.Says("API key is missing.")
		}},
	}
}

// take goes through the tour in a tab, and has each stop looked at.
func (f furnished) take(p *browsertest.Page, look func(name string)) {
	p.Visit(f.url + page + "#key=" + f.desk)
	p.Find("heading", "Integrations")
	before := ""
	for _, s := range f.tour() {
		switch s.place {
		case "":
			p.Click("button", "Sign out")
		case before: // what is open has to close
			f.at(p, "")
			p.Find("heading", "Integrations")
			fallthrough
		default:
			f.at(p, s.place)
		}
		before = s.place
		p.Find("heading", s.ready)
		if s.open != nil {
			s.open(p)
		}
		look(s.name)
		// A dialog without a way out is left by doing what it asks for.
		if len(p.All("button", "I have stored it")) > 0 {
			p.Click("button", "I have stored it")
			p.Gone("dialog", "")
		}
	}
}

// overflow names what is wider than the page.
const overflow = `(() => {
	const wide = [];
	for (const e of document.querySelectorAll("body *")) {
		const box = e.getBoundingClientRect();
		const clipped = e.closest(".unseen, .skip, svg");
		if (!clipped && box.width > 2 && (box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5)) wide.push(e.tagName + "." + e.className + " " + box.left + "–" + box.right);
	}
	if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wide.push("the page");
	return wide.slice(0, 5).join(", ");
})()`

// moving names what moves.
const moving = `[...document.querySelectorAll("*")]
	.flatMap((e) => ["", "::before", "::after", "::backdrop"].map((part) => [e, getComputedStyle(e, part || null)]))
	.filter(([, s]) => s.animationName !== "none" || s.transitionDuration !== "0s" || s.scrollBehavior === "smooth")
	.map(([e]) => e.tagName + "." + e.className).slice(0, 5).join(", ")`

// made names what a text became that should be text: it ran, or is an element or a
// link that leads anywhere but to a page of https.
const made = `(() => {
	const found = [...document.querySelectorAll("img, iframe, object, embed, base, body script, body style, body link, body meta")].map((e) => e.outerHTML);
	if ("ran" in window) found.push("something that ran");
	for (const e of document.querySelectorAll("body [href], body [src], body [action], body [formaction], body [srcdoc], body [style]")) {
		if (!/^(#|https:)/.test(e.getAttribute("href") ?? "")) found.push(e.outerHTML);
	}
	return found.join(", ");
})()`

// passing names what a hole would try and the page's policy does not refuse.
const passing = `(async () => {
	const passed = [];
	const threw = (what, run) => { try { run(); passed.push(what); } catch {} };
	threw("innerHTML", () => { document.createElement("div").innerHTML = "<b>"; });
	threw("a policy for trusted types", () => trustedTypes.createPolicy("default", { createHTML: (text) => text }));
	threw("a script's text", () => { document.createElement("script").text = "window.ran = 1"; });
	const violated = (directive) => new Promise((done) => {
		const stop = setTimeout(() => { passed.push(directive); done(); }, 20_000);
		addEventListener("securitypolicyviolation", (e) => { if (e.effectiveDirective === directive) { clearTimeout(stop); done(); } });
	});
	const refused = Promise.all([violated("connect-src"), violated("style-src-elem")]);
	await fetch("http://127.0.0.1:1/").then(() => passed.push("a request elsewhere"), () => {});
	const style = document.createElement("style");
	document.head.append(style);
	style.append("body { outline: 7px solid }");
	if (getComputedStyle(document.body).outlineWidth === "7px") passed.push("an inline style");
	style.remove();
	await refused;
	return passed.join(", ");
})()`

// A guarantee holds on every page: what breaks it is told, "" when nothing does.
type guarantee struct {
	name   string
	breaks func(*browsertest.Page) string
}

// hold takes the tour with guarantees, and reports each for itself.
func (f furnished) hold(t *testing.T, p *browsertest.Page, guarantees ...guarantee) {
	t.Helper()
	broken := make([][]string, len(guarantees))
	f.take(p, func(name string) {
		for i, g := range guarantees {
			if what := g.breaks(p); what != "" {
				broken[i] = append(broken[i], name+": "+what)
			}
		}
	})
	for i, g := range guarantees {
		t.Run(g.name, func(t *testing.T) {
			for _, what := range broken[i] {
				t.Error(what)
			}
		})
	}
}

// evaluates is what an expression in the page says.
func evaluates(expression string) func(*browsertest.Page) string {
	return func(p *browsertest.Page) string { return browsertest.Eval[string](p, expression) }
}

func TestOnEveryPageAndDialogOf320PixelsInTheLight(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	long := strings.Repeat("Long", 30)
	f.send("POST", "/data-integrations", object{"provider": strings.Repeat("l", 64), "auth_methods": []string{"api_key"}, "enabled": true, "custom_provider": object{"name": long}})
	f.store("fake-bearer", long, "fake-valid-long-"+f.tenant)
	axe := browsertest.Axe(t)
	p := browsertest.Open(t)
	p.Resize(320, 700)
	p.Prefer("light", true)
	seen := map[string]bool{}
	f.hold(t, p,
		guarantee{"nothing is wider than the page", evaluates(overflow)},
		guarantee{"nothing moves for who wants it still", evaluates(moving)},
		guarantee{"F48 texts with markup are texts", func(p *browsertest.Page) string {
			for _, text := range []string{markup, script, data} {
				seen[text] = seen[text] || strings.Contains(p.Text(), text)
			}
			return browsertest.Eval[string](p, made)
		}},
		guarantee{"F45 no stored key is there", func(p *browsertest.Page) string {
			held := browsertest.Eval[string](p, "document.documentElement.outerHTML + JSON.stringify([{...sessionStorage}, {...localStorage}])")
			for _, key := range f.keys {
				if strings.Contains(held, key) {
					return key
				}
			}
			return ""
		}},
		guarantee{"axe finds nothing", func(p *browsertest.Page) string { return p.Findings(axe) }},
	)
	if !seen[markup] || !seen[script] || !seen[data] {
		t.Errorf("not every text was shown as it is: %v", seen)
	}
	for _, line := range p.Console() {
		if !strings.Contains(line, "status of 4") { // the refusals that the tour goes through
			t.Errorf("the console says: %s", line)
		}
	}
	for _, r := range p.Requests() {
		if !strings.HasPrefix(r.URL, f.url+"/") && !strings.HasPrefix(r.URL, "data:image/") { // the browser's own icons
			t.Errorf("others are asked: %s", r)
		}
	}
	p.Do(`document.body.append(document.createElement("input"))`)
	if found := p.Findings(axe); !strings.Contains(found, "label") {
		t.Errorf("a field without a name is not found: %s", found)
	}
}

func TestOnEveryPageAndDialogInTheDark(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	axe := browsertest.Axe(t)
	p := browsertest.Open(t)
	p.Prefer("dark", false)
	f.hold(t, p,
		guarantee{"axe finds nothing", func(p *browsertest.Page) string { return p.Findings(axe) }},
		guarantee{"F48 the policy refuses what a hole would try", evaluates(passing)},
		guarantee{"every control is reached with the keyboard and seen there", unreached},
	)
}
