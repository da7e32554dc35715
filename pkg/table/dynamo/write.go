package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"keyvend/pkg/table"
)

// Write implements table.Table. One Put or Delete is a plain conditional call;
// all else is a transaction, which costs twice and takes longer.
//
// A Delete that finds nothing after an attempt whose answer was lost counts as
// done: nobody can tell whose deletion it was.
func (t *Table) Write(ctx context.Context, ops ...table.Op) error {
	if err := table.ValidateWrite(ops); err != nil {
		return err
	}
	ctx, cancel, err := t.budget(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	switch {
	case len(ops) == 1 && ops[0].Kind == table.KindPut:
		return t.put(ctx, ops[0])
	case len(ops) == 1 && ops[0].Kind == table.KindDelete:
		return t.delete(ctx, ops[0])
	default:
		return t.transact(ctx, ops)
	}
}

func (t *Table) put(ctx context.Context, op table.Op) error {
	expression, values := condition(op.If)
	_, err := t.c.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &t.c.TableName,
		Item:                                encodeItem(op.Item),
		ConditionExpression:                 expression,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, t.newCall().options)
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		if stored(op, refused.Item) {
			return nil
		}
		return &table.ConditionError{Op: 0}
	default:
		return explainWrite("PutItem", err)
	}
}

func (t *Table) delete(ctx context.Context, op table.Op) error {
	expression, values := condition(op.If)
	call := t.newCall()
	_, err := t.c.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                           &t.c.TableName,
		Key:                                 encodeKey(op.Item.Key),
		ConditionExpression:                 expression,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, call.options)
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		if len(refused.Item) == 0 && call.unsure {
			return nil
		}
		return &table.ConditionError{Op: 0}
	default:
		return explainWrite("DeleteItem", err)
	}
}

// transact writes ops in one transaction. Puts that turn out to be stored
// already become checks of just that, and the rest is tried again.
func (t *Table) transact(ctx context.Context, ops []table.Op) error {
	call := t.newCall()
	done := make([]bool, len(ops))
	for {
		in := &dynamodb.TransactWriteItemsInput{TransactItems: make([]types.TransactWriteItem, 0, len(ops))}
		for i, op := range ops {
			if done[i] {
				op = table.Check(op.Item.Key, table.At(op.Item.Revision))
			}
			in.TransactItems = append(in.TransactItems, t.transactItem(op))
		}
		// The SDK gives all attempts of this call one token, so that a repeat of
		// one that was stored succeeds.
		_, err := t.c.Client.TransactWriteItems(ctx, in, call.options)
		var canceled *types.TransactionCanceledException
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &canceled) || !refusedByCondition(canceled):
			return explainWrite("TransactWriteItems", err)
		}
		left, err := settle(ops, done, canceled)
		if err != nil || !left {
			return err
		}
		if err := call.pause(ctx); err != nil {
			return fmt.Errorf("%w: dynamo: TransactWriteItems: %w", table.ErrUnavailable, err)
		}
	}
}

// settle goes through the reasons of a refusal. It marks as done the Puts that
// are stored already, tells whether anything but these is left to write, and
// fails with the first condition that really does not hold.
func settle(ops []table.Op, done []bool, canceled *types.TransactionCanceledException) (left bool, err error) {
	for i, op := range ops {
		if i >= len(canceled.CancellationReasons) {
			return false, fmt.Errorf("%w: dynamo: %d reasons for %d operations", table.ErrUnavailable, len(canceled.CancellationReasons), len(ops))
		}
		reason := canceled.CancellationReasons[i]
		switch {
		case aws.ToString(reason.Code) != reasonCondition:
			left = true
		case op.Kind == table.KindPut && !done[i] && stored(op, reason.Item):
			done[i] = true
		default:
			return false, &table.ConditionError{Op: i}
		}
	}
	return left, nil
}

func (t *Table) transactItem(op table.Op) types.TransactWriteItem {
	expression, values := condition(op.If)
	const allOld = types.ReturnValuesOnConditionCheckFailureAllOld
	switch op.Kind {
	case table.KindPut:
		return types.TransactWriteItem{Put: &types.Put{
			TableName: &t.c.TableName, Item: encodeItem(op.Item), ConditionExpression: expression,
			ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	case table.KindDelete:
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &t.c.TableName, Key: encodeKey(op.Item.Key), ConditionExpression: expression,
			ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	default:
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &t.c.TableName, Key: encodeKey(op.Item.Key), ConditionExpression: expression,
			ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	}
}

func condition(c table.Condition) (*string, map[string]types.AttributeValue) {
	switch c.Kind {
	case table.IfAbsent:
		return aws.String("attribute_not_exists(" + attrPK + ")"), nil
	case table.IfPresent:
		return aws.String("attribute_exists(" + attrPK + ")"), nil
	default:
		return aws.String(attrRev + " = :rev"), map[string]types.AttributeValue{":rev": number(c.Revision)}
	}
}

// stored tells whether attributes are those that op puts.
func stored(op table.Op, attributes map[string]types.AttributeValue) bool {
	old, err := decodeItem(attributes)
	return err == nil && old.Key == op.Item.Key && old.SameContent(op.Item)
}

const reasonCondition = "ConditionalCheckFailed"

// passing are the reasons for which a transaction may be tried again.
var passing = map[string]bool{
	"TransactionConflict":           true,
	"ThrottlingError":               true,
	"ProvisionedThroughputExceeded": true,
}

func refusedByCondition(e *types.TransactionCanceledException) bool {
	for _, r := range e.CancellationReasons {
		if aws.ToString(r.Code) == reasonCondition {
			return true
		}
	}
	return false
}

// busy tells whether nothing but other work stood against the transaction.
func busy(e *types.TransactionCanceledException) bool {
	for _, r := range e.CancellationReasons {
		if code := aws.ToString(r.Code); code != "" && code != "None" && !passing[code] {
			return false
		}
	}
	return true
}

// explainWrite is Explain for a write, which DynamoDB may find too large. The
// limits of the port keep every write below its limits; this is in case they
// change.
func explainWrite(operation string, err error) error {
	var canceled *types.TransactionCanceledException
	isCanceled := errors.As(err, &canceled)
	if strings.Contains(err.Error(), "size has exceeded") || strings.Contains(err.Error(), "size exceeded") {
		return fmt.Errorf("%w: dynamo: %s: %w", table.ErrTooLarge, operation, err)
	}
	if isCanceled && !busy(canceled) {
		return fmt.Errorf("dynamo: %s: %w", operation, err)
	}
	return Explain(operation, err)
}
