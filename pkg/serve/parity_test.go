package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// oddities is a handler that does everything that an adapter may get wrong,
// chosen by the request's path.
func oddities() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/nothing":
		case "/two-statuses":
			w.WriteHeader(http.StatusUnauthorized)
			w.WriteHeader(http.StatusOK)
		case "/write-then-status":
			_, _ = io.WriteString(w, "body first")
			w.WriteHeader(http.StatusTeapot)
		case "/late-header":
			w.WriteHeader(http.StatusCreated)
			w.Header().Set("X-Late", "too late")
		case "/changed-header":
			w.Header().Set("X-Early", "early")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Early", "late")
		case "/comma":
			w.Header().Set("X-When", "Tue, 15 Nov 1994 08:12:31 GMT")
			w.Header().Add("Vary", "Origin")
			w.Header().Add("Vary", "Accept")
		case "/cookies":
			w.Header().Add("Set-Cookie", "a=1; Path=/")
			w.Header().Add("Set-Cookie", "b=2; Expires=Tue, 15 Nov 1994 08:12:31 GMT")
		case "/binary":
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write([]byte{0xff, 0x00, 0xfe, 'k'})
		case "/no-content":
			w.WriteHeader(http.StatusNoContent)
			_, _ = io.WriteString(w, "dropped")
		case "/not-modified":
			w.WriteHeader(http.StatusNotModified)
		case "/informational":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
		case "/injected":
			w.Header().Set("X-Injected", "a\r\nX-Evil: b")
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusSeeOther)
		default:
			mirror(w, r)
		}
	})
}

// mirror answers with what the handler saw of the request.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	seen := map[string]any{
		"method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery, "host": r.Host,
		"body": body, "length": r.ContentLength, "error": err != nil, "proto": r.Proto,
	}
	for _, name := range []string{"Accept", "Authorization", "Content-Type", "Cookie", "Date", "Host", "If-None-Match", "Idempotency-Key", "Origin", "User-Agent", "X-List"} {
		seen[name] = strings.Join(r.Header.Values(name), "|")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "fixed")
	_ = json.NewEncoder(w).Encode(seen)
}

// a request as both sides are given it.
type exchange struct {
	name   string
	method string
	path   string // decoded, as HTTP APIs deliver it
	query  string // encoded
	header map[string]string
	body   []byte
}

func (x exchange) event(t testing.TB) json.RawMessage {
	t.Helper()
	e := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "$default", RawPath: x.path, RawQueryString: x.query, Headers: map[string]string{"host": "api.test"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			Stage: "$default", DomainName: "api.test",
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: x.method, Path: x.path, SourceIP: "203.0.113.7"},
		},
	}
	for name, value := range x.header {
		if strings.EqualFold(name, "cookie") {
			e.Cookies = strings.Split(value, "; ")
			continue
		}
		e.Headers[strings.ToLower(name)] = value
	}
	if len(x.body) > 0 {
		e.Headers["content-length"] = fmt.Sprint(len(x.body))
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(x.body), true
	}
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// wire writes the request as it stands on a connection: no client tidies it.
func (x exchange) wire() []byte {
	var b bytes.Buffer
	target := (&url.URL{Path: x.path}).EscapedPath()
	if x.query != "" {
		target += "?" + x.query
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: api.test\r\n", x.method, target)
	for _, name := range slices.Sorted(mapKeys(x.header)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, x.header[name])
	}
	if len(x.body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(x.body))
	}
	b.WriteString("Connection: close\r\n\r\n")
	b.Write(x.body)
	return b.Bytes()
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// answer is what is compared.
type answer struct {
	Status  int
	Headers map[string]string
	Cookies []string
	Body    string
}

// leftOut are the headers that API Gateway and net/http set of their own.
var leftOut = []string{"Content-Length", "Date", "Connection"}

func throughHTTP(t *testing.T, addr string, x exchange) answer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(x.wire()); err != nil {
		t.Fatal(err)
	}
	buffered := bufio.NewReader(conn)
	var res *http.Response
	for res == nil || res.StatusCode < 200 { // informational answers come before
		if res, err = http.ReadResponse(buffered, &http.Request{Method: x.method}); err != nil {
			t.Fatal(err)
		}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Headers: map[string]string{}, Body: string(body), Cookies: res.Header.Values("Set-Cookie")}
	for name, values := range res.Header {
		if name != "Set-Cookie" && !slices.Contains(leftOut, name) {
			a.Headers[name] = strings.Join(values, ",")
		}
	}
	return a
}

