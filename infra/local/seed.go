package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"keyvend/pkg/fault"
	"keyvend/pkg/operator"
)

// seededFile keeps what seeds made in a data folder.
const seededFile = "seeded.json"

// seeded are the tenants that seeds made in this data folder, by name.
type seeded map[string]*seededTenant

// seededTenant has the tokens that stand behind a tenant's fixed API keys, by
// place: the key's number in the file and its scopes. The fixed texts
// themselves are kept nowhere.
type seededTenant struct {
	ID     string            `json:"id"`
	Tokens map[string]string `json:"tokens"`
}

// place is how tokens are named in a seededTenant.
var place = regexp.MustCompile(`^[0-9]+ [a-z,]+$`)

// seeder makes what a seed names, as clients would, and writes each step down,
// so that a start that fails half-way is gone on with by the next.
type seeder struct {
	do      tenants
	handler http.Handler
	path    string // of seededFile
	known   seeded
	renewed []renewal
}

// renewal is an API key that was revoked and is there again, since a seed has it.
type renewal struct{ tenant, name string }

func newSeeder(do tenants, h http.Handler, dir string) (*seeder, error) {
	s := &seeder{do: do, handler: h, path: filepath.Join(dir, seededFile), known: seeded{}}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which keeps what seeds made, cannot be read: %s", s.path, reason(err))
	}
	if err := json.Unmarshal(text, &s.known); err != nil || !s.known.whole() {
		return nil, fmt.Errorf("%s, which keeps what seeds made, is damaged. Put the old one back, or delete it: "+
			"the seed's tenants are then made anew, and the old ones and their data stay", s.path)
	}
	return s, nil
}

// whole reports whether nothing is missing of what was read.
func (known seeded) whole() bool {
	for _, t := range known {
		if t == nil || t.ID == "" {
			return false
		}
		for name := range t.Tokens {
			if !place.MatchString(name) {
				return false
			}
		}
	}
	return known != nil
}

// apply makes what is missing and returns the token behind each fixed API key.
func (s *seeder) apply(ctx context.Context, wanted seed) (tokens map[string]string, err error) {
	tokens = map[string]string{}
	for _, t := range wanted.Tenants {
		if err := s.tenant(ctx, t, tokens); err != nil {
			return nil, fmt.Errorf("seeding the tenant %q: %w", t.Name, err)
		}
	}
	return tokens, nil
}

func (s *seeder) tenant(ctx context.Context, t seedTenant, tokens map[string]string) error {
	made, err := s.find(ctx, t.Name)
	if err != nil {
		return err
	}
	for i, k := range t.APIKeys {
		k.Name = cmp.Or(k.Name, fmt.Sprint("seed ", i+1))
		if tokens[k.Key], err = s.token(ctx, t.Name, made, i+1, k); err != nil {
			return fmt.Errorf("api_keys[%d]: %w", i, err)
		}
	}
	// The seed itself is applied with a key of its own.
	token, err := s.token(ctx, t.Name, made, 0, seedAPIKey{Name: "seeding", Scopes: []string{"manage"}})
	if err != nil {
		return err
	}
	return fill(ctx, t, client{s.handler, token})
}

// find is the tenant that an earlier seed made under a name, or a new one.
func (s *seeder) find(ctx context.Context, name string) (*seededTenant, error) {
	if found := s.known[name]; found != nil {
		_, err := s.do(ctx, operator.Request{Action: operator.ListAPIKeys, Tenant: found.ID})
		if err == nil {
			return found, nil
		}
		if fault.As(err).Kind != fault.NotFound { // else it outlived its database
			return nil, errors.New(said(err))
		}
	}
	made, err := s.do(ctx, operator.Request{Action: operator.CreateTenant, Name: name})
	if err != nil {
		return nil, errors.New(said(err))
	}
	s.known[name] = &seededTenant{ID: made.Tenant.ID}
	return s.known[name], s.save()
}

// token is the one behind the API key of that number with these scopes, issued
// when there is none that works: a revoked one would keep the seed from being
// applied for good.
func (s *seeder) token(ctx context.Context, tenant string, t *seededTenant, number int, k seedAPIKey) (string, error) {
	at := fmt.Sprint(number, " ", strings.Join(slices.Sorted(slices.Values(k.Scopes)), ","))
	if old := t.Tokens[at]; old != "" {
		works, err := client{s.handler, old}.works(ctx)
		if err != nil || works {
			return old, err
		}
		s.renewed = append(s.renewed, renewal{tenant, k.Name})
	}
	issued, err := s.do(ctx, operator.Request{Action: operator.IssueAPIKey, Tenant: t.ID, Name: k.Name, Scopes: k.Scopes})
	if err != nil {
		return "", errors.New(said(err))
	}
	if t.Tokens == nil {
		t.Tokens = map[string]string{}
	}
	t.Tokens[at] = issued.Token
	return issued.Token, s.save()
}

func (s *seeder) save() error {
	text, err := json.MarshalIndent(s.known, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(s.path, append(text, '\n'))
}

// fill makes a tenant's integrations and accounts.
func fill(ctx context.Context, t seedTenant, c client) error {
	for i, body := range t.Integrations {
		status, sentence, err := integrate(ctx, body, c)
		if err != nil || status >= http.StatusMultipleChoices {
			return refusedPart(fmt.Sprintf("integrations[%d] (%v)", i, body["provider"]), sentence, err)
		}
	}
	for i, body := range t.Accounts {
		status, sentence, err := c.send(ctx, http.MethodPut, fmt.Sprintf("/data-integrations/%v/api-key", body["slug"]), body)
		if err != nil || status >= http.StatusMultipleChoices {
			return refusedPart(fmt.Sprintf("accounts[%d] (%v for %v)", i, body["user_id"], body["slug"]), sentence, err)
		}
	}
	return nil
}

// integrate makes an integration, or changes the one that is there, and then
// its definition.
func integrate(ctx context.Context, body map[string]any, c client) (status int, sentence string, err error) {
	if body["auth_methods"] == nil {
		body["auth_methods"] = []string{"api_key"}
	}
	status, sentence, err = c.send(ctx, http.MethodPost, "/data-integrations", body)
	if status == http.StatusConflict {
		status, sentence, err = c.send(ctx, http.MethodPut, fmt.Sprint("/data-integrations/", body["provider"]), body)
	}
	if err != nil || status >= http.StatusMultipleChoices || body["definition"] == nil {
		return status, sentence, err
	}
	return c.send(ctx, http.MethodPatch, fmt.Sprint("/keyvend/integrations/", body["provider"]), body["definition"])
}

func refusedPart(part, sentence string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", part, err)
	}
	return fmt.Errorf("%s: %s", part, sentence)
}

// fixedKeys lets the fixed API keys of a seed stand for the tokens behind them.
func fixedKeys(tokens map[string]string, h http.Handler) http.Handler {
	if len(tokens) == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sent := r.Header.Values("Authorization"); len(sent) == 1 {
			if text, ok := strings.CutPrefix(sent[0], "Bearer "); ok && tokens[text] != "" {
				r.Header.Set("Authorization", "Bearer "+tokens[text])
			}
		}
		h.ServeHTTP(w, r)
	})
}
