package fakeprovider

import (
	"context"
	"net/http"
	"strings"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

// Asker asks the kit, without any network, about what is for a fake's host, and
// next about the rest; with a nil next the rest is health.ErrUnreachable.
func (k *Kit) Asker(next health.Asker) health.Asker { return asker{k, next} }

type asker struct {
	kit  *Kit
	next health.Asker
}

// Ask implements health.Asker.
func (a asker) Ask(ctx context.Context, ask catalog.Ask) (health.Answer, error) {
	if _, ours := at(ask.Host); ours {
		return a.kit.ask(ctx, ask)
	}
	if a.next == nil {
		return health.Answer{}, health.ErrUnreachable
	}
	return a.next.Ask(ctx, ask)
}

func (k *Kit) ask(ctx context.Context, ask catalog.Ask) (health.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, k.patience())
	defer cancel()
	if ctx.Err() != nil {
		return health.Answer{}, health.ErrTimeout
	}
	r, err := http.NewRequestWithContext(ctx, ask.Method, string(ask.URL.Reveal()), strings.NewReader(ask.Body))
	if err != nil {
		return health.Answer{}, health.ErrUnreachable // err would repeat the key
	}
	for name, value := range ask.Header {
		r.Header.Set(name, string(value.Reveal()))
	}
	reply, found := k.answer(r)
	switch {
	case !found, reply.silent:
		return health.Answer{}, health.ErrUnreachable
	case !pause(ctx, reply.wait):
		return health.Answer{}, health.ErrTimeout
	case reply.endless:
		reply.body = "" // as keyvend reads a body that is too long
	}
	return health.Answer{
		Status:      reply.status,
		ContentType: reply.contentType,
		RetryAfter:  reply.retryAfter,
		Body:        []byte(reply.body),
	}, nil
}
