package widget_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/api/apitest"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
)

// canary is what every key in these tests begins with.
const canary = boottest.Canary

// object is JSON as the widget reads it.
type object = map[string]any

// anna is the user of these tests, where no other one is named.
const anna = "user_anna"

// tenantID is whose widget it is.
const tenantID = "tenant_01KJMMA2G0E8CREG05T91RTXB4"

// keyvend answers as the function "widget" does, from what a test says that there
// is. What it answers by itself is held against the description of the API. Another
// server beside it holds the pages of a product.
type keyvend struct {
	t         testing.TB
	url, host string // the origins of keyvend and of the product

	mu       sync.Mutex
	pages    map[string]string // of the product, by path
	offers   []object
	accounts map[owner]object
	reads    []object
	tokens   map[string]string // whose the good ones are
	minted   int
	strange  bool                     // texts that no keyvend has are tried
	stored   []object                 // the bodies of all keys that were stored
	users    []string                 // whose these are
	refuse   map[string]answer        // by method and path: instead of the usual
	frames   string                   // who may frame /embed/{tenant}
	held     map[string]chan struct{} // by method and path: what answers wait for
	waits    map[string]int           // by method and path: how many do
}

// owner is whose account of which provider it is.
type owner struct{ user, slug string }

type answer struct {
	status int
	body   string
}

func newKeyvend(t testing.TB) *keyvend {
	t.Helper()
	k := &keyvend{
		t: t, pages: map[string]string{}, accounts: map[owner]object{}, tokens: map[string]string{},
		refuse: map[string]answer{}, held: map[string]chan struct{}{}, waits: map[string]int{},
	}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	product := httptest.NewServer(http.HandlerFunc(k.product))
	t.Cleanup(product.Close)
	k.url, k.host, k.frames = server.URL, product.URL, product.URL
	return k
}

// token is a new one of anna's that is good.
func (k *keyvend) token(life time.Duration) string { return k.tokenOf(anna, tenantID, life) }

// tokenOf is a new one of somebody's.
func (k *keyvend) tokenOf(user, tenant string, life time.Duration) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	claims := fmt.Sprintf(`{"tenant":%q,"sub":%q,"exp":%d,"jti":"%d"}`, tenant, user, time.Now().Add(life).Unix(), k.minted)
	k.minted++
	token := "eyJhbGciOiJFZERTQSJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmVk"
	k.tokens[token] = user
	return token
}

// revoke ends all tokens.
func (k *keyvend) revoke() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.tokens)
}

// revokeOne ends a token.
func (k *keyvend) revokeOne(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tokens, token)
}

// answer has requests answered otherwise than usual, such as "GET /x".
func (k *keyvend) answer(request string, status int, body string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if status == 0 {
		delete(k.refuse, request)
		return
	}
	k.refuse[request] = answer{status, body}
}

// hold keeps answers to a request back, each as it is when it is asked for, until
// the test releases them.
func (k *keyvend) hold(request string) (release func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	held := make(chan struct{})
	k.held[request] = held
	release = sync.OnceFunc(func() { close(held) })
	k.t.Cleanup(release)
	return release
}

// waiting is how many answers to a request are held.
func (k *keyvend) waiting(request string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.waits[request]
}

func (k *keyvend) count(r *http.Request, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waits[r.Method+" "+r.URL.Path] += n
}

// pass ends holding: what is held stays so until it is released.
func (k *keyvend) pass(request string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, request)
}

