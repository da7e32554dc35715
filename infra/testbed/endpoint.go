package testbed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Any is the operation name that stands for every operation.
const Any = "*"

// Endpoint stands between an AWS client (as its BaseEndpoint) and the real
// service. It counts calls by operation ("GetItem", "Decrypt"), hands them on,
// and lets a script answer some of them with faults. It is safe for concurrent
// use. A scripted fault that no call has met by the end of the test fails the
// test.
type Endpoint struct {
	URL string

	t        testing.TB
	upstream string
	client   *http.Client
	server   *httptest.Server
	ended    chan struct{} // closed at the end of the test: nobody waits any longer

	mu     sync.Mutex
	calls  []Call
	script map[string][]step
}

// Call is one call as it arrived.
type Call struct {
	Op   string // the operation: X-Amz-Target behind its dot
	Body []byte
	// Again: the SDK asks once more, by its header Amz-Sdk-Request, since the answer
	// before was a fault or too late.
	Again bool
}

// step is one line of a script.
type step struct {
	fault  Fault
	always bool // stays after it was met
	met    bool
}

// Fault answers one call in the place of the service. It may hand the call on
// with x.Forward.
type Fault func(w http.ResponseWriter, x *Exchange)

// Exchange is a call while it is answered.
type Exchange struct {
	Call
	Request  *http.Request
	endpoint *Endpoint
}

// Answer is what the service said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// NewEndpoint starts an endpoint that hands calls on to upstream, the URL of
// the real service. With upstream "" every call must be in the script; one that
// is not fails the test.
func NewEndpoint(t testing.TB, upstream string) *Endpoint {
	t.Helper()
	e := &Endpoint{
		t:        t,
		upstream: upstream,
		client:   &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}},
		ended:    make(chan struct{}),
		script:   map[string][]step{},
	}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	e.URL = e.server.URL
	t.Cleanup(e.end)
	return e
}

// On lets the next calls of op (or Any) meet the given faults, one each, in
// order. Later calls are handed on.
func (e *Endpoint) On(op string, faults ...Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range faults {
		e.script[op] = append(e.script[op], step{fault: f})
	}
}

// Always lets every call of op (or Any) meet fault, after what On scripted for
// it and until Clear.
func (e *Endpoint) Always(op string, fault Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.script[op] = append(e.script[op], step{fault: fault, always: true})
}

// Clear ends the script of op (or Any). Faults that were not met yet fail the
// test.
func (e *Endpoint) Clear(op string) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.verify(op)
	delete(e.script, op)
}

// Calls is how often op was called; Any counts all calls. Every attempt of a
// client counts.
func (e *Endpoint) Calls(op string) int {
	n := 0
	for _, c := range e.Log() {
		if op == Any || c.Op == op {
			n++
		}
	}
	return n
}

// Log returns all calls in the order of their arrival.
func (e *Endpoint) Log() []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

// Forget empties the log, so that a test counts from here on.
func (e *Endpoint) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = nil
}

// DropConnections closes every connection of clients, idle ones included, as a
// load balancer does with those of an environment that was frozen for long.
func (e *Endpoint) DropConnections() { e.server.CloseClientConnections() }

func (e *Endpoint) end() {
	close(e.ended)
	e.server.CloseClientConnections()
	e.server.Close()
	e.client.CloseIdleConnections()
	e.mu.Lock()
	defer e.mu.Unlock()
	for op := range e.script {
		e.verify(op)
	}
}

// verify fails the test when op's script has faults that no call met.
func (e *Endpoint) verify(op string) {
	e.t.Helper()
	unmet := 0
	for _, s := range e.script[op] {
		if !s.met {
			unmet++
		}
	}
	if unmet > 0 {
		e.t.Errorf("testbed: %d scripted faults of %s were not met by any call", unmet, op)
	}
}

func again(r *http.Request) bool {
	attempt := r.Header.Get("Amz-Sdk-Request") // such as "attempt=2; max=3"
	first, _, _ := strings.Cut(attempt, ";")
	return first != "" && first != "attempt=1"
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		// The caller hung up while it was sending.
		return
	}
	target := r.Header.Get("X-Amz-Target")
	x := &Exchange{
		Call:     Call{Op: target[strings.LastIndexByte(target, '.')+1:], Body: body, Again: again(r)},
		Request:  r,
		endpoint: e,
	}
	fault := e.take(x.Call)
	switch {
	case fault != nil:
		fault(w, x)
	case e.upstream == "":
		e.t.Errorf("testbed: unexpected call of %q (nothing scripted, nothing behind the endpoint)", x.Op)
		w.WriteHeader(http.StatusBadRequest)
	default:
		Forward(w, x)
	}
}

