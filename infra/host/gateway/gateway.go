// Package gateway stands in for API Gateway's HTTP API in front of Lambda
// functions: it picks the route, turns a request into an event of payload
// format 2.0 and a function's answer into a response, within the service's
// limits. Throttling, authorizers and CORS are not part of it.
package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"keyvend/infra/host/lambda"
)

// Limits of the service.
const (
	MaxHeader = 10240            // bytes of request line and headers
	MaxBody   = 10 << 20         // bytes
	Timeout   = 30 * time.Second // of an integration
)

// Target runs a function with a payload.
type Target func(ctx context.Context, payload []byte) ([]byte, error)

// Gateway is an HTTP API with its $default stage.
type Gateway struct {
	routes  []route
	timeout time.Duration
	now     func() time.Time
}

// route is one route key, taken apart.
type route struct {
	key      string
	method   string   // "ANY" is all
	segments []string // nil is $default
	target   Target
}

// New makes a gateway of route keys such as "ANY /users/{id}" and "$default".
func New(targets map[string]Target) (*Gateway, error) {
	g := &Gateway{timeout: Timeout, now: time.Now}
	for key, target := range targets {
		r := route{key: key, target: target}
		if key != "$default" {
			method, path, ok := strings.Cut(key, " ")
			if !ok || !strings.HasPrefix(path, "/") {
				return nil, fmt.Errorf("gateway: route key %q", key)
			}
			r.method, r.segments = method, strings.Split(path[1:], "/")
		}
		g.routes = append(g.routes, r)
	}
	// The most specific route comes first: a fixed segment before a variable,
	// one method before all, and $default last.
	slices.SortFunc(g.routes, func(a, b route) int { return cmp.Compare(a.rank(), b.rank()) })
	return g, nil
}

func (r route) rank() string {
	if r.segments == nil {
		return "\xff"
	}
	var rank strings.Builder
	for _, segment := range r.segments {
		switch {
		case strings.HasSuffix(segment, "+}"):
			rank.WriteByte('2')
		case strings.HasPrefix(segment, "{"):
			rank.WriteByte('1')
		default:
			rank.WriteByte('0')
		}
	}
	if r.method == "ANY" {
		rank.WriteByte('~')
	}
	return rank.String() + r.key
}

