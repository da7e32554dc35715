package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvend/infra/host/stack"
	"keyvend/infra/testbed"
)

func TestTheCommandServesTheTemplateUntilItIsStopped(t *testing.T) {
	dynamodb, kms := testbed.DynamoDB(t), testbed.KMS(t)
	t.Chdir(root)
	bootstraps := t.TempDir() // in which the command finds most of its work done
	if err := testbed.Share("functions", ".", bootstraps, func(dir string) error { return stack.Build(t.Context(), ".", dir) }); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{
			"-addr", "127.0.0.1:0", "-invoke", "127.0.0.1:0", "-dynamodb", dynamodb, "-kms", kms, "-bootstraps", bootstraps,
			"-table", fmt.Sprintf("command-%d", time.Now().UnixNano()), "-environments", "1",
		}, out, &bytes.Buffer{})
		_ = out.CloseWithError(io.EOF)
		done <- err
	}()
	var url, table, key, invoke string
	if _, err := fmt.Fscanf(said, "%s  table %s  key %s  invoke %s\n", &url, &table, &key, &invoke); err != nil {
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
	theOperatorReaches(t, invoke)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// theOperatorReaches runs the operator's command as against AWS.
func theOperatorReaches(t *testing.T, endpoint string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "operator")
	if out, err := exec.Command("go", "build", "-o", program, "./infra/operator").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	once := func(args ...string) (string, error) {
		command := exec.Command(program, args...)
		command.Env = []string{
			"AWS_ENDPOINT_URL_LAMBDA=" + endpoint, "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any",
			"AWS_EC2_METADATA_DISABLED=true", "HOME=" + t.TempDir(),
		}
		out, err := command.CombinedOutput()
		return string(out), err
	}
	operator := func(args ...string) (out string, err error) {
		for range 5 { // on a busy machine, as it says
			if out, err = once(args...); err == nil || !strings.Contains(out, "Try again in a moment") {
				break
			}
		}
		return out, err
	}
	if out, err := operator("-function", "tenants", "create-tenant", "Acme"); err != nil || !strings.Contains(out, `"name": "Acme"`) {
		t.Errorf("%v %s", err, out)
	}
	for _, name := range []string{"tenants", stack.Name + "-tenants", "arn:aws:lambda:eu-central-1:" + stack.Account + ":function:" + stack.Name + "-tenants"} {
		if out, err := operator("-function", name, "list-tenants"); err != nil || !strings.Contains(out, `"name": "Acme"`) {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	if out, err := operator("-function", "tenants", "list-api-keys", "tenant_none"); err == nil || !strings.Contains(out, "List them with list-tenants") {
		t.Errorf("%v %s", err, out)
	}
	if out, err := operator("-function", "nobody", "list-tenants"); err == nil || !strings.Contains(out, "Function not found: nobody") {
		t.Errorf("%v %s", err, out)
	}
}
