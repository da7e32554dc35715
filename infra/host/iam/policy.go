// Package iam judges calls by the policies of the template, so that a function
// which needs a permission that its role lacks fails here and not in AWS. It
// knows the condition operators that the template uses and refuses others.
package iam

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"keyvend/infra/host/cfn"
)

// Statement is one statement of a resolved policy document.
type Statement struct {
	Sid        string
	Effect     string
	Principals []string
	Actions    []string
	Resources  []string
	Conditions []Condition
}

// Condition is one operator on one key.
type Condition struct {
	Operator, Key string
	Values        []string
}

// Call is what a principal asks for.
type Call struct {
	Principal string // the role's ARN
	Action    string
	Resource  string // its ARN
	Context   map[string][]string
}

// Statements reads a resolved policy document.
func Statements(document any) ([]Statement, error) {
	var all []Statement
	for _, item := range cfn.List(cfn.Map(document)["Statement"]) {
		m := cfn.Map(item)
		s := Statement{
			Sid:        fmt.Sprint(m["Sid"]),
			Effect:     fmt.Sprint(m["Effect"]),
			Principals: cfn.Strings(cfn.Map(m["Principal"])["AWS"]),
			Actions:    cfn.Strings(m["Action"]),
			Resources:  cfn.Strings(m["Resource"]),
		}
		for operator, keys := range cfn.Map(m["Condition"]) {
			if _, ok := operators[operator]; !ok {
				return nil, fmt.Errorf("iam: statement %s: condition operator %s is not supported", s.Sid, operator)
			}
			for key, values := range cfn.Map(keys) {
				s.Conditions = append(s.Conditions, Condition{operator, key, cfn.Strings(values)})
			}
		}
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Actions) == 0 || len(s.Resources) == 0 {
			return nil, fmt.Errorf("iam: statement %s is not complete", s.Sid)
		}
		all = append(all, s)
	}
	return all, nil
}

// Allowed says whether statements allow the call: one must, and none may deny.
func Allowed(statements []Statement, c Call) bool {
	allowed := false
	for _, s := range statements {
		if !s.applies(c) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s Statement) applies(c Call) bool {
	if len(s.Principals) > 0 && !matchesAny(s.Principals, c.Principal) {
		return false
	}
	if !matchesAny(s.Actions, c.Action) || !matchesAny(s.Resources, c.Resource) {
		return false
	}
	return !slices.ContainsFunc(s.Conditions, func(condition Condition) bool {
		return !operators[condition.Operator](c.Context[condition.Key], condition.Values)
	})
}

// operators by name: whether the values that the call has at a key satisfy the
// values of the policy. A key that the call lacks has none.
var operators = map[string]func(have, want []string) bool{
	"StringEquals":            func(have, want []string) bool { return len(have) > 0 && slices.Contains(want, have[0]) },
	"StringNotEquals":         func(have, want []string) bool { return len(have) == 0 || !slices.Contains(want, have[0]) },
	"ArnNotEquals":            func(have, want []string) bool { return len(have) == 0 || !matchesAny(want, have[0]) },
	"ForAllValues:StringLike": allLike,
	"Null":                    func(have, want []string) bool { return fmt.Sprint(len(have) == 0) == want[0] },
}

// allLike is true of no values at all, as in AWS: that is what the Null guard
// is for.
func allLike(have, want []string) bool {
	return !slices.ContainsFunc(have, func(value string) bool { return !matchesAny(want, value) })
}

// matchesAny compares with the wildcard * of policies.
func matchesAny(patterns []string, value string) bool {
	// path.Match lets * stop at a slash, which a policy's does not.
	flat := strings.NewReplacer("/", "\x00", "[", "\x01", "\\", "\x02")
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(flat.Replace(pattern), flat.Replace(value))
		return err == nil && ok
	})
}
