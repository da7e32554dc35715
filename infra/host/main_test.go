package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"keyvend/infra/testbed"
)

func TestTheCommandServesTheTemplateUntilItIsStopped(t *testing.T) {
	dynamodb, kms := testbed.DynamoDB(t), testbed.KMS(t)
	t.Chdir(root)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{
			"-addr", "127.0.0.1:0", "-dynamodb", dynamodb, "-kms", kms, "-bootstraps", t.TempDir(),
			"-table", fmt.Sprintf("command-%d", time.Now().UnixNano()), "-environments", "1",
		}, out, &bytes.Buffer{})
		_ = out.CloseWithError(io.EOF)
		done <- err
	}()
	var url, table, key string
	if _, err := fmt.Fscanf(said, "%s  table %s  key %s\n", &url, &table, &key); err != nil {
		t.Fatalf("%v: %v", err, <-done)
	}
	res, err := http.Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
