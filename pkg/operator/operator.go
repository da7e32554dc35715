// Package operator is what the tenants function answers: the requests of whoever
// runs keyvend, over a direct invocation in AWS and a socket on a laptop.
package operator

import (
	"context"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

// The actions that an operator may ask for.
const (
	CreateTenant = "create_tenant"  // name
	ListTenants  = "list_tenants"   //
	IssueAPIKey  = "issue_api_key"  // tenant, name, scopes, expires_at
	ListAPIKeys  = "list_api_keys"  // tenant
	RevokeAPIKey = "revoke_api_key" // tenant, api_key
)

// Request is one action and what it needs.
type Request struct {
	Action    string     `json:"action"`
	Tenant    string     `json:"tenant,omitempty"`
	Name      string     `json:"name,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	APIKey    string     `json:"api_key,omitempty"`
}

// Response is what came of a Request; only what the action gives is there.
type Response struct {
	Tenant  *Tenant  `json:"tenant,omitempty"`
	Tenants []Tenant `json:"tenants,omitempty"`
	APIKey  *APIKey  `json:"api_key,omitempty"`
	APIKeys []APIKey `json:"api_keys,omitempty"`
	// Token is the new API key itself. It is told this once.
	Token string `json:"token,omitempty"`
}

// Tenant is what an operator sees of a tenant.
type Tenant struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Status     string    `json:"status"`
	KeyVersion uint32    `json:"key_version"`
	CreatedAt  time.Time `json:"created_at"`
}

// APIKey is what an operator sees of an API key.
type APIKey struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Scopes    []apikey.Scope `json:"scopes"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt time.Time      `json:"expires_at,omitzero"`
	RevokedAt time.Time      `json:"revoked_at,omitzero"`
}

// Desk answers operators.
type Desk struct{ Tenants *vault.Tenants }

// Handle does what request asks for.
func (d *Desk) Handle(ctx context.Context, request Request) (Response, error) {
	switch request.Action {
	case CreateTenant:
		return d.createTenant(ctx, request)
	case ListTenants:
		return d.listTenants(ctx)
	case IssueAPIKey:
		return d.issueAPIKey(ctx, request)
	case ListAPIKeys:
		return d.listAPIKeys(ctx, request)
	case RevokeAPIKey:
		return d.revokeAPIKey(ctx, request)
	}
	return Response{}, fault.New(fault.Invalid, "unknown_action",
		"action is create_tenant, list_tenants, issue_api_key, list_api_keys or revoke_api_key.")
}

func (d *Desk) createTenant(ctx context.Context, request Request) (Response, error) {
	made, err := d.Tenants.Create(ctx, request.Name)
	if err != nil {
		return Response{}, err
	}
	shown := showTenant(made)
	return Response{Tenant: &shown}, nil
}

func (d *Desk) listTenants(ctx context.Context) (Response, error) {
	found, err := d.Tenants.List(ctx)
	var r Response
	for _, t := range found {
		r.Tenants = append(r.Tenants, showTenant(t))
	}
	return r, err
}

func (d *Desk) issueAPIKey(ctx context.Context, request Request) (Response, error) {
	scopes, err := apikey.ParseScopes(request.Scopes)
	if err != nil {
		return Response{}, err
	}
	want := vault.NewKey{Name: request.Name, Scopes: scopes}
	if request.ExpiresAt != nil {
		want.ExpiresAt = request.ExpiresAt.UTC().Truncate(time.Millisecond)
	}
	key, token, err := d.Tenants.Issue(ctx, request.Tenant, want)
	if err != nil {
		return Response{}, err
	}
	shown := showKey(key)
	return Response{APIKey: &shown, Token: string(token.Reveal())}, nil
}

func (d *Desk) listAPIKeys(ctx context.Context, request Request) (Response, error) {
	found, err := d.Tenants.Keys(ctx, request.Tenant)
	var r Response
	for _, k := range found {
		r.APIKeys = append(r.APIKeys, showKey(k))
	}
	return r, err
}

func (d *Desk) revokeAPIKey(ctx context.Context, request Request) (Response, error) {
	key, err := d.Tenants.Revoke(ctx, request.Tenant, request.APIKey)
	if err != nil {
		return Response{}, err
	}
	shown := showKey(key)
	return Response{APIKey: &shown}, nil
}

func showTenant(t *tenant.Tenant) Tenant {
	return Tenant{ID: t.ID, Name: t.Name, Status: string(t.Status), KeyVersion: t.Keys.Version, CreatedAt: t.CreatedAt}
}

func showKey(k *apikey.Key) APIKey {
	return APIKey{ID: k.ID, Name: k.Name, Scopes: k.Scopes, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt}
}
