// Package eventbridge is the vault's bus on Amazon EventBridge, and the only
// importer of its SDK.
package eventbridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"keyvend/pkg/attempt"
	"keyvend/pkg/event"
	"keyvend/pkg/vault"
)

// Source is the source of every event, for the patterns of rules.
const Source = "keyvend"

// What one PutEvents takes.
const (
	maxEntries = 10
	maxBytes   = 256 << 10
	timeBytes  = 14 // that the service counts for an entry's time
)

// Bus puts events on one event bus. Each has Source, the event's name as its
// detail type, its JSON form as its detail, and the tenant's id as its only
// resource, so that a rule can tell tenants apart.
type Bus struct {
	client *eventbridge.Client
	policy attempt.Policy // of a batch
	name   string
}

var _ vault.Bus = (*Bus)(nil)

// New makes a Bus of the event bus of that name or ARN. It opens no connection.
func New(cfg aws.Config, name string) *Bus {
	policy := attempt.Policy{Each: 2 * time.Second, Most: 3, Total: 5 * time.Second}
	return &Bus{name: name, policy: policy, client: eventbridge.NewFromConfig(cfg, func(o *eventbridge.Options) {
		o.Retryer = policy.Retryer()
		o.HTTPClient = policy.Client(o.HTTPClient)
	})}
}

var (
	errTooLarge = errors.New("eventbridge: an event of more than 256 KB")
	errNotTried = errors.New("eventbridge: not tried, the batch before it failed")
	errNoAnswer = errors.New("eventbridge: no answer for this entry")
)

// Put implements vault.Bus: in batches, in their order, until one of them fails
// as a whole.
func (b *Bus) Put(ctx context.Context, events []vault.StoredEvent) []error {
	errs := make([]error, len(events))
	entries := make([]types.PutEventsRequestEntry, len(events))
	var fit []int // places of those that can be sent
	for i, e := range events {
		if entries[i], errs[i] = b.entry(e); errs[i] == nil && sizeOf(entries[i]) > maxBytes {
			errs[i] = errTooLarge
		}
		if errs[i] == nil {
			fit = append(fit, i)
		}
	}
	var failed error
	for len(fit) > 0 {
		batch := fit[:len(first(entries, fit))]
		fit = fit[len(batch):]
		if failed == nil {
			failed = b.put(ctx, entries, batch, errs)
			continue
		}
		for _, i := range batch {
			errs[i] = fmt.Errorf("%w: %w", errNotTried, failed)
		}
	}
	return errs
}

// first are the places that make one call.
func first(entries []types.PutEventsRequestEntry, places []int) []int {
	bytes := 0
	for n, i := range places {
		if bytes += sizeOf(entries[i]); n == maxEntries || bytes > maxBytes {
			return places[:n]
		}
	}
	return places
}

// put sends one batch. The error is that of the batch as a whole.
func (b *Bus) put(ctx context.Context, entries []types.PutEventsRequestEntry, batch []int, errs []error) error {
	ctx, cancel := b.policy.Bound(ctx)
	defer cancel()
	in := &eventbridge.PutEventsInput{}
	for _, i := range batch {
		in.Entries = append(in.Entries, entries[i])
	}
	out, err := b.client.PutEvents(ctx, in)
	if err != nil {
		err = fmt.Errorf("eventbridge: %w", err)
		for _, i := range batch {
			errs[i] = err
		}
		return err
	}
	for n, i := range batch {
		errs[i] = result(out.Entries, n)
	}
	return nil
}

// result is what the service says of entry n: it took it, or why it did not.
func result(results []types.PutEventsResultEntry, n int) error {
	switch {
	case n >= len(results):
		return errNoAnswer
	case results[n].ErrorCode != nil:
		return fmt.Errorf("eventbridge: %s: %s", *results[n].ErrorCode, aws.ToString(results[n].ErrorMessage))
	case aws.ToString(results[n].EventId) == "":
		return errNoAnswer
	default:
		return nil
	}
}

func (b *Bus) entry(e vault.StoredEvent) (entry types.PutEventsRequestEntry, err error) {
	detail, err := json.Marshal(e.Event)
	if err != nil {
		return entry, fmt.Errorf("eventbridge: %w", err)
	}
	entry = types.PutEventsRequestEntry{
		EventBusName: &b.name,
		Source:       aws.String(Source),
		DetailType:   aws.String(string(e.Event.Name)),
		Detail:       aws.String(string(detail)),
		Resources:    []string{e.Tenant},
	}
	if at, ok := event.Time(e.Event.ID); ok {
		entry.Time = &at
	}
	return entry, nil
}

// sizeOf is an entry's size as the service counts it.
func sizeOf(e types.PutEventsRequestEntry) int {
	size := timeBytes + len(*e.Source) + len(*e.DetailType) + len(*e.Detail)
	for _, r := range e.Resources {
		size += len(r)
	}
	return size
}
