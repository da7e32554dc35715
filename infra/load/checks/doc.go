// Package checks holds the schedule of key checks to what it promises, at the
// size that it promises it for: 100,000 accounts of 20 providers that are all due
// at once. It has tests and nothing else; time is simulated, the tables are real.
//
// By default it takes fewer accounts. The whole size, on either engine:
//
//	go test ./infra/load/checks -run /bolt -accounts 100000 -timeout 1h -v
//	go test ./infra/load/checks -run /dynamo -accounts 100000 -timeout 3h -v
package checks
