package fakeprovider

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"keyvend/pkg/catalog"
)

// Domain is where all fakes have their hosts. It is reserved: on the internet
// there is nothing under it, and never will be.
const Domain = "fake-providers.example"

// Fake is a provider that does not exist. Get one from the functions below.
type Fake struct {
	Name         string   // such as "bearer"
	Style        string   // how it takes keys, for people
	Hosts        []string // where it answers
	ConfigFields []catalog.ConfigField
	Check        catalog.Check

	// key takes the key out of a request as the provider would, "" when it is
	// not where it belongs.
	key func(*http.Request) string
	// path is that of the check for a key.
	path func(key string) string
	// elsewhere reports whether a key belongs to another host than the one that
	// was asked; nil: all hosts know the same keys.
	elsewhere func(r *http.Request, rest string) bool
	// bodies are what it says of a key, where its status does not.
	bodies map[catalog.Verdict]string
}

// All are all fakes.
func All() []Fake {
	return []Fake{Bearer(), Header(), BasicUser(), BasicPassword(), Query(), Path(), GraphQL(), Region()}
}

// Bearer takes the key behind a scheme.
func Bearer() Fake {
	f := newFake("bearer", "Authorization: Bearer KEY")
	f.Check.Placement = catalog.Placement{In: catalog.InHeader, Name: "Authorization", Template: "Bearer {key}"}
	f.key = bearerKey
	return f
}

// Header takes the key as a header of its own, beside one that names a version.
func Header() Fake {
	f := newFake("header", "X-Api-Key: KEY, beside Fake-Version")
	f.Check.Placement = catalog.Placement{In: catalog.InHeader, Name: "X-Api-Key", Template: "{key}"}
	f.Check.Headers = map[string]string{"Fake-Version": "2026-01-01"}
	f.key = func(r *http.Request) string { return header(r, "X-Api-Key") }
	return f
}

// BasicUser takes the key as the user name, without a password.
func BasicUser() Fake {
	f := newFake("basic-user", "Basic KEY:")
	f.Check.Placement = catalog.Placement{In: catalog.InBasic, Template: "{key}:"}
	f.key = func(r *http.Request) string {
		if user, password, ok := r.BasicAuth(); ok && password == "" {
			return user
		}
		return ""
	}
	return f
}

// BasicPassword takes the key as the password of the user api.
func BasicPassword() Fake {
	f := newFake("basic-password", "Basic api:KEY")
	f.Check.Placement = catalog.Placement{In: catalog.InBasic, Template: "api:{key}"}
	f.key = func(r *http.Request) string {
		if user, password, ok := r.BasicAuth(); ok && user == "api" {
			return password
		}
		return ""
	}
	return f
}

// Query takes the key as a parameter, beside another.
func Query() Fake {
	f := newFake("query", "?api_key=KEY")
	f.Check.URL += "?fields=id"
	f.Check.Placement = catalog.Placement{In: catalog.InQuery, Name: "api_key", Template: "{key}"}
	f.key = func(r *http.Request) string {
		if given := r.URL.Query()["api_key"]; len(given) == 1 {
			return given[0]
		}
		return ""
	}
	return f
}

// Path takes the key in the path, as the token of a bot.
func Path() Fake {
	f := newFake("path", "/botKEY/…")
	f.Check.Placement = catalog.Placement{In: catalog.InPath, Template: "/bot{key}"}
	f.key = func(r *http.Request) string {
		bot, is := strings.CutPrefix(r.URL.Path, "/bot")
		key, _, more := strings.Cut(bot, "/")
		if !is || !more {
			return ""
		}
		return key
	}
	f.path = func(key string) string { return "/bot" + key + accountPath }
	return f
}

// GraphQL takes a POST with the key in Authorization without a scheme, and
// answers 200 whatever it has to say.
func GraphQL() Fake {
	f := newFake("graphql", "Authorization: KEY, with a query by POST; the verdict is in the body")
	f.Check = catalog.Check{
		Placement: catalog.Placement{In: catalog.InHeader, Name: "Authorization", Template: "{key}"},
		Method:    http.MethodPost,
		URL:       f.Check.URL,
		Headers:   map[string]string{"Content-Type": typeJSON},
		Body:      `{"query":"{ viewer { id } }"}`,
		When: []catalog.Rule{
			{Status: http.StatusOK, All: []catalog.Condition{{Path: "data.viewer.id", Exists: true}}, Verdict: catalog.Valid},
			{Status: http.StatusOK, All: []catalog.Condition{{Path: "errors[].extensions.code", Equals: "FORBIDDEN"}}, Verdict: catalog.Limited},
			{Status: http.StatusOK, All: []catalog.Condition{{Path: "errors[].extensions.code", Equals: "UNAUTHENTICATED"}}, Verdict: catalog.Invalid},
		},
	}
	f.key = func(r *http.Request) string {
		if key := header(r, "Authorization"); !strings.Contains(key, " ") {
			return key
		}
		return ""
	}
	f.bodies = map[catalog.Verdict]string{
		catalog.Valid:   `{"data":{"viewer":{"id":"account_fake"}}}`,
		catalog.Limited: `{"errors":[{"message":"You may not see this.","extensions":{"code":"FORBIDDEN"}}]}`,
		catalog.Invalid: `{"errors":[{"message":"This key does not work.","extensions":{"code":"UNAUTHENTICATED"}}]}`,
	}
	return f
}

