package stack

import (
	"crypto/md5" // #nosec G501 -- SQS answers with it
	"encoding/hex"
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

// sink stands for EventBridge and SQS: it keeps what functions send, the newest
// of it, and writes a line about each.
type sink struct {
	log io.Writer

	mu     sync.Mutex
	count  int
	events []Event
	aside  []string
}

// sinkKeeps bounds a sink's memory.
const sinkKeeps = 10000

// ServeHTTP implements http.Handler: PutEvents and SendMessage.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Entries     []Event
		MessageBody string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, `{"__type":"ValidationException"}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch target := r.Header.Get("X-Amz-Target"); target {
	case "AWSEvents.PutEvents":
		_ = json.NewEncoder(w).Encode(map[string]any{"FailedEntryCount": 0, "Entries": s.put(in.Entries)})
	case "AmazonSQS.SendMessage":
		sum := md5.Sum([]byte(in.MessageBody)) // #nosec G401 -- as above
		_ = json.NewEncoder(w).Encode(map[string]string{"MessageId": s.setAside(in.MessageBody), "MD5OfMessageBody": hex.EncodeToString(sum[:])})
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

func (s *sink) setAside(message string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside = newest(append(s.aside, message))
	_, _ = fmt.Fprintf(s.log, "set aside: %s\n", message)
	return s.id()
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

// Aside lists the messages of the queue for what was set aside.
func (s *Stack) Aside() []string {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	return slices.Clone(s.sink.aside)
}

const (
	busName   = Name
	queueName = Name + "-aside"
)

// eventParts resolves references to the parts that tell of changes.
func (s *Stack) eventParts(reference string) (string, bool) {
	in := func(service string) string { return "arn:aws:" + service + ":" + s.config.Region + ":" + Account + ":" }
	parts := map[string]string{
		"EventBus.":            busName,
		"EventBus.Arn":         in("events") + "event-bus/" + busName,
		"AsideQueue.":          "https://sqs." + s.config.Region + ".amazonaws.com/" + Account + "/" + queueName,
		"AsideQueue.Arn":       in("sqs") + queueName,
		"AsideQueue.QueueName": queueName,
		"Table.StreamArn":      s.tableARN() + "/stream/" + strings.Repeat("0", 4),
	}
	value, ok := parts[reference]
	return value, ok
}
