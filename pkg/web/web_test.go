package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// read is the site of other files.
func read(from fs.FS) *Site { return &Site{from: from} }

func TestNothingIsReadBeforeSomebodyAsks(t *testing.T) {
	asked := &countingFS{FS: files}
	site := read(asked)
	if asked.opened > 0 {
		t.Errorf("%d files were opened at the start", asked.opened)
	}
	if site.File("widget.js") == nil || asked.opened == 0 {
		t.Errorf("%d opened: this test sees nothing", asked.opened)
	}
	before := asked.opened
	_, _, _ = site.Version(), site.File("embed/index.html").Gzip(), site.Asset(site.Version(), "widget.js")
	if asked.opened != before {
		t.Error("files are read again")
	}
}

// countingFS counts what is opened.
type countingFS struct {
	fs.FS
	opened int
}

// Open implements fs.FS.
func (c *countingFS) Open(name string) (fs.File, error) {
	c.opened++
	return c.FS.Open(name)
}

func TestEveryEmbeddedFileIsOfAKindThatIsServed(t *testing.T) {
	site, total := New(), 0
	err := fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file := site.File(strings.TrimPrefix(name, "files/"))
		if file == nil {
			t.Errorf("%s is not served: give its extension a type, or take it away", name)
			return nil
		}
		total += len(file.Body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"widget.js", "dashboard/index.html", "embed/index.html"} {
		if site.File(name) == nil {
			t.Errorf("there is no %s", name)
		}
	}
	if total > 1<<20 {
		t.Errorf("%d bytes: what is served has to stay small, since Lambda holds it in memory and browsers load it", total)
	}
}

// Whatever a page names it has to find, and inline scripts and styles it would be
// refused.
func TestPagesNameWhatThereIsAndHoldNothingInline(t *testing.T) {
	site := New()
	assets := regexp.MustCompile(AssetPath + `[0-9a-f]+/[\w./-]+`)
	inline := regexp.MustCompile(`(?i)<script(?:\s+type="?module"?)?\s*>|<style|\son\w+\s*=|\sstyle\s*=|javascript:`)
	site.once.Do(site.read)
	for name, file := range site.files {
		if bytes.Contains(file.Body, []byte("{{")) && path.Ext(name) == ".html" {
			t.Errorf("%s holds a placeholder still", name)
		}
		for _, found := range assets.FindAllString(string(file.Body), -1) {
			version, asset, _ := strings.Cut(strings.TrimPrefix(found, AssetPath), "/")
			if site.Asset(version, asset) == nil {
				t.Errorf("%s names %s, which is not there", name, found)
			}
		}
		if found := inline.Find(file.Body); found != nil && path.Ext(name) == ".html" {
			t.Errorf("%s has %q, which its Content-Security-Policy forbids", name, found)
		}
	}
}

// Nothing builds these files: people read them as they are, but for pictures and for
// what is made from the catalog.
func TestLinesCanBeRead(t *testing.T) {
	err := fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(name) == "shapes.js" || path.Ext(name) == ".svg" {
			return err
		}
		text, err := fs.ReadFile(files, name)
		for i, line := range strings.Split(string(text), "\n") {
			if n := utf8.RuneCountInString(line); n > 160 {
				t.Errorf("%s:%d has %d characters", name, i+1, n)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheVersionIsOfAllFilesAndNoOtherOneIsServed(t *testing.T) {
	one := fstest.MapFS{"files/a.js": {Data: []byte("a")}, "files/b.html": {Data: []byte("{{assets}}/a.js")}}
	other := fstest.MapFS{"files/a.js": {Data: []byte("A")}, "files/b.html": {Data: []byte("{{assets}}/a.js")}}
	moved := fstest.MapFS{"files/c.js": {Data: []byte("a")}, "files/b.html": {Data: []byte("{{assets}}/a.js")}}
	x, y, z := read(one), read(other), read(moved)
	if x.Version() == y.Version() || x.Version() == z.Version() || x.Version() != read(one).Version() {
		t.Errorf("versions %s, %s, %s", x.Version(), y.Version(), z.Version())
	}
	if got := string(x.File("b.html").Body); got != AssetPath+x.Version()+"/a.js" {
		t.Errorf("page %q", got)
	}
	if x.Asset(x.Version(), "a.js") == nil || x.Asset(y.Version(), "a.js") != nil || x.Asset("", "a.js") != nil || x.Asset(x.Version(), "../web.go") != nil {
		t.Error("a file under another version or outside")
	}
	if x.File("a.js").ETag == y.File("a.js").ETag {
		t.Error("two contents have one ETag")
	}
}

func TestGzipIsTheSameFileAndOnlyWhereItIsSmaller(t *testing.T) {
	long := strings.Repeat("const a = 1;\n", 500)
	site := read(fstest.MapFS{"files/long.js": {Data: []byte(long)}, "files/short.js": {Data: []byte("a")}})
	if zip := site.File("short.js").Gzip(); zip != nil {
		t.Errorf("%d bytes for one", len(zip))
	}
	zip := site.File("long.js").Gzip()
	r, err := gzip.NewReader(bytes.NewReader(zip))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != long || len(zip) >= len(long) {
		t.Errorf("%d bytes of %d: %v", len(zip), len(long), err)
	}
	if &site.File("long.js").Gzip()[0] != &zip[0] {
		t.Error("compressed again")
	}
}
