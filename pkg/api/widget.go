package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/session"
	"keyvend/pkg/vault"
)

// widgetPaths is where browsers bring widget tokens, from pages of any origin.
const widgetPaths = "/_widgets/"

func forWidgets(path string) bool { return strings.HasPrefix(path, widgetPaths) }

// Widget are the routes of the function "widget" that speak JSON: what the
// official React widget calls, and what keyvend's own needs besides. Each is about
// the user of the token that the request brings.
func Widget(mine *vault.Mine, o *vault.Organizations) []Route {
	h := widget{mine, o}
	const data = "/_widgets/DataIntegrations"
	return []Route{
		{"GET", "/_widgets/settings", "", ofUser(h.settings)},
		{"GET", data + "/mine", "", ofUser(h.list)},
		{"PUT", data + "/{slug}/api-key", "", ofUser(h.put)},
		{"DELETE", data + "/installations/{account_id}", "", ofUser(h.disconnect)},
		{"GET", data + "/configurations", "", ofAdmin(h.configurations)},
		{"PUT", data + "/{slug}/configuration", "", ofAdmin(h.configure)},
		{"GET", "/_widgets/keyvend/providers", "", ofUser(h.offers)},
		{"GET", "/_widgets/keyvend/accounts/{account_id}/reads", "", ofUser(h.reads)},
	}
}

type widget struct {
	mine          *vault.Mine
	organizations *vault.Organizations
}

// byToken is the handler of what a widget token is needed for.
type byToken[T any, P interface {
	*T
	input
}] struct {
	do   func(context.Context, *vault.Visit, P) (answer, error)
	need session.Permission // "": none
}

// ofUser makes a handler of what every user may do with what is his own.
func ofUser[T any, P interface {
	*T
	input
}](do func(context.Context, *vault.Visit, P) (answer, error)) handler {
	return byToken[T, P]{do, ""}
}

// ofAdmin makes a handler of what an organization's admins may do.
func ofAdmin[T any, P interface {
	*T
	input
}](do func(context.Context, *vault.Visit, P) (answer, error)) handler {
	return byToken[T, P]{do, session.ManagePipes}
}

func (b byToken[T, P]) serve(s *Server, _ apikey.Scope, w http.ResponseWriter, r *request) {
	token, err := s.widgetToken(r)
	if err != nil {
		s.fail(w, r.Request, err)
		return
	}
	admit := func(target vault.Target) (*vault.Visit, error) {
		visit, err := s.gate.AdmitWidget(r.Context(), token, pageOf(r), b.need, target)
		if errors.Is(err, vault.ErrOrigin) {
			s.strays.add(r.Context(), token.TenantID())
		}
		return visit, err
	}
	serve(s, w, r, admit, b.do)
}

// errNothing is the private cause for who brings no token at all. The official
// widget does so when it loads, before its page has given it one.
var errNothing = errors.New("api: no token")

// widgetToken is the token that a request brings, before anything is read.
func (s *Server) widgetToken(r *request) (session.Token, error) {
	if len(r.Header.Values("Authorization")) == 0 {
		return session.Token{}, vault.ErrUnauthorized.Because(errNothing)
	}
	text, known := r.bearer()
	token, isToken := session.Parse(seal.WidgetToken, text)
	known = known && isToken
	if err := s.listen(r, known && s.gate.RecognizesWidget(token)); err != nil {
		return token, err
	}
	if !known {
		return token, vault.ErrUnauthorized
	}
	return token, nil
}

// pageOf is where a request comes from, as its browser says: once. What stands
// there twice becomes one value, as behind a gateway, which is nobody's.
func pageOf(r *request) vault.Page {
	all := func(name string) string { return strings.Join(r.Header.Values(name), ",") }
	return vault.Page{Origin: all("Origin"), SameOrigin: all("Sec-Fetch-Site") == "same-origin"}
}

// errWidgetToken is what whoever brings no valid widget token hears, whatever is
// wrong with his. It is no 401: at that the official widget asks again and again
// with the same token, at a 403 it asks for another one.
var errWidgetToken = fault.New(fault.Forbidden, "invalid_widget_token",
	"This widget token is not valid, or has had its time. Mint another with POST /widgets/token.")

// asWidgetsHear is a refusal in the form that it has under a path.
func asWidgetsHear(refusal *fault.Error, path string) *fault.Error {
	if forWidgets(path) {
		return errWidgetToken
	}
	return refusal
}

