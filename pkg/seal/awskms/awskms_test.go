package awskms_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/logging"

	"keyvend/infra/testbed"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/awskms"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/secret"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const (
	someKey = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	canary  = "sk-canary-0123456789abcdef"
)

func wrapper(t testing.TB, endpoint string, cfg awskms.Config) *awskms.Wrapper {
	t.Helper()
	c := testbed.Config()
	c.BaseEndpoint = &endpoint
	w, err := awskms.New(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// scripted is a wrapper before an endpoint with nothing behind it.
func scripted(t testing.TB, cfg awskms.Config) (*testbed.Endpoint, *awskms.Wrapper) {
	t.Helper()
	e := testbed.NewEndpoint(t, "")
	if cfg.KeyARN == "" {
		cfg.KeyARN = someKey
	}
	return e, wrapper(t, e.URL, cfg)
}

func answer(key, field string, content []byte) testbed.Fault {
	return testbed.Reply(200, fmt.Sprintf(`{"KeyId":%q,%q:%q}`, key, field, base64.StdEncoding.EncodeToString(content)))
}

func plaintext(content string) testbed.Fault { return answer(someKey, "Plaintext", []byte(content)) }

// silence keeps the caller waiting until he goes.
func silence(_ http.ResponseWriter, x *testbed.Exchange) { x.Wait(time.Minute) }

func unwrap(t testing.TB, w *awskms.Wrapper) ([]byte, error) {
	t.Helper()
	return w.Unwrap(t.Context(), sealtest.SealContext(), []byte("blob"))
}

func TestKMSKeepsTheWrapperContract(t *testing.T) {
	endpoint := testbed.KMS(t)
	key := testbed.KMSKey(t, endpoint)
	sealtest.Run(t, func(t *testing.T) seal.Wrapper { return wrapper(t, endpoint, awskms.Config{KeyARN: key}) })
}

func TestABlobOfAnotherKMSKeyDoesNotUnwrap(t *testing.T) {
	endpoint := testbed.KMS(t)
	a := wrapper(t, endpoint, awskms.Config{KeyARN: testbed.KMSKey(t, endpoint)})
	b := wrapper(t, endpoint, awskms.Config{KeyARN: testbed.KMSKey(t, endpoint)})
	blob, err := a.Wrap(t.Context(), sealtest.SealContext(), []byte("key material"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Unwrap(t.Context(), sealtest.SealContext(), blob)
	if got != nil || (!errors.Is(err, seal.ErrIntegrity) && !errors.Is(err, seal.ErrRefused)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestASecretSealedUnderKMSOpensInAnotherProcess(t *testing.T) {
	endpoint := testbed.KMS(t)
	key := testbed.KMSKey(t, endpoint)
	ring := func() *seal.Ring {
		w := wrapper(t, endpoint, awskms.Config{KeyARN: key})
		return seal.NewRing(w, seal.Config{App: "keyvend", Environment: "test", KeyID: w.KeyID(), TTL: time.Minute})
	}
	m, blobs, err := ring().Create(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	ingest, err := ring().Ingest(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	b := seal.Binding{Tenant: "acme", IntegrationID: "i", Slug: "openai", OwnerKind: "user", User: "u", AuthMethod: "api_key"}
	s, err := ingest.Seal(b, seal.SecretID{1}, seal.Cover{Slot: "current"}, secret.FromString(canary))
	if err != nil {
		t.Fatal(err)
	}
	opening, err := ring().Opening(t.Context(), m, 1, func(context.Context) ([]byte, error) { return blobs.Seal, nil })
	if err != nil {
		t.Fatal(err)
	}
	got, err := opening.Open(b, seal.Cover{Slot: "current"}, s)
	if err != nil || string(got.Reveal()) != canary {
		t.Fatalf("does not open: %v", err)
	}
}

func TestEveryCallNamesTheKeyAndTheWholeContext(t *testing.T) {
	e, w := scripted(t, awskms.Config{})
	e.On("Encrypt", answer(someKey, "CiphertextBlob", []byte("blob")))
	e.On("Decrypt", plaintext("key material"))
	c := sealtest.IngestContext()
	if blob, err := w.Wrap(t.Context(), c, []byte("key material")); err != nil || string(blob) != "blob" {
		t.Fatalf("%q, %v", blob, err)
	}
	if plain, err := w.Unwrap(t.Context(), c, []byte("blob")); err != nil || string(plain) != "key material" {
		t.Fatalf("%q, %v", plain, err)
	}
	for _, call := range e.Log() {
		var body struct {
			KeyID               string `json:"KeyId"`
			EncryptionAlgorithm string
			EncryptionContext   map[string]string
		}
		if err := json.Unmarshal(call.Body, &body); err != nil {
			t.Fatal(err)
		}
		if body.KeyID != someKey || !maps.Equal(body.EncryptionContext, c.Map()) || body.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" {
			t.Errorf("%s: %+v", call.Op, body)
		}
	}
}

func TestF15_TransientFailuresAreTriedAgainThreeTimesAtMost(t *testing.T) {
	for name, fault := range map[string]testbed.Fault{
		"throttled":          testbed.Fail(400, "ThrottlingException"),
		"over the limit":     testbed.Fail(400, "LimitExceededException"),
		"dependency timeout": testbed.Fail(500, "DependencyTimeoutException"),
		"internal":           testbed.Fail(500, "KMSInternalException"),
		"key unavailable":    testbed.Fail(500, "KeyUnavailableException"),
		"unknown 500":        testbed.Fail(500, "SomethingNewException"),
		"503 without a body": testbed.Reply(503, ""),
		"connection reset":   testbed.Reset,
		"expired token":      testbed.Fail(400, "ExpiredTokenException"),
		"skewed clock":       testbed.Fail(400, "InvalidSignatureException"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, w := scripted(t, awskms.Config{})
			e.On("Decrypt", fault, fault, plaintext("key material"))
			if got, err := unwrap(t, w); err != nil || string(got) != "key material" {
				t.Errorf("after two failures: %v", err)
			}
			e.Forget()
			e.On("Decrypt", fault, fault, fault)
			if got, err := unwrap(t, w); !errors.Is(err, seal.ErrUnavailable) || got != nil {
				t.Errorf("after three failures: %v", err)
			}
			if n := e.Calls("Decrypt"); n != 3 {
				t.Errorf("%d attempts, want 3", n)
			}
			e.On("Encrypt", fault, fault, fault)
			if _, err := w.Wrap(t.Context(), sealtest.SealContext(), []byte("x")); !errors.Is(err, seal.ErrUnavailable) {
				t.Errorf("Wrap: %v", err)
			}
		})
	}
}

func TestF16_AnUnreachableKMSIsErrUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := unwrap(t, wrapper(t, nobody, awskms.Config{KeyARN: someKey})); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestF16_CredentialsThatCannotBeHadAreErrUnavailable(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	c := testbed.Config()
	c.BaseEndpoint = &e.URL
	c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no credentials today")
	})
	w, err := awskms.New(c, awskms.Config{KeyARN: someKey})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unwrap(t, w); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestF16_ASlowAttemptIsCutAndTriedAgain(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		e, w := scripted(t, awskms.Config{Attempt: 100 * time.Millisecond})
		e.On("Decrypt", silence, plaintext("key material"))
		if got, err := unwrap(t, w); err != nil || string(got) != "key material" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an answer that stops in its middle", func(t *testing.T) {
		endpoint := testbed.KMS(t)
		e := testbed.NewEndpoint(t, endpoint)
		w := wrapper(t, e.URL, awskms.Config{KeyARN: testbed.KMSKey(t, endpoint), Attempt: 400 * time.Millisecond})
		blob, err := w.Wrap(t.Context(), sealtest.SealContext(), []byte("key material"))
		if err != nil {
			t.Fatal(err)
		}
		for name, fault := range map[string]testbed.Fault{
			"slow body": testbed.SlowBody(time.Minute), "cut off": testbed.CutOff, "truncated JSON": testbed.Truncate,
		} {
			e.On("Decrypt", fault)
			got, err := w.Unwrap(t.Context(), sealtest.SealContext(), blob)
			if err != nil && !errors.Is(err, seal.ErrUnavailable) || err == nil && string(got) != "key material" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if got, err := w.Unwrap(t.Context(), sealtest.SealContext(), blob); err != nil || string(got) != "key material" {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// mute is an HTTP client that never hears an answer.
type mute struct{}

func (mute) Do(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// The clock is the bubble's, so that it says exactly when the call ended.
func TestF16_AllAttemptsTogetherEndAtTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testbed.Config()
		c.HTTPClient = mute{}
		w, err := awskms.New(c, awskms.Config{KeyARN: someKey, Attempt: time.Minute, Attempts: 5, Total: 3 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := unwrap(t, w); !errors.Is(err, seal.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestF54_NothingIsCalledWithinTheReserveBeforeTheDeadline(t *testing.T) {
	e, w := scripted(t, awskms.Config{Reserve: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := w.Unwrap(ctx, sealtest.SealContext(), []byte("blob")); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := e.Calls(testbed.Any); n != 0 {
		t.Errorf("%d calls", n)
	}
	if ctx.Err() != nil {
		t.Error("the caller has no time left")
	}
}

func TestF17_ARefusalIsErrRefusedAndNotTriedAgain(t *testing.T) {
	for _, code := range []string{
		"DisabledException", "AccessDeniedException", "KMSInvalidStateException", "NotFoundException",
		"InvalidKeyUsageException", "UnrecognizedClientException", "SomethingNewException",
	} {
		t.Run(code, func(t *testing.T) {
			e, w := scripted(t, awskms.Config{})
			e.On("Decrypt", testbed.Fail(400, code))
			e.On("Encrypt", testbed.Fail(400, code))
			if got, err := unwrap(t, w); !errors.Is(err, seal.ErrRefused) || got != nil {
				t.Errorf("Unwrap: %v", err)
			}
			if _, err := w.Wrap(t.Context(), sealtest.SealContext(), []byte("x")); !errors.Is(err, seal.ErrRefused) {
				t.Errorf("Wrap: %v", err)
			}
			if n := e.Calls(testbed.Any); n != 2 {
				t.Errorf("%d calls, want one each", n)
			}
		})
	}
}

func TestF3_WhatKMSCannotOpenIsErrIntegrityAndNotTriedAgain(t *testing.T) {
	for _, code := range []string{"InvalidCiphertextException", "IncorrectKeyException", "ValidationException"} {
		t.Run(code, func(t *testing.T) {
			e, w := scripted(t, awskms.Config{})
			e.On("Decrypt", testbed.Fail(400, code))
			if got, err := unwrap(t, w); !errors.Is(err, seal.ErrIntegrity) || got != nil {
				t.Errorf("got %v", err)
			}
			if n := e.Calls("Decrypt"); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

func TestF19_AnAnswerOfAnotherKeyOrWithoutContentIsRejected(t *testing.T) {
	const other = "arn:aws:kms:eu-central-1:123456789012:key/99999999-2222-3333-4444-555555555555"
	for name, fault := range map[string]func(field string) testbed.Fault{
		"another key":     func(field string) testbed.Fault { return answer(other, field, []byte("content")) },
		"no key":          func(field string) testbed.Fault { return answer("", field, []byte("content")) },
		"no content":      func(field string) testbed.Fault { return answer(someKey, field, nil) },
		"an empty answer": func(string) testbed.Fault { return testbed.Reply(200, "{}") },
	} {
		t.Run(name, func(t *testing.T) {
			e, w := scripted(t, awskms.Config{})
			e.On("Decrypt", fault("Plaintext"))
			e.On("Encrypt", fault("CiphertextBlob"))
			if got, err := unwrap(t, w); !errors.Is(err, seal.ErrIntegrity) || got != nil {
				t.Errorf("Unwrap: %v", err)
			}
			if got, err := w.Wrap(t.Context(), sealtest.SealContext(), []byte("x")); !errors.Is(err, seal.ErrIntegrity) || got != nil {
				t.Errorf("Wrap: %v", err)
			}
		})
	}
}

func TestF18_FiveHundredConcurrentUsesOfAColdTenantAreOneDecrypt(t *testing.T) {
	endpoint := testbed.KMS(t)
	e := testbed.NewEndpoint(t, endpoint)
	w := wrapper(t, e.URL, awskms.Config{KeyARN: testbed.KMSKey(t, endpoint)})
	ring := seal.NewRing(w, seal.Config{App: "keyvend", Environment: "test", KeyID: w.KeyID(), TTL: time.Minute})
	m, blobs, err := ring.Create(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	e.On("Decrypt", testbed.Delay(100*time.Millisecond))
	var group sync.WaitGroup
	for range 500 {
		group.Go(func() {
			if _, err := ring.Opening(t.Context(), m, 1, func(context.Context) ([]byte, error) { return blobs.Seal, nil }); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := e.Calls("Decrypt"); n != 1 {
		t.Errorf("%d calls of Decrypt, want exactly 1", n)
	}
}

func TestABlobThatKMSCouldNotHaveMadeIsRefusedWithoutACall(t *testing.T) {
	e, w := scripted(t, awskms.Config{})
	for _, n := range []int{0, 6145} {
		if _, err := w.Unwrap(t.Context(), sealtest.SealContext(), bytes.Repeat([]byte{1}, n)); !errors.Is(err, seal.ErrIntegrity) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if n := e.Calls(testbed.Any); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestOnlyAKeyARNIsTaken(t *testing.T) {
	for _, name := range []string{"", "alias/keyvend", "11111111-2222-3333-4444-555555555555", "arn:aws:kms:eu-central-1:123456789012:alias/keyvend"} {
		if _, err := awskms.New(testbed.Config(), awskms.Config{KeyARN: name}); err == nil {
			t.Errorf("took %q", name)
		}
	}
}

func TestF45_NoErrorAndNoLogHoldsKeyMaterial(t *testing.T) {
	e := testbed.NewEndpoint(t, "")
	var log bytes.Buffer
	c := testbed.Config()
	c.BaseEndpoint = &e.URL
	c.Logger = logger{&log}
	c.ClientLogMode = aws.LogRequestWithBody | aws.LogResponseWithBody
	w, err := awskms.New(c, awskms.Config{KeyARN: someKey})
	if err != nil {
		t.Fatal(err)
	}
	e.On("Encrypt", testbed.Fail(400, "AccessDeniedException"))
	e.On("Decrypt", answer("another key", "Plaintext", []byte(canary)))
	_, wrapErr := w.Wrap(t.Context(), sealtest.SealContext(), []byte(canary))
	_, unwrapErr := unwrap(t, w)
	all := fmt.Sprint(log.String(), wrapErr, unwrapErr)
	for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
		if bytes.Contains([]byte(all), []byte(form)) {
			t.Error("key material was printed")
		}
	}
}

type logger struct{ w *bytes.Buffer }

func (l logger) Logf(_ logging.Classification, format string, v ...any) {
	fmt.Fprintf(l.w, format, v...)
}
