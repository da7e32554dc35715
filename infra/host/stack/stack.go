// Package stack runs a deployment of template.yaml on one machine: the built
// function binaries in Lambda's environments, behind the template's routes,
// schedules and queues and behind the table's stream and the logs, with the template's
// variables, timeouts and permissions, on DynamoDB Local and an emulated KMS.
package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/infra/host/cfn"
	"keyvend/infra/host/gateway"
	"keyvend/infra/host/iam"
	"keyvend/infra/host/lambda"
	"keyvend/infra/host/sqs"
)

// Account and Name are what the stack is deployed as.
const (
	Account = "123456789012"
	Name    = "keyvend"
)

// Config says what to run and on what.
type Config struct {
	Template     string            // path of template.yaml
	Bootstraps   string            // folder that holds <function>/bootstrap, see Build
	Table        string            // name; the table is made from the template when it is missing
	DynamoDB     string            // endpoint URL
	KMS          string            // endpoint URL
	KeyARN       string            // of the sealing key; "" makes one
	Region       string            // "" is eu-central-1
	Parameters   map[string]string // of the template, over its defaults
	Environment  map[string]string // variables of every function over the template's
	Environments int               // at most, for each function; 0 is 2, or the MaximumConcurrency of its queue if that is more
	Schedules    bool              // run the template's schedules; Tick works either way
	Silent       bool              // leave the table's stream, the logs and the queues unread
	Twice        bool              // deliver each message of a queue twice, as SQS may
	Log          io.Writer         // stdout and stderr of all functions; nil is nowhere

	// Before and After are called around each call that a function makes to
	// AWS and its role allows, with the function's name and the
	// operation ("PutItem", "Decrypt"): After it was answered, but before the
	// function learns of it. They are where a test kills. Nil is nothing.
	Before, After func(function, operation string)
}

// Stack is a running deployment.
type Stack struct {
	config    Config
	functions map[string]*function
	http      http.Handler
	sink      *sink
	sqs       *sqs.Service
	queues    map[string]*sqs.Queue // by logical id
	logs      logs
	stop      context.CancelFunc
	schedules sync.WaitGroup
	now       func() time.Time
}

type function struct {
	cfn.Function
	pool   *lambda.Pool
	role   []iam.Statement
	proxy  *iam.Proxy
	server *http.Server
}

// ErrNoFunction is the answer for a function that the template does not have.
var ErrNoFunction = errors.New("stack: no such function")

// Build compiles every folder of functions/ under root for this machine into out:
// as they ship, but for their asking fake providers instead of the real ones. They
// find those by what FakeProviders says. What is up to date in out is left alone.
func Build(ctx context.Context, root, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	programs := filepath.Join(out, "programs") // where the go command looks for what it need not link again
	// #nosec G204 -- compiling these is the purpose
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc,fakeproviders", "-trimpath", "-ldflags", "-s -w",
		"-o", programs+string(filepath.Separator), "./functions/...")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the functions: %w\n%s", err, output)
	}
	built, err := os.ReadDir(programs)
	if err != nil {
		return err
	}
	for _, program := range built {
		if err := nameBootstrap(filepath.Join(programs, program.Name()), filepath.Join(out, program.Name(), "bootstrap")); err != nil {
			return err
		}
	}
	return nil
}

// nameBootstrap gives a program its second name as a function's bootstrap.
func nameBootstrap(program, bootstrap string) error {
	if err := os.MkdirAll(filepath.Dir(bootstrap), 0o750); err != nil {
		return err
	}
	if err := os.Remove(bootstrap); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Link(program, bootstrap)
}

// FakeProviders are variables that tell functions where fake providers are.
func FakeProviders(s *fakeprovider.Server) map[string]string {
	return map[string]string{"KEYVEND_FAKE_PROVIDERS": s.Addr, "KEYVEND_FAKE_PROVIDERS_CA": string(s.CA)}
}

