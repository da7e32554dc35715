package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/boot"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/outbound"
	"keyvend/pkg/serve"
	"keyvend/pkg/table/bolt"
)

// options are the flags of the command.
type options struct {
	addr, dir string
	seed      string // "" is none
	ask       bool   // real providers are asked whether keys work
	log       *slog.Logger
}

// sweepEvery is how often removed integrations are tidied up after. A sweep that
// finds no job costs nothing to speak of.
const sweepEvery = 2 * time.Second

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) error {
	// All that can be refused is refused before anything is made.
	wanted, err := readSeed(o.seed)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, o.addr)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // closed by serve; here only when we do not get that far
	if err := prepareFolder(o.dir); err != nil {
		return err
	}
	env := envFile{filepath.Join(o.dir, "env")}
	fakes := &fakeprovider.Kit{}
	app, err := boot.OpenLocal(o.dir, fakes.Asker(realProviders(o.ask)), o.log)
	if errors.Is(err, bolt.ErrInUse) {
		return fmt.Errorf("another keyvend is using the data folder %s. Stop it, or choose another folder with -data", o.dir)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err := app.Close(); err != nil {
			o.log.Error("closing the data folder", "error", err)
		}
	}()
	if err := env.remove(); err != nil {
		return err
	}
	demo, err := demoTenant(ctx, app.Tenants(), filepath.Join(o.dir, demoFile))
	if err != nil {
		return err
	}
	whole := app.Whole()
	warnings, err := demo.warnings(ctx, whole, o.dir)
	if err != nil {
		return err
	}
	whole, renewed, err := withSeed(ctx, wanted, app.Tenants(), whole, o.dir)
	if err != nil {
		return err
	}
	warnings = append(warnings, renewed...)
	desk, err := openDesk(ctx, o.dir, app.Tenants(), o.log)
	if err != nil {
		return err
	}
	defer desk.close()
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { app.Follow(ctx) })
	background.Go(func() { app.Check(ctx) })
	background.Go(func() { sweepRegularly(ctx, app.App, o.log) })
	defer func() { stop(); background.Wait() }() // before the table is closed

	base := baseURL(listener.Addr())
	served := make(chan error, 1)
	whole = beside(map[string]http.Handler{
		fakeprovider.ControlPath: fakes.Control(),
		demoPath:                 newDemoPage(app.Tenants(), whole, fakes, o.dir, o.log),
	}, whole)
	go func() { served <- serve.Serve(ctx, listener, onlyOwnHosts(listener.Addr(), homeless(whole))) }()
	if err := env.write(base, demo); err != nil {
		return err
	}
	defer env.remove() //nolint:errcheck // the next start removes it too
	banner(out, base, o.dir, listener.Addr(), demo, warnings)
	return <-served
}

// realProviders asks them, or nobody: a canary in a demo is no key, and a provider
// that says so would end the demo.
func realProviders(ask bool) health.Asker {
	if ask {
		return outbound.New(outbound.Config{})
	}
	return nobody{}
}

type nobody struct{}

// Ask implements health.Asker.
func (nobody) Ask(context.Context, catalog.Ask) (health.Answer, error) {
	return health.Answer{}, health.ErrNotAsked
}

// withSeed applies a seed and takes its fixed API keys. Of those that somebody had
// revoked it says that they are there again.
func withSeed(ctx context.Context, wanted seed, do tenants, h http.Handler, dir string) (_ http.Handler, renewed []string, err error) {
	if len(wanted.Tenants) == 0 {
		return h, nil, nil
	}
	s, err := newSeeder(do, h, dir)
	if err != nil {
		return nil, nil, err
	}
	tokens, err := s.apply(ctx, wanted)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range s.renewed {
		renewed = append(renewed, fmt.Sprintf("the API key %q of the tenant %q was revoked and is issued anew, "+
			"as it is at each start with a seed file that has it", r.name, r.tenant))
	}
	return fixedKeys(tokens, h), renewed, nil
}

// beside serves what is this program's own under its paths, none of which begins
// like one of keyvend's.
func beside(own map[string]http.Handler, whole http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for path, handler := range own {
			if strings.HasPrefix(r.URL.Path, path) {
				handler.ServeHTTP(w, r)
				return
			}
		}
		whole.ServeHTTP(w, r)
	})
}

// homeless leads a browser that opens the bare address to the dashboard. keyvend
// has nothing at that path, and tells programs so.
func homeless(whole http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			w.Header().Set("Vary", "Accept")
			http.Redirect(w, r, "/dashboard", http.StatusSeeOther)
			return
		}
		whole.ServeHTTP(w, r)
	})
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, errors.New("-addr is empty: give HOST:PORT, as in 127.0.0.1:8787")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is taken by another program. Choose another with -addr", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %s. Give -addr as HOST:PORT, with a host of this machine", addr, reason(err))
	}
	return l, nil
}

// sweepRegularly does what the schedule does in AWS, and goes on at once with
// what an earlier process left.
func sweepRegularly(ctx context.Context, app *boot.App, log *slog.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if _, err := app.Sweep(ctx, nil); err != nil && ctx.Err() == nil {
			log.Error("sweep", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
