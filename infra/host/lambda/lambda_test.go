package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/serve"
)

// The test binary is its own bootstrap: under a Runtime API it is a function.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		bootstrap()
		return
	}
	m.Run()
}

type order struct {
	Do string `json:"do"`
}

type report struct {
	PID         int      `json:"pid"`
	Environment []string `json:"environment"`
	Left        int64    `json:"left"` // milliseconds
}

func bootstrap() {
	switch os.Getenv("BEHAVIOUR") {
	case "exits":
		fmt.Println("leaving")
		return
	case "never asks":
		select {}
	}
	serve.Event(func(ctx context.Context, o order) (report, error) {
		switch o.Do {
		case "hang":
			fmt.Println("hanging")
			select {}
		case "exit":
			os.Exit(3)
		case "fail":
			return report{}, errors.New("private")
		case "wait":
			<-ctx.Done()
		case "grow":
			return report{Environment: []string{strings.Repeat("a", maxPayload)}}, nil
		}
		deadline, _ := ctx.Deadline()
		return report{PID: os.Getpid(), Environment: os.Environ(), Left: time.Until(deadline).Milliseconds()}, nil
	})
}

func pool(t *testing.T, change func(*Function)) *Pool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := Function{Name: "helper", Bootstrap: self, Region: "eu-central-1", Timeout: 30 * time.Second, Limit: 2}
	if change != nil {
		change(&f)
	}
	p := NewPool(f)
	t.Cleanup(p.Close)
	return p
}

