package vault

import (
	"context"
	"fmt"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/account"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
)

// opened is a secret that was read back.
type opened struct {
	text secret.Text
	// checkable: a check may be made with it. A secret that was sealed before its
	// custom provider had a check is not bound to the check's host.
	checkable bool
}

// open reads the current secret of a, the account of the visit's user.
func open(ctx context.Context, keys OpeningKeyring, v *Visit, a *account.Account) (opened, error) {
	stored := a.Secrets[account.Current]
	header, err := seal.ParseHeader(stored.Sealed)
	if err != nil {
		return opened{}, sealFault(err)
	}
	key := v.Opening
	if header.KeyVersion != key.Version() {
		if key, err = keys.Opening(ctx, v.View.Tenant, header.KeyVersion); err != nil {
			return opened{}, sealFault(err)
		}
	}
	owner := account.User(v.User, v.Target.Organization) // as asked for, not as stored
	text, err := key.Open(account.Binding(v.Integration, owner), stored.Cover(account.Current, a),
		seal.Sealed{Secret: stored.Sealed, MAC: stored.MAC})
	if err != nil {
		return opened{}, sealFault(err)
	}
	if ulid.ULID(header.SecretID).String() != stored.ID {
		return opened{}, sealFault(fmt.Errorf("%w: the row names another secret id", seal.ErrIntegrity))
	}
	return opened{text, v.Integration.Custom == nil || header.CheckHostBound}, nil
}
