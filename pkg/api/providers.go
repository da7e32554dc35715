package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"keyvend/pkg/apikey"
	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/vault"
)

// Providers are the routes of the function "providers": what a tenant
// registers, and what there is to register.
func Providers(registry *vault.Registry, o *vault.Organizations, s *vault.Settings, f *vault.Freezes) []Route {
	return slices.Concat(registration(registry), organizations(o), administration(s, f), organizationOwnedRoutes())
}

// registration are the routes of integrations and of the catalog.
func registration(registry *vault.Registry) []Route {
	p := providers{registry}
	return []Route{
		{"POST", "/data-integrations", apikey.Manage, handle(p.create)},
		{"GET", "/data-integrations", apikey.Read, handle(p.list)},
		{"GET", "/data-integrations/{slug}", apikey.Read, handle(p.get)},
		{"PUT", "/data-integrations/{slug}", apikey.Manage, handle(p.update)},
		{"DELETE", "/data-integrations/{slug}", apikey.Manage, handle(p.remove)},
		{"GET", "/keyvend/integrations/{slug}", apikey.Read, handle(p.definition)},
		{"PATCH", "/keyvend/integrations/{slug}", apikey.Manage, handle(p.define)},
		{"GET", "/keyvend/catalog", apikey.Read, handle(p.catalog)},
		{"GET", "/keyvend/catalog/{slug}", apikey.Read, handle(p.catalogEntry)},
		{"GET", "/healthz", "", open(healthz)},
		{"GET", "/openapi.json", "", open(describe)},
	}
}

// organizationOwnedRoutes are refused by a sentence, until organizations can
// own accounts.
func organizationOwnedRoutes() []Route {
	var routes []Route
	for _, path := range []string{
		"/data-integrations/{slug}/organization",
		"/organizations/{organization_id}/connected_accounts/{slug}",
		"/organizations/{organization_id}/data_providers",
	} {
		routes = append(routes, Route{"GET", path, apikey.Read, handle(later)})
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			routes = append(routes, Route{method, path, apikey.Manage, handle(later)})
		}
	}
	return routes
}

type providers struct{ registry *vault.Registry }

func (p providers) create(ctx context.Context, v *vault.Visit, in *createIntegration) (answer, error) {
	done, err := p.registry.Register(ctx, v, in.registration)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusCreated, body: integrationOnWire(done.Integration, done.Account)}
	return a.warn(done.Integration, in.registration.FirstKey, done.Account), nil
}

func (p providers) list(ctx context.Context, v *vault.Visit, in *listIntegrations) (answer, error) {
	rows, err := p.registry.List(ctx, v)
	if err != nil {
		return answer{}, err
	}
	id := func(in *integration.Integration) string { return in.ID }
	show := func(in *integration.Integration) wireIntegration { return integrationOnWire(in, nil) }
	return ok(listed(rows, id, show, in.page)), nil
}

func (p providers) get(_ context.Context, v *vault.Visit, _ *slugPath) (answer, error) {
	in, err := p.registry.Get(v)
	if err != nil {
		return answer{}, err
	}
	return ok(integrationOnWire(in, nil)), nil
}

func (p providers) update(ctx context.Context, v *vault.Visit, in *updateIntegration) (answer, error) {
	done, err := p.registry.Amend(ctx, v, in.amendment)
	if err != nil {
		return answer{}, err
	}
	return ok(integrationOnWire(done.Integration, nil)).warn(done.Integration, in.amendment.Key, done.Account), nil
}

func (p providers) remove(ctx context.Context, v *vault.Visit, _ *slugPath) (answer, error) {
	return answer{status: http.StatusNoContent}, p.registry.Remove(ctx, v)
}

// wireCatalogEntry is a provider of the catalog on the wire.
type wireCatalogEntry struct {
	Object string `json:"object"`
	catalog.Provider
}

func (p providers) catalog(context.Context, *vault.Visit, *nothing) (answer, error) {
	var data []wireCatalogEntry
	for _, entry := range catalog.All() {
		data = append(data, wireCatalogEntry{"catalog_provider", entry})
	}
	return ok(plainList(data)), nil
}

