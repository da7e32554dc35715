package catalog

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of a check, as those of a definition.
const (
	maxURL         = 1000
	maxTemplate    = 500
	maxHeaders     = 10
	maxBody        = 2000
	maxRules       = 20
	maxConditions  = 5
	maxPath        = 200
	maxText        = 200
	maxStatuses    = 20
	maxNumber      = 1 << 53
	maxHosts       = 500 // that options may make of one URL
	suffixOfShapes = 2   // labels of a host that users can have no part in
)

// Validate says all that is wrong with the check of a provider that has these
// config fields, which are sound themselves.
func (c Check) Validate(fields []ConfigField) []Problem {
	var r report
	c.validatePlacement(&r, fields)
	c.validateURL(&r, fields)
	c.validateHeaders(&r, fields)
	r.unless(c.Method == "GET" || c.Method == "POST", "method", "The method is GET or POST.")
	r.unless(c.Body == "" || c.Method == "POST", "body", "Only a POST has a body.")
	r.unless(len(c.Body) <= maxBody && utf8.ValidString(c.Body) && !strings.Contains(c.Body, "\x00"), "body", fmt.Sprintf("The body is text of at most %d bytes.", maxBody))
	r.unless(!strings.Contains(c.Body, "{"+keyName+"}"), "body", "{key} has no place here: the body is sent as it stands, and placement says where the key goes. For what only looks so, put a space inside the braces.")
	c.validateVerdicts(&r)
	return r
}

// template checks a template; allowed says which literal text may stand in it.
// false means that it is not fit to be looked at more closely.
func (r *report) template(field, text string, most int, fields []ConfigField, keys int, allowed func(string) bool) (template, bool) {
	t, ok := parseTemplate(text)
	if !r.unless(ok, field, "Braces stand for nothing but {key} and the names of settings, such as {region}.") {
		return nil, false
	}
	if !r.unless(len(text) <= most, field, fmt.Sprintf("This has at most %d bytes.", most)) ||
		!r.unless(allowed(t.literal()), field, "This has characters that cannot be sent here, such as line breaks, controls or letters beyond ASCII.") {
		return nil, false
	}
	found := 0
	for _, name := range t.names() {
		if name == keyName {
			found++
			continue
		}
		_, known := find(fields, name)
		r.unless(known, field, "A name in braces is not that of a setting in config_fields.")
	}
	if keys == 0 {
		r.unless(found == 0, field, "{key} has no place here: placement says where the key goes.")
	} else {
		r.unless(found == keys, field, "{key} stands here exactly once.")
	}
	return t, true
}

func (c Check) validatePlacement(r *report, fields []ConfigField) {
	p := c.Placement
	const name, text = "placement.name", "placement.template"
	switch p.In {
	case InHeader:
		r.unless(headerName(p.Name), name, "This is not the name of a header that a check may send.")
		r.template(text, p.Template, maxTemplate, fields, 1, printable)
		r.unless(strings.TrimSpace(p.Template) == p.Template, text, "A header neither begins nor ends with a space.")
	case InBasic:
		r.unless(p.Name == "", name, "Basic authentication has no name: the header is Authorization.")
		t, ok := r.template(text, p.Template, maxTemplate, fields, 1, printable)
		r.unless(!ok || strings.Contains(t.literal(), ":"), text, "This is user:password, with {key} in one of them, such as {key}: or api:{key}.")
	case InQuery:
		r.unless(parameterName(p.Name), name, "A parameter's name has 1 to 64 of letters, digits and - _ . ~ [ ].")
		r.template(text, p.Template, maxTemplate, fields, 1, visible)
	case InPath:
		r.unless(p.Name == "", name, "A place in the path has no name.")
		r.template(text, p.Template, maxTemplate, fields, 1, pathText)
		r.unless(strings.HasPrefix(p.Template, "/") && !dotted(p.Template), text, "This is the beginning of a path, such as /bot{key}, without . or .. between slashes.")
	default:
		r.unless(false, "placement.in", `This is "header", "basic", "query" or "path".`)
	}
}

