package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/operator"
)

// demoLink is what the banner says of the demo page.
var demoLink = regexp.MustCompile(`(?m)^  demo page with the widget +(http://127\.0\.0\.1:\d+/_demo/)$`)

// names are those of the tenants that there are.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, tenant := range ask(t, filepath.Join(dir, socketFile), operator.Request{Action: operator.ListTenants}).Tenants {
		names = append(names, tenant.Name)
	}
	return names
}

func TestTheDemoPageHasATenantOfItsOwnFromWhenItIsFirstUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if out := printed(t, dir, "127.0.0.1:0"); demoLink.FindString(out) == "" {
		t.Error(out)
	}
	stop := start(t, dir)
	status, page := send(t, dir, "GET", "/_demo/", "")
	if status != http.StatusOK || !strings.Contains(page, "<keyvend-pipes>") || strings.Contains(page, "sk_kv_") {
		t.Fatalf("%d %s", status, page)
	}
	if before := names(t, dir); len(before) != 1 || before[0] != "Demo" {
		t.Errorf("before: %v", before)
	}
	status, link := send(t, dir, "POST", "/_demo/dashboard", "{}")
	key := regexp.MustCompile(`/dashboard#key=(sk_kv_[\w-]+)`).FindStringSubmatch(link)
	if status != http.StatusOK || key == nil {
		t.Fatalf("%d %s", status, link)
	}
	if after := names(t, dir); len(after) != 2 {
		t.Errorf("after: %v", after)
	}
	if status, mine := send(t, dir, "GET", "/data-integrations", ""); status != http.StatusOK || !strings.Contains(mine, `"data":[]`) {
		t.Errorf("the developer's tenant has %s", mine)
	}
	// The link to the dashboard reads no secret.
	if status, _ := send(t, dir, "POST", "/data-integrations/fake-bearer/credentials", `{"user_id":"ada"}`, bearer(key[1])); status != http.StatusForbidden {
		t.Errorf("the key of the link vends: %d", status)
	}
	stop()
	start(t, dir)
	if _, again := send(t, dir, "POST", "/_demo/dashboard", "{}"); again != link || len(names(t, dir)) != 2 {
		t.Error("the next start makes another tenant")
	}
}

func TestTheDemoPageWorksAgainAtTheNextStartAfterItsAPIKeysWereRevoked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stop := start(t, dir)
	if status, text := send(t, dir, "POST", "/_demo/token", "{}"); status != http.StatusOK {
		t.Fatal(status, text)
	}
	if revoked := revokeAll(t, dir, "Demo page"); len(revoked) != 3 {
		t.Fatal(revoked)
	}
	stop()
	start(t, dir)
	if status, text := send(t, dir, "POST", "/_demo/token", "{}"); status != http.StatusOK {
		t.Error(status, text)
	}
}

func TestTheDemoPageMakesAKeyGoodAgainThatWasRevokedBeforeARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stop := start(t, dir)
	_, link := send(t, dir, "POST", "/_demo/dashboard", "{}")
	key := regexp.MustCompile(`#key=(sk_kv_[\w-]+)`).FindStringSubmatch(link)
	if key == nil {
		t.Fatal(link)
	}
	status, text := send(t, dir, "PUT", "/data-integrations/fake-bearer/api-key", `{"user_id":"ada","secret":"sk-canary-fake-valid-0001"}`, bearer(key[1]))
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	state := func(want string) {
		t.Helper()
		text := ""
		for end := time.Now().Add(20 * time.Second); !strings.Contains(text, `"state":"`+want+`"`) && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			_, text = send(t, dir, "GET", "/user_management/users/ada/connected_accounts/fake-bearer", "", bearer(key[1]))
		}
		if !strings.Contains(text, `"state":"`+want+`"`) {
			t.Fatalf("not %s: %s", want, text)
		}
	}
	send(t, dir, "POST", "/_demo/revoke", `{"slug":"fake-bearer"}`)
	state("needs_reauthorization")
	stop()
	start(t, dir)
	if status, text := send(t, dir, "POST", "/_demo/restore", `{"slug":"fake-bearer"}`); status != http.StatusOK || !strings.Contains(text, "looks for itself") {
		t.Error(status, text)
	}
	state("connected")
}