func (p providers) catalogEntry(_ context.Context, _ *vault.Visit, in *catalogPath) (answer, error) {
	entry, found := catalog.Lookup(in.slug)
	if !found {
		return answer{}, fault.New(fault.NotFound, "not_found",
			"The catalog has no such provider. GET /keyvend/catalog lists those it has.")
	}
	return ok(wireCatalogEntry{"catalog_provider", entry}), nil
}

// later answers the routes of organization-owned accounts.
func later(context.Context, *vault.Visit, *nothing) (answer, error) {
	return answer{}, fault.New(fault.Invalid, "unprocessable_entity", organizationOwned)
}

// healthz says that the process answers. It touches nothing else.
func healthz(s *Server, w http.ResponseWriter, r *request) {
	s.reply(w, r.Request, ok(map[string]string{"status": "ok"}))
}

// nothing is the input of a route that reads nothing of a request.
type nothing struct{}

func (*nothing) decode(*request) (vault.Target, error) { return vault.Target{}, nil }

type catalogPath struct{ slug string }

func (in *catalogPath) decode(r *request) (vault.Target, error) {
	in.slug = r.slug()
	return vault.Target{}, nil
}

type slugPath struct{}

func (*slugPath) decode(r *request) (vault.Target, error) { return vault.Target{Slug: r.slug()}, nil }

type listIntegrations struct{ page page }

func (in *listIntegrations) decode(r *request) (target vault.Target, err error) {
	in.page, err = r.page(ident.IntegrationPrefix)
	return target, err
}

// createIntegration is POST /data-integrations.
type createIntegration struct {
	Provider       string              `json:"provider"`
	Description    *string             `json:"description"`
	Enabled        bool                `json:"enabled"`
	Ownership      string              `json:"ownership"`
	AuthMethods    []string            `json:"auth_methods"`
	Config         textMap             `json:"config"`
	Credentials    jsontext.Value      `json:"credentials"`
	APIKey         *keyBody            `json:"api_key"`
	CustomProvider *customProviderBody `json:"custom_provider"`

	registration vault.Registration
}

// customProviderBody is a custom provider's definition. What the contract has
// besides the name is about OAuth and ignored.
type customProviderBody struct {
	Name string `json:"name"`
}

func (in *createIntegration) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	if err := in.check(); err != nil {
		return target, err
	}
	target.Slug = in.Provider
	in.registration = vault.Registration{
		Slug:        in.Provider,
		Description: in.Description,
		Enabled:     in.Enabled,
	}
	for _, method := range in.AuthMethods {
		in.registration.AuthMethods = append(in.registration.AuthMethods, integration.AuthMethod(method))
	}
	if in.CustomProvider != nil {
		in.registration.CustomName = in.CustomProvider.Name
	}
	if in.registration.FirstKey, err = inlineKey(&target, in.APIKey); err != nil {
		return target, err
	}
	in.registration.Request, err = r.remember()
	return target, err
}

func (in *createIntegration) check() error {
	switch {
	case in.Provider == "":
		return invalid("provider", "required", "provider is required: a slug of GET /keyvend/catalog, or a new one with custom_provider.")
	case !ident.ValidSlug(in.Provider):
		return invalid("provider", "invalid_slug", "provider is a slug: 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit.")
	case in.Ownership != "" && in.Ownership != "user" && in.Ownership != "userland_user":
		return invalid("ownership", "not_supported", organizationOwned)
	case in.usesAPIKeys() && len(in.Config) > 0:
		return invalid("config", "not_supported", "Settings of API-key integrations belong to each account: send config beside the key.")
	case in.usesAPIKeys() && present(in.Credentials):
		return invalid("credentials", "not_supported", "credentials are OAuth's. An API-key integration has none: leave them out.")
	}
	if in.CustomProvider != nil {
		if err := checkName("custom_provider.name", in.CustomProvider.Name); err != nil {
			return err
		}
	}
	return checkDescription(in.Description)
}

