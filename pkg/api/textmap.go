package api

import (
	"errors"

	"github.com/go-json-experiment/json"
)

// textMap is an object whose values are all texts. The decoder by itself would
// take null for an empty one.
type textMap map[string]string

var errNotText = errors.New("a value is not a text")

// UnmarshalJSON implements json.Unmarshaler.
func (m *textMap) UnmarshalJSON(b []byte) error {
	var values map[string]*string
	if err := json.Unmarshal(b, &values); err != nil || values == nil {
		*m = nil
		return err
	}
	texts := make(textMap, len(values))
	for name, value := range values {
		if value == nil {
			return errNotText
		}
		texts[name] = *value
	}
	*m = texts
	return nil
}
