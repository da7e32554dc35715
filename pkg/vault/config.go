package vault

import (
	"maps"
	"slices"
	"strings"

	"keyvend/pkg/account"
	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/integration"
)

// reconfigure sets the values of config in a, nil leaving them as they are.
// Every declared value may reach the address that a key is sent to when it is
// checked, so they change only by an upsert that brings the secret again.
func reconfigure(a *account.Account, config map[string]string) error {
	if config == nil || maps.Equal(config, a.Config) {
		return nil
	}
	return fault.New(fault.Invalid, "unprocessable_entity",
		"config is bound to the secret, because it can decide where a check sends it. Change it together with the key: PUT /data-integrations/{slug}/api-key.")
}

// checkConfig says what is wrong with config values brought for in: only
// fields that the provider declares are taken. A required one may be missing:
// the official widget cannot send any.
func checkConfig(in *integration.Integration, config map[string]string) error {
	var provider catalog.Provider
	if in.Custom == nil {
		provider, _ = catalog.Lookup(in.Slug)
	}
	var details []fault.Detail
	for name, value := range config {
		field, declared := provider.Field(name)
		if !declared {
			details = append(details, fault.Detail{Code: "unknown_field", Field: "config." + name,
				Message: "This provider has no such setting. GET /keyvend/catalog/" + in.Slug + " lists those it has."})
			continue
		}
		if reason, ok := field.Check(value); !ok {
			details = append(details, fault.Detail{Code: "invalid_value", Field: "config." + name, Message: reason})
		}
	}
	if len(details) == 0 {
		return nil
	}
	slices.SortFunc(details, func(a, b fault.Detail) int { return strings.Compare(a.Field, b.Field) })
	wrong := fault.New(fault.Invalid, "unprocessable_entity", details[0].Field+": "+details[0].Message)
	wrong.Details = details
	return wrong
}
