package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"keyvend/pkg/fault"
)

// jsonListener makes the answers that net/http gives by itself, to what it
// cannot read as a request, look like all others: JSON with a message.
type jsonListener struct{ net.Listener }

// Accept implements net.Listener.
func (l jsonListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return jsonConn{c}, nil
}

type jsonConn struct{ net.Conn }

// ownAnswer is what net/http writes, in one piece, between the status line and
// the text of an answer of its own. No handler's answer has these headers alone.
const ownAnswer = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// Write implements net.Conn.
func (c jsonConn) Write(p []byte) (int, error) {
	status, _, own := bytes.Cut(p, []byte(ownAnswer))
	if !own || !bytes.HasPrefix(status, []byte("HTTP/1.1 ")) || bytes.ContainsAny(status, "\r\n") {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(unreadable(status)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// unreadable is the answer in place of one with the given status line. What the
// line says beyond the code may quote the request, and is left out.
func unreadable(line []byte) []byte {
	code, err := strconv.Atoi(string(line[len("HTTP/1.1 "):min(len(line), len("HTTP/1.1 400"))]))
	if err != nil || code < 400 || code > 599 {
		code = 400
	}
	f := fault.New(fault.BadRequest, "bad_request", "The request cannot be read.")
	if code == 431 {
		f = fault.New(fault.TooLarge, "request_too_large", "Request line and headers have more than 10,240 bytes.")
	}
	body, _ := json.Marshal(map[string]string{"message": f.Message, "code": f.Code}) // strings always encode
	return fmt.Appendf(nil, "HTTP/1.1 %d \r\nContent-Type: application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		code, len(body), body)
}
