package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"keyvend/pkg/account"
	"keyvend/pkg/audit"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/tenant"
)

// Vender hands secrets to the tenant's backend. It writes nothing.
type Vender struct {
	Keys  OpeningKeyring
	Audit audit.Log
	Clock ident.Clock
	Log   *slog.Logger
}

// OpeningKeyring also opens secrets that were sealed under a key version other
// than the tenant's current one.
type OpeningKeyring interface {
	Keyring
	Opening(ctx context.Context, t *tenant.Tenant, version uint32) (*seal.OpeningKey, error)
}

// The reasons for which a vend answers that there is nothing to hand out.
const (
	NotInstalled         = "not_installed"
	NeedsReauthorization = "needs_reauthorization"
)

// Vended is the answer to a vend: a secret with its account, or the reason why
// there is none.
type Vended struct {
	Reason  string // "" when there is a secret
	Account *account.Account
	Secret  secret.Text
}

// outcomes of a vend in the audit log, besides the reasons above and the codes
// of the refusals below.
const (
	outcomeVended    = "vended"
	outcomeUnknown   = "unknown_integration"
	outcomeNoAccount = "unknown_account"
	outcomeIntegrity = "integrity"
	outcomeError     = "error"
)

// Vend opens the current secret of the visit's user. The audit line is handed
// over before anything leaves; if that fails, nothing does.
func (d *Vender) Vend(ctx context.Context, v *Visit) (Vended, error) {
	vended, err := d.vend(ctx, v)
	line := v.line(d.Clock, outcome(vended, err), "")
	if vended.Account != nil {
		line.AccountID = vended.Account.ID
		line.SecretID = vended.Account.Secrets[account.Current].ID
	}
	if auditErr := d.Audit.Record(ctx, line); auditErr != nil {
		vended.Secret.Wipe()
		return Vended{}, fault.Busy(auditErr)
	}
	if line.Outcome == outcomeIntegrity {
		// The alarm of the deployed set listens for this line.
		d.Log.ErrorContext(ctx, "a stored secret does not open", "alarm", outcomeIntegrity,
			"tenant", line.Tenant, "account_id", line.AccountID, "error", err)
	}
	return vended, err
}

func (d *Vender) vend(ctx context.Context, v *Visit) (Vended, error) {
	if err := available(v); err != nil {
		return Vended{}, err
	}
	a := living(v, v.Integration)
	switch {
	case v.Account != nil && v.Account.Damaged:
		return Vended{}, sealFault(fmt.Errorf("%w: the account's row cannot be read", seal.ErrFormat))
	case !v.means(a):
		return Vended{}, errNoAccount
	case a == nil:
		return Vended{Reason: NotInstalled}, nil
	case a.State != account.Connected:
		return Vended{Reason: NeedsReauthorization, Account: a}, nil
	}
	found, err := open(ctx, d.Keys, v, a)
	return Vended{Account: a, Secret: found.text}, err
}

// available says why nothing of this integration may be vended to anyone.
func available(v *Visit) error {
	in := v.Integration
	switch {
	case in == nil:
		return errUnknownSlug
	case in.AuthMethod != integration.APIKey:
		return ErrAuthMethodMismatch
	case !in.Enabled:
		return fault.New(fault.Forbidden, "data_integration_disabled",
			"This data integration is switched off. Switch it on with PUT /data-integrations/{slug} and enabled: true; its accounts are kept.")
	case !in.EnabledFor(v.Override):
		return fault.New(fault.Forbidden, "data_integration_disabled",
			"This data integration is switched off for this organization. Switch it on with PUT /organizations/{id}/data_integration_configurations/{slug} and enabled: true.")
	}
	return frozen(v)
}

// frozen says which freeze holds, why, and how it is lifted.
func frozen(v *Visit) error {
	for _, f := range []struct {
		freeze      *tenant.Freeze
		what, where string
	}{
		{v.Settings.Freeze, "this tenant", "/keyvend/freeze"},
		{v.Integration.Freeze, "this data integration", "/keyvend/integrations/{slug}/freeze"},
		{v.View.Organization.Freeze, "this organization", "/keyvend/organizations/{id}/freeze"},
	} {
		if f.freeze != nil {
			return fault.Newf(fault.Forbidden, "frozen", "Vending is frozen for %s (%s). DELETE %s lets it go on.", f.what, f.freeze.Reason, f.where)
		}
	}
	return nil
}

// ErrAuthMethodMismatch: the endpoint is for another authentication method than
// the integration's.
var ErrAuthMethodMismatch = fault.New(fault.Invalid, "auth_method_mismatch",
	"This data integration uses API keys. Store one with PUT /data-integrations/{slug}/api-key and read it with POST /data-integrations/{slug}/credentials.")

func outcome(vended Vended, err error) string {
	var refused *fault.Error
	switch {
	case err == nil && vended.Reason == "":
		return outcomeVended
	case err == nil:
		return vended.Reason
	case errors.Is(err, errUnknownSlug):
		return outcomeUnknown
	case errors.Is(err, errNoAccount):
		return outcomeNoAccount
	case errors.Is(err, seal.ErrIntegrity), errors.Is(err, seal.ErrFormat), errors.Is(err, seal.ErrKeyVersion):
		return outcomeIntegrity
	case errors.As(err, &refused) && (refused.Kind == fault.Forbidden || refused.Kind == fault.Invalid):
		return refused.Code
	default:
		return outcomeError
	}
}

// Refuse answers a request for a token, which no API-key integration has, and
// tells the audit log.
func (d *Vender) Refuse(ctx context.Context, v *Visit) error {
	why := Mismatch(v)
	if err := d.Audit.Record(ctx, v.line(d.Clock, outcome(Vended{}, why), "")); err != nil {
		return fault.Busy(err)
	}
	return why
}

// Mismatch is the answer of an endpoint that serves another authentication
// method than API keys.
func Mismatch(v *Visit) error {
	if v.Integration == nil {
		return errUnknownSlug
	}
	return ErrAuthMethodMismatch
}
