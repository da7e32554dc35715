package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"keyvend/pkg/table"
)

// open opens and prepares a file. bbolt maps it into memory and trusts what it
// finds there: of a damaged file it panics, or the process dies of a bus error.
// Here both become ErrDamaged; after a panic the file stays locked until this
// process ends.
func open(path string, prepare func(*bbolt.Tx) error) (db *bbolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if found := recover(); found != nil {
			// bbolt cannot be asked to close what it stumbled over, its mapping included.
			db, err = nil, errors.Join(fmt.Errorf("%w: %v", ErrDamaged, found), file.Close())
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrInUse
	case errors.As(err, new(syscall.Errno)):
		return nil, fmt.Errorf("bolt: open: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err = complete(db, file); err == nil {
		err = db.Update(prepare)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: open: %w", err), db.Close())
	}
	return db, nil
}

// complete reports whether every page that the file says it uses is there.
func complete(db *bbolt.DB, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: %d of %d bytes are there", ErrDamaged, info.Size(), tx.Size())
		}
		return nil
	})
}

// guarded does what uses the file. Of a page that it cannot read bbolt panics,
// after it has rolled back; here that is table.ErrCorrupt.
func guarded(do func() error) (err error) {
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("%w: %v", table.ErrCorrupt, found)
		}
	}()
	return do()
}
