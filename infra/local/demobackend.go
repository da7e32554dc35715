package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

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

// dashboard is the way to the dashboard of the page's tenant, signed in.
func (p *demoPage) dashboard(ctx context.Context, _ client, _ demoAsked) (any, error) {
	desk, err := p.as(ctx, demoDashboard)
	return struct {
		Link string `json:"link"`
	}{"/dashboard#key=" + desk.token}, err
}

// token mints the widget's token, as a product does for whoever is signed in.
func (p *demoPage) token(ctx context.Context, backend client, _ demoAsked) (any, error) {
	var minted struct {
		Token string `json:"token"`
	}
	err := backend.post(ctx, "/widgets/token", map[string]string{"user_id": demoUser}, &minted)
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
	err := backend.post(ctx, "/data-integrations/"+slug+"/credentials", map[string]string{"user_id": demoUser}, &v)
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
	err = backend.post(ctx, "/keyvend/reports", map[string]any{"slug": asked.Slug, "user_id": demoUser, "status": http.StatusUnauthorized}, &struct{}{})
	return told{"The provider refuses the key from now on, and the backend has told keyvend, which looks for itself."}, err
}

// restore has the provider take again the key that was revoked last, and keyvend
// look at it. What was revoked before this process began the provider has forgotten.
func (p *demoPage) restore(ctx context.Context, _ client, asked demoAsked) (any, error) {
	p.mu.Lock()
	key := p.revoked[asked.Slug]
	p.mu.Unlock()
	said := "No key was revoked here since keyvend started. keyvend looks for itself."
	if key != "" {
		p.fakes.Restore(key)
		said = "The provider takes the key again, and keyvend looks for itself."
	}
	return told{said}, p.check(ctx, asked.Slug)
}

// check has keyvend look at the user's keys of a provider.
func (p *demoPage) check(ctx context.Context, slug string) error {
	desk, err := p.as(ctx, demoDashboard)
	if err != nil {
		return err
	}
	var accounts struct{ Data []struct{ ID string } }
	mine := url.Values{"user_id": {demoUser}, "integration": {slug}}
	if err := desk.read(ctx, "/keyvend/accounts?"+mine.Encode(), &accounts); err != nil {
		return err
	}
	for _, a := range accounts.Data {
		if err := desk.post(ctx, "/keyvend/accounts/"+a.ID+"/check", nil, &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}
