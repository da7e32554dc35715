package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyvend/infra/fakeprovider"
)

// TestReadmeOfTheFakesRunsAsPrinted runs the page's shell blocks, one after the
// other in one shell, but for the report and what comes of it.
func TestReadmeOfTheFakesRunsAsPrinted(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("the page needs bash and curl:", err)
	}
	text, err := os.ReadFile("../fakeprovider/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("the page has %d blocks", len(blocks))
	}
	work := t.TempDir()
	dir := filepath.Join(work, ".keyvend")
	start(t, dir)
	for i, want := range []string{"", `"state":"needs_reauthorization"`, `"state":"connected"`} {
		run := exec.Command(shell, "-eu", "-o", "pipefail", "-c", "set -a; . .keyvend/env; set +a\n"+blocks[i][1])
		run.Dir = work
		var out, problems bytes.Buffer
		run.Stdout, run.Stderr = &out, &problems
		if err := run.Run(); err != nil {
			t.Fatalf("block %d: %v\n%s", i, err, problems.String())
		}
		if said := out.String(); strings.Contains(said, `"message"`) || strings.Contains(said, `"accepted":false`) {
			t.Errorf("block %d: %s", i, said)
		}
		if i > 0 { // the first look may be a minute away
			becomes(t, dir, want)
		}
	}
}

// becomes waits until the page's account is as it says.
func becomes(t *testing.T, dir, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, got := send(t, dir, "GET", "/keyvend/accounts?user_id=user_1", "")
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it does not become %s: %s", want, got)
		}
	}
}

func TestFakesAreControlledBesideKeyvendAndByItsOwnHostsAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	if status, text := send(t, dir, "POST", "/_fake/providers/bearer/down", ""); status != http.StatusOK || !strings.Contains(text, `"down":true`) {
		t.Error(status, text)
	}
	if status, text := send(t, dir, "GET", "/_fake/providers/bearer", ""); status != http.StatusOK || !strings.Contains(text, `"down":true`) {
		t.Error(status, text)
	}
	for name, change := range map[string]func(*http.Request){
		"another host":   func(r *http.Request) { r.Host = "acme.example" },
		"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://acme.example") },
	} {
		if status, text := send(t, dir, "POST", "/_fake/providers/bearer/up", "", change); status < 400 || !strings.Contains(text, `"message"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for _, path := range []string{"/_fake", "/_fakes/providers", "/data-integrations/_fake/providers"} {
		if status, text := send(t, dir, "GET", path, ""); status != http.StatusNotFound || strings.Contains(text, "fake providers") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestFakeOfTheExampleSeedIsTheKits(t *testing.T) {
	s, err := readSeed(exampleSeed)
	if err != nil {
		t.Fatal(err)
	}
	f := fakeprovider.Bearer()
	seeded := s.Tenants[0].Integrations[2]
	if got := compact(t, seeded["definition"]); got != compact(t, json.RawMessage(f.Definition())) {
		t.Errorf("%s", got)
	}
	delete(seeded, "definition")
	seeded["auth_methods"] = []string{"api_key"} // which a seed may leave out
	if got := compact(t, seeded); got != compact(t, json.RawMessage(f.Registration())) {
		t.Errorf("%s", got)
	}
}

// compact is v as JSON with its members sorted.
func compact(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSeedDefinesACustomProviderAtEachStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		stop := startWith(t, options{dir: dir, seed: exampleSeed})
		status, text := send(t, dir, "GET", "/keyvend/integrations/fake-bearer", "", bearer("sk_test_acme"))
		if status != http.StatusOK || !strings.Contains(text, fakeprovider.Bearer().Check.URL) || !strings.Contains(text, `"check_interval":"15m"`) {
			t.Error(status, text)
		}
		for _, name := range []string{"valid", "limited", "revoked"} {
			status, text := send(t, dir, "GET", "/user_management/users/user_"+name+"/connected_accounts/fake-bearer", "", bearer("sk_test_acme"))
			if status != http.StatusOK || !strings.Contains(text, `"api_key_last_4":"0001"`) {
				t.Error(status, text)
			}
		}
		stop()
	}
}
