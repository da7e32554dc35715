package sqs

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- SQS answers with it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// What SQS takes.
const (
	maxBytes   = 256 << 10 // of a message, and of all of one call
	maxEntries = 10
	maxDelay   = 900 // seconds
)

// refusal is an error as SQS answers it.
type refusal struct{ code, message string }

// entry is a message to send.
type entry struct {
	ID           string `json:"Id,omitempty"`
	MessageBody  string
	DelaySeconds *int
}

// taken and failed are what is answered of each message.
type taken struct {
	ID        string `json:"Id,omitempty"`
	MessageID string `json:"MessageId"`
	MD5       string `json:"MD5OfMessageBody"`
}

type failed struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string
}

// ServeHTTP implements http.Handler: SendMessage and SendMessageBatch of the AWS
// JSON protocol.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err != nil {
		return
	}
	var answer any
	var refused *refusal
	switch target := r.Header.Get("X-Amz-Target"); target {
	case "AmazonSQS.SendMessage":
		answer, refused = s.sendMessage(body)
	case "AmazonSQS.SendMessageBatch":
		answer, refused = s.sendMessageBatch(body)
	default:
		refused = &refusal{"UnsupportedOperation", target + " is not emulated"}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if refused != nil {
		w.Header().Set("X-Amzn-Query-Error", refused.code+";Sender")
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]string{"__type": "com.amazonaws.sqs#" + refused.code[strings.LastIndexByte(refused.code, '.')+1:], "message": refused.message}
	}
	_ = json.NewEncoder(w).Encode(answer) // the caller is gone
}

func (s *Service) sendMessage(body []byte) (any, *refusal) {
	var in struct {
		QueueURL string `json:"QueueUrl"`
		entry
	}
	q, refused := s.read(body, &in, &in.QueueURL)
	if refused != nil {
		return nil, refused
	}
	if refused := in.entry.check(); refused != nil {
		return nil, refused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return q.accept(in.entry), nil
}

func (s *Service) sendMessageBatch(body []byte) (any, *refusal) {
	var in struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []entry
	}
	q, refused := s.read(body, &in, &in.QueueURL)
	if refused != nil {
		return nil, refused
	}
	if refused := checkBatch(in.Entries); refused != nil {
		return nil, refused
	}
	var out struct {
		Successful []taken  `json:",omitempty"`
		Failed     []failed `json:",omitempty"`
	}
	s.mu.Lock() // over all of them: they can be received together
	defer s.mu.Unlock()
	for _, e := range in.Entries {
		if refused := e.check(); refused != nil {
			out.Failed = append(out.Failed, failed{ID: e.ID, SenderFault: true, Code: refused.code, Message: refused.message})
			continue
		}
		out.Successful = append(out.Successful, q.accept(e))
	}
	return out, nil
}

// read decodes a call and finds its queue. What a call may have besides, such as
// message attributes, is not emulated.
func (s *Service) read(body []byte, in any, url *string) (*Queue, *refusal) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		return nil, &refusal{"UnsupportedOperation", err.Error()}
	}
	for _, q := range s.queues {
		if s.Place.URL(q.Name) == *url {
			return q, nil
		}
	}
	return nil, &refusal{"AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."}
}

// check looks at one message.
func (e entry) check() *refusal {
	switch {
	case e.MessageBody == "":
		return &refusal{"MissingParameter", "The request must contain the parameter MessageBody."}
	case len(e.MessageBody) > maxBytes:
		return &refusal{"InvalidParameterValue", fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxBytes)}
	case !utf8.ValidString(e.MessageBody) || forbidden.MatchString(e.MessageBody):
		return &refusal{"InvalidMessageContents", "Invalid characters were found."}
	case e.DelaySeconds != nil && (*e.DelaySeconds < 0 || *e.DelaySeconds > maxDelay):
		return &refusal{"InvalidParameterValue", fmt.Sprintf("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= %d.", *e.DelaySeconds, maxDelay)}
	default:
		return nil
	}
}

// forbidden are the characters that are not XML's.
var forbidden = regexp.MustCompile(`[^\x09\x0A\x0D\x20-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]`)

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch looks at what concerns all messages of a call.
func checkBatch(entries []entry) *refusal {
	const service = "AWS.SimpleQueueService."
	bytes, ids := 0, map[string]bool{}
	for _, e := range entries {
		if !entryID.MatchString(e.ID) {
			return &refusal{service + "InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."}
		}
		bytes += len(e.MessageBody)
		ids[e.ID] = true
	}
	switch {
	case len(entries) == 0:
		return &refusal{service + "EmptyBatchRequest", "There should be at least one entry in the request."}
	case len(entries) > maxEntries:
		return &refusal{service + "TooManyEntriesInBatchRequest", fmt.Sprintf("Maximum number of entries per request are %d. You have sent %d.", maxEntries, len(entries))}
	case len(ids) < len(entries):
		return &refusal{service + "BatchEntryIdsNotDistinct", "Two or more entries have the same id."}
	case bytes > maxBytes:
		return &refusal{service + "BatchRequestTooLong", fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBytes, bytes)}
	default:
		return nil
	}
}

// accept puts a message on the queue. The service's lock is held.
func (q *Queue) accept(e entry) taken {
	delay := q.Delay
	if e.DelaySeconds != nil {
		delay = time.Duration(*e.DelaySeconds) * time.Second
	}
	return taken{ID: e.ID, MessageID: q.put(e.MessageBody, delay), MD5: MD5(e.MessageBody)}
}

// MD5 is the sum of a body in the form in which SQS tells it.
func MD5(body string) string {
	sum := md5.Sum([]byte(body)) // #nosec G401 -- as above
	return hex.EncodeToString(sum[:])
}