func throughLambda(t *testing.T, h http.Handler, payload json.RawMessage) answer {
	t.Helper()
	res := invoke(t, h, payload)
	body := []byte(res.Body)
	if res.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(res.Body); err != nil {
			t.Fatal(err)
		}
	}
	a := answer{Status: res.StatusCode, Headers: map[string]string{}, Body: string(body), Cookies: res.Cookies}
	for name, value := range res.Headers {
		if !slices.Contains(leftOut, name) {
			a.Headers[name] = value
		}
	}
	return a
}

func invoke(t testing.TB, h http.Handler, payload json.RawMessage) events.APIGatewayV2HTTPResponse {
	t.Helper()
	res, err := Handler(h)(context.Background(), payload)
	if err != nil {
		t.Fatalf("function error: %v", err)
	}
	return res
}

func compare(t *testing.T, lambda, plain answer) {
	t.Helper()
	if len(lambda.Cookies) == 0 {
		lambda.Cookies = nil
	}
	if len(plain.Cookies) == 0 {
		plain.Cookies = nil
	}
	l, _ := json.MarshalIndent(lambda, "", " ")
	p, _ := json.MarshalIndent(plain, "", " ")
	if string(l) != string(p) {
		t.Errorf("through the adapter:\n%s\nthrough net/http:\n%s", l, p)
	}
}

func TestAnswersAreTheSameThroughLambdaAndNetHTTP(t *testing.T) {
	plain := httptest.NewUnstartedServer(oddities())
	plain.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the second status
	plain.Start()
	defer plain.Close()
	ours := httptest.NewServer(guard(oddities(), slog.New(slog.DiscardHandler)))
	defer ours.Close()

	exchanges := recorded(t)
	for _, path := range []string{
		"/nothing", "/two-statuses", "/write-then-status", "/late-header", "/changed-header", "/comma", "/cookies",
		"/binary", "/no-content", "/not-modified", "/informational", "/injected", "/redirect",
		"/", "/a%b", "/100%", "/%zz", "/a?b", "/a#b", "/a b", "/a\x00b", "/a\nb", "/\u00e9", "/a//b", "//api.evil/x", "/a/../b", "/..", "/a/./b",
		"/a;b", "/user|x:y@z+w=~,", "/a\\b",
	} {
		exchanges = append(exchanges, exchange{name: path, method: "GET", path: path})
	}
	for _, method := range []string{"HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "BREW"} {
		exchanges = append(exchanges, exchange{name: method, method: method, path: "/mirror"})
	}
	exchanges = append(exchanges,
		exchange{name: "HEAD without type", method: "HEAD", path: "/write-then-status"},
		exchange{name: "query", method: "GET", path: "/mirror", query: "a=1&a=2&b=%20x&c=a+b&d&%zz&e=a;b"},
		exchange{name: "commas in headers", method: "GET", path: "/mirror", header: map[string]string{
			"Date": "Tue, 15 Nov 1994 08:12:31 GMT", "X-List": "a, b,c", "Accept": "a/b, c/d;q=0.5", "If-None-Match": `"a,b", W/"c"`,
		}},
		exchange{name: "joined Authorization", method: "GET", path: "/mirror", header: map[string]string{"Authorization": "Bearer a,Bearer b"}},
		exchange{name: "cookies", method: "GET", path: "/mirror", header: map[string]string{"Cookie": "a=1; b=2"}},
		exchange{name: "binary body", method: "POST", path: "/mirror", body: []byte{0, 0xff, 'a'}},
		exchange{name: "body over the handler's limit", method: "POST", path: "/mirror", body: bytes.Repeat([]byte("a"), 1<<16+1)},
	)
	for _, x := range exchanges {
		t.Run(x.name, func(t *testing.T) {
			got := throughLambda(t, oddities(), x.event(t))
			compare(t, got, throughHTTP(t, plain.Listener.Addr().String(), x))
			compare(t, got, throughHTTP(t, ours.Listener.Addr().String(), x))
		})
	}
}

// recorded reads the HTTP events of the events folder.
func recorded(t *testing.T) []exchange {
	t.Helper()
	files, err := filepath.Glob("../../events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded events: %v", err)
	}
	var all []exchange
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if e.Version != "2.0" {
			continue // not an HTTP trigger
		}
		x := exchange{name: filepath.Base(file), method: e.RequestContext.HTTP.Method, path: e.RawPath, query: e.RawQueryString, body: []byte(e.Body), header: map[string]string{}}
		for name, value := range e.Headers {
			if name != "host" && name != "content-length" {
				x.header[http.CanonicalHeaderKey(name)] = value
			}
		}
		all = append(all, x)
	}
	if len(all) < 3 {
		t.Fatalf("%d HTTP events recorded", len(all))
	}
	return all
}
