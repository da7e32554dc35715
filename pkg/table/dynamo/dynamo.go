// Package dynamo is the DynamoDB engine of the storage port, and the only
// importer of the DynamoDB SDK.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"keyvend/pkg/table"
)

// API is what the engine calls of DynamoDB. *dynamodb.Client is one; NewClient
// makes it.
type API interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// The production defaults of Config.
const (
	DefaultAttempts       = 3
	DefaultAttemptTimeout = 500 * time.Millisecond
	DefaultTotalTimeout   = 2500 * time.Millisecond
	DefaultReserve        = 200 * time.Millisecond
)

// Config is what a Table is made of. Fields that are zero, but for the first
// two, take the defaults above.
type Config struct {
	Client         API           // required
	TableName      string        // required; a table of Schema's shape
	Attempts       int           // calls of DynamoDB that one call of the port may cost
	AttemptTimeout time.Duration // for one of them
	TotalTimeout   time.Duration // for all of them with the waits between
	Reserve        time.Duration // what is left of the context's deadline for the caller to answer in
}

// Table is a table.Table in DynamoDB. It is safe for concurrent use.
type Table struct {
	c       Config
	retryer aws.Retryer
}

var _ table.Table = (*Table)(nil)

// New returns the engine. It calls nothing.
func New(c Config) *Table {
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = DefaultAttemptTimeout
	}
	if c.TotalTimeout == 0 {
		c.TotalTimeout = DefaultTotalTimeout
	}
	if c.Reserve == 0 {
		c.Reserve = DefaultReserve
	}
	return &Table{c: c, retryer: newRetryer(c.Attempts)}
}

// Get implements table.Table: one BatchGetItem, and more only for keys that
// DynamoDB left unprocessed.
func (t *Table) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	if err := table.ValidateGet(keys); err != nil {
		return nil, err
	}
	found := make(map[table.Key]table.Item, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	ctx, cancel, err := t.budget(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	call := t.newCall()
	var unread *table.CorruptError
	for {
		out, err := t.c.Client.BatchGetItem(ctx, t.batch(keys), call.options)
		if err != nil {
			return nil, Explain("BatchGetItem", err)
		}
		unread = collect(found, unread, keys, out.Responses[t.c.TableName])
		if keys, err = unprocessed(found, keys, out.UnprocessedKeys); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return found, unread.OrNil()
		}
		if err := call.pause(ctx); err != nil {
			return nil, fmt.Errorf("%w: dynamo: %d keys left unprocessed: %w", table.ErrUnavailable, len(keys), err)
		}
	}
}

func (t *Table) batch(keys []table.Key) *dynamodb.BatchGetItemInput {
	request := types.KeysAndAttributes{
		ConsistentRead: aws.Bool(true),
		Keys:           make([]map[string]types.AttributeValue, 0, len(keys)),
	}
	for _, k := range keys {
		request.Keys = append(request.Keys, encodeKey(k))
	}
	return &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{t.c.TableName: request}}
}

// collect puts the answered items under the keys that were asked for. Items
// come in any order; one that nobody asked for is not ours to look at. Those that
// cannot be read join unread.
func collect(found map[table.Key]table.Item, unread *table.CorruptError, asked []table.Key, answered []map[string]types.AttributeValue) *table.CorruptError {
	wanted := make(map[table.Key]struct{}, len(asked))
	for _, k := range asked {
		wanted[k] = struct{}{}
	}
	for _, attributes := range answered {
		k, err := decodeKey(attributes)
		if err != nil {
			continue
		}
		if _, ok := wanted[k]; !ok {
			continue
		}
		item, err := decodeItem(attributes)
		if err != nil {
			unread = unread.With(k, err)
			continue
		}
		found[k] = item
	}
	return unread
}

