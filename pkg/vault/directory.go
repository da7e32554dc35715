package vault

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/fault"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/tenant"
	"keyvend/pkg/usage"
)

// DirectoryStore finds accounts across users.
type DirectoryStore interface {
	Reader
	Integrations(ctx context.Context, tenant string) ([]*integration.Integration, error)
	AccountsOf(ctx context.Context, tenant, user string) ([]*account.Account, error)
	// AccountsIn lists accounts of a tenant in the order of their ids, dead ones
	// included; one made a moment ago may still be missing. next is what to pass
	// as After for what follows, "" at the end; a page may be short.
	AccountsIn(ctx context.Context, tenant string, r AccountRange) (page []*account.Account, next string, err error)
	// Organizations are the rows of organizations, by id, in one round trip for 100 of
	// them; those of which there is no row, or none that can be read, are left out.
	Organizations(ctx context.Context, tenant string, ids []string) (map[string]tenant.Organization, error)
	// WhereIs says whose account an id is, and for which slug; "" when there is
	// none of that id (yet). What it says is as old as the index.
	WhereIs(ctx context.Context, tenant, id string) (slug string, owner account.Owner, err error)
	SaveAccount(ctx context.Context, a *account.Account) error
	// ChecksOf is what is known of the keys of accounts, by account id; those of
	// which nothing is are left out.
	ChecksOf(ctx context.Context, accounts []*account.Account) (map[string]*health.Check, error)
	// LastUsed is when keys were last vended, of those accounts of which the
	// ledger knows, in one round trip for 100 of them.
	LastUsed(ctx context.Context, tenant string, accountIDs []string) (map[string]time.Time, error)
	AccountReads(ctx context.Context, tenant, accountID string) (*usage.Reads, error)
	// APIKeyNames are the names of API keys, by id, in one round trip for 100 of
	// them; those of which there is no row, or none that can be read, are left out.
	APIKeyNames(ctx context.Context, tenant string, ids []string) (map[string]string, error)
}

// AccountRange is a range of a tenant's accounts.
type AccountRange struct {
	Integration string // id; "" is all
	After       string // account id, exclusive, in the direction of the range; "" is from its start
	Descending  bool
	Limit       int
}

// of takes the range out of accounts in any order.
func (r AccountRange) of(accounts []*account.Account) []*account.Account {
	order := func(a, b *account.Account) int { return strings.Compare(a.ID, b.ID) }
	if r.Descending {
		order = func(a, b *account.Account) int { return strings.Compare(b.ID, a.ID) }
	}
	slices.SortFunc(accounts, order)
	return slices.DeleteFunc(accounts, func(a *account.Account) bool {
		return r.Integration != "" && a.IntegrationID != r.Integration ||
			r.After != "" && order(a, &account.Account{ID: r.After}) <= 0
	})
}

// AccountFilter says which accounts are asked for; nil is any.
type AccountFilter struct {
	Slug         *string
	State        *account.State
	User         *string
	Organization *string // "" is none
}

func (f AccountFilter) matches(a *account.Account) bool {
	return (f.Slug == nil || a.Slug == *f.Slug) &&
		(f.State == nil || a.State == *f.State) &&
		(f.User == nil || a.Owner.User == *f.User) &&
		(f.Organization == nil || a.Owner.Organization == *f.Organization)
}

// Directory is the operators' view of a tenant's accounts.
type Directory struct {
	Store DirectoryStore
	Clock ident.Clock
}

// One List reads at most so many ranges to fill its page. The first is of the
// asked size, those behind it are of at least the size that one read of rows
// takes: what made the first one short are accounts that do not match, or many
// that are dead.
const (
	scans      = 10
	widerRange = 100
)

// Profile is an account with what is known of its key.
type Profile struct {
	*account.Account
	Check  *health.Check
	Every  time.Duration // between checks of its key; 0: there are none on schedule
	UsedAt time.Time     // when its key was last vended, some minutes behind; zero: never

	checkable bool // its provider can be asked
}

// profileOf puts together what is known of an account; c may be nil, or of an
// earlier account or secret.
func profileOf(a *account.Account, in *integration.Integration, c *health.Check) Profile {
	p := Profile{Account: a, Every: in.CheckEvery(), checkable: in.Provider().Check != nil}
	if c != nil && !c.Damaged {
		known := *c
		p.Check = &known
	}
	if p.Check == nil || p.Check.Follow(a, a.UpdatedAt) {
		// The feed brings the row later than the answer to whoever stored the key.
		if p.Check == nil {
			p.Check = health.Of(a, a.UpdatedAt)
		}
		p.Check.Adopt(a, p.Every)
	}
	if !p.checkable {
		p.Every = 0
	}
	return p
}

// List is the accounts of a range that match f, at most r.Limit. next continues
// it: a filter that few match may need several pages that hold little.
func (d *Directory) List(ctx context.Context, v *Visit, f AccountFilter, r AccountRange) (page []Profile, next string, err error) {
	found, next, known, err := d.find(ctx, v, f, r)
	if err != nil || len(found) == 0 {
		return nil, next, err
	}
	page, err = d.profiles(ctx, v, found, known)
	return page, next, err
}

// profiles reads what is known of accounts, whose integrations are known by slug.
func (d *Directory) profiles(ctx context.Context, v *Visit, accounts []*account.Account, known map[string]*integration.Integration) ([]Profile, error) {
	ids := make([]string, len(accounts))
	for i, a := range accounts {
		ids[i] = a.ID
	}
	checks, err := d.Store.ChecksOf(ctx, accounts)
	if err != nil {
		return nil, err
	}
	used, err := d.Store.LastUsed(ctx, v.Target.Tenant, ids)
	if err != nil {
		return nil, err
	}
	profiles := make([]Profile, len(accounts))
	for i, a := range accounts {
		profiles[i] = profileOf(a, known[a.Slug], checks[a.ID])
		profiles[i].UsedAt = used[a.ID]
	}
	return profiles, nil
}

