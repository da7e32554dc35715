package api

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyvend/pkg/catalog"
	"keyvend/pkg/integration"
	"keyvend/pkg/vault"
)

// wireDefinition is what an integration says of its provider and of the checks
// of its keys. What a later release brings is shown as it is without it.
type wireDefinition struct {
	Object                string                `json:"object"`
	DataIntegrationID     string                `json:"data_integration_id"`
	Slug                  string                `json:"slug"`
	Name                  string                `json:"name"`
	Custom                bool                  `json:"custom"`
	KeyHint               *string               `json:"key_hint"`
	Help                  *string               `json:"help"`
	HelpURL               *string               `json:"help_url"`
	ConfigFields          []catalog.ConfigField `json:"config_fields"`
	Check                 *catalog.Check        `json:"check"`
	VerifyOnSave          string                `json:"verify_on_save"`
	OnInvalid             string                `json:"on_invalid"`
	CheckInterval         string                `json:"check_interval"`
	Staging               bool                  `json:"staging"`
	RotationWindowSeconds *int                  `json:"rotation_window_seconds"`
	CreatedAt             string                `json:"created_at"`
	UpdatedAt             string                `json:"updated_at"`
}

func definitionOnWire(in *integration.Integration) wireDefinition {
	p := in.Provider()
	w := wireDefinition{
		Object:            "data_integration_definition",
		DataIntegrationID: in.ID,
		Slug:              in.Slug,
		Name:              in.Name,
		Custom:            in.Custom != nil,
		KeyHint:           orNil(p.KeyHint),
		Help:              orNil(p.Help),
		HelpURL:           orNil(p.KeyPage),
		ConfigFields:      p.ConfigFields,
		Check:             p.Check,
		VerifyOnSave:      string(in.Policy.VerifyOnSave.OrDefault()),
		OnInvalid:         string(in.OnInvalid()),
		CheckInterval:     string(in.Policy.CheckInterval.OrDefault()),
		CreatedAt:         stamp(in.CreatedAt),
		UpdatedAt:         stamp(in.UpdatedAt),
	}
	if w.ConfigFields == nil {
		w.ConfigFields = []catalog.ConfigField{}
	}
	return w
}

func (p providers) definition(_ context.Context, v *vault.Visit, _ *slugPath) (answer, error) {
	in, err := p.registry.Get(v)
	if err != nil {
		return answer{}, err
	}
	return ok(definitionOnWire(in)), nil
}

func (p providers) define(ctx context.Context, v *vault.Visit, in *definitionBody) (answer, error) {
	done, err := p.registry.Define(ctx, v, in.change)
	if err != nil {
		return answer{}, err
	}
	return ok(definitionOnWire(done)), nil
}

// definitionBody is PATCH /keyvend/integrations/{slug}. What is not sent stays,
// and so does what is null, except that null clears key_hint and help_url.
// config_fields and check are replaced whole.
type definitionBody struct {
	Name         *string        `json:"name"`
	KeyHint      jsontext.Value `json:"key_hint"`
	HelpURL      jsontext.Value `json:"help_url"`
	ConfigFields jsontext.Value `json:"config_fields"` // a list of catalog.ConfigField
	Check        jsontext.Value `json:"check"`         // a catalog.Check
	// OnInvalid is what vending does about a key that its provider refuses:
	// "refuse" (the account needs reauthorization) or "advise". By default
	// "refuse", but "advise" where the catalog is less sure of its check.
	OnInvalid *string `json:"on_invalid"`
	// CheckInterval is how often keys are checked: "off", or minutes or hours
	// from "15m" to "720h"; "24h" by default.
	CheckInterval *string `json:"check_interval"`
	// VerifyOnSave is whether the provider is asked about a key before it is
	// stored: "off" (the default), "warn" or "require".
	VerifyOnSave *string `json:"verify_on_save"`

	// What later releases bring is taken only as it is without it.
	Staging               *bool `json:"staging"`
	RotationWindowSeconds *int  `json:"rotation_window_seconds"`

	change vault.DefinitionChange
}

func (in *definitionBody) decode(r *request) (vault.Target, error) {
	target := vault.Target{Slug: r.slug()}
	if err := r.body(in); err != nil {
		return target, err
	}
	for _, step := range []func() error{in.later, in.policy, in.words, in.fields, in.check} {
		if err := step(); err != nil {
			return target, err
		}
	}
	return target, nil
}