// Region is Bearer with a host for each of two regions that do not know each
// other's keys. A key whose text goes on with eu-, as in fake-valid-eu-0001, is
// European, any other American.
func Region() Fake {
	f := newFake("region", "Authorization: Bearer KEY, at the host of the key's region")
	f.Hosts = []string{"us.region." + Domain, "eu.region." + Domain}
	f.ConfigFields = []catalog.ConfigField{{
		Field:       "region",
		Label:       "Region",
		Description: "Choose the region of your account.",
		Default:     "us",
		Options:     []catalog.Option{{Value: "us", Label: "United States"}, {Value: "eu", Label: "European Union"}},
	}}
	f.Check.URL = "https://{region}.region." + Domain + accountPath
	f.Check.Placement = catalog.Placement{In: catalog.InHeader, Name: "Authorization", Template: "Bearer {key}"}
	f.key = bearerKey
	f.elsewhere = func(r *http.Request, rest string) bool {
		return strings.HasPrefix(r.Host, "eu.") != strings.HasPrefix(rest, "eu-")
	}
	return f
}

const accountPath = "/v1/account"

// newFake is a fake that lacks nothing but where it takes the key.
func newFake(name, style string) Fake {
	host := name + "." + Domain
	return Fake{
		Name:         name,
		Style:        style,
		Hosts:        []string{host},
		ConfigFields: []catalog.ConfigField{},
		Check: catalog.Check{
			Method:  http.MethodGet,
			URL:     "https://" + host + accountPath,
			Valid:   []int{http.StatusOK},
			Limited: []int{http.StatusForbidden},
			Invalid: []int{http.StatusUnauthorized},
		},
		path: func(string) string { return accountPath },
	}
}

func bearerKey(r *http.Request) string {
	key, is := strings.CutPrefix(header(r, "Authorization"), "Bearer ")
	if !is {
		return ""
	}
	return key
}

// header is the value of a header that a request has once.
func header(r *http.Request, name string) string {
	if len(r.Header.Values(name)) != 1 {
		return ""
	}
	return r.Header.Get(name)
}

// read takes the key out of a request, "" when there is none; fits says that
// the request is the one that the check describes.
func (f Fake) read(r *http.Request) (key string, fits bool) {
	key = f.key(r)
	fits = key != "" && r.Method == f.Check.Method && r.URL.Path == f.path(key) && f.sameQuery(r.URL)
	for name, value := range f.Check.Headers {
		fits = fits && header(r, name) == value
	}
	if r.Body != nil {
		body, err := io.ReadAll(io.LimitReader(r.Body, int64(len(f.Check.Body))+1))
		fits = fits && err == nil && string(body) == f.Check.Body
	}
	return key, fits
}

// sameQuery leaves the parameter of the key aside.
func (f Fake) sameQuery(asked *url.URL) bool {
	_, want, _ := strings.Cut(f.Check.URL, "?")
	given := asked.Query()
	if f.Check.Placement.In == catalog.InQuery {
		given.Del(f.Check.Placement.Name)
	}
	return given.Encode() == want
}

// says is the fake's answer of a verdict.
func (f Fake) says(v catalog.Verdict) reply {
	if body, own := f.bodies[v]; own {
		return reply{status: http.StatusOK, contentType: typeJSON, body: body}
	}
	switch v {
	case catalog.Limited:
		return refusal(http.StatusForbidden, "insufficient_permissions", "This key may not read the account.")
	case catalog.Invalid:
		return refusal(http.StatusUnauthorized, "invalid_api_key", "This key does not work.")
	}
	return reply{status: http.StatusOK, contentType: typeJSON, body: fmt.Sprintf(`{"object":"account","id":"account_fake","provider":%q}`, f.Name)}
}

// unauthenticated is the fake's answer to who brings no key, or none of its own.
func (f Fake) unauthenticated() reply { return f.says(catalog.Invalid) }
