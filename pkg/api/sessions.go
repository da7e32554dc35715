package api

import (
	"context"
	"net/http"

	"keyvend/pkg/apikey"
	"keyvend/pkg/session"
	"keyvend/pkg/vault"
)

// sessions are the routes that mint what browsers bring, and end it.
func sessions(s *vault.Sessions) []Route {
	h := mint{s}
	return []Route{
		{"POST", "/widgets/token", apikey.Widget, handle(h.widgetToken)},
		{"POST", "/keyvend/sessions", apikey.Manage, handle(h.signIn)},
		{"DELETE", "/keyvend/sessions", apikey.Manage, handle(h.endAll)},
	}
}

type mint struct{ sessions *vault.Sessions }

type wireToken struct {
	Token string `json:"token"`
}

// wireSession tells the token: once, when the session begins.
type wireSession struct {
	Object    string         `json:"object"`
	Token     string         `json:"token"`
	ExpiresAt string         `json:"expires_at"`
	TenantID  string         `json:"tenant_id"`
	Scopes    []apikey.Scope `json:"scopes"`
}

func (h mint) widgetToken(ctx context.Context, v *vault.Visit, in *widgetTokenBody) (answer, error) {
	token, err := h.sessions.WidgetToken(ctx, v, in.holder)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: wireToken{string(token.Reveal())}}, nil
}

func (h mint) signIn(ctx context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	begun, err := h.sessions.SignIn(ctx, v)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: wireSession{
		"session", string(begun.Token.Reveal()), stamp(begun.ExpiresAt), v.Target.Tenant, begun.Scopes,
	}}, nil
}

func (h mint) endAll(ctx context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	return answer{status: http.StatusNoContent}, h.sessions.EndAll(ctx, v)
}

// widgetTokenBody is POST /widgets/token: whose browser gets the token.
type widgetTokenBody struct {
	UserID         string   `json:"user_id"`
	OrganizationID *string  `json:"organization_id"`
	Scopes         []string `json:"scopes"`

	holder vault.Holder
}

func (in *widgetTokenBody) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	if err := owner(&target, in.UserID, in.OrganizationID); err != nil {
		return target, err
	}
	target.WithDeparture = true
	in.holder = vault.Holder{User: target.User, Organization: target.Organization}
	for _, scope := range in.Scopes {
		if session.Permission(scope) != session.ManagePipes {
			return target, invalid("scopes", "unknown_value", "The only scope of widget tokens is widgets:pipes:manage. Without scopes a token is for its user's own accounts.")
		}
		in.holder.Permissions = []session.Permission{session.ManagePipes}
	}
	if len(in.Scopes) > 0 && target.Organization == "" {
		return target, invalid("organization_id", "required", "organization_id is required with scopes: they are about what an organization's people may connect.")
	}
	return target, nil
}
