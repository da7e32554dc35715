// Package trail brings the audit trail to the ledger: in AWS as CloudWatch Logs
// delivers it, on a laptop from the file that the lines are written to.
package trail

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"

	"keyvend/pkg/fault"
	"keyvend/pkg/vault"
)

// Ledger counts the lines of one delivery. After an error it has to get the same
// lines again, all of them and no others. *vault.Ledger is one.
type Ledger interface {
	Enter(ctx context.Context, lines [][]byte) (vault.Entered, error)
}

// Event is what CloudWatch Logs sends to the function of a subscription.
type Event struct {
	AWSLogs struct {
		Data []byte `json:"data"` // gzip of JSON; in base64 on the wire
	} `json:"awslogs"`
}

// maxDelivery bounds a delivery once it is unpacked, in bytes. CloudWatch's own
// have at most a few megabytes.
const maxDelivery = 32 << 20

// Handler is the function "ledger".
func Handler(l Ledger) func(context.Context, Event) (vault.Entered, error) {
	return func(ctx context.Context, e Event) (vault.Entered, error) {
		lines, err := e.lines()
		if err != nil {
			return vault.Entered{}, errEvent.Because(err)
		}
		return l.Enter(ctx, lines)
	}
}

var errEvent = fault.New(fault.BadRequest, "invalid_request_body", "The event is not one of a CloudWatch Logs subscription.")

var (
	errSize = errors.New("trail: the delivery is too large")
	errKind = errors.New("trail: not a message of CloudWatch Logs")
)

// lines unpacks the log lines of an event. The message that CloudWatch sends to
// see whether somebody is there has none.
func (e Event) lines() ([][]byte, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(e.AWSLogs.Data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(unpacked, maxDelivery+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxDelivery:
		return nil, errSize
	}
	var message struct {
		Type   string                     `json:"messageType"`
		Events []struct{ Message string } `json:"logEvents"`
	}
	if json.Unmarshal(text, &message) != nil { // its error can quote the text
		return nil, errKind
	}
	if message.Type != "DATA_MESSAGE" && message.Type != "CONTROL_MESSAGE" {
		return nil, errKind
	}
	var lines [][]byte
	if message.Type == "DATA_MESSAGE" {
		for _, event := range message.Events {
			lines = append(lines, []byte(event.Message))
		}
	}
	return lines, nil
}
