package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"keyvend/pkg/fault"
	"keyvend/pkg/operator"
)

// tenants is the function "tenants".
type tenants func(context.Context, operator.Request) (operator.Response, error)

// demoFile keeps the demo tenant's keys.
const demoFile = "demo.json"

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
		return demo{}, fmt.Errorf("%s, which keeps the demo tenant's keys, cannot be read: %s", path, reason(err))
	}
	var d demo
	if err := json.Unmarshal(text, &d); err != nil || d.Tenant == "" || d.APIKey == "" || d.DashboardKey == "" {
		return demo{}, demoRefusal(path, "is damaged")
	}
	_, err = do(ctx, operator.Request{Action: operator.ListAPIKeys, Tenant: d.Tenant})
	switch {
	case err == nil:
		return d, nil
	case fault.As(err).Kind != fault.NotFound:
		return demo{}, fmt.Errorf("the demo tenant of %s cannot be used: %s", path, said(err))
	}
	listed, err := do(ctx, operator.Request{Action: operator.ListTenants})
	if err != nil {
		return demo{}, fmt.Errorf("the tenants cannot be listed: %s", said(err))
	}
	if len(listed.Tenants) > 0 {
		return demo{}, demoRefusal(path, "names a tenant that the database beside it does not have")
	}
	return newDemo(ctx, do, path) // the keys outlived their database
}

// demoRefusal says what to do about a demo.json that cannot be gone by. No other
// demo tenant is made unasked: the user's data would seem to be gone.
func demoRefusal(path, problem string) error {
	operate := "go run ./infra/operator -data " + shellWord(filepath.Dir(path))
	return fmt.Errorf("%s, which keeps the demo tenant's keys, %s. Put the old one back, or delete it: the next start then makes another demo tenant. "+
		"The old one and its data stay: `%s list-tenants` names it, and `%[3]s issue-api-key TENANT NAME manage,vend` makes new keys for it", path, problem, operate)
}

// warnings name the keys of d that do not work any more. They do not keep
// keyvend from starting: the operator's command, which mends it, needs it.
func (d demo) warnings(ctx context.Context, h http.Handler, dir string) ([]string, error) {
	var found []string
	for _, key := range []struct{ field, text, scopes string }{
		{"api_key", d.APIKey, "manage,read,vend,widget"},
		{"dashboard_key", d.DashboardKey, "manage,read,widget"},
	} {
		works, err := client{h, key.text}.works(ctx)
		if err != nil {
			return nil, err
		}
		if !works {
			found = append(found, fmt.Sprintf("the %s in %s does not work: it was changed or revoked. "+
				"Make another with `go run ./infra/operator -data %s issue-api-key %s demo %s`, put it there, and start again",
				key.field, filepath.Join(dir, demoFile), shellWord(dir), d.Tenant, key.scopes))
		}
	}
	older, err := d.older(ctx, h)
	if err != nil {
		return nil, err
	}
	if older {
		found = append(found, fmt.Sprintf("the demo tenant in %s was made by an older keyvend: all works for it but widget and dashboard. "+
			"For these move the folder away; the next start then makes another demo tenant", dir))
	}
	return found, nil
}

// older reports whether the demo tenant is of before there were tokens for browsers.
func (d demo) older(ctx context.Context, h http.Handler) (bool, error) {
	status, _, err := client{h, d.APIKey}.send(ctx, http.MethodPost, "/widgets/token", map[string]string{"user_id": "demo"})
	return status == http.StatusUnprocessableEntity, err
}

func newDemo(ctx context.Context, do tenants, path string) (demo, error) {
	made, err := do(ctx, operator.Request{Action: operator.CreateTenant, Name: "Demo"})
	if err != nil {
		return demo{}, fmt.Errorf("the demo tenant cannot be made: %s", said(err))
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
			return demo{}, fmt.Errorf("the key %q cannot be issued: %s", want.name, said(err))
		}
		*want.into = issued.Token
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return demo{}, err
	}
	return d, writeWhole(path, append(text, '\n'))
}
