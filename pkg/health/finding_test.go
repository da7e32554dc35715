package health_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/secret"
)

// asker answers every question alike.
type asker struct {
	answer health.Answer
	err    error
	asked  *int
}

func (a asker) Ask(context.Context, catalog.Ask) (health.Answer, error) {
	*a.asked++
	return a.answer, a.err
}

// provider is one that is asked where the field region says, eu if it says nothing.
func provider() catalog.Provider {
	return catalog.Provider{
		Slug:         "acme",
		ConfigFields: []catalog.ConfigField{{Field: "region", Label: "Region", Default: "eu"}},
		Check: &catalog.Check{
			Placement: catalog.Placement{In: catalog.InHeader, Name: "Authorization", Template: "Bearer {key}"},
			Method:    "GET", URL: "https://{region}.acme.example/me",
			Valid: []int{200}, Limited: []int{403}, Invalid: []int{401},
		},
	}
}

func examine(p catalog.Provider, config map[string]string, a asker) (f health.Finding, asked int) {
	a.asked = &asked
	e := health.Examiner{Asker: a, Clock: func() time.Time { return start }}
	return e.Examine(context.Background(), p, config, secret.FromString("sk-canary-1")), asked
}

// Only a provider's own definite word is one; whatever else comes back, nothing
// is known.
func TestF33_OnlyADefiniteAnswerFromTheRightPlaceSaysAnythingAboutAKey(t *testing.T) {
	type row struct {
		answer health.Answer
		err    error
		config map[string]string
		want   health.Reason
	}
	us := map[string]string{"region": "us"}
	say := func(status int) health.Answer {
		return health.Answer{Status: status, ContentType: "application/json", Body: []byte(`{}`)}
	}
	unread := func(status int) health.Answer {
		return health.Answer{Status: status, ContentType: "application/json", Unread: true}
	}
	page := func(status int) health.Answer {
		return health.Answer{Status: status, ContentType: "text/html", Body: []byte("<html>")}
	}
	for name, r := range map[string]row{
		"taken":                       {answer: say(200), config: us, want: health.Works},
		"taken at an assumed place":   {answer: say(200), want: health.Works},
		"restricted":                  {answer: say(403), config: us, want: health.Restricted},
		"refused":                     {answer: say(401), config: us, want: health.Refused},
		"refused at an assumed place": {answer: say(401), want: health.RefusedThere},
		"refused, body unread":        {answer: unread(401), config: us, want: health.Unexpected},
		"taken, body unread":          {answer: unread(200), config: us, want: health.Works},
		"a captive page":              {answer: page(401), config: us, want: health.Unexpected},
		"a page with 200":             {answer: page(200), config: us, want: health.Unexpected},
		"a redirect":                  {answer: say(302), config: us, want: health.Unexpected},
		"too many":                    {answer: say(429), config: us, want: health.RateLimited},
		"trouble":                     {answer: say(500), config: us, want: health.Trouble},
		"trouble, a page":             {answer: page(503), config: us, want: health.Trouble},
		"no such status":              {answer: say(418), config: us, want: health.Unexpected},
		"a private host":              {err: health.ErrNotPublic, config: us, want: health.Private},
		"no answer in time":           {err: fmt.Errorf("x: %w", health.ErrTimeout), config: us, want: health.TimedOut},
		"no connection":               {err: health.ErrUnreachable, config: us, want: health.Unreachable},
		"too large":                   {err: health.ErrOversized, config: us, want: health.Unexpected},
		"a laptop":                    {err: health.ErrNotAsked, config: us, want: health.NotAsked},
		"an error nobody knows":       {err: errors.New("x"), config: us, want: health.Unreachable},
	} {
		f, asked := examine(provider(), r.config, asker{answer: r.answer, err: r.err})
		verdicts := map[health.Reason]health.Verdict{health.Works: catalog.Valid, health.Restricted: catalog.Limited, health.Refused: catalog.Invalid}
		want, definite := verdicts[r.want]
		if !definite {
			want = health.Unknown
		}
		if f.Reason != r.want || f.Verdict != want || f.Definite() != definite || !f.At.Equal(start) || asked != 1 {
			t.Errorf("%s: %+v, asked %d times", name, f, asked)
		}
		if strained := slices.Contains(strains, f.Reason); f.Strained() != strained {
			t.Errorf("%s: strained %v", name, f.Strained())
		}
	}
}

func TestWhatCannotBeAskedIsNotAsked(t *testing.T) {
	unset := provider()
	unset.ConfigFields[0].Default = ""
	none := provider()
	none.Check = nil
	for name, r := range map[string]struct {
		p      catalog.Provider
		config map[string]string
		want   health.Reason
	}{
		"no check":              {none, nil, health.NoCheck},
		"a setting is missing":  {unset, nil, health.NotConfigured},
		"a setting is no host":  {provider(), map[string]string{"region": "a/b"}, health.NotConfigured},
		"a setting is a secret": {provider(), map[string]string{"region": "user@"}, health.NotConfigured},
	} {
		if f, asked := examine(r.p, r.config, asker{}); f.Reason != r.want || f.Verdict != health.Unknown || asked != 0 {
			t.Errorf("%s: %+v, asked %d times", name, f, asked)
		}
	}
}

// Any status, with any body: a refusal comes of nothing but the statuses that the
// check calls one, nothing of the body stays, and a pause that is asked for is
// kept where nothing is known.
func TestF32_F33_NoAnswerButTheOneThatIsCalledARefusalIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "body")
		a := health.Answer{
			Status:      rapid.IntRange(0, 999).Draw(t, "status"),
			ContentType: rapid.SampledFrom([]string{"", "application/json", "text/html; charset=utf-8", "text/plain"}).Draw(t, "type"),
			RetryAfter:  time.Duration(rapid.IntRange(0, 1000).Draw(t, "retry after")) * time.Second,
			Body:        slices.Clone(body), Unread: rapid.Bool().Draw(t, "unread"),
		}
		config := map[string]string{}
		if rapid.Bool().Draw(t, "configured") {
			config["region"] = "us"
		}
		f, _ := examine(provider(), config, asker{answer: a})
		if f.Verdict == catalog.Invalid && (a.Status != 401 || a.Unread || len(config) == 0) {
			t.Fatalf("%d is a refusal: %+v", a.Status, f)
		}
		if f.Definite() && a.Status != 200 && a.Status != 401 && a.Status != 403 {
			t.Fatalf("%d says something: %+v", a.Status, f)
		}
		if !f.Definite() && f.Reason != health.RefusedThere && !a.Unread && f.RetryAfter != a.RetryAfter {
			t.Fatalf("%v was asked for: %+v", a.RetryAfter, f)
		}
		if slices.ContainsFunc(a.Body, func(b byte) bool { return b != 0 }) {
			t.Fatal("the body is left in memory")
		}
	})
}

func TestEveryReasonHasASentenceForPeople(t *testing.T) {
	reasons := health.Reasons()
	if len(reasons) != 16 || !slices.IsSorted(reasons) {
		t.Errorf("%v", reasons)
	}
	for _, r := range reasons {
		if r.Sentence() == "" {
			t.Errorf("%s says nothing", r)
		}
	}
}