// unprocessed returns those of the asked keys that must be asked for again. A
// list of unprocessed keys that cannot be read could hide any of them.
func unprocessed(found map[table.Key]table.Item, asked []table.Key, left map[string]types.KeysAndAttributes) ([]table.Key, error) {
	again := make(map[table.Key]struct{})
	for _, request := range left {
		for _, attributes := range request.Keys {
			k, err := decodeKey(attributes)
			if err != nil {
				return nil, fmt.Errorf("%w: dynamo: unprocessed keys: %w", table.ErrUnavailable, err)
			}
			again[k] = struct{}{}
		}
	}
	var keys []table.Key
	for _, k := range asked {
		_, leftOut := again[k]
		if _, ok := found[k]; leftOut && !ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// Query implements table.Table: one Query, bounded on both sides by its key
// condition, so that nothing is read to be thrown away.
func (t *Table) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if err := table.ValidateQuery(q); err != nil {
		return table.Page{}, err
	}
	first, last, ok := q.Range()
	if !ok {
		return table.Page{}, nil
	}
	ctx, cancel, err := t.budget(ctx)
	if err != nil {
		return table.Page{}, err
	}
	defer cancel()
	out, err := t.c.Client.Query(ctx, t.query(q, first, last), t.newCall().options)
	if err != nil {
		return table.Page{}, Explain("Query", err)
	}
	return readPage(q, first, last, out)
}

func (t *Table) query(q table.Query, first, last string) *dynamodb.QueryInput {
	pk, sk := keyNames(q.Index)
	in := &dynamodb.QueryInput{
		TableName:              &t.c.TableName,
		KeyConditionExpression: aws.String(pk + " = :pk AND " + sk + " BETWEEN :first AND :last"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": text(q.PK), ":first": text(first), ":last": text(last),
		},
		ScanIndexForward: aws.Bool(!q.Descending),
		Limit:            aws.Int32(int32(q.Limit)), //nolint:gosec // at most MaxPage
	}
	if q.Index == "" {
		in.ConsistentRead = aws.Bool(true)
	} else {
		in.IndexName = &q.Index
	}
	return in
}

func readPage(q table.Query, first, last string, out *dynamodb.QueryOutput) (table.Page, error) {
	var page table.Page
	var unread *table.CorruptError
	for _, attributes := range out.Items {
		position, err := decodePosition(attributes, q.Index)
		if err != nil || position.PK != q.PK || position.SK < first || position.SK > last {
			continue // not what was asked for
		}
		item, err := decodeEntry(attributes, q.Index, position)
		switch {
		case err == nil:
			page.Items = append(page.Items, item)
		case q.Index == "":
			unread = unread.With(position, err)
		default: // an entry whose item has no key of ours: nobody can ask for it
		}
	}
	if len(out.LastEvaluatedKey) > 0 {
		position, err := decodePosition(out.LastEvaluatedKey, q.Index)
		if err != nil {
			return table.Page{}, err
		}
		page.After = position.SK
	}
	return page, unread.OrNil()
}

// budget bounds a call of the port. Nothing is begun that could end only when
// the caller no longer has the time to answer.
func (t *Table) budget(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", table.ErrUnavailable, err)
	}
	total := t.c.TotalTimeout
	if deadline, ok := ctx.Deadline(); ok {
		total = min(total, time.Until(deadline)-t.c.Reserve)
	}
	if total <= 0 {
		return nil, nil, fmt.Errorf("%w: dynamo: the deadline is nearer than %v", table.ErrUnavailable, t.c.Reserve)
	}
	ctx, cancel := context.WithTimeout(ctx, total)
	return ctx, cancel, nil
}

// wrong are the error codes that no retry and no other day will change: the
// deployment or this program is wrong.
var wrong = map[string]bool{
	"AccessDeniedException":                true,
	"IncompleteSignatureException":         true,
	"InvalidSignatureException":            true,
	"MissingAuthenticationTokenException":  true,
	"ResourceNotFoundException":            true,
	"SerializationException":               true,
	"UnknownOperationException":            true,
	"UnrecognizedClientException":          true,
	"ValidationException":                  true,
	"IdempotentParameterMismatchException": true,
}

// Explain says an error of the SDK in the words of the port: ErrUnavailable, or
// what no repetition will change.
func Explain(operation string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && wrong[api.ErrorCode()] {
		return fmt.Errorf("dynamo: %s: %w", operation, err)
	}
	return fmt.Errorf("%w: dynamo: %s: %w", table.ErrUnavailable, operation, err)
}

// newRetryer is the SDK's standard one, its token bucket included, for this
// engine's attempts and waits, and with eyes for more of what may pass.
func newRetryer(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return waits.Wait(attempt), nil })
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(mayPass))
	})
}

// mayPass knows the passing errors that the SDK takes for final.
func mayPass(err error) aws.Ternary {
	var conflict *types.TransactionConflictException
	var unreadable *smithy.DeserializationError
	var canceled *types.TransactionCanceledException
	switch {
	case errors.As(err, &conflict), errors.As(err, &unreadable):
		return aws.TrueTernary
	case errors.As(err, &canceled) && !refusedByCondition(canceled) && busy(canceled):
		return aws.TrueTernary
	default:
		return aws.UnknownTernary
	}
}
