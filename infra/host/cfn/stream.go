package cfn

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stream is a function's event source that is a table's stream.
type Stream struct {
	Stream          string // ARN
	BatchSize       int
	Retries         int           // after the first try
	RecordAge       time.Duration // older records are given up
	Bisect          bool          // halves a batch after a function error
	ReportsFailures bool          // the function says what is to come again
	OnFailure       string        // ARN of the queue for what was given up
	filters         []pattern
}

// pattern is a parsed filter: of each field another pattern, or tests of its
// value of which one must hold.
type pattern struct {
	fields map[string]pattern
	tests  []func(value string) bool
}

func newStream(p map[string]any) (Stream, error) {
	s := Stream{Stream: text(p["Stream"]), OnFailure: text(Map(Map(p["DestinationConfig"])["OnFailure"])["Destination"])}
	var ok [3]bool
	var age int
	s.BatchSize, ok[0] = p["BatchSize"].(int)
	s.Retries, ok[1] = p["MaximumRetryAttempts"].(int)
	age, ok[2] = p["MaximumRecordAgeInSeconds"].(int)
	s.RecordAge = time.Duration(age) * time.Second
	s.Bisect, _ = p["BisectBatchOnFunctionError"].(bool)
	s.ReportsFailures = slices.Contains(Strings(p["FunctionResponseTypes"]), "ReportBatchItemFailures")
	if ok != [3]bool{true, true, true} || text(p["StartingPosition"]) != "TRIM_HORIZON" {
		return s, fmt.Errorf("stream %v is not supported", p)
	}
	for _, filter := range List(Map(p["FilterCriteria"])["Filters"]) {
		var v any
		if err := json.Unmarshal([]byte(text(Map(filter)["Pattern"])), &v); err != nil {
			return s, fmt.Errorf("filter %v: %w", filter, err)
		}
		parsed, err := newPattern(v)
		if err != nil {
			return s, err
		}
		s.filters = append(s.filters, parsed)
	}
	return s, nil
}

func newPattern(v any) (pattern, error) {
	var p pattern
	switch v := v.(type) {
	case map[string]any:
		p.fields = map[string]pattern{}
		for name, inner := range v {
			field, err := newPattern(inner)
			if err != nil {
				return p, err
			}
			p.fields[name] = field
		}
	case []any:
		for _, test := range v {
			prefix, isPrefix := Map(test)["prefix"].(string)
			equal, isText := test.(string)
			switch {
			case isText:
				p.tests = append(p.tests, func(value string) bool { return value == equal })
			case isPrefix && len(Map(test)) == 1:
				p.tests = append(p.tests, func(value string) bool { return strings.HasPrefix(value, prefix) })
			default:
				return p, fmt.Errorf("filter rule %v is not supported", test)
			}
		}
	default:
		return p, fmt.Errorf("filter %v is not supported", v)
	}
	return p, nil
}

func (p pattern) matches(v any) bool {
	if p.fields != nil {
		for name, field := range p.fields {
			if !field.matches(Map(v)[name]) {
				return false
			}
		}
		return true
	}
	value, ok := v.(string)
	return ok && slices.ContainsFunc(p.tests, func(test func(string) bool) bool { return test(value) })
}

// Passes tells whether a record reaches the function.
func (s Stream) Passes(record []byte) bool {
	var v any
	if json.Unmarshal(record, &v) != nil {
		return len(s.filters) == 0
	}
	return len(s.filters) == 0 || slices.ContainsFunc(s.filters, func(p pattern) bool { return p.matches(v) })
}
