package catalog

import (
	"testing"
	"testing/fstest"
)

func TestListIsSortedBySlugAndNotByFileName(t *testing.T) {
	fsys := fstest.MapFS{}
	for _, slug := range []string{"ab", "a", "a_b", "a-b", "b"} {
		fsys[path(slug)] = &fstest.MapFile{Data: []byte(`{"slug": "` + slug + `"}`)}
	}
	got := ""
	for _, p := range list(fsys) {
		got += p.Slug + " "
	}
	if want := "a a-b a_b ab b "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
