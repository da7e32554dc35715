package serve

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// maxHeader bounds request line and headers together, in bytes, as API
	// Gateway does. net/http reads slack bytes more than it is told.
	maxHeader = 10240
	slack     = 4096

	readTimeout  = 30 * time.Second // of a whole request, API Gateway's own bound
	writeTimeout = 35 * time.Second
	idleTimeout  = 2 * time.Minute
	drainTimeout = 10 * time.Second // for requests under way when ctx ends
)

// Listen serves h on the TCP address addr until ctx ends, then lets requests
// under way finish, and returns nil. An error of binding is returned as it is.
func Listen(ctx context.Context, addr string, h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return Serve(ctx, l, h)
}

// Serve is Listen on a listener that is already bound, and closes it.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	return serve(ctx, l, h, stderr())
}

func serve(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler:                      guard(h, logger),
		ReadHeaderTimeout:            readTimeout / 3,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader - slack,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0), // it quotes what strangers sent
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(jsonListener{l}) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}
