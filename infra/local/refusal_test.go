package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/operator"
)

// refused is what a start says that must not succeed. It is a sentence: no
// package of ours or of Go speaks in it.
func refused(t *testing.T, o options, words ...string) string {
	t.Helper()
	if o.addr == "" {
		o.addr = "127.0.0.1:0"
	}
	o.log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := run(ctx, o, io.Discard)
	if err == nil {
		t.Fatal("it starts")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	for _, word := range []string{"bolt: ", "localkey: ", " json: ", "open /", "mkdir /", "main.", `{"message`} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q speaks of %q", err, word)
		}
	}
	return err.Error()
}

// lived is a data folder that was used once.
func lived(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)()
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ask puts a request to the desk behind the socket of a data folder.
func ask(t *testing.T, socket string, request operator.Request) operator.Response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Post("http://operator/", "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer operator.Response
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response.StatusCode, err)
	}
	return answer
}

func TestEmptyFlagsAreRefused(t *testing.T) {
	refused(t, options{dir: ""}, "-data is empty")
	err := run(t.Context(), options{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-addr is empty: give HOST:PORT") {
		t.Error(err)
	}
}

func TestAddressThatCannotBeIsRefusedInASentence(t *testing.T) {
	for _, addr := range []string{"8787", "127.0.0.1", "127.0.0.1:port", "192.0.2.1:1"} {
		if said := refused(t, options{dir: t.TempDir(), addr: addr}, addr, "HOST:PORT"); strings.Contains(said, "listen tcp") {
			t.Error(said)
		}
	}
}

func TestFolderThatEverybodyCanWriteToIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's mine")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for mode, bad := range map[os.FileMode]bool{0o777: true, 0o702: true, 0o777 | os.ModeSticky: false, 0o755: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if bad {
			refused(t, options{dir: dir}, "everybody on this machine can write", `chmod go-w '`, `it'\''s mine'`, "-data")
		} else {
			start(t, dir)()
		}
	}
}

func TestFolderThatCannotBeMadeOrUsedIsSaidInASentence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "x")
	refused(t, options{dir: file}, file, "not a directory", "-data")
	refused(t, options{dir: filepath.Join(file, "below")}, "not a directory", "-data")
	for _, name := range []string{"keyvend.db", "audit.log", "demo.json", "master.key", "operator.sock", "env"} {
		t.Run(name, func(t *testing.T) {
			dir := lived(t)
			path := filepath.Join(dir, name)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
			refused(t, options{dir: dir}, path)
		})
	}
}

func TestDemoThatIsDamagedIsNotReplacedUnasked(t *testing.T) {
	dir := lived(t)
	path := filepath.Join(dir, demoFile)
	whole := get(t, path)
	var d demo
	if err := json.Unmarshal([]byte(whole), &d); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		whole[:20], "", "{}", "null", "[]", `{"tenant":"` + d.Tenant + `"}`, strings.ReplaceAll(whole, "dashboard_key", "dashboard"),
		strings.Replace(whole, d.Tenant[:12], "tenant_01ARZ", 1), strings.Replace(whole, d.Tenant, "acme", 1),
	} {
		put(t, path, text)
		refused(t, options{dir: dir}, path, "delete it", "The old one and its data stay", "list-tenants", "issue-api-key TENANT")
		if got := get(t, path); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	put(t, path, whole)
	start(t, dir)
	if found := ask(t, filepath.Join(dir, socketFile), operator.Request{Action: operator.ListTenants}); len(found.Tenants) != 1 {
		t.Errorf("%+v", found.Tenants)
	}
}

