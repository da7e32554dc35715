package api

import (
	"context"
	"net/http"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/vault"
)

// offboarding are the routes that take away all of a user or an organization.
func offboarding(o *vault.Offboarding) []Route {
	h := leavers{o}
	return []Route{
		{"DELETE", "/keyvend/users/{user_id}", apikey.Manage, handle(h.user)},
		{"DELETE", "/keyvend/organizations/{organization_id}", apikey.Manage, handle(h.organization)},
	}
}

type leavers struct{ offboarding *vault.Offboarding }

var accepted = answer{status: http.StatusAccepted, body: map[string]string{"object": "offboarding", "status": "accepted"}}

func (h leavers) user(ctx context.Context, v *vault.Visit, _ *userPath) (answer, error) {
	return accepted, h.offboarding.User(ctx, v)
}

func (h leavers) organization(ctx context.Context, v *vault.Visit, _ *organizationPath) (answer, error) {
	return accepted, h.offboarding.Organization(ctx, v)
}

// userPath names a user in the path.
type userPath struct{}

func (*userPath) decode(r *request) (target vault.Target, err error) {
	target.User, target.WithDeparture = r.values["user_id"], true
	return target, ident.CheckUser(target.User)
}