// match returns the values of the path's variables.
func (r route) match(method, path string) (map[string]string, bool) {
	if r.segments == nil {
		return nil, true
	}
	if r.method != "ANY" && r.method != method {
		return nil, false
	}
	asked := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var values map[string]string
	for i, segment := range r.segments {
		if i >= len(asked) {
			return nil, false
		}
		name, variable := strings.CutPrefix(segment, "{")
		name, greedy := strings.CutSuffix(strings.TrimSuffix(name, "}"), "+")
		value := asked[i]
		if variable && greedy {
			value = strings.Join(asked[i:], "/")
		}
		switch {
		case variable && value != "":
			if values == nil {
				values = map[string]string{}
			}
			values[name] = value
			if greedy {
				return values, true
			}
		case value != segment:
			return nil, false
		}
	}
	return values, len(asked) == len(r.segments)
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()[:16]
	w.Header().Set("Apigw-Requestid", id)
	if headerSize(r) > MaxHeader {
		say(w, http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		say(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	// The service decodes the path and then takes it for a URL again.
	path, _, _ := strings.Cut(r.URL.Path, "?")
	for _, route := range g.routes {
		if values, ok := route.match(r.Method, path); ok {
			g.integrate(w, r, route, g.event(r, id, path, route.key, values, body))
			return
		}
	}
	say(w, http.StatusNotFound, "Not Found")
}

func (g *Gateway) integrate(w http.ResponseWriter, r *http.Request, to route, e event) {
	payload, err := json.Marshal(e)
	if err != nil {
		say(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	type result struct {
		payload []byte
		err     error
	}
	done := make(chan result, 1)
	// The function goes on when its caller has gone.
	ctx := context.WithoutCancel(r.Context())
	go func() {
		answer, err := to.target(ctx, payload)
		done <- result{answer, err}
	}()
	timeout := time.NewTimer(g.timeout)
	defer timeout.Stop()
	select {
	case <-timeout.C:
		say(w, http.StatusServiceUnavailable, "Service Unavailable")
	case res := <-done:
		switch {
		case errors.Is(res.err, lambda.ErrTooLarge):
			say(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		case res.err != nil: // a function that timed out is a failed one too
			say(w, http.StatusInternalServerError, "Internal Server Error")
		default:
			respond(w, res.payload)
		}
	}
}

// event is what the function gets.
func (g *Gateway) event(r *http.Request, id, path, key string, values map[string]string, body []byte) event {
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	now := g.now().UTC()
	headers, cookies := joined(r, source, len(body))
	e := event{
		Version: "2.0", RouteKey: key, RawPath: path, RawQuery: r.URL.RawQuery,
		Cookies: cookies, Headers: headers, Query: query(r.URL), PathParameters: values,
		RequestContext: requestContext{
			RouteKey: key, AccountID: "123456789012", Stage: "$default", RequestID: id, APIID: "localhost",
			DomainName: hostname(r.Host), DomainPrefix: "localhost",
			Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: httpContext{
				Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: source, UserAgent: r.UserAgent(),
			},
		},
	}
	if len(body) == 0 {
		return e
	}
	if isText(r.Header.Get("Content-Type")) && utf8.Valid(body) {
		e.Body = string(body)
		return e
	}
	e.Body, e.Base64 = base64.StdEncoding.EncodeToString(body), true
	return e
}

// joined gives lower-case names with one value each, and the cookies apart.
func joined(r *http.Request, source string, length int) (headers map[string]string, cookies []string) {
	headers = map[string]string{
		"host": r.Host, "x-forwarded-for": source, "x-forwarded-port": "443", "x-forwarded-proto": "https",
		"x-amzn-trace-id": "Root=1-00000000-000000000000000000000000",
	}
	if length > 0 {
		headers["content-length"] = strconv.Itoa(length)
	}
	for name, list := range r.Header {
		switch name {
		case "Cookie":
			for _, line := range list {
				cookies = append(cookies, strings.Split(line, "; ")...)
			}
		case "Connection", "Transfer-Encoding", "Keep-Alive":
		case "X-Forwarded-For":
			headers["x-forwarded-for"] = strings.Join(append(slices.Clone(list), source), ", ")
		default:
			headers[strings.ToLower(name)] = strings.Join(list, ",")
		}
	}
	return headers, cookies
}

func query(u *url.URL) map[string]string {
	values := u.Query()
	if len(values) == 0 {
		return nil
	}
	all := make(map[string]string, len(values))
	for name, list := range values {
		all[name] = strings.Join(list, ",")
	}
	return all
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// isText says whether the service delivers a body of this type as it is; a
// missing type counts as binary.
func isText(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	switch kind {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(kind, "text/")
}

func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + 4 + len("Host: \r\n") + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + 4
		}
	}
	return size
}

// respond sends a function's answer.
func respond(w http.ResponseWriter, payload []byte) {
	var a answer
	err := json.Unmarshal(payload, &a)
	if a.StatusCode == nil {
		// Whatever else a function returns is taken for the body.
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(payload)
		return
	}
	if err != nil || *a.StatusCode < 200 || *a.StatusCode > 599 {
		say(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	body := []byte(a.Body)
	if a.Base64 {
		if body, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			say(w, http.StatusInternalServerError, "Internal Server Error")
			return
		}
	}
	h := w.Header()
	for name, value := range a.Headers {
		switch http.CanonicalHeaderKey(name) {
		case "Connection", "Content-Length", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Trailer":
			continue // the connection's own
		}
		h.Set(name, value)
	}
	for _, cookie := range a.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	if h.Get("Content-Type") == "" && len(body) > 0 {
		h.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	w.WriteHeader(*a.StatusCode)
	_, _ = w.Write(body) // the caller is gone: nobody to tell
}

// say is an answer of the gateway itself.
func say(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, message)
}
