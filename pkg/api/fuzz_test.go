package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table/tabletest"
)

// survives fails the test if a request is answered with a server's fault, with
// what is no JSON, or with a refusal although something was written.
func (a acme) survives(t *testing.T, method, path, body string, header ...string) boottest.Answer {
	t.Helper()
	writes := a.Table.Calls(tabletest.Write)
	got := a.Do(a.token, method, path, body, header...)
	if got.Status >= 500 {
		t.Errorf("%s %s %q: %d %s", method, path, body, got.Status, got.Body)
	}
	if got.Status != http.StatusNoContent && !json.Valid([]byte(got.Body)) {
		t.Errorf("%s %s: no JSON: %q", method, path, got.Body)
	}
	if got.Status >= 400 && a.Table.Calls(tabletest.Write) != writes {
		t.Errorf("%s %s %q: %d %s, and something was written", method, path, body, got.Status, got.Body)
	}
	if got.Status >= 400 && got.Text("message") == "" {
		t.Errorf("%s %s: %d without a message: %s", method, path, got.Status, got.Body)
	}
	return got
}

// seeds are the odd bodies that are small enough to be varied.
func seeds(f *testing.F, more ...string) {
	for _, c := range oddBodies() {
		if len(c.body) < 1000 {
			f.Add(c.body)
		}
	}
	for _, body := range more {
		f.Add(body)
	}
}

// tells reports whether a fuzzed text holds a canary: what a stranger sends as
// the name of something comes back to him as its name.
func tells(texts ...string) bool { return strings.Contains(strings.Join(texts, " "), boottest.Canary) }

// fields are the fields of a body by their exact names.
func fields(body string) map[string]any {
	var all map[string]any
	if json.Unmarshal([]byte(body), &all) != nil {
		return nil
	}
	return all
}

func FuzzVendRequestJSON(f *testing.F) {
	seeds(f, `{"user_id":"anna"}`, `{"user_id":"anna","organization_id":"org","connection_owner":"user"}`, `{"user_id":"auth0|anna+x@example.com"}`)
	f.Fuzz(func(t *testing.T, body string) {
		if tells(body) {
			return
		}
		a := newAcme(t, boottest.Config{})
		got := a.survives(t, "POST", "/data-integrations/openai/credentials", body)
		if got.Text("credential.value") == "" {
			return
		}
		if asked := fields(body); asked["user_id"] != "anna" || asked["organization_id"] != nil {
			t.Errorf("%q vends anna's key", body)
		}
	})
}

func FuzzUpsertRequestJSON(f *testing.F) {
	seeds(f,
		`{"user_id":"bob","secret":"abcdefgh"}`, `{"user_id":"bob","organization_id":"org","secret":" x ","metadata":{"a":"b"},"expires_at":"9999-12-31T23:59:59-12:00"}`,
		`{"user_id":"bob","secret":"x","config":{}}`, `{"user_id":"anna","secret":"x","connected_account_id":"data_installation_0"}`,
		`{"user_id":"anna","secret":"x","connection_intent":"add"}`, `{"user_id":"bob","secret":"\u0041\ud83d\ude00"}`)
	f.Fuzz(func(t *testing.T, body string) {
		if tells(body) {
			return
		}
		a := newAcme(t, boottest.Config{})
		for _, method := range []string{"PUT", "POST"} {
			got := a.survives(t, method, upsertPath, body)
			if got.Status != http.StatusOK {
				continue
			}
			organization := ""
			if id := got.Text("organization_id"); id != "" {
				organization = `,"organization_id":` + quote(t, id)
			}
			vend := a.survives(t, "POST", "/data-integrations/openai/credentials", `{"user_id":`+quote(t, got.Text("user_id"))+organization+`}`)
			if vend.Text("credential.value") != fields(body)["secret"] {
				t.Errorf("%q was taken and vends %s", body, vend.Body)
			}
		}
		a.survives(t, "PUT", "/data-integrations/openai", `{"api_key":`+body+`}`)
	})
}

