// Package fault is the one form of every error that a caller may see: a kind,
// a machine-readable code, a public sentence that says what to do next, and a
// private cause that only the log is told.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says whose fault it is and what the caller can do about it. Package api
// maps each kind to one HTTP status.
type Kind int

// The kinds. The zero value is Internal, so that a forgotten kind never tells
// a caller that the fault is his.
const (
	Internal         Kind = iota // a bug or broken data: a fixed sentence, details in the log
	BadRequest                   // the request cannot be read
	Unauthorized                 // no valid credential
	Forbidden                    // a valid credential that may not do this, or something switched off
	NotFound                     // nothing by that name that the caller may know of
	MethodNotAllowed             // the path exists, the method does not
	Conflict                     // something by that name exists already
	TooLarge                     // the request is over a size limit
	Invalid                      // well-formed, but a value is missing or forbidden
	Unavailable                  // try the same again after RetryAfter
	TooMany                      // the caller asks too often: try again after RetryAfter
)

// Error is an error with a public face.
type Error struct {
	Kind       Kind
	Code       string        // the contract's code, "" when the contract names none
	Message    string        // public: one sentence, says what to do next
	Details    []Detail      // public: the single values that are wrong
	RetryAfter time.Duration // with Unavailable and TooMany: when to try again
	cause      error         // private: for the log only
}

// Detail names one value of a request that is wrong.
type Detail struct {
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message,omitempty"`
}

// New makes an error of the given kind.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Newf is New with a formatted message. What goes in becomes public.
func Newf(kind Kind, code, format string, args ...any) *Error {
	return New(kind, code, fmt.Sprintf(format, args...))
}

// Because returns a copy of e with a private cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Error is for the log: it tells the public sentence and the private cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the same fault: the same kind, code and sentence,
// whatever the cause.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Kind == e.Kind && t.Code == e.Code && t.Message == e.Message
}

// As returns err's public face. An error that has none is Internal.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Internal, "", "Something went wrong on our side. Try again; if it keeps failing, look for the request id in the logs.").Because(err)
}

// Busy is the answer when a dependency is throttled, slow or away.
func Busy(cause error) *Error {
	return &Error{
		Kind:       Unavailable,
		Code:       "service_unavailable",
		Message:    "The service is busy. Try again in a moment.",
		RetryAfter: time.Second,
		cause:      cause,
	}
}
