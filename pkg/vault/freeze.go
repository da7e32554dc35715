package vault

import (
	"context"

	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/tenant"
)

// FreezeStore keeps the rows that can be frozen.
type FreezeStore interface {
	Reader
	SaveSettings(ctx context.Context, tenantID string, s *tenant.Settings) error
	SaveIntegration(ctx context.Context, in *integration.Integration) error
	SaveOrganization(ctx context.Context, tenantID, organization string, o *tenant.Organization) error
}

// Freezes stops vending and lets it go on again: of the whole tenant, of one
// integration, of one organization. Everything else goes on meanwhile.
type Freezes struct {
	Store FreezeStore
	Clock ident.Clock
}

// Freezable is something that can be frozen.
type Freezable struct {
	current func(*Visit) (*tenant.Freeze, error)
	save    func(ctx context.Context, s FreezeStore, v *Visit, f *tenant.Freeze) error
}

// WholeTenant is the visit's tenant.
var WholeTenant = Freezable{
	current: func(v *Visit) (*tenant.Freeze, error) { return v.Settings.Freeze, nil },
	save: func(ctx context.Context, s FreezeStore, v *Visit, f *tenant.Freeze) error {
		next := v.Settings
		next.Freeze = f
		return s.SaveSettings(ctx, v.Target.Tenant, &next)
	},
}

// OneIntegration is the visit's integration.
var OneIntegration = Freezable{
	current: func(v *Visit) (*tenant.Freeze, error) {
		if v.Integration == nil {
			return nil, errUnknownSlug
		}
		return v.Integration.Freeze, nil
	},
	save: func(ctx context.Context, s FreezeStore, v *Visit, f *tenant.Freeze) error {
		next := *v.Integration
		next.Freeze = f
		return s.SaveIntegration(ctx, &next)
	},
}

// OneOrganization is the visit's organization.
var OneOrganization = Freezable{
	current: func(v *Visit) (*tenant.Freeze, error) { return v.View.Organization.Freeze, nil },
	save: func(ctx context.Context, s FreezeStore, v *Visit, f *tenant.Freeze) error {
		next := v.View.Organization
		next.Freeze = f
		return s.SaveOrganization(ctx, v.Target.Tenant, v.Target.Organization, &next)
	},
}

// Freeze freezes what. What is frozen already keeps its time and takes the new
// reason.
func (f *Freezes) Freeze(ctx context.Context, v *Visit, what Freezable, reason string) (tenant.Freeze, error) {
	var frozen tenant.Freeze
	err := again(ctx, f.Store, v, func(v *Visit) error {
		before, err := what.current(v)
		if err != nil {
			return err
		}
		frozen = tenant.Freeze{Reason: reason, Since: f.Clock.Now()}
		if before != nil {
			frozen.Since = before.Since
		}
		return what.save(ctx, f.Store, v, &frozen)
	})
	return frozen, err
}

// Get is the freeze of what, nil when it is not frozen.
func (f *Freezes) Get(v *Visit, what Freezable) (*tenant.Freeze, error) { return what.current(v) }

var errNotFrozen = fault.New(fault.NotFound, "not_found", "This is not frozen. Vending goes on here, unless something else is frozen.")

// Unfreeze lets vending go on.
func (f *Freezes) Unfreeze(ctx context.Context, v *Visit, what Freezable) error {
	return again(ctx, f.Store, v, func(v *Visit) error {
		before, err := what.current(v)
		switch {
		case err != nil:
			return err
		case before == nil:
			return errNotFrozen
		}
		return what.save(ctx, f.Store, v, nil)
	})
}
