package fakeprovider

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/catalog"
)

// mark is where the telling part of a key begins. What stands before it says
// nothing, so that a key can look like those of any provider.
const mark = "fake-"

// RetryAfter is what the fakes ask for when a key is over its rate.
const RetryAfter = 30 * time.Second

// kind is what keys with the same beginning have in common.
type kind struct {
	prefix string // after the mark
	does   string // what is answered, for people
	read   func(rest string) (character, bool)
}

// character is what the text of a key says of it.
type character struct {
	rest    string                // what follows the kind
	revoked func(ask int) bool    // nil: it is not
	answer  func(situation) reply // while it is not revoked
}

// situation is one ask of a key at a fake.
type situation struct {
	kit  *Kit
	fake Fake
	ask  int // the number of the ask, from 1
}

// kinds are the kinds of keys. Of two that fit, the first counts.
func kinds() []kind {
	return []kind{
		{"valid-", "200", always(says(catalog.Valid))},
		{"limited-", "403: good, but it may not ask this", always(says(catalog.Limited))},
		{"revoked-after-N-", "200 to the first N asks, then 401", revokedAfter},
		{"revoked-", "401", revoked},
		{"ratelimited-", "429 with Retry-After: 30", always(rateLimited)},
		{"slow-", "200, after 30 seconds", always(slow)},
		{"lying-401-", "401 with a page of HTML, as a proxy answers", always(lying(http.StatusUnauthorized))},
		{"lying-403-", "403 with a page of HTML, as a firewall answers", always(lying(http.StatusForbidden))},
		{"lying-", "200 with a page of HTML, as a captive portal answers", always(lying(http.StatusOK))},
		{"error-", "500", always(failing(http.StatusInternalServerError))},
		{"flaky-", "503 to the first ask, 200 to the second, and so on by turns", always(flaky)},
		{"redirect-", "307 to another path of the host; who follows makes an odd ask", always(redirect)},
		{"endless-", "200 with a body that does not end", always(endless)},
	}
}

// characterOf reads the text of a key, false when it is no key of the kit.
func characterOf(key string) (character, bool) {
	_, text, marked := strings.Cut(key, mark)
	if !marked {
		return character{}, false
	}
	for _, k := range kinds() {
		if rest, fits := strings.CutPrefix(text, strings.TrimSuffix(k.prefix, "N-")); fits {
			c, ok := k.read(rest)
			return c, ok && c.rest != ""
		}
	}
	return character{}, false
}

func always(answer func(situation) reply) func(string) (character, bool) {
	return func(rest string) (character, bool) { return character{rest: rest, answer: answer}, true }
}

func revoked(rest string) (character, bool) {
	return character{rest: rest, revoked: func(int) bool { return true }, answer: says(catalog.Valid)}, true
}

func revokedAfter(rest string) (character, bool) {
	number, rest, _ := strings.Cut(rest, "-")
	n, err := strconv.Atoi(number)
	return character{rest: rest, revoked: func(ask int) bool { return ask > n }, answer: says(catalog.Valid)}, err == nil && n >= 0
}

func says(v catalog.Verdict) func(situation) reply {
	return func(s situation) reply { return s.fake.says(v) }
}

func rateLimited(situation) reply {
	r := refusal(http.StatusTooManyRequests, "rate_limited", "Too many requests.")
	r.retryAfter = RetryAfter
	return r
}

func slow(s situation) reply {
	r := s.fake.says(catalog.Valid)
	r.wait = s.kit.slow()
	return r
}

func lying(status int) func(situation) reply {
	return func(situation) reply {
		return reply{status: status, contentType: typeHTML, body: "<!doctype html><title>Sign in</title><p>Accept the terms to use this network.</p>"}
	}
}

func failing(status int) func(situation) reply {
	return func(situation) reply { return refusal(status, "internal", "Something went wrong on our side.") }
}

func flaky(s situation) reply {
	if s.ask%2 == 1 {
		return failing(http.StatusServiceUnavailable)(s)
	}
	return s.fake.says(catalog.Valid)
}

func redirect(situation) reply {
	return reply{status: http.StatusTemporaryRedirect, contentType: typeHTML, location: "/elsewhere", body: "<p>Moved."}
}

func endless(s situation) reply {
	r := s.fake.says(catalog.Valid)
	r.endless = true
	return r
}

// refusal is an error as JSON.
func refusal(status int, code, message string) reply {
	return reply{status: status, contentType: typeJSON, body: fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)}
}

// misdirected is the answer to a request that the check does not describe.
func misdirected() reply {
	return refusal(http.StatusNotFound, "not_found", "This is not the request that the check of this fake provider describes.")
}
