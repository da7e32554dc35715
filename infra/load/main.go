// Command load holds keyvend to what it promises of very many accounts in one
// integration: pages that are equally fast from the first to the last, a DELETE
// that answers at once, and nothing left in the end, whatever is killed
// meanwhile. It prints how long things took, and fails where a promise is not
// kept. What it makes lies under an integration of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1) //nolint:gocritic // the deferred stop only restores signals
	}
}

// options are the flags of the command.
type options struct {
	accounts, writers, kills int
	env                      string // "" is an infra/local of our own
	anywhere                 bool
	most                     time.Duration
}

// The bounds of a run.
const (
	mostAccounts = 1_000_000
	mostWriters  = 64
	mostKills    = 100
)

func command(ctx context.Context, args []string, out, progress io.Writer) error {
	o := options{}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&o.accounts, "accounts", 10_000, "`how many` accounts to make")
	flags.IntVar(&o.writers, "writers", 16, "`how many` requests are under way at a time while they are made")
	flags.IntVar(&o.kills, "kills", 10, "`how often` infra/local is killed while it deletes them; not with -env")
	flags.StringVar(&o.env, "env", "", "`FILE` with the KEYVEND_URL and KEYVEND_API_KEY of a keyvend that runs; without it an infra/local is started in a temporary folder")
	flags.BoolVar(&o.anywhere, "anywhere", false, "allow a KEYVEND_URL that is not on this machine")
	flags.DurationVar(&o.most, "most", time.Hour, "`how long` a run may take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.check(flags.Args()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.most)
	defer cancel()
	return run(ctx, o, out, progress)
}

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q; see -help", rest[0])
	case o.accounts < 1 || o.accounts > mostAccounts:
		return fmt.Errorf("-accounts is from 1 to %d", mostAccounts)
	case o.writers < 1 || o.writers > mostWriters:
		return fmt.Errorf("-writers is from 1 to %d", mostWriters)
	case o.kills < 0 || o.kills > mostKills:
		return fmt.Errorf("-kills is from 0 to %d", mostKills)
	}
	return nil
}
