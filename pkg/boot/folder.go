package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"keyvend/pkg/seal"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/tenant"
)

// refusal is an error that a person reads: a sentence with the next step.
type refusal struct {
	sentence string
	cause    error
}

func refuse(cause error, format string, args ...any) error {
	return &refusal{sentence: fmt.Sprintf(format, args...), cause: cause}
}

// Error implements error.
func (r *refusal) Error() string { return r.sentence }

// Unwrap returns what was found.
func (r *refusal) Unwrap() error { return r.cause }

// reason is what the system said, without the name of the call and the file.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

// openTable opens the database at path and the feed of its changes.
func openTable(path string) (*bolt.Table, table.Feed, error) {
	opened, err := bolt.Open(path)
	if err != nil {
		return nil, nil, databaseRefusal(path, err)
	}
	changes, err := opened.Feed(context.Background())
	if err != nil {
		return nil, nil, errors.Join(databaseRefusal(path, err), opened.Close())
	}
	return opened, changes, nil
}

func databaseRefusal(path string, err error) error {
	switch {
	case errors.Is(err, bolt.ErrInUse):
		return err
	case errors.Is(err, bolt.ErrDamaged), errors.Is(err, table.ErrCorrupt):
		return refuse(err, "the database %s is damaged, or not keyvend's. Move it away, or restore it from a copy", path)
	}
	return refuse(err, "the database %s cannot be opened: %s. Mend that, or choose another folder with -data", path, reason(err))
}

// openAudit opens the audit log for writing at its end, and for the ledger to
// read: the very file, wherever it is moved meanwhile. A line that a process left
// unfinished is ended, so that the next one is not lost with it.
func openAudit(path string) (*os.File, error) {
	lines, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		if err = endLine(lines); err != nil {
			_ = lines.Close()
		}
	}
	if err != nil {
		return nil, refuse(err, "the audit log %s cannot be written: %s. Mend that, or choose another folder with -data", path, reason(err))
	}
	return lines, nil
}

// endLine makes what is appended next begin a line.
func endLine(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = file.WriteString("\n")
	return err
}

// openMasterKey opens the master key, and makes one where there are no tenants
// yet: to those that there are a new key would be of no use.
func openMasterKey(path string, tenants []*tenant.Tenant) (*localkey.Key, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && len(tenants) > 0 {
		return nil, refuse(err, "the master key %s is not there, and the data beside it was sealed with it: put the old one back, or choose another folder with -data", path)
	}
	master, err := localkey.Open(path, os.Getenv("AWS_LAMBDA_FUNCTION_NAME") != "")
	if err != nil {
		return nil, masterKeyRefusal(path, err)
	}
	if err := fits(context.Background(), master, tenants); err != nil {
		return nil, refuse(err, "the master key %s is not the one that the data was sealed with: put the old one back, or choose another folder with -data", path)
	}
	return master, nil
}

func masterKeyRefusal(path string, err error) error {
	info, failed := os.Stat(path)
	switch {
	case errors.Is(err, localkey.ErrInLambda):
		return err
	case failed == nil && !info.Mode().IsRegular():
		return refuse(err, "the master key %s is not a file. Move it away and put the old one back, or choose another folder with -data", path)
	case errors.Is(err, localkey.ErrPermissions):
		return refuse(err, "the master key %s can be read by others than you: run `chmod 600 %[1]q`, and think about who has read it", path)
	case errors.Is(err, localkey.ErrSize):
		return refuse(err, "the master key %s is damaged, for it does not hold 32 bytes. Put the old one back, or choose another folder with -data", path)
	}
	return refuse(err, "the master key %s cannot be opened: %s. Mend that, or choose another folder with -data", path, reason(err))
}

// fits says why a master key opens no tenant's key material at all; nil when
// there is none to open. A single tenant's that does not open is found by its
// own requests.
func fits(ctx context.Context, master *localkey.Key, tenants []*tenant.Tenant) error {
	ring := seal.NewRing(master, localRing(master))
	var refused error
	for _, t := range tenants {
		if t.Status != tenant.Active {
			continue
		}
		if _, refused = ring.Ingest(ctx, t.Keys); refused == nil {
			return nil
		}
	}
	return refused
}

func localRing(master *localkey.Key) seal.Config {
	return seal.Config{App: appName, Environment: "local", KeyID: master.KeyID(), TTL: 5 * time.Minute}
}
