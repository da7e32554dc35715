package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// seed is what a team's tests expect to find: the file of -seed. It is applied
// at each start and changes what differs; what it does not name stays. Its API
// keys are there again though somebody revoked them.
type seed struct {
	Tenants []seedTenant `json:"tenants"`
}

type seedTenant struct {
	Name    string       `json:"name"`
	APIKeys []seedAPIKey `json:"api_keys"`
	// Integrations are bodies of POST /data-integrations. auth_methods may be
	// left out; definition, if there, is the body of PATCH
	// /keyvend/integrations/{slug}.
	Integrations []map[string]any `json:"integrations"`
	// Accounts are bodies of PUT …/api-key with the slug beside.
	Accounts []map[string]any `json:"accounts"`
}

// seedAPIKey is an API key whose text is fixed, so that it can stand in a
// test's configuration. It is no token of keyvend's: infra/local alone takes it
// in place of one.
type seedAPIKey struct {
	Name   string   `json:"name"` // "": seed and its number
	Key    string   `json:"key"`
	Scopes []string `json:"scopes"`
}

// readSeed reads and checks the seed file at path, "" for none.
func readSeed(path string) (seed, error) {
	var s seed
	if path == "" {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("there is no seed file %s: check the path behind -seed", path)
	}
	if err != nil {
		return s, fmt.Errorf("the seed file %s cannot be read: %s", path, reason(err))
	}
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if err := json.UnmarshalDecode(d, &s, json.RejectUnknownMembers(true)); err != nil {
		return s, fmt.Errorf("the seed file %s cannot be understood: %s. infra/local/seed.example.json shows how one looks", path, jsonProblem(text, err))
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("the seed file %s goes on behind the end of its JSON, at line %d: take that away", path, lineAfter(text, d.InputOffset()))
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("the seed file %s: %w", path, err)
	}
	return s, nil
}

// jsonProblem tells an error of the JSON package without the names of Go's types.
func jsonProblem(text []byte, err error) string {
	var syntax *jsontext.SyntacticError
	var wrong *json.SemanticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Sprintf("in line %d, %s has %q twice", lineAfter(text, syntax.ByteOffset), part(syntax.JSONPointer.Parent()), syntax.JSONPointer.LastToken())
	case errors.As(err, &syntax):
		return fmt.Sprintf("line %d is not JSON", lineAfter(text, syntax.ByteOffset))
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &wrong):
		return fmt.Sprintf("in line %d, %s has the unknown field %q", lineAfter(text, wrong.ByteOffset), part(wrong.JSONPointer.Parent()), wrong.JSONPointer.LastToken())
	case errors.As(err, &wrong) && wrong.JSONPointer == "":
		return fmt.Sprintf("in line %d, a JSON %s stands where the seed's object belongs", lineAfter(text, wrong.ByteOffset), kind(wrong.JSONKind))
	case errors.As(err, &wrong):
		return fmt.Sprintf("in line %d, %s cannot be a JSON %s", lineAfter(text, wrong.ByteOffset), part(wrong.JSONPointer), kind(wrong.JSONKind))
	}
	return "it cannot be read"
}

// part is a pointer into the file as people write it: tenants[0].api_keys.
func part(pointer jsontext.Pointer) string {
	var said string
	for token := range pointer.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			said += "[" + token + "]"
			continue
		}
		said += "." + token
	}
	return cmp.Or(strings.TrimPrefix(said, "."), "the seed")
}

// kind is what JSON calls a value of that kind.
func kind(k jsontext.Kind) string {
	switch k {
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	}
	return k.String()
}

// lineAfter is the line of what follows an offset: spaces, and what stands between
// two values, are no part of it.
func lineAfter(text []byte, offset int64) int {
	rest := bytes.TrimLeft(text[min(int(offset), len(text)):], " \t\r\n,:")
	return 1 + bytes.Count(text[:len(text)-len(rest)], []byte("\n"))
}
