package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"keyvend/infra/testbed"
	"keyvend/pkg/table"
	"keyvend/pkg/table/dynamo"
)

// behind returns a table whose calls pass a scripted endpoint, holding one item
// at p/a with revision 1.
func behind(t *testing.T, change ...func(*dynamo.Config)) (*dynamo.Table, *testbed.Endpoint) {
	t.Helper()
	e := testbed.NewEndpoint(t, testbed.DynamoDB(t))
	c := config(t, e.URL)
	if err := dynamo.New(c).Write(t.Context(), table.Put(row("a", 1), table.Absent)); err != nil {
		t.Fatal(err)
	}
	e.Forget()
	for _, f := range change {
		f(&c)
	}
	return dynamo.New(c), e
}

func at(sk string) table.Key { return table.Key{PK: "p", SK: sk} }

func row(sk string, revision int64) table.Item {
	return table.Item{Key: at(sk), Revision: revision, Doc: fmt.Appendf(nil, "%s at %d", sk, revision)}
}

// impatient gives up on an attempt soon, and makes more of them: on a loaded
// machine an honest answer may be late too.
func impatient(c *dynamo.Config) { c.AttemptTimeout, c.Attempts = 300*time.Millisecond, 20 }

func isNamed(names ...string) func(pk, sk string) bool {
	return func(_, sk string) bool { return slices.Contains(names, sk) }
}

func mustCalls(t *testing.T, e *testbed.Endpoint, op string, want int) {
	t.Helper()
	if got := e.Calls(op); got != want {
		t.Errorf("%d calls of %s, want %d", got, op, want)
	}
}

// revision reads the stored revision of p/sk, 0 for none.
func revision(t *testing.T, tb table.Table, sk string) int64 {
	t.Helper()
	found, err := tb.Get(t.Context(), at(sk))
	if err != nil {
		t.Fatal(err)
	}
	return found[at(sk)].Revision
}

func TestF10_UnprocessedKeysAreAskedForAgainAndNeverPassedOffAsAbsent(t *testing.T) {
	keys := []table.Key{at("a"), at("b"), at("gone")}
	for _, c := range []struct {
		name   string
		faults []testbed.Fault
		calls  int
		fails  bool
	}{
		{"one key once", []testbed.Fault{testbed.Unprocessed(isNamed("a"))}, 2, false},
		{"all keys once", []testbed.Fault{testbed.Unprocessed(isNamed("a", "b", "gone"))}, 2, false},
		{"another each time", []testbed.Fault{testbed.Unprocessed(isNamed("a", "gone")), testbed.Unprocessed(isNamed("gone"))}, 3, false},
		{"one key three times", []testbed.Fault{testbed.Unprocessed(isNamed("a")), testbed.Unprocessed(isNamed("a")), testbed.Unprocessed(isNamed("a"))}, 3, true},
		{"a missing key three times", []testbed.Fault{testbed.Unprocessed(isNamed("gone")), testbed.Unprocessed(isNamed("gone")), testbed.Unprocessed(isNamed("gone"))}, 3, true},
		{"between throttles", []testbed.Fault{testbed.Unprocessed(isNamed("a")), testbed.Fail(400, "ThrottlingException"), testbed.Unprocessed(isNamed("a"))}, 3, true},
		{"a list that cannot be read", []testbed.Fault{testbed.Edit(func(answer map[string]any) {
			answer["Responses"] = map[string]any{}
			answer["UnprocessedKeys"] = map[string]any{"t": map[string]any{"Keys": []any{map[string]any{"PK": map[string]any{"N": "1"}}}}}
		})}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb, e := behind(t)
			if err := tb.Write(t.Context(), table.Put(row("b", 1), table.Absent)); err != nil {
				t.Fatal(err)
			}
			e.On("BatchGetItem", c.faults...)
			found, err := tb.Get(t.Context(), keys...)
			mustCalls(t, e, "BatchGetItem", c.calls)
			if c.fails {
				if !errors.Is(err, table.ErrUnavailable) || found != nil {
					t.Fatalf("found %v, error %v; want nothing and ErrUnavailable", found, err)
				}
				return
			}
			if err != nil || len(found) != 2 || found[at("a")].Revision != 1 || found[at("b")].Revision != 1 {
				t.Fatalf("found %v, %v; want a and b", found, err)
			}
		})
	}
}

