package api_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
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
	if got := a.Do("", "GET", "/embed/"+a.tenant, ""); got.Status != 503 || got.Header.Get("Content-Security-Policy") != "" {
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
