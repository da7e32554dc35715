// Package ident makes the ids that keyvend gives out and checks the ones that
// others bring: users, organizations and slugs are opaque names of the
// tenant's own making, compared byte for byte and never looked up anywhere.
package ident

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/fault"
)

// Prefixes of the ids that keyvend gives out. Each is followed by a ULID.
const (
	TenantPrefix      = "tenant_"
	APIKeyPrefix      = "api_key_"
	IntegrationPrefix = "data_integration_"
	AccountPrefix     = "data_installation_"
	JobPrefix         = "job_"
	RequestPrefix     = "req_"
	EventPrefix       = "event_"
)

// MaxName is the length in bytes of the longest user or organization id.
const MaxName = 128

// Clock tells the time. The zero value is the real one.
type Clock func() time.Time

// Now is the present, in UTC, cut to the milliseconds that the wire shows.
func (c Clock) Now() time.Time { return c.read().UTC().Truncate(time.Millisecond) }

// Micros is the present in microseconds since 1970, uncut.
func (c Clock) Micros() int64 { return c.read().UnixMicro() }

func (c Clock) read() time.Time {
	if c == nil {
		c = time.Now
	}
	return c()
}

// New makes an id: prefix and a ULID of the time now.
func (c Clock) New(prefix string) string {
	return prefix + c.ULID().String()
}

// ULID makes a bare ULID of the time now.
func (c Clock) ULID() ulid.ULID {
	return ulid.MustNew(ulid.Timestamp(c.Now()), rand.Reader)
}

// Parse takes an id apart. ok is false unless it is prefix and a ULID in its
// canonical spelling.
func Parse(prefix, id string) (u ulid.ULID, ok bool) {
	tail, found := strings.CutPrefix(id, prefix)
	if !found {
		return u, false
	}
	u, err := ulid.ParseStrict(tail)
	return u, err == nil && u.String() == tail
}

// CheckUser says what is wrong with a user id, nil when it may be used.
func CheckUser(id string) error { return checkName("user_id", id) }

// CheckOrganization says what is wrong with an organization id. The empty id
// means "none" and is no organization.
func CheckOrganization(id string) error {
	if id == "" {
		return invalid("organization_id", "empty", "organization_id is empty. Leave it out for an account in no organization.")
	}
	return checkName("organization_id", id)
}

func checkName(field, id string) error {
	switch {
	case id == "":
		return invalid(field, "required", field+" is required.")
	case len(id) > MaxName:
		return invalid(field, "too_long", field+" has at most 128 bytes.")
	case id == "." || id == ".." || strings.ContainsFunc(id, forbidden):
		return invalid(field, "forbidden_characters",
			field+` is printable ASCII without space and without / \ ? # %, and neither "." nor "..".`)
	}
	return nil
}

func forbidden(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`/\?#%`, r)
}

func invalid(field, code, message string) error {
	e := fault.New(fault.Invalid, "unprocessable_entity", message)
	e.Details = []fault.Detail{{Code: code, Field: field, Message: message}}
	return e
}

// ValidSlug reports whether s can name a data integration:
// ^[a-z0-9][a-z0-9_-]{0,63}$.
func ValidSlug(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '_' || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