func (c Check) validateURL(r *report, fields []ConfigField) {
	if !r.unless(strings.HasPrefix(c.URL, "https://"), "url", "The address begins with https://.") ||
		!r.unless(!strings.Contains(c.URL, "#"), "url", "The address has no fragment (#).") {
		return
	}
	if _, ok := r.template("url", c.URL, maxURL, fields, 0, addressText); !ok {
		return
	}
	host, rest := c.address()
	path, query, _ := strings.Cut(rest, "?")
	r.unless(!dotted(path), "url", "The path has neither . nor .. between slashes, and every % begins an escape like %20.")
	_, err := url.QueryUnescape(query)
	r.unless(err == nil, "url", "Every % in the query begins an escape like %20.")
	if c.Placement.In == InQuery {
		r.unless(!hasParameter(query, c.Placement.Name), "url", "The query has the key's parameter already: leave it out, the key is added.")
	}
	if reason := unsoundHost(host, fields); reason != "" {
		r.unless(false, "url", reason)
	}
}

const privateHost = "The host is not the name of a public host: in lower case, without user, password or port, and no address in numbers."

// unsoundHost says why the template of a host must not be asked, "" when each
// of its hosts may be.
func unsoundHost(host string, fields []ConfigField) string {
	t, _ := parseTemplate(host)
	if len(t) == 1 && t[0].isName {
		if f, _ := find(fields, t[0].text); f.Format == formatHostname {
			return ""
		}
	}
	labels := strings.Split(host, ".")
	fixed := strings.Join(labels[max(0, len(labels)-suffixOfShapes):], ".")
	hosts := []string{""}
	for _, p := range t {
		choices := []string{p.text}
		if p.isName {
			f, known := find(fields, p.text)
			switch {
			case !known:
				return "" // said already
			case f.Format == formatHostname:
				return "A setting of the format hostname is the whole host or has no place in it."
			case len(f.Shapes) > 0 && (!hostShapes(f.Shapes) || strings.Contains(fixed, "{"+f.Field+"}")):
				return "A setting with shapes may stand in the host only before two fixed names, as in {shop}.example.com, and holds nothing but a-z, 0-9 and -."
			}
			choices = f.choices()
		}
		if len(hosts)*len(choices) > maxHosts {
			return fmt.Sprintf("The settings in the host make more than %d hosts.", maxHosts)
		}
		hosts = product(hosts, choices)
	}
	for _, h := range hosts {
		if !PublicHostname(h) {
			return privateHost
		}
	}
	return ""
}

// choices are the values of a field that can be enumerated, else one value that
// stands for all.
func (f ConfigField) choices() []string {
	if len(f.Options) == 0 {
		return []string{"a"}
	}
	values := make([]string, len(f.Options))
	for i, o := range f.Options {
		values[i] = o.Value
	}
	return values
}

func product(heads, tails []string) []string {
	var all []string
	for _, h := range heads {
		for _, t := range tails {
			all = append(all, h+t)
		}
	}
	return all
}

// hostShapes reports whether all that has one of the shapes can stand inside a
// label of a host's name.
func hostShapes(shapes []Shape) bool {
	strange := func(text string) bool { return !only(text, "lower_alphanumeric", "-") }
	for _, s := range shapes {
		for _, p := range s.Parts {
			plain := p.Alphabet == "" || slices.Contains([]string{"digits", "lower_hex", "lower_letters", "lower_alphanumeric"}, p.Alphabet)
			if !plain || strange(p.Text) || strange(p.Extra) || slices.ContainsFunc(p.OneOf, strange) {
				return false
			}
		}
	}
	return true
}

func (c Check) validateHeaders(r *report, fields []ConfigField) {
	r.unless(len(c.Headers) <= maxHeaders, "headers", fmt.Sprintf("There are at most %d headers.", maxHeaders))
	own := ""
	switch c.Placement.In {
	case InHeader:
		own = strings.ToLower(c.Placement.Name)
	case InBasic:
		own = strings.ToLower(authorization)
	}
	seen := map[string]bool{own: own != ""}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		lower := strings.ToLower(name)
		r.unless(headerName(name), "headers", "A name is not that of a header that a check may send.")
		r.unless(!seen[lower], "headers", "A header stands there twice, or is the one that carries the key.")
		seen[lower] = true
		r.template("headers", c.Headers[name], maxTemplate, fields, 0, printable)
		r.unless(c.Headers[name] != "" && strings.TrimSpace(c.Headers[name]) == c.Headers[name], "headers", "A header's value is not empty and neither begins nor ends with a space.")
	}
}

