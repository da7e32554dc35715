package vault

import (
	"context"
	"encoding/json"
	"fmt"

	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/integration"
	"keyvend/pkg/seal"
)

// maxDefinition is how many bytes the definition of a custom provider may have
// when stored: its row is read with every vend.
const maxDefinition = 16 << 10

// DefinitionChange changes what an integration says of its provider and of the
// checks of its keys; what is nil stays as it is. Of a provider of the catalog
// only VerifyOnSave, OnInvalid and CheckInterval can be changed.
type DefinitionChange struct {
	Name         *string
	KeyHint      *string // "" clears it
	HelpURL      *string // "" clears it
	ConfigFields *[]catalog.ConfigField
	Check        *catalog.Check

	VerifyOnSave  *integration.Verify
	OnInvalid     *integration.OnInvalid
	CheckInterval *integration.Interval
}

// Define changes an integration's definition.
func (r *Registry) Define(ctx context.Context, v *Visit, change DefinitionChange) (*integration.Integration, error) {
	var saved *integration.Integration
	err := again(ctx, r.Store, v, func(v *Visit) error {
		in, err := r.Get(v)
		if err != nil {
			return err
		}
		saved = in
		if change == (DefinitionChange{}) {
			return nil
		}
		next := *in
		if err := change.apply(v, &next); err != nil {
			return err
		}
		next.UpdatedAt = r.Clock.Now()
		saved = &next
		return r.Store.SaveIntegration(ctx, saved)
	})
	return saved, err
}

func (c *DefinitionChange) apply(v *Visit, in *integration.Integration) error {
	if c.VerifyOnSave != nil {
		in.Policy.VerifyOnSave = *c.VerifyOnSave
	}
	if c.OnInvalid != nil {
		in.Policy.OnInvalid = *c.OnInvalid
	}
	if c.CheckInterval != nil {
		in.Policy.CheckInterval = *c.CheckInterval
	}
	if in.Custom == nil {
		if err := c.refuseForCatalog(); err != nil {
			return err
		}
		return c.verifiable(in)
	}
	if c.Name != nil {
		in.Name = *c.Name
	}
	custom := *in.Custom
	if c.KeyHint != nil {
		custom.KeyHint = *c.KeyHint
	}
	if c.HelpURL != nil {
		custom.HelpURL = *c.HelpURL
	}
	if c.ConfigFields != nil || c.Check != nil {
		if err := c.redefine(v, in, &custom); err != nil {
			return err
		}
	}
	if doc, err := json.Marshal(custom); err != nil || len(doc) > maxDefinition {
		return fault.New(fault.Invalid, "unprocessable_entity",
			fmt.Sprintf("The definition of this provider has more than %d bytes. Say it with fewer settings, options or rules.", maxDefinition)).Because(err)
	}
	in.Custom = &custom
	if custom.Check != nil && (c.ConfigFields != nil || c.Check != nil) {
		in.Vouch(v.Ingest)
	}
	return c.verifiable(in)
}

// verifiable refuses to verify keys of a provider that cannot be asked.
func (c *DefinitionChange) verifiable(in *integration.Integration) error {
	if c.VerifyOnSave == nil || *c.VerifyOnSave == integration.NoVerify || in.Provider().Check != nil {
		return nil
	}
	return wrongValues([]fault.Detail{{Code: "no_check", Field: "verify_on_save",
		Message: "This provider has no check with which a key could be verified. Define one, or send off."}})
}

// refuseForCatalog names what was sent and is the catalog's to say.
func (c *DefinitionChange) refuseForCatalog() error {
	var details []fault.Detail
	for _, member := range []struct {
		name string
		sent bool
	}{
		{"name", c.Name != nil},
		{"key_hint", c.KeyHint != nil},
		{"help_url", c.HelpURL != nil},
		{"config_fields", c.ConfigFields != nil},
		{"check", c.Check != nil},
	} {
		if member.sent {
			details = append(details, fault.Detail{Code: "not_custom", Field: member.name,
				Message: "This is a provider of the catalog, which says this. Only custom providers can be defined; here verify_on_save, on_invalid and check_interval can be changed."})
		}
	}
	return wrongValues(details)
}

// redefine sets config fields and check of custom, which are those of in yet.
func (c *DefinitionChange) redefine(v *Visit, in *integration.Integration, custom *integration.CustomProvider) error {
	if !in.Vouched(v.Ingest) {
		return sealFault(errForeignCheck)
	}
	if c.ConfigFields != nil {
		custom.ConfigFields = *c.ConfigFields
	}
	if c.Check != nil {
		custom.Check = c.Check
	}
	var details []fault.Detail
	add := func(at, code string, problems ...catalog.Problem) {
		for _, p := range problems {
			details = append(details, fault.Detail{Code: code, Field: at + p.Field, Message: p.Reason})
		}
	}
	add("config_fields", "invalid_value", catalog.ValidateFields(custom.ConfigFields)...)
	add("config_fields", "not_supported", derived(custom.ConfigFields)...)
	if len(details) == 0 && custom.Check != nil {
		add("check.", "invalid_value", custom.Check.Validate(custom.ConfigFields)...)
	}
	if len(details) == 0 && in.Custom.Check != nil {
		add("", "bound_to_secrets", relocated(in.Custom, custom)...)
	}
	return wrongValues(details)
}

// derived names the settings whose values would be found in keys: by such
// definitions keys can be read out, one guess at a time.
func derived(fields []catalog.ConfigField) []catalog.Problem {
	var problems []catalog.Problem
	for i, f := range fields {
		if f.DeriveFromKey != nil {
			problems = append(problems, catalog.Problem{Field: fmt.Sprintf("[%d].derive_from_key", i),
				Reason: "Only providers of the catalog have settings that are found in keys. Leave this out: users are asked for the value."})
		}
	}
	return problems
}

// errForeignCheck: the check in an integration's row was not set over the API.
var errForeignCheck = fmt.Errorf("%w: the check of a custom provider is not one that its tenant set", seal.ErrIntegrity)

// relocated says how the place that a check sends keys to would change: secrets are
// bound to it.
func relocated(before, after *integration.CustomProvider) []catalog.Problem {
	oldHost, oldPlacement := before.Bound()
	newHost, newPlacement := after.Bound()
	const set = " was set once and for all when the check was first defined, since stored keys are bound to it. Send the check as it is, or remove the data integration and add it again."
	var problems []catalog.Problem
	if oldHost != newHost {
		problems = append(problems, catalog.Problem{Field: "check.url", Reason: "The host of the check, and what the settings in it stand for when an account does not say," + set})
	}
	if oldPlacement != newPlacement {
		problems = append(problems, catalog.Problem{Field: "check.placement", Reason: "Where the request carries the key" + set})
	}
	return problems
}
