package cfn

import (
	"reflect"
	"testing"
	"time"
)

const sample = `
Parameters:
  Size: {Type: Number, Default: 3}
  Needed: {Type: String}
Conditions:
  IsBig: !Not [!Equals [!Ref Size, "3"]]
Globals:
  Function:
    Timeout: 10
    MemorySize: 128
    Environment: {Variables: {TABLE: !Ref Table, KEEP: "x"}}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      Name: !Sub "${AWS::StackName}-${Size}-${Table.Arn}"
      Long: {"Fn::GetAtt": [Table, Arn]}
      Maybe: !If [IsBig, big, !Ref "AWS::NoValue"]
      List: [a, !Ref "AWS::NoValue", !GetAtt Table.Arn]
  Bad: {Type: X, Properties: {A: !Ref Nobody}}
  Worse: {Type: X, Properties: {A: !Join ["", [a]]}}
  Unset: {Type: X, Properties: {A: !Ref Needed}}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 60
      Role: !GetAtt WorkRole.Arn
      Environment: {Variables: {KEEP: "y"}}
      Events:
        Tick: {Type: Schedule, Properties: {Schedule: rate(5 minutes)}}
        Path: {Type: HttpApi, Properties: {Path: "/a/{b}", Method: any}}
        Rest: {Type: HttpApi}
  WorkRole: {Type: AWS::IAM::Role}
`

func sampleValues() Values {
	return Values{
		Pseudo:    map[string]string{"AWS::StackName": "s"},
		Attribute: func(logical, attribute string) (string, error) { return logical + "/" + attribute, nil },
	}
}

func parse(t *testing.T, text string) *Template {
	t.Helper()
	template, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestIntrinsicFunctionsAreResolved(t *testing.T) {
	template := parse(t, sample)
	got, err := template.Properties("Table", sampleValues())
	want := map[string]any{"Name": "s-3-Table/Arn", "Long": "Table/Arn", "List": []any{"a", "Table/Arn"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	v := sampleValues()
	v.Parameters = map[string]string{"Size": "4"}
	if got, err := template.Properties("Table", v); err != nil || got["Maybe"] != "big" || got["Name"] != "s-4-Table/Arn" {
		t.Errorf("%v %v", got, err)
	}
}

func TestWhatCannotBeResolvedIsAnError(t *testing.T) {
	template := parse(t, sample)
	for _, id := range []string{"Bad", "Worse", "Unset"} {
		if got, err := template.Properties(id, sampleValues()); err == nil {
			t.Errorf("%s: %v", id, got)
		}
	}
	for _, text := range []string{"[]", "a: [", "", "a: &x 1\nb: *x"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	if _, err := Load("does-not-exist.yaml"); err == nil {
		t.Error("no error")
	}
}

func TestFunctionsHaveTheGlobalsMergedIn(t *testing.T) {
	got, err := parse(t, sample).Functions(sampleValues())
	want := []Function{{
		LogicalID: "WorkFunction", Name: "work", Role: "WorkRole", Timeout: time.Minute, MemoryMB: 128,
		Environment: map[string]string{"TABLE": "Table/", "KEEP": "y"},
		Routes:      []string{"$default", "ANY /a/{b}"}, Schedules: []time.Duration{5 * time.Minute}, Retries: 2,
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestSchedulesAreRates(t *testing.T) {
	for expression, want := range map[string]time.Duration{
		"rate(1 minute)": time.Minute, "rate(2 hours)": 2 * time.Hour, "rate(1 day)": 24 * time.Hour,
		"cron(0 * * * ? *)": 0, "rate(0 minutes)": 0, "rate(1 fortnight)": 0, "": 0,
	} {
		if got, err := rate(expression); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %v %v", expression, got, err)
		}
	}
}
