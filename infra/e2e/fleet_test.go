package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/infra/host/stack"
	"keyvend/infra/testbed"
	"keyvend/pkg/operator"
)

// fleet is a deployment of template.yaml under the Lambda host: the functions'
// real binaries, each with what its role allows.
type fleet struct {
	stack *stack.Stack
	out   *lines
	url   string
	stop  func()

	dynamoDB string // the endpoint behind everything
	fakes    *fakeprovider.Kit
}

type fleetConfig struct {
	// dynamoDB and kms are the endpoints that the functions get; "" are the
	// emulators' own.
	dynamoDB, kms string
	environments  int  // of each function at most; 0 is 2
	silent        bool // nobody reads the table's stream and the logs
}

var tables atomic.Int32

func deploy(t *testing.T, c fleetConfig) *fleet {
	t.Helper()
	f := &fleet{out: &lines{}, dynamoDB: testbed.DynamoDB(t), fakes: &fakeprovider.Kit{}}
	served, err := f.fakes.Serve(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = served.Close() })
	if c.dynamoDB == "" {
		c.dynamoDB = f.dynamoDB
	}
	if c.kms == "" {
		c.kms = testbed.KMS(t)
	}
	f.stack, err = stack.Start(t.Context(), stack.Config{
		Template:     filepath.Join(root, "template.yaml"),
		Bootstraps:   program(t, buildFunctions),
		Table:        fmt.Sprintf("e2e-%d", tables.Add(1)),
		DynamoDB:     c.dynamoDB,
		KMS:          c.kms,
		Environments: c.environments,
		Silent:       c.silent,
		Environment:  stack.FakeProviders(served),
		Log:          f.out,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + listener.Addr().String()
	server := f.stack.Server()
	go func() { _ = server.Serve(listener) }() // ends with stop
	f.stop = sync.OnceFunc(func() {
		_ = server.Close()
		f.stack.Close()
	})
	t.Cleanup(f.stop)
	return f
}

func (f *fleet) target() *target {
	return &target{
		url:     f.url,
		operate: f.operate,
		stored: func(t testing.TB) [][]byte {
			var pieces [][]byte
			for _, item := range f.items(t) {
				pieces = append(pieces, item)
			}
			return pieces
		},
		rows: func(t testing.TB, tenant string) []string {
			var rows []string
			for _, item := range f.items(t) {
				rows = append(rows, string(item))
			}
			return naming(tenant, rows)
		},
		written: func(testing.TB) []byte { return f.out.Bytes() },
		fakes:   f.fakes,
		sweep: func(t testing.TB) {
			if _, err := f.stack.Tick(t.Context(), "sweep"); err != nil {
				t.Fatal(err)
			}
		},
		stop: f.stop,
	}
}

// kill ends every process of a function with SIGKILL.
func (f *fleet) kill(t testing.TB, function string) {
	t.Helper()
	pool, err := f.stack.Function(function)
	if err != nil {
		t.Error(err)
		return
	}
	for _, environment := range pool.Environments() {
		environment.Kill()
	}
}

// operate invokes the function "tenants" directly, as IAM lets an operator.
func (f *fleet) operate(ctx context.Context, request operator.Request) (response operator.Response, err error) {
	payload, err := json.Marshal(request)
	if err != nil {
		return response, err
	}
	answer, err := f.stack.Invoke(ctx, "tenants", payload)
	// On a busy machine a cold KMS and a cold table take longer than an attempt.
	for end := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), "service_unavailable") && time.Now().Before(end); {
		answer, err = f.stack.Invoke(ctx, "tenants", payload)
	}
	if err != nil {
		return response, err
	}
	return response, json.Unmarshal(answer, &response)
}

// items is the whole table, item by item, with its keys.
func (f *fleet) items(t testing.TB) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	var after any
	for {
		var page struct {
			Items            []json.RawMessage
			LastEvaluatedKey json.RawMessage
		}
		in := m{"TableName": f.stack.TableName(), "ConsistentRead": true}
		if after != nil {
			in["ExclusiveStartKey"] = after
		}
		if err := scan(f.dynamoDB, in, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Items...)
		if page.LastEvaluatedKey == nil {
			return all
		}
		after = page.LastEvaluatedKey
	}
}

