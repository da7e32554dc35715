package testbed

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// echo is a service that answers with a JSON of the request and counts what
// reached it.
type echo struct {
	*httptest.Server
	mu      sync.Mutex
	reached int
}

func newEcho(t *testing.T) *echo {
	s := &echo{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := fmt.Sprintf(`{"op":%q,"got":%s}`, r.Header.Get("X-Amz-Target"), body)
		s.mu.Lock()
		s.reached++
		s.mu.Unlock()
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(answer))), 10))
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *echo) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reached
}

// ask makes one call over a connection of its own.
func ask(t *testing.T, url, op, body string) (status int, answer string, fits bool, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "Service."+op)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", false, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	fits = resp.Header.Get("X-Amz-Crc32") == strconv.FormatUint(uint64(crc32.ChecksumIEEE(b)), 10)
	return resp.StatusCode, string(b), fits, err
}

func TestEachFaultIsWhatItSays(t *testing.T) {
	const whole = `{"op":"Service.Do","got":{"x":1}}`
	for name, c := range map[string]struct {
		fault   Fault
		status  int // 0: no answer
		body    string
		unfit   bool // the checksum does not fit
		reached int
	}{
		"Forward":    {Forward, 200, whole, false, 1},
		"Fail":       {Fail(400, "ThrottlingException"), 400, `{"__type":"com.amazonaws.testbed#ThrottlingException","message":"scripted by the test"}`, false, 0},
		"FailStored": {FailStored(500, "X"), 500, `{"__type":"com.amazonaws.testbed#X","message":"scripted by the test"}`, false, 1},
		"Reply":      {Reply(200, "<html>"), 200, "<html>", false, 0},
		"Reset":      {Reset, 0, "", true, 0},
		"DropAnswer": {DropAnswer, 0, "", true, 1},
		"Truncate":   {Truncate, 200, whole[:len(whole)/2], false, 1},
		"CutOff":     {CutOff, 0, "", true, 1},
		"WrongCRC":   {WrongCRC, 200, whole, true, 1},
		"SlowBody":   {SlowBody(time.Millisecond), 200, whole, true, 1},
		"Delay":      {Delay(time.Millisecond), 200, whole, false, 1},
		"Edit":       {Edit(func(a map[string]any) { delete(a, "got") }), 200, `{"op":"Service.Do"}`, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := newEcho(t)
			e := NewEndpoint(t, upstream.URL)
			e.On("Do", c.fault)
			status, body, fits, err := ask(t, e.URL, "Do", `{"x":1}`)
			if c.status == 0 {
				if err == nil {
					t.Errorf("answered %d %q", status, body)
				}
			} else if err != nil || status != c.status || body != c.body || fits == c.unfit {
				t.Errorf("answered %d %q, checksum fits %v, %v", status, body, fits, err)
			}
			if upstream.count() != c.reached {
				t.Errorf("%d calls reached the service, want %d", upstream.count(), c.reached)
			}
			if status, body, _, err := ask(t, e.URL, "Do", `{"x":1}`); status != 200 || body != whole || err != nil {
				t.Errorf("the next call: %d %q, %v", status, body, err)
			}
		})
	}
}

func TestResetIsAReset(t *testing.T) {
	e := NewEndpoint(t, "")
	e.On("Do", Reset)
	if _, _, _, err := ask(t, e.URL, "Do", "{}"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error = %v", err)
	}
}

func TestACallerThatHangsUpEndsTheWaitOfItsCall(t *testing.T) {
	for name, fault := range map[string]Fault{"Hang": Hang, "Delay": Delay(time.Hour)} {
		upstream := newEcho(t)
		e := NewEndpoint(t, upstream.URL)
		e.On("Do", fault)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "Service.Do")
		answered := make(chan error)
		go func() {
			_, err := http.DefaultClient.Do(req)
			answered <- err
		}()
		for e.Calls("Do") == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-answered; err == nil {
			t.Errorf("%s: answered", name)
		}
		if upstream.count() != 0 {
			t.Errorf("%s: handed on", name)
		}
	}
}

func TestUnprocessedKeysAreNotRead(t *testing.T) {
	upstream := newEcho(t)
	e := NewEndpoint(t, upstream.URL)
	batch := `{"RequestItems":{"t":{"ConsistentRead":true,"Keys":[{"PK":{"S":"p"},"SK":{"S":"a"}},{"PK":{"S":"p"},"SK":{"S":"b"}}]}}}`
	e.On("BatchGetItem", Unprocessed(func(_, sk string) bool { return sk == "a" }), Unprocessed(func(string, string) bool { return true }))
	_, first, fits, err := ask(t, e.URL, "BatchGetItem", batch)
	if err != nil || !fits {
		t.Fatal(err, fits)
	}
	left, got, _ := strings.Cut(first, `"got"`) // in the order of the alphabet, UnprocessedKeys stand first
	if strings.Contains(got, `{"S":"a"}`) || !strings.Contains(got, `{"S":"b"}`) || !strings.Contains(left, `{"S":"a"}`) || strings.Contains(left, `{"S":"b"}`) {
		t.Errorf("answer %s", first)
	}
	if _, second, _, err := ask(t, e.URL, "BatchGetItem", batch); err != nil || !strings.Contains(second, `{"S":"a"}`) || !strings.Contains(second, `{"S":"b"}`) {
		t.Errorf("answer %s, %v", second, err)
	}
	if upstream.count() != 1 {
		t.Errorf("%d calls reached the service, want 1", upstream.count())
	}
}

