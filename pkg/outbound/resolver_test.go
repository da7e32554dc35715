package outbound_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
)

// dns plays the name servers of the world: each name has the addresses that
// answer returns at that moment.
type dns struct {
	answer    func() []netip.Addr
	questions atomic.Int64
}

// resolver asks d and nobody else, in the way Go asks over TCP.
func (d *dns) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go d.serve(there)
		return here, nil
	}}
}

func (d *dns) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		d.questions.Add(1)
		reply := d.reply(query)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// reply answers the one question of a query: a header of 12 bytes, the labels
// of the name up to an empty one, type and class.
func (d *dns) reply(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	kind := binary.BigEndian.Uint16(query[end-4:])
	var records []byte
	count := 0
	for _, a := range d.answer() {
		if kind == 1 && a.Is4() || kind == 28 && a.Is6() {
			records = append(records, 0xc0, 12) // the name of the question
			records = binary.BigEndian.AppendUint16(records, kind)
			records = append(records, 0, 1, 0, 0, 0, 0)
			records = binary.BigEndian.AppendUint16(records, uint16(a.BitLen()/8))
			records = append(records, a.AsSlice()...)
			count++
		}
	}
	header := []byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(count), 0, 0, 0, 0}
	return slices.Concat(header, query[12:end], records)
}
