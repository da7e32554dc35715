package api

import (
	"context"
	"strconv"

	"keyvend/pkg/apikey"
	"keyvend/pkg/vault"
)

// Usage are the routes about how much is asked; they belong to the function
// "providers".
func Usage(u *vault.Usage) []Route {
	return []Route{{"GET", "/keyvend/integrations/{slug}/usage", apikey.Read, handle(counts{u}.hours)}}
}

type counts struct{ usage *vault.Usage }

type wireHour struct {
	Hour    string `json:"hour"`
	Vended  int    `json:"vended"`
	Refused int    `json:"refused"`
}

func (h counts) hours(ctx context.Context, v *vault.Visit, in *hoursQuery) (answer, error) {
	hours, err := h.usage.Hours(ctx, v, in.hours)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireHour, len(hours))
	for i, hour := range hours {
		data[i] = wireHour{stamp(hour.Start), hour.Vended, hour.Refused}
	}
	return ok(plainList(data)), nil
}

// hoursQuery is GET /keyvend/integrations/{slug}/usage: how many hours, from the
// present one back.
type hoursQuery struct{ hours int }

const (
	defaultHours = 24
	maxHours     = 7 * 24
)

func (in *hoursQuery) decode(r *request) (vault.Target, error) {
	target := vault.Target{Slug: r.slug()}
	q, err := r.query()
	if err != nil {
		return target, err
	}
	in.hours = defaultHours
	if q.Has("hours") {
		if in.hours, err = strconv.Atoi(q.Get("hours")); err != nil || in.hours < 1 || in.hours > maxHours {
			return target, badParameter("hours", "out_of_range", "hours is a number from 1 to 168.")
		}
	}
	return target, nil
}

type wireRead struct {
	APIKeyID    string `json:"api_key_id"`
	WindowStart string `json:"window_start"` // of five minutes
	Count       int    `json:"count"`
	LastReadAt  string `json:"last_read_at"`
}

func (h accounts) reads(ctx context.Context, v *vault.Visit, in *accountPath) (answer, error) {
	reads, err := h.directory.Reads(ctx, v, in.id)
	if err != nil {
		return answer{}, err
	}
	data := make([]wireRead, len(reads))
	for i, read := range reads {
		data[i] = wireRead{read.APIKey, stamp(read.Start), read.Count, stamp(read.LastAt)}
	}
	return ok(plainList(data)), nil
}
