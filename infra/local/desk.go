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

// socketFile is where the operator's command finds a running keyvend. When the
// folder's path is too long for a socket, it is a link to one in a folder of
// its own.
const socketFile = "operator.sock"

// maxSocketPath is what the address of a Unix socket holds on every system.
const maxSocketPath = 103

// desk answers the operator's command over a socket in the data folder, whose
// mode lets only its owner in.
type desk struct {
	server *http.Server
	remove func() // takes away what was made for the socket
}

func openDesk(ctx context.Context, dir string, do tenants, log *slog.Logger) (*desk, error) {
	path := filepath.Join(dir, socketFile)
	// The database is ours alone by now, so a socket that is here is a dead one.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, noSocket(path, err)
	}
	l, remove, err := socket(ctx, path)
	if errors.Is(err, errTooLong) {
		log.Warn("the data folder's path is too long for a socket: the operator's command will not find this keyvend; a shorter -data mends that")
		return &desk{server: &http.Server{ReadHeaderTimeout: time.Second}, remove: func() {}}, nil
	}
	if err != nil {
		return nil, noSocket(path, err)
	}
	d := &desk{remove: remove, server: &http.Server{Handler: answerOperator(do), ReadHeaderTimeout: 5 * time.Second}}
	go func() { _ = d.server.Serve(l) }() // ends with close
	return d, nil
}

func noSocket(path string, err error) error {
	return fmt.Errorf("the operator's socket %s cannot be made: %s. Mend that, or choose another folder with -data", path, reason(err))
}

func (d *desk) close() {
	_ = d.server.Close()
	d.remove()
}

// errTooLong: no path for a socket is short enough.
var errTooLong = errors.New("the path is too long for a socket")

// socket listens at path. It is made in a folder that nobody else can enter, for
// a new socket is open to whomever the umask lets, and moved or linked from there.
func socket(ctx context.Context, path string) (l net.Listener, remove func(), err error) {
	private := path + ".part"
	if err := os.RemoveAll(private); err != nil {
		return nil, nil, err
	}
	if len(private)+len("/s") > maxSocketPath {
		return linkedSocket(ctx, path)
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, nil, err
	}
	if l, err = listenUnix(ctx, filepath.Join(private, "s"), func(made string) error { return os.Rename(made, path) }); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(private))
	}
	if err := os.Remove(private); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, func() { _ = os.Remove(path) }, nil
}

// linkedSocket listens in a folder of its own among the temporary ones, with a
// link to it at path.
func linkedSocket(ctx context.Context, path string) (l net.Listener, remove func(), err error) {
	private, err := os.MkdirTemp("", "keyvend-") // 0700
	if err != nil {
		return nil, nil, err
	}
	made := filepath.Join(private, "s")
	if len(made) > maxSocketPath {
		return nil, nil, errors.Join(errTooLong, os.Remove(private))
	}
	if l, err = listenUnix(ctx, made, func(made string) error { return os.Symlink(made, path) }); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(private))
	}
	return l, func() { _ = errors.Join(os.Remove(path), os.RemoveAll(private)) }, nil
}

// listenUnix listens at path, which publish then makes known.
func listenUnix(ctx context.Context, path string, publish func(path string) error) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it moves
	}
	if err := errors.Join(os.Chmod(path, 0o600), publish(path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

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
