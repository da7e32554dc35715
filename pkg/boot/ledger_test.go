package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/operator"
)

// laptop is a data folder with a tenant that has a user's key, started and
// stopped as a test wants.
type laptop struct {
	t              *testing.T
	dir            string
	token, account string
	app            *Local
	stop           func()
}

func newLaptop(t *testing.T) *laptop {
	l := &laptop{t: t, dir: t.TempDir()}
	l.start()
	made, err := l.app.Tenants()(t.Context(), operator.Request{Action: operator.CreateTenant, Name: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := l.app.Tenants()(t.Context(), operator.Request{Action: operator.IssueAPIKey, Tenant: made.Tenant.ID, Name: "all", Scopes: []string{"vend", "manage"}})
	if err != nil {
		t.Fatal(err)
	}
	l.token = issued.Token
	l.say("POST", "/data-integrations", `{"provider":"openai","enabled":true,"auth_methods":["api_key"]}`)
	l.account = fmt.Sprint(l.say("PUT", "/data-integrations/openai/api-key", `{"user_id":"u","secret":"sk-canary-0001"}`)["id"])
	return l
}

func (l *laptop) start() {
	l.t.Helper()
	app, err := OpenLocal(l.dir, nil, quiet())
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	followed := make(chan struct{})
	go func() { defer close(followed); app.Follow(ctx) }()
	l.app, l.stop = app, func() {
		cancel()
		<-followed
		if err := app.Close(); err != nil {
			l.t.Error(err)
		}
	}
}

func (l *laptop) say(method, path, body string) (out map[string]any) {
	l.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+l.token)
	w := httptest.NewRecorder()
	l.app.Whole().ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code >= http.StatusBadRequest {
		l.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return out
}

func (l *laptop) vend(n int) {
	l.t.Helper()
	for range n {
		l.say("POST", "/data-integrations/openai/credentials", `{"user_id":"u"}`)
	}
}

// counted awaits so many reads, and fails when there are more.
func (l *laptop) counted(want int) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var reads, hours int
		for _, row := range l.say("GET", "/keyvend/accounts/"+l.account+"/reads", "")["data"].([]any) {
			reads += int(row.(map[string]any)["count"].(float64))
		}
		for _, row := range l.say("GET", "/keyvend/integrations/openai/usage", "")["data"].([]any) {
			hours += int(row.(map[string]any)["vended"].(float64))
		}
		if reads == want && hours == want {
			return
		}
		if reads > want || hours > want || time.Now().After(end) {
			l.t.Fatalf("%d reads, %d in hours, want %d", reads, hours, want)
		}
	}
}

func TestALaptopCountsEveryVendOnceAcrossRestartsAndWhateverHappensToTheFile(t *testing.T) {
	l := newLaptop(t)
	path := filepath.Join(l.dir, auditFile)
	l.vend(3)
	l.counted(3)
	l.stop()

	l.start()
	l.counted(3)
	l.vend(2)
	l.stop() // perhaps before they were looked at

	l.start()
	l.counted(5)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	l.vend(2)
	l.counted(7)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.vend(2) // to the file that was moved
	l.counted(9)
	l.stop()

	l.start() // on a new file
	l.vend(1)
	l.counted(10)
	l.stop()
	if err := os.WriteFile(path, []byte(`{"log":"audit","at":"2026-`), 0o600); err != nil {
		t.Fatal(err)
	}
	l.start() // behind half a line
	l.vend(1)
	l.counted(11)
	l.stop()
}
