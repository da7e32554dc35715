package iam

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func statements(t *testing.T, list ...map[string]any) []Statement {
	t.Helper()
	var all []any
	for _, s := range list {
		all = append(all, s)
	}
	parsed, err := Statements(map[string]any{"Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

const table = "arn:aws:dynamodb:r:1:table/t"

func own(letters ...any) map[string]any {
	return map[string]any{
		"Effect": "Allow", "Action": []any{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"},
		"Resource": []any{table, table + "/index/list"},
		"Condition": map[string]any{
			"ForAllValues:StringLike": map[string]any{"dynamodb:LeadingKeys": letters},
			"Null":                    map[string]any{"dynamodb:LeadingKeys": "false"},
		},
	}
}

func TestADenialOutweighsAnyPermission(t *testing.T) {
	allow := map[string]any{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
	deny := map[string]any{"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "Principal": map[string]any{"AWS": "*"},
		"Condition": map[string]any{"ArnNotEquals": map[string]any{"aws:PrincipalArn": []any{"arn:a"}}}}
	both := statements(t, allow, deny)
	for principal, want := range map[string]bool{"arn:a": true, "arn:b": false} {
		c := Call{Principal: principal, Action: "kms:Decrypt", Resource: "k", Context: map[string][]string{"aws:PrincipalArn": {principal}}}
		if Allowed(both, c) != want {
			t.Errorf("%s: want %v", principal, want)
		}
	}
	if Allowed(nil, Call{Action: "kms:Decrypt"}) {
		t.Error("allowed by nobody")
	}
}

func TestWhatThisPackageDoesNotKnowIsAnError(t *testing.T) {
	for _, s := range []map[string]any{
		{"Effect": "Allow", "Action": "a", "Resource": "*", "Condition": map[string]any{"DateLessThan": map[string]any{"k": "v"}}},
		{"Effect": "Allow", "NotAction": "a", "Resource": "*"},
		{"Effect": "Perhaps", "Action": "a", "Resource": "*"},
		{"Effect": "Allow", "Action": "a"},
	} {
		if _, err := Statements(map[string]any{"Statement": []any{s}}); err == nil {
			t.Errorf("%v: no error", s)
		}
	}
}

func TestTheProxyPassesOnWhatTheRoleAllowsAndNothingElse(t *testing.T) {
	reached := 0
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer upstream.Close()
	u, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	key := map[string]any{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Principal": map[string]any{"AWS": []any{"arn:role"}},
		"Condition": map[string]any{"StringEquals": map[string]any{"kms:EncryptionContext:purpose": []any{"seal"}}}}
	tell := map[string]any{"Effect": "Allow", "Action": []any{"events:PutEvents", "sqs:SendMessage"}, "Resource": []any{"arn:bus/mine", "arn:sqs:mine"}}
	p := NewProxy(Config{Principal: "arn:role", Role: statements(t, own("A#*", "B#*"), tell), Key: statements(t, key),
		Resources: Resources{Table: table, Key: "arn:key", Bus: "arn:bus/mine", Queue: "arn:sqs:mine"}, DynamoDB: u, KMS: u,
		Other: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })})
	const ddb = "DynamoDB_20120810."
	refused := 0
	for _, c := range []struct {
		target, body string
		allowed      bool
	}{
		{ddb + "GetItem", `{"TableName":"t","Key":{"PK":{"S":"A#1"},"SK":{"S":"x"}}}`, true},
		{ddb + "GetItem", `{"TableName":"t","Key":{"PK":{"S":"C#1"},"SK":{"S":"x"}}}`, false},
		{ddb + "BatchGetItem", `{"RequestItems":{"t":{"Keys":[{"PK":{"S":"A#1"}},{"PK":{"S":"B#1"}}]}}}`, true},
		{ddb + "BatchGetItem", `{"RequestItems":{"t":{"Keys":[{"PK":{"S":"A#1"}},{"PK":{"S":"C#1"}}]}}}`, false},
		{ddb + "PutItem", `{"Item":{"PK":{"S":"B#1"},"Doc":{"B":"AA=="}}}`, true},
		{ddb + "DeleteItem", `{"Key":{"PK":{"S":"B#1"}}}`, false},
		{ddb + "Query", `{"KeyConditionExpression":"PK = :p AND begins_with(SK, :s)","ExpressionAttributeValues":{":p":{"S":"A#1"},":s":{"S":"C#"}}}`, true},
		{ddb + "Query", `{"KeyConditionExpression":"#p = :p","ExpressionAttributeNames":{"#p":"PK"},"ExpressionAttributeValues":{":p":{"S":"C#1"}}}`, false},
		{ddb + "Query", `{"IndexName":"list","KeyConditionExpression":"list_pk = :p","ExpressionAttributeValues":{":p":{"S":"A#1"}}}`, true},
		{ddb + "Query", `{"IndexName":"list","KeyConditionExpression":"list_pk = :p","ExpressionAttributeValues":{":p":{"S":"C#1"}}}`, false},
		{ddb + "Query", `{"IndexName":"other","KeyConditionExpression":"other_pk = :p","ExpressionAttributeValues":{":p":{"S":"A#1"}}}`, false},
		{ddb + "Query", `{"KeyConditionExpression":"SK = :p","ExpressionAttributeValues":{":p":{"S":"A#1"}}}`, false},
		{ddb + "TransactWriteItems", `{"TransactItems":[{"Put":{"Item":{"PK":{"S":"A#1"}}}},{"ConditionCheck":{"Key":{"PK":{"S":"B#1"}}}}]}`, true},
		{ddb + "TransactWriteItems", `{"TransactItems":[{"Put":{"Item":{"PK":{"S":"A#1"}}}},{"Delete":{"Key":{"PK":{"S":"A#1"}}}}]}`, false},
		{ddb + "TransactWriteItems", `{"TransactItems":[{"Put":{"Item":{"PK":{"S":"C#1"}}}}]}`, false},
		{ddb + "Scan", `{"TableName":"t"}`, false},
		{ddb + "ExecuteStatement", `{"Statement":"SELECT * FROM t"}`, false},
		{ddb + "GetItem", `not json`, false},
		{ddb + "GetItem", `{}`, false},
		{"AWSEvents.PutEvents", `{"Entries":[{"EventBusName":"mine"},{"EventBusName":"mine"}]}`, true},
		{"AWSEvents.PutEvents", `{"Entries":[{"EventBusName":"mine"},{"EventBusName":"other"}]}`, false},
		{"AWSEvents.PutEvents", `{"Entries":[{}]}`, false},
		{"AWSEvents.PutEvents", `{}`, false},
		{"AWSEvents.PutRule", `{"Entries":[{"EventBusName":"mine"}]}`, false},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"https://sqs/1/mine"}`, true},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"https://sqs/1/other"}`, false},
		{"AmazonSQS.SendMessageBatch", `{"QueueUrl":"https://sqs/1/mine"}`, true},
		{"AmazonSQS.SendMessageBatch", `{"QueueUrl":"https://sqs/1/other"}`, false},
		{"AmazonSQS.ReceiveMessage", `{"QueueUrl":"https://sqs/1/mine"}`, false},
		{"TrentService.Decrypt", `{"EncryptionContext":{"purpose":"seal"}}`, true},
		{"TrentService.Decrypt", `{"EncryptionContext":{"purpose":"ingest"}}`, false},
		{"TrentService.Decrypt", `{}`, false},
		{"TrentService.Encrypt", `{"EncryptionContext":{"purpose":"seal"}}`, false},
	} {
		before := reached
		r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
		r.Header.Set("X-Amz-Target", c.target)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if passed := reached > before; passed != c.allowed {
			t.Errorf("%s %s: passed %v", c.target, c.body, passed)
		}
		if !c.allowed {
			refused++
			if w.Code != 400 || !strings.Contains(w.Body.String(), "AccessDeniedException") {
				t.Errorf("%s: %d %s", c.target, w.Code, w.Body)
			}
		}
	}
	if len(p.Denied()) != refused {
		t.Errorf("%d of %d refusals are listed", len(p.Denied()), refused)
	}
}
