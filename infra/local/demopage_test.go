package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"keyvend/pkg/operator"
)

// demoLink is what the banner says of the demo page.
var demoLink = regexp.MustCompile(`(?m)^  demo page with the widget +(http://127\.0\.0\.1:\d+/_demo/)$`)

func TestTheDemoPageHasATenantOfItsOwnFromWhenItIsFirstOpened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if out := printed(t, dir, "127.0.0.1:0"); demoLink.FindString(out) == "" {
		t.Error(out)
	}
	stop := start(t, dir)
	tenants := func() []string {
		var names []string
		for _, tenant := range ask(t, filepath.Join(dir, socketFile), operator.Request{Action: operator.ListTenants}).Tenants {
			names = append(names, tenant.Name)
		}
		return names
	}
	if names := tenants(); len(names) != 1 || names[0] != "Demo" {
		t.Errorf("before: %v", names)
	}
	status, page := send(t, dir, "GET", "/_demo/", "")
	key := regexp.MustCompile(`/dashboard#key=(sk_kv_[\w-]+)`).FindStringSubmatch(page)
	if status != http.StatusOK || key == nil {
		t.Fatalf("%d %s", status, page)
	}
	if names := tenants(); len(names) != 2 {
		t.Errorf("after: %v", names)
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
	if _, again := send(t, dir, "GET", "/_demo/", ""); !strings.Contains(again, key[1]) || len(tenants()) != 2 {
		t.Error("the next start makes another tenant")
	}
}

func TestTheDemoPageIsForThisMachineAndForNoOtherPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	for _, path := range []string{"token", "use", "revoke", "restore"} {
		for name, change := range map[string]func(*http.Request){
			"another host":   func(r *http.Request) { r.Host = "acme.example" },
			"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://acme.example") },
			"another site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		} {
			if status, text := send(t, dir, "POST", "/_demo/"+path, `{"slug":"fake-bearer"}`, change); status < 400 || strings.Contains(text, "token\"") {
				t.Errorf("%s from %s: %d %s", path, name, status, text)
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
	for _, tenant := range ask(t, filepath.Join(dir, socketFile), operator.Request{Action: operator.ListTenants}).Tenants {
		if tenant.Name != "Demo" {
			t.Errorf("whoever was refused made %v", tenant)
		}
	}
	_, page := send(t, dir, "GET", "/_demo/", "", func(r *http.Request) { r.Header.Set("Origin", "https://acme.example") })
	if !strings.Contains(page, "<keyvend-pipes>") {
		t.Error(page)
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
