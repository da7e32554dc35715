package main

import (
	"context"
	"encoding/json"

	"keyvend/infra/fakeprovider"
)

// The API keys of the page's tenant, by what they are for.
const (
	demoBackend   = "backend"
	demoDashboard = "dashboard"
)

// demoProvider is a fake provider as the page's product offers it.
type demoProvider struct {
	fake              fakeprovider.Fake
	name, description string
	verify            string // on saving
}

func demoProviders() []demoProvider {
	return []demoProvider{
		{fakeprovider.Bearer(), "Acme Mail", "Used to send the mails that you write here. It refuses keys that do not work.", "require"},
		{fakeprovider.Header(), "Pretend Payments", "Used to match payments with invoices. A key that does not work is taken all the same, and told of.", "warn"},
		{fakeprovider.Region(), "Dream Maps", "Used to draw maps. Its keys belong to a region.", "warn"},
	}
}

// demoSeed is what the page's tenant has.
func demoSeed() (seedTenant, error) {
	t := seedTenant{Name: "Demo page", APIKeys: []seedAPIKey{
		{"Backend of the demo page", demoBackend, []string{"vend", "widget"}}, {"Dashboard of the demo page", demoDashboard, []string{"manage"}},
	}}
	for _, p := range demoProviders() {
		definition := map[string]any{}
		if err := json.Unmarshal(p.fake.Definition(), &definition); err != nil {
			return t, err
		}
		definition["verify_on_save"] = p.verify
		t.Integrations = append(t.Integrations, map[string]any{
			"provider": p.fake.Slug(), "enabled": true, "description": p.description,
			"custom_provider": map[string]any{"name": p.name}, "definition": definition,
		})
	}
	return t, nil
}

// as is the client of one of the tenant's API keys. The tenant is made when it is
// not there.
func (p *demoPage) as(ctx context.Context, role string) (client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tokens == nil {
		t, err := demoSeed()
		if err != nil {
			return client{}, err
		}
		s, err := newSeeder(p.tenants, p.keyvend, p.dir)
		if err != nil {
			return client{}, err
		}
		tokens, err := s.apply(ctx, seed{Tenants: []seedTenant{t}})
		if err != nil {
			return client{}, err
		}
		for _, r := range s.renewed {
			p.log.Warn("demo page: a revoked API key of its tenant is issued anew", "name", r.name)
		}
		p.tokens = tokens
	}
	return client{p.keyvend, p.tokens[role]}, nil
}

// sampleDemoKeys are those to try.
func sampleDemoKeys() []demoKey {
	return []demoKey{
		{"sk-canary-fake-valid-0001", "works"},
		{"sk-canary-fake-valid-0002", "works too, to replace the first one with"},
		{"sk-canary-fake-limited-0003", "works, but lacks a permission"},
		{"sk-canary-fake-revoked-0004", "is refused"},
		{"sk-canary-fake-error-0005", "cannot be checked: the provider has a bad day"},
		{"sk-canary-fake-valid-eu-0006", "works in the European Union alone, with Dream Maps"},
		{`export FAKE_API_KEY="sk-canary-fake-valid-0007"`, "is a line of a file, with a key in it"},
		{`curl https://bearer.fake-providers.example/v1/account -H "Authorization: Bearer sk-canary-fake-valid-0008"`, "is a whole command"},
	}
}

type demoKey struct{ Text, What string }