func TestF11_AnswersAreMatchedByKeyOnly(t *testing.T) {
	foreign := map[string]any{"PK": s("p"), "SK": s("foreign"), "rev": n("9"), "doc": s("sk-canary-foreign")}
	eachTable := func(answer map[string]any, f func(items []any) []any) {
		for name, items := range answer["Responses"].(map[string]any) {
			answer["Responses"].(map[string]any)[name] = f(items.([]any))
		}
	}
	edits := map[string]func(answer map[string]any){
		"reversed": func(answer map[string]any) {
			eachTable(answer, func(items []any) []any { slices.Reverse(items); return items })
		},
		"a foreign item first": func(answer map[string]any) {
			eachTable(answer, func(items []any) []any { return append([]any{foreign}, items...) })
		},
		"an item without a key": func(answer map[string]any) {
			eachTable(answer, func(items []any) []any { return append(items, map[string]any{"rev": n("9")}) })
		},
		"another table's items": func(answer map[string]any) {
			answer["Responses"].(map[string]any)["other"] = []any{map[string]any{"PK": s("p"), "SK": s("c"), "rev": n("9"), "doc": s("x")}}
		},
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			tb, e := behind(t)
			if err := tb.Write(t.Context(), table.Put(row("b", 2), table.Absent)); err != nil {
				t.Fatal(err)
			}
			e.On("BatchGetItem", testbed.Edit(edit))
			found, err := tb.Get(t.Context(), at("a"), at("b"), at("c"))
			if err != nil || len(found) != 2 || found[at("a")].Revision != 1 || found[at("b")].Revision != 2 {
				t.Fatalf("found %v, %v; want a at 1 and b at 2", found, err)
			}
		})
	}
	t.Run("an item of another range in a query", func(t *testing.T) {
		tb, e := behind(t)
		e.On("Query", testbed.Edit(func(answer map[string]any) {
			answer["Items"] = append([]any{foreign, map[string]any{}, map[string]any{"PK": s("q"), "SK": s("a"), "rev": n("1"), "doc": s("")}}, answer["Items"].([]any)...)
		}))
		page, err := tb.Query(t.Context(), table.Query{PK: "p", Prefix: "a", Limit: 10})
		if err != nil || len(page.Items) != 1 || page.Items[0].SK != "a" {
			t.Fatalf("page %v, %v; want a alone", page, err)
		}
	})
}

func TestF11_AnAskedItemThatCannotBeReadIsCorruptAndNotAbsent(t *testing.T) {
	for name, damage := range map[string]map[string]any{
		"no revision":       {"rev": nil},
		"revision text":     {"rev": s("1")},
		"revision 0":        {"rev": n("0")},
		"revision fraction": {"rev": n("1.5")},
		"no doc":            {"doc": nil},
		"doc of bytes":      {"doc": map[string]any{"B": "eA=="}},
		"half an index":     {"list_pk": s("x")},
		"other half":        {"list_sk": s("x")},
		"index number":      {"list_pk": n("1"), "list_sk": s("x")},
		"expiry text":       {"ttl": s("1795490739")},
		"expiry 0":          {"ttl": n("0")},
	} {
		t.Run(name, func(t *testing.T) {
			tb, e := behind(t)
			hurt := func(item map[string]any) {
				for attribute, value := range damage {
					if item[attribute] = value; value == nil {
						delete(item, attribute)
					}
				}
			}
			e.On("BatchGetItem", testbed.Edit(func(answer map[string]any) {
				for _, items := range answer["Responses"].(map[string]any) {
					hurt(items.([]any)[0].(map[string]any))
				}
			}))
			if found, err := tb.Get(t.Context(), at("a")); !errors.Is(err, table.ErrCorrupt) || len(found) != 0 {
				t.Errorf("Get: %v, %v; want nothing and ErrCorrupt", found, err)
			}
			e.On("Query", testbed.Edit(func(answer map[string]any) { hurt(answer["Items"].([]any)[0].(map[string]any)) }))
			if page, err := tb.Query(t.Context(), table.Query{PK: "p", Limit: 1}); !errors.Is(err, table.ErrCorrupt) || page.Items != nil {
				t.Errorf("Query: %v, %v; want nothing and ErrCorrupt", page, err)
			}
		})
	}
}

