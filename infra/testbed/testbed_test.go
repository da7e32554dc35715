package testbed

import (
	"strings"
	"testing"
)

func TestDynamoDBIsOnePerProcessAndAnswers(t *testing.T) {
	a, b := DynamoDB(t), DynamoDB(t)
	if a != b {
		t.Fatalf("two endpoints: %s and %s", a, b)
	}
	if _, err := call(t.Context(), a, "dynamodb", "DynamoDB_20120810.ListTables", "{}"); err != nil {
		t.Fatal(err)
	}
}

func TestKMSKeyIsAnARNOfAKey(t *testing.T) {
	endpoint := KMS(t)
	arn := KMSKey(t, endpoint)
	if !strings.HasPrefix(arn, "arn:aws:kms:"+Region+":") {
		t.Fatalf("ARN = %q", arn)
	}
	if _, err := call(t.Context(), endpoint, "kms", "TrentService.Encrypt", `{"KeyId":"`+arn+`","Plaintext":"YQ=="}`); err != nil {
		t.Fatal(err)
	}
}
