package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/audit"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/vault"
)

// Server answers the requests of a set of routes.
type Server struct {
	gate     *vault.Gate
	clock    ident.Clock
	log      *slog.Logger
	sessions bool
	router   router

	refused *refusals
	strays  *strays
	sources *sources
}

// Config is what every set of routes needs besides the services it serves.
type Config struct {
	Gate  *vault.Gate
	Clock ident.Clock
	Log   *slog.Logger
	// Sessions lets dashboard sessions in where API keys are.
	Sessions bool
}

// New serves routes; any other path is a JSON 404.
func New(cfg Config, routes ...Route) *Server {
	return &Server{
		gate: cfg.Gate, clock: cfg.Clock, log: cfg.Log, sessions: cfg.Sessions, router: newRouter(routes),
		refused: &refusals{clock: cfg.Clock, log: cfg.Log}, strays: newStrays(cfg.Clock, cfg.Log), sources: newSources(cfg.Clock),
	}
}

// ServeHTTP implements http.Handler: every answer has a request id and, unless it
// is a file, is JSON, is kept by no cache, and is nothing to a browser that shows it
// as a page.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := s.clock.New(ident.RequestPrefix)
	h := w.Header()
	h.Set("X-Request-ID", id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	r = r.WithContext(audit.WithRequestID(r.Context(), id))
	if forWidgets(r.URL.Path) && share(w, r) {
		return
	}
	route, values, err := s.router.find(r.Method, r.URL.Path)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	route.handler.serve(s, route.Scope, w, &request{Request: r, values: values})
}

// Join serves what several servers do as one.
func Join(servers ...*Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, s := range servers {
			if s.router.has(r.URL.Path) {
				s.ServeHTTP(w, r)
				return
			}
		}
		servers[0].ServeHTTP(w, r)
	})
}

// functions are all routes by the function that serves them.
func functions() map[string][]Route {
	return map[string][]Route{
		"providers": slices.Concat(Providers(nil, nil, nil, nil), Events(nil), Usage(nil)),
		"keys":      Keys(nil, nil, nil, nil, nil, nil),
		"vend":      Vend(nil, nil),
		"widget":    slices.Concat(Widget(nil, nil), Pages(nil)),
	}
}

// Routes lists the path of every route by the function that serves it.
func Routes() map[string][]string {
	all := map[string][]string{}
	for name, routes := range functions() {
		all[name] = paths(routes)
	}
	return all
}

// IsPage reports whether a path is one whose answers are files, and so no JSON.
func IsPage(path string) bool { return newRouter(Pages(nil)).has(path) }

// IsPreflight reports whether a request is no call but a browser's question whether
// there may be one.
func IsPreflight(method, path string) bool { return method == http.MethodOptions && forWidgets(path) }

