package api

import (
	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/integration"
	"keyvend/pkg/vault"
)

// The shapes of the official widget. Its rows are in camelCase and what is inside
// them is not; that is how it reads them.

// wireWidgetList is a list without pages, as the widget has it.
type wireWidgetList[T any] struct {
	Data []T `json:"data"`
}

type wireDone struct {
	Success bool `json:"success"`
}

// wireWidgetSettings are of use to OAuth only, but for the name.
type wireWidgetSettings struct {
	Object            string  `json:"object"`
	AuthkitOrigin     string  `json:"authkitOrigin"`
	LogoDarkIconPath  *string `json:"logoDarkIconPath"`
	LogoDarkPath      *string `json:"logoDarkPath"`
	LogoLightIconPath *string `json:"logoLightIconPath"`
	LogoLightPath     *string `json:"logoLightPath"`
	TeamName          string  `json:"teamName"`
}

type wireWidgetIntegration struct {
	Object            string              `json:"object"`
	ID                string              `json:"id"`
	Name              string              `json:"name"`
	Description       *string             `json:"description"`
	Slug              string              `json:"slug"`
	IntegrationType   string              `json:"integrationType"`
	Ownership         string              `json:"ownership"`
	CredentialsType   string              `json:"credentialsType"`
	Scopes            []string            `json:"scopes"`
	AuthMethods       []string            `json:"authMethods"`
	ConfigFields      []struct{}          `json:"configFields"`
	Config            map[string]string   `json:"config"`
	CreatedAt         string              `json:"createdAt"`
	UpdatedAt         string              `json:"updatedAt"`
	Installation      *wireWidgetAccount  `json:"installation"`
	ConnectedAccounts []wireWidgetAccount `json:"connected_accounts"`
}

type wireWidgetAccount struct {
	Object         string            `json:"object"`
	ID             string            `json:"id"`
	UserID         string            `json:"user_id"`
	OrganizationID *string           `json:"organization_id"`
	Scopes         []string          `json:"scopes"`
	AuthMethod     string            `json:"auth_method"`
	APIKeyLast4    *string           `json:"api_key_last_4"`
	State          string            `json:"state"`
	Config         map[string]string `json:"config"`
	CreatedAt      string            `json:"created_at"`
	UpdatedAt      string            `json:"updated_at"`
}

func widgetIntegrationOnWire(p vault.Provider) wireWidgetIntegration {
	in := p.Integration
	w := wireWidgetIntegration{
		Object:            "data_integration",
		ID:                in.ID,
		Name:              in.Name,
		Description:       in.Description,
		Slug:              in.Slug,
		IntegrationType:   in.Slug,
		Ownership:         "userland_user",
		CredentialsType:   "custom",
		AuthMethods:       []string{string(in.AuthMethod)},
		ConfigFields:      []struct{}{},
		Config:            map[string]string{},
		CreatedAt:         stamp(in.CreatedAt),
		UpdatedAt:         stamp(in.UpdatedAt),
		ConnectedAccounts: []wireWidgetAccount{},
	}
	if p.Account != nil {
		w.ConnectedAccounts = append(w.ConnectedAccounts, widgetAccountOnWire(p.Account))
		w.Installation = &w.ConnectedAccounts[0]
	}
	return w
}

func widgetAccountOnWire(a *account.Account) wireWidgetAccount {
	return wireWidgetAccount{
		Object:         "connected_account",
		ID:             a.ID,
		UserID:         a.Owner.User,
		OrganizationID: orNil(a.Owner.Organization),
		Scopes:         []string{},
		AuthMethod:     string(a.AuthMethod),
		APIKeyLast4:    last4(a),
		State:          string(a.State),
		Config:         orEmpty(a.Config),
		CreatedAt:      stamp(a.CreatedAt),
		UpdatedAt:      stamp(a.UpdatedAt),
	}
}

type wireWidgetConfiguration struct {
	Object          string                `json:"object"`
	ID              string                `json:"id"`
	Name            string                `json:"name"`
	Description     *string               `json:"description"`
	Slug            string                `json:"slug"`
	IntegrationType string                `json:"integrationType"`
	Ownership       string                `json:"ownership"`
	Enabled         bool                  `json:"enabled"`
	Scopes          []string              `json:"scopes"`
	DefaultScopes   []string              `json:"defaultScopes"`
	AvailableScopes []string              `json:"availableScopes"`
	Credentials     wireWidgetCredentials `json:"credentials"`
	AuthMethods     []string              `json:"authMethods"`
	ConfigFields    []struct{}            `json:"configFields"`
	Config          map[string]string     `json:"config"`
	CreatedAt       string                `json:"createdAt"`
	UpdatedAt       string                `json:"updatedAt"`
}