func s(v string) map[string]any { return map[string]any{"S": v} }
func n(v string) map[string]any { return map[string]any{"N": v} }

// operations are the calls of the port, each by the DynamoDB operation that it
// takes.
var operations = map[string]func(ctx context.Context, tb table.Table) error{
	"BatchGetItem": func(ctx context.Context, tb table.Table) error {
		found, err := tb.Get(ctx, at("a"))
		if err == nil && found[at("a")].Revision != 1 {
			return fmt.Errorf("found %v", found)
		}
		return err
	},
	"Query": func(ctx context.Context, tb table.Table) error {
		page, err := tb.Query(ctx, table.Query{PK: "p", Limit: 1})
		if err == nil && len(page.Items) != 1 {
			return fmt.Errorf("page %v", page)
		}
		return err
	},
	"PutItem": func(ctx context.Context, tb table.Table) error {
		return tb.Write(ctx, table.Put(row("a", 2), table.At(1)))
	},
	"DeleteItem": func(ctx context.Context, tb table.Table) error {
		return tb.Write(ctx, table.Delete(at("a"), table.At(1)))
	},
	"TransactWriteItems": func(ctx context.Context, tb table.Table) error {
		return tb.Write(ctx, table.Put(row("a", 2), table.At(1)), table.Put(row("b", 1), table.Absent), table.Check(at("c"), table.Absent))
	},
}

func TestF12_ThrottlesAreTriedThreeTimesAndThenUnavailable(t *testing.T) {
	throttles := []string{"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
	for operation, do := range operations {
		t.Run(operation, func(t *testing.T) {
			tb, e := behind(t)
			e.On(operation, testbed.Fail(400, throttles[0]), testbed.Fail(400, throttles[1]), testbed.Fail(400, throttles[2]))
			if err := do(t.Context(), tb); !errors.Is(err, table.ErrUnavailable) {
				t.Errorf("after three throttles: %v, want ErrUnavailable", err)
			}
			mustCalls(t, e, operation, 3)
			e.Forget()
			e.On(operation, testbed.Fail(400, throttles[2]), testbed.Fail(400, throttles[0]))
			if err := do(t.Context(), tb); err != nil {
				t.Errorf("after two throttles: %v", err)
			}
			mustCalls(t, e, operation, 3)
		})
	}
}

func TestF13_BrokenAnswersAreTriedAgainAndNeverHalfAccepted(t *testing.T) {
	for name, fault := range map[string]testbed.Fault{
		"500":                testbed.Fail(500, "InternalServerError"),
		"503":                testbed.Fail(503, "ServiceUnavailable"),
		"500 though stored":  testbed.FailStored(500, "InternalServerError"),
		"reset":              testbed.Reset,
		"reset though done":  testbed.DropAnswer,
		"truncated JSON":     testbed.Truncate,
		"cut off":            testbed.CutOff,
		"wrong CRC32":        testbed.WrongCRC,
		"slow body":          testbed.SlowBody(time.Minute),
		"slow answer":        testbed.Hang,
		"no JSON, status OK": testbed.Reply(200, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for operation, do := range operations {
				slow := strings.HasPrefix(name, "slow")
				var change []func(*dynamo.Config)
				if slow {
					change = append(change, impatient)
				}
				tb, e := behind(t, change...)
				e.On(operation, fault)
				if err := do(t.Context(), tb); err != nil {
					t.Errorf("%s: %v", operation, err)
				}
				if got := e.Calls(operation); got < 2 || got > 2 && !slow {
					t.Errorf("%d calls of %s, want 2", got, operation)
				}
			}
		})
	}
}

