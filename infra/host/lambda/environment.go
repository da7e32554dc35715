// Package lambda runs function binaries as Lambda does: each execution
// environment is a process of its own that fetches one event at a time from a
// Runtime API of its own, inherits nothing of this process, and dies when its
// function's time is up.
package lambda

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	apiVersion = "/2018-06-01/runtime/"
	// maxPayload is the most that Lambda takes and gives in one synchronous
	// invocation, in bytes.
	maxPayload = 6 << 20
)

// Function is what environments are made from.
type Function struct {
	Name        string
	ARN         string
	Bootstrap   string            // path of the binary
	Environment map[string]string // all that a process gets besides what Lambda itself sets
	Region      string
	MemoryMB    int
	Timeout     time.Duration
	InitTimeout time.Duration    // from exec to the first fetch; 0 is 10 s, as in Lambda
	Limit       int              // environments at most; 0 is 1
	Log         io.Writer        // stdout and stderr of all environments, written to at the same time (see Lock); nil is nowhere
	Stream      func() io.Writer // makes what an environment's stdout and stderr go to besides; nil is nothing
}

// FunctionError is what Lambda reports when an invocation failed: the function
// said so, its process ended, or its time was up.
type FunctionError struct {
	Type    string
	Message string
	Payload []byte // what the function sent, if it was the function
}

// Error implements error.
func (e *FunctionError) Error() string { return "lambda: " + e.Type + ": " + e.Message }

// Environment is one process that serves one function.
type Environment struct {
	function Function
	cmd      *exec.Cmd
	api      *http.Server
	ready    chan struct{}    // closed at the first fetch
	events   chan *invocation // to the fetch under way
	dead     chan struct{}    // closed when the process has ended

	mu      sync.Mutex
	current *invocation
	fetched bool
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	done     chan outcome // buffered
}

type outcome struct {
	payload []byte
	failed  *FunctionError
}

// start makes an environment and waits until it asks for its first event.
func start(f Function) (*Environment, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	bootstrap, err := filepath.Abs(f.Bootstrap)
	if err != nil {
		return nil, err
	}
	e := &Environment{
		function: f,
		cmd:      exec.CommandContext(context.Background(), bootstrap), // #nosec G204 -- running it is the purpose
		ready:    make(chan struct{}),
		events:   make(chan *invocation),
		dead:     make(chan struct{}),
	}
	e.api = &http.Server{Handler: e.routes(), ReadHeaderTimeout: time.Minute}
	e.cmd.Env = variables(f, listener.Addr().String())
	e.cmd.Dir = filepath.Dir(bootstrap)
	output := f.Log
	if f.Stream != nil {
		output = io.MultiWriter(f.Log, f.Stream())
	}
	e.cmd.Stdout, e.cmd.Stderr = output, output // the same: one after the other
	dieWithParent(e.cmd)
	go func() { _ = e.api.Serve(listener) }()
	if err := e.spawn(); err != nil {
		_ = e.api.Close()
		return nil, err
	}
	patience := f.InitTimeout
	if patience == 0 {
		patience = 10 * time.Second
	}
	select {
	case <-e.ready:
		return e, nil
	case <-e.dead:
		return nil, &FunctionError{Type: "Runtime.ExitError", Message: "the process ended before it asked for an event"}
	case <-time.After(patience):
		e.Kill()
		return nil, &FunctionError{Type: "Sandbox.Timedout", Message: fmt.Sprintf("no event was asked for within %v", patience)}
	}
}

// variables is the whole environment of a process.
func variables(f Function, runtimeAPI string) []string {
	all := map[string]string{
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"LAMBDA_TASK_ROOT":                "/var/task",
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"_HANDLER":                        "bootstrap",
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_REGION":                      f.Region,
		"AWS_DEFAULT_REGION":              f.Region,
		"AWS_ACCESS_KEY_ID":               AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":           "not-a-secret",
		"AWS_SESSION_TOKEN":               "not-a-token",
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/keyvend/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "local",
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
	}
	for name, value := range f.Environment {
		all[name] = value
	}
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	return list
}

// AccessKeyID is the id of the credentials that functions run with. They open
// nothing anywhere; a DynamoDB Local that is not shared keeps apart by it.
const AccessKeyID = "AKIDLAMBDAHOST0000"

// routes is the Runtime API.
func (e *Environment) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiVersion+"invocation/next", e.next)
	mux.HandleFunc("POST "+apiVersion+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		e.finish(w, r, func(body []byte) outcome { return outcome{payload: body} })
	})
	mux.HandleFunc("POST "+apiVersion+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		e.finish(w, r, reported)
	})
	mux.HandleFunc("POST "+apiVersion+"init/error", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// next hands out the next event, or waits for one as long as the process does.
func (e *Environment) next(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	if !e.fetched {
		e.fetched = true
		close(e.ready)
	}
	e.mu.Unlock()
	select {
	case i := <-e.events:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", e.function.ARN)
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
		_, _ = w.Write(i.payload)
	case <-r.Context().Done():
	case <-e.dead:
	}
}

// finish takes the result of the invocation under way.
func (e *Environment) finish(w http.ResponseWriter, r *http.Request, result func([]byte) outcome) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		return
	}
	e.mu.Lock()
	i := e.current
	if i == nil || i.id != r.PathValue("id") {
		e.mu.Unlock()
		http.Error(w, `{"errorType":"InvalidRequestID"}`, http.StatusBadRequest)
		return
	}
	e.current = nil
	e.mu.Unlock()
	if len(body) > maxPayload {
		i.done <- outcome{failed: &FunctionError{Type: "Function.ResponseSizeTooLarge", Message: "the answer is over 6 MB"}}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	i.done <- result(body)
	w.WriteHeader(http.StatusAccepted)
}

// invoke gives the environment one event and waits for its end: an answer, an
// error, the end of the process or of the function's time, which ends the
// process too.
func (e *Environment) invoke(id string, payload []byte) ([]byte, error) {
	i := &invocation{id: id, payload: payload, deadline: time.Now().Add(e.function.Timeout), done: make(chan outcome, 1)}
	e.mu.Lock()
	e.current = i
	e.mu.Unlock()
	timeout := time.NewTimer(e.function.Timeout)
	defer timeout.Stop()
	events := e.events
	for {
		select {
		case events <- i:
			events = nil // handed over
		case o := <-i.done:
			if o.failed != nil {
				return nil, o.failed
			}
			return o.payload, nil
		case <-e.dead:
			return nil, &FunctionError{Type: "Runtime.ExitError", Message: fmt.Sprintf("RequestId: %s Error: Runtime exited", id)}
		case <-timeout.C:
			e.Kill()
			return nil, &FunctionError{Type: "Sandbox.Timedout", Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", id, e.function.Timeout.Seconds())}
		}
	}
}

// PID is the process id.
func (e *Environment) PID() int { return e.cmd.Process.Pid }

// Busy says whether an event is under way.
func (e *Environment) Busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current != nil
}

// Kill ends the process at once and waits until it is gone.
func (e *Environment) Kill() {
	_ = e.cmd.Process.Kill() // it may have ended already
	<-e.dead
}

func (e *Environment) alive() bool {
	select {
	case <-e.dead:
		return false
	default:
		return true
	}
}
