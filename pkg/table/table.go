// Package table is the storage port: an ordered key-value table of the shape
// that DynamoDB has, and nothing that only DynamoDB has. Package tabletest
// holds the conformance suite; every engine runs it.
package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits of every engine.
const (
	MaxDoc   = 350 << 10 // bytes of one Doc; DynamoDB's item limit of 400 KB less room for keys
	MaxGet   = 100       // keys in one Get
	MaxWrite = 25        // operations in one Write
	MaxBatch = 3 << 20   // bytes of all Docs in one Write; DynamoDB's transaction limit of 4 MB less room for keys
	MaxPage  = 1000      // items in one page
	MaxKey   = 1000      // bytes of a PK or SK
)

// The errors of an engine. Each is tested with errors.Is. Any other error is a
// wrong configuration (no such table, no permission): the same call again will
// not help.
var (
	// ErrInvalid: the call breaks a rule of this package (an alphabet, a limit,
	// a key given twice, no condition). The caller has a bug; nothing was read
	// or stored.
	ErrInvalid = errors.New("table: invalid call")
	// ErrCondition: a condition did not hold, and nothing was stored. It comes
	// as a *ConditionError.
	ErrCondition = errors.New("table: condition failed")
	// ErrTooLarge: an item is over MaxDoc, or all of a Write over MaxBatch;
	// nothing was stored.
	ErrTooLarge = errors.New("table: item too large")
	// ErrUnavailable: throttled, timed out or out of reach after the engine's
	// own tries. A read gave nothing; a write may or may not have been stored.
	ErrUnavailable = errors.New("table: unavailable")
	// ErrCorrupt: what is stored under a key that was asked for is no item of
	// this package's making. It is never passed off as absent. From Get and Query
	// it comes as a *CorruptError, beside the other items.
	ErrCorrupt = errors.New("table: corrupt item")
)

// ConditionError says which operation's condition failed.
type ConditionError struct{ Op int }

// Error implements error.
func (e *ConditionError) Error() string { return fmt.Sprintf("%v: operation %d", ErrCondition, e.Op) }

// Is makes errors.Is(err, ErrCondition) true.
func (e *ConditionError) Is(target error) bool { return target == ErrCondition }

// CorruptError says which items of a Get or of a Query's page cannot be read.
type CorruptError struct {
	Keys []Key
	Err  error // about the first of them
}

// Error implements error.
func (e *CorruptError) Error() string { return e.Err.Error() }

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// With is e with one more key that err is about; e may be nil.
func (e *CorruptError) With(k Key, err error) *CorruptError {
	if e == nil {
		e = &CorruptError{Err: err}
	}
	e.Keys = append(e.Keys, k)
	return e
}

// OrNil is e as an error, nil when no item is corrupt.
func (e *CorruptError) OrNil() error {
	if e == nil {
		return nil
	}
	return e
}

// Key names an item. Both parts are 1 to MaxKey bytes of printable ASCII without
// space (0x21 to 0x7e); sort keys are ordered byte by byte.
type Key struct{ PK, SK string }

// Item is a row.
type Item struct {
	Key
	// Revision is chosen by the writer, above zero, and what At compares. The
	// writer never gives one key the same revision twice for different content,
	// not even after a delete. 0 in items that come from an index.
	Revision int64
	// Doc is the content: valid UTF-8, opaque to engines, at most MaxDoc bytes.
	// Nil in items that come from an index.
	Doc []byte
	// Index places the item in sparse, keys-only indexes: index name to
	// position. A name is 3 to 32 lower-case letters. The writer keeps a sort
	// key unique within its index partition. An item that comes from an index
	// has the position in that index only.
	Index map[string]Key
	// ExpiresAt, in whole seconds, is when the item has had its time: the engine
	// may delete it at any moment after that, and does in the end. Until then it
	// is returned and counts in conditions as ever, so that readers filter. The
	// zero value is never. A Put without it takes it away. Engines return it in
	// UTC, and not in items that come from an index.
	ExpiresAt time.Time
}

