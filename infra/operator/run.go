package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"keyvend/pkg/operator"
)

const usage = `Usage: operator [-data FOLDER | -function NAME] COMMAND

Where keyvend runs:
  -data FOLDER      on this machine, with this data folder (default .keyvend)
  -function NAME    in AWS: name or ARN of its tenants function, reached with
                    the credentials and region of your environment

Commands:
  create-tenant NAME
  list-tenants
  issue-api-key TENANT NAME SCOPE,… [EXPIRES]
                    scopes are vend, manage, read and widget; EXPIRES is a time
                    like 2027-01-31T12:00:00Z. The key is told this once
  list-api-keys TENANT
  revoke-api-key TENANT API-KEY-ID

The answer is JSON.
`

// desk takes an operator's request to a keyvend.
type desk func(ctx context.Context, payload []byte) (answer []byte, err error)

// run does one command and prints its answer.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("operator", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	data := flags.String("data", ".keyvend", "")
	function := flags.String("function", "", "")
	if err := flags.Parse(args); err != nil {
		fmt.Fprint(os.Stderr, usage)
		return err
	}
	request, err := parse(flags.Args())
	if err != nil {
		fmt.Fprint(os.Stderr, usage)
		return err
	}
	ask := localDesk(*data)
	if *function != "" {
		if ask, err = lambdaDesk(ctx, *function); err != nil {
			return err
		}
	}
	payload, err := json.Marshal(request)
	if err != nil {
		return err
	}
	answer, err := ask(ctx, payload)
	if err != nil {
		return err
	}
	return show(out, answer)
}

var errUsage = errors.New("the command is not one of those above, or its arguments are not")

// parse makes a request of a command line.
func parse(args []string) (operator.Request, error) {
	if len(args) == 0 {
		return operator.Request{}, errUsage
	}
	command, args := args[0], args[1:]
	r := operator.Request{Action: strings.ReplaceAll(command, "-", "_")}
	switch {
	case r.Action == operator.CreateTenant && len(args) == 1:
		r.Name = args[0]
	case r.Action == operator.ListTenants && len(args) == 0:
	case r.Action == operator.IssueAPIKey && (len(args) == 3 || len(args) == 4):
		r.Tenant, r.Name, r.Scopes = args[0], args[1], strings.Split(args[2], ",")
		err := expiry(&r, args[3:])
		return r, err
	case r.Action == operator.ListAPIKeys && len(args) == 1:
		r.Tenant = args[0]
	case r.Action == operator.RevokeAPIKey && len(args) == 2:
		r.Tenant, r.APIKey = args[0], args[1]
	default:
		return r, errUsage
	}
	return r, nil
}

func expiry(r *operator.Request, args []string) error {
	if len(args) == 0 {
		return nil
	}
	t, err := time.Parse(time.RFC3339, args[0])
	if err != nil {
		return fmt.Errorf("%q is not a time like 2027-01-31T12:00:00Z", args[0])
	}
	r.ExpiresAt = &t
	return nil
}

func show(out io.Writer, answer []byte) error {
	var v any
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
