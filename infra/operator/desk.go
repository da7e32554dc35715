package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// localDesk asks the keyvend that has the data folder dir open.
func localDesk(dir string) desk {
	socket := filepath.Join(dir, "operator.sock")
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://operator/", bytes.NewReader(payload))
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, fmt.Errorf("no keyvend runs with the data folder %s: start it with `go run ./infra/local -data %s`, or name another with -data", dir, dir)
		}
		defer response.Body.Close() //nolint:errcheck // read to its end
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return nil, refusal(answer, "message")
		}
		return answer, nil
	}
}

// lambdaDesk asks the tenants function of that name.
func lambdaDesk(ctx context.Context, function string) (desk, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	client := lambda.NewFromConfig(cfg)
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
		if err != nil {
			return nil, err
		}
		if aws.ToString(out.FunctionError) != "" {
			return nil, refusal(out.Payload, "errorMessage")
		}
		return out.Payload, nil
	}, nil
}

// refusal is the sentence in an answer's field of that name.
func refusal(answer []byte, field string) error {
	var fields map[string]any
	if err := json.Unmarshal(answer, &fields); err == nil {
		if sentence, ok := fields[field].(string); ok {
			return errors.New(sentence)
		}
	}
	return errors.New("keyvend refused, and its answer cannot be read")
}
