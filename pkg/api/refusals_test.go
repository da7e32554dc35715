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
