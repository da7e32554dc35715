package fakeprovider

import (
	"encoding/json"
	"net"
	"net/http"
	"time"
)

// ControlPath is what all paths of Control begin with.
const ControlPath = "/_fake/"

// Control is the kit over HTTP, for people and for tests that are not written
// in Go. It answers to this machine alone, and to no page of another origin.
func (k *Kit) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_fake/keys", listKinds)
	mux.HandleFunc("POST /_fake/keys/revoke", k.changeKey(func() keyChange { return &revocation{} }))
	mux.HandleFunc("POST /_fake/keys/restore", k.changeKey(func() keyChange { return &restoration{} }))
	mux.HandleFunc("GET /_fake/providers", k.listFakes)
	mux.HandleFunc("GET /_fake/providers/{name}", withFake(func(f Fake) any { return k.onWire(f) }))
	mux.HandleFunc("GET /_fake/providers/{name}/registration", withFake(func(f Fake) any { return json.RawMessage(f.Registration()) }))
	mux.HandleFunc("GET /_fake/providers/{name}/definition", withFake(func(f Fake) any { return json.RawMessage(f.Definition()) }))
	mux.HandleFunc("POST /_fake/providers/{name}/down", withFake(func(f Fake) any { k.Down(f); return k.onWire(f) }))
	mux.HandleFunc("POST /_fake/providers/{name}/up", withFake(func(f Fake) any { k.Up(f); return k.onWire(f) }))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "not_found", "There is nothing at this path of the fake providers, or not by this method.")
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "origin_not_allowed", "No page of another origin controls the fake providers.")
	}))
	return onlyLoopback(guard.Handler(mux))
}

// onlyLoopback refuses other machines.
func onlyLoopback(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			refuse(w, http.StatusForbidden, "forbidden", "The fake providers are controlled from their own machine alone.")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// keyChange is the body of a request that changes what becomes of a key.
type keyChange interface {
	// check is the sentence that says what is wrong, "" when nothing is.
	check() string
	apply(k *Kit)
}

type restoration struct {
	Key string `json:"key"`
}

func (c *restoration) check() string {
	if _, known := characterOf(c.Key); !known {
		return "key is not a key of the fake providers: GET /_fake/keys says how these begin, and something has to follow."
	}
	return ""
}

func (c *restoration) apply(k *Kit) { k.Restore(c.Key) }

type revocation struct {
	restoration
	AfterAsks    int `json:"after_asks"`
	AfterSeconds int `json:"after_seconds"`
}

func (c *revocation) check() string {
	switch {
	case c.AfterAsks < 0 || c.AfterSeconds < 0 || max(c.AfterAsks, c.AfterSeconds) > 1e9:
		return "after_asks and after_seconds are numbers from 0 on."
	case c.AfterAsks > 0 && c.AfterSeconds > 0:
		return "after_asks and after_seconds exclude each other."
	}
	return c.restoration.check()
}

func (c *revocation) apply(k *Kit) {
	if c.AfterSeconds > 0 {
		k.RevokeAt(c.Key, k.now().Add(time.Duration(c.AfterSeconds)*time.Second))
		return
	}
	k.RevokeAfter(c.Key, c.AfterAsks)
}

func (k *Kit) changeKey(sent func() keyChange) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := sent()
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		d.DisallowUnknownFields()
		if err := d.Decode(c); err != nil {
			refuse(w, http.StatusBadRequest, "invalid_json", `The body is JSON such as {"key":"fake-valid-0001"}; to revoke it later, with after_asks or after_seconds.`)
			return
		}
		if wrong := c.check(); wrong != "" {
			refuse(w, http.StatusUnprocessableEntity, "unprocessable_entity", wrong)
			return
		}
		c.apply(k)
		w.WriteHeader(http.StatusNoContent)
	}
}

// list is the envelope of lists.
type list struct {
	Object string `json:"object"`
	Data   any    `json:"data"`
}

func listed(data any) list { return list{"list", data} }

type wireKind struct {
	Key     string `json:"key"`
	Answers string `json:"answers"`
}

func listKinds(w http.ResponseWriter, _ *http.Request) {
	var data []wireKind
	for _, k := range kinds() {
		data = append(data, wireKind{mark + k.prefix + "…", k.does})
	}
	tell(w, http.StatusOK, listed(data))
}

type wireFake struct {
	Object string    `json:"object"`
	Name   string    `json:"name"`
	Slug   string    `json:"slug"`
	Style  string    `json:"style"`
	Hosts  []string  `json:"hosts"`
	Down   bool      `json:"down"`
	Asked  wireAsked `json:"asked"`
}

type wireAsked struct {
	Count         int        `json:"count"`
	Odd           int        `json:"odd"`
	PeakPerSecond int        `json:"peak_per_second"`
	Keys          []AskedKey `json:"keys"`
}

func (k *Kit) onWire(f Fake) wireFake {
	asked := k.Asked(f)
	return wireFake{
		Object: "fake_provider",
		Name:   f.Name,
		Slug:   f.Slug(),
		Style:  f.Style,
		Hosts:  f.Hosts,
		Down:   k.isDown(f),
		Asked:  wireAsked{asked.Count, asked.Odd, asked.Peak(time.Second), append([]AskedKey{}, asked.Keys...)},
	}
}

func (k *Kit) listFakes(w http.ResponseWriter, _ *http.Request) {
	var data []wireFake
	for _, f := range All() {
		data = append(data, k.onWire(f))
	}
	tell(w, http.StatusOK, listed(data))
}

// withFake answers with what is to be said of the fake that the path names.
func withFake(say func(Fake) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, f := range All() {
			if f.Name == r.PathValue("name") {
				tell(w, http.StatusOK, say(f))
				return
			}
		}
		refuse(w, http.StatusNotFound, "not_found", "There is no such fake provider. GET /_fake/providers lists them.")
	}
}

func tell(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	tell(w, status, struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	}{message, code})
}
