package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	emulated "keyvend/infra/host/sqs"
	"keyvend/infra/testbed"
	"keyvend/pkg/bus/sqs"
	"keyvend/pkg/queue"
)

// job is a message's body: what the function "worker" does when it gets it, and
// how many times it does so before it behaves.
type job struct {
	Name  string
	Do    string
	Times int
}

// report is what "worker" tells before it does anything.
type report struct {
	PID   int
	Event queue.Event
}

// posting is what "sender" is to send.
type posting struct {
	Queue    string // URL
	Messages []sqs.Message
}

func client(url string) *sqs.Queue {
	cfg := testbed.Config()
	cfg.BaseEndpoint = aws.String(os.Getenv("AWS_ENDPOINT_URL_SQS"))
	return sqs.New(cfg, url)
}

// sender is the function that sends.
func sender(ctx context.Context, p posting) (failed []string, err error) {
	for _, err := range client(p.Queue).SendBatch(ctx, p.Messages) {
		if err != nil {
			failed = append(failed, err.Error())
		}
	}
	return failed, nil
}

// worker is the function that the queue triggers.
func worker(ctx context.Context, event queue.Event) (answer any, err error) {
	told, err := json.Marshal(report{os.Getpid(), event})
	if err != nil {
		return nil, err
	}
	if err := client(os.Getenv("SEEN_QUEUE")).Send(ctx, told); err != nil {
		return nil, err
	}
	nonsense := false
	handle := func(_ context.Context, messages []queue.Message[job]) (failed []string) {
		for _, m := range messages {
			if m.Receives > m.Body.Times {
				continue
			}
			switch m.Body.Do {
			case "fail":
				failed = append(failed, m.ID)
			case "answer nonsense":
				nonsense = true
			case "exit":
				os.Exit(3)
			case "hang":
				select {}
			case "panic":
				panic("on purpose")
			}
		}
		return failed
	}
	answer, err = queue.Batch(handle, func(context.Context, queue.Unread) error { return nil })(ctx, event)
	if nonsense {
		return map[string]any{"batchItemFailures": []any{map[string]string{"itemIdentifier": "of nobody"}}}, nil
	}
	return answer, err
}

// bench is a stack of testdata/queue.yaml.
type bench struct {
	*Stack
	t                *testing.T
	work, dead, told *emulated.Queue
}

