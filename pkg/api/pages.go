package api

import (
	"net/http"
	"strings"

	"keyvend/pkg/apikey"
	"keyvend/pkg/ident"
	"keyvend/pkg/web"
)

// Pages are the routes of the function "widget" that answer with files.
func Pages(site *web.Site) []Route {
	p := pages{site}
	return []Route{
		{"GET", "/widget.js", "", static(p.widget)},
		{"GET", "/dashboard", "", static(p.dashboard)},
		{"GET", "/dashboard/{proxy+}", "", static(p.dashboard)},
		{"GET", "/embed/{tenant}", "", static(p.embed)},
		{"GET", web.AssetPath + "{version}/{proxy+}", "", static(p.asset)},
	}
}

type pages struct{ site *web.Site }

// static is the handler of a path whose answer is a file; nil is none.
type static func(s *Server, h http.Header, r *request) (*web.File, error)

func (do static) serve(s *Server, _ apikey.Scope, w http.ResponseWriter, r *request) {
	h := w.Header()
	file, err := do(s, h, r)
	switch {
	case err != nil:
		s.fail(w, r.Request, err)
	case file == nil:
		s.fail(w, r.Request, errNoPath)
	default:
		send(w, r, file)
	}
}

// send answers with a file, in the form that the browser takes, or with the word
// that it has it already.
func send(w http.ResponseWriter, r *request, file *web.File) {
	h := w.Header()
	h.Set("ETag", file.ETag)
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), file.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := file.Body
	if zip := file.Gzip(); zip != nil && takesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = zip
	}
	h.Set("Content-Type", file.Type)
	_, _ = w.Write(body) // the client is gone: nobody is left to be told
}

// takesGzip reads Accept-Encoding, in which 0 is a way to say no.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			return strings.Trim(strings.TrimSpace(weight), "qQ=0. ") != "" || weight == ""
		}
	}
	return false
}

// How long files are kept: what bears its version for ever, the widget's entry,
// whose address stands in others' pages, for minutes, pages not unasked.
const (
	keepForever = "public, max-age=31536000, immutable"
	keepMinutes = "public, max-age=300"
	keepAsking  = "no-cache"
)

// widget may be loaded by any page: it does nothing without a token.
func (p pages) widget(_ *Server, h http.Header, _ *request) (*web.File, error) {
	h.Set("Cache-Control", keepMinutes)
	anywhere(h)
	return p.site.File("widget.js"), nil
}

func (p pages) asset(_ *Server, h http.Header, r *request) (*web.File, error) {
	file := p.site.Asset(r.values["version"], r.values["proxy"])
	if file == nil || strings.HasSuffix(r.values["proxy"], ".html") { // pages have addresses, and rules, of their own
		return nil, nil
	}
	h.Set("Cache-Control", keepForever)
	anywhere(h)
	return file, nil
}

// anywhere lets pages of every origin load a file: modules are fetched as fetch
// does.
func anywhere(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (p pages) dashboard(_ *Server, h http.Header, _ *request) (*web.File, error) {
	confine(h, nil)
	return p.site.File("dashboard/index.html"), nil
}

// embed is the widget as a page that those sites may frame whose origins its tenant
// lists. Nobody learns whether there is such a tenant, or only that it lists some.
func (p pages) embed(s *Server, h http.Header, r *request) (*web.File, error) {
	id := r.values["tenant"]
	if _, ok := ident.Parse(ident.TenantPrefix, id); !ok {
		return nil, nil
	}
	origins, err := s.gate.Origins(r.Context(), id)
	if err != nil {
		return nil, err
	}
	confine(h, origins)
	return p.site.File("embed/index.html"), nil
}

// confine says what a page may do: run and load keyvend's own files, speak to
// keyvend, and be framed by the given origins, or by none.
func confine(h http.Header, framedBy []string) {
	ancestors := "'none'"
	if len(framedBy) > 0 {
		ancestors = strings.Join(framedBy, " ")
	}
	h.Set("Cache-Control", keepAsking)
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors "+ancestors)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
