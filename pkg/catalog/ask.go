package catalog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"keyvend/pkg/secret"
)

// Why a check cannot be made for a key. Neither says anything about the key.
var (
	ErrNoValue = errors.New("catalog: a setting that the check needs has no value")
	ErrUnfit   = errors.New("catalog: a value does not fit into the check")
)

// Ask is a check made out for one key. URL and Header may hold the key.
type Ask struct {
	Method string
	Host   string
	URL    secret.Text
	Header map[string]secret.Text
	Body   string
	// Assumed: the default of a field stands for what neither the account's
	// config nor the key says. A provider may then refuse a good key, such as one
	// of another region, so that no answer proves the key bad.
	Assumed bool
}

// Ask makes the check out for a key. config is its account's; what it leaves
// open is derived from the key or the field's default. The errors are
// ErrNoValue and ErrUnfit: a value that could reach anything but the one place
// that the check has for it makes no request at all.
func (c Check) Ask(fields []ConfigField, config map[string]string, key secret.Text) (Ask, error) {
	v := &values{fields: fields, config: config, key: key.Reveal()}
	if len(v.key) == 0 || !printable(string(v.key)) {
		return Ask{}, fmt.Errorf("%w: the key", ErrUnfit)
	}
	host, err := c.fillHost(v)
	if err != nil {
		return Ask{}, err
	}
	address, err := c.fillAddress(host, v)
	if err != nil {
		return Ask{}, err
	}
	header, err := c.fillHeader(v)
	if err != nil {
		return Ask{}, err
	}
	return Ask{Method: c.Method, Host: host, URL: secret.FromString(address), Header: header, Body: c.Body, Assumed: v.assumed}, nil
}

// Host is the host that the check asks for an account with config; an empty key
// is one that is not known yet. ErrNoValue and ErrUnfit as for Ask.
func (c Check) Host(fields []ConfigField, config map[string]string, key secret.Text) (string, error) {
	return c.fillHost(&values{fields: fields, config: config, key: key.Reveal()})
}

func (c Check) fillHost(v *values) (string, error) {
	text, _ := c.address()
	t, ok := parseTemplate(text)
	if !ok || slices.Contains(t.names(), keyName) {
		return "", fmt.Errorf("%w: the host", ErrUnfit)
	}
	host, err := t.with(v.put)
	if err != nil {
		return "", err
	}
	if !PublicHostname(host) {
		return "", fmt.Errorf("%w: the host", ErrUnfit)
	}
	return host, nil
}

// values are what stands for the names in a check's templates.
type values struct {
	fields  []ConfigField
	config  map[string]string
	key     []byte
	assumed bool // a default was put somewhere
}

// put is a piece with its name replaced by the value.
func (v *values) put(p piece) (string, error) {
	if !p.isName {
		return p.text, nil
	}
	if p.text == keyName {
		return string(v.key), nil
	}
	f, ok := find(v.fields, p.text)
	if !ok {
		return "", ErrNoValue
	}
	value := v.config[p.text]
	if value == "" {
		value, _ = f.Derive(v.key)
	}
	if value == "" {
		value, v.assumed = f.Default, true
	}
	if value == "" {
		return "", ErrNoValue
	}
	// The definition may have become stricter since the value was stored.
	if _, ok := f.Check(value); !ok {
		return "", fmt.Errorf("%w: a setting", ErrUnfit)
	}
	return value, nil
}

// escaped is put with the value escaped, so that it stays in its place.
func (v *values) escaped(escape func(string) string) func(piece) (string, error) {
	return func(p piece) (string, error) {
		text, err := v.put(p)
		if p.isName {
			text = escape(text)
		}
		return text, err
	}
}

// fill is the text with its names replaced; put makes of a piece what goes in.
func fill(text string, put func(piece) (string, error)) (string, error) {
	t, ok := parseTemplate(text)
	if !ok {
		return "", fmt.Errorf("%w: a template", ErrUnfit)
	}
	return t.with(put)
}

func (c Check) fillAddress(host string, v *values) (string, error) {
	_, rest := c.address()
	path, query, _ := strings.Cut(rest, "?")
	if c.Placement.In == InPath {
		path = c.Placement.Template + path
	}
	path, err := fill(path, v.escaped(url.PathEscape))
	if err != nil {
		return "", err
	}
	query, err = fill(query, v.escaped(url.QueryEscape))
	if err != nil {
		return "", err
	}
	if c.Placement.In == InQuery {
		value, err := fill(c.Placement.Template, v.put)
		if err != nil {
			return "", err
		}
		query += "&" + c.Placement.Name + "=" + url.QueryEscape(value)
	}
	address := "https://" + host + path
	if query != "" {
		address += "?" + strings.TrimPrefix(query, "&")
	}
	if u, err := url.Parse(address); err != nil || u.Host != host || u.User != nil || u.Fragment != "" || dotted(path) {
		return "", fmt.Errorf("%w: the address", ErrUnfit) // err would repeat the key
	}
	return address, nil
}

func (c Check) fillHeader(v *values) (map[string]secret.Text, error) {
	templates := maps.Clone(c.Headers)
	if templates == nil {
		templates = map[string]string{}
	}
	if c.Placement.In == InHeader {
		templates[c.Placement.Name] = c.Placement.Template
	}
	header := make(map[string]secret.Text, len(templates)+1)
	for name, text := range templates {
		value, err := fill(text, v.put)
		if err != nil {
			return nil, err
		}
		if !headerName(name) || !headerValue(value) {
			return nil, fmt.Errorf("%w: a header", ErrUnfit)
		}
		header[name] = secret.FromString(value)
	}
	if c.Placement.In == InBasic {
		basic, err := c.basic(v)
		if err != nil {
			return nil, err
		}
		header[authorization] = basic
	}
	return header, nil
}

const authorization = "Authorization"

func (c Check) basic(v *values) (secret.Text, error) {
	user, password, _ := strings.Cut(c.Placement.Template, ":")
	user, err := fill(user, v.put)
	if err != nil {
		return secret.Text{}, err
	}
	password, err = fill(password, v.put)
	if err != nil {
		return secret.Text{}, err
	}
	if strings.Contains(user, ":") || !printable(user+password) {
		return secret.Text{}, fmt.Errorf("%w: the user name", ErrUnfit)
	}
	return secret.FromString("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))), nil
}

// dotted reports whether a path has a segment that stands for another place.
func dotted(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." {
			return true
		}
	}
	return false
}

// printable reports whether text has nothing but visible ASCII and spaces.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// visibleText is printable without spaces, and not empty.
func visibleText(text string) bool {
	return text != "" && printable(text) && !strings.Contains(text, " ")
}

func headerValue(value string) bool {
	return value != "" && printable(value) && strings.TrimSpace(value) == value
}

// headerName reports whether a check may send a header of that name: a token,
// and none of those that say how a request is framed or where it goes.
func headerName(name string) bool {
	lower := strings.ToLower(name)
	token := func(r rune) bool {
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
	return name != "" && len(name) <= maxName && strings.IndexFunc(lower, func(r rune) bool { return !token(r) }) < 0 &&
		!strings.HasPrefix(lower, "proxy-") && !slices.Contains(framing(), lower)
}

// framing are the headers that belong to whoever sends the request, and those with
// which an answer would be a part of one.
func framing() []string {
	return []string{
		"accept-encoding", "connection", "content-length", "expect", "host", "if-range", "keep-alive", "range",
		"te", "trailer", "transfer-encoding", "upgrade",
	}
}
