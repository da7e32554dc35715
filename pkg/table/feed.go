package table

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrGap: changes were lost before they were read, because the engine keeps
// them only for so long. It is told once; the next call goes on behind the gap.
var ErrGap = errors.New("table: a gap in the change feed")

// Change is one committed change of one item. A Write that changes nothing, a
// repeat above all, makes none; one that puts the same content in another place
// of an index does.
type Change struct {
	// ID is the same for each delivery of this change, and no other change has it.
	ID  string
	Key Key
	// Old and New are the item before and after, with all of its Index. One of
	// them is nil when the item was not there before, or is not there any more,
	// be it deleted or expired; never both.
	Old, New *Item
	// At is when it was committed by the engine's clock, in UTC, as precisely as
	// the engine knows: bolt the nanosecond, DynamoDB the second, its local
	// emulator the minute.
	At time.Time
}

// Feed is the change feed of a table, for one consumer at a time. A change is
// in it when the Write that made it has been answered, or soon after, and stays
// until it is acknowledged or, where the engine keeps changes only for so long,
// until then.
//
// Errors are those of Table, and besides:
//   - *ChangeError: the first change that is not acknowledged cannot be read;
//   - ErrGap: changes were lost.
type Feed interface {
	// Changes returns the oldest changes that are not acknowledged, never more
	// than limit (1 to MaxPage); none when there are none. It returns the same
	// ones again until they are acknowledged. Changes of one item come in the
	// order of their commits; there is no other order. There may be more even
	// though fewer than limit came.
	Changes(ctx context.Context, limit int) ([]Change, error)

	// Acknowledge is done with all changes that were returned up to and including
	// last, of which only the ID counts: they do not come again, but for some
	// after a crash. To repeat the latest Acknowledge does no harm. A change that
	// this Feed has not returned is ErrInvalid, and is done with nothing.
	Acknowledge(ctx context.Context, last Change) error
}

// ChangeError is a change that cannot be read. The same error comes until the
// change is given up with Acknowledge(ctx, Change{ID: e.ID}).
type ChangeError struct {
	ID       string
	Sequence string // the engine's name of the change's place in the feed; "" when even that cannot be read
	Key      Key    // of the item, as far as it can be read
	Err      error  // what is wrong with it
}

// Error implements error. It tells nothing of the items' content.
func (e *ChangeError) Error() string {
	return fmt.Sprintf("table: change %q at %q of the feed cannot be read: %v", e.ID, e.Sequence, e.Err)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *ChangeError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns what is wrong with the change.
func (e *ChangeError) Unwrap() error { return e.Err }
