package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// client speaks to a keyvend with one API key.
type client struct {
	base, key string
	http      *http.Client
}

// clientOf reads an env file as infra/local writes it.
func clientOf(path string) (*client, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &client{http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: mostWriters}}}
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "KEYVEND_URL":
			c.base = value
		case "KEYVEND_API_KEY":
			c.key = value
		}
	}
	if c.base == "" || c.key == "" {
		return nil, fmt.Errorf("%s does not give KEYVEND_URL and KEYVEND_API_KEY", path)
	}
	return c, nil
}

// near reports whether the keyvend is on this machine.
func (c *client) near() bool {
	u, err := url.Parse(c.base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// refusal is an answer of another status than the wanted one.
type refusal struct {
	method, path string
	status       int
	body         []byte
}

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s %s: %d %s", r.method, r.path, r.status, r.body)
}

// call sends a request, wants the status, and decodes the answer into out, nil
// for one that does not matter.
func (c *client) call(ctx context.Context, want int, method, path string, body, out any) error {
	var text io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, text)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // all of it was read
	said, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode != want:
		return &refusal{method, path, answer.StatusCode, said}
	case out == nil:
		return nil
	}
	return json.Unmarshal(said, out)
}

const tries = 6 // of an upsert that may be sent again

// upsert stores a key and returns its account's id. What a busy or restarting
// keyvend does not answer is sent again.
func (c *client) upsert(ctx context.Context, slug, user, secret string) (id string, err error) {
	var account struct{ ID string }
	for try := range tries {
		err = c.call(ctx, http.StatusOK, http.MethodPut, "/data-integrations/"+slug+"/api-key",
			map[string]string{"user_id": user, "secret": secret}, &account)
		var refused *refusal
		if err == nil || errors.As(err, &refused) && refused.status < http.StatusInternalServerError && refused.status != http.StatusTooManyRequests {
			break
		}
		if err := pause(ctx, 100*time.Millisecond<<try); err != nil {
			return "", err
		}
	}
	return account.ID, err
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
