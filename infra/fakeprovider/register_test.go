package fakeprovider_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
)

func TestEveryFakeIsRegisteredOverTheAPIByOneCall(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	token := w.Key(w.Tenant(), "manage", "vend")
	server := httptest.NewServer(w.Handler)
	defer server.Close()
	for _, f := range fakeprovider.All() {
		for range 2 { // it may be there already
			if err := f.Register(t.Context(), server.URL+"/", token); err != nil {
				t.Fatal(err)
			}
		}
		var stored struct {
			Custom        bool
			CheckInterval string                `json:"check_interval"`
			ConfigFields  []catalog.ConfigField `json:"config_fields"`
			Check         catalog.Check
		}
		got := w.Must(http.StatusOK, token, "GET", "/keyvend/integrations/"+f.Slug(), "")
		if err := json.Unmarshal([]byte(got.Body), &stored); err != nil {
			t.Fatal(err)
		}
		if !stored.Custom || stored.CheckInterval != "15m" || !reflect.DeepEqual(stored.ConfigFields, f.ConfigFields) || !reflect.DeepEqual(stored.Check, f.Check) {
			t.Errorf("%s", got.Body)
		}
		config := "{}"
		if len(f.ConfigFields) > 0 {
			config = `{"region":"eu"}`
		}
		w.Must(http.StatusOK, token, "PUT", "/data-integrations/"+f.Slug()+"/api-key",
			fmt.Sprintf(`{"user_id":"anna","secret":"sk-canary-fake-valid-eu-0001","config":%s}`, config))
	}
}

func TestRegisteringWithoutLeaveIsAnError(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	token := w.Key(w.Tenant(), "vend")
	server := httptest.NewServer(w.Handler)
	defer server.Close()
	err := fakeprovider.Bearer().Register(t.Context(), server.URL, token)
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "insufficient_scope") || strings.Contains(err.Error(), token) {
		t.Error(err)
	}
	server.Close()
	if err := fakeprovider.Bearer().Register(t.Context(), server.URL, token); err == nil {
		t.Error("it is registered nowhere")
	}
}
