package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
)

// envFile holds, while keyvend answers, how to reach it, as shell assignments.
type envFile struct{ path string }

func (f envFile) write(base string, d demo) error {
	// None of the values has a character that a shell would read as its own.
	return writeWhole(f.path, fmt.Appendf(nil, "KEYVEND_URL=%s\nKEYVEND_API_KEY=%s\nKEYVEND_DASHBOARD_KEY=%s\n",
		base, d.APIKey, d.DashboardKey))
}

func (f envFile) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotWrite(f.path, err)
	}
	return nil
}

// baseURL is where a client on this machine reaches the listener.
func baseURL(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsUnspecified() {
		_, port, _ := net.SplitHostPort(addr.String())
		return "http://" + net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + addr.String()
}

// onlyOwnHosts refuses requests for other hosts than this machine's: a page on
// the web cannot reach keyvend by a name that it makes point here.
func onlyOwnHosts(addr net.Addr, h http.Handler) http.Handler {
	bound, _, _ := net.SplitHostPort(addr.String())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		ip := net.ParseIP(host)
		if host != "localhost" && host != bound && (ip == nil || !ip.IsLoopback()) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(http.StatusMisdirectedRequest)
			_, _ = io.WriteString(w, `{"message":"This keyvend answers to localhost only. Use the address that it printed when it started.","code":"host_not_allowed"}`)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// banner tells where everything is. What is to be heeded comes first.
func banner(out io.Writer, base, dir string, addr net.Addr, d demo, warnings []string) {
	if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		warnings = append([]string{fmt.Sprintf("LOUD WARNING: %s can be reached from other machines, and this is not for production", addr)}, warnings...)
	}
	for _, w := range warnings {
		_, _ = fmt.Fprintf(out, "%s\n\n", w)
	}
	// Not filepath.Join: a shell looks elsewhere for a name without a slash.
	_, _ = fmt.Fprintf(out, `keyvend is running at %[1]s

  NOT FOR PRODUCTION: the master key lies beside the data, in %[2]s

  API key of the demo tenant    %[4]s
  the same without "vend"       %[5]s
  both, for a shell             set -a; . %[3]s; set +a
  dashboard, signed in          %[1]s/dashboard#key=%[5]s
  demo page with the widget     %[1]s/_demo/
  fake providers, to try checks %[1]s/_fake/providers

Try:

  set -a; . %[3]s; set +a
  curl -s $KEYVEND_URL/data-integrations -H "Authorization: Bearer $KEYVEND_API_KEY" \
    -d '{"provider":"openai","auth_methods":["api_key"],"enabled":true}'
  curl -s -X PUT $KEYVEND_URL/data-integrations/openai/api-key -H "Authorization: Bearer $KEYVEND_API_KEY" \
    -d '{"user_id":"user_1","secret":"sk-canary-0123456789"}'
  curl -s $KEYVEND_URL/data-integrations/openai/credentials -H "Authorization: Bearer $KEYVEND_API_KEY" \
    -d '{"user_id":"user_1"}'

Ctrl-C ends it; what was stored is there again at the next start.
`, base, dir, shellWord(dir+"/env"), d.APIKey, d.DashboardKey)
}
