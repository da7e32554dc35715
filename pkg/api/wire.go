package api

import (
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/integration"
	"keyvend/pkg/vault"
)

// The shapes of this file are the contract's, with the fields that newer
// official clients need besides. A field is never left out: some clients fail
// on an absent one although the contract does not require it.

// stamp is a time as the contract writes it: UTC, milliseconds, Z.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func stampOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type wireIntegration struct {
	Object          string              `json:"object"`
	ID              string              `json:"id"`
	Slug            string              `json:"slug"`
	IntegrationType string              `json:"integration_type"`
	Ownership       string              `json:"ownership"`
	Description     *string             `json:"description"`
	Enabled         bool                `json:"enabled"`
	State           string              `json:"state"`
	Scopes          []string            `json:"scopes"`
	RedirectURI     string              `json:"redirect_uri"`
	AuthMethods     []string            `json:"auth_methods"`
	Credentials     *struct{}           `json:"credentials"`
	Installation    *wireInstallation   `json:"installation"`
	Config          map[string]string   `json:"config"`
	CustomProvider  *wireCustomProvider `json:"custom_provider"`
	CreatedAt       string              `json:"created_at"`
	UpdatedAt       string              `json:"updated_at"`
}

type wireInstallation struct {
	ID                 string  `json:"id"`
	ConnectionRole     string  `json:"connection_role"`
	AccountIdentifier  *string `json:"account_identifier"`
	AccountDisplayName *string `json:"account_display_name"`
	UserID             string  `json:"user_id"`
	OrganizationID     *string `json:"organization_id"`
	APIKeyLast4        *string `json:"api_key_last_4"`
}

// wireCustomProvider is the contract's OAuth definition of a custom provider.
// For API keys only its name has a meaning; the rest are the contract's
// defaults, since clients need the fields.
type wireCustomProvider struct {
	Name                              string            `json:"name"`
	AuthorizationURL                  *string           `json:"authorization_url"`
	TokenURL                          *string           `json:"token_url"`
	RefreshTokenURL                   *string           `json:"refresh_token_url"`
	PKCEEnabled                       bool              `json:"pkce_enabled"`
	RequestScopeSeparator             string            `json:"request_scope_separator"`
	ScopesRequired                    bool              `json:"scopes_required"`
	ClientSecretRequired              bool              `json:"client_secret_required"`
	AdditionalAuthorizationParameters map[string]string `json:"additional_authorization_parameters"`
	TokenBodyContentType              string            `json:"token_body_content_type"`
	AuthenticateVia                   string            `json:"authenticate_via"`
}

// integrationOnWire shows an integration; a is the account that was made with
// it, nil when none was.
func integrationOnWire(in *integration.Integration, a *account.Account) wireIntegration {
	w := wireIntegration{
		Object:          "data_integration",
		ID:              in.ID,
		Slug:            in.Slug,
		IntegrationType: in.Slug,
		Ownership:       "user",
		Description:     in.Description,
		Enabled:         in.Enabled,
		State:           "valid",
		AuthMethods:     []string{string(in.AuthMethod)},
		Config:          map[string]string{},
		CreatedAt:       stamp(in.CreatedAt),
		UpdatedAt:       stamp(in.UpdatedAt),
	}
	if in.Custom != nil {
		w.CustomProvider = &wireCustomProvider{
			Name:                              in.Name,
			PKCEEnabled:                       true,
			RequestScopeSeparator:             " ",
			ClientSecretRequired:              true,
			AdditionalAuthorizationParameters: map[string]string{},
			TokenBodyContentType:              "application/x-www-form-urlencoded",
			AuthenticateVia:                   "request_body",
		}
	}
	if a != nil {
		w.Installation = &wireInstallation{
			ID:             a.ID,
			ConnectionRole: standardRole,
			UserID:         a.Owner.User,
			OrganizationID: orNil(a.Owner.Organization),
			APIKeyLast4:    last4(a),
		}
	}
	return w
}

const standardRole = "standard"

func last4(a *account.Account) *string { return orNil(a.Secrets[account.Current].Last4) }

type wireAccount struct {
	Object             string   `json:"object"`
	ID                 string   `json:"id"`
	ConnectionRole     string   `json:"connection_role"`
	AccountIdentifier  *string  `json:"account_identifier"`
	AccountDisplayName *string  `json:"account_display_name"`
	UserID             string   `json:"user_id"`
	OrganizationID     *string  `json:"organization_id"`
	Scopes             []string `json:"scopes"`
	AuthMethod         string   `json:"auth_method"`
	APIKeyLast4        *string  `json:"api_key_last_4"`
	State              string   `json:"state"`
	CreatedAt          string   `json:"created_at"`
	UpdatedAt          string   `json:"updated_at"`
}