// take logs the call and takes its fault off the script. An operation's own
// script goes before that of Any.
func (e *Endpoint) take(c Call) Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, c)
	for _, op := range []string{c.Op, Any} {
		steps := e.script[op]
		if len(steps) == 0 {
			continue
		}
		if steps[0].always {
			steps[0].met = true
		} else {
			e.script[op] = steps[1:]
		}
		return steps[0].fault
	}
	return nil
}

// Forward hands the call on to the real service.
func (x *Exchange) Forward() (*Answer, error) { return x.forward(x.Body) }

func (x *Exchange) forward(body []byte) (*Answer, error) {
	if x.endpoint.upstream == "" {
		return nil, fmt.Errorf("testbed: nothing behind the endpoint that %s could be handed on to", x.Op)
	}
	req, err := http.NewRequestWithContext(x.Request.Context(), x.Request.Method, x.endpoint.upstream+x.Request.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = x.Request.Header.Clone()
	resp, err := x.endpoint.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: answer}, nil
}

// Wait returns true after d, and false at once when the caller has gone or the
// test ends.
func (x *Exchange) Wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.Request.Context().Done():
		return false
	case <-x.endpoint.ended:
		return false
	}
}

// must reports an error of forwarding, unless the caller itself hung up.
func (x *Exchange) must(a *Answer, err error) bool {
	if err == nil {
		return true
	}
	if x.Request.Context().Err() == nil {
		x.endpoint.t.Errorf("testbed: hand on %s: %v", x.Op, err)
	}
	return a != nil
}

// Write sends the answer with a checksum that fits its body.
func (a *Answer) Write(w http.ResponseWriter) {
	for k, v := range a.Header {
		w.Header()[k] = v
	}
	if w.Header().Get("X-Amz-Crc32") != "" {
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(a.Body)), 10))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// Forward is the fault that is none: the call is handed on.
func Forward(w http.ResponseWriter, x *Exchange) {
	if a, err := x.Forward(); x.must(a, err) {
		a.Write(w)
	}
}

// Fail answers with an error of the given type, such as 400
// "ThrottlingException", and stores nothing.
func Fail(status int, errorType string) Fault {
	return Reply(status, fmt.Sprintf(`{"__type":"com.amazonaws.testbed#%s","message":"scripted by the test"}`, errorType))
}

// Reply answers with a status and a body, and stores nothing.
func Reply(status int, body string) Fault {
	return func(w http.ResponseWriter, _ *Exchange) {
		a := Answer{Status: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Crc32": {"0"}}, Body: []byte(body)}
		a.Write(w)
	}
}

// Reset resets the connection instead of an answer; nothing is stored.
func Reset(w http.ResponseWriter, _ *Exchange) { reset(w) }

// DropAnswer hands the call on and then resets the connection: it failed for
// the caller, but it is stored.
func DropAnswer(w http.ResponseWriter, x *Exchange) {
	if a, err := x.Forward(); x.must(a, err) {
		reset(w)
	}
}

// FailStored hands the call on and then answers with an error: it failed for
// the caller, but it is stored.
func FailStored(status int, errorType string) Fault {
	return func(w http.ResponseWriter, x *Exchange) {
		if a, err := x.Forward(); x.must(a, err) {
			Fail(status, errorType)(w, x)
		}
	}
}

// Truncate hands the call on and answers with half of the body, as if that
// were all: broken JSON.
func Truncate(w http.ResponseWriter, x *Exchange) {
	if a, err := x.Forward(); x.must(a, err) {
		a.Body = a.Body[:len(a.Body)/2]
		a.Write(w)
	}
}

// CutOff hands the call on, announces the whole body and resets the connection
// in the middle of it.
func CutOff(w http.ResponseWriter, x *Exchange) {
	if a, err := x.Forward(); x.must(a, err) {
		half := a.Body[:len(a.Body)/2]
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		w.WriteHeader(a.Status)
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		reset(w)
	}
}

// WrongCRC hands the call on and answers with a checksum that does not fit.
func WrongCRC(w http.ResponseWriter, x *Exchange) {
	if a, err := x.Forward(); x.must(a, err) {
		w.Header().Set("Content-Type", a.Header.Get("Content-Type"))
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(a.Body))^1, 10))
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}
}

