package lambda

import (
	"encoding/json"
	"runtime"
	"strings"
)

// spawn starts the process, and closes dead when it has ended.
func (e *Environment) spawn() error {
	started := make(chan error)
	go func() {
		// The kernel ties the death signal to the thread that started the
		// process, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := e.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = e.cmd.Wait()
		close(e.dead)
		_ = e.api.Close()
	}()
	return <-started
}

// reported reads what a function posted as its error.
func reported(body []byte) outcome {
	var e struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(body, &e) != nil {
		e.Type, e.Message = "Unhandled", trimmed(body)
	}
	return outcome{failed: &FunctionError{Type: e.Type, Message: e.Message, Payload: body}}
}

// trimmed is a short form of what a function reported, for messages.
func trimmed(b []byte) string { return strings.TrimSpace(string(b[:min(len(b), 512)])) }
