package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/outbound"
	"keyvend/pkg/secret"
)

const (
	canary = "sk-canary-outbound-7f3e"
	// host is a name that the certificate of httptest is for.
	host = "example.com"
)

// provider plays a provider behind HTTPS: a server on loopback under the name
// host, and a Client that gets there instead of the internet.
type provider struct {
	*outbound.Client
	dialled  atomic.Int64
	received atomic.Int64 // bytes, those of TLS included
}

type counted struct {
	net.Conn
	received *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// at is a Client for whatever listens there.
func at(address string, roots *x509.CertPool, timeout time.Duration) *provider {
	p := &provider{}
	p.Client = outbound.NewVia(func(ctx context.Context, network, _ string) (net.Conn, error) {
		p.dialled.Add(1)
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return counted{conn, &p.received}, nil
	}, roots, timeout, noon)
	return p
}

// play starts a provider that answers as h does.
func play(t *testing.T, timeout time.Duration, h http.HandlerFunc) *provider {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return at(server.Listener.Addr().String(), trusting(server), timeout)
}

func trusting(server *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return roots
}

// raw answers with bytes of its own making; done is closed when nobody listens
// any more.
func raw(answer func(conn *tls.Conn)) (h http.HandlerFunc, done chan struct{}) {
	done = make(chan struct{})
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		answer(conn.(*tls.Conn))
		close(done)
	}, done
}

// says is an answer of these bytes, after which the connection ends.
func says(text string) http.HandlerFunc {
	answer := []byte(text)
	h, _ := raw(func(conn *tls.Conn) { _, _ = conn.Write(answer) })
	return h
}

// endless is an answer that begins with head and goes on with more for as long
// as somebody reads.
func endless(head, more string, pause time.Duration) (http.HandlerFunc, chan struct{}) {
	return raw(func(conn *tls.Conn) {
		block := []byte(more)
		_, err := io.WriteString(conn, head)
		for err == nil {
			time.Sleep(pause)
			_, err = conn.Write(block)
		}
	})
}

// question is an ask that has a key wherever an ask can have one.
func question() catalog.Ask {
	return catalog.Ask{
		Method: "GET", Host: host, URL: secret.FromString("https://" + host + "/bot" + canary + "/me?key=" + canary),
		Header: map[string]secret.Text{"Authorization": secret.FromString("Bearer " + canary)},
	}
}

func TestF33_AnAnswerIsToldAsItIsWhateverItsStatus(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    health.Answer
	}{
		"200": {
			says("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"),
			health.Answer{Status: 200, ContentType: "application/json; charset=utf-8", Body: []byte(`{"ok":true}`)},
		},
		"200 with HTML": {
			says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>Sign in</"),
			health.Answer{Status: 200, ContentType: "text/html", Body: []byte("<html>Sign in</")},
		},
		"200 in chunks": {
			says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nX-Trailer: x\r\n\r\n"),
			health.Answer{Status: 200, Body: []byte(`{"a":1}`)},
		},
		"204": {says("HTTP/1.1 204 No Content\r\n\r\n"), health.Answer{Status: 204}},
		"401 of HTTP/1.0": {
			says("HTTP/1.0 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"),
			health.Answer{Status: 401, Body: []byte("no")},
		},
		"403 of a captive page": {
			says("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
			health.Answer{Status: 403, ContentType: "text/html", Body: []byte("<html>")},
		},
		"429 in seconds": {
			says("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"),
			health.Answer{Status: 429, RetryAfter: 2 * time.Minute},
		},
		"500":                        {says("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"), health.Answer{Status: 500, Body: []byte("oops")}},
		"a status that nobody knows": {says("HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n"), health.Answer{Status: 999}},
		"hints before the answer": {
			says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
			health.Answer{Status: 200, Body: []byte("{}")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := play(t, 5*time.Second, c.handler).Ask(t.Context(), question())
			if err != nil || answer.Status != c.want.Status || answer.ContentType != c.want.ContentType ||
				answer.RetryAfter != c.want.RetryAfter || !bytes.Equal(answer.Body, c.want.Body) {
				t.Errorf("%+v %v", answer, err)
			}
		})
	}
}

