package sqs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"keyvend/infra/host/cfn"
	"keyvend/infra/host/sqs"
	"keyvend/infra/testbed"
)

var place = sqs.Place{Region: testbed.Region, Account: "123456789012"}

// world is the service with the queues "work", whose dead letters go to "dead",
// and "late", whose messages wait for a minute; its time stands still.
type world struct {
	*sqs.Service
	client           *client.Client
	work, dead, late *sqs.Queue
}

const visibility = 10 * time.Minute

func newWorld(t *testing.T, change func(*sqs.Config)) *world {
	t.Helper()
	now := time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC)
	c := sqs.Config{Place: place, Now: func() time.Time { return now }, Queues: []cfn.Queue{
		{Name: "work", Visibility: visibility, DeadLetters: place.ARN("dead"), MaxReceives: 2},
		{Name: "dead", Visibility: visibility},
		{Name: "late", Visibility: visibility, Delay: time.Minute},
	}}
	if change != nil {
		change(&c)
	}
	s, err := sqs.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	cfg := testbed.Config()
	cfg.BaseEndpoint = &server.URL
	w := &world{Service: s, client: client.NewFromConfig(cfg)}
	for name, q := range map[string]**sqs.Queue{"work": &w.work, "dead": &w.dead, "late": &w.late} {
		*q, _ = s.Queue(place.ARN(name))
	}
	return w
}

// send sends messages in one call.
func (w *world) send(t *testing.T, name string, bodies ...string) {
	t.Helper()
	in := &client.SendMessageBatchInput{QueueUrl: aws.String(place.URL(name))}
	for i, body := range bodies {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)})
	}
	if out, err := w.client.SendMessageBatch(t.Context(), in); err != nil || len(out.Successful) != len(bodies) || len(out.Failed) > 0 {
		t.Fatalf("%+v %v", out, err)
	}
}

// received are the bodies of what can be received now.
func received(t *testing.T, q *sqs.Queue, most int) (bodies []string, batch []sqs.Delivery) {
	t.Helper()
	if q.Stats().Visible == 0 {
		return nil, nil
	}
	for _, d := range q.Receive(t.Context(), most, 0) {
		bodies, batch = append(bodies, d.Body), append(batch, d)
	}
	return bodies, batch
}

func TestWhatIsSentIsReceivedInItsOrderAndGoneWhenItIsDeleted(t *testing.T) {
	w := newWorld(t, nil)
	w.send(t, "work", "a", "b", "c")
	if _, err := w.client.SendMessage(t.Context(), &client.SendMessageInput{QueueUrl: aws.String(place.URL("work")), MessageBody: aws.String("d")}); err != nil {
		t.Fatal(err)
	}
	first, batch := received(t, w.work, 3)
	second, more := received(t, w.work, 3)
	if !slices.Equal(first, []string{"a", "b", "c"}) || !slices.Equal(second, []string{"d"}) {
		t.Errorf("%v, %v", first, second)
	}
	ids := map[string]bool{}
	for _, d := range append(batch, more...) {
		if d.Receives != 1 || d.SentAt.IsZero() || !d.ReceivedAt.Equal(d.SentAt) {
			t.Errorf("%+v", d)
		}
		ids[d.ID] = true
		w.work.Delete(d.Receipt)
	}
	if got, want := w.work.Stats(), (sqs.Stats{Sent: 4, Received: 4, Handled: 4, Deleted: 4}); got != want || len(ids) != 4 || len(w.work.Messages()) > 0 || len(w.work.Sent()) != 4 {
		t.Errorf("%+v, ids %v", got, ids)
	}
}

