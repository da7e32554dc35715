package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/fault"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
)

const canary = "sk-canary-serve-9d1f"

// valid fails the test unless API Gateway could send res.
func valid(t testing.TB, res events.APIGatewayV2HTTPResponse) {
	t.Helper()
	if res.StatusCode < 200 || res.StatusCode > 599 {
		t.Fatalf("status %d", res.StatusCode)
	}
	if _, err := json.Marshal(res); err != nil {
		t.Fatal(err)
	}
	for name, value := range res.Headers {
		if name == "" || strings.ContainsAny(value, "\r\n\x00") {
			t.Fatalf("header %q: %q", name, value)
		}
	}
}

// jsonError fails the test unless body has the form of an error.
func jsonError(t testing.TB, body string) {
	t.Helper()
	var e struct{ Message, Code string }
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Message == "" {
		t.Fatalf("not an error body: %q (%v)", body, err)
	}
}

func TestF40_WhatIsNoHTTPEventIsA400AndNeverAFunctionError(t *testing.T) {
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	scheduled, err := os.ReadFile("../../events/sweep.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string]string{
		"nothing": ``, "no JSON": `{`, "null": `null`, "empty": `{}`, "list": `[]`, "string": `"x"`, "number": `7`, "scheduled": string(scheduled),
		"v1":                `{"version":"1.0","resource":"/","path":"/healthz","httpMethod":"GET","headers":{},"requestContext":{"httpMethod":"GET","stage":"$default"},"body":null,"isBase64Encoded":false}`,
		"ALB":               `{"requestContext":{"elb":{"targetGroupArn":"arn:x"}},"httpMethod":"GET","path":"/healthz","queryStringParameters":{},"headers":{},"body":"","isBase64Encoded":false}`,
		"WebSocket":         `{"requestContext":{"routeKey":"$connect","eventType":"CONNECT","connectionId":"x","domainName":"d","stage":"p"},"isBase64Encoded":false}`,
		"SQS":               `{"Records":[{"messageId":"1","body":"{}","eventSource":"aws:sqs"}]}`,
		"wrong types":       `{"version":2,"requestContext":"x"}`,
		"headers as a list": `{"version":"2.0","headers":[],"rawPath":"/","requestContext":{"http":{"method":"GET"}}}`,
		"no method":         `{"version":"2.0","rawPath":"/","requestContext":{"http":{}}}`,
		"method of two":     `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET /x HTTP/1.1"}}}`,
		"host with a path":  `{"version":"2.0","rawPath":"/","requestContext":{"domainName":"a/b?c","http":{"method":"GET"}}}`,
		"host with a user":  `{"version":"2.0","rawPath":"/","requestContext":{"domainName":"a@b","http":{"method":"GET"}}}`,
		"bad base64":        `{"version":"2.0","rawPath":"/","isBase64Encoded":true,"body":"%%%","requestContext":{"http":{"method":"POST"}}}`,
		"deep":              `{"version":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			res := invoke(t, h, json.RawMessage(payload))
			valid(t, res)
			if res.StatusCode != 400 {
				t.Errorf("status %d", res.StatusCode)
			}
			jsonError(t, res.Body)
			if res.Headers["Cache-Control"] != "no-store" || res.Headers["Content-Type"] != "application/json" {
				t.Errorf("headers %v", res.Headers)
			}
		})
	}
}

func TestF40_PathsReachTheHandlerAsTheyAreAndNeverRedirect(t *testing.T) {
	for _, c := range []struct{ stage, raw, want string }{
		{"$default", "/a%b", "/a%b"},
		{"$default", "%", "/%"},
		{"$default", "/%", "/%"},
		{"$default", "/%4", "/%4"},
		{"$default", "/%00", "/\x00"},
		{"$default", "/a\x00b", "/a\x00b"},
		{"$default", "//host/..", "//host/.."},
		{"$default", "/..", "/.."},
		{"$default", "/a?b=c", "/a?b=c"},
		{"$default", "/a#b", "/a#b"},
		{"$default", "/users/a%7Cb%40c", "/users/a|b@c"},
		{"$default", "/users/a|b@c", "/users/a|b@c"},
		{"$default", "/%2541", "/%41"},
		{"$default", "", "/"},
		{"$default", "x", "/x"},
		{"prod", "/prod/healthz", "/healthz"},
		{"prod", "/prod", "/"},
		{"prod", "/production", "/production"},
		{"prod", "/healthz", "/healthz"},
		{"$default", "/prod/healthz", "/prod/healthz"},
	} {
		t.Run(c.stage+" "+c.raw, func(t *testing.T) {
			var got, remote string
			h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, remote = r.URL.Path, r.RemoteAddr })
			payload, _ := json.Marshal(events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: c.raw, RequestContext: events.APIGatewayV2HTTPRequestContext{
				Stage: c.stage, HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: "POST", SourceIP: "203.0.113.7"},
			}})
			res := invoke(t, h, payload)
			if res.StatusCode != 200 || got != c.want {
				t.Errorf("status %d, path %q, want %q", res.StatusCode, got, c.want)
			}
			if remote != "203.0.113.7" {
				t.Errorf("RemoteAddr %q", remote)
			}
		})
	}
}

func TestF41_AnAuthorizationSentTwiceStaysOneJoinedValue(t *testing.T) {
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if v := r.Header.Values("Authorization"); len(v) != 1 || v[0] != "Bearer a,Bearer b" {
			t.Errorf("Authorization %q", v)
		}
	})
	x := exchange{method: "GET", path: "/", header: map[string]string{"Authorization": "Bearer a,Bearer b"}}
	if res := invoke(t, h, x.event(t)); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestF46_APanicIsTheFixed500AndItsValueIsNowhere(t *testing.T) {
	type secretBearer struct{ Key string }
	for name, thrown := range map[string]any{
		"string": canary, "error": fmt.Errorf("key %s", canary), "struct": secretBearer{canary}, "abort": http.ErrAbortHandler,
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			calls := 0
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls++; calls == 1 {
					w.Header().Set("X-Half", canary)
					w.Header().Set("Access-Control-Allow-Origin", "https://app.example.com")
					_, _ = io.WriteString(w, canary)
					panic(thrown)
				}
			})
			g := newGateway(h, slog.New(slog.NewJSONHandler(&log, nil)))
			x := exchange{method: "GET", path: "/"}
			res := g.handle(context.Background(), x.event(t))
			valid(t, res)
			jsonError(t, res.Body)
			if res.StatusCode != 500 {
				t.Errorf("status %d", res.StatusCode)
			}
			if res.Headers["Access-Control-Allow-Origin"] != "https://app.example.com" {
				t.Errorf("the page cannot read the answer: %v", res.Headers)
			}
			out, _ := json.Marshal(res)
			if strings.Contains(string(out)+log.String(), canary) {
				t.Errorf("the canary came out: %s %s", out, log.String())
			}
			if !strings.Contains(log.String(), fmt.Sprintf("%T", thrown)) || !strings.Contains(log.String(), "serve_test.go") || !strings.Contains(log.String(), `"alarm":"panic"`) {
				t.Errorf("log %s", log.String())
			}
			if res := g.handle(context.Background(), x.event(t)); res.StatusCode != 200 {
				t.Errorf("afterwards: status %d", res.StatusCode)
			}
		})
	}
}

func TestF46_NilMapAndHugeAllocationAreRecovered(t *testing.T) {
	size := -1
	for name, h := range map[string]http.HandlerFunc{
		"nil map":    func(http.ResponseWriter, *http.Request) { var m map[string]int; m["a"] = 1 }, //nolint:staticcheck // the panic is the point
		"allocation": func(http.ResponseWriter, *http.Request) { _ = make([]byte, size) },
		"status 0":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(-3) },
	} {
		g := newGateway(h, slog.New(slog.DiscardHandler))
		if res := g.handle(context.Background(), exchange{method: "GET", path: "/"}.event(t)); res.StatusCode != 500 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
}

func TestF54_TheHandlersContextEndsBeforeLambdas(t *testing.T) {
	deadline := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if d, ok := r.Context().Deadline(); !ok || !d.Equal(deadline.Add(-200*time.Millisecond)) {
			t.Errorf("deadline %v", d)
		}
	})
	if res, err := Handler(h)(ctx, exchange{method: "GET", path: "/"}.event(t)); err != nil || res.StatusCode != 200 {
		t.Errorf("%d %v", res.StatusCode, err)
	}
}

func TestF54_WithTooLittleTimeLeftNothingStartsAndTheAnswerIs503(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	res, err := Handler(h)(ctx, exchange{method: "GET", path: "/"}.event(t))
	if err != nil || res.StatusCode != 503 || res.Headers["Retry-After"] == "" {
		t.Errorf("%+v %v", res, err)
	}
	jsonError(t, res.Body)
}

// A page that may not read an answer tells its people to configure CORS.
func TestAPageOfAWidgetSeesWhatTheEdgeAnswers(t *testing.T) {
	const origin = "https://app.example.com"
	late, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		ctx    context.Context
		edit   func(*events.APIGatewayV2HTTPRequest)
		status int
		shared bool
	}{
		"too late":              {late, func(*events.APIGatewayV2HTTPRequest) {}, 503, true},
		"too late, in a stage":  {late, func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.Stage, e.RawPath = "v1", "/v1"+e.RawPath }, 503, true},
		"not readable":          {context.Background(), func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "GE T" }, 400, true},
		"a body that is none":   {context.Background(), func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "%", true }, 400, true},
		"not for widgets":       {late, func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/data-integrations" }, 503, false},
		"not readable, nor one": {context.Background(), func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method, e.RawPath = "", "/x/_widgets/" }, 400, false},
	} {
		var event events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(exchange{method: "GET", path: "/_widgets/settings"}.event(t), &event); err != nil {
			t.Fatal(err)
		}
		event.Headers = map[string]string{"origin": origin}
		c.edit(&event)
		payload, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		res, err := Handler(h)(c.ctx, payload)
		want := map[bool]string{true: origin}[c.shared]
		if err != nil || res.StatusCode != c.status || res.Headers["Access-Control-Allow-Origin"] != want || (res.Headers["Vary"] == "Origin") != c.shared {
			t.Errorf("%s: %d %v %v", name, res.StatusCode, res.Headers, err)
		}
	}
	long, err := encode(events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: strings.Repeat("x", 7<<20), Headers: map[string]string{"Access-Control-Allow-Origin": origin, "Vary": "Origin", "X-Other": "y"}})
	if err != nil || !bytes.Contains(long, []byte(origin)) || bytes.Contains(long, []byte("X-Other")) {
		t.Errorf("%.300s %v", long, err)
	}
}

func TestAnAnswerThatLambdaWouldRefuseIsA500(t *testing.T) {
	b, err := encode(events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: strings.Repeat("\x01", 2<<20)})
	if err != nil || len(b) > maxAnswer || !bytes.Contains(b, []byte(`"statusCode":500`)) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

type order struct {
	Name string `json:"name"`
}

func TestEventDecodesCallsAndEncodes(t *testing.T) {
	f := eventInvoker(func(_ context.Context, o order) (order, error) { return order{o.Name + "!"}, nil }, slog.New(slog.DiscardHandler))
	got, err := f.Invoke(context.Background(), []byte(`{"name":"a"}`))
	if err != nil || string(got) != `{"name":"a!"}` {
		t.Errorf("%s %v", got, err)
	}
	raw := eventInvoker(func(_ context.Context, m json.RawMessage) (int, error) { return len(m), nil }, slog.New(slog.DiscardHandler))
	if got, err := raw.Invoke(context.Background(), []byte(`{"any":1}`)); err != nil || string(got) != "9" {
		t.Errorf("%s %v", got, err)
	}
}

func TestEventErrorsTellTheInvokerThePublicSentenceOnly(t *testing.T) {
	for name, c := range map[string]struct {
		payload, kind string
		fn            func(context.Context, order) (order, error)
		logged        bool // the canary is the private cause
	}{
		"public": {`{}`, "not_found", func(context.Context, order) (order, error) {
			return order{}, fault.New(fault.NotFound, "not_found", "No such tenant.").Because(errors.New(canary))
		}, true},
		"unknown error": {`{}`, "internal_error", func(context.Context, order) (order, error) { return order{}, errors.New(canary) }, true},
		"panic":         {`{}`, "internal_error", func(context.Context, order) (order, error) { panic(canary) }, false},
		"bad payload":   {`{"name":{"a":"` + canary + `"}}`, "invalid_request_body", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			_, err := eventInvoker(c.fn, slog.New(slog.NewJSONHandler(&log, nil))).Invoke(context.Background(), []byte(c.payload))
			var reported messages.InvokeResponse_Error
			if !errors.As(err, &reported) || reported.Type != c.kind || reported.ShouldExit {
				t.Fatalf("%#v", err)
			}
			if strings.Contains(reported.Message, canary) || strings.Contains(log.String(), canary) != c.logged {
				t.Errorf("%q, log %s", reported.Message, log.String())
			}
		})
	}
}

func TestF54_AnEventWithTooLittleTimeIsNotStarted(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := eventInvoker(func(context.Context, order) (order, error) {
		t.Error("called")
		return order{}, nil
	}, slog.New(slog.DiscardHandler)).Invoke(ctx, []byte(`{}`))
	var reported messages.InvokeResponse_Error
	if !errors.As(err, &reported) || reported.Type != "service_unavailable" {
		t.Errorf("%v", err)
	}
}

func TestListenReturnsABindingErrorAsItIs(t *testing.T) {
	l := listener(t)
	defer l.Close()
	err := Listen(context.Background(), l.Addr().String(), http.NotFoundHandler())
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" {
		t.Errorf("%v", err)
	}
}

func TestListenLetsARequestUnderWayFinish(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	entered, done := make(chan struct{}), make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-ctx.Done()
		_, _ = io.WriteString(w, "finished")
	})
	l := listener(t)
	go func() { done <- Serve(ctx, l, h) }()
	go func() { <-entered; stop() }()
	res, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "finished" {
		t.Errorf("%q", body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestListenBoundsHeadersAsTheGatewayDoes(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	l := listener(t)
	go func() { _ = Serve(ctx, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	for size, want := range map[int]int{9000: 200, 10241: 431} {
		head := "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Pad: "
		x := exchange{method: "GET", path: "/", header: map[string]string{"X-Pad": strings.Repeat("a", size-len(head)-4)}}
		if got := throughHTTP(t, l.Addr().String(), x); got.Status != want {
			t.Errorf("%d bytes: %d, want %d", size, got.Status, want)
		}
	}
}

func TestF46_APanicBehindAListenerIsTheSame500(t *testing.T) {
	var log bytes.Buffer
	s := httptest.NewServer(guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(canary) }), slog.New(slog.NewJSONHandler(&log, nil))))
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	s.Close()
	jsonError(t, string(body))
	if res.StatusCode != 500 || strings.Contains(string(body)+log.String(), canary) {
		t.Errorf("%d %s %s", res.StatusCode, body, log.String())
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func FuzzLambdaEvent(f *testing.F) {
	for _, file := range []string{"vend", "keys", "providers", "sweep", "tenants"} {
		payload, err := os.ReadFile("../../events/" + file + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Add([]byte(`{"version":"2.0","rawPath":"/%zz?#","rawQueryString":"a#b c","requestContext":{"stage":"p","domainName":"a","http":{"method":"POST"}},"body":"aGk=","isBase64Encoded":true,"cookies":["a=b"],"headers":{"x":"a,b","":"y"}}`))
	f.Add([]byte(`{"version":"2.0","requestContext":{"http":{"method":"GET","path":"//\u0000"}},"queryStringParameters":{"a":"%"}}`))
	g := newGateway(oddities(), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, payload []byte) {
		res := g.handle(context.Background(), payload)
		valid(t, res)
		if res.StatusCode == 307 || res.StatusCode == 308 || res.StatusCode >= 500 {
			t.Fatalf("status %d", res.StatusCode)
		}
	})
}

func BenchmarkGateway(b *testing.B) {
	g := newGateway(http.HandlerFunc(mirror), slog.New(slog.DiscardHandler))
	payload, err := os.ReadFile("../../events/vend.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = encode(g.handle(context.Background(), payload))
	}
}