// Start creates what is missing and makes the functions ready; their processes
// start on demand. End it with Close.
func Start(ctx context.Context, c Config) (*Stack, error) {
	if c.Region == "" {
		c.Region = "eu-central-1"
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	c.Log = lambda.Lock(c.Log)
	template, err := cfn.Load(c.Template)
	if err != nil {
		return nil, err
	}
	s := &Stack{config: c, functions: map[string]*function{}, sink: &sink{log: c.Log}, now: time.Now, stop: func() {}}
	if err := s.deploy(ctx, template); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// deploy makes the resources and the functions of the template.
func (s *Stack) deploy(ctx context.Context, t *cfn.Template) error {
	values := s.values(t)
	if err := s.makeTable(ctx, t, values); err != nil {
		return err
	}
	if err := s.makeKey(ctx, t, values); err != nil {
		return err
	}
	if err := s.makeQueues(t, values); err != nil {
		return err
	}
	functions, err := t.Functions(values)
	if err != nil {
		return err
	}
	if !s.config.Silent {
		s.logs.subscribe(functions)
	}
	for _, f := range functions {
		if err := s.add(t, values, f); err != nil {
			return fmt.Errorf("%s: %w", f.LogicalID, err)
		}
	}
	return s.connect()
}

func (s *Stack) makeTable(ctx context.Context, t *cfn.Template, values cfn.Values) error {
	if _, ok := t.Resources["Table"]; !ok {
		return nil
	}
	properties, err := t.Properties("Table", values)
	if err != nil {
		return err
	}
	return createTable(ctx, s.config.DynamoDB, s.config.Region, s.config.Table, properties)
}

func (s *Stack) makeKey(ctx context.Context, t *cfn.Template, values cfn.Values) error {
	if _, ok := t.Resources["SealingKey"]; !ok || s.config.KeyARN != "" {
		return nil
	}
	properties, err := t.Properties("SealingKey", values)
	if err != nil {
		return err
	}
	s.config.KeyARN, err = createKey(ctx, s.config.KMS, s.config.Region, properties)
	return err
}

// values resolves what the template refers to, as far as that exists by now.
func (s *Stack) values(t *cfn.Template) (values cfn.Values) {
	values = cfn.Values{
		Parameters: s.config.Parameters,
		Pseudo: map[string]string{
			"AWS::AccountId": Account, "AWS::Partition": "aws", "AWS::Region": s.config.Region,
			"AWS::StackName": Name, "AWS::URLSuffix": "amazonaws.com",
		},
		Attribute: func(logical, attribute string) (string, error) {
			switch logical + "." + attribute {
			case "Table.":
				return s.config.Table, nil
			case "Table.Arn":
				return s.tableARN(), nil
			case "SealingKey.", "SealingKey.Arn":
				return s.config.KeyARN, nil
			}
			if value, ok := s.eventParts(logical + "." + attribute); ok {
				return value, nil
			}
			if t.Resources[logical].Type == cfn.QueueType {
				name, err := t.QueueName(logical, values)
				return s.queueValue(name, attribute), err
			}
			if attribute == "Arn" && strings.HasSuffix(logical, "Role") {
				return roleARN(logical), nil
			}
			return "local:" + logical, nil // log groups and the like, which nothing here uses
		},
	}
	return values
}

func (s *Stack) tableARN() string {
	return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", s.config.Region, Account, s.config.Table)
}

func roleARN(logical string) string {
	return "arn:aws:iam::" + Account + ":role/" + Name + "-" + logical
}

// add makes one function with its own way to AWS's services.
func (s *Stack) add(t *cfn.Template, values cfn.Values, f cfn.Function) error {
	proxy, role, err := s.proxy(t, values, f)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	endpoint := "http://" + listener.Addr().String()
	for _, service := range []string{"DYNAMODB", "KMS", "EVENTBRIDGE", "SQS"} {
		f.Environment["AWS_ENDPOINT_URL_"+service] = endpoint
	}
	for name, value := range s.config.Environment {
		f.Environment[name] = value
	}
	s.functions[f.Name] = &function{Function: f, role: role, proxy: proxy, server: server, pool: lambda.NewPool(lambda.Function{
		Name:        Name + "-" + f.Name,
		ARN:         fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s-%s", s.config.Region, Account, Name, f.Name),
		Bootstrap:   filepath.Join(s.config.Bootstraps, f.Name, "bootstrap"),
		Environment: f.Environment,
		Region:      s.config.Region,
		MemoryMB:    f.MemoryMB,
		Timeout:     f.Timeout,
		Limit:       s.environments(f),
		Log:         s.config.Log,
		Stream:      s.logs.stream(f.LogGroup),
	})}
	return nil
}

// environments is how many of a function there are at most.
func (s *Stack) environments(f cfn.Function) int {
	if s.config.Environments > 0 {
		return s.config.Environments
	}
	most := 2
	for _, q := range f.Queues {
		most = max(most, q.Concurrency)
	}
	return most
}

// serveOther stands for the services that no emulator does.
func (s *Stack) serveOther(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.") {
		s.sqs.ServeHTTP(w, r)
		return
	}
	s.sink.ServeHTTP(w, r)
}

// proxy lets a function do what its role and the key's policy allow.
func (s *Stack) proxy(t *cfn.Template, values cfn.Values, f cfn.Function) (*iam.Proxy, []iam.Statement, error) {
	properties, err := t.Properties(f.Role, values)
	if err != nil {
		return nil, nil, err
	}
	c := iam.Config{Principal: roleARN(f.Role), Resources: iam.Resources{Table: s.tableARN(), Key: s.config.KeyARN, Queue: s.place().ARN("any")}, Other: http.HandlerFunc(s.serveOther)}
	c.Resources.Bus, _ = s.eventParts("EventBus.Arn")
	if s.config.Before != nil {
		c.Before = func(operation string) { s.config.Before(f.Name, operation) }
	}
	if s.config.After != nil {
		c.After = func(operation string) { s.config.After(f.Name, operation) }
	}
	for _, policy := range cfn.List(properties["Policies"]) {
		statements, err := iam.Statements(cfn.Map(policy)["PolicyDocument"])
		if err != nil {
			return nil, nil, err
		}
		c.Role = append(c.Role, statements...)
	}
	key, err := t.Properties("SealingKey", values)
	if err != nil {
		return nil, nil, err
	}
	if c.Key, err = iam.Statements(key["KeyPolicy"]); err != nil {
		return nil, nil, err
	}
	if c.DynamoDB, err = url.Parse(s.config.DynamoDB); err != nil {
		return nil, nil, err
	}
	if c.KMS, err = url.Parse(s.config.KMS); err != nil {
		return nil, nil, err
	}
	return iam.NewProxy(c), c.Role, nil
}

// connect puts the routes, streams, queues and schedules in front of the functions.
func (s *Stack) connect() error {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	targets := map[string]gateway.Target{}
	for name, f := range s.functions {
		for _, key := range f.Routes {
			if _, twice := targets[key]; twice {
				return fmt.Errorf("stack: route %s leads to two functions", key)
			}
			targets[key] = f.pool.Invoke
		}
		if err := s.follow(ctx, f, f.role); err != nil {
			return err
		}
		if err := s.consume(ctx, f); err != nil {
			return err
		}
		for _, d := range s.logs.to(name) {
			d.invoke, d.log = f.pool.Invoke, s.config.Log
			for range 2 { // batches at the same time
				s.schedules.Go(func() { d.run(ctx) })
			}
		}
		if !s.config.Schedules {
			continue
		}
		for _, period := range f.Schedules {
			s.schedules.Go(func() { s.tick(ctx, name, period) })
		}
	}
	api, err := gateway.New(targets)
	s.http = api
	return err
}

// tick invokes a function period by period until ctx ends.
func (s *Stack) tick(ctx context.Context, name string, period time.Duration) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := s.Tick(ctx, name); err != nil && ctx.Err() == nil {
				_, _ = fmt.Fprintf(s.config.Log, "schedule of %s: %v\n", name, err)
			}
		}
	}
}