func TestF33_RetryAfterIsSecondsOrADateAndAtMostADay(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"1":                              time.Second,
		"86400":                          24 * time.Hour,
		"86401":                          24 * time.Hour,
		"99999999999999999999999999":     24 * time.Hour,
		"-1":                             0,
		"+5":                             0,
		"1.5":                            0,
		"1e3":                            0,
		"0x10":                           0,
		"soon":                           0,
		"Sun, 01 Mar 2026 12:01:30 GMT":  90 * time.Second,
		"Sunday, 01-Mar-26 12:01:30 GMT": 90 * time.Second,
		"Sun Mar  1 12:01:30 2026":       90 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  24 * time.Hour,
	} {
		p := play(t, 5*time.Second, says("HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: "+text+"\r\nRetry-After: 7\r\n\r\n"))
		if answer, err := p.Ask(t.Context(), question()); err != nil || answer.RetryAfter != want {
			t.Errorf("%q: %v %v", text, answer.RetryAfter, err)
		}
	}
}

func TestWhatIsSentIsTheAskAndNothingElse(t *testing.T) {
	requests := make(chan *http.Request, 2)
	bodies := make(chan string, 2)
	p := play(t, 5*time.Second, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r
		bodies <- string(body)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
	})
	check := catalog.Check{
		Placement: catalog.Placement{In: catalog.InHeader, Name: "x-api-key", Template: "Key {key}"},
		Method:    "POST", URL: "https://" + host + "/v1/a%2Fb?x=a+b&y=%20", Body: `{"q":1}`,
		Headers: map[string]string{"Content-Type": "application/json", "X-Version": "2"},
	}
	ask, err := check.Ask(nil, nil, secret.FromString(canary))
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"X-Api-Key": {"Key " + canary}, "Content-Type": {"application/json"}, "X-Version": {"2"}, "Content-Length": {"7"},
		"User-Agent": {"keyvend (key check)"}, "Accept-Encoding": {"identity"}, "Connection": {"close"},
	}
	for range 2 { // the second time there is a cookie that could be sent back
		if answer, err := p.Ask(t.Context(), ask); err != nil || answer.Status != 200 {
			t.Fatal(answer, err)
		}
		r := <-requests
		if !maps.EqualFunc(r.Header, want, slices.Equal) {
			t.Errorf("%v", r.Header)
		}
		if body := <-bodies; r.Method != "POST" || r.RequestURI != "/v1/a%2Fb?x=a+b&y=%20" || r.Host != host || r.TLS.ServerName != host || body != `{"q":1}` {
			t.Errorf("%s %s to %s, %s: %q", r.Method, r.RequestURI, r.Host, r.TLS.ServerName, body)
		}
		if r.Proto != "HTTP/1.1" || r.TLS.Version < tls.VersionTLS12 || r.TLS.NegotiatedProtocol != "http/1.1" || r.TLS.DidResume {
			t.Errorf("%s, TLS %x for %s, resumed %v", r.Proto, r.TLS.Version, r.TLS.NegotiatedProtocol, r.TLS.DidResume)
		}
	}
	if n := p.dialled.Load(); n != 2 {
		t.Errorf("%d connections for two asks", n)
	}
}

