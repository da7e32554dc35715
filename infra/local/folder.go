package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// prepareFolder makes the data folder when there is none, and refuses one into
// which others could put a database or a master key of theirs.
func prepareFolder(dir string) error {
	if dir == "" {
		return errors.New("-data is empty: name the folder that is to keep everything")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot use the data folder %s: %s. Choose another with -data", dir, reason(err))
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cannot use the data folder %s: %s. Choose another with -data", dir, reason(err))
	}
	// Windows has no such mode bits: Go reports 0777 for every folder there.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		return fmt.Errorf("everybody on this machine can write to the data folder %s: run `chmod go-w %s`, or choose another with -data", dir, shellWord(dir))
	}
	return nil
}

// writeWhole writes a file (0600) so that nobody ever sees half of it.
func writeWhole(path string, text []byte) error {
	part := path + ".part"
	err := os.WriteFile(part, text, 0o600)
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return cannotWrite(path, err)
	}
	return nil
}

func cannotWrite(path string, err error) error {
	return fmt.Errorf("cannot write %s: %s. Mend that, or choose another folder with -data", path, reason(err))
}

// reason is what the system said, without the name of the call and the file.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network.Err.Error()
	}
	return err.Error()
}

// shellWord is a path as a shell takes it for one word, and no command for an
// option.
func shellWord(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	plain := strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%") == ""
	if plain {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
