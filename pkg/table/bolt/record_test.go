package bolt

import (
	"errors"
	"reflect"
	"testing"

	"keyvend/pkg/table"
)

func FuzzRecordDecode(f *testing.F) {
	k := table.Key{PK: "p", SK: "s"}
	f.Add([]byte{})
	f.Add(encode(table.Item{Key: k, Revision: 1, Doc: []byte("doc")}))
	f.Add(encode(table.Item{Key: k, Revision: 1 << 60, Index: map[string]table.Key{"list": {PK: "i", SK: "j"}, "due": k}}))
	f.Add([]byte{2, 1, 0})
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