func queueConfig(t *testing.T) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"sender", "worker"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(dir, name, "bootstrap")); err != nil {
			t.Fatal(err)
		}
	}
	return Config{Template: "testdata/queue.yaml", Bootstraps: dir}
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	c := queueConfig(t)
	if change != nil {
		change(&c)
	}
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &bench{Stack: s, t: t}
	for logical, q := range map[string]**emulated.Queue{"WorkQueue": &b.work, "DeadQueue": &b.dead, "SeenQueue": &b.told} {
		if *q, err = s.Queue(logical); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// put puts jobs on the queue such that they can be received together.
func (b *bench) put(jobs ...job) {
	b.t.Helper()
	b.work.Hold()
	defer b.work.Release()
	for _, j := range jobs {
		b.work.Send(encoded(b.t, j))
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// await waits until a queue is as it is wanted; a minute is for slow machines.
func (b *bench) await(q *emulated.Queue, as func(emulated.Stats) bool) emulated.Stats {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	s, err := q.Await(ctx, as)
	if err != nil {
		b.t.Fatalf("%s: %+v: %v", q.Name, s, err)
	}
	return s
}

// seen waits for so many reports and returns the batches as "name×receives", and
// who got them.
func (b *bench) seen(n int) (batches []string, pids []int) {
	b.t.Helper()
	b.await(b.told, func(s emulated.Stats) bool { return s.Sent >= n })
	for _, m := range b.told.Sent() {
		var r report
		if err := json.Unmarshal([]byte(m.Body), &r); err != nil {
			b.t.Fatal(err)
		}
		var names []string
		read := func(_ context.Context, messages []queue.Message[job]) []string {
			for _, m := range messages {
				names = append(names, fmt.Sprintf("%s×%d", m.Body.Name, m.Receives))
			}
			return nil
		}
		if _, err := queue.Batch(read, func(context.Context, queue.Unread) error { return errors.New("unread") })(b.t.Context(), r.Event); err != nil {
			b.t.Fatal(err)
		}
		batches, pids = append(batches, strings.Join(names, " ")), append(pids, r.PID)
	}
	return batches, pids
}

func (b *bench) wantSeen(want ...string) {
	b.t.Helper()
	if got, _ := b.seen(len(want)); !slices.Equal(got, want) {
		b.t.Errorf("delivered %q, want %q", got, want)
	}
}

// send has the function "sender" send jobs to a queue.
func (b *bench) send(to *emulated.Queue, delay time.Duration, jobs ...job) (failed []string) {
	b.t.Helper()
	p := posting{Queue: b.place().URL(to.Name)}
	for _, j := range jobs {
		p.Messages = append(p.Messages, sqs.Message{Body: []byte(encoded(b.t, j)), Delay: delay})
	}
	answer, err := b.Invoke(b.t.Context(), "sender", []byte(encoded(b.t, p)))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &failed); err != nil {
		b.t.Fatal(err)
	}
	return failed
}

func TestWhatAFunctionSendsReachesTheFunctionOfTheQueue(t *testing.T) {
	b := newBench(t, nil)
	if failed := b.send(b.work, 0, job{Name: "a"}, job{Name: "b"}, job{Name: "c"}); len(failed) > 0 {
		t.Fatalf("%v, denied %v", failed, b.Denied())
	}
	s := b.await(b.work, func(s emulated.Stats) bool { return s.Deleted == 3 })
	if want := (emulated.Stats{Sent: 3, Received: 3, Handled: 3, Deleted: 3}); s != want {
		t.Errorf("%+v", s)
	}
	b.wantSeen("a×1 b×1 c×1")
	if denied := b.Denied(); len(denied) > 0 {
		t.Errorf("%v", denied)
	}
}

func TestAFunctionGetsMessagesInTheFormOfSQS(t *testing.T) {
	b := newBench(t, nil)
	b.put(job{Name: "a"})
	b.seen(1)
	var r struct {
		Event struct{ Records []map[string]any }
	}
	if err := json.Unmarshal([]byte(b.told.Sent()[0].Body), &r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../events/health.json")
	if err != nil {
		t.Fatal(err)
	}
	var real struct{ Records []map[string]any }
	if err := json.Unmarshal(text, &real); err != nil {
		t.Fatal(err)
	}
	got, want := r.Event.Records[0], real.Records[0]
	if !reflect.DeepEqual(shape(got), shape(want)) {
		t.Errorf("%v\nwant the form of %v", got, want)
	}
	for field, value := range map[string]any{
		"eventSource": want["eventSource"], "awsRegion": "eu-central-1", "eventSourceARN": b.work.ARN,
		"body": encoded(t, job{Name: "a"}), "md5OfBody": emulated.MD5(encoded(t, job{Name: "a"})),
	} {
		if got[field] != value {
			t.Errorf("%s: %v", field, got[field])
		}
	}
}

// shape is v with its values left out.
func shape(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprintf("%T", v)
	}
	out := map[string]any{}
	for name, inner := range m {
		out[name] = shape(inner)
	}
	return out
}

func TestWhatTheFunctionReportsComesAgainAloneAfterTheVisibilityTimeout(t *testing.T) {
	b := newBench(t, nil)
	b.put(job{Name: "a"}, job{Name: "b", Do: "fail", Times: 1}, job{Name: "c"})
	b.await(b.work, func(s emulated.Stats) bool { return s.Handled == 3 })
	b.Advance(b.work.Visibility - time.Minute)
	if s := b.work.Stats(); s.Deleted != 2 || s.InFlight != 1 || s.Received != 3 {
		t.Errorf("%+v", s)
	}
	b.Advance(time.Minute)
	b.await(b.work, func(s emulated.Stats) bool { return s.Deleted == 3 })
	b.wantSeen("a×1 b×1 c×1", "b×2")
}

func TestWhateverIsNoReportFailsTheWholeBatch(t *testing.T) {
	for _, do := range []string{"exit", "panic", "answer nonsense"} {
		t.Run(do, func(t *testing.T) {
			b := newBench(t, nil)
			b.put(job{Name: "a"}, job{Name: "b", Do: do, Times: 1})
			if s := b.await(b.work, func(s emulated.Stats) bool { return s.Handled == 2 }); s.InFlight != 2 || s.Deleted != 0 {
				t.Errorf("%+v", s)
			}
			b.Advance(b.work.Visibility)
			b.await(b.work, func(s emulated.Stats) bool { return s.Deleted == 2 })
			b.wantSeen("a×1 b×1", "a×2 b×2")
		})
	}
}

// F27: nothing of a batch is lost whose function is killed.
func TestF27_ABatchWhoseFunctionIsKilledComesAgainAfterTheVisibilityTimeout(t *testing.T) {
	b := newBench(t, nil)
	b.put(job{Name: "a"}, job{Name: "b", Do: "hang", Times: 1}, job{Name: "c"})
	_, before := b.seen(1)
	pool, err := b.Function("worker")
	if err != nil {
		t.Fatal(err)
	}
	killAll(pool)
	b.await(b.work, func(s emulated.Stats) bool { return s.Handled == 3 })
	b.Advance(b.work.Visibility - time.Minute)
	if s := b.work.Stats(); s.InFlight != 3 || s.Received != 3 {
		t.Errorf("%+v", s)
	}
	b.Advance(time.Minute)
	b.await(b.work, func(s emulated.Stats) bool { return s.Deleted == 3 })
	b.wantSeen("a×1 b×1 c×1", "a×2 b×2 c×2")
	if _, after := b.seen(2); after[1] == before[0] {
		t.Error("the same process")
	}
}

func TestAMessageThatFailsTooOftenIsADeadLetterAndTheOthersAreDone(t *testing.T) {
	b := newBench(t, nil)
	b.put(job{Name: "a", Do: "fail", Times: 99}, job{Name: "b"})
	for n := range 3 {
		b.await(b.work, func(s emulated.Stats) bool { return s.Handled == n+2 })
		b.Advance(b.work.Visibility)
	}
	b.await(b.dead, func(s emulated.Stats) bool { return s.Visible == 1 })
	letters := b.dead.Messages()
	if len(letters) != 1 || letters[0].Body != encoded(t, job{Name: "a", Do: "fail", Times: 99}) || letters[0].Receives != 3 || letters[0].From != b.work.ARN {
		t.Errorf("%+v", letters)
	}
	if got, want := b.work.Stats(), (emulated.Stats{Sent: 2, Received: 4, Handled: 4, Deleted: 1, Dead: 1}); got != want {
		t.Errorf("%+v", got)
	}
	b.wantSeen("a×1 b×1", "a×2", "a×3")
}

func TestADelayedMessageIsDeliveredWhenItsTimeHasCome(t *testing.T) {
	b := newBench(t, nil)
	if failed := b.send(b.work, 15*time.Minute, job{Name: "late"}); len(failed) > 0 {
		t.Fatal(failed)
	}
	b.Advance(14 * time.Minute)
	if s := b.work.Stats(); s.Delayed != 1 || s.Received != 0 || b.work.Sent()[0].Delay != 15*time.Minute {
		t.Errorf("%+v", s)
	}
	b.Advance(time.Minute)
	b.await(b.work, func(s emulated.Stats) bool { return s.Deleted == 1 })
	b.wantSeen("late×1")
}

func TestEachMessageIsDeliveredTwiceIfAskedFor(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Twice = true })
	b.put(job{Name: "a"}, job{Name: "b"})
	if s := b.await(b.work, func(s emulated.Stats) bool { return s.Deleted == 4 }); s.Sent != 2 || s.Received != 4 {
		t.Errorf("%+v", s)
	}
	b.wantSeen("a×1 b×1", "a×1 b×1")
}

