// Command providers is the Lambda that registers and removes a tenant's data integrations.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/boot/asker"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background(), asker.FromEnv)
	serve.Lambda(app.Providers())
}
