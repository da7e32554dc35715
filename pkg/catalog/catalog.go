// Package catalog knows the third-party services whose API keys people bring:
// what each is called, where its users get a key, what a key looks like, and
// which settings go with it. The knowledge is data: one file a provider in the
// folder providers, described by provider.schema.json. README.md says how to
// add one; it takes no Go.
//
// Nothing is decoded before it is asked for, so the package costs a starting
// function nothing.
package catalog

import (
	"cmp"
	"embed"
	"encoding/json"
	"io/fs"
	"slices"
	"sync"
)

// Provider is one third-party service. Its JSON form is that of its file.
type Provider struct {
	Slug         string        `json:"slug"`            // ^[a-z0-9][a-z0-9_-]{0,63}$, also the name of its file
	Name         string        `json:"name"`            // as people know it
	Category     string        `json:"category"`        // one word from the schema's list
	AuthMethods  []string      `json:"auth_methods"`    // for now "api_key" alone
	KeyPage      string        `json:"key_page"`        // https address of the page where a user gets a key
	KeyHint      string        `json:"key_hint"`        // one sentence: which key to bring
	Help         string        `json:"help,omitempty"`  // what else a user should know
	KeyShapes    []Shape       `json:"key_shapes"`      // forms that keys have; empty when none is known
	ConfigFields []ConfigField `json:"config_fields"`   // settings that are stored beside the key
	Check        *Check        `json:"check,omitempty"` // nil: no free way to check a key is known
	// PerMinute is what ChecksPerMinute says, 0 where that is the usual.
	PerMinute  int    `json:"checks_per_minute,omitempty"`
	Confidence string `json:"confidence"` // how well the entry is attested: "high", "medium" or "low"
}

// ChecksPerMinute is how many checks keyvend makes of this provider in a minute
// at most, over all tenants.
func (p Provider) ChecksPerMinute() int { return cmp.Or(p.PerMinute, defaultPerMinute) }

const defaultPerMinute = 60

// Trusted reports whether the entry is so well attested that a key which its
// check calls invalid need not be vended any more.
func (p Provider) Trusted() bool { return p.Confidence == "high" }

// Curated reports whether the catalog says what the check's answers mean, and no
// tenant does.
func (p Provider) Curated() bool { return p.Confidence != "" }

// Field returns the config field of that name.
func (p Provider) Field(name string) (ConfigField, bool) { return find(p.ConfigFields, name) }

func find(fields []ConfigField, name string) (ConfigField, bool) {
	i := slices.IndexFunc(fields, func(f ConfigField) bool { return f.Field == name })
	if i < 0 {
		return ConfigField{}, false
	}
	return fields[i], true
}

// LooksLike reports whether key has one of the stated shapes, and true when
// none is stated. Providers change the form of their keys without notice: warn
// on false, never refuse.
func (p Provider) LooksLike(key []byte) bool {
	return len(p.KeyShapes) == 0 ||
		slices.ContainsFunc(p.KeyShapes, func(s Shape) bool { return s.Matches(key) })
}

//go:embed providers/*.json
var files embed.FS

const folder = "providers"

// Has reports whether slug is in the catalog, without decoding anything.
func Has(slug string) bool {
	f, err := files.Open(path(slug))
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Lookup returns the provider of that slug, or false when the catalog has none.
// It decodes that one entry, anew each time: the answer is the caller's own.
func Lookup(slug string) (Provider, bool) {
	p, err := decode(files, path(slug))
	return p, err == nil
}

// All returns every provider, sorted by slug. The first call decodes them; what
// the entries point to is shared between callers and must not be changed.
func All() []Provider {
	listed.once.Do(func() { listed.providers = list(files) })
	return slices.Clone(listed.providers)
}

// listed holds the decoded catalog from the first All on.
var listed struct {
	once      sync.Once
	providers []Provider
}

func list(fsys fs.FS) []Provider {
	// The pattern is well-formed, and Glob has no other error.
	names, _ := fs.Glob(fsys, folder+"/*.json")
	providers := make([]Provider, 0, len(names))
	for _, name := range names {
		// A test proves that every entry decodes.
		if p, err := decode(fsys, name); err == nil {
			providers = append(providers, p)
		}
	}
	// File names sort otherwise than slugs: "a-b.json" comes before "a.json".
	slices.SortFunc(providers, func(a, b Provider) int { return cmp.Compare(a.Slug, b.Slug) })
	return providers
}

// path needs no check of slug: what is no plain file name opens nothing.
func path(slug string) string { return folder + "/" + slug + ".json" }

func decode(fsys fs.FS, name string) (Provider, error) {
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return Provider{}, err
	}
	var p Provider
	if err := json.Unmarshal(b, &p); err != nil {
		return Provider{}, err
	}
	return p, nil
}
