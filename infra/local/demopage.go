package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
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
// somebody first opens it: who never does finds nothing of it in his data.
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
	mux.HandleFunc("POST "+demoPath+"token", p.answer(p.token))
	mux.HandleFunc("POST "+demoPath+"use", p.answer(p.use))
	mux.HandleFunc("POST "+demoPath+"revoke", p.answer(p.revoke))
	mux.HandleFunc("POST "+demoPath+"restore", p.answer(p.restore))
	return confined(http.NewCrossOriginProtection().Handler(mux))
}

// confined answers this machine alone, and lets the page do what it needs.
func confined(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			http.Error(w, "The demo page is for the machine that keyvend runs on.", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// The API keys of the page's tenant, by what they are for.
const (
	demoBackend   = "backend"
	demoDashboard = "dashboard"
)

// demoProvider is a fake provider as the page's product offers it.
type demoProvider struct {
	fake              fakeprovider.Fake
	name, description string
	verify            string // on saving
}

func demoProviders() []demoProvider {
	return []demoProvider{
		{fakeprovider.Bearer(), "Acme Mail", "Used to send the mails that you write here. It refuses keys that do not work.", "require"},
		{fakeprovider.Header(), "Pretend Payments", "Used to match payments with invoices. A key that does not work is taken all the same, and told of.", "warn"},
		{fakeprovider.Region(), "Dream Maps", "Used to draw maps. Its keys belong to a region.", "warn"},
	}
}

// demoSeed is what the page's tenant has.
func demoSeed() (seedTenant, error) {
	t := seedTenant{Name: "Demo page", APIKeys: []seedAPIKey{
		{"Backend of the demo page", demoBackend, []string{"vend", "widget"}}, {"Dashboard of the demo page", demoDashboard, []string{"manage"}},
	}}
	for _, p := range demoProviders() {
		definition := map[string]any{}
		if err := json.Unmarshal(p.fake.Definition(), &definition); err != nil {
			return t, err
		}
		definition["verify_on_save"] = p.verify
		t.Integrations = append(t.Integrations, map[string]any{
			"provider": p.fake.Slug(), "enabled": true, "description": p.description,
			"custom_provider": map[string]any{"name": p.name}, "definition": definition,
		})
	}
	return t, nil
}

// as is the client of one of the tenant's API keys. The tenant is made when it is
// not there.
func (p *demoPage) as(ctx context.Context, role string) (client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == nil {
		t, err := demoSeed()
		if err != nil {
			return client{}, err
		}
		s, err := newSeeder(p.tenants, p.keyvend, p.dir)
		if err != nil {
			return client{}, err
		}
		tokens, err := s.apply(ctx, seed{Tenants: []seedTenant{t}})
		if err != nil {
			return client{}, err
		}
		p.tokens = tokens
	}
	return client{p.keyvend, p.tokens[role]}, nil
}

// sampleDemoKeys are those to try.
func sampleDemoKeys() []demoKey {
	return []demoKey{
		{"sk-canary-fake-valid-0001", "works"},
		{"sk-canary-fake-valid-0002", "works too, to replace the first one with"},
		{"sk-canary-fake-limited-0003", "works, but lacks a permission"},
		{"sk-canary-fake-revoked-0004", "is refused"},
		{"sk-canary-fake-error-0005", "cannot be checked: the provider has a bad day"},
		{"sk-canary-fake-valid-eu-0006", "works in the European Union alone, with Dream Maps"},
		{`export FAKE_API_KEY="sk-canary-fake-valid-0007"`, "is a line of a file, with a key in it"},
		{`curl https://bearer.fake-providers.example/v1/account -H "Authorization: Bearer sk-canary-fake-valid-0008"`, "is a whole command"},
	}
}

type demoKey struct{ Text, What string }

// show is the page.
func (p *demoPage) show(w http.ResponseWriter, r *http.Request) {
	dashboard, err := p.as(r.Context(), demoDashboard)
	if err != nil {
		p.fail(w, err)
		return
	}
	type offer struct{ Slug, Name string }
	view := struct {
		Dashboard string
		Keys      []demoKey
		Offers    []offer
	}{Dashboard: "/dashboard#key=" + dashboard.token, Keys: sampleDemoKeys()}
	for _, d := range demoProviders() {
		view.Offers = append(view.Offers, offer{d.fake.Slug(), d.name})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := demoHTML.Execute(w, view); err != nil {
		p.log.Error("demo page", "error", err)
	}
}

// demoAsked is what the page asks of the product's backend.
type demoAsked struct {
	Slug string `json:"slug"`
}

// answer is the handler of what the product's backend does.
func (p *demoPage) answer(do func(context.Context, client, demoAsked) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked demoAsked
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&asked); err != nil {
			http.Error(w, "The body is JSON.", http.StatusBadRequest)
			return
		}
		backend, err := p.as(r.Context(), demoBackend)
		var said any
		if err == nil {
			said, err = do(r.Context(), backend, asked)
		}
		if err != nil {
			p.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(said) // the browser may be gone
	}
}

// fail tells what went wrong: to the developer alone, who is on this machine.
func (p *demoPage) fail(w http.ResponseWriter, err error) {
	p.log.Error("demo page", "error", err)
	http.Error(w, said(err), http.StatusInternalServerError)
}

// token mints the widget's token, as a product does for whoever is signed in.
func (p *demoPage) token(ctx context.Context, backend client, _ demoAsked) (any, error) {
	var minted struct {
		Token string `json:"token"`
	}
	err := backend.into(ctx, "/widgets/token", map[string]string{"user_id": demoUser}, &minted)
	return minted, err
}

// told is a sentence for the page.
type told struct {
	Message string `json:"message"`
}

// vended is what the product's backend gets when it asks for the user's key.
type vended struct {
	Active     bool
	Error      string
	Credential struct{ Value string }
}

func vend(ctx context.Context, backend client, slug string) (vended, error) {
	var v vended
	err := backend.into(ctx, "/data-integrations/"+slug+"/credentials", map[string]string{"user_id": demoUser}, &v)
	return v, err
}

// use reads the key, as a product does before it asks the provider for something.
func (p *demoPage) use(ctx context.Context, backend client, asked demoAsked) (any, error) {
	v, err := vend(ctx, backend, asked.Slug)
	switch {
	case err != nil:
		return nil, err
	case !v.Active:
		return told{"keyvend gave the backend no key: " + v.Error + "."}, nil
	}
	return told{"The backend has read the key. “Who used it” tells so in a moment."}, nil
}

// revoke has the provider refuse the connected key, and reports the refusal, as a
// product does that met it.
func (p *demoPage) revoke(ctx context.Context, backend client, asked demoAsked) (any, error) {
	v, err := vend(ctx, backend, asked.Slug)
	switch {
	case err != nil:
		return nil, err
	case !v.Active:
		return told{"There is no key that works: " + v.Error + "."}, nil
	}
	p.fakes.Revoke(v.Credential.Value)
	p.mu.Lock()
	p.revoked[asked.Slug] = v.Credential.Value
	p.mu.Unlock()
	err = backend.into(ctx, "/keyvend/reports", map[string]any{"slug": asked.Slug, "user_id": demoUser, "status": http.StatusUnauthorized}, &struct{}{})
	return told{"The provider refuses the key from now on, and the backend has told keyvend, which looks for itself."}, err
}

// restore has the provider take again the key that was revoked last, and keyvend
// look at it.
func (p *demoPage) restore(ctx context.Context, _ client, asked demoAsked) (any, error) {
	p.mu.Lock()
	key := p.revoked[asked.Slug]
	p.mu.Unlock()
	if key == "" {
		return told{"No key was revoked here."}, nil
	}
	p.fakes.Restore(key)
	dashboard, err := p.as(ctx, demoDashboard)
	if err != nil {
		return nil, err
	}
	var accounts struct{ Data []struct{ ID string } }
	status, answer, err := dashboard.call(ctx, http.MethodGet, "/keyvend/accounts?user_id="+demoUser+"&integration="+asked.Slug, nil)
	if err = errors.Join(err, json.Unmarshal(answer, &accounts)); err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("accounts: %d %w", status, err)
	}
	for _, a := range accounts.Data {
		if err := dashboard.into(ctx, "/keyvend/accounts/"+a.ID+"/check", nil, &struct{}{}); err != nil {
			return nil, err
		}
	}
	return told{"The provider takes the key again, and keyvend looks for itself."}, nil
}

// into posts, and reads the answer to it.
func (c client) into(ctx context.Context, path string, body, answer any) error {
	status, text, err := c.call(ctx, http.MethodPost, path, body)
	switch {
	case err != nil:
		return err
	case status >= http.StatusMultipleChoices:
		return fmt.Errorf("%s: %d %s", strings.TrimPrefix(path, "/"), status, sentenceOf(text))
	}
	return json.Unmarshal(text, answer)
}
