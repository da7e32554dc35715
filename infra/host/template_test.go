package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/infra/host/cfn"
	"keyvend/infra/host/iam"
	"keyvend/infra/testbed"
	"keyvend/pkg/api"
	"keyvend/pkg/audit"
	"keyvend/pkg/usage"
)

const root = "../.."

func TestMain(m *testing.M) { testbed.Main(m) }

func load(t *testing.T) *cfn.Template {
	t.Helper()
	template, err := cfn.Load(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

const (
	tableARN  = "arn:aws:dynamodb:eu-central-1:123456789012:table/keyvend"
	busARN    = "arn:local:EventBus"
	queueARN  = "arn:local:AsideQueue"
	checksARN = "arn:local:CheckQueue"
	keyARN    = "arn:aws:kms:eu-central-1:123456789012:key/k"
)

func values(parameters map[string]string) cfn.Values {
	return cfn.Values{
		Parameters: parameters,
		Pseudo: map[string]string{
			"AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::Region": "eu-central-1",
			"AWS::StackName": "keyvend", "AWS::URLSuffix": "amazonaws.com",
		},
		Attribute: func(logical, attribute string) (string, error) {
			switch {
			case logical == "Table" && attribute == "Arn":
				return tableARN, nil
			case logical == "SealingKey" && attribute == "Arn":
				return keyARN, nil
			case attribute == "Arn":
				return "arn:local:" + logical, nil
			case attribute == "StreamArn":
				return "arn:local:" + logical + ".StreamArn", nil
			default:
				return "local-" + logical, nil
			}
		},
	}
}

func functions(t *testing.T) map[string]cfn.Function {
	t.Helper()
	list, err := load(t).Functions(values(nil))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]cfn.Function{}
	for _, f := range list {
		all[f.Name] = f
	}
	return all
}

func folders(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob(filepath.Join(root, "functions", "*", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, main := range mains {
		names = append(names, filepath.Base(filepath.Dir(main)))
	}
	return names
}

func TestEveryFolderOfFunctionsIsOneResourceAndTheOtherWayRound(t *testing.T) {
	var resources []string
	for name := range functions(t) {
		resources = append(resources, name)
	}
	slices.Sort(resources)
	if !slices.Equal(resources, folders(t)) {
		t.Errorf("resources %v, folders %v", resources, folders(t))
	}
}

func TestEveryFunctionIsBuiltByItsMakefileTargetFromTheRoot(t *testing.T) {
	template := load(t)
	for _, id := range template.Named("AWS::Serverless::Function") {
		f := template.Resources[id]
		if cfn.Map(f.Attributes["Metadata"])["BuildMethod"] != "makefile" {
			t.Errorf("%s: %v", id, f.Attributes["Metadata"])
		}
		if uri, own := f.Properties["CodeUri"]; own {
			t.Errorf("%s has a CodeUri of its own: %v", id, uri)
		}
		make := exec.Command("make", "-n", "build-"+id, "ARTIFACTS_DIR=/artifacts")
		make.Dir = root
		make.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LAMBDA_ARCH=") })
		out, err := make.CombinedOutput()
		if err != nil || !strings.Contains(string(out), `-o "/artifacts/bootstrap" ./functions/`+strings.ToLower(strings.TrimSuffix(id, "Function"))+"\n") {
			t.Errorf("%s: %v: %s", id, err, out)
		}
		if !strings.Contains(string(out), "GOOS=linux GOARCH=arm64 ") {
			t.Errorf("%s is not built for the template's default: %s", id, out)
		}
	}
}

// It builds for this machine's processor: what was compiled for other tests is good
// for this one too.
func TestEachBuiltBootstrapIsItsOwnFunction(t *testing.T) {
	out, ids := t.TempDir(), load(t).Named("AWS::Serverless::Function")
	if err := testbed.Share("shipped", root, out, func(dir string) error { return makeAll(dir, ids) }); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		info, err := exec.Command("go", "version", "-m", filepath.Join(out, id, "bootstrap")).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := "path\tkeyvend/functions/" + strings.ToLower(strings.TrimSuffix(id, "Function")) + "\n"
		for _, line := range []string{want, "GOARCH=" + runtime.GOARCH + "\n", "CGO_ENABLED=0\n", "-tags=lambda.norpc\n", "-trimpath=true\n"} {
			if !strings.Contains(string(info), line) {
				t.Errorf("%s: no %q in\n%s", id, line, info)
			}
		}
	}
}

// makeAll builds functions as SAM does.
func makeAll(dir string, ids []string) error {
	for _, id := range ids {
		build := exec.Command("make", "build-"+id, "ARTIFACTS_DIR="+filepath.Join(dir, id), "LAMBDA_ARCH="+runtime.GOARCH)
		build.Dir = root
		build.Env = append(os.Environ(), "GOFLAGS=-tags=fakeproviders") // which must not get into what ships
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", id, err, output)
		}
	}
	return nil
}

func TestNoBuildForThisMachineTakesTheTagOfFakeProviders(t *testing.T) {
	make := exec.Command("make", "-n", "build")
	make.Dir = root
	out, err := make.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	builds := strings.Count(string(out), "go build ")
	if tagged := strings.Count(string(out), "go build -tags lambda.norpc -trimpath"); builds != len(folders(t)) || tagged != builds || strings.Count(string(out), "-tags") != builds {
		t.Errorf("%d of %d functions are built as they ship:\n%s", tagged, len(folders(t)), out)
	}
}

func TestRoutesOfTheTemplateAreThoseOfTheAPI(t *testing.T) {
	served := map[string][]string{}
	for name, patterns := range api.Routes() {
		for _, pattern := range patterns {
			served[name] = append(served[name], "ANY "+pattern)
		}
	}
	served["providers"] = append(served["providers"], "$default")
	served["widget"] = append(served["widget"], "OPTIONS /_widgets/{proxy+}")
	for name, f := range functions(t) {
		want := slices.Clone(served[name])
		slices.Sort(want)
		want = slices.Compact(want)
		got := slices.Clone(f.Routes)
		if !slices.Equal(got, want) {
			t.Errorf("%s\ntemplate %v\napi      %v", name, got, want)
		}
		delete(served, name)
	}
	if len(served) > 0 {
		t.Errorf("served by no function: %v", served)
	}
}

func TestTriggersTimeoutsAndMemory(t *testing.T) {
	for name, f := range functions(t) {
		isHTTP := len(f.Routes) > 0
		switch name {
		case "providers", "keys", "vend", "widget":
			if !isHTTP || len(f.Schedules) > 0 || f.Timeout != 10*time.Second {
				t.Errorf("%s: %+v", name, f)
			}
		case "sweep":
			if isHTTP || !slices.Equal(f.Schedules, []time.Duration{time.Minute}) || f.Timeout != 60*time.Second {
				t.Errorf("%s: %+v", name, f)
			}
		case "outbox":
			if isHTTP || len(f.Schedules) > 0 || f.Timeout != 60*time.Second || len(f.Streams) != 1 {
				t.Errorf("%s: %+v", name, f)
			}
		case "ledger":
			if isHTTP || len(f.Schedules) > 0 || f.Timeout != 60*time.Second || len(f.Logs) != 1 {
				t.Errorf("%s: %+v", name, f)
			}
		case "health":
			if isHTTP || len(f.Schedules) > 0 || f.Timeout != 30*time.Second || len(f.Queues) != 1 {
				t.Errorf("%s: %+v", name, f)
			}
		case "tenants":
			if isHTTP || len(f.Schedules) > 0 {
				t.Errorf("tenants has a trigger: %+v", f)
			}
		default:
			t.Errorf("%s: nobody says what it is", name)
		}
		if len(f.Streams) > 0 != (name == "outbox") || len(f.Logs) > 0 != (name == "ledger") {
			t.Errorf("%s reads %v and %v", name, f.Streams, f.Logs)
		}
		for _, variable := range []string{"KEYVEND_TABLE", "KEYVEND_KMS_KEY", "KEYVEND_ENVIRONMENT", "KEYVEND_KEY_CACHE_SECONDS"} {
			if f.Environment[variable] == "" {
				t.Errorf("%s: no %s", name, variable)
			}
		}
	}
}

func TestOnlyVendKeepsRowsAndByDefaultNotEvenVend(t *testing.T) {
	const variable = "KEYVEND_ROW_CACHE_SECONDS"
	for seconds, parameters := range map[string]map[string]string{"0": nil, "5": {"RowCacheSeconds": "5"}} {
		list, err := load(t).Functions(values(parameters))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			value, set := f.Environment[variable]
			if set != (f.Name == "vend") || set && value != seconds {
				t.Errorf("%s: %s is %q", f.Name, variable, value)
			}
		}
	}
}

