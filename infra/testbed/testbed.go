// Package testbed starts the real parts that tests run against (DynamoDB
// Local, an emulated KMS) and stands scripted faults between them and the code
// under test. It is imported by tests only.
//
// A part that is not installed is a failure where the environment variable CI
// is set, and a skip with a printed reason elsewhere.
package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/logging"

	"keyvend/infra/tied"
)

// Region is the region of every client in tests.
const Region = "eu-central-1"

// The credentials of every client in tests. They open nothing anywhere.
const (
	AccessKeyID     = "AKIDTESTBED0000000"
	SecretAccessKey = "testbed-secret-access-key"
)

// startTimeout bounds the start of one emulator; a loaded machine is slow, and to
// begin anew makes it slower.
const startTimeout = 3 * time.Minute

// Config returns what an AWS client needs for tests, but for the endpoint: set
// BaseEndpoint to what DynamoDB, KMS or NewEndpoint gave.
func Config() aws.Config {
	return aws.Config{
		Region: Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey, Source: "testbed"}, nil
		}),
		// The emulator's error answers carry no checksum, which the SDK would warn of.
		Logger: logging.Nop{},
	}
}

// Tool returns the absolute path of an external tool, named relative to
// $KEYVEND_TOOLS (by default $HOME/.cache/keyvend).
func Tool(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("KEYVEND_TOOLS")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatalf("testbed: no home directory and no KEYVEND_TOOLS: %v", err)
		}
		dir = filepath.Join(home, ".cache", "keyvend")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		Missing(t, "tool %s is not installed: %v", name, err)
	}
	return path
}

// Command is Tool for a program that is looked for on the PATH.
func Command(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "program %s is not installed: %v", name, err)
	}
	return path
}

// Missing ends a test that needs what this machine does not have: with a
// failure where CI is set, else with a skip. Nothing else may skip.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("testbed: "+format, args...)
	}
	t.Skipf("testbed: "+format, args...)
}

// Main runs a package's tests and then stops what they started:
//
//	func TestMain(m *testing.M) { testbed.Main(m) }
//
// The exit code is m.Run's, as the testing package hands it on by itself.
func Main(m *testing.M) {
	defer stopServers()
	m.Run()
}

// DynamoDB returns the endpoint of DynamoDB Local: the one that the
// environment variable KEYVEND_TEST_DYNAMODB names, else one for this process,
// started at the first call. All credentials and regions see the same tables,
// so a test gives its tables names of its own.
func DynamoDB(t testing.TB) string {
	t.Helper()
	if shared := os.Getenv("KEYVEND_TEST_DYNAMODB"); shared != "" {
		return shared
	}
	java := Command(t, "java")
	jars := filepath.Join(Tool(t, "dynamodb-local/lib"), "*")
	return dynamoDB.endpoint(t, func(port string) *exec.Cmd {
		return exec.Command(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m", "-cp", jars,
			"software.amazon.dynamodb.services.local.main.ServerRunner",
			"-inMemory", "-sharedDb", "-disableTelemetry", "-port", port)
	})
}

// KMS returns the endpoint of an emulated KMS: the one that the environment
// variable KEYVEND_TEST_KMS names, else one for this process, started at the
// first call.
func KMS(t testing.TB) string {
	t.Helper()
	if shared := os.Getenv("KEYVEND_TEST_KMS"); shared != "" {
		return shared
	}
	moto := Tool(t, "moto/bin/moto_server")
	return kms.endpoint(t, func(port string) *exec.Cmd {
		return exec.Command(moto, "-H", "127.0.0.1", "-p", port)
	})
}

// KMSKey creates a symmetric key for encryption and returns its ARN.
func KMSKey(t testing.TB, endpoint string) string {
	t.Helper()
	body, err := call(t.Context(), endpoint, "kms", "TrentService.CreateKey", `{"KeySpec":"SYMMETRIC_DEFAULT","KeyUsage":"ENCRYPT_DECRYPT"}`)
	if err != nil {
		t.Fatalf("testbed: create a KMS key: %v", err)
	}
	var answer struct{ KeyMetadata struct{ Arn string } }
	if err := json.Unmarshal(body, &answer); err != nil || answer.KeyMetadata.Arn == "" {
		t.Fatalf("testbed: create a KMS key: answer %q: %v", body, err)
	}
	return answer.KeyMetadata.Arn
}

// Emulators are one per test process: starting one takes longer than most
// tests, and the testing package offers no process-wide place to keep it.
var (
	dynamoDB = server{service: "dynamodb", ping: "DynamoDB_20120810.ListTables"}
	kms      = server{service: "kms", ping: "TrentService.ListKeys"}
)

func stopServers() {
	dynamoDB.stop()
	kms.stop()
}

// server is an emulator that answers AWS's JSON protocol.
type server struct {
	service string
	ping    string // the operation that shows that it is up

	mu     sync.Mutex
	url    string
	failed error
	child  *child
}

// endpoint starts the server unless it runs. A start that failed is not tried
// by every test again.
func (s *server) endpoint(t testing.TB, command func(port string) *exec.Cmd) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.url == "" && s.failed == nil {
		// Between the choice of a port and its use somebody else may take it.
		for range 3 {
			if s.url, s.failed = s.start(command); !errors.Is(s.failed, errEnded) {
				break
			}
		}
	}
	if s.failed != nil {
		t.Fatalf("testbed: start %s: %v", s.service, s.failed)
	}
	return s.url
}

var errEnded = errors.New("it ended at once")

func (s *server) start(command func(port string) *exec.Cmd) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	c, err := startChild(command(strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		_, err := call(ctx, url, s.service, s.ping, "{}")
		if err == nil {
			s.child = c
			return url, nil
		}
		select {
		case <-c.done:
			return "", fmt.Errorf("%w: %s", errEnded, c.output())
		case <-ctx.Done():
			c.stop()
			return "", fmt.Errorf("no answer in %v: %w: %s", startTimeout, err, c.output())
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		s.child.stop()
		s.child, s.url = nil, ""
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// call makes one call of AWS's JSON protocol without an SDK, so that this
// package needs no service's client. The signature is a dummy: emulators read
// the credential scope and verify nothing.
func call(ctx context.Context, endpoint, service, target, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=host, Signature=0",
		AccessKeyID, time.Now().UTC().Format("20060102"), Region, service))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d: %s", target, resp.StatusCode, answer)
	}
	return answer, nil
}

// child is a process that does not outlive this one.
type child struct {
	cmd  *exec.Cmd
	done <-chan struct{} // closed when the process has ended
	out  tail
}

func startChild(cmd *exec.Cmd) (c *child, err error) {
	c = &child{cmd: cmd}
	cmd.Stdout, cmd.Stderr = &c.out, &c.out
	c.done, err = tied.Start(cmd)
	return c, err
}

func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

func (c *child) output() string { return c.out.String() }

// tail keeps the last bytes of a child's output for an error message.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if over := len(w.b) - 4096; over > 0 {
		w.b = w.b[over:]
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(w.b))
}
