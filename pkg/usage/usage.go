// Package usage knows what is kept of how stored keys are used: when an
// account's was last vended, who read it lately, and how often an integration's
// were asked for, hour by hour. Rows are made of audit lines, which may be
// delivered more than once.
package usage

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// Window is the time over which reads with one API key are one Read, and by
	// which Used may be behind.
	Window = 5 * time.Minute
	// Newest is how many Reads an account keeps.
	Newest = 20
	// Shards is how many rows share the counts of one integration and hour, so
	// that those who count at the same time seldom meet.
	Shards = 8
)

// Entry is an audit line as far as it is counted. Its times are in UTC.
type Entry struct {
	RequestID string // tells it from all others
	APIKey    string
	At        time.Time
	Vended    bool // or else refused
}

// Used is when an account's key was last vended. Its JSON form is the stored one.
type Used struct {
	Tenant    string    `json:"-"` // as in the row's key
	AccountID string    `json:"-"` // as in the row's key
	At        time.Time `json:"at"`

	Revision int64 `json:"-"`
}

// Note takes in a vend. It is false for one that is not a Window later than the
// noted one, and changes nothing then: a write in each Window is enough.
func (u *Used) Note(at time.Time) bool {
	if at.Sub(u.At) < Window {
		return false
	}
	u.At = at
	return true
}

// Read is the vends of an account's key with one API key in one Window.
type Read struct {
	APIKey string
	Start  time.Time // of the Window
	Count  int
	LastAt time.Time
}

// Reads are an account's newest Reads: of the newest Windows, and within one by
// API key. Which are kept does not depend on the order in which they are counted.
type Reads struct {
	Tenant    string // as in the row's key
	AccountID string // as in the row's key
	List      []Read
	Applied   Applied

	Revision int64
}

// Add counts the vends of p. It is false for a part that is counted already.
func (r *Reads) Add(p Part, now time.Time) bool {
	if r.Applied.has(p) {
		return false
	}
	type spot struct {
		apiKey string
		start  int64
	}
	all := map[spot]Read{}
	for _, read := range r.List {
		all[spot{read.APIKey, read.Start.Unix()}] = read
	}
	for _, e := range p.Entries {
		start := e.At.Truncate(Window)
		at := spot{e.APIKey, start.Unix()}
		read := all[at]
		if e.At.After(read.LastAt) {
			read.LastAt = e.At
		}
		all[at] = Read{e.APIKey, start, read.Count + 1, read.LastAt}
	}
	r.List = slices.SortedFunc(maps.Values(all), newer)
	r.List = r.List[:min(len(r.List), Newest)]
	r.Applied = r.Applied.with(p, now)
	return true
}

// newer orders by what never changes of a Read, so that one that has gone does
// not come back with a part of its count.
func newer(a, b Read) int {
	return cmp.Or(b.Start.Compare(a.Start), strings.Compare(a.APIKey, b.APIKey))
}

// storedReads is the stored form of Reads, small because it is written often: by
// API key, of each Read its start in seconds, its count, and its last time in
// milliseconds.
type storedReads struct {
	Reads   map[string][][3]int64 `json:"reads"`
	Applied Applied               `json:"applied"`
}

// MarshalJSON implements json.Marshaler.
func (r *Reads) MarshalJSON() ([]byte, error) {
	s := storedReads{Reads: map[string][][3]int64{}, Applied: r.Applied}
	for _, read := range r.List {
		s.Reads[read.APIKey] = append(s.Reads[read.APIKey], [3]int64{read.Start.Unix(), int64(read.Count), read.LastAt.UnixMilli()})
	}
	return json.Marshal(s)
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Reads) UnmarshalJSON(text []byte) error {
	var s storedReads
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	r.List, r.Applied = nil, s.Applied
	for key, reads := range s.Reads {
		for _, n := range reads {
			r.List = append(r.List, Read{key, time.Unix(n[0], 0).UTC(), int(n[1]), time.UnixMilli(n[2]).UTC()})
		}
	}
	slices.SortFunc(r.List, newer)
	return nil
}

// Hour counts what was asked of one integration in one hour, as far as one shard
// has it. Its JSON form is the stored one.
type Hour struct {
	Tenant        string    `json:"-"` // as in the row's key
	IntegrationID string    `json:"-"` // as in the row's key
	Start         time.Time `json:"-"` // as in the row's key
	Shard         int       `json:"-"` // as in the row's key
	Vended        int       `json:"vended"`
	Refused       int       `json:"refused"`
	Applied       Applied   `json:"applied"`

	Revision int64 `json:"-"`
}

// Add counts the entries of p. It is false for a part that is counted already.
func (h *Hour) Add(p Part, now time.Time) bool {
	if h.Applied.has(p) {
		return false
	}
	for _, e := range p.Entries {
		if e.Vended {
			h.Vended++
		} else {
			h.Refused++
		}
	}
	h.Applied = h.Applied.with(p, now)
	return true
}
