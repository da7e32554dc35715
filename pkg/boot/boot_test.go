package boot

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/operator"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/table/bolt"
)

// whole is an environment with everything that is needed.
func whole() map[string]string {
	return map[string]string{
		"KEYVEND_TABLE": "table", "KEYVEND_KMS_KEY": "arn:aws:kms:eu-central-1:111122223333:key/k", "KEYVEND_ENVIRONMENT": "prod",
	}
}

func from(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestAMissingVariableIsNamedAndHasNoDefault(t *testing.T) {
	for name := range whole() {
		env := whole()
		delete(env, name)
		if _, err := configFrom(from(env)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		if _, err := fromEnv(t.Context(), from(env)); err == nil {
			t.Errorf("without %s an app starts", name)
		}
	}
	_, err := configFrom(from(nil))
	for name := range whole() {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with nothing set, %s is not named: %v", name, err)
		}
	}
}

func TestTheKeyCacheIsFiveMinutesUnlessSaidOtherwise(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 5 * time.Minute, "0": 0, "1": time.Second, "3600": time.Hour} {
		env := whole()
		env["KEYVEND_KEY_CACHE_SECONDS"] = text
		if c, err := configFrom(from(env)); err != nil || c.KeyCache != want {
			t.Errorf("%q: %v %v", text, c.KeyCache, err)
		}
	}
	for _, text := range []string{"-1", "3601", "5m", "1.5", " 1", "x", "99999999999999999999"} {
		env := whole()
		env["KEYVEND_KEY_CACHE_SECONDS"] = text
		if _, err := configFrom(from(env)); err == nil || !strings.Contains(err.Error(), "KEYVEND_KEY_CACHE_SECONDS") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRowsAreNotKeptUnlessSaidOtherwise(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "0": 0, "1": time.Second, "30": 30 * time.Second} {
		env := whole()
		env["KEYVEND_ROW_CACHE_SECONDS"] = text
		if c, err := configFrom(from(env)); err != nil || c.RowCache != want {
			t.Errorf("%q: %v %v", text, c.RowCache, err)
		}
	}
	for _, text := range []string{"-1", "31", "5s", "0.5", " 1", "x", "99999999999999999999"} {
		env := whole()
		env["KEYVEND_ROW_CACHE_SECONDS"] = text
		if _, err := configFrom(from(env)); err == nil || !strings.Contains(err.Error(), "KEYVEND_ROW_CACHE_SECONDS") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhatTheEnvironmentSaysOfRowsReachesTheApp(t *testing.T) {
	env := whole()
	env["KEYVEND_ROW_CACHE_SECONDS"] = "5"
	app, err := fromEnv(t.Context(), from(env))
	if err != nil {
		t.Fatal(err)
	}
	if app.parts.Rows.TTL != 5*time.Second {
		t.Errorf("%+v", app.parts.Rows)
	}
}

func TestAConfigurationHoldsWhatTheEnvironmentSays(t *testing.T) {
	c, err := configFrom(from(whole()))
	if err != nil || c.Table != "table" || c.SealingKey != whole()["KEYVEND_KMS_KEY"] || c.Environment != "prod" {
		t.Errorf("%+v %v", c, err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestALocalFolderKeepsWhatWasStored(t *testing.T) {
	dir := t.TempDir()
	made := ""
	for range 2 {
		app, err := OpenLocal(dir, nil, quiet())
		if err != nil {
			t.Fatal(err)
		}
		if made == "" {
			answer, err := app.Tenants()(context.Background(), operator.Request{Action: operator.CreateTenant, Name: "demo"})
			if err != nil {
				t.Fatal(err)
			}
			made = answer.Tenant.ID
		}
		listed, err := app.Tenants()(context.Background(), operator.Request{Action: operator.ListTenants})
		if err != nil || len(listed.Tenants) != 1 || listed.Tenants[0].ID != made {
			t.Errorf("%+v %v", listed, err)
		}
		if err := app.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS == "windows" {
		return // has no such modes
	}
	for _, name := range []string{databaseFile, masterKeyFile, auditFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

func TestALocalFolderIsForOneProcess(t *testing.T) {
	dir := t.TempDir()
	app, err := OpenLocal(dir, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocal(dir, nil, quiet()); !errors.Is(err, bolt.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALocalFolderIsRefusedInsideLambdaAndWithABrokenMasterKey(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, masterKeyFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocal(dir, nil, quiet()); !errors.Is(err, localkey.ErrSize) {
		t.Errorf("%v", err)
	}
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "vend")
	if _, err := OpenLocal(t.TempDir(), nil, quiet()); !errors.Is(err, localkey.ErrInLambda) {
		t.Errorf("%v", err)
	}
	if _, err := OpenLocal(filepath.Join(dir, "missing"), nil, quiet()); err == nil {
		t.Error("a folder that is not there is opened")
	}
	// What failed left nothing locked.
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "")
	if err := os.Remove(filepath.Join(dir, masterKeyFile)); err != nil {
		t.Fatal(err)
	}
	app, err := OpenLocal(dir, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
}
