package main

import (
	"context"
	"errors"
	"log/slog"
)

// quiet is a log without what the end of keyvend cuts off: the next start does
// that, so it is no fault.
type quiet struct{ slog.Handler }

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Err() == nil || !ofAnEnd(r) {
		return q.Handler.Handle(ctx, r)
	}
	return nil
}

// ofAnEnd reports whether a line tells an error that is a context's end.
func ofAnEnd(r slog.Record) (ended bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		ended = ok && errors.Is(err, context.Canceled)
		return !ended
	})
	return ended
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
