package api

import (
	"context"
	"slices"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/vault"
)

// Vend are the routes of the function "vend": the only ones that hand out a
// secret.
func Vend(vender *vault.Vender, l *vault.Looks) []Route {
	d := vend{vender}
	return slices.Concat([]Route{
		{"POST", "/data-integrations/{slug}/credentials", apikey.Vend, handle(d.credentials)},
		{"POST", "/data-integrations/{slug}/token", apikey.Vend, handle(d.token)},
		{"POST", "/keyvend/vend", apikey.Vend, handle(d.detailed)},
	}, reports(l))
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

// detailed is credentials with what keyvend knows besides.
func (d vend) detailed(ctx context.Context, v *vault.Visit, _ *vendBody) (answer, error) {
	vended, err := d.vender.Vend(ctx, v)
	if err != nil {
		return answer{}, err
	}
	defer vended.Secret.Wipe()
	return ok(detailedOnWire(vended, v)), nil
}

// wireDetailed is the contract's answer and what it has no room for.
type wireDetailed struct {
	wireVended
	AccountID *string `json:"account_id"`
	SecretID  *string `json:"secret_id"`
	Verdict   *string `json:"verdict"` // null: the key was never looked at
}

func detailedOnWire(vended vault.Vended, v *vault.Visit) wireDetailed {
	w := wireDetailed{wireVended: vendedOnWire(vended)}
	if vended.Account == nil {
		return w
	}
	secretID := vended.Account.Secrets[account.Current].ID
	w.AccountID, w.SecretID = &vended.Account.ID, &secretID
	if c := v.View.Check; c != nil && c.SecretID == secretID {
		w.Verdict = orNil(string(c.Verdict))
	}
	return w
}

// vendBody is POST /keyvend/vend.
type vendBody struct {
	Slug string `json:"slug"`
	ownerBody
}

func (in *vendBody) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	if target, err = in.target(); err != nil {
		return target, err
	}
	target.WithCheck = true
	target.Slug, err = bodySlug(in.Slug)
	return target, err
}