func (c Check) validateVerdicts(r *report) {
	given := map[Verdict]bool{}
	seen := map[int]bool{}
	for _, list := range []struct {
		member   Verdict
		statuses []int
	}{{Valid, c.Valid}, {Limited, c.Limited}, {Invalid, c.Invalid}} {
		field := string(list.member)
		r.unless(len(list.statuses) <= maxStatuses, field, fmt.Sprintf("There are at most %d statuses.", maxStatuses))
		for i, status := range list.statuses {
			at := fmt.Sprintf("%s[%d]", field, i)
			r.unless(telling(status), at, tellingReason)
			r.unless(!seen[status], at, "This status has a verdict already.")
			r.unless(list.member != Invalid || status >= 400, at, "A success alone does not prove a key bad: tell the two apart with a rule in when.")
			seen[status], given[list.member] = true, true
		}
	}
	r.unless(len(c.When) <= maxRules, "when", fmt.Sprintf("There are at most %d rules.", maxRules))
	for i, rule := range c.When[:min(len(c.When), maxRules)] {
		given[rule.Verdict] = true
		r.within(fmt.Sprintf("when[%d]", i), rule.validate())
	}
	r.unless(given[Valid] || given[Limited], "valid", "No answer proves a key good. Name a status here, or a rule in when.")
	r.unless(given[Invalid], "invalid", "No answer proves a key bad. Name a status here, or a rule in when.")
}

// telling reports whether a status can say something about a key: redirects,
// proxies, time-outs, misdirected requests, rate limits, legal blocks and a
// server's own failures cannot.
func telling(status int) bool {
	return status >= 200 && status <= 299 || status >= 400 && status <= 499 && !slices.Contains([]int{407, 408, 421, 425, 429, 451}, status)
}

const tellingReason = "This is a status of 200 to 299 or 400 to 499, and not 407, 408, 421, 425, 429 or 451: the others say nothing about a key."

func (rule Rule) validate() []Problem {
	var r report
	r.unless(telling(rule.Status), "status", tellingReason)
	r.unless(rule.Verdict.known(), "verdict", `This is "valid", "limited" or "invalid".`)
	r.unless(len(rule.All) > 0 && len(rule.All) <= maxConditions, "all", fmt.Sprintf("There are 1 to %d conditions.", maxConditions))
	for i, c := range rule.All[:min(len(rule.All), maxConditions)] {
		r.within(fmt.Sprintf("all[%d]", i), c.validate())
	}
	return r
}

func (c Condition) validate() []Problem {
	var r report
	r.unless(jsonPath(c.Path), "path", "A path is names joined by dots, such as error.code; name[] stands for each element of a list.")
	kinds := 0
	for _, stated := range []bool{c.Equals != nil, len(c.OneOf) > 0, c.StartsWith != "", c.Exists} {
		if stated {
			kinds++
		}
	}
	r.unless(kinds == 1, "", "A condition has exactly one of equals, one_of, starts_with and exists.")
	switch v := c.Equals.(type) {
	case nil, bool:
	case float64:
		r.unless(math.Abs(v) < maxNumber, "equals", "A number is below 2^53: greater ones are not kept exactly.")
	case string:
		r.unless(len(v) <= maxText, "equals", fmt.Sprintf("A text has at most %d bytes.", maxText))
	default:
		r.unless(false, "equals", "This is a text, a number, true or false.")
	}
	r.unless(len(c.OneOf) <= maxOptions, "one_of", fmt.Sprintf("There are at most %d texts.", maxOptions))
	for _, text := range append(c.OneOf, c.StartsWith) {
		r.unless(len(text) <= maxText, "", fmt.Sprintf("A text has at most %d bytes.", maxText))
	}
	return r
}

func jsonPath(path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		name = strings.TrimSuffix(name, "[]")
		if name == "" || !only(name, "alphanumeric", "_-") {
			return false
		}
	}
	return len(path) <= maxPath
}

// visible is visibleText that may be empty.
func visible(text string) bool { return text == "" || visibleText(text) }

// addressText reports whether literal text may stand in an address.
func addressText(text string) bool { return visible(text) && !strings.ContainsAny(text, "\"<>\\^`|") }

// pathText is addressText that ends no path.
func pathText(text string) bool { return addressText(text) && !strings.ContainsAny(text, "?#") }

func parameterName(name string) bool {
	return name != "" && len(name) <= maxName && only(name, "alphanumeric", "-_.~[]")
}

func hasParameter(query, name string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		given, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(given); err == nil && plain == name {
			return true
		}
	}
	return false
}
