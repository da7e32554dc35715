package boottest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"testing"

	"keyvend/pkg/audit"
	"keyvend/pkg/trail"
)

// Lines are audit lines as they are written.
func Lines(t testing.TB, lines ...audit.Line) [][]byte {
	t.Helper()
	var texts [][]byte
	for _, line := range lines {
		var text bytes.Buffer
		if err := audit.NewWriter(&text).Record(audit.WithRequestID(t.Context(), line.RequestID), line); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	}
	return texts
}

// Delivery is the event with which CloudWatch Logs delivers lines.
func Delivery(t testing.TB, lines ...[]byte) trail.Event {
	t.Helper()
	message := map[string]any{
		"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "/keyvend/keyvend/vend",
		"logStream": "2026/03/01/[$LATEST]0", "subscriptionFilters": []string{"lines"},
	}
	var events []map[string]any
	for i, line := range lines {
		events = append(events, map[string]any{"id": fmt.Sprintf("%056d", i), "timestamp": 1772366400000, "message": string(line)})
	}
	message["logEvents"] = events
	return Packed(t, message)
}

// Packed is the event of any message.
func Packed(t testing.TB, message any) trail.Event {
	t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	var e trail.Event
	e.AWSLogs.Data = packed.Bytes()
	return e
}
