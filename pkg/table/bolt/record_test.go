package bolt

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"keyvend/pkg/table"
)

func FuzzRecordDecode(f *testing.F) {
	k := table.Key{PK: "p", SK: "s"}
	f.Add([]byte{})
	f.Add(encode(table.Item{Key: k, Revision: 1, Doc: []byte("doc")}))
	f.Add(encode(table.Item{Key: k, Revision: 1 << 60, Index: map[string]table.Key{"list": {PK: "i", SK: "j"}, "due": k}}))
	f.Add(encode(table.Item{Key: k, Revision: 1, Doc: []byte("doc"), ExpiresAt: time.Unix(1_800_000_000, 0)}))
	f.Add([]byte{2, 1, 0})
	f.Add([]byte{3, 1, 0})
	f.Add([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		item, err := decode(k, data)
		if err != nil {
			if !errors.Is(err, table.ErrCorrupt) {
				t.Fatalf("error = %v, want ErrCorrupt", err)
			}
			return
		}
		again, err := decode(k, encode(item))
		if err != nil || !reflect.DeepEqual(again, item) {
			t.Fatalf("%v became %v, %v", item, again, err)
		}
	})
}

func FuzzChangeDecode(f *testing.F) {
	one := table.Item{Key: table.Key{PK: "p", SK: "s"}, Revision: 1, Doc: []byte("doc")}
	two := one
	two.Revision, two.ExpiresAt, two.Index = 2, time.Unix(1_800_000_000, 0).UTC(), map[string]table.Key{"list": one.Key}
	for _, c := range []change{{nil, &one}, {&one, &two}, {&two, nil}} {
		f.Add(encodeChange(c, time.Unix(1_800_000_000, 123)))
	}
	f.Add([]byte{1, 0, 1, 'p', 1, 's', 0, 0})
	f.Add([]byte{1, 0, 1, 'p', 1, ' ', 0, 3, 1, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeChange(data)
		if err != nil {
			if c != (table.Change{}) {
				t.Fatalf("change %v with error %v", c, err)
			}
			return
		}
		if c.Old == nil && c.New == nil {
			t.Fatal("nothing became nothing")
		}
		again, err := decodeChange(encodeChange(change{c.Old, c.New}, c.At))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%v became %v, %v", c, again, err)
		}
	})
}
