package stack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"keyvend/infra/host/cfn"
)

// logs are the log groups that somebody subscribes to.
type logs struct {
	groups  map[string][]*delivery
	streams atomic.Int32
}

// delivery brings the lines of a log group to one function, as CloudWatch Logs
// does: what passes the filter, in batches of one stream, at least once. Every
// second batch comes twice, and one that fails is tried again.
type delivery struct {
	cfn.Subscription
	function string
	retries  int
	invoke   func(ctx context.Context, payload []byte) ([]byte, error)
	log      io.Writer

	mu      sync.Mutex
	count   int // of lines
	waiting map[string][]logEvent
}

// logEvent is a line as CloudWatch Logs has it.
type logEvent struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // milliseconds
	Message   string `json:"message"`
}

const (
	deliveryIdle = 200 * time.Millisecond
	deliveryMost = 1000 // lines of a batch
)

// subscribe takes in what functions subscribe to.
func (l *logs) subscribe(functions []cfn.Function) {
	l.groups = map[string][]*delivery{}
	for _, f := range functions {
		for _, s := range f.Logs {
			l.groups[s.LogGroup] = append(l.groups[s.LogGroup], &delivery{Subscription: s, function: f.Name, retries: f.Retries, waiting: map[string][]logEvent{}})
		}
	}
}

func (l *logs) to(function string) (all []*delivery) {
	for _, deliveries := range l.groups {
		for _, d := range deliveries {
			if d.function == function {
				all = append(all, d)
			}
		}
	}
	return all
}

// stream makes the log streams of a group, nil when nobody subscribes to it.
func (l *logs) stream(group string) func() io.Writer {
	if len(l.groups[group]) == 0 {
		return nil
	}
	return func() io.Writer {
		return &logStream{name: fmt.Sprintf("2026/01/01/[$LATEST]%032x", l.streams.Add(1)), deliveries: l.groups[group]}
	}
}

// logStream takes what one environment prints apart into lines.
type logStream struct {
	name       string
	deliveries []*delivery
	rest       []byte
}

// Write implements io.Writer.
func (s *logStream) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		for _, d := range s.deliveries {
			d.take(s.name, line)
		}
		s.rest = append([]byte(nil), rest...)
	}
}

// take keeps a line for delivery if it passes.
func (d *delivery) take(stream string, line []byte) {
	if !d.Passes(line) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	e := logEvent{ID: fmt.Sprintf("%056d", d.count), Timestamp: time.Now().UnixMilli(), Message: string(line)}
	d.waiting[stream] = append(d.waiting[stream], e)
}

// run delivers until ctx ends.
func (d *delivery) run(ctx context.Context) {
	for batch := 0; ctx.Err() == nil; {
		stream, events := d.next()
		if len(events) == 0 {
			sleep(ctx, deliveryIdle)
			continue
		}
		payload, err := d.payload(stream, events)
		if err != nil {
			_, _ = fmt.Fprintf(d.log, "subscription: %v\n", err)
			continue
		}
		d.deliver(ctx, payload)
		if batch++; batch%2 == 0 {
			d.deliver(ctx, payload)
		}
	}
}

// next takes a batch out of what waits.
func (d *delivery) next() (stream string, events []logEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for stream, events = range d.waiting {
		n := min(len(events), deliveryMost)
		if d.waiting[stream] = events[n:]; n == len(events) {
			delete(d.waiting, stream)
		}
		return stream, events[:n]
	}
	return "", nil
}

// payload is the event of a batch.
func (d *delivery) payload(stream string, events []logEvent) ([]byte, error) {
	message, err := json.Marshal(map[string]any{
		"messageType": "DATA_MESSAGE", "owner": Account, "logGroup": d.LogGroup, "logStream": stream,
		"subscriptionFilters": []string{Name + "-" + d.function}, "logEvents": events,
	})
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(message); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"awslogs": map[string]any{"data": packed.Bytes()}})
}

// deliver invokes the function until it takes a batch or all tries are used up.
func (d *delivery) deliver(ctx context.Context, payload []byte) {
	for try := 0; try <= d.retries && ctx.Err() == nil; try++ {
		if try > 0 {
			sleep(ctx, sourcePause<<min(try, 5))
		}
		_, err := d.invoke(ctx, payload)
		if err == nil {
			return
		}
		_, _ = fmt.Fprintf(d.log, "subscription of %s: %v\n", d.function, err)
	}
}
