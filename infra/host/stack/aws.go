package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"keyvend/infra/host/cfn"
	"keyvend/infra/host/lambda"
)

// call makes one call of AWS's JSON protocol to an emulator, which reads the
// credential scope of the signature and verifies nothing. The SDK's clients
// belong to the adapters that wrap them.
func call(ctx context.Context, endpoint, region, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	service := "dynamodb"
	if strings.HasPrefix(target, "TrentService.") {
		service = "kms"
	}
	now := time.Now().UTC()
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=host, Signature=0",
		lambda.AccessKeyID, now.Format("20060102"), region, service))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", target, res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// createTable makes the template's table unless it is there.
func createTable(ctx context.Context, endpoint, region, name string, properties map[string]any) error {
	in := map[string]any{"TableName": name}
	for _, property := range []string{"AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode"} {
		if v, ok := properties[property]; ok {
			in[property] = v
		}
	}
	if view := cfn.Map(properties["StreamSpecification"])["StreamViewType"]; view != nil {
		in["StreamSpecification"] = map[string]any{"StreamEnabled": true, "StreamViewType": view}
	}
	err := call(ctx, endpoint, region, "DynamoDB_20120810.CreateTable", in, nil)
	made := err == nil
	if err != nil && !strings.Contains(err.Error(), "ResourceInUseException") {
		return err
	}
	for {
		var out struct{ Table struct{ TableStatus string } }
		err := call(ctx, endpoint, region, "DynamoDB_20120810.DescribeTable", map[string]any{"TableName": name}, &out)
		if err != nil {
			return err
		}
		if out.Table.TableStatus == "ACTIVE" {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	ttl := cfn.Map(properties["TimeToLiveSpecification"])
	if !made || ttl == nil {
		return nil
	}
	return call(ctx, endpoint, region, "DynamoDB_20120810.UpdateTimeToLive", map[string]any{"TableName": name, "TimeToLiveSpecification": ttl}, nil)
}

// createKey makes a key for sealing and returns its ARN.
func createKey(ctx context.Context, endpoint, region string, properties map[string]any) (string, error) {
	var out struct{ KeyMetadata struct{ Arn string } }
	in := map[string]any{"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT"}
	if d := cfn.Strings(properties["Description"]); len(d) == 1 {
		in["Description"] = d[0]
	}
	err := call(ctx, endpoint, region, "TrentService.CreateKey", in, &out)
	return out.KeyMetadata.Arn, err
}
