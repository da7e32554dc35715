package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"keyvend/pkg/table"
)

// open opens and prepares a file.
//
// Its free pages are written to it when it is closed. bbolt would do that with
// each commit, which are hundreds of kilobytes once very much was deleted; of a
// file that was not closed it looks for them in all that is used, in a goroutine
// whose panic nobody can catch, so that such a file is read through before.
func open(path string, prepare func(*bbolt.Tx) error) (*bbolt.DB, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		db, err := opened(path, &bbolt.Options{ReadOnly: true}, func(db *bbolt.DB) error { return db.View(readThrough) })
		if err != nil {
			return nil, err
		}
		if err := db.Close(); err != nil {
			return nil, fmt.Errorf("bolt: close: %w", err)
		}
	}
	db, err := opened(path, &bbolt.Options{FreelistType: bbolt.FreelistMapType}, func(db *bbolt.DB) error { return db.Update(prepare) })
	if err == nil {
		db.NoFreelistSync = true
	}
	return db, err
}

// shut closes a file, with its free pages written to it.
func shut(db *bbolt.DB) error {
	db.NoFreelistSync = false
	return errors.Join(guarded(func() error { return db.Update(func(*bbolt.Tx) error { return nil }) }), db.Close())
}

// opened opens a file and does what is to be done first. bbolt maps it into
// memory and trusts what it finds there: of a damaged file it panics, or the
// process dies of a bus error. Here both become ErrDamaged; after a panic the
// file stays locked until this process ends.
func opened(path string, options *bbolt.Options, first func(*bbolt.DB) error) (db *bbolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if found := recover(); found != nil {
			// bbolt cannot be asked to close what it stumbled over, its mapping included.
			db, err = nil, errors.Join(fmt.Errorf("%w: %v", ErrDamaged, found), file.Close())
		}
	}()
	options.Timeout = lockTimeout
	options.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		var err error
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	db, err = bbolt.Open(path, 0o600, options)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrInUse
	case errors.As(err, new(syscall.Errno)):
		return nil, fmt.Errorf("bolt: open: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err = complete(db, file); err == nil {
		err = first(db)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: open: %w", err), db.Close())
	}
	return db, nil
}

// readThrough meets every page that is in use, and every key in its place. To
// find the free pages bbolt does so too, but in a goroutine in which nobody can
// catch its panic.
func readThrough(tx *bbolt.Tx) error {
	return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		if bucket == nil {
			return fmt.Errorf("%w: %q is no bucket", ErrDamaged, name)
		}
		var last []byte
		cursor, other := bucket.Cursor(), bucket.Cursor()
		for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
			if found, _ := other.Seek(k); bytes.Compare(last, k) >= 0 || !bytes.Equal(found, k) {
				return fmt.Errorf("%w: a key in %q is out of its place", ErrDamaged, name)
			}
			last = k
		}
		return nil
	})
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
