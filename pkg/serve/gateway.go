package serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"keyvend/pkg/fault"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
)

// maxAnswer is the most that Lambda takes as a synchronous answer.
const maxAnswer = 6 << 20

// errNotHTTP is the cause of a 400 for an event that carries no HTTP request.
var errNotHTTP = errors.New("serve: not an HTTP API event of payload format 2.0")

// Handler is what Lambda serves, for tests: it answers one event. The error is
// always nil.
func Handler(h http.Handler) func(context.Context, json.RawMessage) (events.APIGatewayV2HTTPResponse, error) {
	g := newGateway(h, stderr())
	return func(ctx context.Context, payload json.RawMessage) (events.APIGatewayV2HTTPResponse, error) {
		return g.handle(ctx, payload), nil
	}
}

// gateway answers HTTP API events with an http.Handler.
type gateway struct {
	adapter *httpadapter.HandlerAdapterV2
	log     *slog.Logger
}

func newGateway(h http.Handler, log *slog.Logger) *gateway {
	whole := guard(h, log)
	return &gateway{
		adapter: httpadapter.NewV2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			restore(r)
			whole.ServeHTTP(w, r)
		})),
		log: log,
	}
}

// handle answers any payload whatever with a valid response.
func (g *gateway) handle(ctx context.Context, payload []byte) events.APIGatewayV2HTTPResponse {
	ctx, cancel, enough := withReserve(ctx)
	defer cancel()
	var event events.APIGatewayV2HTTPRequest
	if json.Unmarshal(payload, &event) != nil || event.Version != "2.0" {
		g.log.WarnContext(ctx, errNotHTTP.Error(), "request_id", requestID(ctx))
		return badRequest(ctx)
	}
	shared := sharing(&event)
	if !enough {
		return share(refuse(ctx, http.StatusServiceUnavailable, fault.Busy(nil)), shared)
	}
	ctx, ok := normalize(ctx, &event)
	if !ok {
		return share(badRequest(ctx), shared)
	}
	answer, err := g.adapter.ProxyWithContext(ctx, event)
	if err != nil {
		return share(badRequest(ctx), shared) // the event became no http.Request
	}
	return answer
}

// widgetPaths is where pages of every origin send requests, as package api has it.
const widgetPaths = "/_widgets/"

// sharing are the headers with which a page sees an answer of the edge's own to
// event, as it sees any other: none outside the widgets' paths.
func sharing(event *events.APIGatewayV2HTTPRequest) map[string]string {
	if !strings.HasPrefix(withoutStage(event.RawPath, event.RequestContext.Stage), widgetPaths) {
		return nil
	}
	shared := map[string]string{"Vary": "Origin", "Access-Control-Expose-Headers": "Retry-After, X-Request-ID"}
	if origin := headers(event).Get("Origin"); origin != "" {
		shared["Access-Control-Allow-Origin"] = oneLine.Replace(origin)
	}
	return shared
}

// share is answer with more headers.
func share(answer events.APIGatewayV2HTTPResponse, more map[string]string) events.APIGatewayV2HTTPResponse {
	maps.Copy(answer.Headers, more)
	return answer
}

// original carries past the adapter what it would change.
type original struct {
	method string
	header http.Header
	host   string
}

type originalKey struct{}

// normalize rewrites event so that the adapter can neither fail on it nor
// change its meaning, and says whether there is an HTTP request in it at all.
func normalize(ctx context.Context, event *events.APIGatewayV2HTTPRequest) (context.Context, bool) {
	method := event.RequestContext.HTTP.Method
	if !isToken(method) || !isHost(event.RequestContext.DomainName) {
		return ctx, false
	}
	if event.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(event.Body)
		if err != nil {
			return ctx, false
		}
		event.Body, event.IsBase64Encoded = string(body), false
	}
	path := event.RawPath
	if path == "" {
		path = event.RequestContext.HTTP.Path
	}
	event.RawPath = escapePath(withoutStage(path, event.RequestContext.Stage))
	event.RawQueryString = escapeQuery(event.RawQueryString)

	// The adapter splits header values at their commas, so they travel beside it.
	o := original{method: method, header: headers(event)}
	o.host = o.header.Get("Host")
	o.header.Del("Host")
	event.Headers, event.Cookies = nil, nil
	return context.WithValue(ctx, originalKey{}, o), true
}