func TestF13_AnOutageIsUnavailableAfterThreeAttempts(t *testing.T) {
	for name, fault := range map[string]testbed.Fault{
		"500":          testbed.Fail(500, "InternalServerError"),
		"reset":        testbed.Reset,
		"wrong CRC32":  testbed.WrongCRC,
		"half a JSON":  testbed.Truncate,
		"never answer": testbed.Hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb, e := behind(t, func(c *dynamo.Config) { c.AttemptTimeout = 100 * time.Millisecond })
			e.Always("BatchGetItem", fault)
			e.Always("PutItem", fault)
			if found, err := tb.Get(t.Context(), at("a")); !errors.Is(err, table.ErrUnavailable) || found != nil {
				t.Errorf("Get: %v, %v; want nothing and ErrUnavailable", found, err)
			}
			if err := tb.Write(t.Context(), table.Put(row("z", 1), table.Absent)); !errors.Is(err, table.ErrUnavailable) {
				t.Errorf("Write: %v, want ErrUnavailable", err)
			}
			mustCalls(t, e, "BatchGetItem", 3)
			mustCalls(t, e, "PutItem", 3)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		cfg := testbed.Config()
		cfg.BaseEndpoint = aws.String("http://127.0.0.1:1")
		tb := dynamo.New(dynamo.Config{Client: dynamo.NewClient(cfg), TableName: "t"})
		if _, err := tb.Get(t.Context(), at("a")); !errors.Is(err, table.ErrUnavailable) {
			t.Errorf("error = %v, want ErrUnavailable", err)
		}
	})
}

// silence is an HTTP client that never hears an answer. It counts how often it was
// asked.
type silence struct{ asked int }

func (s *silence) Do(r *http.Request) (*http.Response, error) {
	s.asked++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// unheard gets a row of a table that never answers, on the clock of the bubble that
// it runs in: it returns what that clock says it took, and how many attempts it was.
func unheard(t *testing.T, c dynamo.Config) (took time.Duration, attempts int) {
	t.Helper()
	var s silence
	cfg := testbed.Config()
	cfg.HTTPClient = &s
	c.Client, c.TableName = dynamo.NewClient(cfg), "t"
	began := time.Now()
	if _, err := dynamo.New(c).Get(t.Context(), at("a")); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("error = %v, want ErrUnavailable", err)
	}
	return time.Since(began), s.asked
}

func TestF13_TheTotalBoundEndsACallWhoseAttemptsAreAllSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 4 * time.Second
		if took, attempts := unheard(t, dynamo.Config{TotalTimeout: total, Attempts: 1000}); took != total || attempts < 2 {
			t.Errorf("%d attempts, ended after %v, want %v", attempts, took, total)
		}
	})
}

func TestF13_TheProductionBoundsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, attempts := unheard(t, dynamo.Config{})
		if attempts != dynamo.DefaultAttempts || took < dynamo.DefaultAttempts*dynamo.DefaultAttemptTimeout || took > dynamo.DefaultTotalTimeout {
			t.Errorf("%d attempts, ended after %v", attempts, took)
		}
		if took, _ := unheard(t, dynamo.Config{Attempts: 1000}); took != dynamo.DefaultTotalTimeout {
			t.Errorf("with more attempts it ended after %v", took)
		}
	})
}

func TestF14_DeadIdleConnectionsCostARetryAndNothingElse(t *testing.T) {
	tb, e := behind(t)
	for range 3 {
		e.DropConnections()
		if got := revision(t, tb, "a"); got != 1 {
			t.Fatalf("revision %d", got)
		}
	}
	// Connections that are dead on the far side only, as after a freeze: nothing
	// tells, the first attempt just hears nothing.
	slow, e2 := behind(t, impatient)
	e2.On("BatchGetItem", testbed.Hang)
	if got := revision(t, slow, "a"); got != 1 {
		t.Fatalf("revision %d", got)
	}
}

