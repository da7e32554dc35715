package attempt_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"keyvend/pkg/attempt"
)

func TestACallEndsAtItsTotalOrTheReserveBeforeTheCallersDeadline(t *testing.T) {
	deadline, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Hour))
	defer cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		policy attempt.Policy
		want   time.Duration // from now, at most; an hour less, at least
	}{
		"no deadline":     {t.Context(), attempt.Policy{Total: 9 * time.Hour}, 9 * time.Hour},
		"a late deadline": {deadline, attempt.Policy{Total: time.Minute, Reserve: time.Second}, time.Minute},
		"an early one":    {deadline, attempt.Policy{Total: 9 * time.Hour}, time.Hour},
		"with a reserve":  {deadline, attempt.Policy{Total: 9 * time.Hour, Reserve: 2 * time.Hour}, -time.Hour},
	} {
		ctx, end := c.policy.Bound(c.ctx)
		if got, ok := ctx.Deadline(); !ok || time.Until(got) > c.want || time.Until(got) < c.want-time.Hour {
			t.Errorf("%s: %v", name, time.Until(got))
		}
		if over := ctx.Err() != nil; over != (c.want < 0) {
			t.Errorf("%s: %v", name, ctx.Err())
		}
		end()
	}
}

// sender answers at once, and tells what became of its context.
type sender struct{ ctx context.Context }

func (s *sender) Do(r *http.Request) (*http.Response, error) {
	if s.ctx = r.Context(); r.URL.Path == "/failing" {
		return nil, errors.New("no connection")
	}
	return &http.Response{Body: io.NopCloser(strings.NewReader("answer"))}, nil
}

func TestAnAttemptIsBoundedUntilItsAnswerIsClosed(t *testing.T) {
	for _, path := range []string{"/", "/failing"} {
		s := &sender{}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := attempt.Policy{Each: time.Minute}.Client(s).Do(r)
		if _, bounded := s.ctx.Deadline(); !bounded {
			t.Errorf("%s: no bound", path)
		}
		if err == nil {
			if s.ctx.Err() != nil {
				t.Errorf("%s: ended before its answer was read", path)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		}
		if s.ctx.Err() == nil || t.Context().Err() != nil {
			t.Errorf("%s: not ended", path)
		}
	}
}

func TestWhatMayPassIsTriedAgainAndNothingElse(t *testing.T) {
	p := attempt.Policy{Most: 4, Passing: map[string]struct{}{"Mine": {}}}
	r := p.Retryer()
	for code, want := range map[string]bool{"Mine": true, "ThrottlingException": true, "RequestThrottled": true, "AccessDeniedException": false, "": false} {
		if got := r.IsErrorRetryable(&smithy.GenericAPIError{Code: code}); got != want || p.Passes(code) != want {
			t.Errorf("%q: %v, %v", code, got, p.Passes(code))
		}
	}
	if r.MaxAttempts() != 4 {
		t.Errorf("%d attempts", r.MaxAttempts())
	}
	for made := range 12 {
		if wait, err := r.RetryDelay(made, nil); err != nil || wait < 0 || wait > 200*time.Millisecond {
			t.Errorf("after %d: %v %v", made, wait, err)
		}
	}
}

func TestAPauseEndsWithTheCall(t *testing.T) {
	p := attempt.Policy{}
	if err := p.Pause(t.Context(), 1); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Pause(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