// restore gives r what normalize kept back.
func restore(r *http.Request) {
	o, ok := r.Context().Value(originalKey{}).(original)
	if !ok {
		return
	}
	r.Method, r.Header = o.method, o.header
	if o.host != "" {
		r.Host = o.host
	}
}

// headers gives one value for each name, as the gateway joined them, and the
// cookies in the one header that they came in.
func headers(event *events.APIGatewayV2HTTPRequest) http.Header {
	h := make(http.Header, len(event.Headers)+1)
	for name, value := range event.Headers {
		h.Set(name, value)
	}
	if len(event.Cookies) > 0 {
		h.Set("Cookie", strings.Join(event.Cookies, "; "))
	}
	return h
}

// withoutStage cuts a named stage, which the gateway leaves in front of the path.
func withoutStage(path, stage string) string {
	if stage == "" || stage == "$default" {
		return path
	}
	rest, found := strings.CutPrefix(path, "/"+stage)
	if found && (rest == "" || rest[0] == '/') {
		return rest
	}
	return path
}

// escapePath makes a path of an event safe to parse as part of a URL. HTTP APIs
// deliver it percent-decoded and other senders encoded: a triplet %XX is
// decoded once (nothing we name holds a percent sign), any other percent sign
// is a character like the rest.
func escapePath(path string) string {
	decoded := make([]byte, 0, len(path)+1)
	if !strings.HasPrefix(path, "/") {
		decoded = append(decoded, '/')
	}
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if hi, lo := unhex(path[i+1]), unhex(path[i+2]); hi >= 0 && lo >= 0 {
				decoded = append(decoded, byte(hi<<4|lo)) // #nosec G115 -- two digits fill one byte
				i += 2
				continue
			}
		}
		decoded = append(decoded, path[i])
	}
	return (&url.URL{Path: string(decoded)}).EscapedPath()
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// escapeQuery encodes the bytes on which a URL parser would fail or stop.
func escapeQuery(query string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(query); i++ {
		c := query[i]
		if c > ' ' && c < 0x7f && c != '#' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// isToken says whether s can be an HTTP method.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isHost says whether s can stand between "https://" and a path, alone.
func isHost(s string) bool {
	u, err := url.Parse("https://" + s + "/")
	return err == nil && u.Host == s && u.User == nil
}

// badRequest answers what is no HTTP request.
func badRequest(ctx context.Context) events.APIGatewayV2HTTPResponse {
	return refuse(ctx, http.StatusBadRequest, fault.New(fault.BadRequest, "bad_request", "The request cannot be read."))
}

// refuse is an answer of the edge itself, in the form of all other errors.
func refuse(ctx context.Context, status int, f *fault.Error) events.APIGatewayV2HTTPResponse {
	header, body := errorAnswer(ctx, f)
	answer := events.APIGatewayV2HTTPResponse{StatusCode: status, Body: string(body), Headers: map[string]string{}}
	for name := range header {
		answer.Headers[name] = header.Get(name)
	}
	return answer
}

// requestID is the invocation's id, "" outside Lambda.
func requestID(ctx context.Context) string {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return ""
	}
	return lc.AwsRequestID
}

// encode writes an answer for Lambda, or a 500 in place of one that Lambda
// would refuse for its size.
func encode(answer events.APIGatewayV2HTTPResponse) ([]byte, error) {
	b, err := json.Marshal(answer)
	if err == nil && len(b) <= maxAnswer {
		return b, nil
	}
	refused := refuse(context.Background(), http.StatusInternalServerError, fault.As(errTooLong))
	for _, name := range kept {
		if value, set := answer.Headers[name]; set {
			refused.Headers[name] = value
		}
	}
	return json.Marshal(refused)
}

var errTooLong = errors.New("serve: the answer is longer than Lambda carries")
