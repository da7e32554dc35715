package ident_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
)

func TestIdsReadBackAndSortByTime(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := ident.Clock(func() time.Time { return at })
	last := ""
	for range 100 {
		id := clock.New(ident.AccountPrefix)
		u, ok := ident.Parse(ident.AccountPrefix, id)
		if !ok || !ulid.Time(u.Time()).Equal(at) {
			t.Fatalf("%q does not read back", id)
		}
		if id <= last {
			t.Errorf("%q is not behind %q", id, last)
		}
		last, at = id, at.Add(time.Millisecond)
	}
	if one, other := clock.New(ident.JobPrefix), clock.New(ident.JobPrefix); one == other {
		t.Error("two ids of one moment are the same")
	}
}

func TestTheClockShowsWhatTheWireShows(t *testing.T) {
	zone := time.FixedZone("east", 3*3600)
	clock := ident.Clock(func() time.Time { return time.Date(2026, 3, 1, 15, 0, 0, 123_999_999, zone) })
	if got, want := clock.Now(), time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := clock.Micros(), int64(1772366400123999); got != want {
		t.Errorf("%d microseconds, want %d", got, want)
	}
	var real ident.Clock
	if d := time.Since(real.Now()); d < 0 || d > time.Minute {
		t.Errorf("the zero clock is off by %v", d)
	}
}

func TestAnIdHasOneSpelling(t *testing.T) {
	const prefix = ident.IntegrationPrefix
	good := prefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	if _, ok := ident.Parse(prefix, good); !ok {
		t.Fatal("a good id does not parse")
	}
	for _, bad := range []string{
		"", prefix, good[1:], good[:len(good)-1], good + "0", strings.ToLower(good), " " + good, good + "\n",
		prefix + strings.Repeat("Z", 26), prefix + "81ARZ3NDEKTSV4RRFFQ69G5FAV", prefix + "O1ARZ3NDEKTSV4RRFFQ69G5FAV",
		prefix + "01ARZ3NDEKTSV4RRFFQ69G5FA\x00", ident.AccountPrefix + good[len(prefix):], prefix + good,
	} {
		if _, ok := ident.Parse(prefix, bad); ok {
			t.Errorf("%q parses", bad)
		}
	}
}

func TestF4_F38_NamesThatMayAndMayNotBeUsed(t *testing.T) {
	for _, good := range []string{
		"auth0|5f7c8ec7c33c6c004bbafe82", "eu-central-1:1b2c3d4e-0000", "anna+test@example.com", "a", "...", "a..b", "=~,;!$&'()*[]{}^`<>\"_-",
		"user_01H", "-", "none", strings.Repeat("x", 128),
	} {
		if err := ident.CheckUser(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
		if err := ident.CheckOrganization(good); err != nil {
			t.Errorf("organization %q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "a b", " a", "a\t", "a\n", "a\r\nX-Evil: 1", "a\x00", "a\x7f", "a/b", `a\b`, "a?b", "a#b", "a%23", "ä", "\u202e", "\xff", "\xc3\x28",
		"user#C#openai", strings.Repeat("x", 129),
	} {
		for _, err := range []error{ident.CheckUser(bad), ident.CheckOrganization(bad)} {
			if f := fault.As(err); f.Kind != fault.Invalid || f.Code != "unprocessable_entity" || len(f.Details) != 1 {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

func TestEveryByteIsAllowedOrNotAsTheWirePageSays(t *testing.T) {
	for b := range 256 {
		want := b > ' ' && b <= '~' && !strings.ContainsRune(`/\?#%`, rune(b))
		if got := ident.CheckUser("a"+string([]byte{byte(b)})+"z") == nil; got != want {
			t.Errorf("byte %#02x: allowed %v", b, got)
		}
	}
}

func TestF38_SlugsAreWhatThePatternSays(t *testing.T) {
	pattern := regexp.MustCompile(`\A[a-z0-9][a-z0-9_-]{0,63}\z`)
	rapid.Check(t, func(t *rapid.T) {
		slug := rapid.OneOf(
			rapid.StringMatching(`[a-z0-9_-]{0,66}`),
			rapid.StringMatching(`[a-z0-9][a-z0-9_-]{0,8}[A-Z./\n# ä]?`),
			rapid.String(),
		).Draw(t, "slug")
		if got, want := ident.ValidSlug(slug), pattern.MatchString(slug); got != want {
			t.Errorf("%q: %v, want %v", slug, got, want)
		}
	})
}
