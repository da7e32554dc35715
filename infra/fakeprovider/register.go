package fakeprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"keyvend/pkg/catalog"
)

// Slug is the fake's slug as a custom provider.
func (f Fake) Slug() string { return "fake-" + f.Name }

// Registration is the body of POST /data-integrations that makes the fake a
// custom provider.
func (f Fake) Registration() []byte {
	return encoded(registration{
		Provider:       f.Slug(),
		AuthMethods:    []string{"api_key"},
		Enabled:        true,
		CustomProvider: named{"Fake " + f.Name},
	})
}

type registration struct {
	Provider       string   `json:"provider"`
	AuthMethods    []string `json:"auth_methods"`
	Enabled        bool     `json:"enabled"`
	CustomProvider named    `json:"custom_provider"`
}

type named struct {
	Name string `json:"name"`
}

// Definition is the body of PATCH /keyvend/integrations/{slug} that gives the
// custom provider the fake's settings and check.
func (f Fake) Definition() []byte {
	return encoded(definition{
		KeyHint:       "A key of the fake providers, such as fake-valid-0001.",
		CheckInterval: "15m",
		ConfigFields:  f.ConfigFields,
		Check:         f.Check,
	})
}

type definition struct {
	KeyHint       string                `json:"key_hint"`
	CheckInterval string                `json:"check_interval"`
	ConfigFields  []catalog.ConfigField `json:"config_fields"`
	Check         catalog.Check         `json:"check"`
}

// encoded is v as JSON.
func encoded(v any) []byte {
	text, _ := json.Marshal(v) // these types have no value that it cannot encode
	return text
}

// Register makes the fake a provider of the tenant that apiKey belongs to, at
// the keyvend whose base address is url. It may be there already.
func (f Fake) Register(ctx context.Context, url, apiKey string) error {
	url = strings.TrimSuffix(url, "/")
	status, said, err := send(ctx, http.MethodPost, url+"/data-integrations", apiKey, f.Registration())
	if err == nil && status != http.StatusCreated && status != http.StatusConflict {
		err = fmt.Errorf("%d %s", status, said)
	}
	if err != nil {
		return fmt.Errorf("fakeprovider: register %s: %w", f.Slug(), err)
	}
	status, said, err = send(ctx, http.MethodPatch, url+"/keyvend/integrations/"+f.Slug(), apiKey, f.Definition())
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, said)
	}
	if err != nil {
		return fmt.Errorf("fakeprovider: define %s: %w", f.Slug(), err)
	}
	return nil
}

// send makes a request of keyvend's API.
func send(ctx context.Context, method, url, apiKey string, body []byte) (status int, said []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", typeJSON)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written
	said, err = io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	return answer.StatusCode, said, err
}
