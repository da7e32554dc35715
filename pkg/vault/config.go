package vault

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/integration"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
)

// reconfigure sets the values of config in a, nil leaving them as they are, and
// re-makes the MACs that cover them. What reaches the address that a key is
// sent to when it is checked changes only by an upsert that brings the secret
// again.
func reconfigure(v *Visit, a *account.Account, config map[string]string) error {
	if config == nil || maps.Equal(config, a.Config) {
		return nil
	}
	var details []fault.Detail
	for _, name := range changed(a.Config, config) {
		if steers(v.Integration, name) {
			details = append(details, fault.Detail{Code: "bound_to_secret", Field: "config." + name,
				Message: "This setting can decide where a check sends the key, so it changes together with the key only: PUT /data-integrations/{slug}/api-key."})
		}
	}
	if err := wrongValues(details); err != nil {
		return err
	}
	if err := checkConfig(v.Integration, config); err != nil {
		return err
	}
	binding := account.Binding(v.Integration, a.Owner)
	secrets := make(map[account.Slot]account.Secret, len(a.Secrets))
	for slot, s := range a.Secrets {
		moved, err := v.Ingest.Move(binding, s.Cover(slot, a.Config), s.Cover(slot, config), seal.Sealed{Secret: s.Sealed, MAC: s.MAC})
		if err != nil {
			return sealFault(err)
		}
		s.MAC = moved.MAC
		secrets[slot] = s
	}
	a.Config, a.Secrets = config, secrets
	return nil
}

// changed are the names whose values differ, sorted.
func changed(before, after map[string]string) []string {
	names := maps.Clone(before)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, after)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(name string) bool {
		was, had := before[name]
		is, has := after[name]
		return was == is && had == has
	})
}

// steers reports whether a config value can decide where a check sends the key.
// The catalog may still gain a check that every declared field reaches. A custom
// provider's first check is never made with a secret that was sealed before it.
func steers(in *integration.Integration, name string) bool {
	p := in.Provider()
	if p.Check != nil {
		return p.Check.Reaches(name)
	}
	_, declared := p.Field(name)
	return declared && in.Custom == nil
}

// checkConfig says what is wrong with config values brought for in: only
// fields that the provider declares are taken. A required one may be missing:
// the official widget cannot send any.
func checkConfig(in *integration.Integration, config map[string]string) error {
	provider := in.Provider()
	var details []fault.Detail
	for name, value := range config {
		field, declared := provider.Field(name)
		if !declared {
			at := "config"
			if catalog.FieldName(name) { // else it may be a key that went to the wrong place
				at += "." + name
			}
			details = append(details, fault.Detail{Code: "unknown_field", Field: at,
				Message: "This provider has no such setting. GET /keyvend/integrations/" + in.Slug + " lists those it has."})
			continue
		}
		if reason, ok := field.Check(value); !ok {
			details = append(details, fault.Detail{Code: "invalid_value", Field: "config." + name, Message: reason})
		}
	}
	if len(details) == 0 && provider.Check != nil {
		if _, err := provider.Check.Host(provider.ConfigFields, config, secret.Text{}); errors.Is(err, catalog.ErrUnfit) {
			details = append(details, fault.Detail{Code: "invalid_value", Field: "config",
				Message: "With these settings the provider's address is not the name of a public host."})
		}
	}
	slices.SortFunc(details, func(a, b fault.Detail) int { return strings.Compare(a.Field, b.Field) })
	return wrongValues(details)
}

// wrongValues is a fault that names each value of a request that is wrong, nil
// when there is none.
func wrongValues(details []fault.Detail) error {
	if len(details) == 0 {
		return nil
	}
	wrong := fault.New(fault.Invalid, "unprocessable_entity", details[0].Field+": "+details[0].Message)
	wrong.Details = details
	return wrong
}

// vouchedConfig is the config of a, if the secret that was stored with it says
// so: what somebody wrote into the table is not carried over to the next secret.
func vouchedConfig(v *Visit, in *integration.Integration, a *account.Account) map[string]string {
	if len(a.Config) == 0 {
		return nil
	}
	s := a.Secrets[account.Current]
	stored := seal.Sealed{Secret: s.Sealed, MAC: s.MAC}
	if v.Ingest.Verify(account.Binding(in, a.Owner), s.Cover(account.Current, a.Config), stored) != nil {
		return nil
	}
	return maps.Clone(a.Config)
}
