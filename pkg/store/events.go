package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// remarkLasts is how long a remark is kept: longer than any feed keeps changes.
const remarkLasts = 2 * 24 * time.Hour

// StoreEvent implements vault.EventStore.
func (s *Store) StoreEvent(ctx context.Context, e vault.StoredEvent) (vault.StoredEvent, error) {
	key, at, err := storedEventKey(e)
	if err != nil {
		return e, err
	}
	err = s.saveUntil(ctx, key, &e, &e.Revision, at.Add(event.Lasts))
	if !errors.Is(err, vault.ErrChanged) {
		return e, err
	}
	there, err := one(ctx, s, key, asEvent(e.Tenant))
	switch {
	case err != nil:
		return e, err
	case there == nil: // it expired between the two calls
		return e, fault.Busy(vault.ErrChanged)
	case !there.Readable():
		e.Revision = there.Revision
		return e, s.saveUntil(ctx, key, &e, &e.Revision, at.Add(event.Lasts))
	}
	return *there, nil
}

// MarkSent implements vault.EventStore.
func (s *Store) MarkSent(ctx context.Context, e vault.StoredEvent) error {
	key, at, err := storedEventKey(e)
	if err != nil {
		return err
	}
	return s.saveUntil(ctx, key, &e, &e.Revision, at.Add(event.Lasts))
}

// SaveRemark stores a fact that changes no other row. The feed makes the event
// of it that it is; saving it again changes nothing.
func (s *Store) SaveRemark(ctx context.Context, tenant string, e event.Event) error {
	op, err := s.putRemark(tenant, e)
	if err == nil {
		err = s.write(ctx, op)
	}
	if errors.Is(err, vault.ErrChanged) {
		return nil
	}
	return err
}

func (s *Store) putRemark(tenant string, e event.Event) (table.Op, error) {
	at, ok := event.Time(e.ID)
	if !ok {
		return table.Op{}, fmt.Errorf("store: %q is no event's id", e.ID)
	}
	var revision int64
	return s.putUntil(remarkKey(tenant, e), e, &revision, at.Add(remarkLasts))
}

// saveUntil is save for a row that expires.
func (s *Store) saveUntil(ctx context.Context, key table.Key, v any, rev *int64, expires time.Time) error {
	before := *rev
	op, err := s.putUntil(key, v, rev, expires)
	if err == nil {
		err = s.write(ctx, op)
	}
	if err != nil {
		*rev = before
	}
	return err
}

// putUntil is put for a row that expires; zero is never.
func (s *Store) putUntil(key table.Key, v any, rev *int64, expires time.Time) (table.Op, error) {
	op, err := s.put(key, v, rev, nil)
	if err == nil && !expires.IsZero() {
		op.Item.ExpiresAt = expires.UTC().Truncate(time.Second)
	}
	return op, err
}

func storedEventKey(e vault.StoredEvent) (table.Key, time.Time, error) {
	at, ok := event.Time(e.Event.ID)
	if !ok {
		return table.Key{}, at, fmt.Errorf("store: %q is no event's id", e.Event.ID)
	}
	return eventKey(e.Tenant, e.Event.ID, at), at, nil
}

// EventsOn implements vault.EventReader.
func (s *Store) EventsOn(ctx context.Context, tenant string, r vault.EventRange) (page []event.Event, next string, err error) {
	q := table.Query{PK: eventsPK(tenant, r.Day), After: r.After, Descending: r.Descending, Limit: r.Limit}
	rows, err := s.query(ctx, q)
	if err != nil {
		return nil, "", err
	}
	for _, item := range rows.Items {
		row, err := decode(map[table.Key]table.Item{item.Key: item}, item.Key, asEvent(tenant))
		if err != nil {
			return nil, "", err
		}
		page = append(page, row.Event)
	}
	return page, rows.After, nil
}

// PoisonError is a change of a row that events are made of, and that cannot be
// read. It tells nothing of the row's content.
type PoisonError struct {
	Key      table.Key
	Revision int64 // of the image that cannot be read
	What     string
}

// Error implements error.
func (e *PoisonError) Error() string {
	return fmt.Sprintf("store: a change of %v at revision %d: %s", e.Key, e.Revision, e.What)
}

// Commit is what a change means to the vault; ok is false when it means nothing
// that events are made of. The error is a *PoisonError; a key that was stored over
// a damaged row is told with it, as one that was not there before.
func Commit(c table.Change) (commit vault.Commit, ok bool, err error) {
	commit = vault.Commit{ChangeID: c.ID, Row: c.Key.PK + " " + c.Key.SK, At: c.At}
	switch {
	case strings.HasPrefix(c.Key.PK, userLetter) && strings.HasPrefix(c.Key.SK, accountPrefix):
		if commit.After, err = accountImage(c.New); err != nil {
			return vault.Commit{}, false, err
		}
		if commit.Before, err = accountImage(c.Old); err != nil && commit.After == nil {
			return vault.Commit{}, false, err
		}
		commit.Tenant, _, _, _ = parseAccountKey(c.Key) // an image was read under it
		return commit, true, err
	case strings.HasPrefix(c.Key.PK, remarkLetter) && c.Old == nil && c.New != nil:
		commit.Tenant, commit.Remark, err = remarkImage(*c.New)
		return commit, err == nil, err
	default: // another row, or a remark that has had its time
		return vault.Commit{}, false, nil
	}
}

// accountImage reads an account's row, nil being none.
func accountImage(item *table.Item) (*account.Account, error) {
	if item == nil {
		return nil, nil
	}
	if _, _, _, err := parseAccountKey(item.Key); err != nil {
		return nil, poison(*item, "not the key of an account")
	}
	a, err := decode(map[table.Key]table.Item{item.Key: *item}, item.Key, asAccount)
	if err != nil {
		return nil, poison(*item, "the row does not decode") // the error can quote it
	}
	_, isAccount := ident.Parse(ident.AccountPrefix, a.ID)
	_, isIntegration := ident.Parse(ident.IntegrationPrefix, a.IntegrationID)
	if !isAccount || !isIntegration || a.State == "" {
		return nil, poison(*item, "not an account")
	}
	return a, nil
}

// remarkImage reads a remark's row.
func remarkImage(item table.Item) (tenant string, e *event.Event, err error) {
	e, err = decode(map[table.Key]table.Item{item.Key: item}, item.Key, func(*event.Event, table.Item) {})
	if err != nil {
		return "", nil, poison(item, "the row does not decode")
	}
	parts := strings.Split(item.PK, "#")
	if _, ok := event.Time(e.ID); !ok || len(parts) != 3 || e.ID != item.SK || e.Name == "" || e.Data == (event.Data{}) {
		return "", nil, poison(item, "not a remark")
	}
	return parts[1], e, nil
}

func poison(item table.Item, what string) *PoisonError {
	return &PoisonError{Key: item.Key, Revision: item.Revision, What: what}
}
