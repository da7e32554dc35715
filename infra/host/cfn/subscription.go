package cfn

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// Subscription is a function's event source that is a log group.
type Subscription struct {
	LogGroup string
	field    string // of a line that is a JSON object
	value    string // that it has
}

// equals is the one kind of filter pattern that is known: { $.field = "value" }.
var equals = regexp.MustCompile(`^\{ \$\.(\w+) = "([^"*\\]*)" \}$`)

func newSubscription(p map[string]any) (Subscription, error) {
	filter := equals.FindStringSubmatch(text(p["FilterPattern"]))
	if filter == nil {
		return Subscription{}, fmt.Errorf("filter pattern %v is not supported", p["FilterPattern"])
	}
	return Subscription{LogGroup: text(p["LogGroupName"]), field: filter[1], value: filter[2]}, nil
}

// Passes tells whether a line reaches the function.
func (s Subscription) Passes(line []byte) bool {
	var fields map[string]json.RawMessage
	var value string
	return json.Unmarshal(line, &fields) == nil && json.Unmarshal(fields[s.field], &value) == nil && value == s.value
}
