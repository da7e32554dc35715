package localkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"keyvend/pkg/seal"
	"keyvend/pkg/seal/localkey"
	"keyvend/pkg/seal/sealtest"
)

func path(t *testing.T) string { return filepath.Join(t.TempDir(), "master.key") }

func open(t *testing.T, path string) *localkey.Key {
	t.Helper()
	k, err := localkey.Open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAMasterKeyFileKeepsTheWrapperContract(t *testing.T) {
	file := path(t)
	sealtest.Run(t, func(t *testing.T) seal.Wrapper { return open(t, file) })
}

func TestAMissingFileIsMadeForItsOwnerOnlyAndNeverWrittenOver(t *testing.T) {
	file := path(t)
	first := open(t, file)
	content, err := os.ReadFile(file)
	if err != nil || len(content) != 32 || bytes.Equal(content, make([]byte, 32)) {
		t.Fatalf("%d bytes, %v", len(content), err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	second := open(t, file)
	again, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(again, content) || first.KeyID() != second.KeyID() {
		t.Errorf("the second start changed the key: %v", err)
	}
	if other := open(t, path(t)); other.KeyID() == first.KeyID() {
		t.Error("two files hold the same key")
	}
}

func TestAFileThatOthersCanReadIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // no such mode bits there
	}
	file := path(t)
	open(t, file)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o602, 0o610, 0o777} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := localkey.Open(file, false); !errors.Is(err, localkey.ErrPermissions) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		open(t, file)
	}
	if _, err := localkey.Open(t.TempDir(), false); !errors.Is(err, localkey.ErrPermissions) {
		t.Errorf("a folder: %v", err)
	}
}

func TestAFileOfTheWrongSizeIsRefusedAndLeftAlone(t *testing.T) {
	for _, n := range []int{0, 1, 31, 33, 64, 1 << 20} {
		file := path(t)
		content := bytes.Repeat([]byte{1}, n)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := localkey.Open(file, false); !errors.Is(err, localkey.ErrSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%d bytes: the file was changed", n)
		}
	}
}

func TestItRefusesToWorkInsideLambda(t *testing.T) {
	file := path(t)
	if _, err := localkey.Open(file, true); !errors.Is(err, localkey.ErrInLambda) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Error("it made a file there")
	}
}

func TestAFolderThatIsMissingIsAnError(t *testing.T) {
	if _, err := localkey.Open(filepath.Join(t.TempDir(), "none", "master.key"), false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestF7_EveryFlippedBitAndEveryTruncationOfABlobIsAnError(t *testing.T) {
	k := open(t, path(t))
	c := sealtest.SealContext()
	blob, err := k.Wrap(t.Context(), c, bytes.Repeat([]byte{7}, 136))
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte) {
		t.Helper()
		got, err := k.Unwrap(t.Context(), c, b)
		if got != nil || (!errors.Is(err, seal.ErrIntegrity) && !errors.Is(err, seal.ErrFormat)) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	for bit := range len(blob) * 8 {
		changed := bytes.Clone(blob)
		changed[bit/8] ^= 1 << (bit % 8)
		try(changed)
	}
	for n := range len(blob) {
		try(blob[:n])
		try(blob[n+1:])
	}
	for b := range 256 {
		try(append(bytes.Clone(blob), byte(b)))
	}
}

func TestABlobOfAnotherMasterKeySaysSo(t *testing.T) {
	a, b := open(t, path(t)), open(t, path(t))
	blob, err := a.Wrap(t.Context(), sealtest.SealContext(), []byte("key material"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Unwrap(t.Context(), sealtest.SealContext(), blob)
	if !errors.Is(err, seal.ErrIntegrity) || !strings.Contains(err.Error(), a.KeyID()) {
		t.Errorf("got %v", err)
	}
}

func TestWrapRefusesNothingAndTooMuch(t *testing.T) {
	k := open(t, path(t))
	for _, n := range []int{0, 4097} {
		if _, err := k.Wrap(t.Context(), sealtest.SealContext(), make([]byte, n)); !errors.Is(err, seal.ErrFormat) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestF45_AMasterKeyPrintsAsItsID(t *testing.T) {
	file := path(t)
	k := open(t, file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != k.KeyID() || strings.Contains(got, fmt.Sprintf("%x", content[:8])) {
			t.Errorf("%s: %s", verb, got)
		}
	}
}
