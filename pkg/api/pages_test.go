package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/serve"
	"keyvend/pkg/table/tabletest"
)

// policy takes a Content-Security-Policy apart.
func policy(h http.Header) map[string]string {
	directives := map[string]string{}
	for part := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		directives[name] = value
	}
	return directives
}

func TestPagesRunKeyvendsOwnFilesAndNothingElse(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, path := range []string{"/dashboard", "/dashboard/accounts/x", "/dashboard/a/b/c", "/embed/" + a.tenant} {
		got := a.Must(200, "", "GET", path, "")
		for directive, want := range map[string]string{
			"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "img-src": "'self' data:",
			"base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'",
			"require-trusted-types-for": "'script'", "trusted-types": "'none'",
		} {
			if said := policy(got.Header)[directive]; said != want {
				t.Errorf("%s: %s %q, want %q", path, directive, said, want)
			}
		}
		if n := len(policy(got.Header)); n != 10 {
			t.Errorf("%s: %d directives: %s", path, n, got.Header.Get("Content-Security-Policy"))
		}
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Access-Control-Allow-Origin": "", "ETag": "",
		} {
			if said := got.Header.Get(name); said != want {
				t.Errorf("%s: %s %q, want %q", path, name, said, want)
			}
		}
	}
}

func TestF49_TheEmbeddedPageIsFramedByTheTenantsOriginsAlone(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	other, otherToken := a.other()
	a.Must(200, otherToken, "PUT", "/keyvend/settings", `{"allowed_origins":["https://other.example"]}`)
	a.Must(200, a.token, "PUT", "/keyvend/settings", `{"allowed_origins":["https://app.example.com","https://b.example:8443"]}`)
	framedBy := func(tenant string) string {
		return policy(a.Must(200, "", "GET", "/embed/"+tenant, "").Header)["frame-ancestors"]
	}
	if got := framedBy(a.tenant); got != "https://app.example.com https://b.example:8443" {
		t.Errorf("framed by %s", got)
	}
	if got := framedBy(other); got != "https://other.example" {
		t.Errorf("another tenant's is framed by %s", got)
	}
	a.Must(200, a.token, "PUT", "/keyvend/settings", `{"allowed_origins":[]}`)
	none, unknown := a.Do("", "GET", "/embed/"+a.tenant, ""), a.Do("", "GET", "/embed/tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV", "")
	if face(none) != face(unknown) || policy(none.Header)["frame-ancestors"] != "'none'" {
		t.Errorf("F43: %s, and of a tenant that there is not %s", face(none), face(unknown))
	}
	gets := a.Table.Calls(tabletest.Get)
	for _, path := range []string{"/embed/x", "/embed/tenant_x", "/embed/", "/embed", "/embed/" + a.tenant + "/x", "/embed/" + strings.ToLower(a.tenant)} {
		if got := a.Do("", "GET", path, ""); got.Status != 404 {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
	if a.Table.Calls(tabletest.Get) != gets {
		t.Error("what cannot be a tenant is looked up")
	}
	a.Table.Fail(tabletest.Next(tabletest.Get))
	if got := a.Do("", "GET", "/embed/"+a.tenant, ""); got.Status != 503 || policy(got.Header)["script-src"] != "" {
		t.Errorf("with the table in trouble: %d", got.Status)
	}
}

func TestWhatPagesLoadIsThereAndIsKeptForEverUnderItsVersion(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	loaded := regexp.MustCompile(`/assets/[0-9a-f]+/[\w./-]+`)
	seen := 0
	for _, page := range []string{"/dashboard", "/embed/" + a.tenant} {
		for _, path := range loaded.FindAllString(a.Must(200, "", "GET", page, "").Body, -1) {
			seen++
			got := a.Must(200, "", "GET", path, "")
			if got.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || got.Header.Get("Access-Control-Allow-Origin") != "*" || got.Header.Get("ETag") == "" {
				t.Errorf("%s: %v", path, got.Header)
			}
			version := strings.Split(path, "/")[2]
			a.Must(404, "", "GET", strings.Replace(path, version, "0000000000000000", 1), "")
			for _, hidden := range []string{"dashboard/index.html", "embed/index.html", "../web.go", "", "no-such.js"} {
				a.Must(404, "", "GET", "/assets/"+version+"/"+hidden, "")
			}
		}
	}
	if seen == 0 {
		t.Error("the pages load nothing: this test sees nothing")
	}
}

func TestTheWidgetLoadsAnywhereAndIsAskedForAgainWithinMinutes(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	got := a.Must(200, "", "GET", "/widget.js", "", "Origin", "https://anywhere.example")
	if got.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || got.Header.Get("Access-Control-Allow-Origin") != "*" ||
		got.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" || got.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%v", got.Header)
	}
	again := a.Do("", "GET", "/widget.js", "", "If-None-Match", `"x", `+got.Header.Get("ETag"))
	if again.Status != 304 || again.Body != "" || again.Header.Get("ETag") != got.Header.Get("ETag") {
		t.Errorf("%d %s", again.Status, again.Body)
	}
	a.Must(200, "", "GET", "/widget.js", "", "If-None-Match", `W/"0"`)
	a.Must(405, "", "POST", "/widget.js", "{}")
}

