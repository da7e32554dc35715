package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
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
	// left out; definition, if there, is the body of PATCH
	// /keyvend/integrations/{slug}.
	Integrations []map[string]any `json:"integrations"`
	// Accounts are bodies of PUT …/api-key with the slug beside.
	Accounts []map[string]any `json:"accounts"`
}

// seedAPIKey is an API key whose text is fixed, so that it can stand in a
// test's configuration. It is no token of keyvend's: infra/local alone takes it
// in place of one.
type seedAPIKey struct {
	Name   string   `json:"name"` // "": seed and its number
	Key    string   `json:"key"`
	Scopes []string `json:"scopes"`
}

// readSeed reads and checks the seed file at path, "" for none.
func readSeed(path string) (seed, error) {
	var s seed
	if path == "" {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("there is no seed file %s: check the path behind -seed", path)
	}
	if err != nil {
		return s, fmt.Errorf("the seed file %s cannot be read: %s", path, reason(err))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("the seed file %s cannot be understood: %s. infra/local/seed.example.json shows how one looks", path, jsonProblem(text, err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("the seed file %s goes on behind the end of its JSON, at line %d: take that away", path, lineOf(text, d.InputOffset()))
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("the seed file %s: %w", path, err)
	}
	return s, nil
}

// jsonProblem tells an error of encoding/json without the names of Go's types.
func jsonProblem(text []byte, err error) string {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("line %d is not JSON", lineOf(text, syntax.Offset))
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Sprintf("in line %d, a JSON %s stands where the seed's object belongs", lineOf(text, wrong.Offset), wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Sprintf("in line %d, %s cannot be a JSON %s", lineOf(text, wrong.Offset), strings.TrimLeft(wrong.Field, "."), wrong.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func lineOf(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
}

func (s seed) check() error {
	names, keys := map[string]bool{}, map[string]bool{}
	for i, t := range s.Tenants {
		if t.Name == "" {
			return fmt.Errorf("tenants[%d].name is missing: give every tenant a name", i)
		}
		if names[t.Name] {
			return fmt.Errorf("two tenants are named %q: give each a name of its own", t.Name)
		}
		names[t.Name] = true
		if err := t.check(keys); err != nil {
			return fmt.Errorf("the tenant %q: %w", t.Name, err)
		}
	}
	return nil
}

// check finds what is wrong with a tenant; keys are the fixed API keys so far.
func (t seedTenant) check(keys map[string]bool) error {
	for i, k := range t.APIKeys {
		if !fixedKey(k.Key) || keys[k.Key] {
			return fmt.Errorf("api_keys[%d].key is not a fixed key, or stands there twice: a fixed key begins with sk_, has 8 or more characters "+
				`of printable ASCII, no spaces and no commas, and stands in the file once. Take one like "sk_test_acme"`, i)
		}
		keys[k.Key] = true
		if _, err := apikey.ParseScopes(k.Scopes); err != nil {
			return fmt.Errorf("api_keys[%d].scopes: %s", i, said(err))
		}
	}
	for i, body := range t.Integrations {
		if err := checkSlug(body, "provider"); err != nil {
			return fmt.Errorf("integrations[%d].%w", i, err)
		}
	}
	for i, body := range t.Accounts {
		if err := checkSlug(body, "slug"); err != nil {
			return fmt.Errorf("accounts[%d].%w", i, err)
		}
	}
	return nil
}

func fixedKey(text string) bool {
	return strings.HasPrefix(text, "sk_") && len(text) >= 8 &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' })
}

func checkSlug(body map[string]any, field string) error {
	value, there := body[field]
	slug, _ := value.(string)
	switch {
	case !there:
		return fmt.Errorf(`%s is missing: name the provider, as in "openai"`, field)
	case !ident.ValidSlug(slug):
		return fmt.Errorf("%s is not a slug: it is 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit", field)
	}
	return nil
}