// SameContent tells whether two items have the same revision, Doc and
// ExpiresAt: whether a Put of one is a repeat of a Put of the other.
func (i Item) SameContent(other Item) bool {
	return i.Revision == other.Revision && bytes.Equal(i.Doc, other.Doc) && i.ExpiresAt.Equal(other.ExpiresAt)
}

// Table is an engine.
//
// Contexts bound every call: at the latest at their deadline it returns
// ErrUnavailable, and a write that has not begun by then is not stored. No call is made again by the caller because of a throttle:
// the engine has already tried as often as is sensible.
type Table interface {
	// Get reads up to MaxGet distinct keys in one round trip, each strongly
	// consistent (not one snapshot of all). A key that is absent from the
	// answer is absent from the table; what could not be read is
	// ErrUnavailable, or named in the *CorruptError beside the others, never
	// absent.
	Get(ctx context.Context, keys ...Key) (map[Key]Item, error)

	// Query reads one page of one partition in the order of its sort keys:
	// strongly consistent in the table itself, eventually consistent in an
	// index, which may show an item that moves at its old place, at the new one, at
	// both or at none. A page may hold less than Limit although more follows. Corrupt items
	// are left out of it and named in the *CorruptError beside it, which it can be
	// followed by.
	Query(ctx context.Context, q Query) (Page, error)

	// Write performs all operations or none. Keys must be distinct; all
	// conditions are about what was stored before; the first that does not hold
	// is the one that the *ConditionError names. It is idempotent: a Put whose
	// condition fails because the very same item (revision, Doc and ExpiresAt) is
	// already stored has succeeded, and so has a repeated Delete inside one call whose
	// first try was stored but not answered. Over a corrupt item only a Put or
	// Delete if Present can succeed; engines may refuse it with ErrCorrupt.
	Write(ctx context.Context, ops ...Op) error
}

// Query is a range of sort keys in one partition.
type Query struct {
	Index      string // "" is the table itself
	PK         string // the partition, of the table or of the index
	Prefix     string // only sort keys that begin so
	After      string // only sort keys behind this one, in the direction of the query; it need not exist
	Descending bool
	Limit      int // 1 to MaxPage
}

// Page is a part of a Query's answer. After is what to put into the next
// Query, "" at the end.
type Page struct {
	Items []Item
	After string
}

// Op is one write. Make it with Put, Delete or Check.
type Op struct {
	Kind Kind
	Item Item // Put: the item; Delete and Check: its Key alone
	If   Condition
}

// Kind is what an Op does.
type Kind int

// The kinds of Op.
const (
	KindPut Kind = iota + 1
	KindDelete
	KindCheck // only the condition
)

// Condition is what must hold of the stored item for an Op. There is no
// unconditional write; the zero value is refused.
type Condition struct {
	Kind     ConditionKind
	Revision int64
}

// ConditionKind tells conditions apart.
type ConditionKind int

// The kinds of Condition.
const (
	IfAbsent ConditionKind = iota + 1
	IfPresent
	IfRevision
)

// Absent holds when there is no such item.
var Absent = Condition{Kind: IfAbsent}

// Present holds when there is such an item.
var Present = Condition{Kind: IfPresent}

// At holds when the item is there with this revision.
func At(revision int64) Condition { return Condition{Kind: IfRevision, Revision: revision} }

// Put stores item, replacing what is there whole.
func Put(item Item, c Condition) Op { return Op{Kind: KindPut, Item: item, If: c} }

// Delete removes the item at key.
func Delete(key Key, c Condition) Op { return Op{Kind: KindDelete, Item: Item{Key: key}, If: c} }

// Check changes nothing but makes the whole Write depend on c.
func Check(key Key, c Condition) Op { return Op{Kind: KindCheck, Item: Item{Key: key}, If: c} }
