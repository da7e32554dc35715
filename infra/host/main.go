// Command host runs the deployment that template.yaml describes on this
// machine: the built function binaries as Lambda runs them, behind the
// template's routes, schedules and queues, on DynamoDB Local and an emulated KMS.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/infra/host/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
		os.Exit(1) //nolint:gocritic // the deferred stop only restores signals
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("host", flag.ContinueOnError)
	flags.SetOutput(log)
	addr := flags.String("addr", "127.0.0.1:8788", "`address` to listen on")
	invoke := flags.String("invoke", "", "`address` for Lambda's Invoke API, which asks nobody for permission; none serves none")
	build := flags.Bool("build", true, "compile the functions first")
	c := stack.Config{Schedules: true, Log: log}
	flags.StringVar(&c.Template, "template", "template.yaml", "the template `file`")
	flags.StringVar(&c.Bootstraps, "bootstraps", ".build", "`folder` that holds <function>/bootstrap")
	flags.StringVar(&c.Table, "table", "keyvend", "table `name`")
	flags.StringVar(&c.DynamoDB, "dynamodb", "", "endpoint `URL` of DynamoDB Local")
	flags.StringVar(&c.KMS, "kms", "", "endpoint `URL` of the emulated KMS")
	flags.StringVar(&c.KeyARN, "kms-key", "", "`ARN` of the sealing key; none makes one")
	flags.StringVar(&c.Region, "region", "", "AWS `region` that the functions are told")
	flags.IntVar(&c.Environments, "environments", 0, "environments of each function at most; 0 is 2, or what its queue asks for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.DynamoDB == "" || c.KMS == "" {
		return errors.New("-dynamodb and -kms are needed: the endpoints of DynamoDB Local and of an emulated KMS")
	}
	if *build {
		if err := stack.Build(ctx, ".", c.Bootstraps); err != nil {
			return err
		}
	}
	fakes, err := (&fakeprovider.Kit{}).Serve(ctx)
	if err != nil {
		return err
	}
	defer fakes.Close() //nolint:errcheck // it is over
	c.Environment = stack.FakeProviders(fakes)
	s, err := stack.Start(ctx, c)
	if err != nil {
		return err
	}
	defer s.Close()
	said := fmt.Sprintf("table %s  key %s", s.TableName(), s.KeyARN())
	if *invoke != "" {
		url, err := serveInvoker(ctx, *invoke, s)
		if err != nil {
			return err
		}
		said += "  invoke " + url
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "http://%s  %s\n", listener.Addr(), said)
	server := s.Server()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveInvoker serves the Invoke API beside until ctx ends, and returns its URL.
func serveInvoker(ctx context.Context, addr string, s *stack.Stack) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: s.Invoker(), ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with ctx
	return "http://" + listener.Addr().String(), nil
}
