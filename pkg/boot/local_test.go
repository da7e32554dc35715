package boot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyvend/pkg/operator"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/table/bolt"
)

// used is a data folder with a tenant in it.
func used(t *testing.T) string { return usedBy(t, 1) }

// usedBy is a data folder with so many tenants in it.
func usedBy(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	app, err := OpenLocal(dir, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := app.Tenants()(context.Background(), operator.Request{Action: operator.CreateTenant, Name: "demo"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// refused opens a folder that must not open and returns what is said.
func refused(t *testing.T, dir string) error {
	t.Helper()
	app, err := OpenLocal(dir, nil, quiet())
	if err == nil {
		t.Fatal("it opens", app.Close())
	}
	for _, word := range []string{"bolt:", "localkey:", "seal:", "open " + dir} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q speaks of %q", err, word)
		}
	}
	return err
}

func TestALocalFolderWithoutTheMasterKeyOfItsDataIsRefused(t *testing.T) {
	dir := used(t)
	key := filepath.Join(dir, masterKeyFile)
	kept, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, dir); !strings.Contains(err.Error(), "is not there") || !strings.Contains(err.Error(), "put the old one back, or choose another folder with -data") {
		t.Errorf("missing: %v", err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("another master key was made")
	}
	if err := os.WriteFile(key, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, dir); !strings.Contains(err.Error(), "is not the one that the data was sealed with") {
		t.Errorf("replaced: %v", err)
	}
	if err := os.WriteFile(key, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	app, err := OpenLocal(dir, nil, quiet())
	if err != nil {
		t.Fatal("put back:", err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrongWithALocalFolderIsSaidWithTheNextStep(t *testing.T) {
	write := func(name, content string, mode os.FileMode) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return os.WriteFile(path, []byte(content), mode)
		}
	}
	folder := func(name string) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			return errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o700))
		}
	}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		words []string
		is    error
	}{
		"a database of something else": {write(databaseFile, "not one", 0o600), []string{databaseFile, "damaged", "Move it away, or restore it"}, bolt.ErrDamaged},
		"a folder as database":         {folder(databaseFile), []string{databaseFile, "is a directory", "-data"}, nil},
		"a folder as audit log":        {folder(auditFile), []string{auditFile, "is a directory", "-data"}, nil},
		"a master key for everybody":   {func(dir string) error { return os.Chmod(filepath.Join(dir, masterKeyFile), 0o644) }, []string{"chmod 600 ", masterKeyFile}, localkey.ErrPermissions},
		"a folder as master key":       {folder(masterKeyFile), []string{masterKeyFile, "not a file"}, localkey.ErrPermissions},
		"a short master key":           {write(masterKeyFile, "short", 0o600), []string{masterKeyFile, "32 bytes", "ut the old one back"}, localkey.ErrSize},
	} {
		t.Run(name, func(t *testing.T) {
			dir := used(t)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			err := refused(t, dir)
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
}

func TestADatabaseWithAPageOfNonsenseIsRefusedOrNotRead(t *testing.T) {
	whole := usedBy(t, 40)
	content, err := os.ReadFile(filepath.Join(whole, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(whole, masterKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(content); at += 4096 {
		for _, filling := range []byte{0x00, 0xff} {
			dir := t.TempDir()
			spoiled := bytes.Clone(content)
			copy(spoiled[at:], bytes.Repeat([]byte{filling}, 4096))
			if err := errors.Join(os.WriteFile(filepath.Join(dir, databaseFile), spoiled, 0o600), os.WriteFile(filepath.Join(dir, masterKeyFile), key, 0o600)); err != nil {
				t.Fatal(err)
			}
			app, err := OpenLocal(dir, nil, quiet())
			if err == nil { // a page that nothing uses, or that is not read yet
				_ = app.Close()
				continue
			}
			if !strings.Contains(err.Error(), databaseFile+" is damaged") && !strings.Contains(err.Error(), "is not the one that the data was sealed with") {
				t.Errorf("page %d: %v", at/4096, err)
			}
		}
	}
}
