package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"keyvend/pkg/fault"
	"keyvend/pkg/operator"
)

// socketFile is where the operator's command finds a running keyvend.
const socketFile = "operator.sock"

// maxSocketPath is what the address of a Unix socket holds on every system.
const maxSocketPath = 103

// desk answers the operator's command over a socket in the data folder, whose
// mode lets only its owner in.
type desk struct {
	server *http.Server
	path   string
}

func openDesk(ctx context.Context, dir string, do tenants, log *slog.Logger) (*desk, error) {
	path := filepath.Join(dir, socketFile)
	if len(path) > maxSocketPath {
		log.Warn("the data folder's path is too long for a socket: the operator's command will not find this keyvend; a shorter -data mends that")
		return &desk{server: &http.Server{ReadHeaderTimeout: time.Second}}, nil
	}
	// The database is ours alone by now, so a socket that is here is a dead one.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot write to the data folder: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("the operator's socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	d := &desk{path: path, server: &http.Server{Handler: answerOperator(do), ReadHeaderTimeout: 5 * time.Second}}
	go func() { _ = d.server.Serve(l) }() // ends with close
	return d, nil
}

func (d *desk) close() { _ = d.server.Close() }

func answerOperator(do tenants) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request operator.Request
		var response operator.Response
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request)
		if err == nil {
			response, err = do(r.Context(), request)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": fault.As(err).Message})
			return
		}
		_ = json.NewEncoder(w).Encode(response)
	})
}
