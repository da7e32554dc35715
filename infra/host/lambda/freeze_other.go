//go:build !unix

package lambda

import "errors"

// Freeze is not possible here.
func (e *Environment) Freeze() error { return errors.ErrUnsupported }

// Thaw is not possible here.
func (e *Environment) Thaw() error { return errors.ErrUnsupported }
