// Package account knows connected accounts: the stored credential of one owner
// for one data integration.
package account

import (
	"time"

	"keyvend/pkg/idempotency"
	"keyvend/pkg/integration"
	"keyvend/pkg/seal"
)

// OwnerKind says whose an account is. Organization-owned accounts come later;
// bindings and rows carry the kind already.
type OwnerKind string

// UserOwned is the only kind so far.
const UserOwned OwnerKind = "user"

// Owner is whose an account is. With and without an organization are two
// owners, and look-ups never cross.
type Owner struct {
	Kind         OwnerKind
	User         string
	Organization string // "" is none
}

// User is the owner of a user's account, in an organization or ("") in none.
func User(id, organization string) Owner {
	return Owner{Kind: UserOwned, User: id, Organization: organization}
}

// State is what the contract calls the state of a connected account.
type State string

// The states that a stored account can be in.
const (
	Connected            State = "connected"
	NeedsReauthorization State = "needs_reauthorization"
)

// StateReason says why an account is in its state.
type StateReason string

// Refused is that keyvend found that the provider refuses the key. It takes that
// back when the provider takes the key again.
const Refused StateReason = "refused"

// Place is where somebody acts. Rows from before there were others have none,
// which is the API.
type Place string

// The places where accounts are changed.
const (
	InAPI       Place = ""          // by an API key
	InDashboard Place = "dashboard" // by an API key's session
	InWidget    Place = "widget"    // by their user himself
)

// Slot names a place for a secret in an account. Staged and previous ones come
// later.
type Slot string

// Current holds the secret that is vended.
const Current Slot = "current"

// Account is the row of a connected account. Its JSON form is the stored one.
type Account struct {
	ID             string                 `json:"id"`
	Tenant         string                 `json:"-"` // as in the row's key
	IntegrationID  string                 `json:"integration_id"`
	Slug           string                 `json:"-"` // as in the row's key
	Owner          Owner                  `json:"-"` // as in the row's key
	AuthMethod     integration.AuthMethod `json:"auth_method"`
	State          State                  `json:"state"`
	StateReason    StateReason            `json:"state_reason,omitempty"` // "": the tenant said so
	Secrets        map[Slot]Secret        `json:"secrets"`
	Config         map[string]string      `json:"config,omitempty"`           // the provider's declared, non-secret fields; covered by the secrets' MACs
	ConfigByReader bool                   `json:"config_by_reader,omitempty"` // an API key that vends gave it; covered as well
	Metadata       map[string]string      `json:"metadata,omitempty"`
	CreatedAt      time.Time              `json:"created_at"`
	AsOf           time.Time              `json:"as_of,omitzero"` // see Since
	UpdatedAt      time.Time              `json:"updated_at"`
	ChangedBy      string                 `json:"changed_by,omitempty"` // who changed it last: an API key or, in the widget, the user; "": keyvend itself
	ChangedIn      Place                  `json:"changed_in,omitempty"` // where that was
	Requests       idempotency.Memory     `json:"requests,omitempty"`

	Revision int64 `json:"-"`
	// Damaged: the row is there and cannot be read. Who it is comes from its key
	// and its place in the index; nothing of it can be used.
	Damaged bool `json:"-"`
}

// Secret is a sealed secret and what may be told of it.
type Secret struct {
	ID          string    `json:"id"` // ULID
	Sealed      []byte    `json:"sealed"`
	MAC         []byte    `json:"mac"`
	Last4       string    `json:"last_4"`
	Fingerprint []byte    `json:"fingerprint"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"` // zero: nobody said
	// Verified is what the provider said of the secret before it was stored, nil
	// when it was not asked.
	Verified *Verified `json:"verified,omitempty"`
}

// Verified is a finding of package health, as the account's row keeps it until
// the check's row is made of it.
type Verified struct {
	Verdict string    `json:"verdict"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

// Of reports whether the account belongs to this registration of its provider.
// One that does not is dead: it was made under a registration since removed.
func (a *Account) Of(in *integration.Integration) bool {
	return a != nil && in != nil && !a.Damaged && a.IntegrationID == in.ID
}

// Since is when the account's user, in its organization, was known to be there:
// whoever was offboarded later took it along. That is when it was made or, in a
// widget, when the token was minted that it was made with: such a token stands for
// its user until it is known that he left, however late the account is written.
func (a *Account) Since() time.Time {
	if !a.AsOf.IsZero() {
		return a.AsOf
	}
	return a.CreatedAt
}

// Binding is what the secrets of owner's account for in are bound to. It is
// made from what was asked for, never from the account's own row.
func Binding(in *integration.Integration, owner Owner) seal.Binding {
	b := seal.Binding{
		Tenant:        in.Tenant,
		IntegrationID: in.ID,
		Slug:          in.Slug,
		OwnerKind:     string(owner.Kind),
		User:          owner.User,
		Organization:  owner.Organization,
		AuthMethod:    string(in.AuthMethod),
	}
	if in.Custom != nil {
		b.CheckHost, b.CheckPlacement = in.Custom.Bound()
	}
	return b
}

// Cover is what the MAC of a secret covers besides its binding.
func (s *Secret) Cover(slot Slot, of *Account) seal.Cover {
	return seal.Cover{
		Slot:           string(slot),
		Last4:          s.Last4,
		Fingerprint:    s.Fingerprint,
		ExpiresAt:      s.ExpiresAt,
		Config:         of.Config,
		ConfigByReader: of.ConfigByReader,
	}
}