func TestACheckMaySayAnotherUserAgent(t *testing.T) {
	agent := make(chan string, 1)
	p := play(t, 5*time.Second, func(_ http.ResponseWriter, r *http.Request) { agent <- r.UserAgent() })
	ask := question()
	ask.Header["User-Agent"] = secret.FromString("acme/1.0")
	if _, err := p.Ask(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	if got := <-agent; got != "acme/1.0" {
		t.Error(got)
	}
}

func TestNoProxyOfTheEnvironmentIsAsked(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	asked := make(chan struct{}, 1)
	go func() {
		if _, err := proxy.Accept(); err == nil {
			asked <- struct{}{}
		}
	}()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "http://"+proxy.Addr().String())
	}
	p := play(t, 5*time.Second, func(http.ResponseWriter, *http.Request) {})
	if answer, err := p.Ask(t.Context(), question()); err != nil || answer.Status != 200 || p.dialled.Load() != 1 {
		t.Error(answer, err)
	}
	select {
	case <-asked:
		t.Error("the proxy was asked")
	default:
	}
}

func TestF37_ARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"http://169.254.169.254/latest/meta-data/", "https://" + host + "/elsewhere", "https://other.example/", "//127.0.0.1:9001/", ":"} {
			var requests atomic.Int64
			p := play(t, 5*time.Second, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			answer, err := p.Ask(t.Context(), question())
			if err != nil || answer.Status != status || requests.Load() != 1 || p.dialled.Load() != 1 {
				t.Errorf("%d to %s: %+v %v, %d requests", status, location, answer, err, requests.Load())
			}
		}
	}
}

func TestF38_NothingThatCouldEndALineIsSent(t *testing.T) {
	p := play(t, 5*time.Second, func(http.ResponseWriter, *http.Request) {})
	for _, bad := range []string{"\r\nX-Evil: 1", "\n", "\r", "\x00", "\x7f", "\t", "é", "\u2028", "\xff"} {
		for place, change := range map[string]func(*catalog.Ask){
			"value":    func(a *catalog.Ask) { a.Header["Authorization"] = secret.FromString("Bearer " + bad) },
			"name":     func(a *catalog.Ask) { a.Header["X-Key"+bad] = secret.FromString("x") },
			"path":     func(a *catalog.Ask) { a.URL = secret.FromString("https://" + host + "/a" + bad) },
			"query":    func(a *catalog.Ask) { a.URL = secret.FromString("https://" + host + "/?a=" + bad) },
			"fragment": func(a *catalog.Ask) { a.URL = secret.FromString("https://" + host + "/#" + bad) },
			"method":   func(a *catalog.Ask) { a.Method += bad },
		} {
			ask := question()
			change(&ask)
			if _, err := p.Ask(t.Context(), ask); !errors.Is(err, catalog.ErrUnfit) {
				t.Errorf("%q in the %s: %v", bad, place, err)
			}
		}
		ask := question()
		ask.Host += bad
		if _, err := p.Ask(t.Context(), ask); !errors.Is(err, health.ErrNotPublic) {
			t.Errorf("%q in the host: %v", bad, err)
		}
	}
	for _, name := range []string{"", "X Key", "X:Key", "X-Key:", "X(Key)", `X"Key`, "X/Key"} {
		ask := question()
		ask.Header[name] = secret.FromString("x")
		if _, err := p.Ask(t.Context(), ask); !errors.Is(err, catalog.ErrUnfit) {
			t.Errorf("a header named %q: %v", name, err)
		}
	}
	if n := p.dialled.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// bomb is a gzipped megabyte tenfold.
func bomb() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Close()
	return b.String()
}