// SlowBody hands the call on, sends the head at once and the body after d.
func SlowBody(d time.Duration) Fault {
	return func(w http.ResponseWriter, x *Exchange) {
		a, err := x.Forward()
		if !x.must(a, err) {
			return
		}
		w.Header().Set("Content-Type", a.Header.Get("Content-Type"))
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		w.WriteHeader(a.Status)
		_ = http.NewResponseController(w).Flush()
		if x.Wait(d) {
			_, _ = w.Write(a.Body)
		}
	}
}

// Delay waits for d before it hands the call on, which it does not when the
// caller has gone by then.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, x *Exchange) {
		if x.Wait(d) {
			Forward(w, x)
		} else {
			reset(w)
		}
	}
}

// Hang never answers; nothing is stored.
func Hang(w http.ResponseWriter, x *Exchange) {
	select {
	case <-x.Request.Context().Done():
	case <-x.endpoint.ended:
	}
	reset(w)
}

// Edit hands the call on and lets edit change the answer's JSON object: items
// more or less, other types, another order.
func Edit(edit func(answer map[string]any)) Fault {
	return func(w http.ResponseWriter, x *Exchange) {
		a, err := x.Forward()
		if !x.must(a, err) {
			return
		}
		var body map[string]any
		if err := json.Unmarshal(a.Body, &body); err != nil {
			x.endpoint.t.Errorf("testbed: edit %s: %v", x.Op, err)
			return
		}
		edit(body)
		a.Body, _ = json.Marshal(body)
		a.Write(w)
	}
}

// Unprocessed answers a BatchGetItem without reading those keys for which
// choose says so; they come back as UnprocessedKeys with status 200.
func Unprocessed(choose func(pk, sk string) bool) Fault {
	return func(w http.ResponseWriter, x *Exchange) {
		body, left, err := splitBatch(x.Body, choose)
		if err != nil {
			x.endpoint.t.Errorf("testbed: unprocessed keys of %s: %v", x.Op, err)
			return
		}
		a := &Answer{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Crc32": {"0"}}, Body: []byte("{}")}
		if body != nil {
			if a, err = x.forward(body); !x.must(a, err) {
				return
			}
		}
		var answer map[string]any
		if err := json.Unmarshal(a.Body, &answer); err != nil {
			x.endpoint.t.Errorf("testbed: unprocessed keys of %s: %v", x.Op, err)
			return
		}
		answer["UnprocessedKeys"] = left
		a.Body, _ = json.Marshal(answer)
		a.Write(w)
	}
}

// splitBatch takes the chosen keys out of a BatchGetItem. The request is nil
// when no key is left in it.
func splitBatch(body []byte, choose func(pk, sk string) bool) (request []byte, unprocessed map[string]any, err error) {
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, nil, err
	}
	tables, _ := in["RequestItems"].(map[string]any)
	unprocessed = map[string]any{}
	for name, v := range tables {
		table, _ := v.(map[string]any)
		keys, _ := table["Keys"].([]any)
		var stay, leave []any
		for _, k := range keys {
			if choose(keyPart(k, "PK"), keyPart(k, "SK")) {
				leave = append(leave, k)
			} else {
				stay = append(stay, k)
			}
		}
		if len(leave) > 0 {
			unprocessed[name] = map[string]any{"Keys": leave, "ConsistentRead": table["ConsistentRead"]}
		}
		if table["Keys"] = stay; len(stay) == 0 {
			delete(tables, name)
		}
	}
	if len(tables) == 0 {
		return nil, unprocessed, nil
	}
	request, err = json.Marshal(in)
	return request, unprocessed, err
}

func keyPart(key any, name string) string {
	attributes, _ := key.(map[string]any)
	value, _ := attributes[name].(map[string]any)
	s, _ := value["S"].(string)
	return s
}

// reset closes the connection under w such that the peer sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