func TestF14_OneDeadConnectionEndsTheTrustInAllIdleOnes(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	fresh := true // whether the last call came over a connection not seen before
	note := func(then testbed.Fault) testbed.Fault {
		return func(w http.ResponseWriter, x *testbed.Exchange) {
			mu.Lock()
			fresh = !seen[x.Request.RemoteAddr]
			seen[x.Request.RemoteAddr] = true
			mu.Unlock()
			then(w, x)
		}
	}
	tb, e := behind(t)
	const many = 4
	var arrived sync.WaitGroup
	arrived.Add(many)
	together := note(func(w http.ResponseWriter, x *testbed.Exchange) {
		arrived.Done()
		arrived.Wait() // all at once, so each needs a connection of its own
		testbed.Forward(w, x)
	})
	e.On("BatchGetItem", together, together, together, together)
	var calls sync.WaitGroup
	for range many {
		calls.Go(func() {
			if _, err := tb.Get(t.Context(), at("a")); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	e.On("BatchGetItem", note(testbed.Reset), note(testbed.Forward))
	if got := revision(t, tb, "a"); got != 1 {
		t.Fatalf("revision %d", got)
	}
	if !fresh {
		t.Error("the retry went over another connection that was idle")
	}
}

func TestF53_AnItemThatIsTooLargeIsRefusedBeforeAnyCall(t *testing.T) {
	tb, e := behind(t)
	big := row("big", 1)
	big.Doc = []byte(strings.Repeat("x", table.MaxDoc+1))
	if err := tb.Write(t.Context(), table.Put(big, table.Absent)); !errors.Is(err, table.ErrTooLarge) {
		t.Errorf("error = %v, want ErrTooLarge", err)
	}
	mustCalls(t, e, testbed.Any, 0)
}

func TestF53_DynamoDBsOwnSizeLimitIsTooLarge(t *testing.T) {
	tb, e := behind(t)
	e.On("PutItem", testbed.Reply(http.StatusBadRequest, `{"__type":"com.amazon.coral.validate#ValidationException","message":"Item size has exceeded the maximum allowed size"}`))
	if err := tb.Write(t.Context(), table.Put(row("b", 1), table.Absent)); !errors.Is(err, table.ErrTooLarge) {
		t.Errorf("error = %v, want ErrTooLarge", err)
	}
}

func TestF54_NothingIsBegunWhenTheDeadlineIsTooNear(t *testing.T) {
	tb, e := behind(t)
	ctx, cancel := context.WithTimeout(t.Context(), dynamo.DefaultReserve/2)
	defer cancel()
	for operation, do := range operations {
		if err := do(ctx, tb); !errors.Is(err, table.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", operation, err)
		}
	}
	mustCalls(t, e, testbed.Any, 0)
}

func TestF54_ACallEndsWhileTheCallerCanStillAnswer(t *testing.T) {
	tb, e := behind(t, func(c *dynamo.Config) { c.Reserve = 20 * time.Second })
	e.Always("PutItem", testbed.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+300*time.Millisecond)
	defer cancel()
	if err := tb.Write(ctx, table.Put(row("b", 1), table.Absent)); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("error = %v, want ErrUnavailable", err)
	}
	if ctx.Err() != nil {
		t.Error("nothing is left of the caller's time")
	}
}

func TestF55_AClockThatIsWrongIsCorrectedByTheAnswersDate(t *testing.T) {
	skewed := func(w http.ResponseWriter, x *testbed.Exchange) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		testbed.Fail(403, "RequestTimeTooSkewed")(w, x)
	}
	tb, e := behind(t)
	var dates []string
	note := func(w http.ResponseWriter, x *testbed.Exchange) {
		dates = append(dates, x.Request.Header.Get("X-Amz-Date"))
		testbed.Forward(w, x)
	}
	e.On("BatchGetItem", skewed, note)
	if got := revision(t, tb, "a"); got != 1 {
		t.Fatalf("revision %d", got)
	}
	mustCalls(t, e, "BatchGetItem", 2)
	signed, err := time.Parse("20060102T150405Z", dates[0])
	if err != nil || time.Until(signed) < 30*time.Minute {
		t.Errorf("the second attempt is signed at %v (%v), want an hour ahead", signed, err)
	}
}

func TestF55_CredentialsThatAreRefusedAreAClearError(t *testing.T) {
	for code, unavailable := range map[string]bool{
		"ExpiredTokenException":       true, // another environment, or this one later, has new ones
		"UnrecognizedClientException": false,
		"AccessDeniedException":       false,
	} {
		tb, e := behind(t)
		e.On("BatchGetItem", testbed.Fail(400, code))
		_, err := tb.Get(t.Context(), at("a"))
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(err.Error(), code) {
			t.Errorf("error = %v, want one that names %s", err, code)
		}
		if errors.Is(err, table.ErrUnavailable) != unavailable {
			t.Errorf("%s: ErrUnavailable %v, want %v", code, !unavailable, unavailable)
		}
		mustCalls(t, e, "BatchGetItem", 1)
	}
}

func TestALostAnswerOfAWriteIsFoundStored(t *testing.T) {
	for name, lost := range map[string]testbed.Fault{"reset": testbed.DropAnswer, "500": testbed.FailStored(500, "InternalServerError")} {
		t.Run(name, func(t *testing.T) {
			tb, e := behind(t)
			for _, step := range []struct {
				operation string
				ops       []table.Op
			}{
				{"PutItem", []table.Op{table.Put(row("b", 1), table.Absent)}},
				{"PutItem", []table.Op{table.Put(row("b", 2), table.At(1))}},
				{"TransactWriteItems", []table.Op{table.Put(row("b", 3), table.At(2)), table.Put(row("c", 1), table.Absent), table.Delete(at("a"), table.At(1))}},
				{"DeleteItem", []table.Op{table.Delete(at("b"), table.At(3))}},
			} {
				e.Forget()
				e.On(step.operation, lost)
				if err := tb.Write(t.Context(), step.ops...); err != nil {
					t.Errorf("%s: %v", step.operation, err)
				}
				mustCalls(t, e, step.operation, 2)
			}
			if b, c, a := revision(t, tb, "b"), revision(t, tb, "c"), revision(t, tb, "a"); b != 0 || c != 1 || a != 0 {
				t.Errorf("revisions b %d, c %d, a %d; want 0, 1, 0", b, c, a)
			}
		})
	}
}

func TestALostAnswerDoesNotHideAConditionThatFails(t *testing.T) {
	tb, e := behind(t)
	for operation, op := range map[string]table.Op{
		"PutItem":    table.Put(row("a", 3), table.At(2)),
		"DeleteItem": table.Delete(at("a"), table.At(2)),
	} {
		e.On(operation, testbed.Reset)
		if err := tb.Write(t.Context(), op); !errors.Is(err, table.ErrCondition) {
			t.Errorf("%s: %v, want ErrCondition", operation, err)
		}
	}
	// A throttle says that nothing was stored, so absent was absent before.
	e.On("DeleteItem", testbed.Fail(400, "ThrottlingException"))
	if err := tb.Write(t.Context(), table.Delete(at("gone"), table.Present)); !errors.Is(err, table.ErrCondition) {
		t.Errorf("DeleteItem after a throttle: %v, want ErrCondition", err)
	}
}

func TestAWriteWhoseAnswersAreAllLostCanBeRepeatedByTheCaller(t *testing.T) {
	for operation, ops := range map[string][]table.Op{
		"PutItem":            {table.Put(row("b", 1), table.Absent)},
		"TransactWriteItems": {table.Put(row("b", 1), table.Absent), table.Check(at("a"), table.At(1)), table.Put(row("c", 1), table.Absent)},
	} {
		t.Run(operation, func(t *testing.T) {
			tb, e := behind(t)
			e.On(operation, testbed.DropAnswer, testbed.DropAnswer, testbed.DropAnswer)
			if err := tb.Write(t.Context(), ops...); !errors.Is(err, table.ErrUnavailable) {
				t.Fatalf("error = %v, want ErrUnavailable", err)
			}
			if err := tb.Write(t.Context(), ops...); err != nil {
				t.Errorf("the repeat: %v", err)
			}
			if got := revision(t, tb, "b"); got != 1 {
				t.Errorf("revision %d, want 1", got)
			}
		})
	}
}

func TestTransactionConflictsAreTriedAgainAndThenUnavailable(t *testing.T) {
	canceled := func(reasons ...string) testbed.Fault {
		var list []string
		for _, r := range reasons {
			list = append(list, fmt.Sprintf(`{"Code":%q}`, r))
		}
		return testbed.Reply(400, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"x","CancellationReasons":[`+strings.Join(list, ",")+`]}`)
	}
	conflict := canceled("None", "TransactionConflict", "None")
	do := operations["TransactWriteItems"]

	tb, e := behind(t)
	e.On("TransactWriteItems", conflict, conflict, conflict)
	if err := do(t.Context(), tb); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("three conflicts: %v, want ErrUnavailable", err)
	}
	mustCalls(t, e, "TransactWriteItems", 3)
	e.On("TransactWriteItems", conflict, canceled("ThrottlingError", "None", "None"))
	if err := do(t.Context(), tb); err != nil {
		t.Errorf("a conflict and a throttle: %v", err)
	}

	e.On("TransactWriteItems", canceled("TransactionConflict", "ConditionalCheckFailed", "None"))
	var refused *table.ConditionError
	if err := do(t.Context(), tb); !errors.As(err, &refused) || refused.Op != 1 {
		t.Errorf("a conflict beside a failed condition: %v, want operation 1", err)
	}
	e.On("TransactWriteItems", canceled("None", "ValidationError", "None"))
	if err := do(t.Context(), tb); err == nil || errors.Is(err, table.ErrUnavailable) || errors.Is(err, table.ErrCondition) {
		t.Errorf("a validation error: %v, want one that nobody repeats", err)
	}
	e.On("TransactWriteItems", canceled("ConditionalCheckFailed"))
	if err := do(t.Context(), tb); err == nil {
		t.Error("a list of reasons that is too short is taken for success")
	}

	e.Forget()
	e.On("PutItem", testbed.Fail(400, "TransactionConflictException"), testbed.Fail(400, "TransactionConflictException"))
	if err := tb.Write(t.Context(), table.Put(row("z", 1), table.Absent)); err != nil {
		t.Errorf("two conflicts with a transaction: %v", err)
	}
	mustCalls(t, e, "PutItem", 3)
}

func TestAMissingTableIsNotUnavailable(t *testing.T) {
	cfg := testbed.Config()
	cfg.BaseEndpoint = aws.String(testbed.DynamoDB(t))
	tb := dynamo.New(dynamo.Config{Client: dynamo.NewClient(cfg), TableName: "no-such-table", AttemptTimeout: 20 * time.Second, TotalTimeout: time.Minute})
	if _, err := tb.Get(t.Context(), at("a")); err == nil || errors.Is(err, table.ErrUnavailable) {
		t.Errorf("error = %v, want one that nobody repeats", err)
	}
}

func TestEachCallOfThePortIsOneCallOfDynamoDB(t *testing.T) {
	for operation, do := range operations {
		tb, e := behind(t)
		if err := do(t.Context(), tb); err != nil {
			t.Fatal(err)
		}
		mustCalls(t, e, operation, 1)
		mustCalls(t, e, testbed.Any, 1)
	}
}

func TestTheTableIsReadStronglyAndTheIndexIsNot(t *testing.T) {
	tb, e := behind(t)
	for _, index := range []string{"", "list"} {
		e.Forget()
		if _, err := tb.Query(t.Context(), table.Query{PK: "p", Index: index, Limit: 1}); err != nil {
			t.Fatal(err)
		}
		if strong := strings.Contains(string(e.Log()[0].Body), `"ConsistentRead":true`); strong != (index == "") {
			t.Errorf("index %q: ConsistentRead %v", index, strong)
		}
	}
	e.Forget()
	if _, err := tb.Get(t.Context(), at("a")); err != nil || !strings.Contains(string(e.Log()[0].Body), `"ConsistentRead":true`) {
		t.Errorf("Get: %v, %s", err, e.Log()[0].Body)
	}
}
