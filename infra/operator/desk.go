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
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"keyvend/pkg/operator"
)

// maxSocketPath is what the address of a Unix socket holds on every system.
const maxSocketPath = 103

// localDesk asks the keyvend that has the data folder dir open. Where the path
// of the folder is too long for a socket, a link there names the socket.
func localDesk(dir string) desk {
	socket := filepath.Join(dir, "operator.sock")
	if elsewhere, err := os.Readlink(socket); err == nil {
		socket = elsewhere
	}
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
		if err != nil && len(socket) > maxSocketPath {
			return nil, fmt.Errorf("the path of the data folder %s is too long for the socket of a running keyvend: start it with a shorter -data, and name that here", dir)
		}
		if err != nil {
			return nil, fmt.Errorf("no keyvend runs with the data folder %s: start it with `go run ./infra/local -data %[1]s`, or name another with -data", dir)
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
			return errors.New(asCommands(sentence))
		}
	}
	return errors.New("keyvend refused, and its answer cannot be read")
}

// asCommands spells the actions that a sentence names as this command does, and
// the route that has a command of its own.
func asCommands(sentence string) string {
	for _, action := range []string{
		operator.CreateTenant, operator.ListTenants, operator.IssueAPIKey, operator.ListAPIKeys, operator.RevokeAPIKey,
	} {
		sentence = strings.ReplaceAll(sentence, action, asCommand(action))
	}
	return strings.ReplaceAll(sentence, "GET /keyvend/api_keys", asCommand(operator.ListAPIKeys))
}

func asCommand(action string) string { return strings.ReplaceAll(action, "_", "-") }