// later refuses what this release does not do.
func (in *definitionBody) later() error {
	switch {
	case in.Staging != nil && *in.Staging:
		return invalid("staging", "not_supported", "Staged rotation comes in a later release. Send false, or leave it out.")
	case in.RotationWindowSeconds != nil:
		return invalid("rotation_window_seconds", "not_supported", "A rotation keeps no previous key in this release. Leave it out.")
	}
	return nil
}

func (in *definitionBody) policy() error {
	if in.VerifyOnSave != nil {
		verify := integration.Verify(*in.VerifyOnSave)
		if !verify.Known() {
			return invalid("verify_on_save", "unknown_value", "verify_on_save is off, warn or require.")
		}
		in.change.VerifyOnSave = &verify
	}
	if in.OnInvalid != nil {
		o := integration.OnInvalid(*in.OnInvalid)
		if !o.Known() {
			return invalid("on_invalid", "unknown_value", "on_invalid is refuse or advise.")
		}
		in.change.OnInvalid = &o
	}
	if in.CheckInterval != nil {
		i := integration.Interval(*in.CheckInterval)
		if !i.Known() {
			return invalid("check_interval", "unknown_value", "check_interval is off, or minutes or hours such as 90m or 24h, from 15m to 720h.")
		}
		in.change.CheckInterval = &i
	}
	return nil
}

// words are what people are told of the provider.
func (in *definitionBody) words() error {
	if in.Name != nil {
		if err := checkName("name", *in.Name); err != nil {
			return err
		}
		in.change.Name = in.Name
	}
	var err error
	if in.change.KeyHint, err = clearable("key_hint", in.KeyHint); err != nil {
		return err
	}
	if in.change.KeyHint != nil {
		if err := checkText("key_hint", *in.change.KeyHint, 0, 300); err != nil {
			return err
		}
	}
	if in.change.HelpURL, err = clearable("help_url", in.HelpURL); err != nil {
		return err
	}
	if u := in.change.HelpURL; u != nil && *u != "" && !link(*u) {
		return invalid("help_url", "invalid_url", "help_url is the https:// address of a page, with at most 1,000 visible ASCII characters, and without user and password.")
	}
	return nil
}

// clearable is a text that may be sent: nil when it is not, "" for null.
func clearable(field string, sent jsontext.Value) (*string, error) {
	if len(sent) == 0 {
		return nil, nil
	}
	text, err := textOrNull(field, sent)
	if text == nil {
		text = new(string)
	}
	return text, err
}

// link reports whether text is an address that a page may send people to.
func link(text string) bool {
	if len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) }) {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil
}

func (in *definitionBody) fields() error {
	if !present(in.ConfigFields) {
		return nil
	}
	in.change.ConfigFields = new([]catalog.ConfigField)
	return strictly("config_fields", in.ConfigFields, in.change.ConfigFields)
}

func (in *definitionBody) check() error {
	if !present(in.Check) {
		return nil
	}
	in.change.Check = new(catalog.Check)
	return strictly("check", in.Check, in.change.Check)
}

// strictly reads a part of a definition. Elsewhere an unknown member is
// ignored; here a slip such as "limted" would change what answers mean.
func strictly(field string, sent jsontext.Value, v any) error {
	err := json.Unmarshal(sent, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	var wrong *json.SemanticError
	if !errors.As(err, &wrong) {
		return errBadJSON.Because(errors.New("syntax"))
	}
	if errors.Is(err, json.ErrUnknownName) {
		at := place(field, wrong.JSONPointer.Parent())
		return invalid(at, "unknown_field", at+" has a member that does not exist"+called(wrong.JSONPointer.LastToken())+".")
	}
	return wrongType(place(field, wrong.JSONPointer), wrong.GoType)
}

// place is a pointer into field as people write it: check.when[0].status. It
// ends before a name of the caller's own making, as headers have.
func place(field string, pointer jsontext.Pointer) string {
	for token := range pointer.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			field += "[" + token + "]"
			continue
		}
		field += "." + token
		if token == "headers" {
			break
		}
	}
	return field
}

// called tells an unknown name only if it could be a slip of the pen: it may be
// a secret that went to the wrong place.
func called(name string) string {
	if len(name) > 24 || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return ""
	}
	return ": " + name
}
