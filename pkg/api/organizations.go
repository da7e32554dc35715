package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"keyvend/pkg/apikey"
	"keyvend/pkg/vault"
)

// organizations are the routes of organizations' switches.
func organizations(o *vault.Organizations) []Route {
	h := orgs{o}
	const path = "/organizations/{organization_id}/data_integration_configurations"
	return []Route{
		{"GET", path, apikey.Read, handle(h.list)},
		{"PUT", path + "/{slug}", apikey.Manage, handle(h.configure)},
	}
}

type orgs struct{ organizations *vault.Organizations }

func (h orgs) list(ctx context.Context, v *vault.Visit, _ *organizationPath) (answer, error) {
	all, err := h.organizations.List(ctx, v)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireConfiguration, len(all))
	for i, c := range all {
		data[i] = configurationOnWire(c)
	}
	return ok(plainList(data)), nil
}

func (h orgs) configure(ctx context.Context, v *vault.Visit, in *configureBody) (answer, error) {
	c, err := h.organizations.Configure(ctx, v, in.Enabled)
	if err != nil {
		return answer{}, err
	}
	return ok(configurationOnWire(c)), nil
}

type wireConfiguration struct {
	Object         string            `json:"object"`
	ID             string            `json:"id"`
	OrganizationID string            `json:"organization_id"`
	Slug           string            `json:"slug"`
	Name           string            `json:"name"`
	Enabled        bool              `json:"enabled"`
	Scopes         []string          `json:"scopes"`
	Config         map[string]string `json:"config"`
	CreatedAt      string            `json:"created_at"`
	UpdatedAt      string            `json:"updated_at"`
}

func configurationOnWire(c vault.Configuration) wireConfiguration {
	return wireConfiguration{
		Object:         "data_integration_configuration",
		ID:             c.Integration.ID,
		OrganizationID: c.Organization,
		Slug:           c.Integration.Slug,
		Name:           c.Integration.Name,
		Enabled:        c.Enabled,
		Config:         map[string]string{},
		CreatedAt:      stamp(c.CreatedAt),
		UpdatedAt:      stamp(c.UpdatedAt),
	}
}

// configureBody is PUT on an organization's configuration of an integration.
// For API keys only the switch has a meaning.
type configureBody struct {
	organization organizationPath
	Enabled      *bool          `json:"enabled"`
	Scopes       jsontext.Value `json:"scopes"`
	ClientID     *string        `json:"client_id"`
	ClientSecret *string        `json:"client_secret"`
	Config       textMap        `json:"config"`
}

func (in *configureBody) decode(r *request) (vault.Target, error) {
	target, err := in.organization.decode(r)
	if err != nil {
		return target, err
	}
	if err := r.body(in); err != nil {
		return target, err
	}
	target.Slug = r.slug()
	switch {
	case in.ClientID != nil || in.ClientSecret != nil || len(in.Config) > 0:
		return target, badBody("API-key integrations have no credentials or config of an organization. Send enabled alone.")
	case present(in.Scopes):
		return target, invalid("scopes", "not_supported", "API-key integrations have no scopes. Leave them out, or send null.")
	case in.Enabled == nil && len(in.Scopes) == 0:
		return target, badBody("Send enabled: true or false.")
	}
	return target, nil
}
