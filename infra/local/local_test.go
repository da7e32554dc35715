package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyvend/pkg/operator"
)

// env reads the assignments of the data folder's env file.
func env(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return values
}

// send makes a request with the demo tenant's API key and returns the answer.
func send(t *testing.T, dir, method, path, body string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	values := env(t, dir)
	request, err := http.NewRequest(method, values["KEYVEND_URL"]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+values["KEYVEND_API_KEY"])
	for _, c := range change {
		c(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func register(t *testing.T, dir string) {
	t.Helper()
	status, text := send(t, dir, "POST", "/data-integrations", `{"provider":"linear","auth_methods":["api_key"],"enabled":true}`)
	if status != http.StatusCreated {
		t.Fatal(status, text)
	}
	status, text = send(t, dir, "PUT", "/data-integrations/linear/api-key", `{"user_id":"u","secret":"lin_api_canary-kept"}`)
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
}

func TestSecondStartFindsEverythingAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stop := start(t, dir)
	register(t, dir)
	before := env(t, dir)
	stop()
	start(t, dir)
	after := env(t, dir)
	for _, name := range []string{"KEYVEND_API_KEY", "KEYVEND_DASHBOARD_KEY"} {
		if before[name] == "" || before[name] != after[name] {
			t.Errorf("%s is %q, and was %q", name, after[name], before[name])
		}
	}
	status, text := send(t, dir, "POST", "/data-integrations/linear/credentials", `{"user_id":"u"}`)
	if status != http.StatusOK || !strings.Contains(text, "lin_api_canary-kept") {
		t.Error(status, text)
	}
}

func TestFilesOfTheDataFolderAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}

func TestDashboardKeyDoesNotVend(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	register(t, dir)
	key := env(t, dir)["KEYVEND_DASHBOARD_KEY"]
	status, text := send(t, dir, "POST", "/data-integrations/linear/credentials", `{"user_id":"u"}`, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+key)
	})
	if status != http.StatusForbidden || !strings.Contains(text, "insufficient_scope") {
		t.Error(status, text)
	}
}

func TestTakenAddressIsSaidInASentence(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = run(context.Background(), options{addr: taken.Addr().String(), dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "taken by another program. Choose another with -addr") {
		t.Error(err)
	}
}

func TestTakenFolderIsSaidInASentenceAndLeftAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	err := run(context.Background(), options{addr: "127.0.0.1:0", dir: dir, log: slog.New(slog.DiscardHandler)}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "another keyvend is using the data folder") {
		t.Error(err)
	}
	register(t, dir) // the first one still answers, and its env file is there
}

func TestForeignHostIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	for host, want := range map[string]int{
		"evil.example":           http.StatusMisdirectedRequest,
		"evil.example:8787":      http.StatusMisdirectedRequest,
		"localhost.evil.example": http.StatusMisdirectedRequest,
		"10.0.0.1":               http.StatusMisdirectedRequest,
		"localhost:1":            http.StatusOK,
		"127.0.0.1":              http.StatusOK,
		"[::1]:8787":             http.StatusOK,
	} {
		status, _ := send(t, dir, "GET", "/healthz", "", func(r *http.Request) { r.Host = host })
		if status != want {
			t.Errorf("%s is answered %d", host, status)
		}
	}
}

func TestOperatorReachesTheDeskThroughTheSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	start(t, dir)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socketFile))
	}}}
	response, err := client.Post("http://operator/", "application/json", bytes.NewReader([]byte(`{"action":"list_tenants"}`)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer operator.Response
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Tenants) != 1 || answer.Tenants[0].Name != "Demo" {
		t.Errorf("%+v", answer)
	}
}

func TestTheBareAddressLeadsABrowserToTheDashboardAndAProgramNowhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	accept := func(types string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Accept", types) }
	}
	const browsers = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	if status, text := send(t, dir, "GET", "/", "", accept(browsers)); status != http.StatusOK || !strings.Contains(text, `id="dashboard"`) {
		t.Errorf("a browser: %d %.200s", status, text)
	}
	for name, got := range map[string]func() (int, string){
		"curl":           func() (int, string) { return send(t, dir, "GET", "/", "", accept("*/*")) },
		"a client":       func() (int, string) { return send(t, dir, "GET", "/", "", accept("application/json")) },
		"a form":         func() (int, string) { return send(t, dir, "POST", "/", "", accept(browsers)) },
		"another path":   func() (int, string) { return send(t, dir, "GET", "/nowhere", "", accept(browsers)) },
		"nothing stated": func() (int, string) { return send(t, dir, "GET", "/", "") },
	} {
		if status, text := got(); status != http.StatusNotFound || !strings.Contains(text, `"code":"not_found"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}