// share lets pages of every origin see the answer: errors too, without which a
// page learns nothing. It is no permission: no cookies are taken, and where a
// request comes from is judged once its token is known. It answers preflights.
func share(w http.ResponseWriter, r *http.Request) (done bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-ID, "+warningHeader)
	if !IsPreflight(r.Method, r.URL.Path) {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "authorization, content-type, workos-widgets-type, workos-widgets-version, x-elevated-access-token")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (h widget) settings(_ context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	return ok(wireWidgetSettings{Object: "settings", TeamName: v.View.Tenant.Name}), nil
}

func (h widget) list(ctx context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	rows, err := h.mine.Accounts.Providers(ctx, v)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireWidgetIntegration, len(rows))
	for i, row := range rows {
		data[i] = widgetIntegrationOnWire(row)
	}
	return ok(wireWidgetList[wireWidgetIntegration]{data}), nil
}

func (h widget) put(ctx context.Context, v *vault.Visit, in *widgetKeyBody) (answer, error) {
	a, err := h.mine.Store(ctx, v, in.upserted)
	if err != nil {
		return answer{}, err
	}
	return ok(widgetAccountOnWire(a)).warn(v.Integration, &in.upserted, a), nil
}

func (h widget) disconnect(ctx context.Context, v *vault.Visit, in *ownAccountPath) (answer, error) {
	if err := h.mine.Disconnect(ctx, v, in.id); err != nil {
		return answer{}, err
	}
	return ok(wireDone{true}), nil
}

func (h widget) configurations(ctx context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	all, err := h.organizations.List(ctx, v)
	if err != nil {
		return answer{}, err
	}
	offered := slices.DeleteFunc(all, func(c vault.Configuration) bool { return !c.Integration.Enabled })
	data := make([]wireWidgetConfiguration, len(offered))
	for i, c := range offered {
		data[i] = widgetConfigurationOnWire(c)
	}
	return ok(wireWidgetList[wireWidgetConfiguration]{data}), nil
}

func (h widget) configure(ctx context.Context, v *vault.Visit, in *switchBody) (answer, error) {
	c, err := h.organizations.Configure(ctx, v, in.Enabled)
	if err != nil {
		return answer{}, err
	}
	return ok(widgetConfigurationOnWire(c)), nil
}

func (h widget) offers(ctx context.Context, v *vault.Visit, _ *nothing) (answer, error) {
	offers, err := h.mine.Offers(ctx, v)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireOffer, len(offers))
	for i, o := range offers {
		data[i] = offerOnWire(o)
	}
	return ok(plainList(data)), nil
}

func (h widget) reads(ctx context.Context, v *vault.Visit, in *ownAccountPath) (answer, error) {
	reads, err := h.mine.Reads(ctx, v, in.id)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireOwnRead, len(reads))
	for i, read := range reads {
		data[i] = wireOwnRead{read.APIKey, orNil(read.KeyName), stamp(read.Start), read.Count, stamp(read.LastAt)}
	}
	return ok(plainList(data)), nil
}

// ownAccountPath names an account of the user's in the path.
type ownAccountPath struct{ id string }

func (in *ownAccountPath) decode(r *request) (vault.Target, error) {
	in.id = r.values["account_id"]
	return vault.Target{}, nil
}

// widgetKeyBody is PUT on a user's own key.
type widgetKeyBody struct {
	Secret string  `json:"secret"`
	Config textMap `json:"config"`

	upserted vault.Upsert
}

func (in *widgetKeyBody) decode(r *request) (vault.Target, error) {
	target := vault.Target{Slug: r.slug()}
	if err := r.body(in); err != nil {
		return target, err
	}
	if err := checkSecret(in.Secret, minSecret); err != nil {
		return target, err
	}
	if err := checkMap("config", in.Config, maxConfig); err != nil {
		return target, err
	}
	remembered, err := r.remember()
	in.upserted = vault.Upsert{Secret: secret.FromString(in.Secret), Config: in.Config, Request: remembered}
	return target, err
}

// switchBody is PUT on an organization's configuration: for API keys only the
// switch has a meaning, whatever else the widget sends.
type switchBody struct {
	Enabled *bool `json:"enabled"`
}

func (in *switchBody) decode(r *request) (vault.Target, error) {
	target := vault.Target{Slug: r.slug()}
	if err := r.body(in); err != nil {
		return target, err
	}
	if in.Enabled == nil {
		return target, badBody("Send enabled: true or false.")
	}
	return target, nil
}
