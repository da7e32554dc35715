package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// client speaks to a keyvend with one API key.
type client struct {
	base, key string
	http      *http.Client
	busy      *atomic.Int64 // answers that said so; nil: nobody counts them
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
	retryAfter   time.Duration // what it asks for; 0: nothing
	body         []byte
}

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s %s: %d %s", r.method, r.path, r.status, r.body)
}

const (
	tries     = 8                      // of a request that may be sent again
	firstWait = 100 * time.Millisecond // before the second one, when the answer asks for nothing
	mostWait  = 30 * time.Second
)

// call sends a request, wants the status, and decodes the answer into out, nil
// for one that does not matter. When keyvend says that it is busy, the request is
// sent again as soon as it asks for.
func (c *client) call(ctx context.Context, want int, method, path string, body, out any) error {
	return c.insist(ctx, isBusy, want, method, path, body, out)
}

func isBusy(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && (refused.status == http.StatusTooManyRequests || refused.status == http.StatusServiceUnavailable)
}

// isPassing is isBusy or what a keyvend does that is killed, and comes back.
func isPassing(err error) bool {
	var refused *refusal
	return err != nil && (isBusy(err) || !errors.As(err, &refused) || refused.status >= http.StatusInternalServerError)
}

// insist is call for requests that are sent again after the errors that again
// names.
func (c *client) insist(ctx context.Context, again func(error) bool, want int, method, path string, body, out any) error {
	key := rand.Text() // by which keyvend knows a request that comes again
	for try := 0; ; try++ {
		err := c.once(ctx, key, want, method, path, body, out)
		var refused *refusal
		switch {
		case errors.As(err, &refused) && try > 0 && method == http.MethodDelete && refused.status == http.StatusNotFound:
			return nil // the one before was done, and its answer was not
		case !again(err):
			return err
		case try+1 == tries:
			return fmt.Errorf("%w (sent %d times)", err, tries)
		}
		if c.busy != nil && isBusy(err) {
			c.busy.Add(1)
		}
		wait := firstWait << try
		if refused != nil {
			wait = max(wait, refused.retryAfter)
		}
		if pause(ctx, min(wait, mostWait)) != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// once sends a request once.
func (c *client) once(ctx context.Context, key string, want int, method, path string, body, out any) error {
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
		r.Header.Set("Idempotency-Key", key)
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
		return &refusal{method, path, answer.StatusCode, retryAfter(answer.Header), said}
	case out == nil:
		return nil
	}
	return json.Unmarshal(said, out)
}

// retryAfter is the time that an answer asks for, 0 for none.
func retryAfter(h http.Header) time.Duration {
	seconds, _ := strconv.Atoi(h.Get("Retry-After")) // what is no number asks for nothing
	return time.Duration(max(seconds, 0)) * time.Second
}

// upsert stores a key and returns its account's id. What a busy or restarting
// keyvend does not answer is sent again.
func (c *client) upsert(ctx context.Context, slug, user, secret string) (id string, err error) {
	var account struct{ ID string }
	err = c.insist(ctx, isPassing, http.StatusOK, http.MethodPut, "/data-integrations/"+slug+"/api-key",
		map[string]string{"user_id": user, "secret": secret}, &account)
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
