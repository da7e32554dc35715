package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"keyvend/pkg/audit"
)

const (
	pieceSize   = 256 << 10              // bytes of the file in one delivery, at most
	followIdle  = 100 * time.Millisecond // between looks at a file that had nothing new
	followPause = time.Second            // after a failure
)

// Positions keeps how far the file was read.
type Positions interface {
	// AuditPosition is the zero Position when the file was never read.
	AuditPosition(ctx context.Context) (audit.Position, error)
	SaveAuditPosition(ctx context.Context, p *audit.Position) error
}

// File is a file of audit lines, to which others append.
type File interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// Follower delivers the lines of a file, each piece of it until the ledger has
// it. Which piece that is is noted before: whoever goes on after this process has
// died delivers the very same, and then what follows. A file that is not the one
// that was read, or was cut, is read from its start, but for lines that are no
// newer than the newest that is known.
type Follower struct {
	Ledger    Ledger
	Positions Positions
	File      File
	Log       *slog.Logger

	at      *audit.Position // nil: not asked for yet
	entered bool            // the ledger has the piece at it
}

// Follow delivers until ctx ends.
func (f *Follower) Follow(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.Duration(0)
		switch found, err := f.Step(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.Log.ErrorContext(ctx, "the audit file", "error", err)
			wait = followPause
		case !found:
			wait = followIdle
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// Step delivers one piece, if there is one. After an error the same piece is the
// next.
func (f *Follower) Step(ctx context.Context) (found bool, err error) {
	if f.at == nil {
		at, err := f.Positions.AuditPosition(ctx)
		if err != nil {
			return false, err
		}
		f.at, f.entered = &at, at.To == 0 // else nobody knows
	}
	info, err := f.File.Stat()
	if err != nil || f.entered && info.Size() == f.at.To {
		return false, err
	}
	piece, err := f.here()
	if err == nil && f.entered {
		piece, err = f.advance(ctx)
	}
	if err != nil || f.entered {
		return false, err
	}
	if _, err := f.Ledger.Enter(ctx, f.lines(piece)); err != nil {
		return false, err
	}
	f.entered = true
	return true, nil
}

// here is the piece at the position. When it is not the one that was noted, this
// is another file, and the position is at its start.
func (f *Follower) here() (piece []byte, err error) {
	if piece, err = f.piece(f.at.From, f.at.To); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(piece); f.at.To > 0 && !bytes.Equal(sum[:], f.at.Sum) {
		*f.at = audit.Position{Newest: f.at.Newest, Known: f.at.Newest, Revision: f.at.Revision}
		f.entered, piece = true, nil
	}
	return piece, nil
}

// advance notes the next piece, if there is one: whole lines, or as much of a
// line as is too long to be one of ours.
func (f *Follower) advance(ctx context.Context) (piece []byte, err error) {
	piece, err = f.piece(f.at.To, f.at.To+pieceSize)
	if err != nil {
		return nil, err
	}
	if end := bytes.LastIndexByte(piece, '\n') + 1; end > 0 || len(piece) < pieceSize {
		piece = piece[:end]
	}
	if len(piece) == 0 {
		return nil, nil
	}
	sum := sha256.Sum256(piece)
	next := *f.at
	next.From, next.To, next.Sum = f.at.To, f.at.To+int64(len(piece)), sum[:]
	for line := range bytes.Lines(piece) {
		if l, ok := audit.Parse(line); ok && l.At.After(next.Newest) {
			next.Newest = l.At
		}
	}
	if err := f.Positions.SaveAuditPosition(ctx, &next); err != nil {
		f.at = nil // it may be noted though
		return nil, err
	}
	f.at, f.entered = &next, false
	return piece, nil
}

// lines are the lines of a piece that are not known from another file.
func (f *Follower) lines(piece []byte) (lines [][]byte) {
	for line := range bytes.Lines(piece) {
		if l, ok := audit.Parse(line); !ok || l.At.After(f.at.Known) {
			lines = append(lines, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return lines
}

// piece reads a part of the file, or what there is of it.
func (f *Follower) piece(from, to int64) ([]byte, error) {
	piece := make([]byte, to-from)
	n, err := f.File.ReadAt(piece, from)
	if err == io.EOF { //nolint:errorlint // ReadAt's contract
		err = nil
	}
	return piece[:n], err
}