// offer adds a provider of the catalog; change may change it.
func (k *keyvend) offer(slug string, account object, change ...object) {
	p, ok := catalog.Lookup(slug)
	if !ok {
		p = catalog.Provider{Slug: slug, Name: slug, ConfigFields: []catalog.ConfigField{}}
	}
	o := object{
		"object": "widget_provider", "slug": p.Slug, "name": p.Name, "description": nil, "key_hint": p.KeyHint, "help": p.Help,
		"help_url": p.KeyPage, "config_fields": p.ConfigFields,
	}
	for _, c := range change {
		for name, value := range c {
			o[name] = value
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.offers = append(k.offers, o)
	if account != nil {
		k.accounts[owner{anna, o["slug"].(string)}] = account
	}
}

// accountID is the id of the account of that name.
func accountID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "data_installation_0" + base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").EncodeToString(sum[:])[:25]
}

// account is a connected one; change may change it.
func account(name, last4 string, change ...object) object {
	a := object{
		"id": accountID(name), "state": "connected", "api_key_last_4": last4, "config": object{}, "expires_at": nil, "last_used_at": nil,
		"health": nil, "created_at": "2026-02-03T23:30:00.000Z", "updated_at": "2026-02-03T23:30:00.000Z",
	}
	for _, c := range change {
		for name, value := range c {
			a[name] = value
		}
	}
	return a
}

// health is what is known of a key.
func health(verdict, reason, sentence string) object {
	return object{
		"verdict": verdict, "reason": reason, "sentence": sentence, "checked_at": "2026-03-01T12:00:00.000Z",
		"last_good_at": nil, "first_bad_at": nil, "consecutive_unknowns": 0, "next_check_at": nil,
	}
}

// keys are the bodies of all that was stored.
func (k *keyvend) keys() []object {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]object{}, k.stored...)
}

