// Command sweep is the Lambda that, on schedule, has keys looked at that are due,
// and deletes what removed integrations left behind.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/boot/checkqueue"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background(), checkqueue.FromEnv)
	serve.Event(app.Sweep)
}
