package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const exampleSeed = "seed.example.json"

func bearer(key string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
}

func TestSeedIsThereAtTheFirstStartAndAtTheSecond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		stop := startWith(t, options{dir: dir, seed: exampleSeed})
		status, text := send(t, dir, "POST", "/data-integrations/openai/credentials", `{"user_id":"user_1"}`, bearer("sk_test_acme"))
		if status != http.StatusOK || !strings.Contains(text, "sk-canary-of-user-1") {
			t.Error(status, text)
		}
		status, text = send(t, dir, "POST", "/data-integrations/openai/credentials", `{"user_id":"user_1"}`, bearer("sk_test_acme_dashboard"))
		if status != http.StatusForbidden {
			t.Error(status, text)
		}
		status, text = send(t, dir, "GET", "/data-integrations", "", bearer("sk_test_acme"))
		if status != http.StatusOK || strings.Count(text, `"slug"`) != 2 {
			t.Error(status, text)
		}
		stop()
	}
}

func TestFixedKeysAreOfTheirOwnTenantAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	startWith(t, options{dir: dir, seed: exampleSeed})
	status, text := send(t, dir, "GET", "/data-integrations", "")
	if status != http.StatusOK || strings.Contains(text, "openai") {
		t.Error("the demo tenant sees", text)
	}
	for _, key := range []string{"sk_test_acm", "sk_test_acme2", "sk_test_acme,sk_test_acme", ""} {
		if status, _ := send(t, dir, "GET", "/data-integrations", "", bearer(key)); status != http.StatusUnauthorized {
			t.Errorf("%q is answered %d", key, status)
		}
	}
}

func TestBadSeedIsRefusedWithTheFileNamed(t *testing.T) {
	for _, text := range []string{
		`{`, `{"tenant":[]}`, `{"tenants":[{"name":""}]}`, `{"tenants":[{"name":"a"},{"name":"a"}]}`,
		`{"tenants":[{"name":"a","api_keys":[{"key":"short","scopes":["vend"]}]}]}`,
		`{"tenants":[{"name":"a","api_keys":[{"key":"sk_test_a","scopes":["all"]}]}]}`,
		`{"tenants":[{"name":"a","integrations":[{"provider":"nobody"}]}]}`,
		`{"tenants":[{"name":"a","accounts":[{"slug":"openai","user_id":"u","secret":"sk-canary-x"}]}]}`,
	} {
		path := filepath.Join(t.TempDir(), "seed.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := run(context.Background(), options{
			addr: "127.0.0.1:0", dir: t.TempDir(), seed: path, log: slog.New(slog.DiscardHandler),
		}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "seed") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
