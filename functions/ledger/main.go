// Command ledger is the Lambda that counts audit lines: when a key was last
// vended, who read it, and how often, hour by hour.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background())
	serve.Event(app.Ledger())
}
