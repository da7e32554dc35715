package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answering serves one answer on a socket.
func answering(t *testing.T, socket string, status int, answer string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

func TestRefusalsNameTheCommandsAsTheyAreTyped(t *testing.T) {
	for said, want := range map[string]string{
		"There is no such tenant. List them with list_tenants.":                      "There is no such tenant. List them with list-tenants.",
		"This tenant has no such API key. GET /keyvend/api_keys lists those it has.": "This tenant has no such API key. list-api-keys lists those it has.",
	} {
		dir := t.TempDir()
		answering(t, filepath.Join(dir, "operator.sock"), 422, `{"message":"`+said+`"}`)
		if err := run(t.Context(), []string{"-data", dir, "list-api-keys", "tenant_x"}, io.Discard); err == nil || err.Error() != want {
			t.Error(err)
		}
	}
}

func TestSocketOfAFolderWithALongPathIsFoundThroughItsLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "op")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	answering(t, filepath.Join(short, "s"), 200, `{"tenants":[]}`)
	if err := os.Symlink(filepath.Join(short, "s"), filepath.Join(dir, "operator.sock")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-data", dir, "list-tenants"}, &out); err != nil || !strings.Contains(out.String(), "tenants") {
		t.Error(out.String(), err)
	}
}

func TestFolderWhereNoKeyvendRunsIsSaidInASentence(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	for dir, words := range map[string]string{
		t.TempDir(): "no keyvend runs with the data folder",
		long:        "is too long for the socket",
	} {
		err := run(t.Context(), []string{"-data", dir, "list-tenants"}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), dir) {
			t.Error(err)
		}
	}
}
