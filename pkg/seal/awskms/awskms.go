// Package awskms guards key material with a symmetric key of AWS KMS. It is the
// only importer of the KMS SDK.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keyvend/pkg/attempt"
	"keyvend/pkg/seal"
)

// Config of a Wrapper. A zero duration or count stands for the default.
type Config struct {
	// KeyARN names the key, as an ARN and not an alias: every answer of KMS is
	// checked against it.
	KeyARN string
	// Attempt bounds one attempt, the reading of its answer included. 800 ms.
	Attempt time.Duration
	// Attempts is how often a call is tried at most. 3.
	Attempts int
	// Total bounds all attempts and the waits between them. 2.5 s.
	Total time.Duration
	// Reserve is how long before the caller's deadline a call gives up, so that
	// the caller can still answer. 200 ms.
	Reserve time.Duration
}

// maxBlob is what KMS takes as a ciphertext, in bytes.
const maxBlob = 6144

// Wrapper implements seal.Wrapper with KMS.
type Wrapper struct {
	key    string // its ARN
	policy attempt.Policy
	client *kms.Client
}

var _ seal.Wrapper = (*Wrapper)(nil)

// New makes a Wrapper. It opens no connection.
func New(c aws.Config, cfg Config) (*Wrapper, error) {
	if !strings.HasPrefix(cfg.KeyARN, "arn:") || !strings.Contains(cfg.KeyARN, ":key/") {
		return nil, fmt.Errorf("awskms: %q is not the ARN of a KMS key", cfg.KeyARN)
	}
	cfg.Attempt = orDefault(cfg.Attempt, 800*time.Millisecond)
	cfg.Attempts = orDefault(cfg.Attempts, 3)
	cfg.Total = orDefault(cfg.Total, 2500*time.Millisecond)
	cfg.Reserve = orDefault(cfg.Reserve, 200*time.Millisecond)
	policy := attempt.Policy{Each: cfg.Attempt, Most: cfg.Attempts, Total: cfg.Total, Reserve: cfg.Reserve, Passing: transient}
	client := kms.NewFromConfig(c, func(o *kms.Options) {
		o.Retryer = policy.Retryer()
		o.HTTPClient = policy.Client(o.HTTPClient)
		o.ClientLogMode = 0 // bodies hold key material in clear
	})
	return &Wrapper{key: cfg.KeyARN, policy: policy, client: client}, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// KeyID names the key, for seal.Config.
func (w *Wrapper) KeyID() string { return w.key }

// Wrap implements seal.Wrapper.
func (w *Wrapper) Wrap(ctx context.Context, c seal.Context, plaintext []byte) ([]byte, error) {
	ctx, cancel := w.policy.Bound(ctx)
	defer cancel()
	out, err := w.client.Encrypt(ctx, &kms.EncryptInput{
		KeyId:               &w.key,
		Plaintext:           plaintext,
		EncryptionContext:   c.Map(),
		EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
	})
	if err != nil {
		return nil, classify("encrypt", err)
	}
	if err := w.check("encrypt", out.KeyId, out.CiphertextBlob); err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// Unwrap implements seal.Wrapper.
func (w *Wrapper) Unwrap(ctx context.Context, c seal.Context, blob []byte) ([]byte, error) {
	if len(blob) == 0 || len(blob) > maxBlob {
		return nil, fmt.Errorf("%w: a wrapped blob of %d bytes", seal.ErrIntegrity, len(blob))
	}
	ctx, cancel := w.policy.Bound(ctx)
	defer cancel()
	out, err := w.client.Decrypt(ctx, &kms.DecryptInput{
		KeyId:               &w.key,
		CiphertextBlob:      blob,
		EncryptionContext:   c.Map(),
		EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault,
	})
	if err != nil {
		return nil, classify("decrypt", err)
	}
	if err := w.check("decrypt", out.KeyId, out.Plaintext); err != nil {
		clear(out.Plaintext)
		return nil, err
	}
	return out.Plaintext, nil
}

// check refuses the answer of another key, and an empty one.
func (w *Wrapper) check(op string, key *string, content []byte) error {
	if got := aws.ToString(key); got != w.key {
		return fmt.Errorf("%w: KMS %s answered for key %q", seal.ErrIntegrity, op, got)
	}
	if len(content) == 0 {
		return fmt.Errorf("%w: KMS %s answered nothing", seal.ErrIntegrity, op)
	}
	return nil
}

// transient are the errors, besides those that the SDK knows, that go away by
// themselves: KMS's own, fresh credentials, a clock that the SDK corrects.
var transient = map[string]struct{}{
	"DependencyTimeoutException":      {},
	"KMSInternalException":            {},
	"KeyUnavailableException":         {},
	"ExpiredTokenException":           {},
	"ExpiredToken":                    {},
	"RequestExpired":                  {},
	"RequestTimeTooSkewed":            {},
	"RequestInTheFuture":              {},
	"InvalidSignatureException":       {},
	"SignatureDoesNotMatch":           {},
	"InternalFailure":                 {},
	"InternalServiceErrorException":   {},
	"InternalServerException":         {},
	"ServiceUnavailable":              {},
	"ServiceUnavailableException":     {},
	"RequestAbortedException":         {},
	"CloudHsmClusterInUseException":   {},
	"XksProxyUriUnreachableException": {},
}

// classify maps an error of the SDK to package seal's. What cannot be read as
// an answer of KMS tells nothing of the blob: ErrUnavailable.
func classify(op string, err error) error {
	return fmt.Errorf("%w: KMS %s: %w", sentinel(err), op, err)
}

func sentinel(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return seal.ErrUnavailable
	}
	code := api.ErrorCode()
	switch code {
	case "InvalidCiphertextException", "IncorrectKeyException", "ValidationException":
		return seal.ErrIntegrity
	}
	if _, ok := transient[code]; ok {
		return seal.ErrUnavailable
	}
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return seal.ErrUnavailable
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) && (resp.HTTPStatusCode() >= 500 || resp.HTTPStatusCode() == http.StatusTooManyRequests) {
		return seal.ErrUnavailable
	}
	// Disabled, pending deletion, denied, not found, and whatever else KMS says
	// no with: a person has to look at it.
	return seal.ErrRefused
}
