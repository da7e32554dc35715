package api

import (
	"context"
	"net/http"
	"slices"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/vault"
)

// Keys are the routes of the function "keys": what users connect, the tenant's own
// API keys, and what is minted with them.
func Keys(accounts *vault.Accounts, tenantKeys *vault.APIKeys, d *vault.Directory, l *vault.Looks, o *vault.Offboarding, s *vault.Sessions) []Route {
	return slices.Concat(connections(accounts), apiKeys(tenantKeys), directory(d), looks(l), offboarding(o), sessions(s))
}

// connections are the routes of connected accounts.
func connections(accounts *vault.Accounts) []Route {
	k := keys{accounts}
	const (
		providers = "/user_management/users/{user_id}/data_providers"
		connected = "/user_management/users/{user_id}/connected_accounts/{slug}"
	)
	return []Route{
		{"PUT", "/data-integrations/{slug}/api-key", apikey.Manage, handle(k.put)},
		{"POST", "/data-integrations/{slug}/api-key", apikey.Manage, handle(k.add)},
		{"POST", "/data-integrations/{slug}/authorize", apikey.Manage, handle(mismatch[ownerBody])},
		{"PUT", "/data-integrations/{slug}/client-credentials", apikey.Manage, handle(mismatch[ownerBody])},
		{"GET", providers, apikey.Read, handle(k.providers)},
		{"GET", connected, apikey.Read, handle(k.get)},
		{"POST", connected, apikey.Manage, handle(mismatch[ownerPath])},
		{"PUT", connected, apikey.Manage, handle(k.setState)},
		{"DELETE", connected, apikey.Manage, handle(k.disconnect)},
	}
}

type keys struct{ accounts *vault.Accounts }

func (k keys) put(ctx context.Context, v *vault.Visit, in *putKey) (answer, error) {
	a, err := k.accounts.Upsert(ctx, v, in.upserted)
	if err != nil {
		return answer{}, err
	}
	return ok(accountOnWire(a)).warn(v.Integration, &in.upserted, a), nil
}

func (k keys) add(ctx context.Context, v *vault.Visit, in *addKey) (answer, error) {
	return k.put(ctx, v, &in.putKey)
}

func (k keys) get(_ context.Context, v *vault.Visit, _ *ownerPath) (answer, error) {
	a, err := k.accounts.Get(v)
	if err != nil {
		return answer{}, err
	}
	return ok(accountOnWire(a)), nil
}

func (k keys) providers(ctx context.Context, v *vault.Visit, _ *ownerOnly) (answer, error) {
	rows, err := k.accounts.Providers(ctx, v)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireProvider, len(rows))
	for i, row := range rows {
		data[i] = providerOnWire(row)
	}
	return ok(plainList(data)), nil
}

func (k keys) setState(ctx context.Context, v *vault.Visit, in *stateBody) (answer, error) {
	if in.oauth() {
		return answer{}, vault.Mismatch(v)
	}
	a, err := k.accounts.SetState(ctx, v, account.State(in.State))
	if err != nil {
		return answer{}, err
	}
	return ok(accountOnWire(a)), nil
}

func (k keys) disconnect(ctx context.Context, v *vault.Visit, _ *ownerPath) (answer, error) {
	return answer{status: http.StatusNoContent}, k.accounts.Disconnect(ctx, v)
}

// stateBody is PUT on a connected account: of an API-key account only the
// state can be set.
type stateBody struct {
	owner        ownerPath
	State        string   `json:"state"`
	AccessToken  *string  `json:"access_token"`
	RefreshToken *string  `json:"refresh_token"`
	ExpiresAt    *string  `json:"expires_at"`
	Scopes       []string `json:"scopes"`
}

func (in *stateBody) decode(r *request) (vault.Target, error) {
	target, err := in.owner.decode(r)
	if err != nil {
		return target, err
	}
	if err := r.body(in); err != nil {
		return target, err
	}
	switch account.State(in.State) {
	case account.Connected, account.NeedsReauthorization:
		return target, nil
	}
	if in.oauth() {
		return target, nil
	}
	return target, invalid("state", "unknown_value", "state is connected or needs_reauthorization.")
}

func (in *stateBody) oauth() bool {
	return in.AccessToken != nil || in.RefreshToken != nil || in.ExpiresAt != nil || len(in.Scopes) > 0
}

// mismatch answers an endpoint of another authentication method than API keys.
func mismatch[T any](_ context.Context, v *vault.Visit, _ *T) (answer, error) {
	return answer{}, vault.Mismatch(v)
}
