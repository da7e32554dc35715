package api

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/vault"
)

// directory are the routes with which operators look after accounts.
func directory(d *vault.Directory) []Route {
	h := accounts{d}
	const one = "/keyvend/accounts/{account_id}"
	return []Route{
		{"GET", "/keyvend/accounts", apikey.Read, handle(h.list)},
		{"GET", one, apikey.Read, handle(h.get)},
		{"PATCH", one, apikey.Manage, handle(h.amend)},
		{"GET", one + "/reads", apikey.Read, handle(h.reads)},
	}
}

type accounts struct{ directory *vault.Directory }

// wireFullAccount is an account as operators see it. Health is null until
// something is known of it, last use until there was one.
type wireFullAccount struct {
	wireAccount
	DataIntegrationID string            `json:"data_integration_id"`
	ProviderSlug      string            `json:"provider_slug"`
	Config            map[string]string `json:"config"`
	Metadata          map[string]string `json:"metadata"`
	Health            *wireHealth       `json:"health"`
	LastUsedAt        *string           `json:"last_used_at"`
	Secrets           []wireSecret      `json:"secrets"`
}

type wireSecret struct {
	SecretID  string  `json:"secret_id"`
	Slot      string  `json:"slot"`
	Last4     *string `json:"last_4"`
	CreatedAt string  `json:"created_at"`
	ExpiresAt *string `json:"expires_at"`
	Until     *string `json:"until"`
}

func fullAccountOnWire(p vault.Profile) wireFullAccount {
	a := p.Account
	w := wireFullAccount{
		wireAccount:       accountOnWire(a),
		Health:            healthOnWire(p.Check, p.Every),
		DataIntegrationID: a.IntegrationID,
		ProviderSlug:      a.Slug,
		Config:            orEmpty(a.Config),
		Metadata:          orEmpty(a.Metadata),
		LastUsedAt:        stampOrNil(p.UsedAt),
		Secrets:           []wireSecret{},
	}
	for slot, s := range a.Secrets {
		w.Secrets = append(w.Secrets, wireSecret{s.ID, string(slot), orNil(s.Last4), stamp(s.CreatedAt), stampOrNil(s.ExpiresAt), nil})
	}
	slices.SortFunc(w.Secrets, func(a, b wireSecret) int { return strings.Compare(a.Slot, b.Slot) })
	return w
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (h accounts) list(ctx context.Context, v *vault.Visit, in *listAccounts) (answer, error) {
	w := in.page.walk()
	found, next, err := h.directory.List(ctx, v, in.filter, vault.AccountRange{After: w.from, Descending: w.descending, Limit: in.page.Limit})
	if err != nil {
		return answer{}, err
	}
	return ok(walked(w, found, next, func(p vault.Profile) string { return p.Account.ID }, fullAccountOnWire)), nil
}

func (h accounts) get(ctx context.Context, v *vault.Visit, in *accountPath) (answer, error) {
	a, err := h.directory.Get(ctx, v, in.id)
	if err != nil {
		return answer{}, err
	}
	return ok(fullAccountOnWire(a)), nil
}

func (h accounts) amend(ctx context.Context, v *vault.Visit, in *accountBody) (answer, error) {
	a, err := h.directory.Amend(ctx, v, in.account.id, vault.AccountChange{Metadata: in.Metadata, Config: in.Config})
	if err != nil {
		return answer{}, err
	}
	return ok(fullAccountOnWire(a)), nil
}

// listAccounts is GET /keyvend/accounts: exact filters only. An empty organization
// finds accounts in none.
type listAccounts struct {
	page   page
	filter vault.AccountFilter
}

func (in *listAccounts) decode(r *request) (target vault.Target, err error) {
	if in.page, err = r.page(ident.AccountPrefix); err != nil {
		return target, err
	}
	q, err := r.query()
	if err != nil {
		return target, err
	}
	in.filter = vault.AccountFilter{
		Slug:         parameter[string](q, "integration"),
		State:        parameter[account.State](q, "state"),
		User:         parameter[string](q, "user_id"),
		Organization: parameter[string](q, "organization_id"),
	}
	return target, in.check()
}

func (in *listAccounts) check() error {
	f := in.filter
	switch {
	case f.Slug != nil && !ident.ValidSlug(*f.Slug):
		return badParameter("integration", "invalid_slug", "integration is the slug of a data integration.")
	case f.State != nil && *f.State != account.Connected && *f.State != account.NeedsReauthorization:
		return badParameter("state", "unknown_value", "state is connected or needs_reauthorization.")
	case f.User != nil && ident.CheckUser(*f.User) != nil:
		return ident.CheckUser(*f.User)
	case f.Organization != nil && *f.Organization != "":
		return ident.CheckOrganization(*f.Organization)
	}
	return nil
}

// parameter is the value of a parameter of the query, nil when it was not sent.
func parameter[T ~string](q url.Values, name string) *T {
	if !q.Has(name) {
		return nil
	}
	value := T(q.Get(name))
	return &value
}

// accountPath names an account in the path; "" is none that can exist.
type accountPath struct{ id string }

func (in *accountPath) decode(r *request) (vault.Target, error) {
	if _, ok := ident.Parse(ident.AccountPrefix, r.values["account_id"]); !ok {
		return vault.Target{}, vault.ErrUnknownAccount
	}
	in.id = r.values["account_id"]
	return vault.Target{}, nil
}

// accountBody is PATCH /keyvend/accounts/{id}: what is not sent stays.
type accountBody struct {
	account  accountPath
	Metadata textMap `json:"metadata"`
	Config   textMap `json:"config"`
}

func (in *accountBody) decode(r *request) (vault.Target, error) {
	target, err := in.account.decode(r)
	if err != nil {
		return target, err
	}
	if err := r.body(in); err != nil {
		return target, err
	}
	if err := checkMap("config", in.Config, maxConfig); err != nil {
		return target, err
	}
	return target, checkMap("metadata", in.Metadata, maxMetadata)
}
