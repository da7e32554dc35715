package trail_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/fault"
	"keyvend/pkg/trail"
	"keyvend/pkg/usage"
	"keyvend/pkg/vault"
)

// pages is a ledger that keeps what it is given.
type pages struct {
	lines []string
	fail  error
}

func (p *pages) Enter(_ context.Context, lines [][]byte) (vault.Entered, error) {
	if p.fail != nil {
		return vault.Entered{}, p.fail
	}
	for _, line := range lines {
		p.lines = append(p.lines, string(line))
	}
	return vault.Entered{Entered: len(lines)}, nil
}

func TestARealEventOfTheSubscriptionIsCountedOnceHoweverOftenItIsDelivered(t *testing.T) {
	text, err := os.ReadFile("../../events/ledger.json")
	if err != nil {
		t.Fatal(err)
	}
	var e trail.Event
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	w := boottest.New(t, boottest.Config{})
	w.Clock.Pass(time.Date(2026, 11, 24, 8, 30, 30, 0, time.UTC).Sub(w.Clock.Now()))
	for range 3 {
		done, err := w.App.Ledger()(t.Context(), e)
		if answer, _ := json.Marshal(done); err != nil || string(answer) != `{"entered":3,"skipped":0}` {
			t.Errorf("%s %v", answer, err)
		}
	}
	const tenant, account, integration = "tenant_01M85WSEG5M3P52261PZ2MPAG1", "data_installation_01M85WSETEY294FJEJ0DBTXR7T", "data_integration_01M85WSESEHEXV2VX980RDH8F2"
	used, reads, err := w.Store.AccountUsage(t.Context(), tenant, account)
	want := usage.Read{
		APIKey: "api_key_01M85WSEQ863BF0ZGHNZ69AT0W", Start: time.Date(2026, 11, 24, 8, 30, 0, 0, time.UTC), Count: 2,
		LastAt: time.Date(2026, 11, 24, 8, 30, 4, 567e6, time.UTC),
	}
	if err != nil || !used.At.Equal(want.LastAt) || len(reads.List) != 1 || reads.List[0] != want {
		t.Errorf("%+v %+v %v", used, reads, err)
	}
	hours, err := w.Store.UsageHours(t.Context(), tenant, integration, want.Start.Truncate(time.Hour))
	if err != nil || len(hours) != 1 || hours[0].Vended != 2 || hours[0].Refused != 1 {
		t.Errorf("%+v %v", hours, err)
	}
}

func TestAMessageThatOnlySeesWhetherSomebodyIsThereHasNoLines(t *testing.T) {
	p := &pages{}
	e := boottest.Packed(t, map[string]any{"messageType": "CONTROL_MESSAGE", "logEvents": []any{map[string]any{"id": "", "message": "CWL CONTROL MESSAGE: Checking health of destination"}}})
	if _, err := trail.Handler(p)(t.Context(), e); err != nil || len(p.lines) > 0 {
		t.Errorf("%q %v", p.lines, err)
	}
}

func TestAnEventThatIsNoneIsAnErrorThatQuotesNothing(t *testing.T) {
	packed := func(text string) []byte {
		var b bytes.Buffer
		zip, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		_, _ = zip.Write([]byte(text))
		_ = zip.Close()
		return b.Bytes()
	}
	whole := packed(`{"messageType":"DATA_MESSAGE","logEvents":[]}`)
	for name, data := range map[string][]byte{
		"nothing": nil, "not packed": []byte(`{"messageType":"DATA_MESSAGE"}`), "cut": whole[:len(whole)-9],
		"no JSON": packed("sk-canary"), "another message": packed(`{"messageType":"OTHER"}`), "wrong types": packed(`{"messageType":"DATA_MESSAGE","logEvents":"sk-canary"}`),
		"a bomb": packed(strings.Repeat(" ", 33<<20)),
	} {
		var e trail.Event
		e.AWSLogs.Data = data
		p := &pages{}
		if _, err := trail.Handler(p)(t.Context(), e); err == nil || fault.As(err).Kind != fault.BadRequest || strings.Contains(err.Error(), "canary") || len(p.lines) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
