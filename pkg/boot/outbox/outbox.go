// Package outbox is package boot for the function "outbox" alone. The clients
// that it needs would cost each of the others a millisecond of its start.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"

	"keyvend/pkg/boot"
	"keyvend/pkg/bus/eventbridge"
	"keyvend/pkg/bus/sqs"
	"keyvend/pkg/feed"
	"keyvend/pkg/table/dynamo"
)

// Config is what the function is told by its environment.
type Config struct {
	// Table is the name of the DynamoDB table. KEYVEND_TABLE.
	Table string
	// EventBus is the name of the EventBridge bus. KEYVEND_EVENT_BUS.
	EventBus string
	// Aside is the URL of the SQS queue for changes that cannot be read.
	// KEYVEND_ASIDE_QUEUE.
	Aside string
}

func configFrom(get func(string) string) (Config, error) {
	c := Config{Table: get("KEYVEND_TABLE"), EventBus: get("KEYVEND_EVENT_BUS"), Aside: get("KEYVEND_ASIDE_QUEUE")}
	var wrong []error
	for _, v := range []struct{ name, value string }{
		{"KEYVEND_TABLE", c.Table}, {"KEYVEND_EVENT_BUS", c.EventBus}, {"KEYVEND_ASIDE_QUEUE", c.Aside},
	} {
		if v.value == "" {
			wrong = append(wrong, fmt.Errorf("%s is not set", v.name))
		}
	}
	return c, errors.Join(wrong...)
}

// Function is the function "outbox".
type Function = func(context.Context, feed.Records) (feed.Failures, error)

// MustFromEnv makes the function, or ends the process with a sentence in the
// log. It has no part in key material.
func MustFromEnv(ctx context.Context) Function {
	function, err := fromEnv(ctx, os.Getenv)
	if err != nil {
		boot.CannotStart(ctx, err)
	}
	return function
}

func fromEnv(ctx context.Context, get func(string) string) (Function, error) {
	cfg, err := configFrom(get)
	if err != nil {
		return nil, err
	}
	clients, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("boot: AWS configuration: %w", err)
	}
	app := boot.New(boot.Parts{
		Table: dynamo.New(dynamo.Config{Client: dynamo.NewClient(clients), TableName: cfg.Table}),
		Log:   slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	outbox := app.Outbox(eventbridge.New(clients, cfg.EventBus), asideQueue{sqs.New(clients, cfg.Aside)})
	return outbox.Handler(dynamo.DecodeRecord), nil
}

// asideQueue sets aside on a queue.
type asideQueue struct{ queue *sqs.Queue }

// SetAside implements feed.Aside.
func (a asideQueue) SetAside(ctx context.Context, p feed.Poison) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return a.queue.Send(ctx, body)
}
