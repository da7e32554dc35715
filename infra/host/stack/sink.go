package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Event is what a function put on the event bus.
type Event struct {
	EventBusName, Source, DetailType string
	Detail                           string // JSON
	Resources                        []string
}

// sink stands for EventBridge: it keeps what functions send, the newest of it,
// and writes a line about each.
type sink struct {
	log io.Writer

	mu     sync.Mutex
	count  int
	events []Event
}

// sinkKeeps bounds a sink's memory.
const sinkKeeps = 10000

// ServeHTTP implements http.Handler: PutEvents.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Entries []Event }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, `{"__type":"ValidationException"}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch target := r.Header.Get("X-Amz-Target"); target {
	case "AWSEvents.PutEvents":
		_ = json.NewEncoder(w).Encode(map[string]any{"FailedEntryCount": 0, "Entries": s.put(in.Entries)})
	default:
		http.Error(w, fmt.Sprintf(`{"__type":"UnknownOperationException","message":%q}`, target), http.StatusBadRequest)
	}
}

func (s *sink) put(events []Event) (results []map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.events = newest(append(s.events, e))
		results = append(results, map[string]string{"EventId": s.id()})
		_, _ = fmt.Fprintf(s.log, "event bus %s: %s\n", e.EventBusName, e.DetailType)
	}
	return results
}

func (s *sink) id() string {
	s.count++
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", s.count, s.count)
}

func newest[T any](all []T) []T { return all[max(0, len(all)-sinkKeeps):] }

// Events lists what functions put on the event bus.
func (s *Stack) Events() []Event {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	return slices.Clone(s.sink.events)
}

const busName = Name

// eventParts resolves references to the parts that tell of changes.
func (s *Stack) eventParts(reference string) (string, bool) {
	parts := map[string]string{
		"EventBus.":       busName,
		"EventBus.Arn":    "arn:aws:events:" + s.config.Region + ":" + Account + ":event-bus/" + busName,
		"Table.StreamArn": s.tableARN() + "/stream/" + strings.Repeat("0", 4),
	}
	value, ok := parts[reference]
	return value, ok
}
