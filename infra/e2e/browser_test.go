package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyvend/infra/browsertest"
	"keyvend/infra/fakeprovider"
	"keyvend/infra/testbed"
)

// browsers are about what a real Chromium makes of a target.
func browsers() []guarantee {
	return []guarantee{
		{"the_official_React_widget_works_with_another_base_URL", reactWidget},
		{"the_official_React_widget_lets_an_organization's_admin_decide", reactAdmin},
		{"the_official_React_widget_renews_a_token_before_it_ends", reactRenewal},
	}
}

// TestTheOfficialClientsInProcess is of the official clients on the target on which
// the rest of the suite holds without them.
func TestTheOfficialClientsInProcess(t *testing.T) {
	t.Parallel()
	hold(t, inProcess(t, nil), slices.Concat(nodeClient(), browsers(), frames()))
}

// strangers' pages are those of this machine too, which infra/local lets frame what
// they like, and use tokens.
func frames() []guarantee {
	return []guarantee{
		{"F49_pages_are_framed_by_those_that_are_listed_alone", framed},
		{"F49_the_official_React_widget_gets_nothing_in_a_page_that_is_not_listed", unlisted},
	}
}

// product is the server of a product whose pages show the widget.
type product struct {
	*httptest.Server
	minted atomic.Int32 // tokens
	// short makes the next token one that ends within the time before which the
	// widget asks for another.
	short atomic.Bool
}

// shortly is less than that time, and more than it takes to mint a token.
const shortly = 25 * time.Second

