package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/vault"
)

const (
	maxBody           = 64 << 10 // bytes
	maxIdempotencyKey = 255      // bytes
)

// request is an HTTP request with its path taken apart.
type request struct {
	*http.Request
	values map[string]string
	raw    []byte // the body, once body was called
}

// bearer is the credential of the request. Everything but exactly one header of
// the form "Bearer <text>" is none: two headers, which a gateway joins with a
// comma, another spelling of the scheme, more spaces. One that also stands in the
// query has been logged on its way here, and is refused.
func (r *request) bearer() (text string, ok bool) {
	sent := r.Header.Values("Authorization")
	if len(sent) != 1 || strings.Contains(r.URL.RawQuery, apikey.TokenPrefix) {
		return "", false
	}
	text, ok = strings.CutPrefix(sent[0], "Bearer ")
	return text, ok && text != "" && !strings.Contains(r.URL.RawQuery, text)
}

// caller is who sends the request, by what it brings: an API key or, where they
// are taken, a dashboard session.
func (r *request) caller(sessions bool) (vault.Caller, bool) {
	text, ok := r.bearer()
	if !ok {
		return nil, false
	}
	if token, ok := apikey.ParseToken(text); ok {
		return vault.ByAPIKey(token), true
	}
	if token, ok := session.Parse(seal.DashboardSession, text); ok && sessions {
		return vault.BySession(token), true
	}
	return nil, false
}

// badBody is a 400. Its single error is for the Node client, which takes only a
// 400 with errors for a bad request.
func badBody(message string) *fault.Error {
	e := fault.New(fault.BadRequest, "invalid_request_body", message)
	e.Details = []fault.Detail{{Code: e.Code, Message: message}}
	return e
}

var (
	errNoBody   = badBody("Send a JSON object as the body of this request.")
	errBadJSON  = badBody("The body is not one JSON object in valid UTF-8, each name in it once and nested at most 100 deep.")
	errTooLarge = fault.New(fault.TooLarge, "request_too_large", "The body has more than 64 KiB.")
)

// body reads the request's body into v: one JSON object of at most 64 KiB,
// names matched exactly, unknown ones ignored, null like not sent.
func (r *request) body(v any) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return errBadJSON.Because(err)
	case len(raw) > maxBody:
		return errTooLarge
	}
	r.raw = raw
	text := bytes.TrimLeft(raw, " \t\r\n")
	switch {
	case len(text) == 0:
		return errNoBody
	case text[0] != '{':
		return errBadJSON
	}
	if tooDeep(text) {
		return errBadJSON
	}
	if err := json.Unmarshal(text, v); err != nil {
		return badJSON(err)
	}
	return nil
}

// maxDepth is far deeper than any body of ours; reading one of 64 KiB of
// brackets takes milliseconds.
const maxDepth = 100

