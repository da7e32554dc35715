package fakeprovider_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/catalog"
)

// control makes a request from this machine.
func control(kit *fakeprovider.Kit, method, path, body string, change ...func(*http.Request)) (int, string) {
	r := httptest.NewRequest(method, "http://127.0.0.1:8787"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:50000"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	kit.Control().ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestKeysAreRevokedAndRestoredOverHTTP(t *testing.T) {
	kit, f := &fakeprovider.Kit{}, fakeprovider.Bearer()
	const key = "fake-valid-0001"
	do := func(path, body string, want ...catalog.Verdict) {
		t.Helper()
		if status, said := control(kit, "POST", path, body); status != http.StatusNoContent || said != "" {
			t.Errorf("%s %s: %d %s", path, body, status, said)
		}
		for i, w := range want {
			if got := verdictOn(t, kit.Asker(nil), f, key, nil); got != w {
				t.Errorf("%s %s: ask %d is %q", path, body, i+1, got)
			}
		}
	}
	do("/_fake/keys/revoke", `{"key":"fake-valid-0001"}`, catalog.Invalid)
	do("/_fake/keys/restore", `{"key":"fake-valid-0001"}`, catalog.Valid)
	do("/_fake/keys/revoke", `{"key":"fake-valid-0001","after_asks":1}`, catalog.Valid, catalog.Invalid)
	do("/_fake/keys/revoke", `{"key":"fake-valid-0001","after_seconds":3600}`, catalog.Valid)
}

func TestFakesAreShownAndSwitchedOverHTTP(t *testing.T) {
	kit, f := &fakeprovider.Kit{}, fakeprovider.Bearer()
	verdictOn(t, kit.Asker(nil), f, "fake-limited-0001", nil)
	for _, path := range []string{"", "/down", "/up"} {
		method := "POST"
		if path == "" {
			method = "GET"
		}
		status, said := control(kit, method, "/_fake/providers/bearer"+path, "")
		var shown struct {
			Name, Slug string
			Hosts      []string
			Down       bool
			Asked      struct {
				Count, Odd    int
				PeakPerSecond int                     `json:"peak_per_second"`
				Keys          []fakeprovider.AskedKey `json:"keys"`
			}
		}
		if err := json.Unmarshal([]byte(said), &shown); err != nil || status != http.StatusOK {
			t.Fatal(status, said, err)
		}
		a := shown.Asked
		if shown.Name != f.Name || shown.Slug != f.Slug() || shown.Hosts[0] != f.Hosts[0] || shown.Down != (path == "/down") ||
			a.Count != 1 || a.Odd != 0 || a.PeakPerSecond != 1 || len(a.Keys) != 1 || a.Keys[0].Last4 != "0001" {
			t.Errorf("%s: %s", path, said)
		}
		if strings.Contains(said, "fake-limited") {
			t.Errorf("%s: a key is told: %s", path, said)
		}
	}
	status, said := control(kit, "GET", "/_fake/providers", "")
	if status != http.StatusOK || !strings.HasPrefix(said, `{"object":"list","data":[{"object":"fake_provider","name":"bearer"`) || strings.Count(said, `"slug"`) != len(fakeprovider.All()) {
		t.Error(status, said)
	}
	for part, want := range map[string][]byte{"registration": f.Registration(), "definition": f.Definition()} {
		if status, said := control(kit, "GET", "/_fake/providers/bearer/"+part, ""); status != http.StatusOK || said != string(want) {
			t.Error(part, status, said)
		}
	}
}

func TestControlRefusesWhatItCannotDoInASentence(t *testing.T) {
	from := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const revoke, body = "/_fake/keys/revoke", `{"key":"fake-valid-0001"}`
	for name, row := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status             int
	}{
		"another machine":            {"POST", revoke, body, from("192.0.2.1:50000"), 403},
		"a machine without address":  {"GET", "/_fake/providers", "", from("@"), 403},
		"a page of another origin":   {"POST", revoke, body, with("Origin", "https://acme.example"), 403},
		"a page of another site":     {"POST", revoke, body, with("Sec-Fetch-Site", "cross-site"), 403},
		"no JSON":                    {"POST", revoke, `key=fake-valid-0001`, nil, 400},
		"nothing":                    {"POST", revoke, ``, nil, 400},
		"a slip":                     {"POST", revoke, `{"key":"fake-valid-0001","after":1}`, nil, 400},
		"too much":                   {"POST", revoke, `{"key":"` + strings.Repeat("x", 65<<10) + `"}`, nil, 400},
		"no key":                     {"POST", revoke, `{}`, nil, 422},
		"a key of nobody":            {"POST", "/_fake/keys/restore", `{"key":"sk-canary-0001"}`, nil, 422},
		"a negative number":          {"POST", revoke, `{"key":"fake-valid-0001","after_asks":-1}`, nil, 422},
		"a negative time":            {"POST", revoke, `{"key":"fake-valid-0001","after_seconds":-1}`, nil, 422},
		"two moments":                {"POST", revoke, `{"key":"fake-valid-0001","after_asks":1,"after_seconds":1}`, nil, 422},
		"a restoration at a moment":  {"POST", "/_fake/keys/restore", `{"key":"fake-valid-0001","after_asks":1}`, nil, 400},
		"no such fake":               {"GET", "/_fake/providers/openai", "", nil, 404},
		"no such part":               {"GET", "/_fake/providers/bearer/keys", "", nil, 404},
		"another method":             {"GET", revoke, "", nil, 404},
		"a switch by another method": {"GET", "/_fake/providers/bearer/down", "", nil, 404},
	} {
		kit := &fakeprovider.Kit{}
		change := row.change
		if change == nil {
			change = func(*http.Request) {}
		}
		status, said := control(kit, row.method, row.path, row.body, change)
		if status != row.status || !strings.HasPrefix(said, `{"message":"`) || strings.Contains(said, "0001") && row.status != 400 {
			t.Errorf("%s: %d %s", name, status, said)
		}
		if got := verdictOn(t, kit.Asker(nil), fakeprovider.Bearer(), "fake-valid-0001", nil); got != catalog.Valid {
			t.Errorf("%s: the key is %s", name, got)
		}
	}
}

// TestReadmeTellsEveryKeyAndEveryFake compares the page's tables with what the
// kit itself says of them.
func TestReadmeTellsEveryKeyAndEveryFake(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed struct {
		Data []struct{ Key, Answers string }
	}
	_, said := control(&fakeprovider.Kit{}, "GET", "/_fake/keys", "")
	if err := json.Unmarshal([]byte(said), &listed); err != nil || len(listed.Data) < 10 {
		t.Fatal(said, err)
	}
	for _, kind := range listed.Data {
		if row := "| `" + kind.Key + "` | " + kind.Answers + " |"; !strings.Contains(string(text), row) {
			t.Errorf("the page does not have the row %s", row)
		}
	}
	for _, f := range fakeprovider.All() {
		if row := "| `" + f.Name + "` | " + f.Style + " | `" + strings.Join(f.Hosts, "`, `") + "` |"; !strings.Contains(string(text), row) {
			t.Errorf("the page does not have the row %s", row)
		}
	}
	if rows := regexp.MustCompile("(?m)^\\| `").FindAll(text, -1); len(rows) != len(listed.Data)+len(fakeprovider.All()) {
		t.Errorf("the page has %d rows", len(rows))
	}
}
