package table

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// The bytes of keys, and the one behind them all, which no key holds.
const (
	firstByte = "!"
	lastByte  = "~"
	behindAll = "\x7f"
)

// Bytes of an index name. DynamoDB takes none that is shorter.
const (
	minIndexName = 3
	maxIndexName = 32
)

// lastSecond is the last second of the year 9999.
const lastSecond = 253402300799

// ValidateGet tells whether engines may be asked for keys; the error is
// ErrInvalid. Engines call it, and so do the other Validate functions.
func ValidateGet(keys []Key) error {
	if len(keys) > MaxGet {
		return fmt.Errorf("%w: %d keys in one Get", ErrInvalid, len(keys))
	}
	seen := make(map[Key]struct{}, len(keys))
	for _, k := range keys {
		if err := ValidateKey(k); err != nil {
			return err
		}
		if _, twice := seen[k]; twice {
			return fmt.Errorf("%w: key %v twice in one Get", ErrInvalid, k)
		}
		seen[k] = struct{}{}
	}
	return nil
}

// ValidateQuery is ErrInvalid or nil.
func ValidateQuery(q Query) error {
	if q.Index != "" {
		if err := validateIndexName(q.Index); err != nil {
			return err
		}
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		return fmt.Errorf("%w: Limit %d", ErrInvalid, q.Limit)
	}
	if err := validateKeyPart("PK", q.PK); err != nil {
		return err
	}
	if q.Prefix != "" {
		if err := validateKeyPart("Prefix", q.Prefix); err != nil {
			return err
		}
	}
	if q.After != "" {
		return validateKeyPart("After", q.After)
	}
	return nil
}

// ValidateWrite is ErrInvalid, ErrTooLarge or nil.
func ValidateWrite(ops []Op) error {
	if len(ops) == 0 || len(ops) > MaxWrite {
		return fmt.Errorf("%w: %d operations in one Write", ErrInvalid, len(ops))
	}
	size := 0
	seen := make(map[Key]struct{}, len(ops))
	for i, op := range ops {
		if err := validateOp(op); err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
		if _, twice := seen[op.Item.Key]; twice {
			return fmt.Errorf("%w: key %v twice in one Write", ErrInvalid, op.Item.Key)
		}
		seen[op.Item.Key] = struct{}{}
		size += len(op.Item.Doc)
	}
	if size > MaxBatch {
		return fmt.Errorf("%w: %d bytes in one Write", ErrTooLarge, size)
	}
	return nil
}

func validateOp(op Op) error {
	switch op.Kind {
	case KindPut:
		if err := validateItem(op.Item); err != nil {
			return err
		}
	case KindDelete, KindCheck:
		if err := ValidateKey(op.Item.Key); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: kind of operation %d", ErrInvalid, op.Kind)
	}
	switch op.If.Kind {
	case IfAbsent, IfPresent:
		return nil
	case IfRevision:
		if op.If.Revision < 1 {
			return fmt.Errorf("%w: condition on revision %d", ErrInvalid, op.If.Revision)
		}
		return nil
	default:
		return fmt.Errorf("%w: no condition", ErrInvalid)
	}
}

func validateItem(item Item) error {
	if err := ValidateKey(item.Key); err != nil {
		return err
	}
	if item.Revision < 1 {
		return fmt.Errorf("%w: revision %d", ErrInvalid, item.Revision)
	}
	if len(item.Doc) > MaxDoc {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(item.Doc))
	}
	if !utf8.Valid(item.Doc) {
		return fmt.Errorf("%w: Doc is not UTF-8", ErrInvalid)
	}
	if err := validateExpiry(item.ExpiresAt); err != nil {
		return err
	}
	for name, position := range item.Index {
		if err := validateIndexName(name); err != nil {
			return err
		}
		if err := ValidateKey(position); err != nil {
			return fmt.Errorf("index %s: %w", name, err)
		}
	}
	return nil
}

func validateExpiry(at time.Time) error {
	if at.IsZero() {
		return nil
	}
	if at.Nanosecond() != 0 {
		return fmt.Errorf("%w: ExpiresAt %v is not in whole seconds", ErrInvalid, at)
	}
	if _, ok := ExpiryOf(at.Unix()); !ok {
		return fmt.Errorf("%w: ExpiresAt %v", ErrInvalid, at)
	}
	return nil
}

// ExpiryOf is the ExpiresAt that lies seconds behind the start of 1970. It is
// false when no Put would take that: before 1970 or after the year 9999.
func ExpiryOf(seconds int64) (time.Time, bool) {
	if seconds < 1 || seconds > lastSecond {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0).UTC(), true
}

// ValidateChanges tells whether a feed may be asked for so many changes; the
// error is ErrInvalid.
func ValidateChanges(limit int) error {
	if limit < 1 || limit > MaxPage {
		return fmt.Errorf("%w: limit of %d changes", ErrInvalid, limit)
	}
	return nil
}

// ValidateKey is ErrInvalid or nil.
func ValidateKey(k Key) error {
	if err := validateKeyPart("PK", k.PK); err != nil {
		return err
	}
	return validateKeyPart("SK", k.SK)
}

func validateKeyPart(name, s string) error {
	if s == "" || len(s) > MaxKey {
		return fmt.Errorf("%w: %s of %d bytes", ErrInvalid, name, len(s))
	}
	for i := range len(s) {
		if s[i] < firstByte[0] || s[i] > lastByte[0] {
			return fmt.Errorf("%w: byte %#02x in %s", ErrInvalid, s[i], name)
		}
	}
	return nil
}

func validateIndexName(name string) error {
	if len(name) < minIndexName || len(name) > maxIndexName {
		return fmt.Errorf("%w: index name of %d bytes", ErrInvalid, len(name))
	}
	for i := range len(name) {
		if name[i] < 'a' || name[i] > 'z' {
			return fmt.Errorf("%w: index name %q", ErrInvalid, name)
		}
	}
	return nil
}

// Range returns the bounds, both inclusive, of the sort keys that a valid q
// asks for. The bounds sort right but need not be valid keys. It is false when
// nothing can lie between them.
func (q Query) Range() (first, last string, ok bool) {
	first, last = firstByte, behindAll
	if q.Prefix != "" {
		first, last = q.Prefix, q.Prefix+behindAll
	}
	switch {
	case q.After == "":
	case q.Descending:
		before, ok := justBefore(q.After)
		if !ok {
			return "", "", false
		}
		last = min(last, before)
	default:
		// The least string behind s is s with the least byte added.
		first = max(first, q.After+firstByte)
	}
	return first, last, first <= last
}

// justBefore returns a string that lies before s and not before any key that
// lies before s. It is false when no key does.
func justBefore(s string) (string, bool) {
	head, end := s[:len(s)-1], s[len(s)-1]
	if end == firstByte[0] {
		return head, head != ""
	}
	return head + string(end-1) + behindAll, true
}