// wireWidgetCredentials are OAuth's: none.
type wireWidgetCredentials struct {
	CredentialsType string `json:"credentialsType"`
	HasCredentials  bool   `json:"hasCredentials"`
	RedirectURI     string `json:"redirectUri"`
}

func widgetConfigurationOnWire(c vault.Configuration) wireWidgetConfiguration {
	in := c.Integration
	return wireWidgetConfiguration{
		Object:          "data_integration_configuration",
		ID:              in.ID,
		Name:            in.Name,
		Description:     in.Description,
		Slug:            in.Slug,
		IntegrationType: in.Slug,
		Ownership:       "userland_user",
		Enabled:         c.Enabled,
		DefaultScopes:   []string{},
		AvailableScopes: []string{},
		Credentials:     wireWidgetCredentials{CredentialsType: "custom"},
		AuthMethods:     []string{string(in.AuthMethod)},
		ConfigFields:    []struct{}{},
		Config:          map[string]string{},
		CreatedAt:       stamp(c.CreatedAt),
		UpdatedAt:       stamp(c.UpdatedAt),
	}
}

// wireOffer is a provider with what keyvend's own widget shows besides.
type wireOffer struct {
	Object       string                `json:"object"`
	Slug         string                `json:"slug"`
	Name         string                `json:"name"`
	Description  *string               `json:"description"`
	KeyHint      *string               `json:"key_hint"`
	Help         *string               `json:"help"`
	HelpURL      *string               `json:"help_url"`
	ConfigFields []catalog.ConfigField `json:"config_fields"`
	Account      *wireOwnAccount       `json:"account"`
}

// wireOwnAccount is an account as its user sees it. Health is null until something
// is known of it, last use until there was one.
type wireOwnAccount struct {
	ID          string            `json:"id"`
	State       string            `json:"state"`
	APIKeyLast4 *string           `json:"api_key_last_4"`
	Config      map[string]string `json:"config"`
	ExpiresAt   *string           `json:"expires_at"`
	Health      *wireHealth       `json:"health"`
	LastUsedAt  *string           `json:"last_used_at"`
	CreatedAt   string            `json:"created_at"`
	UpdatedAt   string            `json:"updated_at"`
}

func offerOnWire(o vault.Offer) wireOffer {
	p := o.Integration.Provider()
	w := wireOffer{
		Object:       "widget_provider",
		Slug:         o.Integration.Slug,
		Name:         o.Integration.Name,
		Description:  o.Integration.Description,
		KeyHint:      orNil(p.KeyHint),
		Help:         orNil(p.Help),
		HelpURL:      orNil(p.KeyPage),
		ConfigFields: p.ConfigFields,
	}
	if w.ConfigFields == nil {
		w.ConfigFields = []catalog.ConfigField{}
	}
	if o.Profile != nil {
		w.Account = ownAccountOnWire(*o.Profile, o.Integration)
	}
	return w
}

// ownAccountOnWire is an account as its user sees it. A form begins with what it has
// for settings: nothing that could send another key elsewhere without a word.
func ownAccountOnWire(p vault.Profile, in *integration.Integration) *wireOwnAccount {
	a := p.Account
	return &wireOwnAccount{
		ID:          a.ID,
		State:       string(a.State),
		APIKeyLast4: last4(a),
		Config:      orEmpty(vault.Inheritable(in, a)),
		ExpiresAt:   stampOrNil(a.Secrets[account.Current].ExpiresAt),
		Health:      healthOnWire(p.Check, p.Every),
		LastUsedAt:  stampOrNil(p.UsedAt),
		CreatedAt:   stamp(a.CreatedAt),
		UpdatedAt:   stamp(a.UpdatedAt),
	}
}

// wireOwnRead is a read as the user is told of it: with the name that the product
// gave its API key, null when there is no such key any more.
type wireOwnRead struct {
	APIKeyID    string  `json:"api_key_id"`
	APIKeyName  *string `json:"api_key_name"`
	WindowStart string  `json:"window_start"` // of five minutes
	Count       int     `json:"count"`
	LastReadAt  string  `json:"last_read_at"`
}
