package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/audit"
	"keyvend/pkg/boot"
	"keyvend/pkg/feed"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/serve"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/vault"
)

// inProcess serves the handlers from this process, over the embedded table and
// a local master key, with clock telling the time.
func inProcess(t *testing.T, clock ident.Clock) *target {
	t.Helper()
	k, _ := inProcessApp(t, clock)
	return k
}

func inProcessApp(t *testing.T, clock ident.Clock) (*target, *boot.App) {
	t.Helper()
	dir := t.TempDir()
	database := filepath.Join(dir, "keyvend.db")
	opened, err := bolt.Open(database)
	if err != nil {
		t.Fatal(err)
	}
	master, err := localkey.Open(filepath.Join(dir, "master.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := opened.Feed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trail, err := os.OpenFile(filepath.Join(dir, "audit.log"), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	out := &lines{}
	journal := &journal{Table: opened}
	kit := &fakeprovider.Kit{}
	checks := &worker{log: out}
	app := boot.New(boot.Parts{
		Asker:   kit.Asker(nil),
		Checks:  checks,
		Table:   journal,
		Wrapper: master,
		Ring:    seal.Config{App: "keyvend", Environment: "e2e", KeyID: master.KeyID(), TTL: 5 * time.Minute},
		Audit:   audit.NewWriter(io.MultiWriter(trail, out)),
		Log:     slog.New(slog.NewJSONHandler(out, nil)),
		Clock:   clock,
		InOrder: true,
	})
	checks.checker = sync.OnceValue(app.Checker)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve.Serve(ctx, listener, app.Whole()) }()
	var followed sync.WaitGroup
	followed.Go(func() { app.Outbox(deaf{}, &asideWriter{out}).Follow(ctx, changes) })
	followed.Go(func() { app.Trail(trail).Follow(ctx) })
	stop := sync.OnceFunc(func() {
		cancel()
		followed.Wait()
		if err := errors.Join(<-ended, opened.Close(), trail.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Cleanup(stop)
	return &target{
		url:     "http://" + listener.Addr().String(),
		operate: app.Tenants(),
		stored:  func(t testing.TB) [][]byte { return [][]byte{file(t, database)} },
		rows:    journal.rows,
		written: func(testing.TB) []byte { return out.Bytes() },
		fakes:   kit,
		sweep: func(t testing.TB) {
			if _, err := app.Sweep(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		},
		stop: stop,
	}, app
}

// deaf is a bus to which nobody listens.
type deaf struct{}

// Put implements vault.Bus.
func (deaf) Put(_ context.Context, events []vault.StoredEvent) []error {
	return make([]error, len(events))
}

// asideWriter writes what is set aside to where the log is written.
type asideWriter struct{ out *lines }

// SetAside implements feed.Aside.
func (a *asideWriter) SetAside(_ context.Context, p feed.Poison) error {
	_, err := fmt.Fprintf(a.out, "set aside: %+v\n", p)
	return err
}

// journal is a table that remembers which rows were written.
type journal struct {
	table.Table

	mu     sync.Mutex
	writes []string
}

// Write implements table.Table.
func (j *journal) Write(ctx context.Context, ops ...table.Op) error {
	err := j.Table.Write(ctx, ops...)
	if err == nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, op := range ops {
			j.writes = append(j.writes, fmt.Sprintf("%+v", op))
		}
	}
	return err
}

func (j *journal) rows(_ testing.TB, tenant string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return naming(tenant, j.writes)
}

func file(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
