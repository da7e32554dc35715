package outbound_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/outbound"
	"keyvend/pkg/secret"
)

var errWouldConnect = errors.New("here the socket would connect")

// world is a Client in a world of which only the name servers are made up. What
// the guard lets through is written down and goes no further.
type world struct {
	*outbound.Client
	dialer  *net.Dialer
	mu      sync.Mutex
	reached []netip.AddrPort
}

func newWorld(d *dns) *world {
	w := &world{dialer: outbound.Guarded()}
	w.dialer.Resolver = d.resolver()
	guard := w.dialer.ControlContext
	w.dialer.ControlContext = func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		if err := guard(ctx, network, address, conn); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reached = append(w.reached, netip.MustParseAddrPort(address))
		return errWouldConnect
	}
	w.Client = outbound.NewVia(w.dialer.DialContext, nil, 5*time.Second, time.Now)
	return w
}

// take returns what was reached since the last call.
func (w *world) take() []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	reached := w.reached
	w.reached = nil
	return reached
}

func get(host, address string) catalog.Ask {
	return catalog.Ask{Method: "GET", Host: host, URL: secret.FromString(address)}
}

func addresses(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// notHosts are the spellings of F35, as hosts of a URL.
var notHosts = []string{
	"169.254.169.254", "127.0.0.1:9001", "127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0", "2130706433",
	"0x7f.1", "0x7f000001", "0177.0.0.1", "[64:ff9b::7f00:1]", "[fe80::1%25eth0]", "localhost", "localhost.", "api.localhost.",
	"metadata.google.internal", "db.internal", "db.internal.", "printer.local", "me@api.example.com", "me:pw@api.example.com",
	"api.example.com@127.0.0.1", "api。example。com", "api．example.com", "api.example.com:443", "api.example.com:8443",
	"api.example.com:", "api.example.com.", "API.example.com", "", "8.8.8.8", "[2606:4700:4700::1111]",
}

func TestF35_AnAskForWhatIsNoPublicNameIsNotSentThoughNobodyCheckedIt(t *testing.T) {
	d := &dns{answer: func() []netip.Addr { return addresses("8.8.8.8") }}
	w := newWorld(d)
	for _, host := range notHosts {
		if _, err := w.Ask(t.Context(), get(host, "https://"+host+"/v1/me")); !errors.Is(err, health.ErrNotPublic) {
			t.Errorf("%q: %v", host, err)
		}
		// The host is right and the URL is not.
		if _, err := w.Ask(t.Context(), get("api.example.com", "https://"+host+"/v1/me")); !errors.Is(err, catalog.ErrUnfit) || !errors.Is(err, health.ErrUnreachable) {
			t.Errorf("URL of %q: %v", host, err)
		}
	}
	if n := d.questions.Load(); n > 0 || len(w.take()) > 0 {
		t.Errorf("%d names were looked up", n)
	}
}

func TestF35_OtherSchemesAndFormsOfAnAddressAreNotSent(t *testing.T) {
	w := newWorld(&dns{answer: func() []netip.Addr { return addresses("8.8.8.8") }})
	for _, address := range []string{
		"http://api.example.com/", "HTTPS://api.example.com/", "file:///proc/self/environ", "gopher://api.example.com/", "//api.example.com/",
		"api.example.com/", "", "https://", "https:api.example.com/", "https://api.example.com.evil.example/", "https://api.example.com@evil.example/",
		`https://api.example.com\@evil.example/`, "https://api.example.com#@evil.example/", "https://api.example.com:443/", "https://evil.example/https://api.example.com/",
		"https://api.example.com/%zz",
	} {
		if _, err := w.Ask(t.Context(), get("api.example.com", address)); !errors.Is(err, catalog.ErrUnfit) {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, method := range []string{"", "get", "CONNECT", "DELETE", "GET / HTTP/1.1\r\nX: y\r\n"} {
		ask := get("api.example.com", "https://api.example.com/")
		ask.Method = method
		if _, err := w.Ask(t.Context(), ask); !errors.Is(err, catalog.ErrUnfit) {
			t.Errorf("method %q: %v", method, err)
		}
	}
	if reached := w.take(); len(reached) > 0 {
		t.Errorf("reached %v", reached)
	}
}

func TestF35_TheGuardRefusesAddressesThatNoCheckOfNamesCameBefore(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan struct{}, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			accepted <- struct{}{}
			conn.Close()
		}
	}()
	dial := outbound.New(outbound.Config{}).Dial
	for _, to := range []string{
		listener.Addr().String(), "127.0.0.1:9001", "127.0.0.1:443", "0.0.0.0:443", "[::]:443", "[::1]:443", "[::ffff:127.0.0.1]:443",
		"169.254.169.254:80", "169.254.169.254:443", "[64:ff9b::7f00:1]:443", "[fd00:ec2::254]:443", "10.0.0.1:443", "localhost:443",
		"8.8.8.8:80", "8.8.8.8:9001", "8.8.8.8:0",
	} {
		conn, err := dial(t.Context(), "tcp", to)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, health.ErrNotPublic) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if conn, err := dial(t.Context(), "udp", "8.8.8.8:443"); err == nil {
		conn.Close()
		t.Error("UDP is dialled")
	}
	select {
	case <-accepted:
		t.Error("a connection was made")
	default:
	}
}

func TestF36_AnotherAnswerTheSecondTimeIsRefused(t *testing.T) {
	answers := [][]netip.Addr{addresses("8.8.8.8"), addresses("127.0.0.1"), addresses("169.254.169.254"), addresses("::1"), addresses("::ffff:10.0.0.1")}
	var now []netip.Addr
	d := &dns{answer: func() []netip.Addr { return now }}
	w := newWorld(d)
	for i, answer := range answers {
		now = answer
		_, err := w.Ask(t.Context(), get("rebind.example.com", "https://rebind.example.com/v1/me"))
		reached := w.take()
		if i == 0 {
			if !errors.Is(err, health.ErrUnreachable) || !slices.Equal(reached, []netip.AddrPort{netip.MustParseAddrPort("8.8.8.8:443")}) {
				t.Errorf("%v: %v, reached %v", answer, err, reached)
			}
			continue
		}
		if !errors.Is(err, health.ErrNotPublic) || len(reached) > 0 {
			t.Errorf("%v: %v, reached %v", answer, err, reached)
		}
	}
	if n := d.questions.Load(); n != int64(2*len(answers)) {
		t.Errorf("%d questions for %d asks: a name is looked up once for each family", n, len(answers))
	}
}

func TestF36_OfAMixedAnswerOnlyPublicAddressesAreDialled(t *testing.T) {
	for _, answer := range [][]netip.Addr{
		addresses("8.8.8.8", "127.0.0.1"),
		addresses("127.0.0.1", "8.8.8.8", "10.0.0.1"),
		addresses("8.8.8.8", "::1"),
		addresses("fd00:ec2::254", "64:ff9b::808:808", "8.8.8.8", "::ffff:127.0.0.1", "2002:7f00:1::"),
	} {
		w := newWorld(&dns{answer: func() []netip.Addr { return answer }})
		if _, err := w.Ask(t.Context(), get("mixed.example.com", "https://mixed.example.com/")); err == nil {
			t.Errorf("%v: an answer from nowhere", answer)
		}
		if reached := w.take(); !slices.Equal(reached, []netip.AddrPort{netip.MustParseAddrPort("8.8.8.8:443")}) {
			t.Errorf("%v: reached %v", answer, reached)
		}
	}
}

func TestANameWithoutAddressesIsUnreachable(t *testing.T) {
	w := newWorld(&dns{answer: func() []netip.Addr { return nil }})
	_, err := w.Ask(t.Context(), get("nowhere.example.com", "https://nowhere.example.com/"))
	if !errors.Is(err, health.ErrUnreachable) || !strings.HasSuffix(err.Error(), ": dns") {
		t.Error(err)
	}
}

// FuzzHealthURL looks for a host, a URL and answers of name servers that reach
// an address which the registries call special, or another port.
func FuzzHealthURL(f *testing.F) {
	for _, host := range append(notHosts, "api.example.com", "xn--bcher-kva.example") {
		f.Add(host, "https://"+host+"/v1/me?key=x", []byte{8, 8, 8, 8, 127, 0, 0, 1})
	}
	f.Add("api.example.com", "https://api.example.com@127.0.0.1/", []byte{169, 254, 169, 254})
	f.Add("a.example.com", "https://a.example.com/", netip.MustParseAddr("64:ff9b::7f00:1").AsSlice())
	f.Add("a.example.com", "https://a.example.com/", netip.MustParseAddr("::ffff:127.0.0.1").AsSlice())
	f.Fuzz(func(t *testing.T, host, address string, answer []byte) {
		var named []netip.Addr
		for rest := answer; len(rest) >= 4 && len(named) < 8; rest = rest[4:] {
			a, _ := netip.AddrFromSlice(rest[:4])
			named = append(named, a)
			if len(rest) >= 16 {
				a, _ = netip.AddrFromSlice(rest[:16])
				named = append(named, a)
			}
		}
		w := newWorld(&dns{answer: func() []netip.Addr { return named }})
		if _, err := w.Ask(t.Context(), get(host, address)); err == nil || errors.Is(err, errWouldConnect) {
			t.Fatalf("%q %q: %v", host, address, err)
		}
		asked := len(w.reached)
		// As if nobody had looked at the name, and at a port that an ask has not.
		for _, to := range []string{net.JoinHostPort(host, "443"), host} {
			if conn, err := w.dialer.DialContext(t.Context(), "tcp", to); err == nil {
				conn.Close()
				t.Fatalf("%q is connected", to)
			}
		}
		for i, to := range w.take() {
			if !onTheInternet(to.Addr()) || to.Port() != 443 {
				t.Fatalf("%q %q %v: reached %v", host, address, named, to)
			}
			if i < asked && !slices.Contains(named, to.Addr()) {
				t.Fatalf("%q %q: reached %v, which its name is not", host, address, to)
			}
		}
	})
}
