package boot

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"keyvend/pkg/audit"
	"keyvend/pkg/feed"
	"keyvend/pkg/health"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/vault"
)

// Local is an App whose table, master key and audit log lie in one folder.
type Local struct {
	*App
	checks *localQueue
	table  *bolt.Table
	feed   table.Feed
	audit  *os.File
	log    *slog.Logger
}

// The files of a local data folder.
const (
	databaseFile  = "keyvend.db"
	masterKeyFile = "master.key"
	auditFile     = "audit.log"
)

// OpenLocal opens the data folder dir, which must exist. asker is what providers
// are asked through. It fails with
// bolt.ErrInUse while another process has it open; other errors say what is
// wrong with the folder and what to do.
func OpenLocal(dir string, asker health.Asker, log *slog.Logger) (*Local, error) {
	database := filepath.Join(dir, databaseFile)
	opened, changes, err := openTable(database)
	if err != nil {
		return nil, err
	}
	tenants, err := (&store.Store{Table: opened}).Tenants(context.Background())
	if err != nil {
		return nil, errors.Join(databaseRefusal(database, err), opened.Close())
	}
	master, err := openMasterKey(filepath.Join(dir, masterKeyFile), tenants)
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	lines, err := openAudit(filepath.Join(dir, auditFile))
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	checks := newLocalQueue(nil)
	app := New(Parts{
		Asker:   asker,
		Checks:  checks,
		Table:   opened,
		Wrapper: master,
		Ring:    localRing(master),
		Audit:   audit.NewWriter(lines),
		Log:     log,
		InOrder: true,

		LoopbackOrigins: true,
	})
	return &Local{App: app, checks: checks, table: opened, feed: changes, audit: lines, log: log}, nil
}

// Follow is the functions "outbox" and "ledger": it makes events of changes and
// counts audit lines until ctx ends. What it had not done by then it does when it
// is started again.
func (l *Local) Follow(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { l.Outbox(busLog{l.log}, asideLog{}).Follow(ctx, l.feed) })
	both.Go(func() { l.Trail(l.audit).Follow(ctx) })
	both.Wait()
}

// Check is the function "health": it makes the checks that are asked for until
// ctx ends.
func (l *Local) Check(ctx context.Context) {
	checker := l.Checker()
	l.checks.work(ctx, func(ctx context.Context, r vault.CheckRequest) error { return l.checkOne(ctx, checker, r) }, l.log)
}

// busLog is a bus whose only listener is the log.
type busLog struct{ log *slog.Logger }

// Put implements vault.Bus.
func (b busLog) Put(ctx context.Context, events []vault.StoredEvent) []error {
	for _, e := range events {
		b.log.InfoContext(ctx, "event", "event", e.Event.Name, "id", e.Event.ID, "tenant", e.Tenant)
	}
	return make([]error, len(events))
}

// asideLog sets nothing aside: the line in the log, which is there already, is
// all that a laptop needs.
type asideLog struct{}

// SetAside implements feed.Aside.
func (asideLog) SetAside(context.Context, feed.Poison) error { return nil }

// Close ends the App; what was answered is stored.
func (l *Local) Close() error { return errors.Join(l.table.Close(), l.audit.Close()) }
