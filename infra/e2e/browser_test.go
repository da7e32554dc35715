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
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"keyvend/infra/browsertest"
	"keyvend/infra/fakeprovider"
	"keyvend/infra/testbed"
)

// browsers are about what a real Chromium makes of a target.
func browsers() []guarantee {
	return []guarantee{
		{"the_official_React_widget_works_with_another_base_URL", reactWidget},
		{"the_official_React_widget_lets_an_organization's_admin_decide", reactAdmin},
	}
}

// strangers' pages are those of this machine too, which infra/local lets frame what
// they like.
func frames() []guarantee {
	return []guarantee{{"F49_pages_are_framed_by_those_that_are_listed_alone", framed}}
}

// product is the server of a product whose pages show the widget.
type product struct {
	*httptest.Server
	minted atomic.Int32 // tokens
}

// newProduct serves the product of a shop, whose page is on the tenant's list.
func newProduct(t *testing.T, s shop, bundle string) *product {
	t.Helper()
	p := &product{}
	backend := s.with("widget")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.minted.Add(1)
		body := m{"user_id": "ada"}
		if r.URL.Query().Has("admin") {
			body = m{"user_id": "ada", "organization_id": "org", "scopes": []string{"widgets:pipes:manage"}}
		}
		a, err := backend.try(request{method: "POST", path: "/widgets/token", header: http.Header{"Authorization": {"Bearer " + backend.key}}, body: body})
		if err != nil || a.status != http.StatusCreated {
			t.Errorf("a token is not minted: %v %v", a, err)
		}
		_, _ = io.WriteString(w, a.text("token"))
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

func reactWidget(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, reactBundle(t))
	fake := fakeprovider.Bearer()
	shop.enlist(fake)
	shop.do("PATCH", "/keyvend/integrations/"+fake.Slug(), m{"verify_on_save": "require"}).is(200)
	const field, menu = `[role="dialog"] input`, `button[title="Pipe actions"]`

	page.Visit(p.URL)
	page.Shows("Fake bearer")
	page.Shows("Not connected")

	page.ClickText("Connect")
	page.TypeInto(field, fakeKey("revoked"))
	page.ClickText("Connect")
	page.Shows("The provider refuses this key. Look whether it was copied whole")
	page.ClickText("Cancel")

	first, second := fakeKey("valid"), fakeKey("valid")
	page.ClickText("Connect")
	page.TypeInto(field, first)
	page.ClickText("Connect")
	page.Hides("Not connected")
	page.Shows("Connected")
	shop.vends(fake.Slug(), m{"user_id": "ada"}, first)
	id := shop.do("GET", connected("ada", fake.Slug(), ""), nil).is(200).text("id")

	page.ClickOn(menu)
	page.ClickText("Rotate API key")
	page.Shows("••••" + last4(first))
	page.TypeInto(field, second)
	page.ClickText("Rotate")
	page.Hides("Current API key")
	shop.vends(fake.Slug(), m{"user_id": "ada"}, second)
	if now := shop.do("GET", connected("ada", fake.Slug(), ""), nil).is(200); now.text("id") != id {
		t.Errorf("the rotation made another account: %s", now.body)
	}

	// A token that was ended is asked for anew, and the call is made again.
	minted := p.minted.Load()
	shop.do("DELETE", "/keyvend/sessions", nil).is(204)
	page.ClickOn(menu)
	page.ClickText("Disconnect account")
	page.ClickText("Disconnect")
	page.Shows("Not connected")
	shop.vends(fake.Slug(), m{"user_id": "ada"}, "")
	if p.minted.Load() == minted {
		t.Error("the widget went on with a token that was ended")
	}
	onlyHere(t, page, p, k)
}

func reactAdmin(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, reactBundle(t))
	shop.register("linear")
	page.Visit(p.URL + "/admin")
	page.Shows("Linear")
	page.Shows("Available")
	page.ClickText("Configure")
	page.ClickOn(`[role="dialog"] button[role="switch"]`)
	page.ClickText("Save")
	page.Shows("Disabled")
	if row := shop.do("GET", "/organizations/org/data_integration_configurations", nil).is(200).row("linear"); row["enabled"] != false {
		t.Errorf("%v", row)
	}
	onlyHere(t, page, p, k)
}

func framed(t *testing.T, k *target) {
	page := browsertest.Open(t)
	shop := k.newShop(t)
	p := newProduct(t, shop, "")
	// Of a page that is let in, the browser loads what it names; of one that is not,
	// it says why.
	page.Visit(p.URL + "/frame?path=/embed/" + shop.tenant)
	await(t, "the embedded page is shown", func() bool { return strings.Contains(strings.Join(page.Asked(), " "), "/embed/main.js") })

	stranger := newProduct(t, k.newShop(t), "")
	for i, path := range []string{"/embed/" + shop.tenant, "/dashboard", "/embed/tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		loaded := strings.Count(strings.Join(page.Asked(), " "), "/main.js")
		page.Visit(stranger.URL + "/frame?path=" + path)
		await(t, path+" is refused to a stranger", func() bool { return strings.Count(strings.Join(page.Console(), " "), "frame-ancestors") > i })
		if strings.Count(strings.Join(page.Asked(), " "), "/main.js") != loaded {
			t.Errorf("%s was shown", path)
		}
	}
}
