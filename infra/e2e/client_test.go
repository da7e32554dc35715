package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client speaks to a target with one API key. Whatever is answered is looked
// through for secrets and held against the contract before a test sees it.
type client struct {
	t      testing.TB
	target *target
	key    string
}

// browser is used for all requests: it follows no redirect, since none is ever
// right here.
var browser = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request is one HTTP request.
type request struct {
	method, path string
	header       http.Header
	body         any // nil: none; string and []byte as they are; else JSON
}

// answer is what came back.
type answer struct {
	t      testing.TB
	asked  request
	status int
	header http.Header
	body   []byte
}

// do sends a request and returns its answer, whatever that is.
func (c client) do(method, path string, body any, headers ...string) answer {
	c.t.Helper()
	r := request{method: method, path: path, body: body, header: http.Header{}}
	if c.key != "" {
		r.header.Set("Authorization", "Bearer "+c.key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.header.Add(headers[i], headers[i+1])
	}
	return c.send(r)
}

// send is patient: on a machine that is too busy for the emulators, keyvend says
// that it is busy, and when to come again.
func (c client) send(r request) answer {
	c.t.Helper()
	for end := time.Now().Add(patience); ; {
		a, err := c.try(r)
		if err != nil {
			c.t.Fatalf("%s %s: %v", r.method, r.path, err)
		}
		a.inspect()
		seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
		if a.status != http.StatusServiceUnavailable || a.text("code") != "service_unavailable" || seconds == 0 || time.Now().After(end) {
			return a
		}
		c.t.Logf("%v: asked again after %d s", a, seconds)
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}

// try is send for a target that may be gone.
func (c client) try(r request) (answer, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), r.method, c.target.url+r.path, reader(r.body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	response, err := browser.Do(req)
	if err != nil {
		return answer{}, err
	}
	return read(c.t, r, response)
}

// raw sends a request line and headers exactly as they are written, for those
// that no HTTP client would send.
func (c client) raw(r request, target string) answer {
	c.t.Helper()
	host := strings.TrimPrefix(c.target.url, "http://")
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(c.t.Context(), "tcp", host)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	body, _ := io.ReadAll(reader(r.body))
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n", r.method, target, host, len(body))
	_ = r.header.Write(&text)
	text.WriteString("\r\n")
	text.Write(body)
	if _, err := conn.Write(text.Bytes()); err != nil {
		c.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.method, target, err)
	}
	a, err := read(c.t, r, response)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.method, target, err)
	}
	return a
}

func reader(body any) io.Reader {
	switch b := body.(type) {
	case nil:
		return http.NoBody
	case string:
		return strings.NewReader(b)
	case []byte:
		return bytes.NewReader(b)
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a test's own literal
	}
	return bytes.NewReader(text)
}

func read(t testing.TB, asked request, response *http.Response) (answer, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{t: t, asked: asked, status: response.StatusCode, header: response.Header, body: body}, err
}

// inspect checks what holds for every answer of keyvend.
func (a answer) inspect() {
	a.t.Helper()
	a.keepsSecrets()
	if id := a.header.Get("X-Request-ID"); !strings.HasPrefix(id, "req_") {
		a.t.Errorf("%v: X-Request-ID is %q", a, id)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("%v: Cache-Control is %q", a, got)
	}
	if a.asked.method != http.MethodHead {
		asDescribed(a)
	}
	if a.status == http.StatusNoContent || a.asked.method == http.MethodHead {
		if len(a.body) > 0 {
			a.t.Errorf("%v: has a body: %s", a, a.body)
		}
		return
	}
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		a.t.Errorf("%v: Content-Type is %q", a, kind)
	}
	conforms(a)
}

