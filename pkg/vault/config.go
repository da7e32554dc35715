package vault

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/integration"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
)

// reconfigure sets the values of config in a, nil leaving them as they are, and
// re-makes the MACs that cover them. Keys go where their settings say, by checks and
// by the product's backend: so what a stored key is used with is changed by nobody
// who may not read it, and what can name a host only by an upsert that brings the
// secret again.
func reconfigure(v *Visit, a *account.Account, config map[string]string) error {
	if config == nil || maps.Equal(config, a.Config) {
		return nil
	}
	var details []fault.Detail
	for _, name := range changed(a.Config, config) {
		switch {
		case steers(v.Integration, name):
			details = append(details, fault.Detail{Code: "bound_to_secret", Field: "config." + name,
				Message: "This setting can decide where the key is sent, so it changes together with the key only: PUT /data-integrations/{slug}/api-key."})
		case !v.mayRead():
			details = append(details, fault.Detail{Code: "bound_to_secret", Field: "config." + name,
				Message: "A stored key is used with this setting, so it changes together with the key, or by an API key with the scope vend: PUT /data-integrations/{slug}/api-key."})
		}
	}
	if err := wrongValues(details); err != nil {
		return err
	}
	if err := checkConfig(v.Integration, config); err != nil {
		return err
	}
	binding, next := account.Binding(v.Integration, a.Owner), *a
	next.Config = config
	secrets := make(map[account.Slot]account.Secret, len(a.Secrets))
	for slot, s := range a.Secrets {
		moved, err := v.Ingest.Move(binding, s.Cover(slot, a), s.Cover(slot, &next), seal.Sealed{Secret: s.Sealed, MAC: s.MAC})
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

// steers reports whether a config value can decide where the key is sent: it is a
// host's name, which a backend uses as well, or a check takes it. The catalog may
// still gain a check that every declared field reaches. A custom provider's first
// check is never made with a secret that was sealed before it.
func steers(in *integration.Integration, name string) bool {
	p := in.Provider()
	field, declared := p.Field(name)
	if p.Check != nil && p.Check.Reaches(name) {
		return true
	}
	return declared && (field.AnyHost() || p.Check == nil && in.Custom == nil)
}

// mayRead reports whether the caller may read stored keys. He decides nothing about
// where keys go that he could not do without: he has them.
func (v *Visit) mayRead() bool { return v.View.APIKey.Allows(apikey.Vend) }

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

// inherit gives next, to which another secret comes without a word of its settings,
// those of the account that it carries on. What could send the secret to another than
// the provider goes on only if somebody gave it who may read keys: whoever may not, and
// stores a key of his own in a user's account, must not get that user's next one.
func inherit(v *Visit, in *integration.Integration, next, before *account.Account) error {
	config := vouchedConfig(v, in, before)
	if next.Config = config; config == nil {
		next.ConfigByReader = false
		return nil
	}
	var details []fault.Detail
	for _, name := range slices.Sorted(maps.Keys(config)) {
		field, declared := in.Provider().Field(name)
		switch {
		case next.ConfigByReader, harmless(in, name, config[name]):
		case !declared: // any more, so nobody can send it
			delete(next.Config, name)
		default:
			details = append(details, fault.Detail{Code: "required", Field: "config." + name,
				Message: field.Label + " can decide where the key is sent, so another key does not take it over: bring it along with the key, or disconnect first."})
		}
	}
	return wrongValues(details)
}

// harmless reports whether a setting leads nowhere but where the provider's definition
// does: it is an option on the list, or one of the catalog's, none of which but whole
// names of hosts leads away from the provider. What a word of anybody's means to a
// custom provider's users, keyvend does not know.
func harmless(in *integration.Integration, name, value string) bool {
	field, _ := in.Provider().Field(name)
	if in.Custom == nil {
		return !field.AnyHost()
	}
	_, fits := field.Check(value)
	return fits && len(field.Options) > 0
}

// Inheritable are those settings of a, an account of in, that do not keep another key
// from coming without any.
func Inheritable(in *integration.Integration, a *account.Account) map[string]string {
	config := maps.Clone(a.Config)
	maps.DeleteFunc(config, func(name, value string) bool { return !a.ConfigByReader && !harmless(in, name, value) })
	return config
}

// vouchedConfig is the config of a, if the secret that was stored with it says
// so: what somebody wrote into the table is not carried over to the next secret.
func vouchedConfig(v *Visit, in *integration.Integration, a *account.Account) map[string]string {
	if len(a.Config) == 0 {
		return nil
	}
	s := a.Secrets[account.Current]
	stored := seal.Sealed{Secret: s.Sealed, MAC: s.MAC}
	if v.Ingest.Verify(account.Binding(in, a.Owner), s.Cover(account.Current, a), stored) != nil {
		return nil
	}
	return maps.Clone(a.Config)
}
