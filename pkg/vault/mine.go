package vault

import (
	"context"
	"errors"
	"slices"

	"keyvend/pkg/account"
	"keyvend/pkg/fault"
	"keyvend/pkg/integration"
	"keyvend/pkg/usage"
)

// What people read in a widget. They know no endpoints.
var (
	errNotOffered = fault.New(fault.NotFound, "not_found", "This provider is not offered any more. Reload the page.")
	errGone       = fault.New(fault.NotFound, "not_found", "This connection is gone already. Reload the page.")
)

// Mine is what a user does with his own accounts in his browser. Whose they are
// is what AdmitWidget took from his token: no method takes a user, and none finds
// an account but in the partition of the visit's user.
type Mine struct {
	Accounts  *Accounts
	Directory *Directory
}

// Offer is an integration that the user may connect.
type Offer struct {
	Provider
	Profile *Profile // of its account; nil: not connected
}

// Offers are the integrations that are on for the user, with his accounts.
func (m *Mine) Offers(ctx context.Context, v *Visit) ([]Offer, error) {
	providers, err := m.Accounts.Providers(ctx, v)
	if err != nil {
		return nil, err
	}
	offers := make([]Offer, len(providers))
	var accounts []*account.Account
	known := map[string]*integration.Integration{}
	for i, p := range providers {
		offers[i].Provider = p
		if p.Account != nil {
			accounts = append(accounts, p.Account)
			known[p.Integration.Slug] = p.Integration
		}
	}
	if len(accounts) == 0 {
		return offers, nil
	}
	profiles, err := m.Directory.profiles(ctx, v, accounts, known)
	if err != nil {
		return nil, err
	}
	for i := range offers {
		if offers[i].Account != nil {
			offers[i].Profile, profiles = &profiles[0], profiles[1:]
		}
	}
	return offers, nil
}

// Store stores the user's key for an integration that is on for him. A key that
// replaces another does so in the connection that was there: one that is
// disconnected meanwhile does not come back.
func (m *Mine) Store(ctx context.Context, v *Visit, up Upsert) (*account.Account, error) {
	if v.Integration == nil || !v.Integration.EnabledFor(v.Override) {
		return nil, errNotOffered
	}
	there := *v
	if found := living(v, v.Integration); found != nil {
		there.AccountID = found.ID
	}
	saved, err := m.Accounts.Upsert(ctx, &there, up)
	return saved, asGone(err)
}

// asGone says in the words of a widget that there is no such account.
func asGone(err error) error {
	if errors.Is(err, errNoAccount) {
		return errGone
	}
	return err
}

// Disconnect deletes the user's account of that id, and with it the stored secret.
func (m *Mine) Disconnect(ctx context.Context, v *Visit, id string) error {
	there, err := m.find(ctx, v, id)
	if err != nil {
		return err
	}
	return asGone(m.Accounts.Disconnect(ctx, there))
}

// NamedRead is a read with the name of the API key that it was made with.
type NamedRead struct {
	usage.Read
	KeyName string // "" when there is no such key any more
}

// Reads are who read the key of the user's account of that id lately, the newest
// first. They tell the user no more of an API key than its id and name.
func (m *Mine) Reads(ctx context.Context, v *Visit, id string) ([]NamedRead, error) {
	there, err := m.find(ctx, v, id)
	if err != nil {
		return nil, err
	}
	reads, err := m.Directory.readsOf(ctx, there.View.Account)
	if err != nil || len(reads) == 0 {
		return nil, err
	}
	keys := make([]string, len(reads))
	for i, read := range reads {
		keys[i] = read.APIKey
	}
	slices.Sort(keys)
	names, err := m.Directory.Store.APIKeyNames(ctx, v.Target.Tenant, slices.Compact(keys))
	if err != nil {
		return nil, err
	}
	named := make([]NamedRead, len(reads))
	for i, read := range reads {
		named[i] = NamedRead{read, names[read.APIKey]}
	}
	return named, nil
}

// find is v on the rows of the user's living account of that id.
func (m *Mine) find(ctx context.Context, v *Visit, id string) (*Visit, error) {
	all, err := m.Accounts.Store.AccountsOf(ctx, v.Target.Tenant, v.User)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.ID != id || a.Owner != account.User(v.User, v.Target.Organization) {
			continue
		}
		target := v.Target
		target.Slug, target.AccountID = a.Slug, id
		there, err := v.anew(ctx, m.Accounts.Store, target)
		if err != nil {
			return nil, err
		}
		if _, err := m.Accounts.Get(there); err == nil {
			return there, nil
		}
	}
	return nil, errGone
}