// keepsSecrets fails when a secret is anywhere but in the value of a vend.
func (a answer) keepsSecrets() {
	a.t.Helper()
	body := a.body
	if a.status == http.StatusOK && a.asked.method == http.MethodPost && (strings.HasSuffix(a.asked.path, "/credentials") || a.asked.path == "/keyvend/vend") {
		rest := a.object()
		if credential, ok := rest["credential"].(map[string]any); ok {
			delete(credential, "value")
		}
		body, _ = json.Marshal(rest) // it was JSON a moment ago
	}
	var head bytes.Buffer
	_ = a.header.Write(&head)
	if found := leak(append(head.Bytes(), body...)); found != "" {
		a.t.Errorf("%v: a secret is in the answer: …%q…", a, found)
	}
}

// String names an answer in messages.
func (a answer) String() string {
	return fmt.Sprintf("%s %s → %d", a.asked.method, a.asked.path, a.status)
}

// is asserts the status, and for errors the code.
func (a answer) is(status int, code ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%v, want %d: %s", a, status, a.body)
	}
	if len(code) > 0 && a.text("code") != code[0] {
		a.t.Fatalf("%v: code %q, want %q: %s", a, a.text("code"), code[0], a.body)
	}
	return a
}

// object is the answer's JSON object.
func (a answer) object() map[string]any {
	a.t.Helper()
	var object map[string]any
	if err := json.Unmarshal(a.body, &object); err != nil {
		a.t.Fatalf("%v: no JSON object: %v: %q", a, err, a.body)
	}
	return object
}

// field is a value inside the answer by the names that lead to it, or nil.
func (a answer) field(path string) any {
	var value any
	if json.Unmarshal(a.body, &value) != nil {
		return nil
	}
	for _, name := range strings.Split(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

// text is field for a text; "" when it is none.
func (a answer) text(path string) string {
	text, _ := a.field(path).(string)
	return text
}

// rows are the objects of a list.
func (a answer) rows() []map[string]any {
	a.t.Helper()
	list, ok := a.object()["data"].([]any)
	if !ok {
		a.t.Fatalf("%v: no list: %s", a, a.body)
	}
	rows := make([]map[string]any, len(list))
	for i, row := range list {
		rows[i], _ = row.(map[string]any)
	}
	return rows
}

// row is the list's object of that slug, or nil.
func (a answer) row(slug string) map[string]any {
	a.t.Helper()
	for _, row := range a.rows() {
		if row["slug"] == slug {
			return row
		}
	}
	return nil
}

// m is a JSON object.
type m map[string]any

// The calls that most tests make, each asserting that it succeeds.

func (c client) register(slug string) answer {
	c.t.Helper()
	return c.do("POST", "/data-integrations", m{"provider": slug, "auth_methods": []string{"api_key"}, "enabled": true}).is(201)
}

func (c client) upsert(slug string, body m) answer {
	c.t.Helper()
	return c.do("PUT", "/data-integrations/"+slug+"/api-key", body).is(200)
}

func (c client) vend(slug string, body m) answer {
	c.t.Helper()
	return c.do("POST", "/data-integrations/"+slug+"/credentials", body).is(200)
}

// vends asserts which secret a vend hands out; "" is that there is none
// installed.
func (c client) vends(slug string, body m, secret string) {
	c.t.Helper()
	a := c.vend(slug, body)
	switch {
	case secret == "" && a.text("error") != "not_installed":
		c.t.Errorf("%v %v: want not_installed, got %s", a, body, a.body)
	case secret != "" && a.text("credential.value") != secret:
		c.t.Errorf("%v %v: not the secret that was stored (%d bytes, want %d)", a, body, len(a.text("credential.value")), len(secret))
	}
}

// connected is the path of a user's account.
func connected(user, slug, organization string) string {
	path := "/user_management/users/" + url.PathEscape(user) + "/connected_accounts/" + slug
	if organization != "" {
		path += "?organization_id=" + url.QueryEscape(organization)
	}
	return path
}

func dataProviders(user, organization string) string {
	path := "/user_management/users/" + url.PathEscape(user) + "/data_providers"
	if organization != "" {
		path += "?organization_id=" + url.QueryEscape(organization)
	}
	return path
}

func last4(secret string) string { return secret[len(secret)-4:] }
