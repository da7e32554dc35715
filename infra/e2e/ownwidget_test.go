package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"keyvend/infra/browsertest"
	"keyvend/infra/fakeprovider"
)

// ownWidget is about <keyvend-pipes> in a product's pages, in a real Chromium.
func ownWidget() []guarantee {
	return []guarantee{
		{"a_user_connects_replaces_and_disconnects_a_key_in_keyvend's_own_widget", ownWidgetFlow},
		{"a_user_connects_a_key_in_a_frame_of_a_listed_site", ownWidgetInAFrame},
	}
}

// app is a product with keyvend's widget in its page.
type app struct {
	*httptest.Server
	minted atomic.Int32 // tokens
}

// newApp serves the product of a shop, whose origin is on the tenant's list. body is
// what its page holds, beside a script.
func newApp(t *testing.T, s shop, body, script string) *app {
	t.Helper()
	p := &app{}
	backend := s.with("widget")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		p.minted.Add(1)
		a, err := backend.try(request{method: "POST", path: "/widgets/token", header: http.Header{"Authorization": {"Bearer " + backend.key}}, body: m{"user_id": "ada"}})
		if err != nil || a.status != http.StatusCreated {
			t.Errorf("a token is not minted: %v %v", a, err)
		}
		_, _ = io.WriteString(w, a.text("token"))
	})
	mux.HandleFunc("GET /app.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, `const token = async () => (await fetch("/token", { method: "POST" })).text();`+"\n"+script)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,">%s
<script type="module" src="/app.js"></script><script type="module" src="%s/widget.js"></script>`, body, s.target.url)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	s.do("PUT", "/keyvend/settings", m{"allowed_origins": []string{p.URL}}).is(200)
	return p
}

// calm fails the test if a page has asked anyone but its app and keyvend, or if the
// browser said what it should not.
func (p *app) calm(t *testing.T, page *browsertest.Page, k *target) {
	t.Helper()
	for _, asked := range page.Asked() {
		_, url, _ := strings.Cut(asked, " ")
		if !strings.HasPrefix(url, p.URL) && !strings.HasPrefix(url, k.url) && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asked for %s", asked)
		}
	}
	for _, said := range page.Console() {
		// A browser tells of each answer that is a refusal.
		if !strings.Contains(said, "status of 422") && !strings.Contains(said, "status of 403") {
			t.Errorf("the browser said: %s", said)
		}
	}
}

func ownWidgetFlow(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	fake := fakeprovider.Region()
	shop.enlist(fake)
	shop.do("PATCH", "/keyvend/integrations/"+fake.Slug(), m{"verify_on_save": "require"}).is(200)
	shop.do("PUT", "/data-integrations/"+fake.Slug(), m{"description": "Used to draw maps."}).is(200)
	p := newApp(t, shop, "<keyvend-pipes></keyvend-pipes>", `document.querySelector("keyvend-pipes").authToken = token;`)
	const name = "Fake region"
	first, second := fakeKey("valid"), fakeKey("valid")

	page.Visit(p.URL)
	page.Says("Used to draw maps.")
	page.Click("button", "Connect: "+name)
	page.Find("dialog", "Connect "+name)
	page.Paste(fakeKey("revoked"))
	page.Find("combobox", "Region (optional)")
	page.Press("Tab", "Tab", "ArrowDown") // a region that is only assumed proves nothing
	page.Click("button", "Save key")
	page.Says("othing was stored.")
	page.Paste(`FAKE_API_KEY="` + first + `"`)
	page.Says("was left out")
	page.Click("button", "Save key")
	page.Says(name + ": the key is saved, and it works.")
	page.Says("••••" + last4(first))
	shop.vends(fake.Slug(), m{"user_id": "ada"}, first)
	id := shop.do("GET", connected("ada", fake.Slug(), ""), nil).is(200).text("id")

	page.Click("button", "Who used it: "+name)
	page.Wait("the read to be told", func() bool {
		page.Do(`await document.querySelector("keyvend-pipes").reload()`)
		return strings.Contains(page.Text(), "once with ")
	})
	page.Click("button", "Who used it: "+name) // an open one asks again, later, about what is gone by then

	// A token that is ended while the form is open is asked for anew, and the key is
	// stored all the same.
	page.Click("button", "Replace key: "+name)
	page.Find("dialog", "Replace the key of "+name)
	page.Paste(second)
	minted := p.minted.Load()
	shop.do("DELETE", "/keyvend/sessions", nil).is(204)
	page.Press("Enter")
	page.Says(name + ": the key is saved, and it works.")
	page.Says("••••" + last4(second))
	if p.minted.Load() == minted {
		t.Error("the widget went on with a token that was ended")
	}
	shop.vends(fake.Slug(), m{"user_id": "ada"}, second)
	if now := shop.do("GET", connected("ada", fake.Slug(), ""), nil).is(200); now.text("id") != id {
		t.Errorf("the rotation made another account: %s", now.body)
	}

	page.Click("button", "Disconnect: "+name)
	page.Find("alertdialog", "Disconnect "+name+"?")
	page.Click("button", "Disconnect")
	page.Says(name + " is disconnected.")
	shop.vends(fake.Slug(), m{"user_id": "ada"}, "")
	p.calm(t, page, k)
}

func ownWidgetInAFrame(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	shop.register("linear")
	embed := k.url + "/embed/" + shop.tenant
	p := newApp(t, shop, `<iframe title="Connections" width="700" height="600"></iframe>`, `
		const frame = document.querySelector("iframe");
		addEventListener("message", async ({ origin, source, data }) => {
			if (source === frame.contentWindow && data.type === "keyvend:token-needed") source.postMessage({ type: "keyvend:token", token: await token() }, origin);
		});
		frame.src = "`+embed+`#origin=" + location.origin;`)
	page.Visit(p.URL)
	frame := page.Frame("/embed/")
	frame.Click("button", "Connect: Linear")
	frame.Find("dialog", "Connect Linear")
	secret := "lin_api_" + strings.ReplaceAll(newSecret(), "-", "")
	page.Type(secret)
	page.Press("Enter") // to be told that it is of an odd length
	frame.Says("This does not look like a key of Linear.")
	frame.Click("button", "Save it anyway")
	frame.Says("Linear: the key is saved.")
	shop.vends("linear", m{"user_id": "ada"}, secret)
	p.calm(t, page, k)
}