// policy is what a function's role may do, and the document it comes from.
func policy(t *testing.T, name string) (role string, statements []iam.Statement) {
	t.Helper()
	template := load(t)
	f, ok := functions(t)[name]
	if !ok {
		t.Fatalf("no function %s", name)
	}
	properties, err := template.Properties(f.Role, values(nil))
	if err != nil {
		t.Fatal(err)
	}
	if managed, ok := properties["ManagedPolicyArns"]; ok {
		t.Errorf("%s: managed policies %v", name, managed)
	}
	for _, p := range cfn.List(properties["Policies"]) {
		part, err := iam.Statements(cfn.Map(p)["PolicyDocument"])
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, part...)
	}
	return "arn:local:" + f.Role, statements
}

func keyPolicy(t *testing.T) []iam.Statement {
	t.Helper()
	properties, err := load(t).Properties("SealingKey", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	statements, err := iam.Statements(properties["KeyPolicy"])
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

// letters are all first letters of partition keys that there are or will be.
const letters = "TFPKIUOJCDERLSV"

// cells is the table of functions: first letters of what each may do.
var cells = map[string]struct {
	read, query, put, remove string
	list, ids, due           string // partitions of the indexes
	check                    string // in a transaction
	unwrap, wrap             string // purposes
}{
	"providers": {read: "TFKIOUDELV", query: "TFKIOUDELV", put: "FIJOURV", check: "DFIJOURV", remove: "I", unwrap: "ingest"},
	"keys":      {read: "TFPKIOUCDLV", query: "TFKIOUCDLV", put: "DFJKOURV", check: "DFJKOURV", remove: "OU", list: "KU", ids: "KU", unwrap: "ingest session"},
	"vend":      {read: "TFKIOUPC", unwrap: "seal"},
	"widget":    {read: "TFKIOUCDLV", query: "TFKIOUCDLV", put: "OURV", check: "DOURV", remove: "U", unwrap: "ingest"},
	"sweep":     {read: "JUCIS", query: "JUCIS", put: "JCS", check: "JC", remove: "JUC", list: "U", ids: "U", due: "C"},
	"health":    {read: "TFPIOUCS", put: "UCRS", check: "UCR", remove: "C", unwrap: "seal"},
	"outbox":    {read: "ECI", put: "EC", remove: "C"},
	"ledger":    {read: "L", put: "L"},
	"tenants":   {read: "TFPK", query: "TFPK", put: "TFPK", check: "TFPK", list: "TK", unwrap: "ingest seal", wrap: "ingest seal session"},
}

func TestEachFunctionMayTouchItsOwnPartitionsAndNoOthers(t *testing.T) {
	for name := range functions(t) {
		cell, ok := cells[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
			continue
		}
		role, statements := policy(t, name)
		may := func(action, resource string, partitions ...string) bool {
			c := iam.Call{Principal: role, Action: "dynamodb:" + action, Resource: resource, Context: map[string][]string{}}
			if len(partitions) > 0 {
				c.Context["dynamodb:LeadingKeys"] = partitions
			}
			return iam.Allowed(statements, c)
		}
		for _, letter := range letters {
			pk := string(letter) + "#tenant_1"
			for action, allowed := range map[string]string{
				"BatchGetItem": cell.read, "Query": cell.query,
				"PutItem": cell.put, "ConditionCheckItem": cell.check, "DeleteItem": cell.remove,
				"GetItem": "", "UpdateItem": "", "BatchWriteItem": "", "Scan": "", "PartiQLSelect": "", "PartiQLUpdate": "", "PartiQLDelete": "", "DeleteTable": "", "ExportTableToPointInTime": "",
			} {
				if got, want := may(action, tableARN, pk), strings.ContainsRune(allowed, letter); got != want {
					t.Errorf("%s %s %s: %v", name, action, pk, got)
				}
				// One foreign row among its own spoils the call.
				if allowed != "" && !strings.ContainsRune(allowed, letter) && may(action, tableARN, allowed[:1]+"#tenant_1", pk) {
					t.Errorf("%s %s of its own and %s", name, action, pk)
				}
			}
			for index, allowed := range map[string]string{"list": cell.list, "ids": cell.ids, "due": cell.due} {
				if got, want := may("Query", tableARN+"/index/"+index, pk), strings.ContainsRune(allowed, letter); got != want {
					t.Errorf("%s Query %s %s: %v", name, index, pk, got)
				}
			}
		}
		for _, action := range []string{"Scan", "Query", "GetItem", "BatchGetItem", "PutItem", "DeleteItem"} {
			if may(action, tableARN) || may(action, tableARN+"/index/list") || may(action, tableARN+"/index/ids") {
				t.Errorf("%s may %s without a partition key", name, action)
			}
		}
	}
}

func TestRolesNameEveryActionNeverScanAndGuardAgainstMissingKeys(t *testing.T) {
	for name := range functions(t) {
		_, statements := policy(t, name)
		for _, s := range statements {
			guarded, limited := false, false
			for _, c := range s.Conditions {
				guarded = guarded || c.Operator == "Null" && c.Key == "dynamodb:LeadingKeys" && slices.Equal(c.Values, []string{"false"})
				limited = limited || c.Operator == "ForAllValues:StringLike" && c.Key == "dynamodb:LeadingKeys"
			}
			for _, action := range s.Actions {
				if strings.Contains(action, "*") || strings.HasSuffix(action, ":Scan") {
					t.Errorf("%s/%s: %s", name, s.Sid, action)
				}
				switch service, _, _ := strings.Cut(action, ":"); service {
				case "dynamodb":
					if !guarded && !limited && readsTheStream(s, action) {
						continue
					}
					if !guarded || !limited {
						t.Errorf("%s/%s: %s without prefixes or without the Null guard", name, s.Sid, action)
					}
				case "events", "sqs":
					if len(s.Resources) != 1 || !slices.Contains(messaging[name], action+" "+s.Resources[0]) {
						t.Errorf("%s/%s: %s on %v", name, s.Sid, action, s.Resources)
					}
				case "logs":
				default:
					t.Errorf("%s/%s: %s; only the sealing key's own policy speaks of it", name, s.Sid, action)
				}
			}
			for _, resource := range s.Resources {
				if strings.Contains(resource, "*") && !slices.Equal(s.Actions, []string{"dynamodb:ListStreams"}) {
					t.Errorf("%s/%s: resource %s", name, s.Sid, resource)
				}
			}
		}
	}
}

// readsTheStream tells of the stream's own actions, which know no partition keys.
func readsTheStream(s iam.Statement, action string) bool {
	switch action {
	case "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator":
		return slices.Equal(s.Resources, []string{"arn:local:Table.StreamArn"})
	case "dynamodb:ListStreams": // the one that knows no resource
		return true
	default:
		return false
	}
}

// messaging is what each function may do with buses and queues.
var messaging = map[string][]string{
	"keys":   {"sqs:SendMessage " + checksARN},
	"vend":   {"sqs:SendMessage " + checksARN},
	"sweep":  {"sqs:SendMessage " + checksARN},
	"outbox": {"events:PutEvents " + busARN, "sqs:SendMessage " + queueARN},
	"health": {
		"sqs:SendMessage " + checksARN, "sqs:ReceiveMessage " + checksARN, "sqs:DeleteMessage " + checksARN,
		"sqs:GetQueueAttributes " + checksARN, "sqs:ChangeMessageVisibility " + checksARN,
	},
}

func TestFunctionsMayDoWithBusesAndQueuesWhatTheTableSays(t *testing.T) {
	for name := range functions(t) {
		role, statements := policy(t, name)
		for _, action := range []string{"events:PutEvents", "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"} {
			for _, resource := range []string{busARN, queueARN, checksARN, "arn:local:FailedCheckQueue"} {
				want := slices.Contains(messaging[name], action+" "+resource)
				if got := iam.Allowed(statements, iam.Call{Principal: role, Action: action, Resource: resource}); got != want {
					t.Errorf("%s %s %s: %v", name, action, resource, got)
				}
			}
		}
	}
}

func TestOnlyTheOutboxReadsTheStreamPutsEventsAndSetsAside(t *testing.T) {
	for name := range functions(t) {
		role, statements := policy(t, name)
		for action, resource := range map[string]string{
			"dynamodb:GetRecords": "arn:local:Table.StreamArn", "dynamodb:GetShardIterator": "arn:local:Table.StreamArn",
			"dynamodb:DescribeStream": "arn:local:Table.StreamArn", "dynamodb:ListStreams": "*",
			"events:PutEvents": busARN, "sqs:SendMessage": queueARN,
		} {
			if got := iam.Allowed(statements, iam.Call{Principal: role, Action: action, Resource: resource}); got != (name == "outbox") {
				t.Errorf("%s %s: %v", name, action, got)
			}
		}
		for _, c := range []iam.Call{
			{Action: "events:PutEvents", Resource: "arn:aws:events:eu-central-1:123456789012:event-bus/default"},
			{Action: "sqs:SendMessage", Resource: "arn:aws:sqs:eu-central-1:123456789012:other"},
			{Action: "sqs:ReceiveMessage", Resource: queueARN},
		} {
			if c.Principal = role; iam.Allowed(statements, c) {
				t.Errorf("%s may %s on %s", name, c.Action, c.Resource)
			}
		}
	}
}

func TestTheStreamHasBothImagesAndItsReaderGivesUpInTheEnd(t *testing.T) {
	table, err := load(t).Properties("Table", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	if cfn.Map(table["StreamSpecification"])["StreamViewType"] != "NEW_AND_OLD_IMAGES" {
		t.Errorf("%v", table["StreamSpecification"])
	}
	if ttl := cfn.Map(table["TimeToLiveSpecification"]); ttl["AttributeName"] != "ttl" || ttl["Enabled"] != true {
		t.Errorf("%v", ttl)
	}
	source := functions(t)["outbox"].Streams[0]
	if source.Stream != "arn:local:Table.StreamArn" || source.BatchSize < 1 || !source.Bisect || !source.ReportsFailures ||
		source.Retries < 1 || source.RecordAge <= 0 || source.RecordAge >= 24*time.Hour || source.OnFailure != queueARN {
		t.Errorf("%+v", source)
	}
}

func TestTheStreamsFilterPassesAccountsAndRemarksAlone(t *testing.T) {
	source := functions(t)["outbox"].Streams[0]
	for _, letter := range letters {
		record := fmt.Appendf(nil, `{"eventName":"MODIFY","dynamodb":{"Keys":{"PK":{"S":"%c#tenant_1#u"},"SK":{"S":"x"}}}}`, letter)
		if got, want := source.Passes(record), letter == 'U' || letter == 'R'; got != want {
			t.Errorf("%c: %v", letter, got)
		}
	}
	expired := []byte(`{"eventName":"REMOVE","userIdentity":{"type":"Service"},"dynamodb":{"Keys":{"PK":{"S":"E#tenant_1#2026-01-01"}}}}`)
	if source.Passes(expired) {
		t.Error("an event that has had its time is handed to the outbox")
	}
}

func TestTheLedgerGetsTheAuditLinesOfVendAndNothingElse(t *testing.T) {
	f := functions(t)
	source := f["ledger"].Logs[0]
	if source.LogGroup != f["vend"].LogGroup || source.LogGroup == f["ledger"].LogGroup {
		t.Errorf("it reads %s", source.LogGroup)
	}
	var line bytes.Buffer
	if err := audit.NewWriter(&line).Record(t.Context(), audit.Line{Outcome: "vended"}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		line.String(): true, `{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"panic","alarm":"panic"}`: false,
		"START RequestId: 1 Version: $LATEST": false, `{"log":"other"}`: false, `{"log":7}`: false,
	} {
		if got := source.Passes([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestLambdaGivesUpALedgersEventBeforeRowsForgetIt(t *testing.T) {
	p, err := load(t).Properties("LedgerFunction", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	age, ok := cfn.Map(p["EventInvokeConfig"])["MaximumEventAgeInSeconds"].(int)
	if kept := time.Duration(age)*time.Second + functions(t)["ledger"].Timeout; !ok || kept >= usage.Remembers {
		t.Errorf("an event may come for %v, rows remember for %v", kept, usage.Remembers)
	}
}

func TestVendHoldsNoActionThatWrites(t *testing.T) {
	_, statements := policy(t, "vend")
	var actions []string
	for _, s := range statements {
		actions = append(actions, s.Actions...)
	}
	slices.Sort(actions)
	if want := []string{"dynamodb:BatchGetItem", "logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"}; !slices.Equal(actions, want) {
		t.Errorf("%v", actions)
	}
}

// What the tables above and below say of it, as a promise: whoever takes the function
// over that faces browsers opens no stored secret, signs no token, makes no API key,
// and takes back no offboarding.
func TestTheFunctionForBrowsersOpensNoSecretAndSignsNoToken(t *testing.T) {
	role, statements := policy(t, "widget")
	whole := append(slices.Clone(statements), keyPolicy(t)...)
	for _, purpose := range []string{"seal", "session", "", "other"} {
		for _, action := range []string{"kms:Decrypt", "kms:Encrypt", "kms:Sign", "kms:GenerateMac", "kms:CreateGrant", "kms:ReEncryptFrom"} {
			c := iam.Call{Principal: role, Action: action, Resource: keyARN, Context: map[string][]string{"aws:PrincipalArn": {role}}}
			if purpose != "" {
				c.Context["kms:EncryptionContext:purpose"] = []string{purpose}
			}
			if iam.Allowed(whole, c) {
				t.Errorf("it may %s for the purpose %q", action, purpose)
			}
		}
	}
	may := func(action, pk string) bool {
		return iam.Allowed(statements, iam.Call{Principal: role, Action: "dynamodb:" + action, Resource: tableARN, Context: map[string][]string{"dynamodb:LeadingKeys": {pk}}})
	}
	for _, action := range []string{"GetItem", "BatchGetItem", "Query", "PutItem", "DeleteItem"} {
		if may(action, "P#tenant_1") {
			t.Errorf("it may %s wrapped keys", action)
		}
	}
	for _, letter := range "TFPKIDJES" {
		if may("PutItem", string(letter)+"#tenant_1") || may("DeleteItem", string(letter)+"#tenant_1") {
			t.Errorf("it may write %c", letter)
		}
	}
	if !may("PutItem", "U#tenant_1#u") || !may("BatchGetItem", "D#tenant_1#u") {
		t.Error("it may not even do its work: this test sees nothing")
	}
	for _, s := range statements {
		for _, action := range s.Actions {
			if !strings.HasPrefix(action, "dynamodb:") && !strings.HasPrefix(action, "logs:") {
				t.Errorf("it may %s", action)
			}
		}
	}
}

func TestEachFunctionMayUnwrapItsOwnPurposesAndNoOthers(t *testing.T) {
	statements := keyPolicy(t)
	may := func(principal, action, purpose string) bool {
		c := iam.Call{Principal: principal, Action: action, Resource: keyARN, Context: map[string][]string{"aws:PrincipalArn": {principal}}}
		if purpose != "" {
			c.Context["kms:EncryptionContext:purpose"] = []string{purpose}
		}
		return iam.Allowed(statements, c)
	}
	principals := map[string]string{"the account": "arn:aws:iam::123456789012:root", "somebody": "arn:aws:iam::123456789012:role/admin"}
	for name := range functions(t) {
		principals[name], _ = policy(t, name)
	}
	for name, principal := range principals {
		cell := cells[name]
		for _, purpose := range []string{"ingest", "seal", "session", "other", ""} {
			if got, want := may(principal, "kms:Decrypt", purpose), slices.Contains(strings.Fields(cell.unwrap), purpose); got != want {
				t.Errorf("%s Decrypt %q: %v", name, purpose, got)
			}
			if got, want := may(principal, "kms:Encrypt", purpose), slices.Contains(strings.Fields(cell.wrap), purpose); got != want {
				t.Errorf("%s Encrypt %q: %v", name, purpose, got)
			}
			for _, action := range []string{"kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:CreateGrant"} {
				if may(principal, action, purpose) {
					t.Errorf("%s may %s", name, action)
				}
			}
		}
	}
}

func TestStatementsOfTheSealingKeyNameTheirPurposes(t *testing.T) {
	cryptographic := []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt", "kms:GenerateDataKey", "kms:GenerateMac", "kms:Sign", "kms:CreateGrant"}
	for _, s := range keyPolicy(t) {
		if s.Effect == "Deny" && len(s.Conditions) == 0 {
			continue // for every purpose
		}
		for _, action := range s.Actions {
			if strings.Contains(action, "*") {
				t.Errorf("%s: %s", s.Sid, action)
			}
			if !slices.ContainsFunc(cryptographic, func(c string) bool { return strings.HasPrefix(action, c) }) {
				continue
			}
			if !slices.ContainsFunc(s.Conditions, func(c iam.Condition) bool { return c.Key == "kms:EncryptionContext:purpose" }) {
				t.Errorf("%s: %s without a purpose", s.Sid, action)
			}
		}
	}
}

// Grants and later additions cannot get around a denial.
func TestTheSealingKeyDeniesEvenWhatAnotherStatementAllows(t *testing.T) {
	open := append(keyPolicy(t), iam.Statement{Effect: "Allow", Actions: []string{"kms:*"}, Resources: []string{"*"}, Principals: []string{"*"}})
	for _, purpose := range []string{"ingest", "seal", "session", "other"} {
		for _, action := range []string{"kms:Encrypt", "kms:Decrypt"} {
			principal := "arn:aws:iam::123456789012:role/admin"
			c := iam.Call{Principal: principal, Action: action, Resource: keyARN, Context: map[string][]string{
				"aws:PrincipalArn": {principal}, "kms:EncryptionContext:purpose": {purpose},
			}}
			if iam.Allowed(open, c) {
				t.Errorf("%s %s", action, purpose)
			}
		}
	}
}

func TestTheTableAndTheKeyOutliveTheStackAndAreProtected(t *testing.T) {
	template := load(t)
	for _, id := range []string{"Table", "SealingKey"} {
		for _, policy := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
			if template.Resources[id].Attributes[policy] != "Retain" {
				t.Errorf("%s: %s %v", id, policy, template.Resources[id].Attributes[policy])
			}
		}
	}
	table, err := template.Properties("Table", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	if table["BillingMode"] != "PAY_PER_REQUEST" || table["DeletionProtectionEnabled"] != "true" ||
		cfn.Map(table["PointInTimeRecoverySpecification"])["PointInTimeRecoveryEnabled"] != true {
		t.Errorf("%v", table)
	}
	if _, own := table["SSESpecification"]; own {
		t.Error("a KMS key for the table without being asked")
	}
	table, err = template.Properties("Table", values(map[string]string{"TableKmsKeyArn": "arn:k", "DeletionProtection": "false"}))
	if err != nil {
		t.Fatal(err)
	}
	if cfn.Map(table["SSESpecification"])["KMSMasterKeyId"] != "arn:k" || table["DeletionProtectionEnabled"] != "false" {
		t.Errorf("%v", table)
	}
	key, err := template.Properties("SealingKey", values(nil))
	if err != nil || key["EnableKeyRotation"] != true {
		t.Errorf("%v %v", key["EnableKeyRotation"], err)
	}
}

func TestF45_TheAccessLogHoldsNeitherHeadersNorBodiesNorPathsNorQueries(t *testing.T) {
	properties, err := load(t).Properties("Api", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	format := fmt.Sprint(cfn.Map(properties["AccessLogSettings"])["Format"])
	for _, forbidden := range []string{"authorizer", "header", "body", "$context.path", "$context.requestOverride", "userAgent", "query"} {
		if strings.Contains(strings.ToLower(format), strings.ToLower(forbidden)) {
			t.Errorf("%s in %s", forbidden, format)
		}
	}
	if !strings.Contains(format, "$context.requestId") {
		t.Errorf("no request id in %s", format)
	}
	if _, cors := properties["CorsConfiguration"]; cors {
		t.Error("preflights are the functions' to answer")
	}
	throttle := cfn.Map(properties["DefaultRouteSettings"])
	if throttle["ThrottlingRateLimit"] == nil || throttle["ThrottlingBurstLimit"] == nil {
		t.Errorf("no throttle: %v", throttle)
	}
}

func TestTheRoutesOfBrowsersHaveAThrottleOfTheirOwn(t *testing.T) {
	template := load(t)
	properties, err := template.Properties("Api", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	settings := cfn.Map(properties["RouteSettings"])
	function, err := template.Properties("WidgetFunction", values(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, reserved := function["ReservedConcurrentExecutions"]; reserved {
		t.Error("processes are reserved without being asked")
	}
	events := cfn.Map(function["Events"])
	for name, event := range events {
		route := cfn.Map(cfn.Map(event)["Properties"])
		throttle := cfn.Map(settings[fmt.Sprint(route["Method"], " ", route["Path"])])
		if throttle["ThrottlingRateLimit"] == nil || throttle["ThrottlingBurstLimit"] == nil {
			t.Errorf("%s has none: %v", name, throttle)
		}
	}
	if len(events) == 0 || len(settings) != len(events) {
		t.Errorf("%d throttles for %d routes", len(settings), len(events))
	}
	function, err = template.Properties("WidgetFunction", values(map[string]string{"WidgetConcurrency": "7"}))
	if err != nil || fmt.Sprint(function["ReservedConcurrentExecutions"]) != "7" {
		t.Errorf("%v %v", function["ReservedConcurrentExecutions"], err)
	}
}

func TestEveryFunctionHasALogGroupAnAlarmFilterAndAnErrorAlarm(t *testing.T) {
	template := load(t)
	logGroups := map[string]bool{}
	for _, id := range template.Named("AWS::Logs::LogGroup") {
		p, err := template.Properties(id, values(nil))
		if err != nil {
			t.Fatal(err)
		}
		if p["RetentionInDays"] == nil {
			t.Errorf("%s keeps logs for ever", id)
		}
		logGroups["local-"+id] = true
	}
	filtered, watched := map[any]bool{}, map[any]bool{}
	for _, id := range template.Named("AWS::Logs::MetricFilter") {
		p, _ := template.Properties(id, values(nil))
		if p["FilterPattern"] == `{ $.alarm = "*" }` {
			filtered[p["LogGroupName"]] = true
		}
	}
	for _, id := range template.Named("AWS::CloudWatch::Alarm") {
		p, err := template.Properties(id, values(map[string]string{"AlarmTopicArn": "arn:topic"}))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(cfn.Strings(p["AlarmActions"]), []string{"arn:topic"}) {
			t.Errorf("%s tells nobody: %v", id, p["AlarmActions"])
		}
		for _, d := range cfn.List(p["Dimensions"]) {
			watched[cfn.Map(d)["Value"]] = true
		}
	}
	for _, id := range template.Named("AWS::Serverless::Function") {
		p, err := template.Properties(id, values(nil))
		if err != nil {
			t.Fatal(err)
		}
		group := cfn.Map(p["LoggingConfig"])["LogGroup"]
		if !logGroups[fmt.Sprint(group)] || !filtered[group] || !watched["local-"+id] {
			t.Errorf("%s: log group %v, filtered %v, watched %v", id, group, filtered[group], watched["local-"+id])
		}
	}
}

// Lambda polls a queue faster than functions may run: what it has to put back for
// that must not use up a message's tries.
func TestAMessageOutlastsThrottlingAndAQueueThatIsNotWorkedOnIsTold(t *testing.T) {
	template := load(t)
	queues, err := template.Queues(values(nil))
	if err != nil {
		t.Fatal(err)
	}
	byARN := map[string]cfn.Queue{}
	for _, q := range queues {
		byARN["arn:local:"+q.LogicalID] = q
	}
	worked := 0
	for name, f := range functions(t) {
		for _, s := range f.Queues {
			worked++
			q := byARN[s.Queue]
			if least := 6*f.Timeout + s.Window; q.Visibility < least || q.MaxReceives < 5 || q.DeadLetters == "" {
				t.Errorf("the queue of %s: visibility %v, want at least %v; %d receives, want 5 or more; dead letters %q", name, q.Visibility, least, q.MaxReceives, q.DeadLetters)
			}
			if !alarmOn(t, template, "ApproximateAgeOfOldestMessage", "QueueName", q.LogicalID) {
				t.Errorf("nobody is told that %s is not worked on", q.LogicalID)
			}
			if dead := byARN[q.DeadLetters]; !alarmOn(t, template, "ApproximateNumberOfMessagesVisible", "QueueName", dead.LogicalID) {
				t.Errorf("nobody is told of the dead letters of %s", q.LogicalID)
			}
		}
	}
	if worked != 1 {
		t.Errorf("%d queues are worked on", worked)
	}
}

// alarmOn reports whether there is an alarm on a metric of the resource.
func alarmOn(t *testing.T, template *cfn.Template, metric, dimension, resource string) bool {
	t.Helper()
	for _, id := range template.Named("AWS::CloudWatch::Alarm") {
		p, err := template.Properties(id, values(nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range cfn.List(p["Dimensions"]) {
			if p["MetricName"] == metric && cfn.Map(d)["Name"] == dimension && cfn.Map(d)["Value"] == fmt.Sprint("local-", resource) {
				return true
			}
		}
	}
	return false
}

// An event that finds no process to run in makes no error of the function: who only
// counts those learns nothing of what Lambda gave up.
func TestAnAlarmTellsWhatLambdaGaveUpOfFunctionsThatNobodyWaitsFor(t *testing.T) {
	template, unattended := load(t), 0
	for name, f := range functions(t) {
		asynchronous := len(f.Schedules)+len(f.Logs) > 0
		if asynchronous {
			unattended++
		}
		if got := alarmOn(t, template, "AsyncEventsDropped", "FunctionName", f.LogicalID); got != asynchronous {
			t.Errorf("%s: invoked asynchronously %v, an alarm on AsyncEventsDropped %v", name, asynchronous, got)
		}
	}
	if unattended != 2 {
		t.Errorf("%d functions that nobody waits for, want sweep and ledger", unattended)
	}
}

// A schedule that stands still makes no errors: only what is missing tells.
func TestAnAlarmTellsWhenTheSweepDoesNotRun(t *testing.T) {
	template := load(t)
	for _, id := range template.Named("AWS::CloudWatch::Alarm") {
		p, err := template.Properties(id, values(nil))
		if err != nil {
			t.Fatal(err)
		}
		if p["MetricName"] != "Invocations" {
			continue
		}
		dimension := cfn.Map(cfn.List(p["Dimensions"])[0])["Value"]
		got := fmt.Sprint(p["Namespace"], " ", dimension, " ", p["Statistic"], " ", p["ComparisonOperator"], " ", p["Threshold"], " ", p["TreatMissingData"], " ", p["Period"], " ", p["EvaluationPeriods"])
		if want := "AWS/Lambda local-SweepFunction Sum LessThanThreshold 1 breaching 900 1"; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
		return
	}
	t.Error("nothing tells")
}

func TestTheTemplateIsValidForSAM(t *testing.T) {
	validate := exec.Command(testbed.Tool(t, "sam/bin/sam"), "validate", "--lint")
	validate.Dir = root
	validate.Env = append(os.Environ(), "SAM_CLI_TELEMETRY=0")
	if out, err := validate.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheCommandSaysWhatIsMissing(t *testing.T) {
	var log bytes.Buffer
	for _, args := range [][]string{{}, {"-dynamodb", "http://127.0.0.1:1"}, {"-unknown"}} {
		if err := run(t.Context(), args, &log, &log); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