func TestFilesAreCompressedForThoseWhoTakeIt(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	plain := a.Must(200, "", "GET", "/dashboard", "")
	if plain.Header.Get("Content-Encoding") != "" || !strings.Contains(plain.Header.Get("Vary"), "Accept-Encoding") {
		t.Errorf("%v", plain.Header)
	}
	for accept, takes := range map[string]bool{
		"gzip": true, "br, gzip": true, "deflate, GZIP;q=0.5": true, "gzip; q=1.0": true,
		"": false, "br": false, "gzip;q=0": false, "gzip;q=0.0": false, "identity, gzip; q=0": false, "x-gzip": false,
	} {
		recorder := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/dashboard", http.NoBody)
		r.Header.Set("Accept-Encoding", accept)
		a.Handler.ServeHTTP(recorder, r)
		zipped := recorder.Header().Get("Content-Encoding") == "gzip"
		if zipped && !takes || takes && !zipped && len(plain.Body) > 1000 {
			t.Errorf("%q: %v", accept, recorder.Header())
		}
		if !zipped {
			continue
		}
		unzip, err := gzip.NewReader(bytes.NewReader(recorder.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(unzip); err != nil || string(text) != plain.Body {
			t.Errorf("%q: %v", accept, err)
		}
	}
}

func TestFilesAreForEverybodyAndTouchNothing(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	calls := []int{a.Table.Calls(tabletest.Get), a.Wrapper.Unwraps()}
	for _, path := range []string{"/widget.js", "/dashboard", "/dashboard/x"} {
		for _, token := range []string{"", "x", a.token} {
			a.Must(200, token, "GET", path, "")
		}
	}
	if got := []int{a.Table.Calls(tabletest.Get), a.Wrapper.Unwraps()}; !slices.Equal(got, calls) {
		t.Errorf("reads and unwraps %v, were %v", got, calls)
	}
}

// fetched is an answer of the function, as it goes back to API Gateway.
type fetched struct {
	status int
	header map[string]string
	body   string
}

// fetch sends a request to the functions as API Gateway does. No path and no method
// may make that a function error.
func (a acme) fetch(t *testing.T, method, path string, headers map[string]string) fetched {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(event(t, "", method, path, ""), &e); err != nil {
		t.Fatal(err)
	}
	e["headers"] = headers
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := serve.Handler(a.Handler)(t.Context(), text)
	if err != nil {
		t.Fatalf("%s %q: %v", method, path, err)
	}
	all := maps.Clone(got.Headers)
	for name, values := range got.MultiValueHeaders {
		all[name] = strings.Join(values, ", ")
	}
	return fetched{got.StatusCode, all, got.Body}
}

func TestTheHeadersOfAFileCanBeAskedForAlone(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, path := range []string{"/widget.js", "/dashboard", "/embed/" + a.tenant} {
		whole, head := a.fetch(t, "GET", path, nil), a.fetch(t, "HEAD", path, nil)
		if whole.status != 200 || head.status != 200 || whole.body == "" || head.body != "" {
			t.Errorf("%s: %d and %d %q", path, whole.status, head.status, head.body)
		}
		for _, name := range []string{"Content-Type", "Etag", "Cache-Control", "Content-Security-Policy", "Vary", "X-Content-Type-Options"} {
			if whole.header[name] != head.header[name] {
				t.Errorf("%s: %s is %q, and of the file %q", path, name, head.header[name], whole.header[name])
			}
		}
		if got := a.fetch(t, "POST", path, nil); got.status != 405 || got.header["Allow"] != "GET, HEAD" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
}

func TestAFileThatABrowserHasIsNotSentAgainAndAPartOfOneNever(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	tag := a.Must(200, "", "GET", "/widget.js", "").Header.Get("ETag")
	strong := strings.TrimPrefix(tag, "W/")
	for sent, status := range map[string]int{
		tag: 304, strong: 304, "*": 304, `"x", ` + tag: 304, tag + `,"x"`: 304, "  " + tag + "  ": 304,
		"": 200, `"x"`: 200, `W/"0"`: 200, strings.Trim(strong, `"`): 200, tag[:len(tag)-2] + `"`: 200, `"x` + strong[1:]: 200,
	} {
		if got := a.Do("", "GET", "/widget.js", "", "If-None-Match", sent); got.Status != status || status == 304 && got.Body != "" {
			t.Errorf("%q: %d, want %d", sent, got.Status, status)
		}
	}
	if got := a.Do("", "GET", "/widget.js", "", "If-None-Match", `"x"`, "If-None-Match", tag); got.Status != 304 {
		t.Errorf("in the second header: %d", got.Status)
	}
	whole := a.Must(200, "", "GET", "/widget.js", "").Body
	if got := a.Do("", "GET", "/widget.js", "", "Range", "bytes=0-3"); got.Status != 200 || got.Body != whole || got.Header.Get("Accept-Ranges") != "none" {
		t.Errorf("a part: %d %v", got.Status, got.Header)
	}
}

// F40, F48: whatever stands in a path, what comes is one of our files, confined, or
// an error as ever.
func TestNoPathLeadsOutOfTheFilesOrPastTheirPolicy(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	assets := regexp.MustCompile(`/assets/[0-9a-f]+/`).FindString(a.Must(200, "", "GET", "/dashboard", "").Body)
	for _, path := range []string{
		"/", "//", "//widget.js", "/widget.js/", "/widget.js/x", "/WIDGET.JS", "/widget.js\x00", "/widget.js%00", "/%77idget.js", "/widget%2ejs", "/./widget.js", "/x/../widget.js",
		"/assets", "/assets/", "/assets//widget.js", assets, assets + "/widget.js", assets + "/dashboard/main.js", assets + "./widget.js", assets + "widget/", assets + "widget",
		assets + "../web.go", assets + "../../web.go", assets + "..%2f..%2fweb.go", assets + "%2e%2e/web.go", assets + "..\\web.go", assets + "dashboard%2findex.html", assets + "dashboard%2fmain.js",
		assets + "embed/index.html", assets + "files/widget.js", assets + "%", assets + "%zz", assets + "/etc/passwd", "/assets/0000000000000000/widget.js", "/assets/../widget.js",
		"/dashboard/", "/dashboard//", "/dashboard/..", "/dashboard/../../go.mod", "/dashboard/%2e%2e/%2e%2e/go.mod", "/dashboard/a%2fb", "/dashboard%2f", "/dashboardx", "/dashboard/<script>alert(1)</script>", "/dashboard\r\nSet-Cookie: a=b",
		"/embed", "/embed/", "/embed//", "/embed/..", "/embed/../dashboard", "/embed/" + a.tenant + "/", "/embed/" + a.tenant + "%2f", "/embed/%2e%2e", "/embed/" + a.tenant + "\x00",
		"/_widgets", "/_widgets/", "/_widgets//DataIntegrations/mine", "/_widgets/../dashboard", "/_widgets/%2e%2e/dashboard",
	} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "TRACE", "BREW"} {
			got := a.fetch(t, method, path, map[string]string{"origin": "https://evil.example", "accept-encoding": "br, gzip"})
			where := fmt.Sprintf("%s %q", method, path)
			kind, policy := got.header["Content-Type"], got.header["Content-Security-Policy"]
			switch {
			case got.status == http.StatusNoContent && strings.HasPrefix(path, "/_widgets/"): // a preflight
			case got.status == http.StatusOK && strings.HasPrefix(kind, "text/html"):
				if !strings.Contains(policy, "script-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") || got.header["Cache-Control"] != "no-store" {
					t.Errorf("%s: a page under %q, %q", where, policy, got.header["Cache-Control"])
				}
			case got.status == http.StatusOK && strings.HasPrefix(kind, "text/javascript"):
			case got.status >= 400 && got.status < 500 && strings.HasPrefix(kind, "application/json") && got.header["Cache-Control"] == "no-store":
			default:
				t.Errorf("%s: %d %v %.100s", where, got.status, got.header, got.body)
			}
			if !strings.HasPrefix(policy, "default-src 'none'") || got.header["X-Content-Type-Options"] != "nosniff" || got.header["Location"] != "" || got.header["Set-Cookie"] != "" {
				t.Errorf("%s: %d %v", where, got.status, got.header)
			}
			if strings.Contains(got.body, "package web") || strings.Contains(got.body, "<script>alert") || got.status >= 400 && strings.Contains(got.body, "evil.example") {
				t.Errorf("%s: %.200s", where, got.body)
			}
		}
	}
}

// F48, F49: who can write the table adds nothing to a page's policy.
func TestF48_AnEditedListOfOriginsAddsNothingToAPolicy(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.allow(page)
	want := policy(a.Must(200, "", "GET", "/embed/"+a.tenant, "").Header)
	a.Edit(boottest.SettingsRow(a.tenant), func(r boottest.Row) {
		r["allowed_origins"] = []string{"*", "https:", page, "https://x.example; script-src *", "https://y.example 'unsafe-inline'", "https://z.example\r\nX-Evil: 1", "'self'", "https://*.example"}
	})
	got := a.Must(200, "", "GET", "/embed/"+a.tenant, "")
	if said := policy(got.Header); said["frame-ancestors"] != page || !maps.Equal(said, want) || got.Header.Get("X-Evil") != "" {
		t.Errorf("%v", got.Header)
	}
}

// F48: texts that carry markup leave as JSON that is no markup to anybody, and no
// link is anything but https.
func TestF48_TextsWithMarkupLeaveAsTextAndLinksAreHTTPS(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.allow(page)
	const markup = `<img src=x onerror=alert(1)>\"'></script><svg/onload=alert(2)>&`
	a.Must(201, a.token, "POST", "/data-integrations", `{"provider":"mine","enabled":true,"auth_methods":["api_key"],"description":"`+markup+`","custom_provider":{"name":"`+markup+`"}}`)
	a.Must(200, a.token, "PATCH", "/keyvend/integrations/mine", `{"key_hint":"`+markup+`"}`)
	for _, link := range []string{
		"javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", `java\tscript:alert(1)`, "data:text/html,<script>alert(1)</script>", "vbscript:x", "http://help.example", "//help.example",
		"blob:https://x", "file:///etc/passwd", "https:javascript", "https://user:pass@help.example",
	} {
		if got := a.Do(a.token, "PATCH", "/keyvend/integrations/mine", `{"help_url":"`+link+`"}`); got.Status != 422 {
			t.Errorf("%s: %d %s", link, got.Status, got.Body)
		}
	}
	admin := a.WidgetToken(a.token, "anna", "org", "widgets:pipes:manage")
	seen := 0
	for _, c := range []struct{ token, path string }{
		{a.token, "/data-integrations"}, {a.token, "/data-integrations/mine"}, {a.token, "/keyvend/integrations/mine"}, {a.token, "/user_management/users/anna/data_providers"},
		{a.token, "/organizations/org/data_integration_configurations"}, {admin, mine}, {admin, switches}, {admin, offers},
	} {
		got := a.browse(c.token, "GET", c.path, "")
		if got.Status != 200 || got.Header.Get("Content-Type") != "application/json; charset=utf-8" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", c.path, got.Status, got.Header)
		}
		if strings.ContainsAny(got.Body, "<>&") {
			t.Errorf("%s is markup: %s", c.path, got.Body)
		}
		if strings.Contains(got.Body, `\u003cimg`) {
			seen++
		}
	}
	if seen < 7 {
		t.Errorf("%d of the answers hold the text: this test sees nothing", seen)
	}
}

