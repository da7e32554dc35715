package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"keyvend/infra/host/cfn"
)

// deliveries runs a batch of n records through a source whose function answers
// what answer says of the sequence numbers that it gets, and returns these.
func deliveries(t *testing.T, n int, s cfn.Stream, answer func(call int, batch []string) (string, error)) (calls [][]string, given []string) {
	t.Helper()
	var batch []json.RawMessage
	for i := range n {
		batch = append(batch, fmt.Appendf(nil, `{"dynamodb":{"SequenceNumber":"%d"}}`, i))
	}
	source := &source{Stream: s, log: io.Discard, giveUp: func(message string) { given = append(given, message) }}
	source.invoke = func(_ context.Context, payload []byte) ([]byte, error) {
		var in struct{ Records []json.RawMessage }
		if err := json.Unmarshal(payload, &in); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, record := range in.Records {
			got = append(got, sequenceOf(record))
		}
		calls = append(calls, got)
		text, err := answer(len(calls), got)
		return []byte(text), err
	}
	source.deliver(t.Context(), batch)
	return calls, given
}

const noFailures = `{"batchItemFailures":[]}`

func TestEverythingFromTheLowestFailedSequenceNumberOnIsDeliveredAgain(t *testing.T) {
	calls, given := deliveries(t, 4, cfn.Stream{ReportsFailures: true, Retries: 3}, func(call int, _ []string) (string, error) {
		if call == 1 {
			return `{"batchItemFailures":[{"itemIdentifier":"3"},{"itemIdentifier":"1"}]}`, nil
		}
		return noFailures, nil
	})
	if got := fmt.Sprint(calls); got != "[[0 1 2 3] [1 2 3]]" || len(given) > 0 {
		t.Errorf("%s, given up %v", got, given)
	}
}

func TestWhatIsNoReportFailsTheWholeBatchAndTriesAreFinite(t *testing.T) {
	for _, answer := range []string{`{"batchItemFailures":[{"itemIdentifier":""}]}`, `{"batchItemFailures":[{"itemIdentifier":"9"}]}`, `nonsense`} {
		calls, given := deliveries(t, 2, cfn.Stream{ReportsFailures: true, Retries: 2, OnFailure: "queue"}, func(int, []string) (string, error) {
			return answer, nil
		})
		if len(calls) != 3 || len(given) != 1 || !strings.Contains(given[0], `"startSequenceNumber":"0","endSequenceNumber":"1"`) {
			t.Errorf("%s: %v, given up %v", answer, calls, given)
		}
	}
}

func TestABatchThatCrashesTheFunctionIsHalvedUntilTheCulpritIsAlone(t *testing.T) {
	var done []string
	_, given := deliveries(t, 8, cfn.Stream{ReportsFailures: true, Bisect: true, Retries: 1}, func(_ int, batch []string) (string, error) {
		if slices.Contains(batch, "5") {
			return "", errors.New("crashed")
		}
		done = append(done, batch...)
		return noFailures, nil
	})
	if fmt.Sprint(done) != "[0 1 2 3 4 6 7]" || len(given) != 1 || !strings.Contains(given[0], `"startSequenceNumber":"5"`) {
		t.Errorf("done %v, given up %v", done, given)
	}
}
