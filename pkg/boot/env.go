package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"keyvend/pkg/audit"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/awskms"
	"keyvend/pkg/store"
	"keyvend/pkg/table/dynamo"
)

// appName is part of every encryption context.
const appName = "keyvend"

// Config is what a function is told by its environment.
type Config struct {
	// Table is the name of the DynamoDB table. KEYVEND_TABLE.
	Table string
	// SealingKey is the ARN of the KMS key that guards key material.
	// KEYVEND_KMS_KEY.
	SealingKey string
	// Environment names the deployment and is part of every encryption context:
	// it can never change. KEYVEND_ENVIRONMENT.
	Environment string
	// KeyCache is how long unwrapped key material may be used; 0 asks KMS each
	// time. KEYVEND_KEY_CACHE_SECONDS, default 300, at most 3600.
	KeyCache time.Duration
	// RowCache is how old the rows that change rarely may be on which "vend"
	// decides; 0 reads them all for each vend, and so does a KeyCache of 0.
	// KEYVEND_ROW_CACHE_SECONDS, default 0, at most 30.
	RowCache time.Duration
}

// configFrom reads and checks the whole configuration; the error names every
// variable that is wrong.
func configFrom(get func(string) string) (Config, error) {
	c := Config{
		Table:       get("KEYVEND_TABLE"),
		SealingKey:  get("KEYVEND_KMS_KEY"),
		Environment: get("KEYVEND_ENVIRONMENT"),
	}
	var wrong []error
	for name, value := range map[string]string{
		"KEYVEND_TABLE": c.Table, "KEYVEND_KMS_KEY": c.SealingKey, "KEYVEND_ENVIRONMENT": c.Environment,
	} {
		if value == "" {
			wrong = append(wrong, fmt.Errorf("%s is not set", name))
		}
	}
	var errKeys, errRows error
	c.KeyCache, errKeys = seconds(get, "KEYVEND_KEY_CACHE_SECONDS", 300, 3600)
	c.RowCache, errRows = seconds(get, "KEYVEND_ROW_CACHE_SECONDS", 0, 30)
	return c, errors.Join(append(wrong, errKeys, errRows)...)
}

// seconds reads a variable that holds a number of seconds, or nothing.
func seconds(get func(string) string, name string, unset, most int) (time.Duration, error) {
	n, text := unset, get(name)
	if text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > most {
			return 0, fmt.Errorf("%s is not a number from 0 to %d", name, most)
		}
	}
	return time.Duration(n) * time.Second, nil
}

// Part adds to Parts what not every function needs. Each is a package of its own,
// so that what it imports costs the other functions nothing.
type Part func(clients aws.Config, get func(string) string, p *Parts) error

// MustFromEnv makes the App of a Lambda function, or ends the process with a
// sentence in the log.
func MustFromEnv(ctx context.Context, parts ...Part) *App {
	app, err := fromEnv(ctx, os.Getenv, parts...)
	if err != nil {
		CannotStart(ctx, err)
	}
	return app
}

// CannotStart ends the process with a sentence in the log.
func CannotStart(ctx context.Context, err error) {
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).ErrorContext(ctx, "cannot start", "alarm", "start", "error", err)
	os.Exit(1)
}

func fromEnv(ctx context.Context, get func(string) string, parts ...Part) (*App, error) {
	cfg, err := configFrom(get)
	if err != nil {
		return nil, err
	}
	clients, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("boot: AWS configuration: %w", err)
	}
	wrapper, err := awskms.New(clients, awskms.Config{KeyARN: cfg.SealingKey})
	if err != nil {
		return nil, err
	}
	p := Parts{
		Table:   dynamo.New(dynamo.Config{Client: dynamo.NewClient(clients), TableName: cfg.Table}),
		Wrapper: wrapper,
		Ring:    seal.Config{App: appName, Environment: cfg.Environment, KeyID: wrapper.KeyID(), TTL: cfg.KeyCache},
		Rows:    store.RecentConfig{TTL: cfg.RowCache},
		Audit:   audit.NewWriter(os.Stdout),
		Log:     slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	}
	for _, part := range parts {
		if err := part(clients, get, &p); err != nil {
			return nil, err
		}
	}
	return New(p), nil
}
