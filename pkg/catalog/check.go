package catalog

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Check is a question to a provider that costs nothing, changes nothing and
// reads nothing private: does this key work? It is data; its JSON form is that
// of a provider's file and of the API.
//
// URL, the values of Headers and the placement's template may hold {names} of
// config fields, in whose place an account's value goes. The key itself goes
// where Placement says and nowhere else.
type Check struct {
	Placement Placement         `json:"placement"`
	Method    string            `json:"method"`            // GET or POST
	URL       string            `json:"url"`               // https, a public host by name, no port but 443
	Headers   map[string]string `json:"headers,omitempty"` // to send beside the key
	Body      string            `json:"body,omitempty"`    // with POST; sent as it stands
	Valid     []int             `json:"valid,omitempty"`   // statuses that prove the key good
	Limited   []int             `json:"limited,omitempty"` // good, but it may not ask this
	Invalid   []int             `json:"invalid,omitempty"` // bad or revoked
	When      []Rule            `json:"when,omitempty"`    // asked in order, before the statuses
}

// Placement says where a request carries the key.
type Placement struct {
	// In is "header", "basic" (the template is user:password), "query", or
	// "path": the template goes before the path of the URL.
	In       string `json:"in"`
	Name     string `json:"name,omitempty"` // of the header or the parameter
	Template string `json:"template"`       // holds {key} once
}

// The values of Placement.In.
const (
	InHeader = "header"
	InBasic  = "basic"
	InQuery  = "query"
	InPath   = "path"
)

// Verdict is what an answer says about a key. An answer that no rule speaks of
// says nothing: a provider's bad day is no bad key.
type Verdict string

// The verdicts that rules can give.
const (
	Valid   Verdict = "valid"
	Limited Verdict = "limited"
	Invalid Verdict = "invalid"
)

func (v Verdict) known() bool { return v == Valid || v == Limited || v == Invalid }

// Rule gives a verdict on an answer of one status whose body, read as JSON,
// meets every condition.
type Rule struct {
	Status  int         `json:"status"`
	All     []Condition `json:"all"`
	Verdict Verdict     `json:"verdict"`
}

// Condition is about the values at one path of a body. It is met when one of
// them is as the condition's single test says.
type Condition struct {
	Path       string   `json:"path"`                  // names joined by dots; name[] is each element of a list
	Equals     any      `json:"equals,omitempty"`      // a text, a number, true or false
	OneOf      []string `json:"one_of,omitempty"`      // one of these texts
	StartsWith string   `json:"starts_with,omitempty"` // a text that begins so
	Exists     bool     `json:"exists,omitempty"`      // anything but null
}

// keyName is what stands for the key in a template.
const keyName = "key"

// Reaches reports whether the value of a config field goes into the request.
func (c Check) Reaches(field string) bool { return slices.Contains(c.names(), field) }

// names are the config fields that the request takes, each once, in the order
// in which they stand.
func (c Check) names() []string {
	texts := []string{c.URL, c.Placement.Template}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		texts = append(texts, c.Headers[name])
	}
	var names []string
	for _, text := range texts {
		t, _ := parseTemplate(text)
		for _, name := range t.names() {
			if name != keyName && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// AnyHost reports whether an account's settings may name any host, or a part of
// its name: whether what is behind it is somebody else's for each account.
func (c Check) AnyHost(fields []ConfigField) bool {
	host, _ := c.address()
	t, _ := parseTemplate(host)
	return slices.ContainsFunc(t.names(), func(name string) bool {
		f, _ := find(fields, name)
		return len(f.Options) == 0
	})
}

// Bound are the host and the placement in the one spelling that secrets are
// bound to, with what the fields in them stand for when an account says
// nothing. Two checks have the same texts only if they send any given key to
// the same host in the same place.
func (c Check) Bound(fields []ConfigField) (host, placement string) {
	h, _ := c.address()
	name := c.Placement.Name
	if c.Placement.In == InHeader {
		name = strings.ToLower(name)
	}
	host = canonical(append([]string{h}, unsaid(h, fields)...))
	placement = canonical(append([]string{c.Placement.In, name, c.Placement.Template}, unsaid(c.Placement.Template, fields)...))
	return host, placement
}

// Sent is all that decides what is sent, in one spelling: everything but the
// rules that read the answer.
func (c Check) Sent(fields []ConfigField) string {
	host, placement := c.Bound(fields)
	parts := []string{host, placement, c.Method, c.URL, c.Body, strconv.Itoa(len(c.Headers))}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		parts = append(parts, name, c.Headers[name])
	}
	for _, name := range c.names() {
		parts = append(parts, unsaid("{"+name+"}", fields)...)
	}
	return canonical(parts)
}

// unsaid is, for each field that text names, where its value comes from when
// an account has none.
func unsaid(text string, fields []ConfigField) []string {
	t, _ := parseTemplate(text)
	var parts []string
	for _, name := range t.names() {
		if name == keyName {
			continue
		}
		f, _ := find(fields, name)
		after := ""
		if f.DeriveFromKey != nil {
			after = f.DeriveFromKey.AfterLast
		}
		parts = append(parts, name, f.Default, after)
	}
	return parts
}

// canonical joins texts so that two lists never give the same: each has its
// length before it.
func canonical(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)) + ":" + p)
	}
	return b.String()
}

// address takes the URL apart: the template of the host, and what follows it.
// Of a URL that Validate refuses it says nothing of use.
func (c Check) address() (host, rest string) {
	host, _ = strings.CutPrefix(c.URL, "https://")
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host, rest = host[:end], host[end:]
	}
	return strings.TrimSuffix(host, ":443"), rest
}
