// Package checkqueue is the part of the functions that have keys looked at.
package checkqueue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyvend/pkg/boot"
	"keyvend/pkg/bus/sqs"
	"keyvend/pkg/vault"
)

// FromEnv is a boot.Part. KEYVEND_CHECK_QUEUE is the URL of the queue of the
// function "health".
func FromEnv(clients aws.Config, get func(string) string, p *boot.Parts) error {
	url := get("KEYVEND_CHECK_QUEUE")
	if url == "" {
		return errors.New("KEYVEND_CHECK_QUEUE is not set")
	}
	p.Checks = queue{sqs.New(clients, url)}
	return nil
}

type queue struct{ sqs *sqs.Queue }

// Send implements vault.CheckQueue.
func (q queue) Send(ctx context.Context, requests []vault.CheckRequest) []error {
	errs := make([]error, len(requests))
	var messages []sqs.Message
	var places []int // of the messages' requests
	for i, r := range requests {
		body, err := json.Marshal(r)
		if err != nil { // a time after the year 9999
			errs[i] = err
			continue
		}
		messages, places = append(messages, sqs.Message{Body: body, Delay: delay(r)}), append(places, i)
	}
	for n, err := range q.sqs.SendBatch(ctx, messages) {
		errs[places[n]] = err
	}
	return errs
}

// delay is how long it is until the request's slot.
func delay(r vault.CheckRequest) time.Duration {
	if r.Slot.IsZero() {
		return 0
	}
	return min(max(time.Until(r.Slot), 0), vault.MaxDelay)
}
