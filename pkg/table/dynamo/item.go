package dynamo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"keyvend/pkg/table"
)

// The attributes of an item. A position in index x is x_pk and x_sk. Attributes
// by other names are not read.
const (
	attrPK  = "PK"  // S
	attrSK  = "SK"  // S
	attrRev = "rev" // N, above zero
	attrDoc = "doc" // S
	attrTTL = "ttl" // N, seconds since 1970, the table's time-to-live attribute; none: never expires

	suffixPK = "_pk" // S
	suffixSK = "_sk" // S
)

// keyNames are the attributes that an index, or the table itself, is ordered by.
func keyNames(index string) (pk, sk string) {
	if index == "" {
		return attrPK, attrSK
	}
	return index + suffixPK, index + suffixSK
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func encodeKey(k table.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attrPK: text(k.PK), attrSK: text(k.SK)}
}

func encodeItem(item table.Item) map[string]types.AttributeValue {
	attributes := encodeKey(item.Key)
	attributes[attrRev] = number(item.Revision)
	attributes[attrDoc] = text(string(item.Doc))
	if !item.ExpiresAt.IsZero() {
		attributes[attrTTL] = number(item.ExpiresAt.Unix())
	}
	for name, position := range item.Index {
		pk, sk := keyNames(name)
		attributes[pk], attributes[sk] = text(position.PK), text(position.SK)
	}
	return attributes
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: dynamo: %s", table.ErrCorrupt, fmt.Sprintf(format, args...))
}

func decodeText(attributes map[string]types.AttributeValue, name string) (string, error) {
	s, ok := attributes[name].(*types.AttributeValueMemberS)
	if !ok || s == nil {
		return "", corrupt("attribute %s is a %T", name, attributes[name])
	}
	return s.Value, nil
}

// decodePosition reads where an item stands in an index, or in the table
// itself. Its error is table.ErrCorrupt, as that of all decoding.
func decodePosition(attributes map[string]types.AttributeValue, index string) (table.Key, error) {
	pkName, skName := keyNames(index)
	pk, err := decodeText(attributes, pkName)
	if err != nil {
		return table.Key{}, err
	}
	sk, err := decodeText(attributes, skName)
	if err != nil {
		return table.Key{}, err
	}
	k := table.Key{PK: pk, SK: sk}
	if err := table.ValidateKey(k); err != nil {
		return table.Key{}, corrupt("%s and %s: %v", pkName, skName, err)
	}
	return k, nil
}

func decodeKey(attributes map[string]types.AttributeValue) (table.Key, error) {
	return decodePosition(attributes, "")
}

// decodeEntry reads an item of a query's answer.
func decodeEntry(attributes map[string]types.AttributeValue, index string, position table.Key) (table.Item, error) {
	if index == "" {
		return decodeItem(attributes)
	}
	k, err := decodeKey(attributes)
	if err != nil {
		return table.Item{}, err
	}
	return table.Item{Key: k, Index: map[string]table.Key{index: position}}, nil
}

func decodeItem(attributes map[string]types.AttributeValue) (table.Item, error) {
	k, err := decodeKey(attributes)
	if err != nil {
		return table.Item{}, err
	}
	revision, err := decodeRevision(attributes)
	if err != nil {
		return table.Item{}, fmt.Errorf("%w: item %v", err, k)
	}
	doc, err := decodeText(attributes, attrDoc)
	if err != nil {
		return table.Item{}, fmt.Errorf("%w: item %v", err, k)
	}
	if len(doc) > table.MaxDoc || !utf8.ValidString(doc) {
		return table.Item{}, corrupt("%s of %v: %d bytes, UTF-8 %v", attrDoc, k, len(doc), utf8.ValidString(doc))
	}
	item := table.Item{Key: k, Revision: revision, Doc: []byte(doc)}
	if item.ExpiresAt, err = decodeExpiry(attributes); err != nil {
		return table.Item{}, fmt.Errorf("%w: item %v", err, k)
	}
	if item.Index, err = decodeIndex(attributes); err != nil {
		return table.Item{}, fmt.Errorf("%w: item %v", err, k)
	}
	return item, nil
}

func decodeRevision(attributes map[string]types.AttributeValue) (int64, error) {
	revision, err := decodeNumber(attributes, attrRev)
	if err == nil && revision < 1 {
		return 0, corrupt("attribute %s is %d", attrRev, revision)
	}
	return revision, err
}

func decodeExpiry(attributes map[string]types.AttributeValue) (time.Time, error) {
	if _, expires := attributes[attrTTL]; !expires {
		return time.Time{}, nil
	}
	seconds, err := decodeNumber(attributes, attrTTL)
	if err != nil {
		return time.Time{}, err
	}
	at, ok := table.ExpiryOf(seconds)
	if !ok {
		return time.Time{}, corrupt("attribute %s is %d", attrTTL, seconds)
	}
	return at, nil
}

func decodeNumber(attributes map[string]types.AttributeValue, name string) (int64, error) {
	n, ok := attributes[name].(*types.AttributeValueMemberN)
	if !ok || n == nil {
		return 0, corrupt("attribute %s is a %T", name, attributes[name])
	}
	value, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0, corrupt("attribute %s is %q", name, n.Value)
	}
	return value, nil
}

// decodeIndex reads all index positions. Half a position is no position that
// this package wrote.
func decodeIndex(attributes map[string]types.AttributeValue) (map[string]table.Key, error) {
	var positions map[string]table.Key
	for attribute := range attributes {
		name, isPK := strings.CutSuffix(attribute, suffixPK)
		if !isPK {
			var isSK bool
			if name, isSK = strings.CutSuffix(attribute, suffixSK); !isSK {
				continue
			}
		}
		if name == "" {
			continue
		}
		position, err := decodePosition(attributes, name)
		if err != nil {
			return nil, err
		}
		if positions == nil {
			positions = map[string]table.Key{}
		}
		positions[name] = position
	}
	return positions, nil
}