// find is List without what is known of keys.
func (d *Directory) find(ctx context.Context, v *Visit, f AccountFilter, r AccountRange) (page []*account.Account, next string, known map[string]*integration.Integration, err error) {
	known, err = d.integrations(ctx, v.Target.Tenant)
	if err != nil {
		return nil, "", nil, err
	}
	if f.Slug != nil {
		in, ok := known[*f.Slug]
		if !ok {
			return nil, "", nil, nil
		}
		r.Integration = in.ID
	}
	want := r.Limit
	for range scans {
		part, following, err := d.part(ctx, v, f, r)
		if err != nil {
			return nil, "", nil, err
		}
		live, err := d.live(ctx, v, part, known)
		if err != nil {
			return nil, "", nil, err
		}
		for i, a := range part {
			if !live(a) || !f.matches(a) {
				continue
			}
			if page = append(page, a); len(page) == want && (i+1 < len(part) || following != "") {
				return page, a.ID, known, nil
			}
		}
		if following == "" {
			return page, "", known, nil
		}
		r.After, r.Limit = following, max(want, widerRange)
	}
	return page, r.After, known, nil
}

// live tells accounts that are living from those of the part that are dead: of another
// registration, or of an organization that was offboarded since.
func (d *Directory) live(ctx context.Context, v *Visit, part []*account.Account, known map[string]*integration.Integration) (func(*account.Account) bool, error) {
	var ids []string
	for _, a := range part {
		if a.Owner.Organization != "" {
			ids = append(ids, a.Owner.Organization)
		}
	}
	slices.Sort(ids)
	organizations, err := d.Store.Organizations(ctx, v.Target.Tenant, slices.Compact(ids))
	return func(a *account.Account) bool {
		organization := organizations[a.Owner.Organization]
		return a.Of(known[a.Slug]) && !organization.Left(a.Since())
	}, err
}

// part reads one range: of one user from his own partition, which is strongly
// consistent and holds few, else from the index.
func (d *Directory) part(ctx context.Context, v *Visit, f AccountFilter, r AccountRange) ([]*account.Account, string, error) {
	if f.User == nil {
		return d.Store.AccountsIn(ctx, v.Target.Tenant, r)
	}
	all, err := d.Store.AccountsOf(ctx, v.Target.Tenant, *f.User)
	return r.of(all), "", err
}

func (d *Directory) integrations(ctx context.Context, tenant string) (map[string]*integration.Integration, error) {
	all, err := d.Store.Integrations(ctx, tenant)
	bySlug := make(map[string]*integration.Integration, len(all))
	for _, in := range all {
		bySlug[in.Slug] = in
	}
	return bySlug, err
}

// ErrUnknownAccount: no living account has that id.
var ErrUnknownAccount = fault.New(fault.NotFound, "not_found",
	"There is no connected account of this id. One made a moment ago is found here a little later.")

// Get is the living account of that id, in the rows as they are now.
func (d *Directory) Get(ctx context.Context, v *Visit, id string) (Profile, error) {
	there, err := d.visit(ctx, v, id)
	if err != nil {
		return Profile{}, err
	}
	a, err := there.account(id)
	if err != nil {
		return Profile{}, err
	}
	return d.profile(ctx, there, a)
}

// profile is what is known of the visit's account.
func (d *Directory) profile(ctx context.Context, v *Visit, a *account.Account) (Profile, error) {
	all, err := d.profiles(ctx, v, []*account.Account{a}, map[string]*integration.Integration{a.Slug: v.Integration})
	if err != nil {
		return Profile{}, err
	}
	return all[0], nil
}

// visit is v on the rows of the account of that id, read strongly.
func (d *Directory) visit(ctx context.Context, v *Visit, id string) (*Visit, error) {
	slug, owner, err := d.Store.WhereIs(ctx, v.Target.Tenant, id)
	if err != nil {
		return nil, err
	}
	if slug == "" {
		return nil, ErrUnknownAccount
	}
	there := *v
	there.Slug, there.User, there.Target.Organization = slug, owner.User, owner.Organization
	view, err := d.Store.Load(ctx, there.Target)
	there.View = view
	return &there, errors.Join(err, view.Damaged)
}

// account is the visit's living account, if it is the one of that id.
func (v *Visit) account(id string) (*account.Account, error) {
	if a := living(v, v.Integration); a != nil && a.ID == id {
		return a, nil
	}
	return nil, ErrUnknownAccount
}

// AccountChange changes an account; what is nil stays as it is.
type AccountChange struct {
	Metadata map[string]string
	Config   map[string]string
}

// Amend changes what a tenant keeps beside a secret.
func (d *Directory) Amend(ctx context.Context, v *Visit, id string, change AccountChange) (Profile, error) {
	there, err := d.visit(ctx, v, id)
	if err != nil {
		return Profile{}, err
	}
	var saved *account.Account
	err = again(ctx, d.Store, there, func(v *Visit) error {
		a, err := v.account(id)
		if err != nil {
			return err
		}
		if saved = a; change.Metadata == nil && change.Config == nil {
			return nil
		}
		next := *a
		if change.Metadata != nil {
			next.Metadata = change.Metadata
		}
		if err := reconfigure(v, &next, change.Config); err != nil {
			return err
		}
		next.UpdatedAt = d.Clock.Now()
		next.ChangedBy, next.ChangedIn = v.actor()
		saved = &next
		return d.Store.SaveAccount(ctx, saved)
	})
	if err != nil {
		return Profile{}, err
	}
	return d.profile(ctx, there, saved)
}