func TestDemoOutlivesItsDatabaseAsANewTenant(t *testing.T) {
	dir := lived(t)
	for _, name := range []string{"keyvend.db", "master.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	start(t, dir)
	register(t, dir)
}

func TestKeyOfTheDemoThatDoesNotWorkIsNamedAtTheStart(t *testing.T) {
	dir := lived(t)
	path := filepath.Join(dir, demoFile)
	var d demo
	if err := json.Unmarshal([]byte(get(t, path)), &d); err != nil {
		t.Fatal(err)
	}
	if out := printed(t, dir, "127.0.0.1:0"); strings.Contains(out, "does not work") {
		t.Error(out)
	}
	d.APIKey = d.APIKey[:len(d.APIKey)-1]
	changed, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, string(changed))
	out := printed(t, dir, "127.0.0.1:0")
	first, _, _ := strings.Cut(out, "\n")
	for _, word := range []string{"the api_key in " + path + " does not work", "issue-api-key " + d.Tenant + " demo manage,read,vend,widget"} {
		if !strings.Contains(first, word) {
			t.Errorf("the first line %q does not say %q", first, word)
		}
	}
	if strings.Contains(out, "dashboard_key") {
		t.Error("the other key is called broken")
	}
}

// printed is what a start prints.
func printed(t *testing.T, dir, addr string) string {
	t.Helper()
	return printedWith(t, options{dir: dir, addr: addr})
}

func printedWith(t *testing.T, o options) string {
	t.Helper()
	o.log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, o, in)
		ended <- err
		_ = in.CloseWithError(io.EOF)
	}()
	var all bytes.Buffer
	piece := make([]byte, 4096)
	for !strings.Contains(all.String(), "Ctrl-C ends it") {
		n, err := out.Read(piece)
		if err != nil {
			t.Fatal(err, <-ended)
		}
		all.Write(piece[:n])
	}
	cancel()
	_ = out.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return all.String()
}

func TestAddressThatOthersReachIsWarnedOfFirst(t *testing.T) {
	for addr, loud := range map[string]bool{":0": true, "0.0.0.0:0": true, "[::]:0": true, "127.0.0.1:0": false, "localhost:0": false} {
		out := printed(t, filepath.Join(t.TempDir(), "data"), addr)
		if strings.HasPrefix(out, "LOUD WARNING: ") != loud || strings.Contains(out, "LOUD") != loud {
			t.Errorf("%s: %s", addr, out)
		}
	}
}

func TestPrintedLinesRunInAShellForItsChildrenToo(t *testing.T) {
	work := t.TempDir()
	t.Chdir(work)
	for _, dir := range []string{"data", "-data", "it's a $HOME `folder`"} {
		out := printed(t, dir, "127.0.0.1:0")
		var line string
		for l := range strings.Lines(out) {
			if strings.HasPrefix(l, "  set -a;") {
				line = strings.TrimSpace(l)
			}
		}
		put(t, filepath.Join(dir, "env"), "KEYVEND_URL=here\n")
		got, err := exec.Command("sh", "-c", line+"; sh -c 'echo $KEYVEND_URL'").CombinedOutput()
		if err != nil || string(got) != "here\n" {
			t.Errorf("%s: %v %s", line, err, got)
		}
	}
}

func TestAnswerToAForeignHostIsNeitherKeptNorGuessedAt(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://evil.example/", nil)
	onlyOwnHosts(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusMisdirectedRequest || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Error(w.Code, w.Header())
	}
}

func TestSocketIsTheOwnersAloneAndGoneAtTheEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	stop := start(t, dir)
	path := filepath.Join(dir, socketFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Error(info, err)
	}
	stop()
	left, err := filepath.Glob(filepath.Join(dir, "operator*"))
	if err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

func TestLongPathOfTheFolderHasASocketBehindALink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	for range 2 {
		stop := start(t, dir)
		link := filepath.Join(dir, socketFile)
		made, err := os.Readlink(link)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Dir(made)); err != nil || info.Mode().Perm() != 0o700 {
			t.Error(info, err)
		}
		if found := ask(t, made, operator.Request{Action: operator.ListTenants}); len(found.Tenants) != 1 {
			t.Errorf("%+v", found)
		}
		stop()
		if _, err := os.Lstat(link); err == nil {
			t.Error("the link stays")
		}
		if _, err := os.Stat(filepath.Dir(made)); err == nil {
			t.Error("the folder of the socket stays")
		}
	}
}

func TestSocketThatWasLeftBehindIsReplaced(t *testing.T) {
	dir := lived(t)
	put(t, filepath.Join(dir, socketFile), "")
	if err := os.MkdirAll(filepath.Join(dir, socketFile+".part", "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	ask(t, filepath.Join(dir, socketFile), operator.Request{Action: operator.ListTenants})
}
