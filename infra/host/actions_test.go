package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyvend/infra/host/iam"
)

// callers are the packages that alone know a service of AWS (a test of infra/layout
// holds them to that), by its name in policies.
var callers = map[string]string{
	"dynamodb": "pkg/table/dynamo", "kms": "pkg/seal/awskms", "events": "pkg/bus/eventbridge", "sqs": "pkg/bus/sqs",
}

// byLambda are the actions that no code calls: Lambda does, with the function's role.
var byLambda = []string{
	"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
	"logs:CreateLogStream", "logs:PutLogEvents",
	"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
}

func TestEveryActionThatIsGrantedIsOneThatTheCodeCallsOrLambdaDoes(t *testing.T) {
	granted, called := grants(t), calls(t)
	for action, to := range granted {
		if code, lambda := slices.Contains(called, action), slices.Contains(byLambda, action); code == lambda {
			t.Errorf("%s is granted to %v: called by the code %v, by Lambda %v", action, to, code, lambda)
		}
	}
	for _, action := range byLambda {
		if granted[action] == nil {
			t.Errorf("%s is granted to nobody", action)
		}
	}
}

// grants are the actions that roles and the sealing key allow to functions.
func grants(t *testing.T) map[string][]string {
	t.Helper()
	granted := map[string][]string{}
	add := func(name string, s iam.Statement) {
		for _, action := range s.Actions {
			granted[action] = append(granted[action], name)
		}
	}
	for name := range functions(t) {
		role, statements := policy(t, name)
		for _, s := range statements {
			add(name, s)
		}
		for _, s := range keyPolicy(t) {
			if s.Effect == "Allow" && slices.Contains(s.Principals, role) {
				add(name, s)
			}
		}
	}
	return granted
}

// calls are the actions behind what the code calls of its clients.
func calls(t *testing.T) []string {
	t.Helper()
	var all []string
	for service, dir := range callers {
		sources, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		before := len(all)
		for _, name := range sources {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(source, func(n ast.Node) bool {
				for _, operation := range operations(n) {
					all = append(all, service+":"+operation)
				}
				return true
			})
		}
		if len(all) == before {
			t.Errorf("%s calls nothing of %s", dir, service)
		}
	}
	return all
}

// operations are those of a call like x.client.PutItem(…), and of the parts of a
// transaction, by which IAM judges it.
func operations(n ast.Node) (found []string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if method, ok := n.Fun.(*ast.SelectorExpr); ok && strings.EqualFold(selected(method.X), "client") {
			found = append(found, method.Sel.Name)
		}
	case *ast.CompositeLit:
		if selected(n.Type) != "TransactWriteItem" {
			return nil
		}
		for _, part := range n.Elts {
			if field, ok := part.(*ast.KeyValueExpr); ok {
				found = append(found, field.Key.(*ast.Ident).Name+"Item")
			}
		}
	}
	return found
}

// selected is what a selector names: "client" of x.client.
func selected(x ast.Expr) string {
	if s, ok := x.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}
