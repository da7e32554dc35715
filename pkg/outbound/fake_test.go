package outbound_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asker builds testdata/asker, a program that asks a fake provider.
func asker(t *testing.T, flags ...string) (program, complaint string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "asker")
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, flags...), "-o", program, "./testdata/asker")...)
	if output, err := build.CombinedOutput(); err != nil {
		return "", string(output)
	}
	return program, ""
}

func TestWithoutTheTagThereIsNoFake(t *testing.T) {
	if _, complaint := asker(t); !strings.Contains(complaint, "undefined: outbound.NewFake") {
		t.Errorf("it builds, or fails for another reason: %s", complaint)
	}
}

func TestAFakeSendsEveryAskToOneAddressUnderItsOwnName(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host || r.TLS.ServerName != host || r.RequestURI != "/v1/me" {
			t.Errorf("%s %s %s", r.Host, r.TLS.ServerName, r.RequestURI)
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(roots, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	program, complaint := asker(t, "-tags", "fakeproviders")
	if program == "" {
		t.Fatal(complaint)
	}
	for _, c := range []struct{ address, host, want string }{
		{server.Listener.Addr().String(), host, "418 <nil>\n"},
		{server.Listener.Addr().String(), "127.0.0.1", "0 health: the host is not on the public internet\n"},
		{"10.0.0.1:443", host, "0 health: the host is not on the public internet\n"},
		{"localhost:443", host, "0 health: the host is not on the public internet\n"},
	} {
		if out, err := exec.CommandContext(t.Context(), program, c.address, roots, c.host).Output(); err != nil || string(out) != c.want {
			t.Errorf("%s for %s: %q %v", c.address, c.host, out, err)
		}
	}
}
