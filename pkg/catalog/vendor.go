package catalog

import (
	"cmp"
	"slices"
)

// Beginning is how many bytes the keys of a shape begin with that are the same in
// all of them, or one of a few.
func (s Shape) Beginning() int {
	n := 0
	for _, p := range s.Parts {
		switch {
		case p.Optional:
			return n
		case p.Text != "":
			n += len(p.Text)
		case len(p.OneOf) > 0:
			n += len(slices.MinFunc(p.OneOf, func(a, b string) int { return cmp.Compare(len(a), len(b)) }))
		default:
			return n
		}
	}
	return n
}

// fit is the longest beginning of p's shapes that key has, -1 when it has none.
func (p Provider) fit(key []byte, least int) int {
	longest := -1
	for _, s := range p.KeyShapes {
		if n := s.Beginning(); n >= least && n > longest && s.Matches(key) {
			longest = n
		}
	}
	return longest
}

// OtherVendor names the provider that key begins like, if that says more of it than
// the shapes of p do. A short beginning is shared by many, and by those who are not
// in the catalog.
func (p Provider) OtherVendor(key []byte) (name string, found bool) {
	fits := p.fit(key, 0)
	best, sure := max(fits, 2), -1
	for _, other := range All() {
		least := 4
		if len(p.KeyShapes) > 0 && fits <= 0 && other.Trusted() {
			least = 3
		}
		length := other.fit(key, least)
		if other.Slug == p.Slug || length <= fits {
			continue
		}
		if is := other.sureness(); length > best || length == best && is > sure {
			best, sure, name = length, is, other.Name
		}
	}
	return name, name != ""
}

// sureness orders entries by how well they are attested.
func (p Provider) sureness() int {
	return slices.Index([]string{"low", "medium", "high"}, p.Confidence)
}
