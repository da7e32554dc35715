// Command sweep is the Lambda that deletes, on schedule, what removed
// integrations left behind.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background())
	serve.Event(app.Sweep)
}
