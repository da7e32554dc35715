package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"keyvend/pkg/fault"
)

var errCause = errors.New("sk-canary-cause")

func TestAnUnknownErrorHasAFixedPublicSentence(t *testing.T) {
	got := fault.As(fmt.Errorf("wrapped: %w", errCause))
	if got.Kind != fault.Internal || got.Code != "" || len(got.Details) != 0 {
		t.Errorf("%+v", got)
	}
	if strings.Contains(got.Message, "canary") {
		t.Errorf("the public sentence tells the cause: %q", got.Message)
	}
	if !errors.Is(got, errCause) || !strings.Contains(got.Error(), "canary") {
		t.Error("the log is not told the cause")
	}
	if again := fault.As(errors.New("another")); again.Message != got.Message {
		t.Error("the sentence differs from error to error")
	}
}

func TestAFaultIsFoundBehindEveryWrapping(t *testing.T) {
	inner := fault.New(fault.NotFound, "not_found", "There is no such thing.")
	for _, err := range []error{inner, fmt.Errorf("a: %w", inner), errors.Join(errCause, inner), inner.Because(errCause)} {
		got := fault.As(err)
		if got.Kind != fault.NotFound || got.Code != "not_found" || got.Message != inner.Message {
			t.Errorf("%v: %+v", err, got)
		}
		if !errors.Is(err, inner) {
			t.Errorf("%v is not what it was made of", err)
		}
	}
}

func TestACauseIsGivenToACopy(t *testing.T) {
	shared := fault.New(fault.Invalid, "code", "Sentence.")
	if with := shared.Because(errCause); !errors.Is(with, errCause) {
		t.Error("the cause is lost")
	}
	if errors.Unwrap(shared) != nil || shared.Error() != "Sentence." {
		t.Error("a shared fault was changed")
	}
}

func TestFaultsOfAnotherKindCodeOrSentenceDiffer(t *testing.T) {
	f := fault.New(fault.NotFound, "not_found", "One.")
	for _, other := range []error{
		fault.New(fault.Conflict, "not_found", "One."), fault.New(fault.NotFound, "gone", "One."),
		fault.New(fault.NotFound, "not_found", "Two."), errCause, nil,
	} {
		if errors.Is(f, other) {
			t.Errorf("is %v", other)
		}
	}
}

func TestBusySaysWhenToTryAgain(t *testing.T) {
	got := fault.Busy(errCause)
	if got.Kind != fault.Unavailable || got.RetryAfter <= 0 || strings.Contains(got.Message, "canary") || !errors.Is(got, errCause) {
		t.Errorf("%+v", got)
	}
}

func TestTheForgottenKindBlamesNobody(t *testing.T) {
	if (fault.Error{}).Kind != fault.Internal {
		t.Error("the zero kind is not Internal")
	}
}
