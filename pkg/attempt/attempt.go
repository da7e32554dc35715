// Package attempt bounds how an adapter calls AWS: each attempt in time, their
// number, and all of them together with the waits between.
package attempt

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

const (
	firstWait = 100 * time.Millisecond // of a policy that names none
	longWait  = 200 * time.Millisecond // before any attempt, at most
)

// Policy says how often and how long a call is tried.
type Policy struct {
	Each    time.Duration // bounds one attempt, the reading of its answer included
	Most    int           // attempts
	First   time.Duration // to wait before the second of them, at most; 0 is 100 ms
	Total   time.Duration // bounds all attempts and the waits between them
	Reserve time.Duration // before the caller's deadline, so that he can still answer
	// Passing are the error codes, besides those that the SDK knows, that go away
	// by themselves.
	Passing map[string]struct{}
}

// Bound cuts ctx to the total time and the reserve before its deadline. A call
// is made under what it returns.
func (p Policy) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(p.Total)
	if deadline, ok := ctx.Deadline(); ok {
		if early := deadline.Add(-p.Reserve); early.Before(end) {
			end = early
		}
	}
	return context.WithDeadline(ctx, end)
}

// Retryer tries again what may succeed then. It goes into a client's options.
func (p Policy) Retryer() aws.RetryerV2 {
	return retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts = p.Most
		s.Backoff = retry.BackoffDelayerFunc(func(made int, _ error) (time.Duration, error) { return p.Wait(made), nil })
		s.Retryables = append(s.Retryables, retry.RetryableErrorCode{Codes: p.Passing})
	})
}

// Passes tells whether what an error code stands for may be gone the next time.
func (p Policy) Passes(code string) bool {
	_, own := p.Passing[code]
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	return own || throttled
}

// Pause waits before a call is made again that was made so many times. The SDK
// waits by itself between attempts of one call; this is for the parts of a batch.
func (p Policy) Pause(ctx context.Context, made int) error {
	timer := time.NewTimer(p.Wait(made))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err()
}

// Wait is how long to wait after so many attempts: exponential with full jitter.
func (p Policy) Wait(made int) time.Duration {
	return rand.N(min(longWait, cmp.Or(p.First, firstWait)<<min(max(made-1, 0), 8))) //nolint:gosec // spreads load; nothing depends on its secrecy
}

// HTTPClient is what every client of the SDK sends with.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

// Client bounds each attempt that is sent with next, until its body is closed.
// The SDK has no such bound, and its retries see an attempt that ran out as a
// failed connection.
func (p Policy) Client(next HTTPClient) HTTPClient { return client{next, p.Each} }

type client struct {
	next HTTPClient
	each time.Duration
}

// Do implements HTTPClient.
func (c client) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), c.each)
	resp, err := c.next.Do(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = body{resp.Body, cancel}
	return resp, nil
}

type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