// header sets a header.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestTheDemoPageIsForThisMachineAndForNoOtherPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	strangers := map[string]func(*http.Request){
		"another host": func(r *http.Request) { r.Host = "acme.example" },
		"another site": header("Sec-Fetch-Site", "cross-site"),
		"another port": header("Sec-Fetch-Site", "same-site"),
		"a proxy":      header("X-Forwarded-For", "192.0.2.1"),
		"a host's":     header("X-Forwarded-Host", "acme.example"),
		"a good proxy": header("Forwarded", "for=192.0.2.1"),
		"a cache":      header("Via", "1.1 acme.example"),
	}
	for name, change := range strangers {
		for _, path := range []string{"", "main.js", "page.css"} {
			if status, text := send(t, dir, "GET", "/_demo/"+path, "", change); status < 400 || strings.Contains(text, "keyvend-pipes") {
				t.Errorf("GET %s for %s: %d %s", path, name, status, text)
			}
		}
	}
	strangers["another origin"] = header("Origin", "https://acme.example")
	for _, path := range []string{"token", "dashboard", "use", "revoke", "restore"} {
		for name, change := range strangers {
			if status, text := send(t, dir, "POST", "/_demo/"+path, `{"slug":"fake-bearer"}`, change); status < 400 || strings.Contains(text, "token\"") || strings.Contains(text, "sk_kv_") {
				t.Errorf("%s for %s: %d %s", path, name, status, text)
			}
		}
		if status, text := send(t, dir, "GET", "/_demo/"+path, ""); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d %s", path, status, text)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/_demo/token", strings.NewReader("{}"))
	r.RemoteAddr = "192.0.2.1:4711"
	confined(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another machine is answered") })).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Error(w.Code)
	}
	if all := names(t, dir); len(all) != 1 {
		t.Errorf("whoever was refused made one of %v", all)
	}
}

func TestALinkElsewhereLeadsToTheDemoPageWhenItIsClicked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	for name, c := range map[string]struct {
		dest, user string
		want       int
	}{
		"a link":      {"document", "?1", http.StatusOK},
		"a script":    {"document", "", http.StatusForbidden},
		"a frame":     {"iframe", "?1", http.StatusForbidden},
		"an image":    {"image", "", http.StatusForbidden},
		"no document": {"", "?1", http.StatusForbidden},
	} {
		status, text := send(t, dir, "GET", "/_demo/", "", header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Dest", c.dest), header("Sec-Fetch-User", c.user))
		if status != c.want {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if all := names(t, dir); len(all) != 1 {
		t.Errorf("there are %v", all)
	}
}

func TestTheDemoPageMayDoLittle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	for _, path := range []string{"", "main.js", "page.css", "token", "nothing"} {
		answer, err := http.Get(env(t, dir)["KEYVEND_URL"] + "/_demo/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		policy := answer.Header.Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'; ", "script-src 'self'; ", "connect-src 'self'; ", "base-uri 'none'; ", "form-action 'none'; ", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, rule) {
				t.Errorf("%s: no %q in %q", path, rule, policy)
			}
		}
		if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, answer.Header)
		}
	}
}

func TestTheDemoPagesTokenIsForItsOwnTenant(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	var minted struct{ Token string }
	_, text := send(t, dir, "POST", "/_demo/token", "{}")
	if err := json.Unmarshal([]byte(text), &minted); err != nil {
		t.Fatal(text)
	}
	status, offers := send(t, dir, "GET", "/_widgets/keyvend/providers", "", bearer(minted.Token), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") })
	for _, name := range []string{"Acme Mail", "Pretend Payments", "Dream Maps", `"field":"region"`} {
		if status != http.StatusOK || !strings.Contains(offers, name) {
			t.Errorf("no %s in %d %s", name, status, offers)
		}
	}
}