func TestTheLogTellsWhatTheSDKAsksAgain(t *testing.T) {
	e := NewEndpoint(t, "")
	e.On("PutItem", Fail(500, "InternalServerError"), Fail(400, "ValidationException"))
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &e.URL, Region: "eu-central-1", Credentials: aws.AnonymousCredentials{},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
	})
	name := "table"
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: map[string]types.AttributeValue{}}); err == nil {
		t.Fatal("two faults were an answer")
	}
	log := e.Log()
	if len(log) != 2 || log[0].Again || !log[1].Again {
		t.Errorf("the log is %+v", log)
	}
}

func TestScriptsGoByOperationAndThenByAny(t *testing.T) {
	e := NewEndpoint(t, "")
	e.On("A", Reply(201, "{}"), Reply(202, "{}"))
	e.Always(Any, Reply(203, "{}"))
	var got []int
	for _, op := range []string{"B", "A", "A", "A", "B"} {
		status, _, _, err := ask(t, e.URL, op, "{}")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	if fmt.Sprint(got) != "[203 201 202 203 203]" {
		t.Errorf("answers %v", got)
	}
	if e.Calls("A") != 3 || e.Calls("B") != 2 || e.Calls(Any) != 5 || len(e.Log()) != 5 {
		t.Errorf("counted %d, %d, %d", e.Calls("A"), e.Calls("B"), e.Calls(Any))
	}
	e.Forget()
	if e.Calls(Any) != 0 {
		t.Error("the log was not forgotten")
	}
}

func TestConcurrentCallsEachMeetOneFault(t *testing.T) {
	e := NewEndpoint(t, "")
	const calls = 20
	for range calls {
		e.On("Do", Reply(400, "{}"))
	}
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if status, _, _, err := ask(t, e.URL, "Do", "{}"); status != 400 || err != nil {
				t.Errorf("answer %d, %v", status, err)
			}
		})
	}
	wg.Wait()
	if e.Calls("Do") != calls {
		t.Errorf("counted %d", e.Calls("Do"))
	}
}

// witness takes a test's place and hears what it would be told.
type witness struct {
	testing.TB
	mu       sync.Mutex
	errors   []string
	ended    string
	cleanups []func()
}

func (w *witness) Helper()          {}
func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }
func (w *witness) Errorf(f string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors = append(w.errors, fmt.Sprintf(f, a...))
}
func (w *witness) Fatalf(f string, a ...any) { w.end("fatal: " + fmt.Sprintf(f, a...)) }
func (w *witness) Skipf(f string, a ...any)  { w.end("skip: " + fmt.Sprintf(f, a...)) }
func (w *witness) end(how string) {
	if w.ended == "" {
		w.ended = how
	}
	panic(w)
}

// watch runs f as a test of its own.
func watch(t *testing.T, f func(tb testing.TB)) *witness {
	w := &witness{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(w) {
				panic(r)
			}
		}()
		f(w)
	}()
	for _, c := range w.cleanups {
		c()
	}
	return w
}

func TestAnEndpointThatIsMisusedFailsTheTest(t *testing.T) {
	for name, misuse := range map[string]func(tb testing.TB){
		"a fault that no call meets":    func(tb testing.TB) { NewEndpoint(tb, "").On("Do", Reset) },
		"a rule that no call meets":     func(tb testing.TB) { NewEndpoint(tb, "").Always("Do", Reset) },
		"a call that nobody expects":    func(tb testing.TB) { _, _, _, _ = ask(t, NewEndpoint(tb, "").URL, "Do", "{}") },
		"a script cleared before a use": func(tb testing.TB) { e := NewEndpoint(tb, ""); e.On("Do", Reset); e.Clear("Do") },
		"an edit of what is no JSON": func(tb testing.TB) {
			e := NewEndpoint(tb, newEcho(t).URL)
			e.On("Do", Edit(func(map[string]any) {}))
			_, _, _, _ = ask(t, e.URL, "Do", "no JSON")
		},
		"a hand-on to nothing": func(tb testing.TB) {
			e := NewEndpoint(tb, "")
			e.On("Do", Forward)
			_, _, _, _ = ask(t, e.URL, "Do", "{}")
		},
	} {
		if w := watch(t, misuse); len(w.errors) == 0 {
			t.Errorf("%s: nobody complains", name)
		}
	}
}

func TestAMissingToolFailsInCIAndSkipsElsewhere(t *testing.T) {
	t.Setenv("KEYVEND_TOOLS", t.TempDir())
	for ci, want := range map[string]string{"": "skip: ", "true": "fatal: "} {
		t.Setenv("CI", ci)
		for name, need := range map[string]func(tb testing.TB){
			"Tool":    func(tb testing.TB) { Tool(tb, "no/such/tool") },
			"Command": func(tb testing.TB) { Command(tb, "no-such-program") },
		} {
			if w := watch(t, need); !strings.HasPrefix(w.ended, want) || !strings.Contains(w.ended, "no") {
				t.Errorf("CI=%q: %s ended with %q", ci, name, w.ended)
			}
		}
	}
}

func TestARunningEmulatorIsShared(t *testing.T) {
	t.Setenv("KEYVEND_TEST_DYNAMODB", "http://127.0.0.1:1111")
	t.Setenv("KEYVEND_TEST_KMS", "http://127.0.0.1:2222")
	if d, k := DynamoDB(t), KMS(t); d != "http://127.0.0.1:1111" || k != "http://127.0.0.1:2222" {
		t.Errorf("endpoints %s and %s", d, k)
	}
}
