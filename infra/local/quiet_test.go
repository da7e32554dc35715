package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestWhatTheEndCutsOffIsNoFaultInTheLogAndAllElseIs(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(quiet{slog.NewTextHandler(&out, nil)})
	ended, end := context.WithCancel(t.Context())
	end()
	cut, fault := fmt.Errorf("table: unavailable: %w", ended.Err()), errors.New("no space left")
	for name, c := range map[string]struct {
		ctx  context.Context
		log  *slog.Logger
		err  error
		told bool
	}{
		"cut off":                {ended, log, cut, false},
		"cut off, with a name":   {ended, log.With("part", "sweep"), cut, false},
		"cut off, in a group":    {ended, log.WithGroup("sweep"), cut, false},
		"another fault":          {ended, log, fault, true},
		"cut off without an end": {t.Context(), log, cut, true},
		"a fault":                {t.Context(), log, fault, true},
	} {
		out.Reset()
		c.log.ErrorContext(c.ctx, "a check was not planned", "user", "u", "error", c.err)
		if told := strings.Contains(out.String(), "not planned"); told != c.told {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}
