package api

import (
	"context"
	"net/http"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/vault"
)

// apiKeys are the routes with which a tenant keeps its own API keys.
func apiKeys(k *vault.APIKeys) []Route {
	h := tenantKeys{k}
	return []Route{
		{"GET", "/keyvend/api_keys", apikey.Read, handle(h.list)},
		{"POST", "/keyvend/api_keys", apikey.Manage, handle(h.issue)},
		{"DELETE", "/keyvend/api_keys/{api_key_id}", apikey.Manage, handle(h.revoke)},
	}
}

type tenantKeys struct{ keys *vault.APIKeys }

type wireAPIKey struct {
	Object    string         `json:"object"`
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Scopes    []apikey.Scope `json:"scopes"`
	CreatedAt string         `json:"created_at"`
	ExpiresAt *string        `json:"expires_at"`
	RevokedAt *string        `json:"revoked_at"`
	IssuedBy  *string        `json:"issued_by"` // the id of an API key
	IssuedIn  *string        `json:"issued_in"`
}

// wireIssuedKey tells the token: once, when the key is issued.
type wireIssuedKey struct {
	wireAPIKey
	Token string `json:"token"`
}

func apiKeyOnWire(k *apikey.Key) wireAPIKey {
	return wireAPIKey{
		Object:    "api_key",
		ID:        k.ID,
		Name:      k.Name,
		Scopes:    k.Scopes,
		CreatedAt: stamp(k.CreatedAt),
		ExpiresAt: stampOrNil(k.ExpiresAt),
		RevokedAt: stampOrNil(k.RevokedAt),
		IssuedBy:  orNil(k.IssuedBy),
		IssuedIn:  orNil(issuedIn(k)),
	}
}

// issuedIn is where an API key was issued, "" when an operator did it.
func issuedIn(k *apikey.Key) string {
	switch {
	case k.InSession:
		return "dashboard"
	case k.IssuedBy != "":
		return "api"
	}
	return ""
}

func (h tenantKeys) list(ctx context.Context, v *vault.Visit, in *listAPIKeys) (answer, error) {
	w := in.page.walk()
	rows, next, err := h.keys.List(ctx, v, vault.APIKeyRange{After: w.from, Descending: w.descending, Limit: in.page.Limit})
	if err != nil {
		return answer{}, err
	}
	return ok(walked(w, rows, next, func(k *apikey.Key) string { return k.ID }, apiKeyOnWire)), nil
}

func (h tenantKeys) issue(ctx context.Context, v *vault.Visit, in *issueBody) (answer, error) {
	key, token, err := h.keys.Issue(ctx, v, in.want)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: wireIssuedKey{apiKeyOnWire(key), string(token.Reveal())}}, nil
}

func (h tenantKeys) revoke(ctx context.Context, v *vault.Visit, in *apiKeyPath) (answer, error) {
	return answer{status: http.StatusNoContent}, h.keys.Revoke(ctx, v, in.id)
}

type listAPIKeys struct{ page page }

func (in *listAPIKeys) decode(r *request) (target vault.Target, err error) {
	in.page, err = r.page(ident.APIKeyPrefix)
	return target, err
}

// issueBody is POST /keyvend/api_keys.
type issueBody struct {
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes"`
	ExpiresAt *string  `json:"expires_at"`

	want vault.NewKey
}

func (in *issueBody) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	in.want.Name = in.Name
	if in.want.Scopes, err = apikey.ParseScopes(in.Scopes); err != nil {
		return target, err
	}
	in.want.ExpiresAt, err = timestamp("expires_at", in.ExpiresAt)
	return target, err
}

// apiKeyPath names an API key in the path; "" is none that can exist.
type apiKeyPath struct{ id string }

func (in *apiKeyPath) decode(r *request) (vault.Target, error) {
	if _, ok := ident.Parse(ident.APIKeyPrefix, r.values["api_key_id"]); ok {
		in.id = r.values["api_key_id"]
	}
	return vault.Target{}, nil
}
