// Package sqs puts messages on a queue of Amazon SQS, and is the only importer
// of its SDK.
package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const (
	attempts       = 3
	attemptTimeout = 2 * time.Second
	timeout        = 5 * time.Second
)

// Queue is one queue.
type Queue struct {
	client *sqs.Client
	url    string
}

// New makes a Queue of the queue with that URL. It opens no connection.
func New(cfg aws.Config, url string) *Queue {
	return &Queue{url: url, client: sqs.NewFromConfig(cfg, func(o *sqs.Options) {
		o.Retryer = retry.NewStandard(func(s *retry.StandardOptions) { s.MaxAttempts = attempts })
		o.HTTPClient = awshttp.NewBuildableClient().WithTimeout(attemptTimeout)
	})}
}

// Send puts one message on the queue: after an error it may or may not be there.
func (q *Queue) Send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: aws.String(string(body))}); err != nil {
		return fmt.Errorf("sqs: %w", err)
	}
	return nil
}
