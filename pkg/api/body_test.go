package api_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table/tabletest"
)

// oddBodies are bodies that no endpoint takes, with the status of each.
func oddBodies() map[string]struct {
	body   string
	status int
} {
	const kib = 1 << 10
	pad := func(n int) string { return `{"user_id":"anna","pad":"` + strings.Repeat("x", n-27) + `"}` }
	type c = struct {
		body   string
		status int
	}
	return map[string]c{
		"64 KiB and 1":          {pad(64*kib + 1), http.StatusRequestEntityTooLarge},
		"6 MB":                  {pad(6 << 20), http.StatusRequestEntityTooLarge},
		"6 MB of spaces":        {strings.Repeat(" ", 6<<20), http.StatusRequestEntityTooLarge},
		"deep objects":          {strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101), http.StatusBadRequest},
		"brackets in a text":    {`{"x":"` + strings.Repeat(`[{\"`, 500) + `"}`, http.StatusUnprocessableEntity},
		"deep objects, just":    {strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), http.StatusUnprocessableEntity},
		"deep arrays":           {`{"user_id":` + strings.Repeat(`[`, 30_000) + strings.Repeat("]", 30_000) + "}", http.StatusBadRequest},
		"deep, never closed":    {strings.Repeat(`{"a":`, 10_000), http.StatusBadRequest},
		"a name twice":          {`{"user_id":"anna","user_id":"bob"}`, http.StatusBadRequest},
		"a name twice, deep":    {`{"user_id":"anna","x":{"a":1,"a":2}}`, http.StatusBadRequest},
		"a name twice, escaped": {`{"user_id":"anna","\u0075ser_id":"bob"}`, http.StatusBadRequest},
		"data behind":           {`{"user_id":"anna"}{}`, http.StatusBadRequest},
		"a comma behind":        {`{"user_id":"anna"},`, http.StatusBadRequest},
		"a NUL behind":          {`{"user_id":"anna"}` + "\x00", http.StatusBadRequest},
		"invalid UTF-8":         {"{\"user_id\":\"a\xffb\"}", http.StatusBadRequest},
		"invalid UTF-8, unused": {"{\"user_id\":\"anna\",\"x\":\"\xc3\x28\"}", http.StatusBadRequest},
		"half a surrogate":      {`{"user_id":"anna","x":"\ud800"}`, http.StatusBadRequest},
		"a number":              {`{"user_id":7}`, http.StatusBadRequest},
		"an array":              {`{"user_id":["anna"]}`, http.StatusBadRequest},
		"an object":             {`{"user_id":{"a":"anna"}}`, http.StatusBadRequest},
		"true":                  {`{"user_id":true}`, http.StatusBadRequest},
		"empty":                 {"", http.StatusBadRequest},
		"space":                 {" \r\n\t", http.StatusBadRequest},
		"null":                  {"null", http.StatusBadRequest},
		"a string":              {`"anna"`, http.StatusBadRequest},
		"a list":                {`[{"user_id":"anna"}]`, http.StatusBadRequest},
		"a byte order mark":     {"\ufeff" + `{"user_id":"anna"}`, http.StatusBadRequest},
		"form":                  {"user_id=anna", http.StatusBadRequest},
		"comment":               {`{"user_id":"anna"} // x`, http.StatusBadRequest},
		"single quotes":         {`{'user_id':'anna'}`, http.StatusBadRequest},
		"NaN":                   {`{"user_id":"anna","x":NaN}`, http.StatusBadRequest},
		"not closed":            {`{"user_id":"anna"`, http.StatusBadRequest},
		"no user":               {`{}`, http.StatusUnprocessableEntity},
		"null user":             {`{"user_id":null}`, http.StatusUnprocessableEntity},
		"empty user":            {`{"user_id":""}`, http.StatusUnprocessableEntity},
		"another case":          {`{"User_ID":"anna"}`, http.StatusUnprocessableEntity},
		"long user":             {`{"user_id":"` + strings.Repeat("x", 129) + `"}`, http.StatusUnprocessableEntity},
		"F4 user":               {`{"user_id":"u#C#openai"}`, http.StatusUnprocessableEntity},
		"F38 NUL":               {`{"user_id":"a\u0000b"}`, http.StatusUnprocessableEntity},
		"F38 line break":        {`{"user_id":"a\r\nX-Evil: 1"}`, http.StatusUnprocessableEntity},
		"organization":          {`{"user_id":"anna","organization_id":"a/b"}`, http.StatusUnprocessableEntity},
		"another owner":         {`{"user_id":"anna","connection_owner":"organization"}`, http.StatusUnprocessableEntity},
	}
}

