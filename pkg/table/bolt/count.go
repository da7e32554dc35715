package bolt

import (
	"bytes"
	"strings"

	"go.etcd.io/bbolt"
)

// Count is how many items of a file lie under partition keys that begin with
// prefix, and how many entries of each index, by its name; "" names the table
// itself. It is for tools that ask what is left: it goes through everything,
// changes nothing, and fails as Open does, also while the file is in use.
func Count(path, prefix string) (map[string]int, error) {
	counts := map[string]int{}
	count := func(name []byte, bucket *bbolt.Bucket) error {
		index, isIndex := strings.CutPrefix(string(name), bucketIndex)
		switch {
		case isIndex:
			counts[index] = under(bucket, prefix)
		case bytes.Equal(name, bucketItems):
			counts[""] = under(bucket, prefix)
		}
		return nil
	}
	db, err := opened(path, &bbolt.Options{ReadOnly: true}, func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error { return tx.ForEach(count) })
	})
	if err != nil {
		return nil, err
	}
	return counts, db.Close()
}

func under(bucket *bbolt.Bucket, prefix string) (n int) {
	cursor := bucket.Cursor()
	for k, _ := cursor.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, _ = cursor.Next() {
		n++
	}
	return n
}
