package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestASmallRunWithTwoKillsKeepsEveryPromise(t *testing.T) {
	var out bytes.Buffer
	if err := command(t.Context(), []string{"-accounts", "300", "-kills", "2"}, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| 300 accounts, 16 writers, ", "| 3 in ", "| DELETE of the integration |", "| left at each of 2 kills |", "| 4 rows, 4 and 4 index entries", "| order=desc | "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "canary") {
		t.Errorf("the report tells a secret:\n%s", out.String())
	}
}

// running is an infra/local for the whole test.
func running(t *testing.T) *local {
	t.Helper()
	l, err := buildLocal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.remove(); err != nil {
			t.Error(err)
		}
	})
	if _, err := l.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// behind puts a proxy before a keyvend, which changes the answers to some
// requests, and returns an env file for it.
func behind(t *testing.T, l *local, path string, change func(page map[string]any)) string {
	t.Helper()
	c, err := clientOf(filepath.Join(l.data(), "env"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(c.base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(base) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path != path || r.Request.Method != http.MethodGet {
				return nil
			}
			page := map[string]any{}
			if err := json.NewDecoder(r.Body).Decode(&page); err != nil {
				return err
			}
			change(page)
			text, err := json.Marshal(page)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", fmt.Sprint(len(text)))
			return err
		},
	})
	t.Cleanup(proxy.Close)
	return envFile(t, proxy.URL, c.key)
}

