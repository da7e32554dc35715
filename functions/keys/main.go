// Command keys is the Lambda that stores the keys that users bring.
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
	serve.Lambda(app.Keys())
}