func TestF34_WhatIsTooLongIsCutAndMemoryStaysFlat(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	block := strings.Repeat("x", 16<<10)
	chunk := "4000\r\n" + block + "\r\n"
	tenMegabytes, _ := raw(func(conn *tls.Conn) {
		_, err := fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n", head, 10<<20)
		for i, b := 0, []byte(block); i < 640 && err == nil; i++ {
			_, err = conn.Write(b)
		}
	})
	endlessBody, bodyDone := endless(head+"\r\n", block, 0)
	endlessChunks, chunksDone := endless(head+"Transfer-Encoding: chunked\r\n\r\n", chunk, 0)
	smallChunks, smallDone := endless(head+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\nx\r\n", 1000), 0)
	thinChunks, thinDone := endless(head+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1;"+block[:1000]+"\r\nx\r\n", 16), 0)
	endlessTrailer, trailerDone := endless(head+"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "X-Trailer: "+block+"\r\n", 0)
	megabyteOfHeader := says(head + strings.Repeat("X-Header: "+block+"\r\n", 64) + "\r\n")
	endlessHeader, headerDone := endless(head, "X-Header: "+block+"\r\n", 0)
	shortLines, shortDone := endless(head, strings.Repeat("a:\n", 5000), 0)
	endlessLine, lineDone := endless("HTTP/1.1 200 ", block, 0)
	endlessHints, hintsDone := endless("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0)
	zipped := bomb()

	for name, c := range map[string]struct {
		handler http.HandlerFunc
		done    chan struct{}
		want    error // nil: the status and no body
	}{
		"10 MB":            {tenMegabytes, nil, nil},
		"gzip bomb":        {says(head + "Content-Encoding: gzip\r\n\r\n" + zipped), nil, nil},
		"endless body":     {endlessBody, bodyDone, nil},
		"endless chunks":   {endlessChunks, chunksDone, nil},
		"chunks of a byte": {smallChunks, smallDone, health.ErrOversized},
		"chunks with more about them than in them": {thinChunks, thinDone, health.ErrUnreachable},
		"endless trailer":                          {endlessTrailer, trailerDone, health.ErrUnreachable},
		"1 MB of header":                           {megabyteOfHeader, nil, health.ErrOversized},
		"endless header":                           {endlessHeader, headerDone, health.ErrOversized},
		"short lines":                              {shortLines, shortDone, health.ErrOversized},
		"endless line":                             {endlessLine, lineDone, health.ErrOversized},
		"endless hints":                            {endlessHints, hintsDone, health.ErrOversized},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, 30*time.Second, c.handler)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer, err := p.Ask(t.Context(), question())
			runtime.ReadMemStats(&after)
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && (err != nil || answer.Status != 200) || len(answer.Body) > 0 {
				t.Errorf("status %d, %d bytes, %v", answer.Status, len(answer.Body), err)
			}
			// The header, twice a body, the handshake and the record that was begun.
			if n := p.received.Load(); n > outbound.MaxHeader+2*outbound.MaxBody+32<<10 {
				t.Errorf("%d bytes were read", n)
			}
			// With what the server takes, and TLS on both sides.
			if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
			if c.done != nil {
				<-c.done // the connection is not held
			}
		})
	}
}

func TestF34_ABodyOf64KiBIsReadAndOneMoreByteIsNoBody(t *testing.T) {
	for length, want := range map[int]int{outbound.MaxBody - 1: outbound.MaxBody - 1, outbound.MaxBody: outbound.MaxBody, outbound.MaxBody + 1: 0} {
		p := play(t, 5*time.Second, func(w http.ResponseWriter, _ *http.Request) {
			// A JSON text that would still be one if it were cut at the limit.
			_, _ = io.WriteString(w, "1"+strings.Repeat(" ", length-1))
		})
		if answer, err := p.Ask(t.Context(), question()); err != nil || answer.Status != 200 || len(answer.Body) != want {
			t.Errorf("%d bytes: %d, %d bytes, %v", length, answer.Status, len(answer.Body), err)
		}
	}
}

func TestF34_ACompressedAnswerHasNoBody(t *testing.T) {
	for _, encoding := range []string{"gzip", "br", "deflate", "gzip, identity", "x"} {
		p := play(t, 5*time.Second, says("HTTP/1.1 401 No\r\nContent-Encoding: "+encoding+"\r\nContent-Length: 4\r\n\r\nbody"))
		if answer, err := p.Ask(t.Context(), question()); err != nil || answer.Status != 401 || len(answer.Body) > 0 {
			t.Errorf("%s: %+v %v", encoding, answer, err)
		}
	}
	p := play(t, 5*time.Second, says("HTTP/1.1 401 No\r\nContent-Encoding: Identity\r\nContent-Length: 4\r\n\r\nbody"))
	if answer, err := p.Ask(t.Context(), question()); err != nil || string(answer.Body) != "body" {
		t.Errorf("identity: %+v %v", answer, err)
	}
}

func TestF34_WhatComesSlowlyOrNeverEndsInTime(t *testing.T) {
	const pause = 5 * time.Millisecond
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	slowHeader, headerDone := endless("HTTP/1.1 200 OK\r\n", "X", pause)
	slowBody, bodyDone := endless("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", "x", pause)
	slowChunks, chunksDone := endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", pause)
	nothing, nothingDone := raw(func(conn *tls.Conn) { _, _ = io.ReadAll(conn) })
	const timeout = 150 * time.Millisecond
	for name, c := range map[string]struct {
		provider *provider
		done     chan struct{}
		step     string
	}{
		"no handshake":                    {at(silent.Addr().String(), nil, timeout), nil, "tls"},
		"no answer":                       {play(t, timeout, nothing), nothingDone, "http"},
		"a header byte by byte":           {play(t, timeout, slowHeader), headerDone, "http"},
		"a body byte by byte":             {play(t, timeout, slowBody), bodyDone, "http"},
		"chunks byte by byte":             {play(t, timeout, slowChunks), chunksDone, "http"},
		"a connection that is never made": {&provider{Client: outbound.NewVia(stuck, nil, timeout, noon)}, nil, "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := c.provider.Ask(t.Context(), question())
			if !errors.Is(err, health.ErrTimeout) || !strings.HasSuffix(err.Error(), ": "+c.step) || answer.Status != 0 {
				t.Errorf("%+v %v", answer, err)
			}
			if c.done != nil {
				<-c.done
			}
		})
	}
}