// answer is a status and a body; nil is no body.
type answer struct {
	status  int
	body    any
	warning string // the header that tells of a key that is odd, "" for none
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// input is what a route reads of a request: it checks it and names the rows
// that it is about.
type input interface {
	decode(r *request) (vault.Target, error)
}

// operation is the handler of what an API key is needed for.
type operation[T any, P interface {
	*T
	input
}] func(context.Context, *vault.Visit, P) (answer, error)

// handle makes a handler of what do does.
func handle[T any, P interface {
	*T
	input
}](do func(context.Context, *vault.Visit, P) (answer, error)) handler {
	return operation[T, P](do)
}

func (do operation[T, P]) serve(s *Server, scope apikey.Scope, w http.ResponseWriter, r *request) {
	who, err := s.caller(r)
	if err != nil {
		s.fail(w, r.Request, err)
		return
	}
	admit := func(target vault.Target) (*vault.Visit, error) {
		return s.gate.Admit(r.Context(), who, scope, target)
	}
	serve(s, w, r, admit, do)
}

// serve reads a request, has its sender admitted, does what it asks for, answers.
// Who is not admitted learns nothing of what was wrong with his request.
func serve[T any, P interface {
	*T
	input
}](s *Server, w http.ResponseWriter, r *request, admit func(vault.Target) (*vault.Visit, error), do func(context.Context, *vault.Visit, P) (answer, error)) {
	in := P(new(T))
	target, wrong := in.decode(r)
	if wrong != nil {
		target = vault.Target{}
	}
	visit, err := admit(target)
	if err == nil && wrong != nil {
		err = s.gate.Refuse(r.Context(), visit, wrong)
	}
	var a answer
	if err == nil {
		a, err = do(r.Context(), visit, in)
	}
	s.answer(w, r.Request, a, err)
}

// open is the handler of what anyone may ask.
type open func(s *Server, w http.ResponseWriter, r *request)

func (do open) serve(s *Server, _ apikey.Scope, w http.ResponseWriter, r *request) { do(s, w, r) }

// caller is who sends a request, before anything is read. A stranger whose
// address has brought about too many refusals has to wait; who is recognized
// never has to.
func (s *Server) caller(r *request) (vault.Caller, error) {
	who, known := r.caller(s.sessions)
	if err := s.listen(r, known && s.gate.Recognizes(who)); err != nil {
		return nil, err
	}
	if !known {
		return nil, vault.ErrUnauthorized
	}
	return who, nil
}

// listen says why a request is not even listened to, nil when it is.
func (s *Server) listen(r *request, recognized bool) error {
	if recognized {
		return nil
	}
	return s.sources.wait(r.RemoteAddr)
}

// statuses is the one map from kinds of fault to HTTP.
var statuses = map[fault.Kind]int{
	fault.BadRequest:       http.StatusBadRequest,
	fault.Unauthorized:     http.StatusUnauthorized,
	fault.Forbidden:        http.StatusForbidden,
	fault.NotFound:         http.StatusNotFound,
	fault.MethodNotAllowed: http.StatusMethodNotAllowed,
	fault.Conflict:         http.StatusConflict,
	fault.TooLarge:         http.StatusRequestEntityTooLarge,
	fault.Invalid:          http.StatusUnprocessableEntity,
	fault.Unavailable:      http.StatusServiceUnavailable,
	fault.TooMany:          http.StatusTooManyRequests,
	fault.Internal:         http.StatusInternalServerError,
}

// failure is an error on the wire.
type failure struct {
	Message string         `json:"message"`
	Code    string         `json:"code,omitempty"`
	Verdict string         `json:"verdict,omitempty"`
	Errors  []fault.Detail `json:"errors,omitempty"`
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	public := fault.As(err)
	s.count(r, err, public)
	s.tell(r, err, public)
	if public.Kind == fault.Unauthorized {
		public = asWidgetsHear(public, r.URL.Path)
	}
	h := w.Header()
	if method, isMethod := err.(*methodNotAllowed); isMethod { //nolint:errorlint // made in this package, never wrapped
		h.Set("Allow", method.allowed)
	}
	switch public.Kind {
	case fault.Unauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case fault.TooMany, fault.Unavailable:
		h.Set("Retry-After", retryAfter(public))
	}
	s.reply(w, r, answer{status: statuses[public.Kind], body: failureOf(public, r.URL.Path)})
}

// count counts what is refused before anyone is known, against the address that it
// came from too when it may be a guess.
func (s *Server) count(r *http.Request, err error, public *fault.Error) {
	unknown := public.Kind == fault.Unauthorized
	if unknown || public.Code == rateLimited {
		s.refused.add(r.Context())
	}
	if unknown && guesses(err) {
		s.sources.drain(r.RemoteAddr)
	}
}

// tell tells the log of what an operator should know.
func (s *Server) tell(r *http.Request, err error, public *fault.Error) {
	ctx := r.Context()
	hungUp := ctx.Err() != nil && errors.Is(err, context.Canceled)
	switch {
	case public.Kind == fault.Unavailable && !hungUp:
		s.log.WarnContext(ctx, "unavailable", "request_id", audit.RequestID(ctx), "error", err)
	case public.Kind == fault.Internal:
		s.log.ErrorContext(ctx, "internal error", "alarm", alarm(err), "request_id", audit.RequestID(ctx), "error", err)
	}
}

// guesses reports whether who is refused may have guessed. Many people may share an
// address, whose widgets all begin without a token, and whose tokens end alike.
func guesses(refusal error) bool {
	return !errors.Is(refusal, vault.ErrEnded) && !errors.Is(refusal, errNothing)
}

// retryAfter is when to come again, in whole seconds of which there is one at
// least.
func retryAfter(f *fault.Error) string {
	return strconv.Itoa(max(1, int((f.RetryAfter+time.Second-1)/time.Second)))
}

// failureOf is the body of an error. On the contract's paths a single wrong value
// is told by the message alone: of a 422 that has errors the Node client shows
// their codes in its place.
func failureOf(public *fault.Error, path string) failure {
	f := failure{public.Message, public.Code, public.Verdict, public.Details}
	if public.Code == "unprocessable_entity" && len(f.Errors) == 1 && !strings.HasPrefix(path, "/keyvend/") {
		f.Errors = nil
	}
	return f
}

// alarm tells what does not open or unwrap from other internal errors.
func alarm(err error) string {
	if errors.Is(err, seal.ErrIntegrity) || errors.Is(err, seal.ErrFormat) || errors.Is(err, seal.ErrKeyVersion) {
		return "integrity"
	}
	return "internal_error"
}

// answer sends what came of a request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, a answer, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.reply(w, r, a)
}

func (s *Server) reply(w http.ResponseWriter, r *http.Request, a answer) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	text, err := json.Marshal(a.body)
	if err != nil {
		s.log.ErrorContext(r.Context(), "an answer does not encode", "request_id", audit.RequestID(r.Context()), "error", err)
		a.status, text = http.StatusInternalServerError, []byte(`{"message":"Something went wrong on our side."}`)
	}
	if a.warning != "" {
		w.Header().Set(warningHeader, a.warning)
	}
	write(w, a.status, text)
}

// write answers with a text that is JSON already.
func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client is gone: nobody is left to be told
}
