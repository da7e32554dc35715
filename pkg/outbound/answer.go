package outbound

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/health"
)

const (
	maxHeader     = 32 << 10 // of the status line and all headers, informational answers included
	maxBody       = 64 << 10
	maxRetryAfter = 24 * time.Hour
)

// readAnswer reads the one answer to request, and no more of conn than the
// limits allow: health.ErrOversized.
func readAnswer(conn io.Reader, request *http.Request, now func() time.Time) (health.Answer, error) {
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	response, err := readHeader(bufio.NewReader(limited), request) //nolint:bodyclose // that would read the rest of it: the connection is closed
	if err != nil {
		return health.Answer{}, orOversized(err, limited)
	}
	limited.N = 2 * maxBody // what frames the body's chunks included
	body, unread, err := readBody(response)
	if err != nil {
		return health.Answer{}, orOversized(err, limited)
	}
	return health.Answer{
		Status:      response.StatusCode,
		ContentType: response.Header.Get("Content-Type"),
		RetryAfter:  retryAfter(response.Header.Get("Retry-After"), now()),
		Body:        body,
		Unread:      unread,
	}, nil
}

// orOversized tells an answer that broke off from one that was cut off here.
func orOversized(err error, limited *io.LimitedReader) error {
	if limited.N <= 0 {
		return health.ErrOversized
	}
	return err
}

// readHeader passes over informational answers.
func readHeader(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(r, request)
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode >= http.StatusOK:
			return response, nil
		case response.StatusCode < http.StatusContinue || response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("no answer to what was asked")
		}
	}
}

// readBody returns nothing for a body that is compressed or too long: part of a
// body must not be read as if it were the whole.
func readBody(response *http.Response) (body []byte, unread bool, err error) {
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, true, nil
	}
	body, err = io.ReadAll(response.Body)
	if len(body) > maxBody {
		return nil, true, nil
	}
	return body, false, err
}

// retryAfter is the wait that a Retry-After header asks for, in seconds or until
// a date: from nothing to 24 hours.
func retryAfter(text string, now time.Time) time.Duration {
	if date, err := http.ParseTime(text); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0
	}
	if seconds > uint64(maxRetryAfter/time.Second) {
		return maxRetryAfter
	}
	return time.Duration(seconds) * time.Second // #nosec G115 -- at most a day
}