func envFile(t *testing.T, base, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("KEYVEND_URL="+base+"\nKEYVEND_API_KEY="+key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSomebodyElsesKeyvendKeepsWhatItHadAndABrokenPromiseIsAnError(t *testing.T) {
	l := running(t)
	env := filepath.Join(l.data(), "env")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	run := func(env string) (string, error) {
		var out bytes.Buffer
		err := command(ctx, []string{"-env", env, "-accounts", "120", "-writers", "8"}, &out, t.Output())
		return out.String(), err
	}
	c, err := clientOf(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.call(t.Context(), http.StatusCreated, http.MethodPost, "/data-integrations",
		map[string]any{"provider": "openai", "auth_methods": []string{"api_key"}, "enabled": true}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.upsert(t.Context(), "openai", "ada", newSecret()); err != nil {
		t.Fatal(err)
	}

	untouched := func() {
		t.Helper()
		for _, path := range []string{"/data-integrations", "/keyvend/accounts"} {
			var left struct{ Data []any }
			if err := c.call(t.Context(), http.StatusOK, http.MethodGet, path, nil, &left); err != nil || len(left.Data) != 1 {
				t.Errorf("%s: %v %v", path, left, err)
			}
		}
	}
	if out, err := run(env); err != nil || strings.Contains(out, "kills") {
		t.Fatalf("%v\n%s", err, out)
	}
	untouched()

	forgetful := behind(t, l, "/keyvend/accounts", func(page map[string]any) {
		if rows := page["data"].([]any); len(rows) > 20 {
			page["data"] = rows[1:]
		}
	})
	out, err := run(forgetful)
	if err == nil || !strings.Contains(err.Error(), "holds 99 ") {
		t.Errorf("a list that leaves one out: %v", err)
	}
	if !strings.Contains(out, ", broken off |") || !strings.Contains(out, "| upserts | 120 in ") {
		t.Errorf("a run that fails tells\n%s", out)
	}
	untouched()
	asked := 0
	silent := behind(t, l, "/events", func(page map[string]any) {
		page["data"] = []any{}
		if asked++; asked == 3 {
			cancel()
		}
	})
	if _, err := run(silent); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "of 0 accounts of 120 was told") {
		t.Errorf("an end that is never told: %v", err)
	}
	untouched()
}

func TestWhatCannotBeRunIsRefusedBeforeAnythingIsSent(t *testing.T) {
	far := envFile(t, "https://keyvend.example", "sk_kv_none")
	for want, args := range map[string][]string{
		"is not on this machine":     {"-env", far},
		"does not give KEYVEND_URL":  {"-env", envFile(t, "", "")},
		"no such file":               {"-env", filepath.Join(t.TempDir(), "none")},
		"-accounts is from 1":        {"-accounts", "0"},
		"-writers is from 1":         {"-writers", "1000"},
		"-kills is from 0":           {"-kills", "-1"},
		"unexpected argument \"go\"": {"go"},
	} {
		if err := command(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// answering is a client of a keyvend that gives these answers in turn, the last
// one for ever.
func answering(t *testing.T, asked *[]*http.Request, answers ...http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r)
		answers[min(len(*asked), len(answers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	c, err := clientOf(envFile(t, server.URL, "sk_kv_none"))
	if err != nil {
		t.Fatal(err)
	}
	c.busy = &atomic.Int64{}
	return c
}

func says(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"id":"made"}`)
	}
}

func TestWhatABusyKeyvendDoesNotAnswerIsSentAgainAsTheSameRequest(t *testing.T) {
	var asked []*http.Request
	c := answering(t, &asked, says(503), says(429, "Retry-After", "1"), says(201))
	began := time.Now()
	var made struct{ ID string }
	if err := c.call(t.Context(), 201, "POST", "/data-integrations", map[string]string{}, &made); err != nil || made.ID != "made" {
		t.Fatalf("%v %v", made, err)
	}
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("it was asked to wait a second, and came back after %v", waited)
	}
	keys := map[string]bool{}
	for _, r := range asked {
		keys[r.Header.Get("Idempotency-Key")] = true
	}
	if len(asked) != 3 || len(keys) != 1 || keys[""] || c.busy.Load() != 2 {
		t.Errorf("%d requests with the keys %v, %d said busy", len(asked), keys, c.busy.Load())
	}
}

func TestADeleteThatWasDoneAndNotAnsweredIsDone(t *testing.T) {
	var asked []*http.Request
	c := answering(t, &asked, says(503), says(404))
	if err := c.call(t.Context(), 204, "DELETE", "/data-integrations/x", nil, nil); err != nil || len(asked) != 2 {
		t.Errorf("%d requests, %v", len(asked), err)
	}
	asked = nil
	c = answering(t, &asked, says(404))
	if err := c.call(t.Context(), 204, "DELETE", "/data-integrations/x", nil, nil); err == nil {
		t.Error("what was never there is deleted")
	}
}

func TestWhatIsNoMatterOfTimeIsNotSentAgain(t *testing.T) {
	for _, status := range []int{400, 401, 409, 500} {
		var asked []*http.Request
		c := answering(t, &asked, says(status))
		if err := c.call(t.Context(), 200, "GET", "/events", nil, nil); err == nil || len(asked) != 1 {
			t.Errorf("%d: %d requests, %v", status, len(asked), err)
		}
	}
}

func TestABusyKeyvendIsNotAskedForEver(t *testing.T) {
	var asked []*http.Request
	c := answering(t, &asked, says(503))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.http.Transport = ending{c.http.Transport, 3, cancel, new(int)}
	err := c.call(ctx, 200, "GET", "/events", nil, nil)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "GET /events: 503") {
		t.Errorf("told to stop: %v", err)
	}
}

// ending ends a context after some requests.
type ending struct {
	http.RoundTripper
	after int
	end   func()
	n     *int
}

func (e ending) RoundTrip(r *http.Request) (*http.Response, error) {
	if *e.n++; *e.n == e.after {
		defer e.end()
	}
	return e.RoundTripper.RoundTrip(r)
}

func TestARunStopsByItself(t *testing.T) {
	env := envFile(t, "http://127.0.0.1:1", "sk_kv_none") // where nobody listens
	if err := command(t.Context(), []string{"-env", env, "-most", "1ns"}, io.Discard, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestNumbersAreWrittenAsPeopleReadThem(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 100_000: "100,000", 1_234_567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
