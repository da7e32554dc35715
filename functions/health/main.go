// Command health is the Lambda that asks providers whether stored keys still
// work, and records what they say.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/boot/asker"
	"keyvend/pkg/boot/checkqueue"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background(), asker.FromEnv, checkqueue.FromEnv)
	serve.Event(app.Health())
}
