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
		{"GET", web.AssetPath + "{version}/{proxy+}", "", static(p.asset)},
		{"GET", "/dashboard", "", static(p.dashboard)},
		{"GET", "/dashboard/{proxy+}", "", static(p.dashboard)},
		{"GET", "/embed/{tenant}", "", static(p.embed)},
	}
}

type pages struct{ site *web.Site }

// static is the handler of a path whose answer is a file; nil is none. It sets the
// headers that say what the file may do and how long it is kept.
type static func(s *Server, h http.Header, r *request) (*web.File, error)

func (do static) serve(s *Server, _ apikey.Scope, w http.ResponseWriter, r *request) {
	file, err := do(s, w.Header(), r)
	switch {
	case err != nil:
		s.fail(w, r.Request, err)
	case file == nil:
		s.fail(w, r.Request, errNoPath)
	default:
		send(w, r, file)
	}
}

// send answers with a file as the browser takes it, or with the word that it has
// it already. Files are small: each comes whole, whatever Range says.
func send(w http.ResponseWriter, r *request, file *web.File) {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	h.Set("Accept-Ranges", "none")
	if strings.HasPrefix(h.Get("Cache-Control"), "public") {
		h.Set("ETag", file.ETag)
		if has(r.Header.Values("If-None-Match"), file.ETag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	body := file.Body
	if zip := file.Gzip(); zip != nil && takesGzip(strings.Join(r.Header.Values("Accept-Encoding"), ",")) {
		h.Set("Content-Encoding", "gzip")
		body = zip
	}
	h.Set("Content-Type", file.Type)
	_, _ = w.Write(body) // the client is gone: nobody is left to be told
}

// has reports whether If-None-Match names a file's tag, which is weak: what stands
// before the quotes does not matter.
func has(known []string, tag string) bool {
	for part := range strings.SplitSeq(strings.Join(known, ","), ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// takesGzip reads Accept-Encoding, in which a weight of 0 is a way to say no.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";q=")
		if strings.EqualFold(coding, "gzip") {
			return weight == "" || strings.Trim(weight, "0.") != ""
		}
	}
	return false
}

// widget is the widget, which any page may load: it does nothing without a token.
// Its address stands in the pages of others, and so is the same for every version.
func (p pages) widget(_ *Server, h http.Header, _ *request) (*web.File, error) {
	anywhere(h)
	h.Set("Cache-Control", "public, max-age=300")
	return p.site.File("widget.js"), nil
}

// asset is whatever pages and the widget load. Pages themselves have addresses, and
// rules, of their own.
func (p pages) asset(_ *Server, h http.Header, r *request) (*web.File, error) {
	file := p.site.Asset(r.values["version"], r.values["proxy"])
	if file == nil || strings.HasPrefix(file.Type, "text/html") {
		return nil, nil
	}
	anywhere(h)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
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

// embed is the widget as a page, which those pages may frame whose origins its
// tenant lists. One that lists none looks like one that there is not; to ask for
// either is to guess, and its read is bounded as those of other guesses are.
func (p pages) embed(s *Server, h http.Header, r *request) (*web.File, error) {
	id := r.values["tenant"]
	if _, ok := ident.Parse(ident.TenantPrefix, id); !ok {
		return nil, nil
	}
	if err := s.listen(r, false); err != nil {
		return nil, err
	}
	origins, err := s.gate.Origins(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if len(origins) == 0 {
		s.sources.drain(r.RemoteAddr)
	}
	confine(h, origins)
	return p.site.File("embed/index.html"), nil
}

// confine says what a page may do: run and load keyvend's own files, speak to
// keyvend, and be framed by the given origins, or by none. No cache keeps a page:
// of one that it asks for again a browser does not take these headers anew.
func confine(h http.Header, framedBy []string) {
	ancestors := "'none'"
	if len(framedBy) > 0 {
		ancestors = strings.Join(framedBy, " ")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "+ancestors)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
}
