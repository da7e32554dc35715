package api

import (
	"context"

	"keyvend/pkg/apikey"
	"keyvend/pkg/vault"
)

// Vend are the routes of the function "vend": the only ones that hand out a
// secret.
func Vend(vender *vault.Vender) []Route {
	d := vend{vender}
	return []Route{
		{"POST", "/data-integrations/{slug}/credentials", apikey.Vend, handle(d.credentials)},
		{"POST", "/data-integrations/{slug}/token", apikey.Vend, handle(d.token)},
	}
}

type vend struct{ vender *vault.Vender }

// token is OAuth's way to ask for what credentials gives.
func (d vend) token(ctx context.Context, v *vault.Visit, _ *ownerBody) (answer, error) {
	return answer{}, d.vender.Refuse(ctx, v)
}

func (d vend) credentials(ctx context.Context, v *vault.Visit, _ *ownerBody) (answer, error) {
	vended, err := d.vender.Vend(ctx, v)
	if err != nil {
		return answer{}, err
	}
	defer vended.Secret.Wipe() // the answer has a copy, which Go cannot wipe
	return ok(vendedOnWire(vended)), nil
}