func quote(t *testing.T, s string) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func FuzzProviderRegistration(f *testing.F) {
	seeds(f,
		`{"provider":"stripe","auth_methods":["api_key"],"enabled":true,"description":"why"}`,
		`{"provider":"mine","auth_methods":["api_key"],"custom_provider":{"name":"Mine","token_url":null}}`,
		`{"provider":"stripe","auth_methods":["api_key"],"api_key":{"user_id":"u","secret":"abcdef"}}`,
		`{"provider":"../stripe","auth_methods":["api_key"]}`, `{"provider":"stripe\u0000","auth_methods":["api_key"]}`,
		`{"provider":"stripe","auth_methods":["api_key"],"credentials":null,"config":{},"ownership":"user","scopes":[1]}`)
	f.Fuzz(func(t *testing.T, body string) {
		if tells(body) {
			return
		}
		a := newAcme(t, boottest.Config{})
		got := a.survives(t, "POST", "/data-integrations", body)
		if got.Status == http.StatusCreated {
			slug := got.Text("slug")
			if again := a.survives(t, "POST", "/data-integrations", body); again.Status != http.StatusConflict {
				t.Errorf("%q again: %d %s", body, again.Status, again.Body)
			}
			if shown := a.survives(t, "GET", "/data-integrations/"+slug, ""); shown.Text("id") != got.Text("id") {
				t.Errorf("%s is shown as %s", got.Body, shown.Body)
			}
			if gone := a.survives(t, "DELETE", "/data-integrations/"+slug, ""); gone.Status != http.StatusNoContent {
				t.Errorf("%d %s", gone.Status, gone.Body)
			}
		}
		a.survives(t, "PUT", "/data-integrations/openai", body)
		if got := a.Do(a.token, "GET", "/data-integrations/openai", ""); got.Status != http.StatusOK || got.Text("auth_methods") != "[api_key]" {
			t.Errorf("after %q: %s", body, got.Body)
		}
	})
}

func FuzzCursor(f *testing.F) {
	const id = "data_integration_01ARZ3NDEKTSV4RRFFQ69G5FAV"
	f.Add("10", "", "", "desc")
	f.Add("1", id, "", "normal")
	f.Add("100", "", id, "asc")
	f.Add("-1", id, id, "")
	f.Add("\x00", "../", "data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV", "DESC")
	f.Fuzz(func(t *testing.T, limit, before, after, order string) {
		if tells(limit, before, after, order) {
			return
		}
		a := newAcme(t, boottest.Config{})
		query := url.Values{"limit": {limit}, "before": {before}, "after": {after}, "order": {order}}.Encode()
		for _, path := range []string{"/data-integrations", "/keyvend/api_keys"} {
			got := a.survives(t, "GET", path+"?"+query, "")
			if got.Status != http.StatusOK && got.Status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d %s", query, got.Status, got.Body)
			}
			// Nothing of a cursor comes back but the ids of the tenant's own objects.
			if id := got.Text("list_metadata.before"); id != "" && !strings.Contains(got.Body, `"id":"`+id+`"`) {
				t.Errorf("%s: %s", query, got.Body)
			}
		}
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	f.Add("once", "once")
	f.Add("", "x")
	f.Add(strings.Repeat("k", 255), strings.Repeat("k", 256))
	f.Add("a,b", "\x00\xff\r\n")
	f.Fuzz(func(t *testing.T, one, two string) {
		if !utf8.ValidString(one) {
			one = strings.ToValidUTF8(one, "?") // any bytes may come; half of the time try texts
		}
		if tells(one, two) {
			return
		}
		a := newAcme(t, boottest.Config{})
		row := boottest.AccountRow(a.tenant, "anna", "openai", "")
		first := a.survives(t, "PUT", upsertPath, upsertBody, "Idempotency-Key", one)
		if (first.Status == http.StatusOK) != (len(one) <= 255) {
			t.Fatalf("%q: %d %s", one, first.Status, first.Body)
		}
		if first.Status != http.StatusOK {
			return
		}
		revision := a.Item(row).Revision
		a.survives(t, "PUT", upsertPath, upsertBody, "Idempotency-Key", one)
		if again := a.Item(row).Revision != revision; again == (one != "") {
			t.Errorf("%q: the repeat was written: %v", one, again)
		}
		revision = a.Item(row).Revision
		second := a.survives(t, "PUT", upsertPath, upsertBody, "Idempotency-Key", two)
		if second.Status == http.StatusOK && (a.Item(row).Revision == revision) != (one == two && one != "") {
			t.Errorf("%q after %q: written %v", two, one, a.Item(row).Revision != revision)
		}
	})
}