func TestAMessageComesAgainAfterTheVisibilityTimeoutAndItsOldReceiptIsWorthNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.send(t, "work", "a")
	_, old := received(t, w.work, 1)
	w.Advance(visibility - time.Second)
	if s := w.work.Stats(); s.InFlight != 1 || s.Visible != 0 {
		t.Errorf("before: %+v", s)
	}
	w.Advance(time.Second)
	_, again := received(t, w.work, 1)
	if len(again) != 1 || again[0].Receives != 2 || again[0].ID != old[0].ID || again[0].Receipt == old[0].Receipt {
		t.Fatalf("%+v", again)
	}
	if age := again[0].ReceivedAt.Sub(again[0].SentAt); age != 0 {
		t.Errorf("first received %v after it was sent", age)
	}
	w.work.Delete(old[0].Receipt)
	w.work.Delete("")
	if s := w.work.Stats(); s.Deleted != 0 || s.InFlight != 1 {
		t.Errorf("%+v", s)
	}
	w.work.Delete(again[0].Receipt)
	if s := w.work.Stats(); s.Deleted != 1 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

// What leapt lies behind whoever reads the time that a message was sent at.
func TestTimeThatPassedAtOnceMakesMessagesOlder(t *testing.T) {
	w := newWorld(t, nil)
	w.send(t, "work", "a")
	w.Advance(time.Hour)
	_, batch := received(t, w.work, 1)
	if age := batch[0].ReceivedAt.Sub(batch[0].SentAt); age != time.Hour || !batch[0].ReceivedAt.Equal(w.Now()) {
		t.Errorf("%v old at %v", age, batch[0].ReceivedAt)
	}
}

