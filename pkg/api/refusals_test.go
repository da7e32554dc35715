package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
)

func TestF43_RefusalsBeforeAuthenticationAreCountedAndNotLoggedOneByOne(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	w.Key(w.Tenant(), "vend")
	for range 50 {
		w.Must(http.StatusUnauthorized, "sk_kv_nobody", "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	}
	if text := w.Log.String(); strings.Contains(text, "refused") {
		t.Errorf("told at once: %s", text)
	}
	w.Clock.Pass(2 * time.Minute)
	w.Must(http.StatusUnauthorized, "sk_kv_nobody", "POST", "/data-integrations/openai/credentials", `{"user_id":"anna"}`)
	if text := w.Log.String(); strings.Count(text, "requests refused before authentication") != 1 || !strings.Contains(text, "51") {
		t.Errorf("told: %s", text)
	}
}

func TestF49_GoodTokensFromPagesThatAreNotListedAreToldByTenant(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	stray := func() { a.Must(http.StatusForbidden, a.anna, "GET", mine, "", "Origin", "https://evil.example") }
	told := func() int {
		return strings.Count(a.Log.String(), `"msg":"widget tokens came from pages whose origin is not listed","tenant":"`+a.tenant+`"`)
	}
	for range 5 {
		stray()
	}
	if told() != 1 {
		t.Errorf("told %d times: %s", told(), a.Log.String())
	}
	a.Clock.Pass(2 * time.Minute)
	stray()
	if told() != 2 || !strings.Contains(a.Log.String(), `"count":5`) || strings.Contains(a.Log.String(), "evil") {
		t.Errorf("told %d times: %s", told(), a.Log.String())
	}
	// Nothing of it is told of tokens that are nobody's, and of good pages.
	a.browse(a.anna, "GET", mine, "")
	a.Clock.Pass(2 * time.Minute)
	a.Do("eyJ.x.y", "GET", mine, "", "Origin", "https://evil.example")
	if told() != 2 {
		t.Errorf("%s", a.Log.String())
	}
}
