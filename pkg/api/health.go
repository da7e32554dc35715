package api

import (
	"context"
	"net/http"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/vault"
)

// looks are the routes with which operators look into the health of keys.
func looks(l *vault.Looks) []Route {
	h := healthRoutes{l}
	const one = "/keyvend/accounts/{account_id}"
	return []Route{
		{"POST", one + "/check", apikey.Manage, handle(h.check)},
		{"GET", one + "/history", apikey.Read, handle(h.history)},
	}
}

// reports is the route for those who saw a provider refuse a vended key.
func reports(l *vault.Looks) []Route {
	return []Route{{"POST", "/keyvend/reports", apikey.Vend, handle(healthRoutes{l}.report)}}
}

type healthRoutes struct{ looks *vault.Looks }

func (h healthRoutes) check(ctx context.Context, v *vault.Visit, in *accountPath) (answer, error) {
	done, err := h.looks.Request(ctx, v, in.id)
	if err != nil {
		return answer{}, err
	}
	return acceptedOnWire(done), nil
}

func (h healthRoutes) report(ctx context.Context, v *vault.Visit, in *reportBody) (answer, error) {
	done, err := h.looks.Report(ctx, v, in.refusal)
	if err != nil {
		return answer{}, err
	}
	return acceptedOnWire(done), nil
}

func (h healthRoutes) history(ctx context.Context, v *vault.Visit, in *accountPath) (answer, error) {
	entries, err := h.looks.History(ctx, v, in.id)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireLook, len(entries))
	for i, e := range entries {
		data[i] = wireLook{"check_result", string(e.Verdict), string(e.Reason), e.Reason.Sentence(), stamp(e.At), string(e.Cause), e.SecretID}
	}
	return ok(plainList(data)), nil
}

type wireAccepted struct {
	Accepted bool    `json:"accepted"`
	Reason   *string `json:"reason"`
}

func acceptedOnWire(a vault.Accepted) answer {
	return answer{status: http.StatusAccepted, body: wireAccepted{a.Accepted, orNil(a.Reason)}}
}

// wireLook is one look in an account's history.
type wireLook struct {
	Object    string `json:"object"`
	Verdict   string `json:"verdict"`
	Reason    string `json:"reason"`
	Sentence  string `json:"sentence"`
	CheckedAt string `json:"checked_at"`
	Cause     string `json:"cause"`
	SecretID  string `json:"secret_id"`
}

// wireHealth is what is known of whether an account's key works.
type wireHealth struct {
	Verdict             string  `json:"verdict"`
	Reason              string  `json:"reason"`
	Sentence            string  `json:"sentence"`
	CheckedAt           string  `json:"checked_at"`
	LastGoodAt          *string `json:"last_good_at"`
	FirstBadAt          *string `json:"first_bad_at"`
	ConsecutiveUnknowns int     `json:"consecutive_unknowns"`
	NextCheckAt         *string `json:"next_check_at"`
}

// healthOnWire is nil while nothing is known.
func healthOnWire(c *health.Check, every time.Duration) *wireHealth {
	if c == nil || c.Verdict == "" {
		return nil
	}
	return &wireHealth{
		Verdict:             string(c.Verdict),
		Reason:              string(c.Reason),
		Sentence:            c.Reason.Sentence(),
		CheckedAt:           stamp(c.CheckedAt),
		LastGoodAt:          stampOrNil(c.LastGoodAt),
		FirstBadAt:          stampOrNil(c.FirstBadAt),
		ConsecutiveUnknowns: c.Unknowns,
		NextCheckAt:         stampOrNil(c.NextLook(every)),
	}
}

// reportBody is POST /keyvend/reports: the provider answered a vended key with a
// status that refuses it.
type reportBody struct {
	Slug           string  `json:"slug"`
	UserID         string  `json:"user_id"`
	OrganizationID *string `json:"organization_id"`
	Status         *int    `json:"status"`
	SecretID       *string `json:"secret_id"`
	VendedAt       *string `json:"vended_at"`

	refusal vault.Refusal
}

func (in *reportBody) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	if target.Slug, err = bodySlug(in.Slug); err != nil {
		return target, err
	}
	if err := owner(&target, in.UserID, in.OrganizationID); err != nil {
		return target, err
	}
	if in.Status == nil || *in.Status < 100 || *in.Status > 599 {
		return target, invalid("status", "invalid_value", "status is the HTTP status with which the provider answered, such as 401.")
	}
	in.refusal.Status = *in.Status
	if in.SecretID != nil {
		if in.refusal.SecretID = *in.SecretID; in.refusal.SecretID == "" {
			return target, invalid("secret_id", "invalid_value", "secret_id is the id of the key that was refused, as POST /keyvend/vend told. Send it, or leave it out.")
		}
	}
	in.refusal.VendedAt, err = timestamp("vended_at", in.VendedAt)
	return target, err
}

// bodySlug is a slug that stands in a body; one that no integration can have is
// not read.
func bodySlug(slug string) (string, error) {
	if slug == "" {
		return "", invalid("slug", "required", "slug is required: the data integration's.")
	}
	if !ident.ValidSlug(slug) {
		return "", nil
	}
	return slug, nil
}
