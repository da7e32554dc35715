package fakeprovider

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The content types of replies.
const (
	typeJSON = "application/json"
	typeHTML = "text/html; charset=utf-8"
)

// endlessBytes is where a body without end ends after all.
const endlessBytes = 64 << 20

// reply is what a fake does about a request.
type reply struct {
	wait    time.Duration // before anything else
	silent  bool          // it hangs up, and the rest does not count
	endless bool          // the body goes on and on

	status      int
	contentType string
	retryAfter  time.Duration
	location    string
	body        string
}

// ServeHTTP answers as the fake at the request's host.
func (k *Kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, found := k.answer(r)
	if !found {
		a = refusal(http.StatusMisdirectedRequest, "no_such_host", "There is no fake provider at this host.")
	}
	if !pause(r.Context(), a.wait) {
		return // nobody is there any more
	}
	a.write(w)
}

func (a reply) write(w http.ResponseWriter) {
	if a.silent {
		hangUp(w)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.retryAfter/time.Second)))
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	_, err := io.WriteString(w, a.body)
	if !a.endless {
		return
	}
	filler := strings.Repeat(" ", 32<<10)
	for sent := 0; err == nil && sent < endlessBytes; sent += len(filler) {
		_, err = io.WriteString(w, filler)
	}
}

// hangUp ends the connection without a word.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway) // a recorder, or HTTP/2: the nearest there is
		return
	}
	_ = conn.Close()
}

// pause waits, and reports whether it did so to the end.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
