package outbound

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

// userAgent is said unless a check says another: some providers want a form of
// their own.
const userAgent = "keyvend (key check)"

// makeRequest trusts nothing of an ask, though catalog has checked it before.
func makeRequest(ctx context.Context, ask catalog.Ask) (*http.Request, error) {
	if !catalog.PublicHostname(ask.Host) {
		return nil, health.ErrNotPublic
	}
	address := string(ask.URL.Reveal())
	rest, there := strings.CutPrefix(address, "https://"+ask.Host)
	if !there || rest != "" && rest[0] != '/' && rest[0] != '?' || !visible(address) {
		return nil, errUnfit()
	}
	if ask.Method != http.MethodGet && ask.Method != http.MethodPost {
		return nil, errUnfit()
	}
	r, err := http.NewRequestWithContext(ctx, ask.Method, address, strings.NewReader(ask.Body))
	if err != nil {
		return nil, errUnfit() // err holds the URL
	}
	r.Close = true
	r.Header.Set("User-Agent", userAgent)
	for name, value := range ask.Header {
		text := string(value.Reveal())
		if !token(name) || !printable(text) {
			return nil, errUnfit()
		}
		r.Header.Set(name, text)
	}
	r.Header.Set("Accept-Encoding", "identity")
	return r, nil
}

func errUnfit() error { return fmt.Errorf("%w: %w", health.ErrUnreachable, catalog.ErrUnfit) }

// token reports whether name can be a header's; net/http would leave out any
// other, and a request without the key would ask about no key.
func token(name string) bool { return visible(name) && !strings.ContainsAny(name, `()<>@,;:\"/[]?={}`) }

func visible(text string) bool { return printable(text) && !strings.Contains(text, " ") }

// printable reports whether text is visible ASCII and spaces: no line break.
func printable(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