func TestAMessageThatWasReceivedTooOftenIsADeadLetter(t *testing.T) {
	w := newWorld(t, nil)
	w.send(t, "work", "a", "b")
	for round := range 2 {
		bodies, batch := received(t, w.work, 10)
		if round == 0 {
			w.work.Delete(batch[1].Receipt)
		}
		w.work.Leave()
		if want := []string{"a", "b"}[:2-round]; !slices.Equal(bodies, want) {
			t.Errorf("round %d: %v", round, bodies)
		}
		w.Advance(visibility)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []sqs.Delivery)
	go func() { done <- w.work.Receive(ctx, 10, 0) }()
	if _, err := w.dead.Await(t.Context(), func(s sqs.Stats) bool { return s.Visible == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if batch := <-done; len(batch) > 0 {
		t.Errorf("received %v", batch)
	}
	if got, want := w.work.Stats(), (sqs.Stats{Sent: 2, Received: 3, Handled: 3, Deleted: 1, Dead: 1}); got != want {
		t.Errorf("%+v", got)
	}
	letters := w.dead.Messages()
	if len(letters) != 1 || letters[0].Body != "a" || letters[0].From != place.ARN("work") || letters[0].Receives != 2 {
		t.Errorf("%+v", letters)
	}
	if s := w.dead.Stats(); s.Sent != 0 {
		t.Errorf("a dead letter was sent by somebody: %+v", s)
	}
}

func TestADelayIsTheMessagesOrElseTheQueues(t *testing.T) {
	w := newWorld(t, nil)
	send := func(name, body string, delay int32) {
		t.Helper()
		if _, err := w.client.SendMessage(t.Context(), &client.SendMessageInput{QueueUrl: aws.String(place.URL(name)), MessageBody: &body, DelaySeconds: delay}); err != nil {
			t.Fatal(err)
		}
	}
	send("work", "none", 0)
	send("work", "longest", 900)
	send("late", "the queue's", 0)
	send("late", "its own", 90)
	for _, step := range []struct {
		pass       time.Duration
		work, late int // delayed
	}{{0, 1, 2}, {59 * time.Second, 1, 2}, {time.Second, 1, 1}, {30 * time.Second, 1, 0}, {809 * time.Second, 1, 0}, {time.Second, 0, 0}} {
		w.Advance(step.pass)
		if work, late := w.work.Stats(), w.late.Stats(); work.Delayed != step.work || late.Delayed != step.late || work.Visible != 2-step.work || late.Visible != 2-step.late {
			t.Errorf("after %v: %+v, %+v", step.pass, work, late)
		}
	}
	if sent := w.work.Sent(); sent[0].Delay != 0 || sent[1].Delay != 15*time.Minute || w.late.Sent()[0].Delay != time.Minute {
		t.Errorf("%+v", sent)
	}
}

func TestWhoReceivesWaitsForMessagesForTheWindowAndForHisBatch(t *testing.T) {
	w := newWorld(t, nil)
	receive := func(most int, window time.Duration) chan []sqs.Delivery {
		done := make(chan []sqs.Delivery, 1)
		go func() { done <- w.work.Receive(t.Context(), most, window) }()
		return done
	}
	gathered := func(n int) {
		t.Helper()
		if _, err := w.work.Await(t.Context(), func(s sqs.Stats) bool { return s.InFlight == n }); err != nil {
			t.Fatal(err)
		}
	}
	done := receive(3, 20*time.Second)
	w.send(t, "work", "a")
	gathered(1)
	w.send(t, "work", "b")
	gathered(2)
	w.Advance(20 * time.Second)
	if batch := <-done; len(batch) != 2 || batch[1].Body != "b" {
		t.Errorf("%v", batch)
	}
	done = receive(2, time.Hour)
	w.send(t, "work", "c")
	gathered(3)
	w.send(t, "work", "d", "e")
	if batch := <-done; len(batch) != 2 || batch[1].Body != "d" {
		t.Errorf("%v", batch)
	}
}

func TestAHeldQueueGivesNothingUntilItIsReleased(t *testing.T) {
	w := newWorld(t, nil)
	w.work.Hold()
	w.send(t, "work", "a")
	done := make(chan []sqs.Delivery)
	go func() { done <- w.work.Receive(t.Context(), 1, 0) }()
	w.Advance(time.Hour)
	if s := w.work.Stats(); s.Visible != 1 || s.Received != 0 {
		t.Errorf("%+v", s)
	}
	w.work.Release()
	if batch := <-done; len(batch) != 1 {
		t.Errorf("%v", batch)
	}
}

func TestEachMessageIsDeliveredTwiceIfAskedForButNotInOneBatch(t *testing.T) {
	w := newWorld(t, func(c *sqs.Config) { c.Twice = true })
	w.send(t, "work", "a", "b")
	first, batch := received(t, w.work, 10)
	second, more := received(t, w.work, 10)
	if !slices.Equal(first, []string{"a", "b"}) || !slices.Equal(second, first) || batch[0].ID != more[0].ID || batch[0].Receipt == more[0].Receipt {
		t.Errorf("%v, %v", batch, more)
	}
	w.work.Delete(batch[0].Receipt)
	if s := w.work.Stats(); s.InFlight != 3 || s.Sent != 2 {
		t.Errorf("%+v", s)
	}
}

func TestWaitingEndsWithTheCallersContext(t *testing.T) {
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []sqs.Delivery)
	go func() { done <- w.work.Receive(ctx, 1, 0) }()
	cancel()
	if batch := <-done; len(batch) > 0 {
		t.Errorf("%v", batch)
	}
	if _, err := w.work.Await(ctx, func(sqs.Stats) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := w.work.Await(ctx, func(sqs.Stats) bool { return true }); err != nil {
		t.Error(err)
	}
}

func TestRealTimePassesByItself(t *testing.T) {
	w := newWorld(t, func(c *sqs.Config) { c.Now, c.Queues[0].Visibility = nil, 10*time.Millisecond })
	w.send(t, "work", "a")
	w.work.Receive(t.Context(), 1, 0)
	if batch := w.work.Receive(t.Context(), 1, time.Millisecond); len(batch) != 1 || batch[0].Receives != 2 {
		t.Errorf("%v", batch)
	}
}

func TestEverySentMessageIsALineOfTheLog(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *sqs.Config) { c.Log = &log })
	w.send(t, "work", "a")
	w.dead.Send("b")
	if log.String() != "queue work: a\nqueue dead: b\n" {
		t.Errorf("%s", log.String())
	}
}

func TestWhatSQSRefusesIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	full := strings.Repeat("a", 256<<10)
	entries := func(n int, body string) (all []types.SendMessageBatchRequestEntry) {
		for i := range n {
			all = append(all, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: &body})
		}
		return all
	}
	twice := append(entries(1, "a"), entries(1, "b")...)
	odd := entries(1, "a")
	odd[0].Id = aws.String("a b")
	for name, c := range map[string]struct {
		queue   string
		entries []types.SendMessageBatchRequestEntry
		code    string
	}{
		"ten":              {"work", entries(10, "a"), ""},
		"as large as can":  {"work", entries(1, full), ""},
		"eleven":           {"work", entries(11, "a"), "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		"none":             {"work", []types.SendMessageBatchRequestEntry{}, "AWS.SimpleQueueService.EmptyBatchRequest"},
		"too large in sum": {"work", entries(2, full), "AWS.SimpleQueueService.BatchRequestTooLong"},
		"an id twice":      {"work", twice, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		"an odd id":        {"work", odd, "AWS.SimpleQueueService.InvalidBatchEntryId"},
		"another queue":    {"other", entries(1, "a"), "AWS.SimpleQueueService.NonExistentQueue"},
	} {
		_, err := w.client.SendMessageBatch(t.Context(), &client.SendMessageBatchInput{QueueUrl: aws.String(place.URL(c.queue)), Entries: c.entries})
		if got := code(err); got != c.code {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	attributes := map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("b")}}
	for name, c := range map[string]struct {
		in   client.SendMessageInput
		code string
	}{
		"too large":         {client.SendMessageInput{MessageBody: aws.String(full + "a")}, "InvalidParameterValue"},
		"empty":             {client.SendMessageInput{MessageBody: aws.String("")}, "MissingParameter"},
		"odd characters":    {client.SendMessageInput{MessageBody: aws.String("a\x00")}, "InvalidMessageContents"},
		"too late":          {client.SendMessageInput{MessageBody: aws.String("a"), DelaySeconds: 901}, "InvalidParameterValue"},
		"before it is sent": {client.SendMessageInput{MessageBody: aws.String("a"), DelaySeconds: -1}, "InvalidParameterValue"},
		"attributes":        {client.SendMessageInput{MessageBody: aws.String("a"), MessageAttributes: attributes}, "UnsupportedOperation"},
	} {
		c.in.QueueUrl = aws.String(place.URL("work"))
		if _, err := w.client.SendMessage(t.Context(), &c.in); code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		before := w.work.Stats()
		out, err := w.client.SendMessageBatch(t.Context(), &client.SendMessageBatchInput{QueueUrl: c.in.QueueUrl, Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("good"), MessageBody: aws.String("good")}, {Id: aws.String("bad"), MessageBody: c.in.MessageBody, DelaySeconds: c.in.DelaySeconds, MessageAttributes: c.in.MessageAttributes},
		}})
		if name == "too large" || name == "attributes" { // which is the call's fault
			if err == nil {
				t.Errorf("%s in a batch: no error", name)
			}
			continue
		}
		if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Id != "bad" || *out.Failed[0].Code != c.code || !out.Failed[0].SenderFault || w.work.Stats().Sent != before.Sent+1 {
			t.Errorf("%s in a batch: %+v %v", name, out, err)
		}
	}
	if _, err := w.client.ReceiveMessage(t.Context(), &client.ReceiveMessageInput{QueueUrl: aws.String(place.URL("work"))}); code(err) != "UnsupportedOperation" {
		t.Error(err)
	}
}

// code is the error's, "" when there is none.
func code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	default:
		return err.Error()
	}
}

func TestQueuesThatCannotBeAreAnError(t *testing.T) {
	for name, queues := range map[string][]cfn.Queue{
		"dead letters go nowhere":      {{Name: "a", DeadLetters: place.ARN("b"), MaxReceives: 1}},
		"dead letters go back":         {{Name: "a", DeadLetters: place.ARN("a"), MaxReceives: 1}},
		"two queues are of one name":   {{Name: "a"}, {Name: "a"}},
		"dead letters go to their URL": {{Name: "a", DeadLetters: place.URL("b"), MaxReceives: 1}, {Name: "b"}},
	} {
		if _, err := sqs.New(sqs.Config{Place: place, Queues: queues}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
