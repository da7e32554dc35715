// Package audit writes who asked for which secret, and what he got: one line
// for every vend, allowed or denied. A line never holds the secret.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Line is one vend.
type Line struct {
	At            time.Time `json:"at"`
	Tenant        string    `json:"tenant"`
	APIKey        string    `json:"api_key"`
	Slug          string    `json:"slug"`
	User          string    `json:"user_id"`
	Organization  string    `json:"organization_id,omitempty"`
	IntegrationID string    `json:"data_integration_id,omitempty"`
	AccountID     string    `json:"account_id,omitempty"`
	SecretID      string    `json:"secret_id,omitempty"`
	Outcome       string    `json:"outcome"` // vended, or why not
	RequestID     string    `json:"request_id"`
}

// Log takes audit lines. Record returns only when the line has been handed
// over; an error means that it may be lost, and nothing may be vended.
type Log interface {
	Record(ctx context.Context, line Line) error
}

// Writer is a Log of JSON lines, each written in one piece. It tells the lines
// of this log from others of the same stream by "log":"audit".
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Record implements Log.
func (l *Writer) Record(ctx context.Context, line Line) error {
	line.RequestID = RequestID(ctx)
	text, err := json.Marshal(struct {
		Log string `json:"log"`
		Line
	}{"audit", line})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Parse reads a line that a Writer wrote. ok is false for any other text.
func Parse(text []byte) (line Line, ok bool) {
	var read struct {
		Log string `json:"log"`
		Line
	}
	err := json.Unmarshal(text, &read)
	return read.Line, err == nil && read.Log == "audit"
}

// Position is how far a file of audit lines was read: where the piece lies that
// was read last. Its JSON form is the stored one.
type Position struct {
	From   int64     `json:"from"`
	To     int64     `json:"to"`
	Sum    []byte    `json:"sum"`            // SHA-256 of the piece, by which the file is known again
	Newest time.Time `json:"newest"`         // time of all lines that were read
	Known  time.Time `json:"known,omitzero"` // lines of this time or older were read from a file before this one

	Revision int64 `json:"-"`
}

type requestID struct{}

// WithRequestID returns a context that carries the id of the request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestID{}, id)
}

// RequestID is the id of the request that ctx belongs to, "" when there is none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestID{}).(string)
	return id
}