func TestAQueueThatTheRoleDoesNotNameTakesNothing(t *testing.T) {
	b := newBench(t, nil)
	failed := b.send(b.dead, 0, job{Name: "a"}, job{Name: "b"})
	if len(failed) != 2 || !strings.Contains(failed[0], "AccessDenied") || b.dead.Stats().Sent != 0 {
		t.Errorf("%v, %+v", failed, b.dead.Stats())
	}
	if denied := b.Denied()["sender"]; len(denied) != 1 || !strings.Contains(denied[0], "sqs:SendMessage") {
		t.Errorf("%v", denied)
	}
}

func TestAsManyBatchesAreUnderWayAsTheMappingAllowsAndThereAreEnvironments(t *testing.T) {
	for _, c := range []struct{ environments, want int }{{0, 3}, {1, 1}, {9, 3}} {
		b := newBench(t, func(config *Config) {
			config.Environments, config.Parameters = c.environments, map[string]string{"BatchSize": "1"}
		})
		var jobs []job
		for i := range 4 {
			jobs = append(jobs, job{Name: fmt.Sprint(i), Do: "hang", Times: 1})
		}
		b.put(jobs...)
		_, pids := b.seen(c.want)
		slices.Sort(pids)
		s := b.work.Stats()
		if len(slices.Compact(pids)) != c.want || s.InFlight != c.want || s.Visible != 4-c.want {
			t.Errorf("%d environments: %+v, processes %v", c.environments, s, pids)
		}
	}
}

