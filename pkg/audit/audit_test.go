package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/audit"
)

func TestALineSaysWhoWhatForWhomAndHowItEnded(t *testing.T) {
	var out bytes.Buffer
	line := audit.Line{
		At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Tenant: "tenant", APIKey: "key", Slug: "openai",
		User: "user\n\"quoted\"", IntegrationID: "integration", AccountID: "account", SecretID: "secret", Outcome: "vended",
		RequestID: "one that a caller made up",
	}
	ctx := audit.WithRequestID(t.Context(), "req_1")
	if err := audit.NewWriter(&out).Record(ctx, line); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(out.Bytes(), []byte("\n")) != 1 || !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		t.Errorf("not one line: %q", out.Bytes())
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"log": "audit", "tenant": "tenant", "api_key": "key", "slug": "openai", "user_id": line.User, "outcome": "vended",
		"data_integration_id": "integration", "account_id": "account", "secret_id": "secret", "request_id": "req_1", "at": "2026-03-01T12:00:00Z",
	} {
		if got[field] != want {
			t.Errorf("%s = %v, want %q", field, got[field], want)
		}
	}
}

// once fails a write, and takes each in one piece.
type once struct {
	mu     sync.Mutex
	pieces [][]byte
	err    error
}

func (w *once) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return len(p) / 2, w.err
	}
	w.pieces = append(w.pieces, bytes.Clone(p))
	return len(p), nil
}

func TestALineThatMayBeLostIsAnError(t *testing.T) {
	broken := errors.New("disk full")
	if err := audit.NewWriter(&once{err: broken}).Record(t.Context(), audit.Line{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestLinesOfManyAtOnceAreWhole(t *testing.T) {
	var out once
	log := audit.NewWriter(&out)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if err := log.Record(t.Context(), audit.Line{User: "user"}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(out.pieces) != 50 {
		t.Errorf("%d writes", len(out.pieces))
	}
	for _, p := range out.pieces {
		if !json.Valid(p) {
			t.Errorf("%q", p)
		}
	}
}

func TestWithoutARequestThereIsNoRequestID(t *testing.T) {
	if id := audit.RequestID(context.Background()); id != "" {
		t.Errorf("%q", id)
	}
}

func TestALineIsReadBackAndWhatIsNoneIsNot(t *testing.T) {
	var out bytes.Buffer
	line := audit.Line{
		At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Tenant: "tenant", APIKey: "key", User: `","outcome":"vended`, AccountID: "account", Outcome: "frozen",
	}
	if err := audit.NewWriter(&out).Record(audit.WithRequestID(t.Context(), "req_1"), line); err != nil {
		t.Fatal(err)
	}
	line.RequestID = "req_1"
	if got, ok := audit.Parse(out.Bytes()); !ok || got != line {
		t.Errorf("%+v %v", got, ok)
	}
	for _, text := range []string{"", "{", "null", `{"log":"other"}`, `{"at":"2026-03-01T12:00:00Z"}`, `{"log":"audit","at":7}`, out.String() + out.String()} {
		if got, ok := audit.Parse([]byte(text)); ok {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}