// scan reads a page of a table from DynamoDB Local, whose signature check is a
// look at the header's form.
func scan(endpoint string, in, out any) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, endpoint, reader(in))
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.Scan")
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
		testbed.AccessKeyID, now.Format("20060102"), testbed.Region))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("scan: %d %s", answer.StatusCode, body)
	}
	return json.Unmarshal(body, out)
}

// TestAKilledEnvironmentLosesNothingThatItAnswered kills the process of "keys"
// with SIGKILL, again and again, while it is written to.
func TestAKilledEnvironmentLosesNothingThatItAnswered(t *testing.T) {
	t.Parallel()
	f := deploy(t, fleetConfig{})
	shop := f.target().newShop(t)
	shop.register("openai")
	var kills atomic.Int32
	w := newWriters(4, 60)
	w.run(shop.client, func(written int) {
		if written%40 == 20 {
			f.kill(t, "keys")
			kills.Add(1)
		}
	})
	if kills.Load() == 0 || len(w.kept()) < 20 {
		t.Fatalf("%d kills, %d users with a key: this test sees nothing", kills.Load(), len(w.kept()))
	}
	w.verify(shop.client)
	f.stop()
	noCanary(t, f.target())
}

// TestAVendIsOneReadAndNoKMSCallOnceItsTenantIsKnown counts calls between the
// function's real binary and AWS.
func TestAVendIsOneReadAndNoKMSCallOnceItsTenantIsKnown(t *testing.T) {
	t.Parallel()
	dynamoDB, kms := testbed.NewEndpoint(t, testbed.DynamoDB(t)), testbed.NewEndpoint(t, testbed.KMS(t))
	f := deploy(t, fleetConfig{dynamoDB: dynamoDB.URL, kms: kms.URL, environments: 1, silent: true})
	shop := f.target().newShop(t)
	shop.register("openai")
	alone, inOrganization := newSecret(), newSecret()
	shop.upsert("openai", m{"user_id": "ada", "secret": alone})
	shop.upsert("openai", m{"user_id": "ada", "organization_id": "org", "secret": inOrganization})
	count := func() string {
		calls := operationsOf(append(dynamoDB.Log(), kms.Log()...))
		dynamoDB.Forget()
		kms.Forget()
		return strings.Join(calls, " ")
	}
	for _, step := range []struct {
		name, organization, secret, calls string
	}{
		{"cold", "", alone, "BatchGetItem GetItem Decrypt"},
		{"warm", "", alone, "BatchGetItem"},
		{"warm, in an organization", "org", inOrganization, "BatchGetItem"},
		{"warm, nothing installed", "nobody's", "", "BatchGetItem"},
		{"warm again", "", alone, "BatchGetItem"},
		{"cold again", "org", inOrganization, "BatchGetItem GetItem Decrypt"},
	} {
		if step.name == "cold again" {
			f.kill(t, "vend")
		}
		count()
		body := m{"user_id": "ada"}
		if step.organization != "" {
			body["organization_id"] = step.organization
		}
		shop.vends("openai", body, step.secret)
		// One more strongly consistent read may be of either kind.
		if calls := strings.Replace(count(), "BatchGetItem BatchGetItem", "BatchGetItem GetItem", 1); calls != step.calls {
			t.Errorf("%s: %s, want %s", step.name, calls, step.calls)
		}
	}
	// A forged token costs nothing once the tenant's key is in memory.
	forged := client{t: t, target: shop.target, key: forge(shop.key)}
	forged.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}).is(401)
	if calls := count(); calls != "" {
		t.Errorf("F43: a forged token: %s, want no call", calls)
	}
	f.stop()
	noCanary(t, f.target())
}

// operationsOf are the operations of calls, without what a client asked again since a busy
// machine answered late.
func operationsOf(calls []testbed.Call) []string {
	var operations []string
	for _, call := range calls {
		if !call.Again {
			operations = append(operations, call.Op)
		}
	}
	return operations
}

