//go:build !unix

package testbed

import "errors"

func lock(string) (unlock func(), err error) {
	return nil, errors.New("testbed: files cannot be locked here")
}
