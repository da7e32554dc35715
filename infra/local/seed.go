package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"keyvend/pkg/operator"
)

// seed is what a team's tests expect to find: the file of -seed. It is applied
// at each start and changes what differs; what it does not name stays.
type seed struct {
	Tenants []seedTenant `json:"tenants"`
}

type seedTenant struct {
	Name    string       `json:"name"`
	APIKeys []seedAPIKey `json:"api_keys"`
	// Integrations are bodies of POST /data-integrations. auth_methods may be
	// left out.
	Integrations []map[string]any `json:"integrations"`
	// Accounts are bodies of PUT …/api-key with the slug beside.
	Accounts []map[string]any `json:"accounts"`
}

// seedAPIKey is an API key whose text is fixed, so that it can stand in a
// test's configuration. It is no token of keyvend's: infra/local alone takes it
// in place of one.
type seedAPIKey struct {
	Key    string   `json:"key"`
	Scopes []string `json:"scopes"`
}

func readSeed(path string) (seed, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return seed{}, fmt.Errorf("the seed file: %w", err)
	}
	var s seed
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return seed{}, fmt.Errorf("the seed file %s: %w", path, err)
	}
	return s, s.check(path)
}

func (s seed) check(path string) error {
	seen := map[string]bool{}
	for _, t := range s.Tenants {
		if t.Name == "" || seen["tenant "+t.Name] {
			return fmt.Errorf("the seed file %s: a tenant has no name, or one that another has", path)
		}
		seen["tenant "+t.Name] = true
		for _, k := range t.APIKeys {
			if !strings.HasPrefix(k.Key, "sk_") || len(k.Key) < 8 || strings.ContainsAny(k.Key, " \t\n,") || seen[k.Key] {
				return fmt.Errorf(`the seed file %s: an API key of %q is not a text like "sk_test_acme", or stands there twice`, path, t.Name)
			}
			seen[k.Key] = true
		}
	}
	return nil
}

// seeded are the tenants that seeds made in this data folder, by name: their ids
// and, for each fixed API key and its scopes, the token that stands behind it.
type seeded map[string]*seededTenant

type seededTenant struct {
	ID     string            `json:"id"`
	Tokens map[string]string `json:"tokens"`
}

// applySeed makes what s names, as clients would, and returns the token behind
// each fixed API key.
func applySeed(ctx context.Context, s seed, do tenants, h http.Handler, dir string) (tokens map[string]string, err error) {
	path := filepath.Join(dir, "seeded.json")
	known, err := readSeeded(path)
	if err != nil {
		return nil, err
	}
	tokens = map[string]string{}
	for _, t := range s.Tenants {
		if err := known.apply(ctx, t, do, h, tokens); err != nil {
			return nil, fmt.Errorf("seeding the tenant %q: %w", t.Name, err)
		}
	}
	text, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return nil, err
	}
	return tokens, writeWhole(path, append(text, '\n'))
}

func readSeeded(path string) (seeded, error) {
	known := seeded{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	return known, err
}

// scopesOfSeeding are those of the key with which a seed is applied.
var scopesOfSeeding = []string{"manage"}

func (known seeded) apply(ctx context.Context, t seedTenant, do tenants, h http.Handler, tokens map[string]string) error {
	tenant := known[t.Name]
	if tenant != nil {
		if _, err := do(ctx, operator.Request{Action: operator.ListAPIKeys, Tenant: tenant.ID}); err != nil {
			tenant = nil // it outlived its database
		}
	}
	if tenant == nil {
		made, err := do(ctx, operator.Request{Action: operator.CreateTenant, Name: t.Name})
		if err != nil {
			return err
		}
		tenant = &seededTenant{ID: made.Tenant.ID, Tokens: map[string]string{}}
		known[t.Name] = tenant
	}
	for _, k := range t.APIKeys {
		token, err := tenant.token(ctx, do, k.Key, k.Scopes)
		if err != nil {
			return err
		}
		tokens[k.Key] = token
	}
	token, err := tenant.token(ctx, do, "seed", scopesOfSeeding)
	if err != nil {
		return err
	}
	return fill(ctx, t, client{h, token})
}

// token is the one behind a fixed API key with these scopes, issued when there
// is none.
func (t *seededTenant) token(ctx context.Context, do tenants, name string, scopes []string) (string, error) {
	place := name + " " + strings.Join(slices.Sorted(slices.Values(scopes)), ",")
	if t.Tokens[place] == "" {
		issued, err := do(ctx, operator.Request{Action: operator.IssueAPIKey, Tenant: t.ID, Name: name, Scopes: scopes})
		if err != nil {
			return "", fmt.Errorf("the API key %q: %w", name, err)
		}
		t.Tokens[place] = issued.Token
	}
	return t.Tokens[place], nil
}

// fill makes a tenant's integrations and accounts.
func fill(ctx context.Context, t seedTenant, c client) error {
	for _, body := range t.Integrations {
		if body["auth_methods"] == nil {
			body["auth_methods"] = []string{"api_key"}
		}
		status, answer := c.send(ctx, http.MethodPost, "/data-integrations", body)
		if status == http.StatusConflict {
			status, answer = c.send(ctx, http.MethodPut, fmt.Sprint("/data-integrations/", body["provider"]), body)
		}
		if status >= 300 {
			return fmt.Errorf("the integration %v: %s", body["provider"], answer)
		}
	}
	for _, body := range t.Accounts {
		status, answer := c.send(ctx, http.MethodPut, fmt.Sprintf("/data-integrations/%v/api-key", body["slug"]), body)
		if status >= 300 {
			return fmt.Errorf("the account of %v for %v: %s", body["user_id"], body["slug"], answer)
		}
	}
	return nil
}

// client speaks to the handlers as one over the network would.
type client struct {
	handler http.Handler
	token   string
}

func (c client) send(ctx context.Context, method, path string, body any) (status int, answer string) {
	text, err := json.Marshal(body)
	if err != nil {
		return http.StatusBadRequest, err.Error()
	}
	r := httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(text))
	r.Header.Set("Authorization", "Bearer "+c.token)
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// fixedKeys lets the fixed API keys of a seed stand for the tokens behind them.
func fixedKeys(tokens map[string]string, h http.Handler) http.Handler {
	if len(tokens) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sent := r.Header.Values("Authorization"); len(sent) == 1 {
			if token, ok := tokens[strings.TrimPrefix(sent[0], "Bearer ")]; ok {
				r.Header.Set("Authorization", "Bearer "+token)
			}
		}
		h.ServeHTTP(w, r)
	})
}
