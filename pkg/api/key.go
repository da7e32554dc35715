package api

import (
	"fmt"
	"strings"

	"keyvend/pkg/account"
	"keyvend/pkg/integration"
	"keyvend/pkg/paste"
	"keyvend/pkg/seal"
	"keyvend/pkg/secret"
	"keyvend/pkg/vault"
)

const (
	minSecret       = 1 // bytes, on the endpoint for keys
	minInlineSecret = 5 // bytes, inside an integration
	maxConfig       = 2 << 10
	maxMetadata     = 4 << 10
)

// keyBody is a key that a user brings, as it is sent on the endpoint for keys
// and inside an integration.
type keyBody struct {
	UserID         string  `json:"user_id"`
	OrganizationID *string `json:"organization_id"`
	Secret         string  `json:"secret"`
	Config         textMap `json:"config"`
	Metadata       textMap `json:"metadata"`
	ExpiresAt      *string `json:"expires_at"`
}

// upsert checks the body and names in target whose key it is.
func (b *keyBody) upsert(target *vault.Target, least int) (vault.Upsert, error) {
	if err := owner(target, b.UserID, b.OrganizationID); err != nil {
		return vault.Upsert{}, err
	}
	if err := checkSecret(b.Secret, least); err != nil {
		return vault.Upsert{}, err
	}
	if err := checkMap("config", b.Config, maxConfig); err != nil {
		return vault.Upsert{}, err
	}
	if err := checkMap("metadata", b.Metadata, maxMetadata); err != nil {
		return vault.Upsert{}, err
	}
	expires, err := timestamp("expires_at", b.ExpiresAt)
	return vault.Upsert{
		Secret:    secret.FromString(b.Secret),
		Config:    b.Config,
		Metadata:  b.Metadata,
		ExpiresAt: expires,
	}, err
}

func checkSecret(s string, least int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return invalid("secret", "required", "secret is required: the key that the user got from the provider.")
	case len(s) < least:
		return invalid("secret", "too_short", "secret has at least 5 characters here.")
	case len(s) > seal.MaxSecret:
		return invalid("secret", "too_long", "secret has at most 8,192 bytes.")
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return invalid("secret", "forbidden_characters", "secret is printable ASCII, without line breaks or other control characters.")
	}
	if mistake, found := paste.Spot(s); found {
		return invalid("secret", mistake.Code, mistake.Sentence)
	}
	return nil
}

// warningHeader tells of a key that was stored and may not be the one that is meant, or
// lacks something: the bodies are the contract's. It is a list of RFC 9651 with a
// sentence for people beside each item, and has nothing of the key.
const warningHeader = "Keyvend-Warning"

// warn is the answer with what is odd about the key that was stored in a, if one was.
func (w answer) warn(in *integration.Integration, up *vault.Upsert, a *account.Account) answer {
	if up == nil || a == nil {
		return w
	}
	var told []string
	if doubt, found := vault.Doubt(in, up.Secret); found {
		told = append(told, doubt.Code+`;message="`+doubt.Sentence+`"`)
	}
	if missing := in.Provider().Missing(a.Config); len(missing) > 0 {
		told = append(told, `missing_setting;message="The provider's keys need settings that this one has not: config.`+strings.Join(missing, ", config.")+`."`)
	}
	w.warning = strings.Join(told, ", ")
	return w
}

// checkMap bounds a map of the caller's own values: names of 1 to 64 bytes, all of it
// at most the given number of bytes, and control characters in neither.
func checkMap(field string, values map[string]string, most int) error {
	size := 0
	for name, value := range values {
		switch {
		case name == "", len(name) > 64, strings.ContainsFunc(name, control):
			return invalid(field, "invalid_name", "A name in "+field+" has 1 to 64 bytes and no control characters but line breaks and tabs.")
		case strings.ContainsFunc(value, control):
			return invalid(field, "invalid_text", "A value in "+field+" has no control characters but line breaks and tabs.")
		}
		size += len(name) + len(value)
	}
	if size > most {
		return invalid(field, "too_long", fmt.Sprintf("%s has at most %d bytes, names and values together.", field, most))
	}
	return nil
}

// putKey is PUT /data-integrations/{slug}/api-key.
type putKey struct {
	keyBody
	ConnectionOwner    string `json:"connection_owner"`
	ConnectedAccountID string `json:"connected_account_id"`

	upserted vault.Upsert
}

func (in *putKey) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	return in.check(r)
}

// check is decode once the body was read.
func (in *putKey) check(r *request) (target vault.Target, err error) {
	if err := userOwned(in.ConnectionOwner); err != nil {
		return target, err
	}
	target.Slug = r.slug()
	if in.upserted, err = in.upsert(&target, minSecret); err != nil {
		return target, err
	}
	target.AccountID, target.WithDeparture = in.ConnectedAccountID, true
	in.upserted.Request, err = r.remember()
	return target, err
}

// addKey is POST on the same path, whose intent may be "add".
type addKey struct {
	putKey
	ConnectionIntent string `json:"connection_intent"`
}

func (in *addKey) decode(r *request) (vault.Target, error) {
	if err := r.body(in); err != nil {
		return vault.Target{}, err
	}
	target, err := in.check(r)
	if err != nil {
		return target, err
	}
	switch in.ConnectionIntent {
	case "add":
		in.upserted.AddOnly = true
	case "":
	default:
		return target, invalid("connection_intent", "unknown_value", `connection_intent is "add", or left out.`)
	}
	return target, nil
}

// ownerBody names whose account is meant.
type ownerBody struct {
	UserID             string  `json:"user_id"`
	OrganizationID     *string `json:"organization_id"`
	ConnectionOwner    string  `json:"connection_owner"`
	ConnectedAccountID string  `json:"connected_account_id"`
}

func (in *ownerBody) decode(r *request) (target vault.Target, err error) {
	if err := r.body(in); err != nil {
		return target, err
	}
	target, err = in.target()
	target.Slug = r.slug()
	return target, err
}

// target is whose account the body names.
func (in *ownerBody) target() (target vault.Target, err error) {
	if err := userOwned(in.ConnectionOwner); err != nil {
		return target, err
	}
	target.AccountID = in.ConnectedAccountID
	err = owner(&target, in.UserID, in.OrganizationID)
	return target, err
}

// ownerPath names whose account is meant in the path and the query.
type ownerPath struct{ owner ownerOnly }

func (in *ownerPath) decode(r *request) (vault.Target, error) {
	target, err := in.owner.decode(r)
	if err != nil {
		return target, err
	}
	q, err := r.query()
	target.Slug, target.AccountID = r.slug(), q.Get("connected_account_id")
	return target, err
}

// ownerOnly names whose accounts are meant in the path and the query.
type ownerOnly struct{}

func (*ownerOnly) decode(r *request) (target vault.Target, err error) {
	q, err := r.query()
	if err != nil {
		return target, err
	}
	if err := userOwned(q.Get("connection_owner")); err != nil {
		return target, err
	}
	var organization *string
	if q.Has("organization_id") {
		sent := q.Get("organization_id")
		organization = &sent
	}
	err = owner(&target, r.values["user_id"], organization)
	return target, err
}
