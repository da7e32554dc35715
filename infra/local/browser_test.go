package main

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/seal"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
)

func TestBannerLinksToTheDashboardSignedIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	out := printed(t, dir, "127.0.0.1:0")
	var d demo
	if err := json.Unmarshal([]byte(get(t, filepath.Join(dir, demoFile))), &d); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "/dashboard#key="+d.DashboardKey+"\n") || strings.Contains(out, "older keyvend") {
		t.Error(out)
	}
}

func TestPagesOfThisMachineMayShowTheWidget(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir)
	register(t, dir)
	_, minted := send(t, dir, "POST", "/widgets/token", `{"user_id":"u"}`)
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(minted), &token); err != nil {
		t.Fatal(minted)
	}
	for origin, want := range map[string]int{
		"http://localhost:3000": 200, "http://127.0.0.1:8080": 200, "http://[::1]:5173": 200, "https://localhost": 200,
		"https://evil.example": 403, "http://localhost.evil.example": 403, "http://127.0.0.1.evil.example": 403, "http://10.0.0.1": 403, "null": 403,
	} {
		status, text := send(t, dir, "GET", "/_widgets/DataIntegrations/mine", "", bearer(token.Token), func(r *http.Request) { r.Header.Set("Origin", origin) })
		if status != want {
			t.Errorf("%s: %d %s", origin, status, text)
		}
	}
}

// seen is a wrapper that notes under which context it is asked, and refuses.
type seen struct {
	seal.Wrapper
	context seal.Context
}

// Unwrap implements seal.Wrapper.
func (s *seen) Unwrap(_ context.Context, c seal.Context, _ []byte) ([]byte, error) {
	s.context = c
	return nil, seal.ErrIntegrity
}

// older makes a data folder as a keyvend without widget and dashboard left it: its
// tenant has no keys for tokens.
func older(t *testing.T) (dir string) {
	t.Helper()
	dir = lived(t)
	rows, err := bolt.Open(filepath.Join(dir, "keyvend.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	master, err := localkey.Open(filepath.Join(dir, "master.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := (&store.Store{Table: rows}).Tenants(t.Context())
	if err != nil || len(tenants) != 1 {
		t.Fatalf("%v %v", tenants, err)
	}
	under := func(m seal.Material) seal.Context {
		w := &seen{}
		_, _ = seal.NewRing(w, seal.Config{App: "keyvend", Environment: "local", TTL: time.Minute}).Ingest(t.Context(), m) // refused, as it says
		return w.context
	}
	was := tenants[0].Keys
	now := was
	now.TokenKeys = nil
	plain, err := master.Unwrap(t.Context(), under(was), was.IngestBlob)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := master.Wrap(t.Context(), under(now), plain)
	if err != nil {
		t.Fatal(err)
	}
	key := table.Key{PK: "T#" + tenants[0].ID, SK: "TENANT"}
	items, err := rows.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	item, row := items[key], map[string]any{}
	if err := json.Unmarshal(item.Doc, &row); err != nil {
		t.Fatal(err)
	}
	keys := row["keys"].(map[string]any)
	delete(keys, "token_keys")
	keys["ingest_blob"] = blob
	if item.Doc, err = json.Marshal(row); err != nil {
		t.Fatal(err)
	}
	before := item.Revision
	item.Revision++
	if err := rows.Write(t.Context(), table.Put(item, table.At(before))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFolderOfAnOlderKeyvendWorksAndIsToldWhatItLacks(t *testing.T) {
	dir := older(t)
	out := printed(t, dir, "127.0.0.1:0")
	if !strings.Contains(out, "was made by an older keyvend") || !strings.Contains(out, "move the folder away") {
		t.Error(out)
	}
	start(t, dir)
	register(t, dir)
	for path, body := range map[string]string{"/widgets/token": `{"user_id":"u"}`, "/keyvend/sessions": ""} {
		status, text := send(t, dir, "POST", path, body, bearer(env(t, dir)["KEYVEND_DASHBOARD_KEY"]))
		if status != http.StatusUnprocessableEntity || !strings.Contains(text, "create-tenant") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}
