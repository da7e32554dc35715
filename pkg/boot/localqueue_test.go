package boot

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/vault"
)

func quickQueue() *localQueue {
	q := newLocalQueue(nil)
	q.pause = time.Millisecond
	return q
}

// told is a log that tells of its errors.
type told chan string

func (l told) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "level=ERROR") {
		l <- string(line)
	}
	return len(line), nil
}

// failing works through a queue with one request, whose check fails so often. It
// returns how often it came, until it was made or given up.
func failing(t *testing.T, times int) (came int, given bool) {
	t.Helper()
	q, made, gave := quickQueue(), make(chan bool), make(told, 1)
	if errs := q.Send(t.Context(), []vault.CheckRequest{{User: "anna"}}); errs[0] != nil {
		t.Fatal(errs)
	}
	ctx, stop := context.WithCancel(t.Context())
	var over sync.WaitGroup
	over.Go(func() { // one request, which is never checked twice at once
		q.work(ctx, func(context.Context, vault.CheckRequest) error {
			if came++; came <= times {
				return errors.New("a lock")
			}
			close(made)
			return nil
		}, slog.New(slog.NewTextHandler(gave, nil)))
	})
	select {
	case <-made:
	case <-gave:
		given = true
	}
	stop()
	over.Wait()
	return came, given
}

func TestACheckThatFailsOnALaptopComesAgainAFewTimes(t *testing.T) {
	if came, given := failing(t, 2); came != 3 || given {
		t.Errorf("failing twice, it came %d times, given up: %v", came, given)
	}
	if came, given := failing(t, 100); came != deliveries || !given {
		t.Errorf("failing for good, it came %d times, given up: %v", came, given)
	}
}

// Whoever asked is told, or its request waits for room: none is dropped in silence.
func TestAFullQueueOnALaptopDropsNoRequest(t *testing.T) {
	q := quickQueue()
	q.ready = make(chan delivery, 1)
	errs := q.Send(t.Context(), []vault.CheckRequest{{User: "first"}, {User: "second"}})
	if errs[0] != nil || !errors.Is(errs[1], errQueueFull) {
		t.Errorf("%v", errs)
	}
	soon := vault.CheckRequest{User: "third", Slot: time.Now().Add(time.Millisecond)}
	if errs := q.Send(t.Context(), []vault.CheckRequest{soon}); errs[0] != nil {
		t.Error(errs)
	}
	for _, want := range []string{"first", "third"} {
		if d := <-q.ready; d.User != want {
			t.Errorf("%q came, want %q", d.User, want)
		}
	}
}
