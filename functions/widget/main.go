// Command widget is the Lambda that serves browsers: to each what is of the user
// whose token it brings.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/boot/asker"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background(), asker.FromEnv)
	serve.Lambda(app.Widget())
}
