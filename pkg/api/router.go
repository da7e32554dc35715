// Package api is keyvend over HTTP: the routes, how a request is read, how an
// answer and an error look on the wire. What is done is package vault's.
package api

import (
	"net/http"
	"slices"
	"strings"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
)

// Route is one method of one path. A path has one {name} per variable segment; a
// last {name+} is all that follows.
type Route struct {
	Method, Path string
	Scope        apikey.Scope // what the caller's API key must allow; "" lets anyone in
	handler      handler
}

// handler answers one request that has the route's path and method.
type handler interface {
	serve(s *Server, scope apikey.Scope, w http.ResponseWriter, r *request)
}

// router finds routes by path. It is not http.ServeMux, because that answers
// odd paths with redirects, on which a client may send its request again, and
// wrong methods in plain text.
type router struct{ paths []path }

type path struct {
	segments []string
	routes   []Route
}

func newRouter(routes []Route) router {
	var rt router
	for _, route := range routes {
		segments := strings.Split(route.Path, "/")
		i := slices.IndexFunc(rt.paths, func(p path) bool { return slices.Equal(p.segments, segments) })
		if i < 0 {
			i = len(rt.paths)
			rt.paths = append(rt.paths, path{segments: segments})
		}
		rt.paths[i].routes = append(rt.paths[i].routes, route)
	}
	return rt
}

var errNoPath = fault.New(fault.NotFound, "not_found",
	"There is nothing at this path. The paths are those of the WorkOS Pipes API for API keys, and keyvend's own under /keyvend/.")

// find returns the route of a decoded path, and the values of its variables.
func (rt router) find(method, urlPath string) (Route, map[string]string, error) {
	asked := strings.Split(urlPath, "/")
	for _, p := range rt.paths {
		values, ok := p.match(asked)
		if !ok {
			continue
		}
		for _, route := range p.routes {
			if slices.Contains(route.methods(), method) {
				return route, values, nil
			}
		}
		return Route{}, nil, &methodNotAllowed{allowed: p.methods()}
	}
	return Route{}, nil, errNoPath
}

// has reports whether some method of this path is served.
func (rt router) has(urlPath string) bool {
	asked := strings.Split(urlPath, "/")
	return slices.ContainsFunc(rt.paths, func(p path) bool {
		_, ok := p.match(asked)
		return ok
	})
}

// paths are the distinct paths of routes.
func paths(routes []Route) []string {
	var all []string
	for _, route := range routes {
		if !slices.Contains(all, route.Path) {
			all = append(all, route.Path)
		}
	}
	return all
}

func (p path) match(asked []string) (map[string]string, bool) {
	if last := len(p.segments) - 1; strings.HasSuffix(p.segments[last], "+}") && len(asked) > last {
		asked = append(asked[:last:last], strings.Join(asked[last:], "/"))
	}
	if len(asked) != len(p.segments) {
		return nil, false
	}
	var values map[string]string
	for i, segment := range p.segments {
		name, isVariable := strings.CutPrefix(segment, "{")
		switch {
		case isVariable && asked[i] != "":
			if values == nil {
				values = map[string]string{}
			}
			values[strings.TrimRight(name, "+}")] = asked[i]
		case asked[i] != segment:
			return nil, false
		}
	}
	return values, true
}

func (p path) methods() string {
	var names []string
	for _, route := range p.routes {
		names = append(names, route.methods()...)
	}
	return strings.Join(names, ", ")
}

// methods are those that a route takes: of a file one may ask for the headers alone.
func (r Route) methods() []string {
	if _, isFile := r.handler.(static); isFile {
		return []string{r.Method, http.MethodHead}
	}
	return []string{r.Method}
}

// methodNotAllowed is a fault that also knows what the Allow header says.
type methodNotAllowed struct{ allowed string }

func (e *methodNotAllowed) Error() string { return "method not allowed; allowed: " + e.allowed }

func (e *methodNotAllowed) Unwrap() error {
	return fault.New(fault.MethodNotAllowed, "method_not_allowed", "This path takes "+e.allowed+".")
}
