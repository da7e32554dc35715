package boottest

import (
	"bytes"
	"encoding/json"

	"keyvend/pkg/table"
)

// Row is a row's document taken apart, for tests that write the table as a
// stranger could.
type Row map[string]any

// The places of rows, spelt out apart from package store, so that a test sees
// when one moves.

// TenantRow is where a tenant lies.
func TenantRow(tenant string) table.Key { return table.Key{PK: "T#" + tenant, SK: "TENANT"} }

// SettingsRow is where a tenant's settings lie.
func SettingsRow(tenant string) table.Key { return table.Key{PK: "F#" + tenant, SK: "SETTINGS"} }

// SealBlobRow is where the wrapped key material of version 1 lies.
func SealBlobRow(tenant string) table.Key { return table.Key{PK: "P#" + tenant, SK: "KEYPAIR#1"} }

// SessionBlobRow is where the wrapped keys lie that sign tokens.
func SessionBlobRow(tenant string) table.Key { return table.Key{PK: "P#" + tenant, SK: "SESSION"} }

// APIKeyRow is where an API key lies.
func APIKeyRow(tenant, key string) table.Key {
	return table.Key{PK: "K#" + tenant + "#" + key, SK: "APIKEY"}
}

// IntegrationRow is where a data integration lies.
func IntegrationRow(tenant, slug string) table.Key {
	return table.Key{PK: "I#" + tenant, SK: "INTEGRATION#" + slug}
}

// AccountRow is where a user's account lies, in an organization or ("") in none.
func AccountRow(tenant, user, slug, organization string) table.Key {
	return table.Key{PK: "U#" + tenant + "#" + user, SK: "ACCOUNT#" + slug + "#" + organization}
}

// DepartureRow is where it lies that a user was offboarded.
func DepartureRow(tenant, user string) table.Key {
	return table.Key{PK: "D#" + tenant + "#" + user, SK: "USER"}
}

// OrganizationRow is where an organization lies.
func OrganizationRow(tenant, organization string) table.Key {
	return table.Key{PK: "O#" + tenant + "#" + organization, SK: "ORG"}
}

// OverrideRow is where an organization's switch of an integration lies.
func OverrideRow(tenant, organization, slug string) table.Key {
	return table.Key{PK: "O#" + tenant + "#" + organization, SK: "INTEGRATION#" + slug}
}

// Item is the item at k; absent fails the test.
func (w *World) Item(k table.Key) table.Item {
	w.t.Helper()
	found, err := w.Engine.Get(w.t.Context(), k)
	if err != nil {
		w.t.Fatal(err)
	}
	item, ok := found[k]
	if !ok {
		w.t.Fatalf("there is no row %v", k)
	}
	return item
}

// Has says whether there is an item at k.
func (w *World) Has(k table.Key) bool {
	w.t.Helper()
	found, err := w.Engine.Get(w.t.Context(), k)
	if err != nil {
		w.t.Fatal(err)
	}
	_, ok := found[k]
	return ok
}

// Row is the document at k.
func (w *World) Row(k table.Key) Row {
	w.t.Helper()
	row := Row{}
	decoder := json.NewDecoder(bytes.NewReader(w.Item(k).Doc))
	decoder.UseNumber()
	if err := decoder.Decode(&row); err != nil {
		w.t.Fatal(err)
	}
	return row
}

// Write puts a document at k, whatever is there.
func (w *World) Write(k table.Key, row Row) {
	w.t.Helper()
	doc, err := json.Marshal(row)
	if err != nil {
		w.t.Fatal(err)
	}
	w.WriteDoc(k, doc)
}

// WriteDoc is Write for a document that need not be one.
func (w *World) WriteDoc(k table.Key, doc []byte) {
	w.t.Helper()
	item, condition := table.Item{Key: k, Revision: 1}, table.Absent
	if w.Has(k) {
		item = w.Item(k)
		condition = table.At(item.Revision)
		item.Revision++
	}
	item.Doc = doc
	if err := w.Engine.Write(w.t.Context(), table.Put(item, condition)); err != nil {
		w.t.Fatal(err)
	}
}

// Edit changes the document at k.
func (w *World) Edit(k table.Key, edit func(Row)) {
	w.t.Helper()
	row := w.Row(k)
	edit(row)
	w.Write(k, row)
}

// In is the object of a row by that name.
func (r Row) In(name string) Row {
	inner, _ := r[name].(map[string]any)
	return inner
}