func (k *keyvend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/_widgets/") {
		k.file(w, r)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, PUT, DELETE")
		h.Set("Access-Control-Allow-Headers", "authorization, content-type, workos-widgets-type, workos-widgets-version")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, _ := io.ReadAll(r.Body)
	a, scripted := k.scripted(r)
	if !scripted {
		a = k.widget(r, body)
	}
	k.mu.Lock()
	held := k.held[r.Method+" "+r.URL.Path]
	k.mu.Unlock()
	if held != nil {
		k.count(r, 1)
		<-held
		k.count(r, -1)
	}
	h.Set("Content-Type", "application/json")
	if !scripted {
		k.check(r, body, a, h)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// check holds an answer against the description of the API.
func (k *keyvend) check(r *http.Request, body []byte, a answer, h http.Header) {
	served, err := apitest.Served()
	if err != nil {
		k.t.Error(err)
		return
	}
	k.mu.Lock()
	strange := k.strange
	k.mu.Unlock()
	x := apitest.Exchange{Method: r.Method, Target: r.URL.RequestURI(), Body: body, Status: a.status, Header: h, Answer: []byte(a.body)}
	if err := served.Check(x); err != nil && !strange {
		k.t.Error(err)
	}
}

// scripted is what a test says that a request with a good token is answered.
func (k *keyvend) scripted(r *http.Request) (answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, scripted := k.refuse[r.Method+" "+r.URL.Path]
	return a, scripted && k.userOf(r) != ""
}

// userOf is who asks, "" when the token is not good.
func (k *keyvend) userOf(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return k.tokens[token]
}

// widget answers the requests of the widget.
func (k *keyvend) widget(r *http.Request, body []byte) answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	user := k.userOf(r)
	if user == "" {
		return answer{http.StatusForbidden, `{"message":"This widget token is not valid.","code":"invalid_widget_token"}`}
	}
	if origin := r.Header.Get("Origin"); origin != k.host && origin != k.url && (origin != "" || r.Header.Get("Sec-Fetch-Site") != "same-origin") {
		return answer{http.StatusForbidden, `{"message":"Pages of this origin may not use this token.","code":"origin_not_allowed"}`}
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch last := parts[len(parts)-1]; {
	case last == "providers":
		return listAnswer(k.offered(user))
	case last == "reads":
		return listAnswer(append([]object{}, k.reads...))
	case last == "api-key":
		return k.put(owner{user, parts[2]}, body)
	case parts[2] == "installations":
		return k.remove(user, last)
	}
	return answer{http.StatusNotFound, `{"message":"There is nothing here.","code":"not_found"}`}
}

// listAnswer is the whole of a list.
func listAnswer(data []object) answer {
	return jsonAnswer(object{"object": "list", "data": data, "list_metadata": object{"before": nil, "after": nil}})
}

func jsonAnswer(v any) answer {
	text, err := json.Marshal(v)
	if err != nil {
		return answer{http.StatusInternalServerError, `{"message":"` + err.Error() + `"}`}
	}
	return answer{http.StatusOK, string(text)}
}

// offered are the offers with a user's accounts.
func (k *keyvend) offered(user string) []object {
	mine := []object{}
	for _, o := range k.offers {
		offer := object{"account": nil}
		maps.Copy(offer, o)
		if a := k.accounts[owner{user, o["slug"].(string)}]; a != nil {
			offer["account"] = a
		}
		mine = append(mine, offer)
	}
	return mine
}

func (k *keyvend) put(of owner, body []byte) answer {
	sent := object{}
	if err := json.Unmarshal(body, &sent); err != nil {
		return answer{http.StatusBadRequest, `{"message":"no JSON"}`}
	}
	key, _ := sent["secret"].(string)
	k.stored, k.users = append(k.stored, sent), append(k.users, of.user)
	if !slices.ContainsFunc(k.offers, func(o object) bool { return o["slug"] == of.slug }) {
		return answer{http.StatusNotFound, `{"message":"This provider is not offered any more. Reload the page.","code":"not_found"}`}
	}
	if k.accounts[of] == nil {
		k.accounts[of] = account(of.slug, "")
	}
	stored := k.accounts[of]
	stored["api_key_last_4"], stored["state"] = key[max(0, len(key)-4):], "connected"
	if config, sent := sent["config"]; sent {
		stored["config"] = config
	}
	return jsonAnswer(object{
		"object": "connected_account", "id": stored["id"], "user_id": of.user, "organization_id": nil, "scopes": []string{},
		"auth_method": "api_key", "api_key_last_4": stored["api_key_last_4"], "state": stored["state"], "config": stored["config"],
		"created_at": stored["created_at"], "updated_at": stored["updated_at"],
	})
}

func (k *keyvend) remove(user, id string) answer {
	for of, a := range k.accounts {
		if of.user == user && a["id"] == id {
			delete(k.accounts, of)
			return jsonAnswer(object{"success": true})
		}
	}
	return answer{http.StatusNotFound, `{"message":"This connection is gone already. Reload the page.","code":"not_found"}`}
}

// file serves what package web does, in its way.
func (k *keyvend) file(w http.ResponseWriter, r *http.Request) {
	const assets = "/assets/test"
	name, h := "", w.Header()
	switch {
	case r.URL.Path == "/widget.js":
		name = "widget.js"
	case strings.HasPrefix(r.URL.Path, "/embed/"):
		name = "embed/index.html"
		k.mu.Lock()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "+k.frames)
		k.mu.Unlock()
		h.Set("Referrer-Policy", "no-referrer")
	case strings.HasPrefix(r.URL.Path, assets+"/"):
		name = strings.TrimPrefix(r.URL.Path, assets+"/")
	}
	text, err := os.ReadFile(filepath.Join(files, filepath.FromSlash(path.Clean("/"+name))))
	if name == "" || err != nil {
		http.NotFound(w, r)
		return
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Type", map[string]string{".js": "text/javascript", ".html": "text/html; charset=utf-8"}[path.Ext(name)])
	_, _ = io.WriteString(w, strings.ReplaceAll(string(text), "{{assets}}", assets))
}

// product serves the pages of the product, which allow themselves little.
func (k *keyvend) product(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	page, known := k.pages[r.URL.Path]
	k.mu.Unlock()
	if !known {
		w.WriteHeader(http.StatusNoContent) // the page's icon
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if kind := map[string]string{".js": "text/javascript", ".svg": "image/svg+xml"}[path.Ext(r.URL.Path)]; kind != "" {
		h.Set("Content-Type", kind)
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self' "+k.url+"; connect-src 'self' "+k.url+"; img-src 'self'; frame-src "+k.url+
		"; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'")
	_, _ = io.WriteString(w, page)
}

// page puts a page of the product at a path: body, with script before the widget's.
func (k *keyvend) page(at, body, script string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pages[at+".js"] = script
	k.pages[at] = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The product</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<script type="module" src="` + at + `.js"></script><script type="module" src="` + k.url + `/widget.js"></script></head>
<body><main><h1>Settings</h1>` + body + `</main></body></html>`
	return k.host + at
}

// element is the usual page: the widget with a token that is good for an hour.
func (k *keyvend) element(attributes string) string {
	return k.page("/settings", `<keyvend-pipes `+attributes+` token="`+k.token(time.Hour)+`"></keyvend-pipes>`, "")
}