// newProduct serves the product of a shop, whose page is on the tenant's list. The
// page's query says for whom tokens are: ada, in an organization with "org", its
// admin with "admin".
func newProduct(t *testing.T, s shop, bundle string) *product {
	t.Helper()
	p := &product{}
	backend := s.with("widget") // which needs no more
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.minted.Add(1)
		minter := backend
		if p.short.CompareAndSwap(true, false) {
			ends := time.Now().Add(shortly).UTC().Format(time.RFC3339)
			minter.key = s.mint(t, "/keyvend/api_keys", m{"name": "short", "scopes": []string{"widget"}, "expires_at": ends})
		}
		body := m{"user_id": "ada"}
		switch q := r.URL.Query(); {
		case q.Has("admin"):
			body = m{"user_id": "ada", "organization_id": "org", "scopes": []string{"widgets:pipes:manage"}}
		case q.Has("org"):
			body = m{"user_id": "ada", "organization_id": "org"}
		}
		_, _ = io.WriteString(w, minter.mint(t, "/widgets/token", body))
	})
	mux.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `<!doctype html><title>frame</title><iframe src="%s"></iframe>`, s.target.url+r.URL.Query().Get("path"))
	})
	if bundle != "" {
		mux.Handle("GET /page/", http.StripPrefix("/page/", http.FileServer(http.Dir(bundle))))
	}
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>product</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/page/page.css">
<body data-keyvend="%s"><div id="widget"></div><script src="/page/page.js"></script></body>`, s.target.url)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	s.do("PUT", "/keyvend/settings", m{"allowed_origins": []string{p.URL}}).is(200)
	return p
}

// mint is the token in the answer to a POST, from a goroutine that is not the
// test's.
func (c client) mint(t *testing.T, path string, body m) string {
	for end := time.Now().Add(patience); ; time.Sleep(time.Second) {
		a, err := c.try(request{method: "POST", path: path, header: http.Header{"Authorization": {"Bearer " + c.key}}, body: body})
		switch {
		case t.Context().Err() != nil:
			return "" // the test is over
		case err == nil && a.status == http.StatusCreated:
			return a.text("token")
		case err != nil || a.status != http.StatusServiceUnavailable || time.Now().After(end): // as in send
			t.Errorf("a token is not minted: %v %v %s", a, err, a.body)
			return ""
		}
	}
}

var (
	bundling sync.Mutex
	bundled  string
)

// reactBundle is the folder with the page of the official widget, bundled once. It
// needs what infra/tools/install.sh installs.
func reactBundle(t *testing.T) string {
	t.Helper()
	esbuild := testbed.Tool(t, "react/node_modules/.bin/esbuild")
	testbed.Command(t, "node")
	bundling.Lock()
	defer bundling.Unlock()
	if bundled != "" {
		return bundled
	}
	dir, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(context.Background(), esbuild, filepath.Join("react", "page.jsx"), "--bundle", "--minify", "--jsx=automatic",
		`--define:process.env.NODE_ENV="production"`, "--log-level=error", "--outfile="+filepath.Join(dir, "react", "page.js"))
	build.Env = append(os.Environ(), "NODE_PATH="+filepath.Dir(filepath.Dir(esbuild)))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, out)
	}
	bundled = filepath.Join(dir, "react")
	return bundled
}

// icons is where the official widget has its icons. The name does not resolve here.
const icons = "https://images.workoscdn.com/"

// onlyHere fails the test if a page has asked anyone but its product and keyvend.
func onlyHere(t *testing.T, page *browsertest.Page, p *product, k *target) {
	t.Helper()
	for _, asked := range page.Asked() {
		_, url, _ := strings.Cut(asked, " ")
		if !strings.HasPrefix(url, p.URL) && !strings.HasPrefix(url, k.url) && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, icons) {
			t.Errorf("the page asked for %s", asked)
		}
	}
	for _, said := range page.Console() {
		if strings.Contains(said, "CORS") || strings.Contains(said, "exception") {
			t.Errorf("the browser said: %s", said)
		}
	}
}

// asked are the calls that a page made of a path of keyvend's, as "PUT 200", and
// how often it asked before whether it may. It fails the test where one did not
// bring what the wire of the official widget has.
func asked(t *testing.T, page *browsertest.Page, k *target, path, kind string) (calls []string, preflights int) {
	t.Helper()
	for _, r := range page.Requests() {
		switch {
		case !strings.HasPrefix(r.URL, k.url+path):
		case r.Method == http.MethodOptions:
			if preflights++; r.Status != http.StatusNoContent {
				t.Errorf("%v: a preflight is answered with %d", r, r.Status)
			}
		case r.Status != http.StatusServiceUnavailable: // else the machine was too busy, and it asked again
			calls = append(calls, fmt.Sprint(r.Method, " ", r.Status))
			sent := map[string]string{}
			for name, value := range r.Headers {
				sent[strings.ToLower(name)] = fmt.Sprint(value)
			}
			// Its first call goes out before the page has given it a token, and is
			// made again with one.
			bare := sent["authorization"] == "" && r.Status == http.StatusForbidden
			if sent["workos-widgets-type"] != kind || sent["workos-widgets-version"] != "1" || sent["content-type"] != "application/json" || !bare && !strings.HasPrefix(sent["authorization"], "Bearer eyJ") {
				t.Errorf("%v: the widget sends other headers than it did: %v", r, sent)
			}
		}
	}
	return calls, preflights
}

// settled waits until no dialog and no menu is open, so that the next click meets
// the page.
func settled(page *browsertest.Page) {
	page.Lacks(`[role="dialog"]`)
	page.Lacks(`[role="alertdialog"]`)
	page.Lacks(`[role="menu"]`)
}

// gaveUp is what the widget says after a few answers of 503, as there are on a
// machine that is too busy for the emulators.
const gaveUp = "Error fetching data"

// sees waits until the widget in a page shows a text. When it gave up, the page is
// loaded anew, as people do.
func sees(t *testing.T, page *browsertest.Page, url, text string) {
	t.Helper()
	await(t, url+" shows "+text, func() bool {
		if page.ShowsOneOf(text, gaveUp) == text {
			return true
		}
		page.Visit(url)
		return false
	})
}

// show loads a page whose widget shows a text.
func show(t *testing.T, page *browsertest.Page, url, text string) {
	t.Helper()
	page.Visit(url)
	sees(t, page, url, text)
}

// press presses the button of a dialog, and again while the answer is 503. said is
// what the dialog says then, "" when it is closed.
func press(t *testing.T, page *browsertest.Page, button string) (said string) {
	t.Helper()
	const dialog = `document.querySelector('[role="dialog"],[role="alertdialog"]')`
	status := func() (answers, last int) {
		for _, r := range page.Requests() {
			if (r.Method == http.MethodPut || r.Method == http.MethodDelete) && r.Status != 0 {
				answers, last = answers+1, r.Status
			}
		}
		return answers, last
	}
	await(t, button+" is done", func() bool {
		before, _ := status()
		page.ClickText(button)
		page.Wait(button+" is answered", func() bool { answers, _ := status(); return answers > before })
		page.Wait(button+" closes the dialog, or that says why not", func() bool {
			said = browsertest.Eval[string](page, dialog+`?.querySelector('[role="alert"]')?.innerText ?? ""`)
			return said != "" || browsertest.Eval[bool](page, dialog+` === null`)
		})
		_, last := status()
		return said == "" || last != http.StatusServiceUnavailable
	})
	return said
}

const keyField, pipeMenu = `[role="dialog"] input`, `button[title="Pipe actions"]`

// choose takes an item of the menu of the one provider.
func choose(page *browsertest.Page, item string) {
	settled(page)
	page.ClickOn(pipeMenu)
	page.ClickText(item)
	page.Lacks(`[role="menu"]`)
}

func reactWidget(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, reactBundle(t))
	fake := fakeprovider.Bearer()
	shop.enlist(fake)
	slug, ada := fake.Slug(), m{"user_id": "ada"}
	shop.do("PATCH", "/keyvend/integrations/"+slug, m{"verify_on_save": "require"}).is(200)
	now := func() answer { return shop.do("GET", connected("ada", slug, ""), nil) }

	// done presses a button that closes its dialog.
	done := func(button string) {
		t.Helper()
		if said := press(t, page, button); said != "" {
			t.Fatalf("%s: the dialog says %s", button, said)
		}
	}

	show(t, page, p.URL, "Fake bearer")
	page.Shows("Not connected")

	// A bad key is refused with our sentence, and not stored.
	page.ClickText("Connect")
	page.TypeInto(keyField, fakeKey("revoked"))
	if said := press(t, page, "Connect"); !strings.HasPrefix(said, "The provider refuses this key. Look whether it was copied whole") {
		t.Errorf("of a bad key the dialog says %q", said)
	}
	now().is(404)
	page.ClickText("Cancel")
	settled(page)

	// Connect. The last four are in the dialog for the next key.
	first, second, third := fakeKey("valid"), fakeKey("valid"), fakeKey("valid")
	page.ClickText("Connect")
	page.TypeInto(keyField, first)
	done("Connect")
	sees(t, page, p.URL, "Connected")
	shop.vends(slug, ada, first)
	id := now().is(200).text("id")

	choose(page, "Rotate API key")
	page.Shows("••••" + last4(first))
	page.TypeInto(keyField, second)
	done("Rotate")
	shop.vends(slug, ada, second)
	show(t, page, p.URL, "Connected")
	choose(page, "Rotate API key")
	page.Shows("••••" + last4(second))
	page.ClickText("Cancel")

	// A key that stopped working is asked for anew.
	shop.do("PUT", connected("ada", slug, ""), m{"state": "needs_reauthorization"}).is(200)
	show(t, page, p.URL, "Requires reauthorization")
	choose(page, "Update API key")
	page.TypeInto(keyField, third)
	done("Connect")
	sees(t, page, p.URL, "Connected")
	shop.vends(slug, ada, third)
	if now := now().is(200); now.text("id") != id || now.text("state") != "connected" {
		t.Errorf("the rotation made another account: %s", now.body)
	}

	// A token that was ended is asked for anew, and the call is made again.
	minted := p.minted.Load()
	shop.do("DELETE", "/keyvend/sessions", nil).is(204)
	choose(page, "Disconnect account")
	done("Disconnect")
	sees(t, page, p.URL, "Not connected")
	shop.vends(slug, ada, "")
	now().is(404)
	if p.minted.Load() == minted {
		t.Error("the widget went on with a token that was ended")
	}

	for path, want := range map[string][]string{
		"/_widgets/DataIntegrations/" + slug + "/api-key": {"PUT 422", "PUT 200", "PUT 200", "PUT 200"},
		ownAccount + id: {"DELETE 403", "DELETE 200"},
	} {
		if got, preflights := asked(t, page, k, path, "pipes"); !slices.Equal(got, want) || preflights == 0 {
			t.Errorf("%s: %v and %d preflights, want %v", path, got, preflights, want)
		}
	}
	if got, preflights := asked(t, page, k, mine, "pipes"); !slices.Contains(got, "GET 200") || preflights == 0 {
		t.Errorf("%s: %v and %d preflights", mine, got, preflights)
	}
	onlyHere(t, page, p, k)
}

func reactAdmin(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, reactBundle(t))
	shop.register("linear")
	const all, one = "/_widgets/DataIntegrations/configurations", "/_widgets/DataIntegrations/linear/configuration"
	enabled := func() any {
		return shop.do("GET", "/organizations/org/data_integration_configurations", nil).is(200).row("linear")["enabled"]
	}
	// turn is what the admin does to turn the switch the other way round.
	turn := func() {
		t.Helper()
		settled(page)
		page.ClickText("Configure")
		page.ClickOn(`[role="dialog"] button[role="switch"]`)
		if said := press(t, page, "Save"); said != "" {
			t.Fatalf("the dialog says %s", said)
		}
	}
	member := browsertest.Open(t)

	show(t, page, p.URL+"/admin?admin", "Available")
	show(t, member, p.URL+"/?org", "Linear")
	turn()
	sees(t, page, p.URL+"/admin?admin", "Disabled")
	if enabled() != false {
		t.Error("it is on still")
	}
	show(t, member, p.URL+"/?org", "No integrations are available yet.")
	turn()
	sees(t, page, p.URL+"/admin?admin", "Available")
	if enabled() != true {
		t.Error("it is off still")
	}
	show(t, member, p.URL+"/?org", "Linear")
	if got, preflights := asked(t, page, k, one, "pipes-admin"); !slices.Equal(got, []string{"PUT 200", "PUT 200"}) || preflights == 0 {
		t.Errorf("%s: %v and %d preflights", one, got, preflights)
	}
	if got, _ := asked(t, page, k, all, "pipes-admin"); !slices.Contains(got, "GET 200") {
		t.Errorf("%s: %v", all, got)
	}

	// Who is no admin is told so, and decides nothing.
	show(t, member, p.URL+"/admin?org", "Incorrect permissions")
	onlyHere(t, page, p, k)
	onlyHere(t, member, p, k)
}

// reactRenewal waits for nothing to end: the widget itself asks for another token
// some time before, and goes on with that.
func reactRenewal(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, reactBundle(t))
	shop.register("linear")
	p.short.Store(true)
	show(t, page, p.URL, "Not connected")
	await(t, "the widget asks for a token that lives longer", func() bool { return p.minted.Load() >= 2 })
	secret := newSecret()
	page.ClickText("Connect")
	page.TypeInto(keyField, secret)
	if said := press(t, page, "Connect"); said != "" {
		t.Errorf("the dialog says %s", said)
	}
	sees(t, page, p.URL, "Connected")
	shop.vends("linear", m{"user_id": "ada"}, secret)
	onlyHere(t, page, p, k)
}

func framed(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, "")
	loaded := func() int { return strings.Count(strings.Join(page.Asked(), " "), "/main.js") }
	refused := func() int { return strings.Count(strings.Join(page.Console(), " "), "frame-ancestors") }
	// Of a page that is let in, the browser loads what it names; of one that is not,
	// it says why. So it does of an error, which a busy machine may bring about.
	await(t, "the embedded page is shown", func() bool {
		page.Visit(p.URL + "/frame?path=/embed/" + shop.tenant)
		return loaded() > 0
	})
	stranger := newProduct(t, k.newShop(t), "")
	for _, path := range []string{"/embed/" + shop.tenant, "/dashboard", "/embed/tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		loads, refusals := loaded(), refused()
		page.Visit(stranger.URL + "/frame?path=" + path)
		await(t, path+" is refused to a stranger", func() bool { return refused() > refusals })
		if loaded() != loads {
			t.Errorf("%s was shown", path)
		}
	}
}

// unlisted has good tokens in a page whose origin was taken off the list.
func unlisted(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, reactBundle(t))
	shop.register("linear")
	shop.do("PUT", "/keyvend/settings", m{"allowed_origins": []string{"http://127.0.0.1:1", "https://app.example.com"}}).is(200)
	show(t, page, p.URL, "Incorrect permissions")
	if strings.Contains(page.Text(), "Linear") {
		t.Errorf("the page shows %s", page.Text())
	}
	if got, _ := asked(t, page, k, mine, "pipes"); slices.Contains(got, "GET 200") {
		t.Errorf("%v", got)
	}
	onlyHere(t, page, p, k)
}