func stuck(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestACallerMayEndAnAskEarlier(t *testing.T) {
	nothing, done := raw(func(conn *tls.Conn) { _, _ = io.ReadAll(conn) })
	p := play(t, time.Hour, nothing)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Ask(ctx, question()); !errors.Is(err, health.ErrTimeout) {
		t.Error(err)
	}
	<-done
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Ask(over, question()); !errors.Is(err, health.ErrTimeout) {
		t.Error(err)
	}
}

// failing are providers from whom no answer comes, some of which say the key
// again where an error could repeat it.
func failing(t *testing.T) map[string]*provider {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	reset, _ := raw(func(conn *tls.Conn) {
		_ = conn.NetConn().(*net.TCPConn).SetLinger(0)
		_ = conn.NetConn().Close()
	})
	polite := func(http.ResponseWriter, *http.Request) {}
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(polite))
	elsewhere.Config.ErrorLog = log.New(io.Discard, "", 0)
	elsewhere.StartTLS()
	t.Cleanup(elsewhere.Close)
	old := httptest.NewUnstartedServer(http.HandlerFunc(polite))
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	plain := httptest.NewServer(http.HandlerFunc(polite))
	t.Cleanup(plain.Close)
	const timeout = 5 * time.Second
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	return map[string]*provider{
		"refused connect":    at(gone.Addr().String(), nil, timeout),
		"unknown root tls":   at(elsewhere.Listener.Addr().String(), x509.NewCertPool(), timeout),
		"system roots tls":   at(elsewhere.Listener.Addr().String(), nil, timeout),
		"TLS 1.1 tls":        at(old.Listener.Addr().String(), trusting(old), timeout),
		"no TLS tls":         at(plain.Listener.Addr().String(), nil, timeout),
		"reset http":         play(t, timeout, reset),
		"closed http":        play(t, timeout, says("")),
		"no HTTP http":       play(t, timeout, says("SSH-2.0-"+canary+"\r\n\r\n")),
		"bad status http":    play(t, timeout, says("HTTP/1.1 "+canary+"\r\n\r\n")),
		"bad version http":   play(t, timeout, says("HTTP/"+canary+" 200 OK\r\n\r\n")),
		"bad header http":    play(t, timeout, says("HTTP/1.1 200 OK\r\n"+canary+"\r\n\r\n")),
		"bad length http":    play(t, timeout, says("HTTP/1.1 200 OK\r\nContent-Length: "+canary+"\r\n\r\n")),
		"bad encoding http":  play(t, timeout, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: "+canary+"\r\n\r\n")),
		"bad chunk http":     play(t, timeout, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+canary+"\r\n")),
		"HTTP/1.0 half http": play(t, timeout, says("HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n"+canary)),
		"other protocol http": play(t, timeout, says(
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+canary+"\r\n\r\n"+ok)),
		"status 099 http": play(t, timeout, says("HTTP/1.1 099 "+canary+"\r\n\r\n"+ok)),
	}
}