func invoke(t *testing.T, p *Pool, do string) report {
	t.Helper()
	payload, err := p.Invoke(t.Context(), []byte(`{"do":"`+do+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(payload, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantFailure(t *testing.T, p *Pool, do, kind string) *FunctionError {
	t.Helper()
	_, err := p.Invoke(t.Context(), []byte(`{"do":"`+do+`"}`))
	var failed *FunctionError
	if !errors.As(err, &failed) || failed.Type != kind {
		t.Fatalf("%v, want %s", err, kind)
	}
	return failed
}

func TestAnEnvironmentServesOneEventAfterTheOther(t *testing.T) {
	p := pool(t, nil)
	first, second := invoke(t, p, ""), invoke(t, p, "")
	if first.PID != second.PID || len(p.Environments()) != 1 {
		t.Errorf("pids %d and %d", first.PID, second.PID)
	}
	if first.Left < 1 || first.Left > 30_000 {
		t.Errorf("%d ms left", first.Left)
	}
}

func TestAProcessInheritsNothingOfTheHost(t *testing.T) {
	t.Setenv("HOST_SECRET", "sk-canary-host")
	p := pool(t, func(f *Function) { f.Environment = map[string]string{"KEYVEND_TABLE": "t"} })
	environment := strings.Join(invoke(t, p, "").Environment, "\n")
	if strings.Contains(environment, "HOST_SECRET") || strings.Contains(environment, "HOME=") {
		t.Errorf("inherited: %s", environment)
	}
	for _, want := range []string{"KEYVEND_TABLE=t", "AWS_REGION=eu-central-1", "AWS_LAMBDA_FUNCTION_NAME=helper", "AWS_ACCESS_KEY_ID=" + AccessKeyID} {
		if !strings.Contains(environment, want) {
			t.Errorf("%s is missing in %s", want, environment)
		}
	}
}

func TestConcurrentEventsRunInEnvironmentsOfTheirOwnUpToTheLimit(t *testing.T) {
	p := pool(t, func(f *Function) { f.Timeout = 3 * time.Second })
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		pids = map[int]bool{}
	)
	for range 3 {
		wait.Go(func() {
			r := invoke(t, p, "wait")
			mu.Lock()
			defer mu.Unlock()
			pids[r.PID] = true
		})
	}
	wait.Wait()
	if len(pids) != 2 || len(p.Environments()) != 2 {
		t.Errorf("%d processes", len(pids))
	}
}

func TestWaitingForAnEnvironmentEndsWithTheCallersContext(t *testing.T) {
	p := pool(t, func(f *Function) { f.Limit = 1 })
	p.slots <- struct{}{} // the only one is taken
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Invoke(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-p.slots
}

func TestAFunctionThatOverrunsIsKilledAndReplaced(t *testing.T) {
	var log bytes.Buffer
	p := pool(t, func(f *Function) { f.Timeout, f.Log = time.Second, Lock(&log) })
	before := invoke(t, p, "").PID
	wantFailure(t, p, "hang", "Sandbox.Timedout")
	if after := invoke(t, p, "").PID; after == before {
		t.Error("the environment lived on")
	}
	p.Close()
	if !strings.Contains(log.String(), "hanging") {
		t.Errorf("log %q", log.String())
	}
}

func TestAKilledEnvironmentFailsItsEventAndIsReplaced(t *testing.T) {
	p := pool(t, nil)
	before := invoke(t, p, "").PID
	p.Environments()[0].Kill()
	if after := invoke(t, p, "").PID; after == before {
		t.Error("the same process")
	}
	result := make(chan error, 1)
	go func() {
		_, err := p.Invoke(context.WithoutCancel(t.Context()), []byte(`{"do":"hang"}`))
		result <- err
	}()
	for killed := false; !killed; {
		for _, e := range p.Environments() {
			if e.Busy() {
				e.Kill()
				killed = true
			}
		}
		time.Sleep(time.Millisecond)
	}
	var failed *FunctionError
	if err := <-result; !errors.As(err, &failed) || failed.Type != "Runtime.ExitError" {
		t.Error(err)
	}
	invoke(t, p, "")
}

func TestErrorsAndExitsOfTheFunctionAreFunctionErrors(t *testing.T) {
	p := pool(t, nil)
	if failed := wantFailure(t, p, "fail", "internal_error"); strings.Contains(string(failed.Payload), "private") {
		t.Errorf("%s", failed.Payload)
	}
	wantFailure(t, p, "exit", "Runtime.ExitError")
	invoke(t, p, "")
	wantFailure(t, p, "grow", "Function.ResponseSizeTooLarge") // on which the runtime ends
}

func TestAFunctionThatDoesNotStartIsAFunctionError(t *testing.T) {
	exits := pool(t, func(f *Function) { f.Environment = map[string]string{"BEHAVIOUR": "exits"} })
	wantFailure(t, exits, "", "Runtime.ExitError")
	mute := pool(t, func(f *Function) {
		f.Environment, f.InitTimeout = map[string]string{"BEHAVIOUR": "never asks"}, 200*time.Millisecond
	})
	wantFailure(t, mute, "", "Sandbox.Timedout")
	missing := pool(t, func(f *Function) { f.Bootstrap = "/does/not/exist" })
	if _, err := missing.Invoke(t.Context(), nil); err == nil {
		t.Error("no error")
	}
}

func TestAPayloadOver6MBIsRefused(t *testing.T) {
	if _, err := pool(t, nil).Invoke(t.Context(), make([]byte, maxPayload+1)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestF14_AFrozenEnvironmentGoesOnWhereItStood(t *testing.T) {
	p := pool(t, nil)
	before := invoke(t, p, "").PID
	e := p.Environments()[0]
	if err := e.Freeze(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := p.Invoke(context.WithoutCancel(t.Context()), []byte(`{}`))
		done <- err
	}()
	for !e.Busy() {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Fatalf("a frozen process answered: %v", err)
	default:
	}
	if err := e.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if after := invoke(t, p, "").PID; after != before {
		t.Error("another process")
	}
}

func TestWarmStartsEnvironmentsThatThenTakeTurns(t *testing.T) {
	p := pool(t, nil)
	if err := p.Warm(2); err != nil {
		t.Fatal(err)
	}
	if a, b := invoke(t, p, "").PID, invoke(t, p, "").PID; a == b {
		t.Error("one process did all the work")
	}
}

func TestAClosedPoolHasNoProcesses(t *testing.T) {
	p := pool(t, nil)
	invoke(t, p, "")
	p.Close()
	if n := len(p.Environments()); n != 0 {
		t.Errorf("%d processes", n)
	}
	if _, err := p.Invoke(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