func (in *createIntegration) usesAPIKeys() bool {
	return len(in.AuthMethods) == 1 && in.AuthMethods[0] == string(integration.APIKey)
}

// inlineKey reads the key that came along with an integration.
func inlineKey(target *vault.Target, body *keyBody) (*vault.Upsert, error) {
	if body == nil {
		return nil, nil
	}
	up, err := body.upsert(target, minInlineSecret)
	target.WithDeparture = true
	return &up, err
}

// present reports whether an optional object was sent and is not null.
func present(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

func checkDescription(text *string) error {
	if text == nil {
		return nil
	}
	return checkText("description", *text, 0, 2000)
}

// checkName checks what people know a provider by. It stands in links and buttons,
// which nobody finds when there is nothing to see in them.
func checkName(field, name string) error {
	joins := func(r rune) bool { return r == '\u200c' || r == '\u200d' } // in Persian, and in emoji
	odd := func(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) && !joins(r) }
	switch n := utf8.RuneCountInString(name); {
	case name == "":
		return invalid(field, "required", field+" is required: what people know the provider by.")
	case n > 200, strings.ContainsFunc(name, odd), strings.TrimSpace(name) != name, !strings.ContainsFunc(name, seen):
		return invalid(field, "invalid_text", field+" is one line of 1 to 200 characters that can be seen, without spaces at its ends, and without control and format characters.")
	}
	return nil
}

// seen reports whether r alone leaves something to see.
func seen(r rune) bool {
	blank := r == '\u2800' || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
	return !blank && unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)
}

func checkText(field, text string, least, most int) error {
	n := utf8.RuneCountInString(text)
	if n < least || n > most || strings.ContainsFunc(text, control) {
		return invalid(field, "invalid_text", fmt.Sprintf("%s has %d to %d characters and no control characters but line breaks and tabs.", field, least, most))
	}
	return nil
}

// control reports whether r has no place in a text: line breaks and tabs have.
func control(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }

// updateIntegration is PUT /data-integrations/{slug}: what is not sent stays.
type updateIntegration struct {
	Description    jsontext.Value      `json:"description"`
	Enabled        *bool               `json:"enabled"`
	Credentials    jsontext.Value      `json:"credentials"`
	APIKey         *keyBody            `json:"api_key"`
	CustomProvider *customProviderBody `json:"custom_provider"`

	amendment vault.Amendment
}

func (in *updateIntegration) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	target.Slug = r.slug()
	in.amendment.Enabled = in.Enabled
	if err := in.credentials(); err != nil {
		return target, err
	}
	if err := in.describe(); err != nil {
		return target, err
	}
	if in.CustomProvider != nil {
		if err := checkName("custom_provider.name", in.CustomProvider.Name); err != nil {
			return target, err
		}
		in.amendment.CustomName = &in.CustomProvider.Name
	}
	if in.amendment.Key, err = inlineKey(&target, in.APIKey); err != nil {
		return target, err
	}
	in.amendment.Request, err = r.remember()
	return target, err
}

func (in *updateIntegration) credentials() error {
	switch {
	case !present(in.Credentials):
		return nil
	case in.APIKey != nil:
		return invalid("credentials", "exclusive", "credentials and api_key exclude each other.")
	}
	return vault.ErrAuthMethodMismatch
}

// describe tells a description that was not sent, which stays, from null, which
// clears it.
func (in *updateIntegration) describe() error {
	if len(in.Description) == 0 {
		return nil
	}
	text, err := textOrNull("description", in.Description)
	if err != nil {
		return err
	}
	in.amendment.SetDescription, in.amendment.Description = true, text
	return checkDescription(text)
}

// textOrNull reads a text that null clears.
func textOrNull(field string, sent jsontext.Value) (*string, error) {
	switch sent.Kind() {
	case 'n':
		return nil, nil
	case '"':
	default:
		return nil, badBody("The field " + field + " has the wrong type.")
	}
	raw, err := jsontext.AppendUnquote(nil, sent)
	if err != nil {
		return nil, errBadJSON
	}
	text := string(raw)
	return &text, nil
}