// F45: a key that is pasted into a widget is in no answer and no log, whatever goes
// wrong; boottest looks for it everywhere, and for tokens in the logs.
func TestF45_AKeyFromAWidgetIsToldNowhere(t *testing.T) {
	const body = `{"secret":"` + boottest.Canary + `pasted-0001"}`
	for name, c := range map[string]struct {
		status  int
		prepare func(a widgeted) (body string, headers []string)
	}{
		"stored":            {200, nil},
		"from another page": {403, func(widgeted) (string, []string) { return body, []string{"Origin", "https://evil.example"} }},
		"cut off":           {400, func(widgeted) (string, []string) { return body[:len(body)-2], nil }},
		"in the wrong field": {422, func(widgeted) (string, []string) {
			return strings.Replace(body, "secret", boottest.Canary+"name", 1), nil
		}},
		"of the wrong type": {400, func(widgeted) (string, []string) { return `{"secret":["` + boottest.Canary + `x"]}`, nil }},
		"with a control":    {422, func(widgeted) (string, []string) { return `{"secret":"` + boottest.Canary + `\u0007"}`, nil }},
		"with itself as a key": {422, func(widgeted) (string, []string) {
			return body, []string{"Idempotency-Key", boottest.Canary + strings.Repeat("x", 300)}
		}},
		"as config": {422, func(widgeted) (string, []string) {
			return `{"secret":"` + boottest.Canary + `x","config":{"` + boottest.Canary + `":"x"}}`, nil
		}},
		"while the table fails": {503, func(a widgeted) (string, []string) { a.Table.Fail(tabletest.Next(tabletest.Write)); return body, nil }},
		"refused by a provider that repeats it": {422, func(a widgeted) (string, []string) {
			a.Must(200, a.token, "PATCH", "/keyvend/integrations/openai", `{"verify_on_save":"require"}`)
			a.Providers.Say(401, `{"error":{"code":"invalid_api_key","message":"`+boottest.Canary+`pasted-0001"}}`)
			return body, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newWidgeted(t, boottest.Config{})
			sent, headers := body, []string(nil)
			if c.prepare != nil {
				sent, headers = c.prepare(a)
			}
			if len(headers) == 0 || headers[0] != "Origin" {
				headers = append(headers, "Origin", page)
			}
			got := a.Do(a.anna, "PUT", myKey, sent, headers...)
			if got.Status != c.status || strings.Contains(fmt.Sprint(got), "pasted") || strings.Contains(fmt.Sprint(got), a.anna[80:]) {
				t.Errorf("%d %s %v", got.Status, got.Body, got.Header)
			}
		})
	}
}
