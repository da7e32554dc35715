package integration_test

import (
	"testing"

	"keyvend/pkg/integration"
)

func TestAnOverrideOnlyTakesAway(t *testing.T) {
	for _, c := range []struct {
		name     string
		enabled  bool
		override *integration.Override
		want     bool
	}{
		{"on", true, nil, true},
		{"off", false, nil, false},
		{"on, switched off for the organization", true, &integration.Override{IntegrationID: "a"}, false},
		{"on, left on for the organization", true, &integration.Override{IntegrationID: "a", Enabled: true}, true},
		{"off, on for the organization", false, &integration.Override{IntegrationID: "a", Enabled: true}, false},
		{"an override of a registration since removed", true, &integration.Override{IntegrationID: "old"}, true},
	} {
		in := integration.Integration{ID: "a", Enabled: c.enabled}
		if got := in.EnabledFor(c.override); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