// TestF50_PagesAndARemovalCostTheSameCallsHoweverManyAccountsThereAre counts
// calls between the functions' real binaries and DynamoDB.
func TestF50_PagesAndARemovalCostTheSameCallsHoweverManyAccountsThereAre(t *testing.T) {
	t.Parallel()
	dynamoDB := testbed.NewEndpoint(t, testbed.DynamoDB(t))
	f := deploy(t, fleetConfig{dynamoDB: dynamoDB.URL, environments: 1, silent: true})
	shop := f.target().newShop(t)
	const accounts, limit = 100, 10
	for _, slug := range []string{"openai", "linear"} {
		shop.register(slug)
	}
	for n := range accounts {
		shop.upsert("openai", m{"user_id": fmt.Sprintf("user-%d", n), "secret": newSecret()})
	}
	count := func(do func()) string {
		dynamoDB.Forget()
		do()
		calls := operationsOf(dynamoDB.Log())
		slices.Sort(calls)
		return strings.Join(calls, " ")
	}
	for _, query := range []string{"order=asc", "order=desc", "order=asc&integration=openai", "order=desc&state=connected"} {
		first, pages, listed := "", 0, 0
		for after := ""; ; pages++ {
			var page answer
			calls := count(func() {
				page = shop.do("GET", fmt.Sprintf("/keyvend/accounts?limit=%d&%s%s", limit, query, after), nil).is(200)
			})
			if first == "" {
				first = calls
			}
			if calls != first {
				t.Errorf("%s: page %d takes %s, the first %s", query, pages, calls, first)
			}
			listed += len(page.rows())
			if page.field("list_metadata.after") == nil {
				break
			}
			after = "&after=" + page.text("list_metadata.after")
		}
		if listed != accounts || pages != accounts/limit-1 {
			t.Errorf("%s: %d accounts on %d pages", query, listed, pages+1)
		}
	}
	remove := func(slug string) string {
		return count(func() { shop.do("DELETE", "/data-integrations/"+slug, nil).is(204) })
	}
	if many, none := remove("openai"), remove("linear"); many != none {
		t.Errorf("DELETE takes %s with %d accounts, %s with none", many, accounts, none)
	}
	f.stop()
	noCanary(t, f.target())
}

// TestF6_TheSweepFunctionRemovesTheRowsOfARemovedIntegration has the schedule's
// event trigger the real binary.
func TestF6_TheSweepFunctionRemovesTheRowsOfARemovedIntegration(t *testing.T) {
	t.Parallel()
	f := deploy(t, fleetConfig{})
	k := f.target()
	shop := k.newShop(t)
	old := shop.register("openai").text("id")
	for n := range 12 {
		shop.upsert("openai", m{"user_id": fmt.Sprintf("user-%d", n), "secret": newSecret()})
	}
	shop.do("DELETE", "/data-integrations/openai", nil).is(204)
	shop.register("openai")
	kept := newSecret()
	shop.upsert("openai", m{"user_id": "user-0", "secret": kept})
	await(t, "the sweep deletes every account of the removed registration", func() bool {
		answer, err := f.stack.Tick(t.Context(), "sweep")
		if err != nil {
			t.Fatal(err)
		}
		var swept struct{ Jobs int }
		if err := json.Unmarshal(answer, &swept); err != nil || swept.Jobs == 0 {
			t.Fatalf("the sweep answered %s, with the job not yet 15 minutes old", answer)
		}
		return !strings.Contains(strings.Join(accounts(k.rows(t, shop.tenant)), "\n"), old)
	})
	if left := accounts(k.rows(t, shop.tenant)); len(left) != 1 {
		t.Errorf("%d accounts are left, want the new one: %v", len(left), left)
	}
	shop.vends("openai", m{"user_id": "user-0"}, kept)
	shop.vends("openai", m{"user_id": "user-1"}, "")
	f.stop()
	noCanary(t, k)
}

// accounts are those rows of DynamoDB that hold accounts.
func accounts(rows []string) []string {
	var found []string
	for _, row := range rows {
		if strings.Contains(row, `"ACCOUNT#`) {
			found = append(found, row)
		}
	}
	return found
}
