package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

// administration are the routes with which a tenant steers vending and its own
// settings.
func administration(s *vault.Settings, f *vault.Freezes) []Route {
	a := admin{s, f}
	routes := []Route{
		{"GET", "/keyvend/settings", apikey.Read, handle(a.settings)},
		{"PUT", "/keyvend/settings", apikey.Manage, handle(a.setSettings)},
	}
	return append(routes, slices.Concat(
		freezable[nothing](a.freezes, "/keyvend/freeze", vault.WholeTenant),
		freezable[slugPath](a.freezes, "/keyvend/integrations/{slug}/freeze", vault.OneIntegration),
		freezable[organizationPath](a.freezes, "/keyvend/organizations/{organization_id}/freeze", vault.OneOrganization),
	)...)
}

type admin struct {
	all     *vault.Settings
	freezes *vault.Freezes
}

type wireSettings struct {
	Object            string   `json:"object"`
	AllowedOrigins    []string `json:"allowed_origins"`
	SessionsNotBefore *string  `json:"sessions_not_before"`
}

func settingsOnWire(s tenant.Settings) wireSettings {
	origins := s.AllowedOrigins
	if origins == nil {
		origins = []string{}
	}
	return wireSettings{"settings", origins, stampOrNil(s.SessionsNotBefore)}
}

func (a admin) settings(_ context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	return ok(settingsOnWire(v.Settings)), nil
}

func (a admin) setSettings(ctx context.Context, v *vault.Visit, in *settingsBody) (answer, error) {
	s, err := a.all.Set(ctx, v, in.change)
	if err != nil {
		return answer{}, err
	}
	return ok(settingsOnWire(s)), nil
}

// settingsBody is PUT /keyvend/settings: what is not sent stays.
type settingsBody struct {
	AllowedOrigins    *[]string `json:"allowed_origins"`
	SessionsNotBefore *string   `json:"sessions_not_before"`

	change vault.SettingsChange
}

func (in *settingsBody) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	in.change.AllowedOrigins = in.AllowedOrigins
	if in.SessionsNotBefore != nil {
		var t time.Time
		t, err = timestamp("sessions_not_before", in.SessionsNotBefore)
		in.change.SessionsNotBefore = &t
	}
	return target, err
}

// wireFreeze is whether something is frozen; reason and time are null when it is
// not.
type wireFreeze struct {
	Object string  `json:"object"`
	Frozen bool    `json:"frozen"`
	Reason *string `json:"reason"`
	Since  *string `json:"since"`
}

func freezeOnWire(f *tenant.Freeze) wireFreeze {
	if f == nil {
		return wireFreeze{Object: "freeze"}
	}
	return wireFreeze{"freeze", true, &f.Reason, stampOrNil(f.Since)}
}

// freezeBody is a PUT on a freeze; where says what its path is about.
type freezeBody[W any, P interface {
	*W
	input
}] struct {
	Reason string `json:"reason"`
}

func (in *freezeBody[W, P]) decode(r *request) (vault.Target, error) {
	target, err := P(new(W)).decode(r)
	if err != nil {
		return target, err
	}
	switch err := r.body(in); {
	case errors.Is(err, errNoBody) || errors.Is(err, errReasonType):
		return target, badBody(sayWhy)
	case err != nil:
		return target, err
	case in.Reason == "":
		return target, invalid("reason", "required", sayWhy)
	}
	return target, checkText("reason", in.Reason, 1, 500)
}

// sayWhy is told whoever freezes without a reason, in whatever way: he may be in
// a hurry.
const sayWhy = `This froze nothing. Send the reason as this request's body, {"reason": "…"}: a text of 1 to 500 characters, told to whoever asks for a key.`

var errReasonType = wrongType("reason", reflect.TypeFor[string]())

// freezable are the three routes of one thing that can be frozen.
func freezable[W any, P interface {
	*W
	input
}](f *vault.Freezes, path string, what vault.Freezable) []Route {
	freeze := func(ctx context.Context, v *vault.Visit, in *freezeBody[W, P]) (answer, error) {
		frozen, err := f.Freeze(ctx, v, what, in.Reason)
		if err != nil {
			return answer{}, err
		}
		return ok(freezeOnWire(&frozen)), nil
	}
	show := func(_ context.Context, v *vault.Visit, _ P) (answer, error) {
		frozen, err := f.Get(v, what)
		if err != nil {
			return answer{}, err
		}
		return ok(freezeOnWire(frozen)), nil
	}
	unfreeze := func(ctx context.Context, v *vault.Visit, _ P) (answer, error) {
		return answer{status: http.StatusNoContent}, f.Unfreeze(ctx, v, what)
	}
	return []Route{
		{"GET", path, apikey.Read, handle[W, P](show)},
		{"PUT", path, apikey.Manage, handle(freeze)},
		{"DELETE", path, apikey.Manage, handle[W, P](unfreeze)},
	}
}

// organizationPath names an organization in the path.
type organizationPath struct{}

func (*organizationPath) decode(r *request) (target vault.Target, err error) {
	target.Organization = r.values["organization_id"]
	return target, ident.CheckOrganization(target.Organization)
}
