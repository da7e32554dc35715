package main

import (
	"embed"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"keyvend/infra/fakeprovider"
)

// demoPath is what all paths of the demo page begin with.
const demoPath = "/_demo/"

// demoUser is who is signed in to the product that the demo page plays.
const demoUser = "ada"

//go:embed demopage
var demoFiles embed.FS

var demoHTML = template.Must(template.ParseFS(demoFiles, "demopage/index.html"))

// demoPage is a page of a product that does not exist, with the widget in it and
// the product's backend behind it. It has a tenant of its own, which is made when
// the page first asks its backend for something: who never opens it finds nothing of
// it in his data.
type demoPage struct {
	tenants tenants
	keyvend http.Handler
	fakes   *fakeprovider.Kit
	dir     string
	log     *slog.Logger

	mu      sync.Mutex
	tokens  map[string]string // by role, once the tenant is there
	revoked map[string]string // by slug: the key that was revoked last
}

func newDemoPage(do tenants, keyvend http.Handler, fakes *fakeprovider.Kit, dir string, log *slog.Logger) http.Handler {
	p := &demoPage{tenants: do, keyvend: keyvend, fakes: fakes, dir: dir, log: log, revoked: map[string]string{}}
	static, _ := fs.Sub(demoFiles, "demopage") // it is in the program
	files := http.StripPrefix(demoPath, http.FileServerFS(static))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+demoPath+"{$}", p.show)
	mux.Handle("GET "+demoPath+"main.js", files)
	mux.Handle("GET "+demoPath+"page.css", files)
	mux.HandleFunc("POST "+demoPath+"dashboard", p.answer(p.dashboard))
	mux.HandleFunc("POST "+demoPath+"token", p.answer(p.token))
	mux.HandleFunc("POST "+demoPath+"use", p.answer(p.use))
	mux.HandleFunc("POST "+demoPath+"revoke", p.answer(p.revoke))
	mux.HandleFunc("POST "+demoPath+"restore", p.answer(p.restore))
	return confined(http.NewCrossOriginProtection().Handler(mux))
}

// confined answers this machine alone, and lets the page do what it needs.
func confined(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch {
		case !fromHere(r):
			http.Error(w, "The demo page is for the machine that keyvend runs on, and not for a proxy.", http.StatusForbidden)
		case !opened(r):
			http.Error(w, "The demo page is no part of another one. Open it by its address.", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// fromHere reports whether a request is of this machine's own: a proxy on it speaks
// for others.
func fromHere(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(name)) > 0 {
			return false
		}
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// opened reports whether it is the page itself that asks, or a user who opens it,
// and not a page of another origin by itself.
func opened(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "cross-site" && site != "same-site" {
		return true
	}
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Dest") == "document" && r.Header.Get("Sec-Fetch-User") == "?1"
}

// show is the page. It changes nothing and has no key in it: whoever opens it by
// accident, or has a browser open it, has done nothing.
func (p *demoPage) show(w http.ResponseWriter, _ *http.Request) {
	type offer struct{ Slug, Name string }
	view := struct {
		Keys   []demoKey
		Offers []offer
	}{Keys: sampleDemoKeys()}
	for _, d := range demoProviders() {
		view.Offers = append(view.Offers, offer{d.fake.Slug(), d.name})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := demoHTML.Execute(w, view); err != nil {
		p.log.Error("demo page", "error", err)
	}
}
