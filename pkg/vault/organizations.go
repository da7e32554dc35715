package vault

import (
	"context"
	"time"

	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
)

// OrganizationStore keeps organizations' switches of integrations.
type OrganizationStore interface {
	Reader
	Integrations(ctx context.Context, tenant string) ([]*integration.Integration, error)
	// Overrides lists an organization's switches by slug; none for "".
	Overrides(ctx context.Context, tenant, organization string) (map[string]*integration.Override, error)
	SaveOverride(ctx context.Context, tenant, organization, slug string, o *integration.Override) error
}

// Organizations lets an organization's admins decide which providers its people
// may connect.
type Organizations struct {
	Store OrganizationStore
	Clock ident.Clock
}

// Configuration is an integration as one organization has it.
type Configuration struct {
	Integration  *integration.Integration
	Organization string
	Enabled      bool
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// List is every integration of the tenant as the visit's organization has it.
func (o *Organizations) List(ctx context.Context, v *Visit) ([]Configuration, error) {
	integrations, err := o.Store.Integrations(ctx, v.Target.Tenant)
	if err != nil {
		return nil, err
	}
	overrides, err := o.Store.Overrides(ctx, v.Target.Tenant, v.Target.Organization)
	if err != nil {
		return nil, err
	}
	all := make([]Configuration, len(integrations))
	for i, in := range integrations {
		all[i] = configuration(in, overrides[in.Slug], v.Target.Organization)
	}
	return all, nil
}

// Configure sets the organization's switch of the visit's integration; nil
// leaves it as it is.
func (o *Organizations) Configure(ctx context.Context, v *Visit, enabled *bool) (Configuration, error) {
	var done Configuration
	err := again(ctx, o.Store, v, func(v *Visit) error {
		in := v.Integration
		if in == nil {
			return errUnknownSlug
		}
		next := o.successor(v)
		if enabled != nil {
			next.Enabled = *enabled
		}
		done = configuration(in, next, v.Target.Organization)
		return o.Store.SaveOverride(ctx, v.Target.Tenant, v.Target.Organization, in.Slug, next)
	})
	return done, err
}

// successor is the switch to write, over whatever an earlier registration of
// the slug may have left.
func (o *Organizations) successor(v *Visit) *integration.Override {
	now := o.Clock.Now()
	next := &integration.Override{IntegrationID: v.Integration.ID, Enabled: true, CreatedAt: now}
	if v.Override != nil {
		next.Revision = v.Override.Revision
		if v.Override.IntegrationID == v.Integration.ID {
			*next = *v.Override
		}
	}
	next.UpdatedAt = now
	return next
}

func configuration(in *integration.Integration, o *integration.Override, organization string) Configuration {
	c := Configuration{
		Integration:  in,
		Organization: organization,
		Enabled:      in.EnabledFor(o),
		CreatedAt:    in.CreatedAt,
		UpdatedAt:    in.UpdatedAt,
	}
	if o != nil && o.IntegrationID == in.ID {
		c.CreatedAt, c.UpdatedAt = o.CreatedAt, o.UpdatedAt
	}
	return c
}
