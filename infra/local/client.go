package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"keyvend/pkg/fault"
)

// client speaks to the handlers as one over the network would.
type client struct {
	handler http.Handler
	token   string
}

// send makes a request and returns what came of it: the status, and of a refusal
// the sentence.
func (c client) send(ctx context.Context, method, path string, body any) (status int, sentence string, err error) {
	status, answer, err := c.call(ctx, method, path, body)
	return status, sentenceOf(answer), err
}

// call makes a request and returns the answer.
func (c client) call(ctx context.Context, method, path string, body any) (status int, answer []byte, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	w := recorder{header: http.Header{}, status: http.StatusOK}
	c.handler.ServeHTTP(&w, r)
	return w.status, w.body.Bytes(), nil
}

// read gets, and reads the answer.
func (c client) read(ctx context.Context, path string, answer any) error {
	return c.into(ctx, http.MethodGet, path, nil, answer)
}

// post posts, and reads the answer to it.
func (c client) post(ctx context.Context, path string, body, answer any) error {
	return c.into(ctx, http.MethodPost, path, body, answer)
}

func (c client) into(ctx context.Context, method, path string, body, answer any) error {
	status, text, err := c.call(ctx, method, path, body)
	switch {
	case err != nil:
		return err
	case status >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s: %d %s", method, path, status, sentenceOf(text))
	}
	return json.Unmarshal(text, answer)
}

// works reports whether the token opens anything.
func (c client) works(ctx context.Context) (bool, error) {
	status, sentence, err := c.send(ctx, http.MethodGet, "/data-integrations", nil)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusOK, status == http.StatusForbidden:
		return true, nil
	case status == http.StatusUnauthorized:
		return false, nil
	}
	return false, fmt.Errorf("an API key cannot be tried: %d %s", status, sentence)
}

// sentenceOf is the message of an answer, with what it says of single values.
func sentenceOf(answer []byte) string {
	var refusal struct {
		Message string
		Errors  []fault.Detail
	}
	if err := json.Unmarshal(answer, &refusal); err != nil {
		return ""
	}
	said := refusal.Message
	for _, e := range refusal.Errors {
		if e.Message != "" && !strings.Contains(said, e.Message) {
			said += " " + e.Message
		}
	}
	return said
}

// recorder keeps an answer of the handlers.
type recorder struct {
	header  http.Header
	status  int
	decided bool
	body    bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter: the first status counts.
func (w *recorder) WriteHeader(status int) {
	if !w.decided {
		w.status, w.decided = status, true
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(text []byte) (int, error) {
	w.decided = true
	return w.body.Write(text)
}

// said is an error in the words for people; of what keyvend itself did wrong,
// all words.
func said(err error) string {
	if public := fault.As(err); public.Kind != fault.Internal {
		return public.Message
	}
	return err.Error()
}
