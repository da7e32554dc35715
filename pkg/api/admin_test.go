package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
)

func TestWhoFreezesWithoutAReasonIsToldTheWholeCallAtOnce(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for _, path := range []string{"/keyvend/freeze", "/keyvend/integrations/openai/freeze", "/keyvend/organizations/org/freeze"} {
		sentences := map[string]bool{}
		for body, status := range map[string]int{
			"":                   http.StatusBadRequest,
			`{"reason":["why"]}`: http.StatusBadRequest,
			`{"reason":7}`:       http.StatusBadRequest,
			`{}`:                 http.StatusUnprocessableEntity,
			`{"reason":""}`:      http.StatusUnprocessableEntity,
			`{"reason":null}`:    http.StatusUnprocessableEntity,
		} {
			got := a.Must(status, a.token, "PUT", path, body)
			sentences[got.Text("message")] = true
			if !strings.Contains(got.Text("message"), `{"reason": "…"}`) {
				t.Errorf("%s %q: %s", path, body, got.Body)
			}
		}
		if len(sentences) != 1 {
			t.Errorf("%s: %v", path, sentences)
		}
		if got := a.Must(http.StatusOK, a.token, "GET", path, ""); !strings.Contains(got.Body, `"frozen":false`) {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
	a.vends(t, key)
}

func TestAnOriginThatIsWrittenTwiceIsStoredOnce(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	got := a.Must(http.StatusOK, a.token, "PUT", "/keyvend/settings",
		`{"allowed_origins":["https://b.example.com","https://a.example.com","https://b.example.com"]}`)
	if want := `"allowed_origins":["https://b.example.com","https://a.example.com"]`; !strings.Contains(got.Body, want) {
		t.Errorf("%s, not %s", got.Body, want)
	}
}

// Every vend reads the settings, and a browser gets the origins in one header.
func TestOriginsAreBoundedOneByOneAndTogether(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	put := func(origins ...string) boottest.Answer {
		return a.Do(a.token, "PUT", "/keyvend/settings", `{"allowed_origins":["`+strings.Join(origins, `","`)+`"]}`)
	}
	long := strings.Repeat(strings.Repeat("a", 48)+".", 5) // 245 bytes
	for origin, status := range map[string]int{
		"https://" + long + "abcd.com:65535":                     200, // a host of 253
		"https://" + long + "abcde.com":                          422,
		"https://" + strings.Repeat("a", 60000) + ".example.com": 422,
	} {
		if got := put(origin); got.Status != status {
			t.Errorf("%d bytes: %d %s", len(origin), got.Status, got.Body)
		}
	}
	var some, many []string
	for i := range 50 {
		some = append(some, fmt.Sprintf("https://customer-with-a-long-name-%02d.product.example.com", i))
		many = append(many, fmt.Sprintf("https://%s%02d.example.com", long[:200], i))
	}
	if got := put(many...); got.Status != 422 || !strings.Contains(got.Text("message"), "in all") {
		t.Errorf("%d %.200s", got.Status, got.Body)
	}
	a.Must(200, a.token, "PUT", "/keyvend/settings", `{"allowed_origins":["`+strings.Join(some, `","`)+`"]}`)
	bounded := func() int {
		got := a.Must(200, "", "GET", "/embed/"+a.tenant, "")
		size := 0
		for name, values := range got.Header {
			size += len(name) + len(strings.Join(values, "")) + len(": \r\n")
		}
		if size > 4<<10 {
			t.Errorf("headers of %d bytes", size)
		}
		return strings.Count(got.Header.Get("Content-Security-Policy"), "https://")
	}
	if n := bounded(); n != 50 {
		t.Errorf("%d origins frame the page", n)
	}
	// Nor does a list in the table that nobody bounded make more of it.
	a.Edit(boottest.SettingsRow(a.tenant), func(r boottest.Row) { r["allowed_origins"] = many })
	if n := bounded(); n == 0 {
		t.Error("no origin frames the page")
	}
}

func TestAnOriginThatNoBrowserCanSendIsRefused(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	label := strings.Repeat("a", 63)
	long := label + "." + label + "." + label + "." + label[:61] // 253
	for origin, status := range map[string]int{
		"https://" + label + ".example":        http.StatusOK,
		"https://" + label + "a.example":       http.StatusUnprocessableEntity,
		"https://app." + label + "a":           http.StatusUnprocessableEntity,
		"https://" + long:                      http.StatusOK,
		"https://" + long + "a":                http.StatusUnprocessableEntity,
		"https://" + strings.Repeat("a", 300):  http.StatusUnprocessableEntity,
		"https://[2001:db8::1]:8443":           http.StatusOK,
		"https://" + label + "a.example:8443":  http.StatusUnprocessableEntity,
		"https://" + label + ".example.:8443":  http.StatusOK,
		"http://" + label + "a.localhost:8080": http.StatusUnprocessableEntity,
	} {
		if got := a.Do(a.token, "PUT", "/keyvend/settings", `{"allowed_origins":["`+origin+`"]}`); got.Status != status {
			t.Errorf("%s: %d %s", origin, got.Status, got.Body)
		}
	}
}

// What an answer holds can be sent back with a change.
func TestAnOrganizationsConfigurationCanBeSentBackAsItWasRead(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const path = "/organizations/org_1/data_integration_configurations/openai"
	read := a.Must(http.StatusOK, a.token, "PUT", path, `{"enabled":false}`)
	for _, body := range []string{
		read.Body, strings.Replace(read.Body, `"enabled":false`, `"enabled":true`, 1),
		`{"enabled":true,"config":{},"credentials":{},"client_id":null,"client_secret":null}`, `{"enabled":true,"config":null,"credentials":null}`,
	} {
		got := a.Must(http.StatusOK, a.token, "PUT", path, body)
		if want := strings.Contains(body, `"enabled":true`); strings.Contains(got.Body, `"enabled":true`) != want {
			t.Errorf("%s: %s", body, got.Body)
		}
	}
	for _, body := range []string{`{"enabled":true,"config":{"region":"eu"}}`, `{"enabled":true,"client_id":""}`, `{"config":{}}`} {
		a.Must(http.StatusBadRequest, a.token, "PUT", path, body)
	}
}
