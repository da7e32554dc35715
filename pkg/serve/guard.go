package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"

	"keyvend/pkg/fault"
)

var errPanic = errors.New("serve: panic")

// guard runs h whole before anything of its answer leaves, so that the rules of
// net/http hold behind every kind of writer: the first status wins and is 200
// when none was set, headers are frozen with it, and a panic is a clean 500.
// Answers are small here; nothing streams.
func guard(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := record(h, r, log)
		answer.copyTo(w, r.Method)
	})
}

// record runs h and returns what it answered, or the fixed 500 if it panicked.
func record(h http.Handler, r *http.Request, log *slog.Logger) (answer *recorder) {
	answer = &recorder{header: http.Header{}}
	defer func() {
		if p := recover(); p != nil {
			id := answer.header.Get("X-Request-ID") // the handler gave it before it panicked
			logPanic(r.Context(), log, p, id)
			answer = internalError(r.Context(), answer.header)
		}
	}()
	h.ServeHTTP(answer, r)
	answer.WriteHeader(http.StatusOK)
	if answer.status < 200 || answer.status > 599 {
		log.ErrorContext(r.Context(), "handler set a status that cannot be sent", "alarm", "bad_status", "status", answer.status)
		return internalError(r.Context(), answer.header)
	}
	return answer
}

// kept are the headers that the fixed answer has as the handler set them: which
// request it was, and which page may read the answer.
var kept = []string{"X-Request-Id", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary"}

// internalError is the fixed answer, with what is kept of the headers that the
// handler had set.
func internalError(ctx context.Context, set http.Header) *recorder {
	header, body := errorAnswer(ctx, fault.As(errPanic))
	for _, name := range kept {
		if values := set.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	answer := &recorder{header: header}
	answer.WriteHeader(http.StatusInternalServerError)
	_, _ = answer.Write(body)
	return answer
}

// errorAnswer is a fault in the form that all errors have.
func errorAnswer(ctx context.Context, f *fault.Error) (http.Header, []byte) {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if id := requestID(ctx); id != "" {
		h.Set("X-Request-ID", id)
	}
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(f.RetryAfter.Seconds()))))
	}
	body, _ := json.Marshal(struct { // two strings always encode
		Message string `json:"message"`
		Code    string `json:"code,omitempty"`
	}{f.Message, f.Code})
	return h, body
}

// logPanic says what kind of value was thrown and where, and never the value:
// it may hold a secret.
func logPanic(ctx context.Context, log *slog.Logger, value any, id string) {
	if id == "" {
		id = requestID(ctx)
	}
	log.ErrorContext(ctx, "panic", "alarm", "panic", "type", fmt.Sprintf("%T", value), "request_id", id, "stack", stack())
}

// stack names the functions and lines of a panic, without their arguments.
func stack() []string {
	pcs := make([]uintptr, 48)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)])
	var lines []string
	for {
		f, more := frames.Next()
		lines = append(lines, fmt.Sprintf("%s %s:%d", f.Function, f.File, f.Line))
		if !more {
			return lines
		}
	}
}

// recorder is a ResponseWriter that keeps the answer.
type recorder struct {
	header http.Header // what the handler sees
	frozen http.Header // what is sent: a copy as of WriteHeader
	status int         // 0 until set
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *recorder) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. An informational status has no
// way through an event and is dropped.
func (a *recorder) WriteHeader(status int) {
	if a.status != 0 || status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	a.status, a.frozen = status, a.header.Clone()
}

// Write implements http.ResponseWriter.
func (a *recorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return a.body.Write(p)
}

// copyTo sends the answer to a request of the given method.
func (a *recorder) copyTo(w http.ResponseWriter, method string) {
	header := w.Header()
	for name, values := range a.frozen {
		for _, value := range values {
			header.Add(name, oneLine.Replace(value))
		}
	}
	body := a.body.Bytes()
	if header.Get("Content-Type") == "" && len(body) > 0 {
		header.Set("Content-Type", http.DetectContentType(body))
	}
	if method == http.MethodHead && len(body) > 0 {
		header.Set("Content-Length", strconv.Itoa(len(body)))
		body = nil
	}
	w.WriteHeader(a.status)
	if len(body) > 0 {
		_, _ = w.Write(body) // the caller is gone: nobody to tell
	}
}

// oneLine keeps a value inside its header.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")
