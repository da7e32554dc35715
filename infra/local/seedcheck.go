package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
)

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
	if err := t.checkIntegrations(); err != nil {
		return err
	}
	return t.checkAccounts()
}

func (t seedTenant) checkIntegrations() error {
	providers := map[any]bool{}
	for i, body := range t.Integrations {
		at := fmt.Sprintf("integrations[%d]", i)
		if err := checkSlug(body, "provider"); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if err := seedIntegrationFields().check(at, body); err != nil {
			return err
		}
		if providers[body["provider"]] {
			return fmt.Errorf("%s.provider is %q once more: a tenant has one integration of a provider", at, body["provider"])
		}
		providers[body["provider"]] = true
	}
	return nil
}

// owner is whose account of which integration a key becomes. What is no text the
// API refuses.
type owner struct{ slug, user, organization string }

func ownerOf(slug any, body map[string]any) owner {
	var o owner
	o.slug, _ = slug.(string)
	o.user, _ = body["user_id"].(string)
	o.organization, _ = body["organization_id"].(string)
	return o
}

// checkAccounts finds keys of which one would replace the other, those that come
// along with integrations among them.
func (t seedTenant) checkAccounts() error {
	owners := map[owner]string{} // where each stands
	for i, body := range t.Integrations {
		if key, ok := body["api_key"].(map[string]any); ok {
			owners[ownerOf(body["provider"], key)] = fmt.Sprintf("integrations[%d].api_key", i)
		}
	}
	for i, body := range t.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		if err := checkSlug(body, "slug"); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if err := seedAccountFields().check(at, body); err != nil {
			return err
		}
		whose := ownerOf(body["slug"], body)
		if first := owners[whose]; first != "" {
			return fmt.Errorf("%s is a key of the same user, organization and provider as %s, which it would replace: take one of them away", at, first)
		}
		owners[whose] = at
	}
	return nil
}

// fields are the names that an object may have, and of those that are objects
// with names of their own what these may be. The API ignores any other, as its
// contract wants; in a file a slip such as "organisation_id" would make another
// account without a word.
type fields map[string]fields

// seedIntegrationFields are what POST /data-integrations reads, and the definition.
func seedIntegrationFields() fields {
	return fields{
		"provider": nil, "auth_methods": nil, "enabled": nil, "description": nil, "ownership": nil, "config": nil, "credentials": nil,
		"custom_provider": {"name": nil},
		"api_key":         {"user_id": nil, "organization_id": nil, "secret": nil, "config": nil, "metadata": nil, "expires_at": nil},
		"definition": {
			"name": nil, "key_hint": nil, "help_url": nil, "config_fields": nil, "check": nil, "on_invalid": nil, "check_interval": nil,
			"verify_on_save": nil, "staging": nil, "rotation_window_seconds": nil,
		},
	}
}

// seedAccountFields are what PUT …/api-key reads, and the slug.
func seedAccountFields() fields {
	return fields{
		"slug": nil, "user_id": nil, "organization_id": nil, "secret": nil, "config": nil, "metadata": nil, "expires_at": nil,
		"connection_owner": nil, "connected_account_id": nil,
	}
}

// check refuses the first name of body, which stands at that place, that is unknown.
func (f fields) check(at string, body map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(body)) {
		inner, known := f[name]
		if !known {
			return fmt.Errorf("%s has the unknown field %q. The fields are %s", at, name, strings.Join(slices.Sorted(maps.Keys(f)), ", "))
		}
		part, ok := body[name].(map[string]any)
		if inner == nil || !ok {
			continue
		}
		if err := inner.check(at+"."+name, part); err != nil {
			return err
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
