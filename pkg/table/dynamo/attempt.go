package dynamo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keyvend/pkg/attempt"
)

const maxAnswer = 64 << 20 // bytes; DynamoDB sends at most 16 MB of items

// waits says how long to wait between attempts. How many there are and how long
// they may take is counted here, over all calls of the SDK that one call of the port
// makes.
var waits = attempt.Policy{First: 25 * time.Millisecond}

// NewClient returns a client for Config. The endpoint is cfg.BaseEndpoint, by
// default AWS's of the region.
func NewClient(cfg aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		if cfg.HTTPClient == nil {
			o.HTTPClient = &http.Client{
				Transport:     &wakeful{awshttp.NewBuildableClient().GetTransport()},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}
		}
	})
}

// wakeful is a transport that trusts no idle connection once one has failed.
// After a function's environment was frozen all of them are dead, and a retry
// must not try them one by one.
type wakeful struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (w *wakeful) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.Transport.RoundTrip(r)
	if err != nil {
		w.CloseIdleConnections()
	}
	return resp, err
}

// call is one call of the port while it is made.
type call struct {
	t        *Table
	attempts int  // made so far
	unsure   bool // one of them failed such that it may be stored
}

func (t *Table) newCall() *call { return &call{t: t} }

// options sets up one call of the SDK: its share of the attempts that are left,
// and what watches over each of them.
func (c *call) options(o *dynamodb.Options) {
	o.Retryer = retry.AddWithMaxAttempts(c.t.retryer, c.t.c.Attempts-c.attempts)
	// The SDK's own check only logs what does not fit; checked reads it.
	o.DisableValidateResponseChecksum = true
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("keyvend:attempt", c.attempt), "Retry", middleware.After); err != nil {
			return err
		}
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("keyvend:checked", checked), middleware.After)
	})
}

// pause waits before the call of the SDK is made again, if there is an attempt
// left for it.
func (c *call) pause(ctx context.Context) error {
	if c.attempts >= c.t.c.Attempts {
		return fmt.Errorf("%d attempts", c.attempts)
	}
	return waits.Pause(ctx, c.attempts)
}

// attempt bounds one attempt in time and counts it.
func (c *call) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	c.attempts++
	bounded, cancel := context.WithTimeout(ctx, c.t.c.AttemptTimeout)
	defer cancel()
	out, metadata, err := next.HandleFinalize(bounded, in)
	if err == nil {
		return out, metadata, nil
	}
	c.unsure = c.unsure || !notStored(err)
	if bounded.Err() != nil && ctx.Err() == nil {
		err = &passingError{message: fmt.Sprintf("no answer in %v: %v", c.t.c.AttemptTimeout, err), timeout: true}
	}
	return out, metadata, err
}

// notStored tells whether an attempt failed such that nothing can be stored:
// DynamoDB itself said so.
func notStored(err error) bool {
	var response interface{ HTTPStatusCode() int }
	return errors.As(err, &response) && response.HTTPStatusCode() >= 400 && response.HTTPStatusCode() < 500
}

// checked reads an answer whole and compares it with its checksum before
// anything of it is decoded.
func checked(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		return out, metadata, fmt.Errorf("dynamo: an answer of type %T", out.RawResponse)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case err != nil:
		return out, metadata, &passingError{message: fmt.Sprintf("the answer broke off after %d bytes: %v", len(body), err)}
	case len(body) > maxAnswer:
		return out, metadata, fmt.Errorf("dynamo: an answer of more than %d bytes", maxAnswer)
	}
	if sum := response.Header.Get("X-Amz-Crc32"); sum != "" && sum != strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10) {
		return out, metadata, &passingError{message: "the answer does not fit its checksum"}
	}
	return out, metadata, nil
}

// passingError is an attempt that failed on the way; another may not. It hides
// the error that it tells of, which the SDK might take for a cancelled call.
type passingError struct {
	message string
	timeout bool
}

// Error implements error.
func (e *passingError) Error() string { return e.message }

// RetryableError tells the SDK's retryer to go on.
func (e *passingError) RetryableError() bool { return true }

// Timeout tells the SDK's retryer what the failure costs.
func (e *passingError) Timeout() bool { return e.timeout }
