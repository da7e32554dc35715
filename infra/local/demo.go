package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"keyvend/pkg/operator"
)

// tenants is the function "tenants".
type tenants func(context.Context, operator.Request) (operator.Response, error)

// demo is the tenant that is there from the first start on. Its keys are kept
// in a file of the data folder, so that a second start finds the same ones.
type demo struct {
	Tenant       string `json:"tenant"`
	APIKey       string `json:"api_key"`       // all scopes
	DashboardKey string `json:"dashboard_key"` // no vend
}

func demoTenant(ctx context.Context, do tenants, path string) (demo, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newDemo(ctx, do, path)
	}
	if err != nil {
		return demo{}, fmt.Errorf("the demo tenant's keys: %w", err)
	}
	var d demo
	if err := json.Unmarshal(text, &d); err != nil {
		return demo{}, fmt.Errorf("%s is damaged: %w. Delete it, and a new demo tenant is made", path, err)
	}
	if _, err := do(ctx, operator.Request{Action: operator.ListAPIKeys, Tenant: d.Tenant}); err != nil {
		return newDemo(ctx, do, path) // the keys outlived their database
	}
	return d, nil
}

func newDemo(ctx context.Context, do tenants, path string) (demo, error) {
	made, err := do(ctx, operator.Request{Action: operator.CreateTenant, Name: "Demo"})
	if err != nil {
		return demo{}, fmt.Errorf("making the demo tenant: %w", err)
	}
	d := demo{Tenant: made.Tenant.ID}
	for _, want := range []struct {
		name   string
		scopes []string
		into   *string
	}{
		{"demo backend", []string{"manage", "read", "vend", "widget"}, &d.APIKey},
		{"demo dashboard", []string{"manage", "read", "widget"}, &d.DashboardKey},
	} {
		issued, err := do(ctx, operator.Request{Action: operator.IssueAPIKey, Tenant: d.Tenant, Name: want.name, Scopes: want.scopes})
		if err != nil {
			return demo{}, fmt.Errorf("issuing the key %q: %w", want.name, err)
		}
		*want.into = issued.Token
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return demo{}, err
	}
	return d, writeWhole(path, append(text, '\n'))
}

// writeWhole writes a file (0600) so that nobody ever sees half of it.
func writeWhole(path string, text []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return fmt.Errorf("cannot write to the data folder: %w", err)
	}
	return os.Rename(part, path)
}
