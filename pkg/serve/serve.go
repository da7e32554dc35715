// Package serve is the edge: it puts an http.Handler, or a function of one
// event, behind Lambda, and the same http.Handler behind a plain listener. What
// a handler does looks the same through both: the traps of the event adapter
// stay in here. It is the only importer of the Lambda and adapter libraries.
package serve

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"time"

	"keyvend/pkg/fault"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
)

const (
	// reserve is how long before Lambda's own deadline a handler's context
	// ends, so that there is time left to answer.
	reserve = 200 * time.Millisecond
	// least is the time that must be left for starting anything at all.
	least = 250 * time.Millisecond
)

// Lambda serves API Gateway's HTTP API events (payload format 2.0) with h, one
// at a time, until the environment ends. It never returns. No event makes it
// report a function error: what is not an HTTP event is answered with 400, a
// panic with 500, and too little time left with 503.
func Lambda(h http.Handler) {
	g := newGateway(h, stderr())
	lambda.Start(invoker(func(ctx context.Context, payload []byte) ([]byte, error) {
		return encode(g.handle(ctx, payload))
	}))
}

// Event serves direct and scheduled invocations with fn until the environment
// ends. It never returns. The payload is decoded into T; an error's public
// sentence is what the invoker sees and its kind the error type, while its
// cause and a panic's place go to the log. fn's context ends 200 ms before
// Lambda's deadline.
func Event[T, R any](fn func(context.Context, T) (R, error)) {
	lambda.Start(eventInvoker(fn, stderr()))
}

// stderr is where the edge itself logs: one JSON line per entry. A string at
// "alarm" raises the operator's alarm.
func stderr() *slog.Logger { return slog.New(slog.NewJSONHandler(os.Stderr, nil)) }

// invoker makes a function the Lambda library's Handler, which hands over the
// payload as it came.
type invoker func(ctx context.Context, payload []byte) ([]byte, error)

// Invoke implements lambda.Handler.
func (f invoker) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

func eventInvoker[T, R any](fn func(context.Context, T) (R, error), log *slog.Logger) invoker {
	return func(ctx context.Context, payload []byte) (answer []byte, err error) {
		defer func() {
			if p := recover(); p != nil {
				logPanic(ctx, log, p, "")
				answer, err = nil, functionError(fault.As(errPanic))
			}
		}()
		ctx, cancel, enough := withReserve(ctx)
		defer cancel()
		if !enough {
			return nil, functionError(fault.Busy(nil))
		}
		var event T
		if json.Unmarshal(payload, &event) != nil { // its text can quote the payload
			return nil, functionError(fault.New(fault.BadRequest, "invalid_request_body", "The event is not JSON of the expected shape."))
		}
		result, err := fn(ctx, event)
		if err != nil {
			log.ErrorContext(ctx, "invocation failed", "error", err.Error())
			return nil, functionError(fault.As(err))
		}
		return json.Marshal(result)
	}
}

// functionError is what the invoker of an event function sees of f.
func functionError(f *fault.Error) error {
	kind := f.Code
	if kind == "" {
		kind = "internal_error"
	}
	return messages.InvokeResponse_Error{Type: kind, Message: f.Message}
}

// withReserve shortens ctx so that there is time to answer, and says whether
// there is time for anything.
func withReserve(ctx context.Context) (_ context.Context, cancel context.CancelFunc, enough bool) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}, true
	}
	if time.Until(deadline) < least {
		return ctx, func() {}, false
	}
	ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
	return ctx, cancel, true
}
