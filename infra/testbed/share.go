package testbed

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
)

// Share fills the folder out with what build makes of the checkout at root. build
// works in a folder that all test binaries of this checkout share under that name,
// one at a time, so that what one of them has compiled and linked the next one
// finds there. What is in out stays as it is when others build anew.
func Share(name, root, out string, build func(dir string) error) error {
	dir, err := shared(name, root)
	if err != nil {
		return build(out) // a machine without a home has no place for it
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return build(out) // nor has one without locks
	}
	defer unlock()
	if err := build(dir); err != nil {
		return err
	}
	return link(dir, out)
}

// shared is the folder of that name, which is there afterwards.
func shared(name, root string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return "", err
	}
	checkout := sha256.Sum256([]byte(root))
	dir := filepath.Join(cache, "keyvend", "built", hex.EncodeToString(checkout[:8]), name)
	return dir, os.MkdirAll(dir, 0o700)
}

// link gives every file of from a second name in to. A file that is written anew
// under its first name is another one: the go command replaces what it builds.
func link(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		return duplicate(path, target) // on another file system
	})
}

func duplicate(path, target string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(target, text, 0o700)
}