// tooDeep reports whether text nests deeper than maxDepth, without reading it
// as JSON: brackets inside strings do not count.
func tooDeep(text []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// badJSON names the field that has the wrong type, if that is what is wrong.
// Only the name of a top-level field is told: anything else in the body may be
// a secret that went to the wrong place.
func badJSON(err error) error {
	var wrong *json.SemanticError
	if !errors.As(err, &wrong) {
		return errBadJSON.Because(errors.New("syntax"))
	}
	field, inside, _ := strings.Cut(strings.TrimPrefix(string(wrong.JSONPointer), "/"), "/")
	if inside != "" { // whose name may be anything
		return badBody("Something in the field " + field + " has the wrong type.")
	}
	return wrongType(field, wrong.GoType)
}

// wrongType says what a field should have been that is read as t.
func wrongType(field string, t reflect.Type) error {
	sentence := "The field " + field + " has the wrong type"
	if right := typeWords[kindOf(t)]; right != "" {
		sentence += ": it is " + right
	}
	return badBody(sentence + ".")
}

// typeWords are the types that fields are read as, as JSON has them.
var typeWords = map[reflect.Kind]string{
	reflect.String: "a text",
	reflect.Bool:   "true or false",
	reflect.Int:    "a whole number",
	reflect.Slice:  "a list",
	reflect.Map:    "an object whose values are texts",
	reflect.Struct: "an object",
}

func kindOf(t reflect.Type) reflect.Kind {
	if t == nil {
		return reflect.Invalid
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind()
}

// slug is the path's {slug}, or "" when no integration can have it.
func (r *request) slug() string {
	if s := r.values["slug"]; ident.ValidSlug(s) {
		return s
	}
	return ""
}

// remember is what a repeat of this request is recognized by.
func (r *request) remember() (vault.Request, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > maxIdempotencyKey {
		return vault.Request{}, invalid("Idempotency-Key", "too_long", "Idempotency-Key has at most 255 bytes.")
	}
	return vault.Request{IdempotencyKey: key, Method: r.Method, Path: r.URL.Path, Body: r.raw}, nil
}

// owner checks who an account is asked for; a nil organization is none.
func owner(target *vault.Target, user string, organization *string) error {
	if err := ident.CheckUser(user); err != nil {
		return err
	}
	target.User = user
	if organization == nil {
		return nil
	}
	target.Organization = *organization
	return ident.CheckOrganization(*organization)
}

// userOwned refuses what asks for an organization's own account.
func userOwned(connectionOwner string) error {
	if connectionOwner == "" || connectionOwner == "user" {
		return nil
	}
	return invalid("connection_owner", "not_supported", organizationOwned)
}

const organizationOwned = "Organization-owned accounts come in a later release. Store the key for a user; organization_id scopes it to one organization."

// timestamp reads an ISO 8601 time. One that is empty is no time that is left out: a
// script's variable may have no value.
func timestamp(field string, text *string) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	t, ok := parseTime(*text)
	if !ok {
		return time.Time{}, invalid(field, "invalid_timestamp", field+" is not a time like 2026-01-31T12:00:00Z. Send one, or leave it out.")
	}
	return t.Truncate(time.Millisecond), nil
}

// parseTime reads a time as RFC 3339 has it and JSON can hold it.
func parseTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	// It also takes hours of one digit, a comma for the point, and zones of a day.
	const day = 24 * 60 * 60
	_, zone := t.Zone()
	strict := strings.HasPrefix(text, t.Format("2006-01-02T15:04:05")) && !strings.Contains(text, ",") && -day < zone && zone < day
	t = t.UTC()
	return t, err == nil && strict && t.Year() >= 1970 && t.Year() <= 9999
}

// query reads the parameters of the query. One that cannot be read, or stands
// there twice, is an error: to guess which was meant could be to act on another
// account.
func (r *request) query() (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "invalid_request_parameters", "The query of the URL cannot be read. Percent-encode its values.")
	}
	for name, values := range q {
		if len(values) > 1 && strings.TrimSuffix(name, "[]") != "events" {
			return nil, badParameter("query", "repeated", "A parameter stands in the query twice. Send each once.")
		}
	}
	return q, nil
}

// page reads a list's cursors; ids begin with prefix.
func (r *request) page(prefix string) (page, error) {
	q, err := r.query()
	if err != nil {
		return page{}, err
	}
	p := page{Limit: 10, Before: q.Get("before"), After: q.Get("after"), Order: q.Get("order")}
	if text := q.Get("limit"); q.Has("limit") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			return p, badParameter("limit", "out_of_range", "limit is a number from 1 to 100.")
		}
		p.Limit = n
	}
	switch p.Order {
	case "":
		p.Order = orderDesc
	case orderAsc, orderDesc, orderNormal:
	default:
		return p, badParameter("order", "unknown_value", "order is asc, desc or normal.")
	}
	if p.Before != "" && p.After != "" {
		return p, badParameter("before", "exclusive", "before and after exclude each other.")
	}
	for field, cursor := range map[string]string{"before": p.Before, "after": p.After} {
		if _, ok := ident.Parse(prefix, cursor); cursor != "" && !ok {
			return p, badParameter(field, "invalid_cursor", field+" is the id of an object of this list, like "+prefix+"01….")
		}
	}
	return p, nil
}

// invalid is a 422 about one field of the body.
func invalid(field, code, message string) error {
	return wrong("unprocessable_entity", field, code, message)
}

// badParameter is a 422 about one parameter of the query.
func badParameter(field, code, message string) error {
	return wrong("invalid_request_parameters", field, code, message)
}

func wrong(kind, field, code, message string) error {
	e := fault.New(fault.Invalid, kind, message)
	e.Details = []fault.Detail{{Code: code, Field: field, Message: message}}
	return e
}