func accountOnWire(a *account.Account) wireAccount {
	return wireAccount{
		Object:         "connected_account",
		ID:             a.ID,
		ConnectionRole: standardRole,
		UserID:         a.Owner.User,
		OrganizationID: orNil(a.Owner.Organization),
		Scopes:         []string{},
		AuthMethod:     string(a.AuthMethod),
		APIKeyLast4:    last4(a),
		State:          string(a.State),
		CreatedAt:      stamp(a.CreatedAt),
		UpdatedAt:      stamp(a.UpdatedAt),
	}
}

type wireProvider struct {
	Object            string                `json:"object"`
	ID                string                `json:"id"`
	Name              string                `json:"name"`
	Description       *string               `json:"description"`
	Slug              string                `json:"slug"`
	IntegrationType   string                `json:"integration_type"`
	CredentialsType   string                `json:"credentials_type"`
	Scopes            []string              `json:"scopes"`
	AuthMethods       []string              `json:"auth_methods"`
	ConnectionOwner   string                `json:"connection_owner"`
	Ownership         string                `json:"ownership"`
	CreatedAt         string                `json:"created_at"`
	UpdatedAt         string                `json:"updated_at"`
	ConnectedAccount  *wireProviderAccount  `json:"connected_account"`
	ConnectedAccounts []wireProviderAccount `json:"connected_accounts"`

	// Deprecated spellings, which older clients read.
	IntegrationTypeCamel string `json:"integrationType"`
	CredentialsTypeCamel string `json:"credentialsType"`
	CreatedAtCamel       string `json:"createdAt"`
	UpdatedAtCamel       string `json:"updatedAt"`
}

// wireProviderAccount is an account inside a provider's row: with the
// deprecated spellings too.
type wireProviderAccount struct {
	wireAccount
	UserlandUserID string  `json:"userlandUserId"`
	Organization   *string `json:"organizationId"`
	CreatedAtCamel string  `json:"createdAt"`
	UpdatedAtCamel string  `json:"updatedAt"`
}

func providerOnWire(p vault.Provider) wireProvider {
	in := p.Integration
	w := wireProvider{
		Object:               "data_provider",
		ID:                   in.ID,
		Name:                 in.Name,
		Description:          in.Description,
		Slug:                 in.Slug,
		IntegrationType:      in.Slug,
		CredentialsType:      "custom",
		AuthMethods:          []string{string(in.AuthMethod)},
		ConnectionOwner:      "user",
		Ownership:            "userland_user",
		CreatedAt:            stamp(in.CreatedAt),
		UpdatedAt:            stamp(in.UpdatedAt),
		ConnectedAccounts:    []wireProviderAccount{},
		IntegrationTypeCamel: in.Slug,
		CredentialsTypeCamel: "custom",
		CreatedAtCamel:       stamp(in.CreatedAt),
		UpdatedAtCamel:       stamp(in.UpdatedAt),
	}
	if p.Account != nil {
		a := accountOnWire(p.Account)
		w.ConnectedAccounts = append(w.ConnectedAccounts, wireProviderAccount{
			wireAccount:    a,
			UserlandUserID: a.UserID,
			Organization:   a.OrganizationID,
			CreatedAtCamel: a.CreatedAt,
			UpdatedAtCamel: a.UpdatedAt,
		})
		w.ConnectedAccount = &w.ConnectedAccounts[0]
	}
	return w
}

type wireVended struct {
	Active     bool            `json:"active"`
	Error      string          `json:"error,omitempty"`
	Credential *wireCredential `json:"credential,omitempty"`
}

type wireCredential struct {
	Object        string            `json:"object"`
	AuthMethod    string            `json:"auth_method"`
	Value         string            `json:"value"`
	ExpiresAt     *string           `json:"expires_at"`
	Scopes        []string          `json:"scopes"`
	MissingScopes []string          `json:"missing_scopes"`
	Config        map[string]string `json:"config"`
}

func vendedOnWire(v vault.Vended) wireVended {
	if v.Reason != "" {
		return wireVended{Error: v.Reason}
	}
	return wireVended{Active: true, Credential: &wireCredential{
		Object:        "credential",
		AuthMethod:    string(v.Account.AuthMethod),
		Value:         string(v.Secret.Reveal()),
		ExpiresAt:     stampOrNil(v.Account.Secrets[account.Current].ExpiresAt),
		Scopes:        []string{},
		MissingScopes: []string{},
		Config:        orEmpty(v.Account.Config),
	}}
}
