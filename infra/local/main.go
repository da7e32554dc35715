// Command local runs all of keyvend on a laptop in one process: the same
// handlers as in AWS, over a table in a file and a master key beside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8787", "`HOST:PORT` to listen on")
	flag.StringVar(&o.dir, "data", ".keyvend", "`FOLDER` that keeps everything")
	flag.StringVar(&o.seed, "seed", "", "`FILE` with tenants, API keys, integrations and accounts that are to be there")
	flag.BoolVar(&o.ask, "ask", false, "ask real providers whether keys work, and so send them keys")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "keyvend: unexpected argument %q; the flags are -addr, -data, -seed and -ask\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o.log = slog.New(quiet{slog.NewTextHandler(os.Stderr, nil)})
	if err := run(ctx, o, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "keyvend:", err)
		os.Exit(1) //nolint:gocritic // the deferred stop only restores signals
	}
}
