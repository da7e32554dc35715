package vault

import (
	"context"
	"fmt"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/removal"
)

// Registry keeps a tenant's data integrations.
type Registry struct {
	Store  IntegrationStore
	Verify *Verifier // nil: no key is verified
	Clock  ident.Clock
}

// Registration is a provider to register.
type Registration struct {
	Slug        string
	CustomName  string // not "": a custom provider of that name
	AuthMethods []integration.AuthMethod
	Description *string
	Enabled     bool
	FirstKey    *Upsert // nil: none; else for the visit's user
	Request     Request
}

// Amendment changes an integration; what is nil stays as it is.
type Amendment struct {
	Description *string // with SetDescription; nil clears it
	Enabled     *bool
	CustomName  *string
	Key         *Upsert // a key to store or rotate, for the visit's user
	Request     Request

	SetDescription bool
}

// Registered is an integration and the account that came along, if one did.
type Registered struct {
	Integration *integration.Integration
	Account     *account.Account
}

// Register creates an integration, and with it the first account when a key
// came along: both or none.
func (r *Registry) Register(ctx context.Context, v *Visit, reg Registration) (Registered, error) {
	method, err := reg.method()
	if err != nil {
		return Registered{}, err
	}
	name, custom, err := reg.provider()
	if err != nil {
		return Registered{}, err
	}
	wanted := integration.Integration{
		Tenant:      v.Target.Tenant,
		Slug:        reg.Slug,
		Name:        name,
		AuthMethod:  method,
		Description: reg.Description,
		Enabled:     reg.Enabled,
		Custom:      custom,
	}
	var done Registered
	err = again(ctx, r.Store, v, func(v *Visit) error {
		if v.Integration != nil {
			done, err = existing(v, reg, r.Clock.Now())
			return err
		}
		if err := r.room(ctx, v); err != nil {
			return err
		}
		in := wanted
		in.ID, in.CreatedAt = r.Clock.New(ident.IntegrationPrefix), r.Clock.Now()
		done, err = r.save(ctx, v, &in, reg.FirstKey, reg.Request)
		return err
	})
	return done, err
}

// existing answers a registration of a slug that is taken: a repeat of the
// request that took it gets the answer again.
func existing(v *Visit, reg Registration, now time.Time) (Registered, error) {
	repeat, err := replayed(v.Integration.Requests, reg.Request.remembered(v, now))
	switch {
	case err != nil:
		return Registered{}, err
	case repeat:
		return Registered{v.Integration, living(v, v.Integration)}, nil
	}
	return Registered{}, fault.Newf(fault.Conflict, "data_integration_exists",
		"A data integration with the slug %q exists already. Change it with PUT, or DELETE it first to choose another authentication method.", reg.Slug)
}

// save writes in, changed by request, and the account that comes of up, if
// there is one.
func (r *Registry) save(ctx context.Context, v *Visit, in *integration.Integration, up *Upsert, request Request) (Registered, error) {
	in.UpdatedAt = r.Clock.Now()
	if seen := request.remembered(v, in.UpdatedAt); seen != nil {
		in.Requests = in.Requests.Remember(*seen)
	}
	if up == nil {
		return Registered{Integration: in}, r.Store.SaveIntegration(ctx, in)
	}
	a, _, err := place(v, in, *up, r.Clock)
	if err == nil {
		err = r.Verify.vet(ctx, v, in, up, a)
	}
	if err != nil {
		return Registered{}, err
	}
	return Registered{in, a}, r.Store.SaveIntegrationAndAccount(ctx, in, a, v.Departure)
}

func (r *Registry) room(ctx context.Context, v *Visit) error {
	all, err := r.Store.Integrations(ctx, v.Target.Tenant)
	if err != nil {
		return err
	}
	if len(all) >= integration.MaxPerTenant {
		return fault.New(fault.Invalid, "unprocessable_entity",
			fmt.Sprintf("A tenant has at most %d data integrations. Delete one that is no longer used.", integration.MaxPerTenant))
	}
	return nil
}

// method is the one authentication method that was chosen. None chosen means
// OAuth, the contract's default.
func (reg *Registration) method() (integration.AuthMethod, error) {
	if len(reg.AuthMethods) == 1 && reg.AuthMethods[0] == integration.APIKey {
		return integration.APIKey, nil
	}
	return "", fault.New(fault.Invalid, "auth_method_not_supported",
		`This release of keyvend serves API keys only. Send "auth_methods": ["api_key"]; without it the contract's default, OAuth, is meant.`)
}

// provider is what the slug stands for: the catalog's name, or the custom one.
func (reg *Registration) provider() (name string, custom *integration.CustomProvider, err error) {
	if reg.CustomName == "" {
		known, ok := catalog.Lookup(reg.Slug)
		if !ok {
			return "", nil, fault.Newf(fault.Invalid, "unprocessable_entity",
				`The catalog has no provider %q. Look it up with GET /keyvend/catalog, or define your own by sending "custom_provider": {"name": "…"}.`, reg.Slug)
		}
		return known.Name, nil, nil
	}
	if catalog.Has(reg.Slug) {
		return "", nil, fault.Newf(fault.Invalid, "unprocessable_entity",
			"The slug %q belongs to a provider of the catalog. Leave custom_provider out, or choose another slug.", reg.Slug)
	}
	return reg.CustomName, &integration.CustomProvider{}, nil
}

// Get is the visit's integration.
func (r *Registry) Get(v *Visit) (*integration.Integration, error) {
	if v.Integration == nil {
		return nil, errUnknownSlug
	}
	return v.Integration, nil
}

// Amend changes an integration, and stores a key along with it: both or none.
func (r *Registry) Amend(ctx context.Context, v *Visit, am Amendment) (Registered, error) {
	var done Registered
	err := again(ctx, r.Store, v, func(v *Visit) error {
		if v.Integration == nil {
			return errUnknownSlug
		}
		repeat, err := replayed(v.Integration.Requests, am.Request.remembered(v, r.Clock.Now()))
		if err != nil || repeat {
			done = Registered{v.Integration, living(v, v.Integration)}
			return err
		}
		next := *v.Integration
		if err := am.apply(&next); err != nil {
			return err
		}
		done, err = r.save(ctx, v, &next, am.Key, am.Request)
		return err
	})
	return done, err
}

func (am *Amendment) apply(in *integration.Integration) error {
	if am.SetDescription {
		in.Description = am.Description
	}
	if am.Enabled != nil {
		in.Enabled = *am.Enabled
	}
	if am.CustomName != nil {
		if in.Custom == nil {
			return fault.New(fault.Invalid, "unprocessable_entity",
				"custom_provider is for custom providers; this one is of the catalog and keeps its name.")
		}
		in.Name = *am.CustomName
	}
	return nil
}

// Remove deletes the integration. From then on each of its accounts is dead,
// also under a new registration of the same slug; the sweeper deletes the rows.
func (r *Registry) Remove(ctx context.Context, v *Visit) error {
	return again(ctx, r.Store, v, func(v *Visit) error {
		in, err := r.Get(v)
		if err != nil {
			return err
		}
		return r.Store.RemoveIntegration(ctx, in, &removal.Job{
			ID:            r.Clock.New(ident.JobPrefix),
			Tenant:        v.Target.Tenant,
			IntegrationID: in.ID,
			Slug:          in.Slug,
			RemovedAt:     r.Clock.Now(),
		})
	})
}

// List is all of the tenant's integrations, sorted by id and so by age.
func (r *Registry) List(ctx context.Context, v *Visit) ([]*integration.Integration, error) {
	return r.Store.Integrations(ctx, v.Target.Tenant)
}