func TestAMappingThatIsSwitchedOffReceivesNothing(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"disabled": func(c *Config) { c.Parameters = map[string]string{"Enabled": "false"} },
		"silent":   func(c *Config) { c.Silent = true },
	} {
		b := newBench(t, change)
		b.put(job{Name: "a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if batch := b.work.Receive(ctx, 1, 0); len(batch) != 1 {
			t.Errorf("%s: somebody else has it", name)
		}
		cancel()
	}
}

func TestAMappingThatLambdaRefusesDoesNotStart(t *testing.T) {
	text, err := os.ReadFile("testdata/queue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, says string }{
		"a visibility timeout below the function's":  {"VisibilityTimeout: 600", "VisibilityTimeout: 59", "visibility timeout"},
		"a role that may not receive":                {`, "sqs:ReceiveMessage"`, "", "may not sqs:ReceiveMessage"},
		"a role that may not delete":                 {`"sqs:DeleteMessage", `, "", "may not sqs:DeleteMessage"},
		"a role that may not look at the queue":      {`"sqs:GetQueueAttributes", `, "", "may not sqs:GetQueueAttributes"},
		"a queue by its URL":                         {"Queue: !GetAtt WorkQueue.Arn", "Queue: !Ref WorkQueue", "is no queue"},
		"one batch at a time":                        {"MaximumConcurrency: 3", "MaximumConcurrency: 1", "MaximumConcurrency"},
		"dead letters that have nowhere to go":       {"!GetAtt DeadQueue.Arn", "arn:aws:sqs:eu-central-1:123456789012:other", "dead-letter target"},
		"a setting of which nobody knows the effect": {"QueueName: !Sub ${AWS::StackName}-work", "FifoQueue: true", "FifoQueue"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(text), c.old, c.new, 1)
			if changed == string(text) {
				t.Fatal("nothing was changed")
			}
			config := queueConfig(t)
			config.Template = filepath.Join(t.TempDir(), "template.yaml")
			if err := os.WriteFile(config.Template, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnAnswerThatIsNoReportWantsTheWholeBatchAgain(t *testing.T) {
	batch := []emulated.Delivery{{Message: emulated.Message{ID: "1"}}, {Message: emulated.Message{ID: "2"}}}
	for answer, want := range map[string]string{
		`{"batchItemFailures":[]}`: "[]", `{"batchItemFailures":null}`: "[]", `{}`: "[]", `null`: "[]",
		`{"batchItemFailures":[{"itemIdentifier":"2"},{"itemIdentifier":"2"}]}`: "[2]",
		`{"batchItemFailures":[{"itemIdentifier":""}]}`:                         "all", `{"batchItemFailures":[{"itemIdentifier":null}]}`: "all",
		`{"batchItemFailures":[{"ItemIdentifier":"1"}]}`: "all", `{"batchItemFailures":[{"itemIdentifier":"1"},{"itemIdentifier":"3"}]}`: "all",
		`{"batchItemFailures":["1"]}`: "all", `{"batchItemFailures":"1"}`: "all", `[]`: "all", `"done"`: "all", `nonsense`: "all", ``: "all",
	} {
		got := "all"
		if ids, err := failures(batch, []byte(answer)); err == nil {
			got = "[" + strings.Join(slices.Sorted(maps.Keys(ids)), " ") + "]"
		}
		if got != want {
			t.Errorf("%s: %s", answer, got)
		}
	}
}

func TestAQueueThatTheTemplateDoesNotHaveIsAnError(t *testing.T) {
	if _, err := (&Stack{}).Queue("nobody"); !errors.Is(err, ErrNoQueue) {
		t.Error(err)
	}
}