// Tick invokes a function with the event of its schedule, now.
func (s *Stack) Tick(ctx context.Context, name string) ([]byte, error) {
	payload, err := json.Marshal(map[string]any{
		"version": "0", "id": "00000000-0000-4000-8000-000000000000", "detail-type": "Scheduled Event", "source": "aws.events",
		"account": Account, "time": s.now().UTC().Format(time.RFC3339), "region": s.config.Region,
		"resources": []string{fmt.Sprintf("arn:aws:events:%s:%s:rule/%s-%s", s.config.Region, Account, Name, name)}, "detail": map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	return s.Invoke(ctx, name, payload)
}

// Invoke runs a function once, as IAM callers do. name is that of its folder in
// functions/. An invocation that failed is a *lambda.FunctionError.
func (s *Stack) Invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	pool, err := s.Function(name)
	if err != nil {
		return nil, err
	}
	return pool.Invoke(ctx, payload)
}

// Function gives hold of a function's environments.
func (s *Stack) Function(name string) (*lambda.Pool, error) {
	f, ok := s.functions[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoFunction, name)
	}
	return f.pool, nil
}

// Handler is the HTTP API.
func (s *Stack) Handler() http.Handler { return s.http }

// Server is an HTTP server for Handler with the gateway's limits.
func (s *Stack) Server() *http.Server {
	return &http.Server{
		Handler:                      s.http,
		ReadHeaderTimeout:            gateway.Timeout,
		MaxHeaderBytes:               gateway.MaxHeader,
		DisableGeneralOptionsHandler: true,
	}
}

// TableName is the table's name.
func (s *Stack) TableName() string { return s.config.Table }

// KeyARN is the sealing key's ARN.
func (s *Stack) KeyARN() string { return s.config.KeyARN }

// Denied lists the calls that a role's policies refused, by function.
func (s *Stack) Denied() map[string][]string {
	all := map[string][]string{}
	for name, f := range s.functions {
		if denied := f.proxy.Denied(); len(denied) > 0 {
			all[name] = denied
		}
	}
	return all
}

// Close ends schedules and all processes. The table and the key stay.
func (s *Stack) Close() {
	s.stop()
	for _, f := range s.functions {
		f.pool.Close()
		_ = f.server.Close()
	}
	s.schedules.Wait()
}
