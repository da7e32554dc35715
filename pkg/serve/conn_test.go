package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestF40_WhatIsNoHTTPRequestIsAnsweredInJSON(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, "as it is")
		}))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"a bare percent sign": {"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"no HTTP":             {"sk-canary-not-a-request\r\n\r\n", 400},
		"no host":             {"GET / HTTP/1.1\r\n\r\n", 400},
		"a bad header":        {"GET / HTTP/1.1\r\nHost: a\r\nsk canary: b\r\n\r\n", 400},
		"endless headers":     {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 20000) + "\r\n\r\n", 431},
		"another encoding":    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: sk-canary\r\n\r\n", 501},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.WriteString(conn, c.request)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			var body struct{ Message, Code string }
			text, _ := io.ReadAll(response.Body)
			if err := json.Unmarshal(text, &body); err != nil || body.Message == "" || body.Code == "" {
				t.Errorf("%v: %s", err, text)
			}
			if response.StatusCode != c.status || strings.Contains(string(text)+response.Status, "canary") {
				t.Errorf("%s %s", response.Status, text)
			}
		})
	}
	response, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); string(text) != "as it is" {
		t.Errorf("a handler's own answer became %q", text)
	}
}
