package cfn

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

const queues = `
Parameters:
  Tries: {Type: Number, Default: 5}
Resources:
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "${AWS::StackName}-dead", MessageRetentionPeriod: 1209600}}
  Work:
    Type: AWS::SQS::Queue
    Properties:
      DelaySeconds: 5
      VisibilityTimeout: 120
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: !Ref Tries}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 60
      MemorySize: 128
      Events:
        Plain: {Type: SQS, Properties: {Queue: !GetAtt Work.Arn}}
  ScheduledFunction:
    Type: AWS::Serverless::Function
    Properties:
      Timeout: 60
      MemorySize: 128
      Events:
        New: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute)}}
        Off: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(2 minutes), State: DISABLED}}
        OldOff: {Type: Schedule, Properties: {Schedule: rate(3 minutes), Enabled: false}}
`

func TestQueuesHaveTheirSettingsOrThoseOfSQS(t *testing.T) {
	got, err := parse(t, queues).Queues(sampleValues())
	want := []Queue{
		{LogicalID: "Dead", Name: "s-dead", Visibility: 30 * time.Second},
		{LogicalID: "Work", Name: "s-Work", Delay: 5 * time.Second, Visibility: 2 * time.Minute, DeadLetters: "Dead/Arn", MaxReceives: 5},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestSchedulesOfBothKindsAreKnownAndThoseSwitchedOffAreNone(t *testing.T) {
	got, err := parse(t, queues).Functions(sampleValues())
	if err != nil || !reflect.DeepEqual(got[0].Schedules, []time.Duration{time.Minute}) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestAQueueIsAnEventSourceWithItsSettingsOrThoseOfLambda(t *testing.T) {
	functions, err := parse(t, queues).Functions(sampleValues())
	if err != nil || !reflect.DeepEqual(functions[1].Queues, []QueueSource{{Queue: "Work/Arn", BatchSize: 10}}) {
		t.Errorf("%+v %v", functions, err)
	}
	got, err := newQueueSource(map[string]any{
		"Queue": "q", "BatchSize": 100, "MaximumBatchingWindowInSeconds": "2", "Enabled": false,
		"ScalingConfig": map[string]any{"MaximumConcurrency": 7}, "FunctionResponseTypes": []any{"ReportBatchItemFailures"},
	})
	want := QueueSource{Queue: "q", BatchSize: 100, Window: 2 * time.Second, Concurrency: 7, ReportsFailures: true, Disabled: true}
	if err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
}

func TestWhatSQSAndLambdaRefuseOrThisPackageDoesNotKnowIsAnError(t *testing.T) {
	redrive := func(p map[string]any) map[string]any { return map[string]any{"RedrivePolicy": p} }
	for _, p := range []map[string]any{
		{"FifoQueue": true}, {"DelaySeconds": 901}, {"DelaySeconds": -1}, {"VisibilityTimeout": 43201}, {"VisibilityTimeout": "soon"},
		redrive(map[string]any{"maxReceiveCount": 3}), redrive(map[string]any{"deadLetterTargetArn": "d"}),
		redrive(map[string]any{"deadLetterTargetArn": "d", "maxReceiveCount": 0}), redrive(map[string]any{"deadLetterTargetArn": "d", "maxReceiveCount": 1001}),
	} {
		if q, err := newQueue(p); err == nil {
			t.Errorf("queue %v: %+v", p, q)
		}
	}
	for name, value := range map[string]any{
		"Queue": "q.fifo", "BatchSize": 0, "MaximumBatchingWindowInSeconds": 301, "ScalingConfig": map[string]any{"MaximumConcurrency": 1},
		"FilterCriteria": map[string]any{}, "Batchsize": 1,
	} {
		if s, err := newQueueSource(map[string]any{"Queue": "q", name: value}); err == nil {
			t.Errorf("event source with %s %v: %+v", name, value, s)
		}
	}
	for size, window := range map[int]int{11: 0, 10001: 300} {
		if s, err := newQueueSource(map[string]any{"Queue": "q", "BatchSize": size, "MaximumBatchingWindowInSeconds": window}); err == nil {
			t.Errorf("a batch of %d: %+v", size, s)
		}
	}
	for _, bad := range []string{
		"Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Join [a]}}", "Q: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Ref Nobody}}",
		"Q: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}",
	} {
		if _, err := parse(t, fmt.Sprintf("Resources:\n  %s\n", bad)).Queues(sampleValues()); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
