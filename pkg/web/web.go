// Package web holds the files that browsers are served: the widget, the dashboard
// and the page that embeds the widget. They are written as browsers take them;
// nothing builds them.
//
//	files/widget.js              /widget.js
//	files/dashboard/index.html   /dashboard, and every path below it
//	files/embed/index.html       /embed/{tenant}
//	files/dom.js                 makes elements, for widget and dashboard
//	files/…                      /assets/{version}/…, for whatever these need
//
// A file names what it needs as {{assets}}/dashboard/main.js, for which browsers get
// /assets/{version}/dashboard/main.js: the version is made of all files, so that
// whatever bears it can be kept for ever. Between modules below it relative paths
// will do. Neither pages nor what they load may hold
// inline scripts or styles, or load anything from elsewhere: browsers refuse it.
//
// On the machine that keyvend runs on, a link to /dashboard#key=sk_kv_… brings the API
// key to sign in with, for which the dashboard gets a session and which it then
// forgets; elsewhere no such link is followed.
// DASHBOARD.md tells how its code is laid out.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed files
var files embed.FS

// AssetPath is where files are served that a version names.
const AssetPath = "/assets/"

// types are the Content-Types of files by their extension: a file of any other
// kind is not served.
var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".ico":   "image/x-icon",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json; charset=utf-8",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// Site is all files. They are read when somebody first asks for one: a function
// that starts for a widget's call has none to serve.
type Site struct {
	from    fs.FS
	once    sync.Once
	version string
	files   map[string]*File
}

// File is a file as it is served.
type File struct {
	Type string // Content-Type
	ETag string // weak: of its content, whatever the encoding
	Body []byte

	once sync.Once
	zip  []byte
}

// New makes the site of the embedded files.
func New() *Site { return &Site{from: files} }

func (s *Site) read() {
	s.files = map[string]*File{}
	all := sha256.New()
	// Files in memory, in the order of their names: nothing fails.
	_ = fs.WalkDir(s.from, "files", func(name string, d fs.DirEntry, _ error) error {
		kind, known := types[path.Ext(name)]
		if d.IsDir() || !known {
			return nil
		}
		body, _ := fs.ReadFile(s.from, name)
		_, _ = all.Write([]byte(name))
		_, _ = all.Write(body)
		s.files[strings.TrimPrefix(name, "files/")] = &File{Type: kind, Body: body}
		return nil
	})
	s.version = hex.EncodeToString(all.Sum(nil)[:8])
	for _, f := range s.files {
		if strings.HasPrefix(f.Type, "text/") {
			f.Body = bytes.ReplaceAll(f.Body, []byte("{{assets}}"), []byte(AssetPath+s.version))
		}
		sum := sha256.Sum256(f.Body)
		f.ETag = `W/"` + hex.EncodeToString(sum[:12]) + `"`
	}
}

// File is the file of that name, nil when there is none.
func (s *Site) File(name string) *File {
	s.once.Do(s.read)
	return s.files[name]
}

// Asset is the file of that name in that version, nil when there is none.
func (s *Site) Asset(version, name string) *File {
	if version != s.Version() {
		return nil
	}
	return s.files[name]
}

// Version is what all files are together.
func (s *Site) Version() string {
	s.once.Do(s.read)
	return s.version
}

// Gzip is the file compressed, nil when that makes it no smaller. It is made once,
// when somebody first asks.
func (f *File) Gzip() []byte {
	f.once.Do(func() {
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // a level that there is
		_, _ = w.Write(f.Body)
		_ = w.Close() // a buffer takes everything
		if out.Len() < len(f.Body) {
			f.zip = out.Bytes()
		}
	})
	return f.zip
}
