// Package idempotency knows what a row remembers of the requests that wrote it,
// so that a request repeated under the same Idempotency-Key writes once.
package idempotency

import (
	"bytes"
	"time"
)

// Memory is what a written row remembers of the requests that carried an
// Idempotency-Key: the newest four, for 24 hours. Only keyed hashes are kept.
type Memory []Request

// Request is one request.
type Request struct {
	Key     []byte    `json:"key"`     // keyed hash of the Idempotency-Key
	Content []byte    `json:"content"` // keyed hash of method, path, tenant and body
	At      time.Time `json:"at"`
}

const (
	remembered  = 4
	memoryLasts = 24 * time.Hour
)

// Recall looks for a request by the hash of its Idempotency-Key.
func (m Memory) Recall(r Request) (seen, same bool) {
	for _, old := range m {
		if bytes.Equal(old.Key, r.Key) && r.At.Sub(old.At) < memoryLasts {
			return true, bytes.Equal(old.Content, r.Content)
		}
	}
	return false, false
}

// Remember returns m with r as its newest entry.
func (m Memory) Remember(r Request) Memory {
	kept := Memory{r}
	for _, old := range m {
		if len(kept) < remembered && !bytes.Equal(old.Key, r.Key) && r.At.Sub(old.At) < memoryLasts {
			kept = append(kept, old)
		}
	}
	return kept
}
