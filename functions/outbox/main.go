// Command outbox is the Lambda that makes events of the table's changes, stores
// them, and puts them on the event bus.
package main

import (
	"context"

	"keyvend/pkg/boot/outbox"
	"keyvend/pkg/serve"
)

func main() {
	serve.Event(outbox.MustFromEnv(context.Background()))
}
