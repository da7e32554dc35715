package cfn

import "testing"

func TestAFilterPassesWhatItSaysAndWhatIsNotKnownIsAnError(t *testing.T) {
	stream := func(pattern string) (Stream, error) {
		return newStream(map[string]any{
			"Stream": "arn", "StartingPosition": "TRIM_HORIZON", "BatchSize": 1, "MaximumRetryAttempts": 2, "MaximumRecordAgeInSeconds": 60,
			"FilterCriteria": map[string]any{"Filters": []any{map[string]any{"Pattern": pattern}}},
		})
	}
	s, err := stream(`{"eventName":["INSERT","MODIFY"],"dynamodb":{"Keys":{"PK":{"S":[{"prefix":"U#"}]}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for record, want := range map[string]bool{
		`{"eventName":"INSERT","dynamodb":{"Keys":{"PK":{"S":"U#1"}}}}`: true,
		`{"eventName":"REMOVE","dynamodb":{"Keys":{"PK":{"S":"U#1"}}}}`: false,
		`{"eventName":"INSERT","dynamodb":{"Keys":{"PK":{"S":"T#1"}}}}`: false,
		`{"eventName":"INSERT","dynamodb":{"Keys":{"PK":{"N":"1"}}}}`:   false,
		`{"eventName":"INSERT"}`: false, `[]`: false, `x`: false,
	} {
		if got := s.Passes([]byte(record)); got != want {
			t.Errorf("%s: %v", record, got)
		}
	}
	for _, wrong := range []string{`{"a":[{"numeric":["=",1]}]}`, `{"a":[{"exists":true}]}`, `{"a":"b"}`, `{"a":[1]}`, `{`} {
		if _, err := stream(wrong); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	for _, missing := range []string{"BatchSize", "MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "StartingPosition"} {
		p := map[string]any{"Stream": "arn", "StartingPosition": "TRIM_HORIZON", "BatchSize": 1, "MaximumRetryAttempts": 2, "MaximumRecordAgeInSeconds": 60}
		delete(p, missing)
		if _, err := newStream(p); err == nil {
			t.Errorf("without %s: no error", missing)
		}
	}
	if open, err := newStream(map[string]any{"StartingPosition": "TRIM_HORIZON", "BatchSize": 1, "MaximumRetryAttempts": 2, "MaximumRecordAgeInSeconds": 60}); err != nil || !open.Passes([]byte(`{}`)) {
		t.Errorf("without a filter: %v", err)
	}
}
