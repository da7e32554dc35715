package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keyvend/infra/host/lambda"
)

// capture is a function that keeps the event and gives a fixed answer.
type capture struct {
	event  event
	answer string
	err    error
}

func (c *capture) target(_ context.Context, payload []byte) ([]byte, error) {
	if err := json.Unmarshal(payload, &c.event); err != nil {
		return nil, err
	}
	return []byte(c.answer), c.err
}

func serveOne(t *testing.T, targets map[string]Target, r *http.Request) *http.Response {
	t.Helper()
	g, err := New(targets)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

func TestTheMostSpecificRouteWins(t *testing.T) {
	c := &capture{answer: `{"statusCode":200}`}
	targets := map[string]Target{}
	for _, key := range []string{"ANY /a", "ANY /a/{x}", "ANY /a/b", "GET /a/b", "ANY /a/{x}/c", "ANY /files/{rest+}", "ANY /u/{user}/p/{slug}", "$default"} {
		targets[key] = c.target
	}
	for _, test := range []struct {
		method, path, key string
		values            map[string]string
	}{
		{"GET", "/a", "ANY /a", nil},
		{"DELETE", "/a/b", "ANY /a/b", nil},
		{"GET", "/a/b", "GET /a/b", nil},
		{"PATCH", "/a/z", "ANY /a/{x}", map[string]string{"x": "z"}},
		{"GET", "/a/z/c", "ANY /a/{x}/c", map[string]string{"x": "z"}},
		{"GET", "/u/auth0%7C1/p/openai", "ANY /u/{user}/p/{slug}", map[string]string{"user": "auth0|1", "slug": "openai"}},
		{"GET", "/files/x/y", "ANY /files/{rest+}", map[string]string{"rest": "x/y"}},
		{"GET", "/a/", "$default", nil},
		{"GET", "/", "$default", nil},
		{"GET", "/a/z/c/d", "$default", nil},
		{"GET", "//a", "$default", nil},
		{"GET", "/a%2Fb", "GET /a/b", nil}, // the service decodes first
	} {
		c.event = event{}
		serveOne(t, targets, httptest.NewRequest(test.method, test.path, nil))
		if c.event.RouteKey != test.key || !maps.Equal(c.event.PathParameters, test.values) {
			t.Errorf("%s %s: %s %v, want %s %v", test.method, test.path, c.event.RouteKey, c.event.PathParameters, test.key, test.values)
		}
	}
}

func TestWithoutDefaultAnUnknownPathIsTheGatewaysOwn404(t *testing.T) {
	res := serveOne(t, map[string]Target{"ANY /a": nil}, httptest.NewRequest("GET", "/b", nil))
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 404 || string(body) != `{"message":"Not Found"}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestARequestBecomesAnEventAsTheServiceMakesIt(t *testing.T) {
	c := &capture{answer: `{"statusCode":200}`}
	r := httptest.NewRequest("POST", "/x/%41%20b%3Fcut?a=1&a=2&c=%20d", strings.NewReader(`{"k":"v"}`))
	r.RemoteAddr = "203.0.113.7:4711"
	r.Host = "api.test:8788"
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Add("X-List", "a, b")
	r.Header.Add("X-List", "c")
	r.Header.Add("Authorization", "Bearer a")
	r.Header.Add("Authorization", "Bearer b")
	r.Header.Set("Cookie", "a=1; b=2")
	serveOne(t, map[string]Target{"$default": c.target}, r)
	e := c.event
	if e.Version != "2.0" || e.RawPath != "/x/A b" || e.RawQuery != "a=1&a=2&c=%20d" || e.Body != `{"k":"v"}` || e.Base64 {
		t.Errorf("%+v", e)
	}
	for name, want := range map[string]string{"x-list": "a, b,c", "authorization": "Bearer a,Bearer b", "host": "api.test:8788", "content-length": "9", "x-forwarded-for": "203.0.113.7"} {
		if e.Headers[name] != want {
			t.Errorf("%s: %q", name, e.Headers[name])
		}
	}
	if _, there := e.Headers["cookie"]; there || strings.Join(e.Cookies, "|") != "a=1|b=2" {
		t.Errorf("cookies %q", e.Cookies)
	}
	if e.Query["a"] != "1,2" || e.Query["c"] != " d" {
		t.Errorf("query %v", e.Query)
	}
	if h := e.RequestContext.HTTP; h.SourceIP != "203.0.113.7" || h.Method != "POST" || h.Path != "/x/A b" || e.RequestContext.Stage != "$default" || e.RequestContext.DomainName != "api.test" {
		t.Errorf("%+v", e.RequestContext)
	}
}

func TestABodyThatIsNotTextTravelsAsBase64(t *testing.T) {
	for kind, base64 := range map[string]bool{
		"application/json": false, "text/plain": false, "application/xml": false, "application/javascript": false,
		"application/x-www-form-urlencoded": true, "application/octet-stream": true, "": true,
	} {
		c := &capture{answer: `{"statusCode":200}`}
		r := httptest.NewRequest("POST", "/", strings.NewReader("abc"))
		r.Header.Set("Content-Type", kind)
		serveOne(t, map[string]Target{"$default": c.target}, r)
		if c.event.Base64 != base64 || (c.event.Body == "YWJj") != base64 {
			t.Errorf("%q: %+v", kind, c.event)
		}
	}
}

func TestAnAnswerBecomesAResponse(t *testing.T) {
	c := &capture{answer: `{"statusCode":201,"headers":{"Content-Type":"application/json","X-When":"Tue, 15 Nov","Content-Length":"99"},"cookies":["a=1","b=2"],"body":"AAE=","isBase64Encoded":true}`}
	res := serveOne(t, map[string]Target{"$default": c.target}, httptest.NewRequest("GET", "/", nil))
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 201 || !bytes.Equal(body, []byte{0, 1}) || res.Header.Get("X-When") != "Tue, 15 Nov" || len(res.Header.Values("Set-Cookie")) != 2 || res.Header.Get("Content-Length") != "" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
}

func TestAnswersThatAreNoResponses(t *testing.T) {
	for answer, want := range map[string]struct {
		status int
		body   string
	}{
		`{"any":1}`:          {200, `{"any":1}`},
		`"text"`:             {200, `"text"`},
		`{"statusCode":0}`:   {500, `{"message":"Internal Server Error"}`},
		`{"statusCode":"x"}`: {500, `{"message":"Internal Server Error"}`},
		`{"statusCode":200,"body":"%","isBase64Encoded":true}`: {500, `{"message":"Internal Server Error"}`},
	} {
		c := &capture{answer: answer}
		res := serveOne(t, map[string]Target{"$default": c.target}, httptest.NewRequest("GET", "/", nil))
		if body, _ := io.ReadAll(res.Body); res.StatusCode != want.status || string(body) != want.body {
			t.Errorf("%s: %d %s", answer, res.StatusCode, body)
		}
	}
}

func TestFailuresOfTheFunctionAreAnsweredAsTheServiceDoes(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"function error": {&lambda.FunctionError{Type: "internal_error", Message: "sk-canary"}, 500},
		"timed out":      {&lambda.FunctionError{Type: "Sandbox.Timedout"}, 500},
		"over 6 MB":      {lambda.ErrTooLarge, 413},
		"other":          {errors.New("sk-canary"), 500},
	} {
		c := &capture{err: test.err}
		res := serveOne(t, map[string]Target{"$default": c.target}, httptest.NewRequest("GET", "/", nil))
		if body, _ := io.ReadAll(res.Body); res.StatusCode != test.want || strings.Contains(string(body), "canary") {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

func TestAnIntegrationThatTakesTooLongIsA503(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	g, err := New(map[string]Target{"$default": func(context.Context, []byte) ([]byte, error) { <-release; return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	g.timeout = time.Millisecond
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 {
		t.Errorf("%d", w.Code)
	}
}

func TestLimitsOfTheService(t *testing.T) {
	c := &capture{answer: `{"statusCode":200}`}
	targets := map[string]Target{"$default": c.target}
	long := httptest.NewRequest("GET", "/", nil)
	long.Header.Set("X-Pad", strings.Repeat("a", MaxHeader))
	if res := serveOne(t, targets, long); res.StatusCode != 431 {
		t.Errorf("headers: %d", res.StatusCode)
	}
	big := httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, MaxBody+1)))
	if res := serveOne(t, targets, big); res.StatusCode != 413 {
		t.Errorf("body: %d", res.StatusCode)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	c := &capture{answer: `{"statusCode":200,"body":"x"}`}
	g, err := New(map[string]Target{"$default": c.target})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(g)
	defer s.Close()
	res, err := http.Head(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || len(body) != 0 || c.event.RequestContext.HTTP.Method != "HEAD" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestABadRouteKeyIsAnError(t *testing.T) {
	if _, err := New(map[string]Target{"GET": nil}); err == nil {
		t.Error("no error")
	}
}
