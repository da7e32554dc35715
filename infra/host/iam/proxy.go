package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
)

// Proxy stands between one function and the services that it calls, and answers
// AccessDeniedException to what the function's role may not do.
type Proxy struct {
	principal string
	role, key []Statement
	resources Resources
	dynamodb  *httputil.ReverseProxy
	kms       *httputil.ReverseProxy
	other     http.Handler
	before    func(operation string)

	mu     sync.Mutex
	denied []string
}

// Resources are the ARNs that calls are about.
type Resources struct{ Table, Key, Bus, Queue string }

// Config is what a Proxy judges by and where it passes calls on to.
type Config struct {
	Principal     string      // ARN of the function's role
	Role          []Statement // its policies
	Key           []Statement // the sealing key's policy
	Resources     Resources
	DynamoDB, KMS *url.URL
	Other         http.Handler // EventBridge and SQS; nil for functions that have no part in them
	// Before and After are called around each allowed call with its operation
	// ("PutItem", "Decrypt"): Before it is passed on, and After it was answered
	// but before the function learns of it. Nil is nothing.
	Before, After func(operation string)
}

// NewProxy makes a Proxy.
func NewProxy(c Config) *Proxy {
	return &Proxy{
		principal: c.Principal, role: c.Role, key: c.Key, resources: c.Resources, before: c.Before,
		dynamodb: forward(c.DynamoDB, c.After), kms: forward(c.KMS, c.After),
		other: answeredBy(c.Other, c.After),
	}
}

func forward(to *url.URL, after func(operation string)) *httputil.ReverseProxy {
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { // the function has died, or the emulator has
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	if after != nil {
		p.ModifyResponse = func(res *http.Response) error {
			_, operation := target(res.Request)
			after(operation)
			return nil
		}
	}
	return p
}

// answeredBy is next with after called before its answer leaves.
func answeredBy(next http.Handler, after func(operation string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next == nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if after != nil {
			_, operation := target(r)
			after(operation)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// target is the service and the operation of a call.
func target(r *http.Request) (service, operation string) {
	service, operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return service, operation
}

// Denied lists what was refused, one line each.
func (p *Proxy) Denied() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.denied...)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 20<<20))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	service, operation := target(r)
	var (
		calls   []Call
		allowed = p.role
		next    http.Handler
	)
	switch service {
	case "TrentService":
		calls, err = p.kmsCalls(operation, body)
		allowed, next = p.key, p.kms
	case "AWSEvents":
		calls, err = p.busCalls(operation, body)
		next = p.other
	case "AmazonSQS":
		calls, err = p.queueCalls(operation, body)
		next = p.other
	default:
		calls, err = p.dynamoDBCalls(operation, body)
		next = p.dynamodb
	}
	if err != nil {
		p.refuse(w, fmt.Sprintf("%s: %v", operation, err))
		return
	}
	for _, c := range calls {
		if !Allowed(allowed, c) {
			p.refuse(w, fmt.Sprintf("%s may not %s on %s with %v", c.Principal, c.Action, c.Resource, c.Context))
			return
		}
	}
	if p.before != nil {
		p.before(operation)
	}
	next.ServeHTTP(w, r)
}

func (p *Proxy) refuse(w http.ResponseWriter, why string) {
	p.mu.Lock()
	p.denied = append(p.denied, why)
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazon.coral.service#AccessDeniedException", "message": why})
}

