package boot

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"keyvend/pkg/audit"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/table/bolt"
)

// Local is an App whose table, master key and audit log lie in one folder.
type Local struct {
	*App
	table *bolt.Table
	audit *os.File
}

// The files of a local data folder.
const (
	databaseFile  = "keyvend.db"
	masterKeyFile = "master.key"
	auditFile     = "audit.log"
)

// OpenLocal opens the data folder dir, which must exist. It fails with
// bolt.ErrInUse while another process has it open.
func OpenLocal(dir string, log *slog.Logger) (*Local, error) {
	opened, err := bolt.Open(filepath.Join(dir, databaseFile))
	if err != nil {
		return nil, err
	}
	master, err := localkey.Open(filepath.Join(dir, masterKeyFile), os.Getenv("AWS_LAMBDA_FUNCTION_NAME") != "")
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	lines, err := os.OpenFile(filepath.Join(dir, auditFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	app := New(Parts{
		Table:   opened,
		Wrapper: master,
		Ring:    seal.Config{App: appName, Environment: "local", KeyID: master.KeyID(), TTL: 5 * time.Minute},
		Audit:   audit.NewWriter(lines),
		Log:     log,
	})
	return &Local{App: app, table: opened, audit: lines}, nil
}

// Close ends the App; what was answered is stored.
func (l *Local) Close() error { return errors.Join(l.table.Close(), l.audit.Close()) }
