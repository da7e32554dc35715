package health

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/ident"
	"keyvend/pkg/secret"
)

// Verdict is what is known of a key: what an answer said of it, or Unknown.
type Verdict = catalog.Verdict

// Unknown is that nobody could say. A provider's bad day is no bad key.
const Unknown Verdict = "unknown"

// Reason says what a verdict rests on.
type Reason string

// The reasons. Those of Unknown say why nothing is known.
const (
	Works         Reason = "works"             // valid
	Restricted    Reason = "restricted"        // limited
	Refused       Reason = "refused"           // invalid
	RefusedOnce   Reason = "refused_once"      // a refusal that waits for a second one
	RefusedThere  Reason = "refused_there"     // refused at an address that was only assumed
	Doubted       Reason = "doubted"           // refused, as were many keys at once that worked
	RateLimited   Reason = "rate_limited"      // 429
	Trouble       Reason = "provider_trouble"  // 5xx
	TimedOut      Reason = "timed_out"         // no answer in time
	Unreachable   Reason = "unreachable"       // no connection
	Private       Reason = "not_public"        // the host is inside a private network
	Unexpected    Reason = "unexpected_answer" // an answer that no rule speaks of
	NotConfigured Reason = "not_configured"    // a setting that the check needs is missing, or does not fit
	NotAsked      Reason = "not_asked"         // a laptop asks no real providers
	NoCheck       Reason = "no_check"          // there is no check that could be made with this key
	Reported      Reason = "reported"          // somebody says that the provider refuses the key
)

var sentences = map[Reason]string{
	Works:         "The key works.",
	Restricted:    "The key works, but it lacks a permission or is restricted.",
	Refused:       "The provider refuses this key. It was revoked or replaced: bring a new one.",
	RefusedOnce:   "The provider refused this key once. It is asked again in some minutes before that counts.",
	RefusedThere:  "The provider refused this key, but at an address that was only assumed. Set the region or host that goes with the key.",
	Doubted:       "The provider refuses many keys at once that worked until now, so that says nothing about this one. It is asked again later.",
	RateLimited:   "The provider takes no more questions at the moment. It is asked again later.",
	Trouble:       "The provider has trouble at the moment. It is asked again later.",
	TimedOut:      "The provider did not answer in time. It is asked again later.",
	Unreachable:   "The provider could not be reached. It is asked again later.",
	Private:       "The provider's address is not on the public internet, so it is not asked.",
	Unexpected:    "The provider's answer says nothing about the key. It is asked again later.",
	NotConfigured: "A setting that goes with the key is missing or does not fit, so the provider was not asked.",
	NotAsked:      "Real providers are not asked here, so nothing is known of the key.",
	NoCheck:       "There is no check for this key.",
	Reported:      "The key was reported as refused by its provider.",
}

// Reasons are all of them, sorted.
func Reasons() []Reason { return slices.Sorted(maps.Keys(sentences)) }

// Sentence says it in words for people.
func (r Reason) Sentence() string { return sentences[r] }

// Finding is what one look at a key found.
type Finding struct {
	Verdict    Verdict
	Reason     Reason
	At         time.Time
	RetryAfter time.Duration // what the provider asks for; 0: nothing
	Doubted    bool          // its refusals say nothing at the moment
	Host       string        // that was asked, where an account's settings name it; else ""
}

// Definite reports whether the provider said something about the key.
func (f Finding) Definite() bool { return f.Verdict != Unknown }

// Strained reports whether the provider itself, rather than anything about this
// key, kept it from saying something.
func (f Finding) Strained() bool {
	switch f.Reason {
	case RateLimited, Trouble, TimedOut, Unreachable, Doubted:
		return true
	default:
		return false
	}
}

// Examiner asks a provider about a key.
type Examiner struct {
	Asker Asker
	Clock ident.Clock
}

// Examine asks p whether key works. It always finds something, if only that
// nothing is known.
func (e *Examiner) Examine(ctx context.Context, p catalog.Provider, config map[string]string, key secret.Text) Finding {
	if p.Check == nil {
		return e.unknown(NoCheck)
	}
	ask, err := p.Check.Ask(p.ConfigFields, config, key)
	if err != nil {
		return e.unknown(NotConfigured)
	}
	f := e.put(ctx, p, ask, key)
	if p.Check.AnyHost(p.ConfigFields) {
		f.Host = ask.Host
	}
	return f
}

// put puts the question, and makes a finding of the answer.
func (e *Examiner) put(ctx context.Context, p catalog.Provider, ask catalog.Ask, key secret.Text) Finding {
	answer, err := e.Asker.Ask(ctx, ask)
	if err != nil {
		return e.unknown(silence(err))
	}
	defer clear(answer.Body)
	judge := p.Check.Judge
	if !p.Curated() && echoes(answer.Body, key) {
		judge, answer.Unread = p.Check.JudgeStatus, p.Check.LooksInto(answer.Status)
	}
	verdict, judged := judge(answer.Status, answer.ContentType, answer.Body)
	switch {
	case !judged:
		f := e.unknown(unjudged(answer.Status))
		f.RetryAfter = answer.RetryAfter
		return f
	case verdict == catalog.Invalid && answer.Unread: // who knows what it said
		return e.unknown(Unexpected)
	case verdict == catalog.Invalid && ask.Assumed:
		return e.unknown(RefusedThere)
	}
	return Finding{Verdict: verdict, Reason: judgement(verdict), At: e.Clock.Now()}
}

func (e *Examiner) unknown(why Reason) Finding {
	return Finding{Verdict: Unknown, Reason: why, At: e.Clock.Now()}
}

func judgement(v Verdict) Reason {
	switch v {
	case catalog.Valid:
		return Works
	case catalog.Limited:
		return Restricted
	default:
		return Refused
	}
}

// silence is the reason for which there was no answer.
func silence(err error) Reason {
	switch {
	case errors.Is(err, ErrNotPublic):
		return Private
	case errors.Is(err, ErrNotAsked):
		return NotAsked
	case errors.Is(err, ErrTimeout):
		return TimedOut
	case errors.Is(err, ErrOversized):
		return Unexpected
	default:
		return Unreachable
	}
}

// unjudged is the reason for which an answer says nothing.
func unjudged(status int) Reason {
	switch {
	case status == 429:
		return RateLimited
	case status >= 500:
		return Trouble
	default:
		return Unexpected
	}
}
