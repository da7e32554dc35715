// Package health knows what can be known of whether a stored key works: the
// verdicts, what each rests on, and when to ask again.
package health

import (
	"context"
	"errors"
	"time"

	"keyvend/pkg/catalog"
)

// Asker sends a check to its provider. It reaches public hosts only, follows no
// redirect, and is bounded in time and size.
type Asker interface {
	// Ask returns what was answered, whatever its status, or one of the errors
	// below: nobody knows anything about the key then.
	Ask(ctx context.Context, ask catalog.Ask) (Answer, error)
}

// Answer is a provider's answer. Body is bounded, lives for as long as a verdict
// is being made of it, and is neither stored, logged nor returned.
type Answer struct {
	Status      int
	ContentType string        // as sent
	RetryAfter  time.Duration // what a Retry-After header asks for; 0: nothing
	Body        []byte
	// Unread: there is a body that was too long or in a form that is not read, and
	// Body is empty.
	Unread bool
}

// Why there is no answer. None of them says anything about the key.
var (
	ErrNotPublic   = errors.New("health: the host is not on the public internet")
	ErrTimeout     = errors.New("health: the provider did not answer in time")
	ErrUnreachable = errors.New("health: the provider cannot be reached")
	ErrNotAsked    = errors.New("health: real providers are not asked here")
	ErrOversized   = errors.New("health: the answer is larger than any answer to a check")
)