// captureLog is what goes to Go's own log from now on.
func captureLog(t *testing.T) *bytes.Buffer {
	var logged bytes.Buffer
	before := log.Writer()
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(before) })
	return &logged
}

func TestF45_NoErrorAndNoLogHoldsAKeyOrBytesOfAnAnswer(t *testing.T) {
	logged := captureLog(t)
	structured := slog.New(slog.NewJSONHandler(logged, nil))
	for name, p := range failing(t) {
		answer, err := p.Ask(t.Context(), question())
		step := name[strings.LastIndex(name, " ")+1:]
		if !errors.Is(err, health.ErrUnreachable) || !strings.HasSuffix(err.Error(), "cannot be reached: "+step) {
			t.Errorf("%s: %v", name, err)
		}
		if answer.Status != 0 || answer.Body != nil {
			t.Errorf("%s: %+v", name, answer)
		}
		structured.Error("asked", "error", err, "answer", answer)
		fmt.Fprintf(logged, "%v %+v %#v %q\n", err, err, err, err)
	}
	for _, ask := range []catalog.Ask{
		{Method: "GET", Host: host, URL: secret.FromString("https://" + canary + "/"), Header: nil},
		{Method: "GET", Host: host, URL: secret.FromString("https://" + host + "/%zz" + canary)},
		{Method: "GET", Host: canary, URL: secret.FromString("https://" + canary + "/")},
		{Method: canary, Host: host, URL: secret.FromString("https://" + host + "/")},
		{Method: "GET", Host: host, URL: secret.FromString("https://" + host + "/"), Header: map[string]secret.Text{canary + "\n": secret.FromString("x")}},
	} {
		_, err := outbound.New(outbound.Config{}).Ask(t.Context(), ask)
		if err == nil {
			t.Error("an ask that is none was sent")
		}
		fmt.Fprintf(logged, "%v %+v %#v %q\n", err, err, err, err)
	}
	if text := logged.String(); strings.Contains(text, "canary") || strings.Contains(text, host) || !strings.Contains(text, "cannot be reached: tls") {
		t.Errorf("%s", text)
	}
}

func TestF45_WhatAServerSaysBeforeItIsAskedIsNotLogged(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, canary+"\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	logged := captureLog(t)
	for range 5 {
		if _, err := at(listener.Addr().String(), trusting(server), 5*time.Second).Ask(t.Context(), question()); !errors.Is(err, health.ErrUnreachable) {
			t.Error(err)
		}
	}
	if logged.Len() > 0 {
		t.Error(logged.String())
	}
}

func TestTheCertificateHasToBeTheHosts(t *testing.T) {
	p := play(t, 5*time.Second, func(http.ResponseWriter, *http.Request) {})
	_, err := p.Ask(t.Context(), get("api.other.org", "https://api.other.org/"))
	if !errors.Is(err, health.ErrUnreachable) || !strings.HasSuffix(err.Error(), ": tls") {
		t.Error(err)
	}
	if answer, err := p.Ask(t.Context(), question()); err != nil || answer.Status != 200 {
		t.Error(answer, err)
	}
}