// refusal is what it may take to refuse a body, in bytes that are allocated: as much
// as the longest body that is read costs twice over. A body that is read on after it
// was known to be odd takes megabytes.
const refusal = 1 << 20

func TestF39_OddBodiesAreRefusedCheaplyAndNeverAServersFault(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	writes := a.Table.Calls(tabletest.Write)
	for name, c := range oddBodies() {
		for _, to := range []struct{ method, path string }{
			{"POST", "/data-integrations/openai/credentials"}, {"PUT", upsertPath}, {"POST", upsertPath},
		} {
			codes := map[int]string{
				http.StatusRequestEntityTooLarge: "request_too_large",
				http.StatusBadRequest:            "invalid_request_body",
				http.StatusUnprocessableEntity:   "unprocessable_entity",
			}
			got := a.Do(a.token, to.method, to.path, c.body)
			if got.Status != c.status || got.Code() != codes[c.status] {
				t.Errorf("%s to %s %s: %d %.200s, want %d", name, to.method, to.path, got.Status, got.Body, c.status)
			}
			if len(got.Body) > 1000 {
				t.Errorf("%s: an answer of %d bytes", name, len(got.Body))
			}
			// Who is nobody learns nothing of his body.
			if got := a.Do(forge(t, a.token, "", ""), to.method, to.path, c.body); got.Status != http.StatusUnauthorized {
				t.Errorf("%s from a stranger: %d", name, got.Status)
			}
		}
		if n := allocated(func() { a.Do(a.token, "PUT", upsertPath, c.body) }); n > refusal {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	if a.Table.Calls(tabletest.Write) != writes {
		t.Error("something was written")
	}
}

func TestF39_ALargeBodyIsNotReadBeyondItsLimit(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for name, body := range map[string]string{
		"endless": strings.Repeat("x", 6<<20),
		"deep":    strings.Repeat(`{"a":`, 12_000),
		"wide":    `{` + strings.Repeat(`"a":1,`, 10_000) + `"b":1}`,
	} {
		if n := allocated(func() { a.Do(a.token, "PUT", upsertPath, body) }); n > refusal {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestF39_UnknownFieldsAndNullsAreAsIfNotSent(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, body := range []string{
		`{"user_id":"anna","secret":"` + key + `","unknown":{"deep":[1,2,{"x":null}]}}`,
		`{"user_id":"anna","secret":"` + key + `","organization_id":null,"config":null,"metadata":null,"expires_at":null,"connection_owner":null,"connected_account_id":null,"connection_intent":null}`,
		" \r\n\t" + `{"user_id":"anna","secret":"` + key + `"}` + "\n",
		`{"USER_ID":"bob","user_id":"anna","secret":"` + key + `"}`,
	} {
		if got := a.Do(a.token, "PUT", upsertPath, body); got.Status != http.StatusOK || got.Text("user_id") != "anna" {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
	a.vends(t, key)
}

func TestF53_SecretsAtTheirLimits(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for name, c := range map[string]struct {
		secret string
		status int
		last4  string
	}{
		"1 byte":               {"s", 200, ""},
		"7 bytes, no tail":     {"sk-cana", 200, ""},
		"8 bytes, a tail":      {"sk-canar", 200, "anar"},
		"8 KiB":                {strings.Repeat("s", 8192), 200, "ssss"},
		"8 KiB and 1":          {strings.Repeat("s", 8193), 422, ""},
		"none":                 {"", 422, ""},
		"space alone":          {"    ", 422, ""},
		"with spaces":          {"Basic sk-canary", 200, "nary"},
		"with Bearer":          {"Bearer sk-canary", 422, ""},
		"every printable byte": {`!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_az{|}~`, 200, "{|}~"},
		"F38 line break":       {`sk-canary\r\nX-Evil: 1`, 422, ""},
		"F38 NUL":              {`sk-canary\u0000`, 422, ""},
		"F38 tab":              {`sk-canary\t`, 422, ""},
		"F38 delete":           {"sk-canary\x7f", 422, ""},
		"F38 non-ASCII":        {"sk-canary-ä", 422, ""},
		"F38 zero width":       {"sk-canary-\u200b", 422, ""},
	} {
		got := a.Do(a.token, "PUT", upsertPath, `{"user_id":"anna","secret":"`+c.secret+`"}`)
		if got.Status != c.status || got.Text("api_key_last_4") != c.last4 {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		if c.status == 200 {
			want := strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(c.secret)
			a.vends(t, want)
		}
	}
	inline := func(secret string) boottest.Answer {
		return a.Do(a.token, "PUT", "/data-integrations/openai", `{"api_key":{"user_id":"anna","secret":"`+secret+`"}}`)
	}
	if four, five := inline("abcd"), inline("abcde"); four.Status != 422 || five.Status != 200 {
		t.Errorf("inline: %d, %d", four.Status, five.Status)
	}
}

func TestMetadataAndConfigAreBounded(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	send := func(field, value string) boottest.Answer {
		return a.Do(a.token, "PUT", upsertPath, `{"user_id":"anna","secret":"`+key+`","`+field+`":`+value+`}`)
	}
	for name, c := range map[string]struct {
		got    boottest.Answer
		status int
	}{
		"metadata":                {send("metadata", `{"a":"b","ä":"ü\n\tx"}`), 200},
		"NUL in a value":          {send("metadata", `{"a":"b\u0000"}`), 422},
		"ESC in a value":          {send("metadata", `{"a":"\u001b[31m"}`), 422},
		"NUL in a name":           {send("metadata", `{"a\u0000b":""}`), 422},
		"a line break in a name":  {send("metadata", `{"a\nb":""}`), 200},
		"metadata too large":      {send("metadata", `{"a":"`+strings.Repeat("x", 4096)+`"}`), 422},
		"a name too long":         {send("metadata", `{"`+strings.Repeat("x", 65)+`":""}`), 422},
		"no name":                 {send("metadata", `{"":""}`), 422},
		"a value that is no text": {send("metadata", `{"a":1}`), 400},
		"config of no field":      {send("config", `{"host":"example.com"}`), 422},
		"config too large":        {send("config", `{"a":"`+strings.Repeat("x", 4096)+`"}`), 422},
	} {
		if c.got.Status != c.status {
			t.Errorf("%s: %d %s", name, c.got.Status, c.got.Body)
		}
	}
}

func TestAnExpiryIsATimeThatCanBeStored(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for text, want := range map[string]int{
		"2030-01-31T12:00:00Z": 200, "2030-01-31T12:00:00.123456789+14:00": 200, "": 422,
		"9999-12-31T23:59:59Z": 200, "9999-12-31T23:59:59-01:00": 422, "0000-01-01T00:00:00Z": 422,
		"1969-12-31T23:59:59Z": 422, "1970-01-01T00:00:00+01:00": 422,
		"2030-01-31": 422, "tomorrow": 422, "1893456000": 422, "2030-02-31T12:00:00Z": 422, "2030-01-31T12:00:00": 422,
		"2030-01-31T9:00:00Z": 422, "2030-01-31T12:00:00,5Z": 422, "2030-01-31T12:00:00+24:00": 422,
	} {
		got := a.Do(a.token, "PUT", upsertPath, `{"user_id":"anna","secret":"`+key+`","expires_at":"`+text+`"}`)
		if got.Status != want {
			t.Errorf("%q: %d %s, want %d", text, got.Status, got.Body, want)
		}
		a.vends(t, key)
	}
}

// A script whose variable has no value must not issue a key that never ends, or
// report whichever key is stored now.
func TestAnEmptyTextIsNotAsIfNothingWasSent(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const report = `{"slug":"openai","user_id":"anna","status":401,`
	for _, c := range []struct{ method, path, body, field string }{
		{"POST", "/keyvend/api_keys", `{"name":"x","scopes":["read"],"expires_at":""}`, "expires_at"},
		{"POST", "/keyvend/reports", report + `"secret_id":""}`, "secret_id"},
		{"POST", "/keyvend/reports", report + `"vended_at":""}`, "vended_at"},
		{"PUT", "/keyvend/settings", `{"sessions_not_before":""}`, "sessions_not_before"},
	} {
		got := a.Do(a.token, c.method, c.path, c.body)
		if got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{c.field}) {
			t.Errorf("%s: %d %s", c.body, got.Status, got.Body)
		}
		if got := a.Do(a.token, c.method, c.path, strings.ReplaceAll(c.body, `""`, "null")); got.Status/100 != 2 {
			t.Errorf("%s with null: %d %s", c.body, got.Status, got.Body)
		}
	}
}

func TestF45_WhatWasSentToTheWrongPlaceIsNotRepeated(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	canary := boottest.Canary + "misplaced"
	quoted := `"` + canary + `"`
	for _, body := range []string{
		quoted, `[` + quoted + `]`, canary, `{` + quoted, `{` + quoted + `:1}`, `{"user_id":[` + quoted + `]}`, `{"user_id":{` + quoted + `:1}}`,
		`{"user_id":"anna","config":{` + quoted + `:1}}`, `{"user_id":"anna","metadata":{"a":[` + quoted + `]}}`,
		`{"user_id":"anna","secret":"x","config":{` + quoted + `:"x"}}`,
		`{"user_id":"` + canary + ` "}`, `{"user_id":"anna","secret":"` + canary + `\n"}`, `{"user_id":"anna","secret":"x","expires_at":` + quoted + `}`,
		`{"user_id":"anna","secret":"x","connection_intent":` + quoted + `}`, `{"user_id":"anna","secret":"x","connection_owner":` + quoted + `}`,
		`{"user_id":"anna","secret":"x","config":{"a":` + quoted + `}}`, `{"user_id":"anna","secret":"x","metadata":{"` + canary + strings.Repeat("x", 64) + `":""}}`,
		`{"user_id":"anna","secret":"` + canary + strings.Repeat("x", 8192) + `"}`, `{"user_id":"anna","user_id":` + quoted + `}`,
		`{"user_id":"anna","secret":"x","connected_account_id":` + quoted + `}`,
	} {
		for _, path := range []string{upsertPath, "/data-integrations/openai"} {
			for _, method := range []string{"PUT", "POST"} {
				sent := body
				if path == "/data-integrations/openai" {
					sent = `{"api_key":` + body + `}`
				}
				if got := a.Do(a.token, method, path, sent); got.Status >= 500 { // the world looks for the canary
					t.Errorf("%s %s %s: %d %s", method, path, sent, got.Status, got.Body)
				}
			}
		}
	}
	for path, body := range map[string]string{
		"PUT /keyvend/settings":   `{"allowed_origins":["https://app.example.com",` + quoted + `]}`,
		"POST /keyvend/api_keys":  `{"name":"x","scopes":["read",` + quoted + `]}`,
		"POST /data-integrations": `{"provider":` + quoted + `,"auth_methods":["api_key"]}`,
	} {
		method, path, _ := strings.Cut(path, " ")
		if got := a.Do(a.token, method, path, body); got.Status != http.StatusUnprocessableEntity || strings.Contains(got.Body, canary) {
			t.Errorf("%s %s: %d %s", method, path, got.Status, got.Body)
		}
	}
	for _, path := range []string{
		"/data-integrations/" + canary, "/data-integrations?after=" + canary, "/data-integrations?order=" + canary, "/keyvend/catalog/" + canary,
		"/user_management/users/anna/connected_accounts/openai?organization_id=" + canary + "%20", "/" + canary, "/data-integrations?limit=" + canary,
	} {
		a.Do(a.token, "GET", path, "")
	}
	a.Do(canary, "GET", "/data-integrations", "")
	a.Do(a.token, canary, "/data-integrations", "")
	a.Do(a.token, "PUT", upsertPath, upsertBody, "Idempotency-Key", canary+strings.Repeat("x", 255))
	a.Do(a.token, "PUT", upsertPath, upsertBody, "Idempotency-Key", canary)
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	writes := a.Table.Calls(tabletest.Write)
	for body, want := range map[string]int{
		`{}`: 422, `{"provider":""}`: 422, `{"provider":"Open AI"}`: 422, `{"provider":"no-such-provider","auth_methods":["api_key"]}`: 422,
		`{"provider":"stripe"}`: 422, `{"provider":"stripe","auth_methods":[]}`: 422, `{"provider":"stripe","auth_methods":["oauth"]}`: 422,
		`{"provider":"stripe","auth_methods":["api_key","oauth"]}`:                                                       422,
		`{"provider":"stripe","auth_methods":["api_key","api_key"]}`:                                                     422,
		`{"provider":"stripe","auth_methods":"api_key"}`:                                                                 400,
		`{"provider":"stripe","auth_methods":["api_key"],"enabled":"yes"}`:                                               400,
		`{"provider":"stripe","auth_methods":["api_key"],"credentials":{"type":"custom"}}`:                               422,
		`{"provider":"stripe","auth_methods":["api_key"],"config":{"a":"b"}}`:                                            422,
		`{"provider":"stripe","auth_methods":["api_key"],"ownership":"organization"}`:                                    422,
		`{"provider":"stripe","auth_methods":["api_key"],"custom_provider":{"name":"Mine"}}`:                             422,
		`{"provider":"mine","auth_methods":["api_key"],"custom_provider":{"name":""}}`:                                   422,
		`{"provider":"mine","auth_methods":["api_key"],"custom_provider":{}}`:                                            422,
		`{"provider":"mine","auth_methods":["api_key"],"custom_provider":{"name":"a\u0007"}}`:                            422,
		`{"provider":"stripe","auth_methods":["api_key"],"description":"` + strings.Repeat("x", 2001) + `"}`:             422,
		`{"provider":"stripe","auth_methods":["api_key"],"description":7}`:                                               400,
		`{"provider":"stripe","auth_methods":["api_key"],"api_key":{"user_id":"anna","secret":"abcd"}}`:                  422,
		`{"provider":"stripe","auth_methods":["api_key"],"api_key":{"secret":"abcdef"}}`:                                 422,
		`{"provider":"stripe","auth_methods":["api_key"],"api_key":{"user_id":"u","secret":"abcde","config":{"a":"b"}}}`: 422,
		`{"provider":"openai","auth_methods":["api_key"]}`:                                                               409,
	} {
		if got := a.Do(a.token, "POST", "/data-integrations", body); got.Status != want {
			t.Errorf("%s: %d %s, want %d", body, got.Status, got.Body, want)
		}
	}
	if a.Table.Calls(tabletest.Write) != writes {
		t.Error("something was written")
	}
}

func TestATenantHasAtMost500Integrations(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	item := a.Item(boottest.IntegrationRow(a.tenant, "openai"))
	for i := range 498 {
		k := boottest.IntegrationRow(a.tenant, fmt.Sprintf("custom-%03d", i))
		a.WriteDoc(k, []byte(strings.Replace(string(item.Doc), "data_integration_", fmt.Sprintf("data_integration_%03d", i), 1)))
	}
	a.Register(a.token, "stripe") // the 500th
	if got := a.Do(a.token, "POST", "/data-integrations", `{"provider":"linear","auth_methods":["api_key"]}`); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("the 501st: %d %s", got.Status, got.Body)
	}
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/stripe", "")
	a.Register(a.token, "linear")
}

func TestADescriptionIsKeptChangedAndCleared(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, c := range []struct{ body, want string }{
		{`{"description":"one"}`, "one"}, {`{}`, "one"}, {`{"enabled":true}`, "one"}, {`{"description":"t\u0077o\n\u00e4"}`, "two\nä"},
		{`{"description":null}`, ""}, {`{"description":""}`, ""},
	} {
		if got := a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/openai", c.body); got.Text("description") != c.want {
			t.Errorf("%s: %s", c.body, got.Body)
		}
	}
	for _, body := range []string{`{"description":1}`, `{"description":[]}`, `{"description":{}}`, `{"description":true}`} {
		if got := a.Do(a.token, "PUT", "/data-integrations/openai", body); got.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
}

func TestListsArePagedOverHTTP(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	slugs := []string{"openai"}
	for _, slug := range []string{"stripe", "linear", "anthropic", "sendgrid"} {
		a.Clock.Pass(time.Second)
		a.Register(a.token, slug)
		slugs = append(slugs, slug)
	}
	var seen []string
	for after := ""; ; {
		path := "/data-integrations?limit=2&order=asc"
		if after != "" {
			path += "&after=" + after
		}
		got := a.Must(http.StatusOK, a.token, "GET", path, "")
		for _, slug := range slugs {
			if strings.Contains(got.Body, `"slug":"`+slug+`"`) {
				seen = append(seen, slug)
			}
		}
		if after = got.Text("list_metadata.after"); after == "" {
			break
		}
		if len(seen) > 10 {
			t.Fatal("it does not end")
		}
	}
	if !slices.Equal(seen, slugs) {
		t.Errorf("%v, want %v", seen, slugs)
	}
}

func TestAFieldOfTheWrongTypeIsNamedWithTheRightOne(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const text, flag, number, list, texts = "a text", "true or false", "a whole number", "a list", "an object whose values are texts"
	for body, want := range map[string]struct{ method, path, field, right string }{
		`{"user_id":7}`:              {"PUT", "/data-integrations/acme/api-key", "user_id", text},
		`{"secret":{}}`:              {"PUT", "/data-integrations/acme/api-key", "secret", text},
		`{"expires_at":1}`:           {"PUT", "/data-integrations/acme/api-key", "expires_at", text},
		`{"metadata":[]}`:            {"PUT", "/data-integrations/acme/api-key", "metadata", texts},
		`{"metadata":{"a":null}}`:    {"PUT", "/data-integrations/acme/api-key", "metadata", texts},
		`{"config":[]}`:              {"PUT", "/data-integrations/acme/api-key", "config", texts},
		`{"status":"401"}`:           {"POST", "/keyvend/reports", "status", number},
		`{"status":401.5}`:           {"POST", "/keyvend/reports", "status", number},
		`{"enabled":"true"}`:         {"PUT", "/data-integrations/acme", "enabled", flag},
		`{"allowed_origins":"x"}`:    {"PUT", "/keyvend/settings", "allowed_origins", list},
		`{"config_fields":{}}`:       {"PATCH", "/keyvend/integrations/acme", "config_fields", list},
		`{"check":7}`:                {"PATCH", "/keyvend/integrations/acme", "check", "an object"},
		`{"custom_provider":"acme"}`: {"POST", "/data-integrations", "custom_provider", "an object"},
	} {
		answer := a.Do(a.token, want.method, want.path, body)
		if sentence := "The field " + want.field + " has the wrong type: it is " + want.right + "."; answer.Status != http.StatusBadRequest || answer.Text("message") != sentence {
			t.Errorf("%s: %d %s, want %q", body, answer.Status, answer.Text("message"), sentence)
		}
	}
	for _, c := range [][3]string{
		{"/keyvend/settings", "allowed_origins", `{"allowed_origins":[7]}`},
		{"/data-integrations/acme/api-key", "metadata", `{"metadata":{"sk-canary-in-a-name":1}}`},
	} {
		if a := a.Do(a.token, "PUT", c[0], c[2]); a.Text("message") != "Something in the field "+c[1]+" has the wrong type." {
			t.Errorf("%s: %s", c[2], a.Body)
		}
	}
}