// busCalls are what IAM is asked about events: one question for each.
func (p *Proxy) busCalls(operation string, body []byte) ([]Call, error) {
	var in struct {
		Entries []struct{ EventBusName string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	var calls []Call
	for _, e := range in.Entries {
		calls = append(calls, Call{Principal: p.principal, Action: "events:" + operation, Resource: neighbour(p.resources.Bus, e.EventBusName)})
	}
	if len(calls) == 0 {
		return nil, errors.New("about no event bus")
	}
	return calls, nil
}

// queueCalls is what IAM is asked about messages: a batch needs the permission of
// its single ones.
func (p *Proxy) queueCalls(operation string, body []byte) ([]Call, error) {
	var in struct{ QueueUrl string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return []Call{{Principal: p.principal, Action: "sqs:" + strings.TrimSuffix(operation, "Batch"), Resource: neighbour(p.resources.Queue, path.Base(in.QueueUrl))}}, nil
}

// neighbour is the ARN of another resource of the same kind and place.
func neighbour(arn, name string) string { return arn[:strings.LastIndexAny(arn, "/:")+1] + name }

func (p *Proxy) kmsCalls(operation string, body []byte) ([]Call, error) {
	var in struct{ EncryptionContext map[string]string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	c := Call{
		Principal: p.principal, Action: "kms:" + operation, Resource: p.resources.Key,
		Context: map[string][]string{"aws:PrincipalArn": {p.principal}},
	}
	for name, value := range in.EncryptionContext {
		c.Context["kms:EncryptionContext:"+name] = []string{value}
	}
	return []Call{c}, nil
}

// value is an attribute value; keys are texts here.
type value struct{ S string }

// dynamoDBCalls says what IAM is asked about an operation: a transaction is
// judged by its parts.
func (p *Proxy) dynamoDBCalls(operation string, body []byte) ([]Call, error) {
	var in struct {
		IndexName                 string
		KeyConditionExpression    string
		ExpressionAttributeNames  map[string]string
		ExpressionAttributeValues map[string]json.RawMessage
		Key, Item                 json.RawMessage
		RequestItems              map[string]struct{ Keys []json.RawMessage }
		TransactItems             []map[string]struct{ Key, Item json.RawMessage }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	switch operation {
	case "GetItem", "DeleteItem", "UpdateItem":
		return p.about(operation, in.Key)
	case "PutItem":
		return p.about(operation, in.Item)
	case "BatchGetItem":
		var keys []json.RawMessage
		for _, items := range in.RequestItems {
			keys = append(keys, items.Keys...)
		}
		return p.about(operation, keys...)
	case "Query":
		partition := partitionOf(in.KeyConditionExpression, in.ExpressionAttributeNames, in.IndexName)
		var v value
		if err := json.Unmarshal(in.ExpressionAttributeValues[partition], &v); err != nil {
			return nil, fmt.Errorf("no partition in %q", in.KeyConditionExpression)
		}
		c := p.call(operation, v.S)
		if in.IndexName != "" {
			c.Resource += "/index/" + in.IndexName
		}
		return []Call{c}, nil
	case "TransactWriteItems", "TransactGetItems":
		var calls []Call
		for _, item := range in.TransactItems {
			for kind, part := range item {
				row := part.Key
				if kind == "Put" {
					row = part.Item
				}
				c, err := p.about(kind+"Item", row)
				if err != nil {
					return nil, err
				}
				calls = append(calls, c...)
			}
		}
		return calls, nil
	default: // a Scan names no partition; what is unknown is judged without one
		return []Call{p.call(operation)}, nil
	}
}

// about is the call on rows of the given keys.
func (p *Proxy) about(operation string, rows ...json.RawMessage) ([]Call, error) {
	var partitions []string
	for _, row := range rows {
		var attributes map[string]json.RawMessage
		if err := json.Unmarshal(row, &attributes); err != nil {
			return nil, err
		}
		var v value
		if err := json.Unmarshal(attributes["PK"], &v); err != nil {
			return nil, err
		}
		partitions = append(partitions, v.S)
	}
	return []Call{p.call(operation, partitions...)}, nil
}

func (p *Proxy) call(operation string, partitions ...string) Call {
	c := Call{Principal: p.principal, Action: "dynamodb:" + operation, Resource: p.resources.Table, Context: map[string][]string{}}
	if len(partitions) > 0 {
		c.Context["dynamodb:LeadingKeys"] = partitions
	}
	return c
}

var equality = regexp.MustCompile(`([#\w]+)\s*=\s*(:\w+)`)

// partitionOf is the placeholder of the partition key's value in a query.
func partitionOf(expression string, names map[string]string, index string) string {
	want := "PK"
	if index != "" {
		want = index + "_pk"
	}
	for _, m := range equality.FindAllStringSubmatch(expression, -1) {
		name := m[1]
		if real, ok := names[name]; ok {
			name = real
		}
		if name == want {
			return m[2]
		}
	}
	return ""
}
