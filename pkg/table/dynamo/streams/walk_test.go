package streams_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"

	"keyvend/pkg/table"
	"keyvend/pkg/table/dynamo/streams"
)

// drain reads and acknowledges until nothing comes, and returns the sort keys.
func drain(t *testing.T, feed table.Feed, limit int) []string {
	t.Helper()
	var all []string
	for {
		changes, err := feed.Changes(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			return all
		}
		for _, c := range changes {
			all = append(all, c.Key.SK)
		}
		if err := feed.Acknowledge(t.Context(), changes[len(changes)-1]); err != nil {
			t.Fatal(err)
		}
	}
}

func mustRead(t *testing.T, feed table.Feed, limit int, want ...string) {
	t.Helper()
	got := drain(t, feed, limit)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func TestParentsAreReadToTheEndBeforeTheirChildren(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 100} {
		s := newStream(t,
			&part{id: "grandchild", parent: "left", records: []string{"g1"}},
			&part{id: "right", parent: "root", records: []string{"r1", "r2"}},
			&part{id: "left", parent: "root", records: []string{"l1", "l2", "l3"}, closed: true},
			&part{id: "root", parent: "older than anything", records: []string{"a", "b", "c"}, closed: true},
			&part{id: "empty", records: nil, closed: true},
			&part{id: "after-empty", parent: "empty", records: []string{"e1"}},
		)
		mustRead(t, streams.NewFeed(s, "t"), limit, "a", "b", "c", "e1", "g1", "l1", "l2", "l3", "r1", "r2")
	}
}

func TestAShardThatAppearsLaterIsRead(t *testing.T) {
	child := &part{id: "child", parent: "root", records: []string{"c"}, unlisted: 1}
	root := &part{id: "root", records: []string{"a", "b"}}
	s := newStream(t, root)
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 10, "a", "b")
	before := s.calls["DescribeStream"]
	mustRead(t, feed, 10)
	if s.calls["DescribeStream"] != before {
		t.Error("the shards are listed although nothing tells of new ones")
	}
	// The shard is closed, and its child is listed only later.
	s.change(func() { root.closed, s.shards = true, append(s.shards, child) })
	mustRead(t, feed, 10)
	mustRead(t, feed, 10, "c")
}

func TestAStreamWithoutShardsYetIsReadOnceItHasSome(t *testing.T) {
	s := newStream(t)
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 10)
	s.change(func() { s.shards = []*part{{id: "root", records: []string{"a"}}} })
	mustRead(t, feed, 10, "a")
}

func TestNoShardStarvesBesideABusyOne(t *testing.T) {
	busy := &part{id: "busy", records: slices.Repeat([]string{"b"}, 50)}
	s := newStream(t, busy, &part{id: "quiet", records: []string{"q"}})
	reader := streams.NewReader(s, "t")
	for range 3 {
		records, err := reader.Next(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if strings.Contains(string(r), `{"S":"q"}`) {
				return
			}
		}
	}
	t.Error("the quiet shard was not read")
}

func TestAnIteratorThatHasExpiredIsReplacedWithoutLossOrRepeat(t *testing.T) {
	root := &part{id: "root", records: []string{"a", "b", "c"}}
	s := newStream(t, root)
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 1, "a", "b", "c")
	s.change(func() { s.epoch++; root.records = append(root.records, "d", "e") })
	mustRead(t, feed, 1, "d", "e")
	s.change(func() { s.epoch++; root.closed = true })
	mustRead(t, feed, 1)
}

func TestAnIteratorThatExpiresBeforeItsFirstRecordBeginsAtTheOldest(t *testing.T) {
	root := &part{id: "root"}
	s := newStream(t, root)
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 1)
	s.change(func() { s.epoch++; root.records = append(root.records, "a") })
	mustRead(t, feed, 1, "a")
}

// gapOnce wants one ErrGap.
func gapOnce(t *testing.T, feed table.Feed) {
	t.Helper()
	changes, err := feed.Changes(t.Context(), 10)
	if !errors.Is(err, table.ErrGap) || errors.Is(err, table.ErrUnavailable) || changes != nil {
		t.Fatalf("changes %v, %v; want ErrGap", changes, err)
	}
}

func TestTrimmedRecordsAreAGapThatIsToldOnce(t *testing.T) {
	for _, expire := range []int{0, 1} {
		root := &part{id: "root", records: []string{"a", "b", "c", "d"}}
		s := newStream(t, root)
		reader := streams.NewFeed(s, "t")
		changes, err := reader.Changes(t.Context(), 1)
		if err != nil || len(changes) != 1 {
			t.Fatal(changes, err)
		}
		if err := reader.Acknowledge(t.Context(), changes[0]); err != nil {
			t.Fatal(err)
		}
		s.change(func() { root.trimmed = 3; s.epoch += expire })
		gapOnce(t, reader)
		mustRead(t, reader, 10, "d")
	}
}

func TestAShardThatIsNoMoreIsAGapAndItsChildrenAreRead(t *testing.T) {
	root, child := &part{id: "root", records: []string{"a"}}, &part{id: "child", parent: "root", records: []string{"c"}}
	other := &part{id: "other", records: []string{"o"}}
	s := newStream(t, root, other)
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 10, "a", "o")
	s.change(func() { s.shards = []*part{other, child} })
	gapOnce(t, feed)
	mustRead(t, feed, 10, "c")
}

func TestAShardThatIsNoLongerListedIsAGap(t *testing.T) {
	closing, waiting := &part{id: "closing", records: []string{"a"}}, &part{id: "waiting", records: []string{"w"}}
	s := newStream(t, closing, waiting, &part{id: "later", parent: "waiting"})
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 10, "a", "w")
	// "later" goes without having been read: its parent was still open.
	s.change(func() { closing.closed = true; s.shards = []*part{closing, waiting} })
	gapOnce(t, feed)
	mustRead(t, feed, 10)
}

func TestATableThatWasMadeAnewIsReadFromItsNewStream(t *testing.T) {
	s := newStream(t, &part{id: "root", records: []string{"a"}})
	feed := streams.NewFeed(s, "t")
	mustRead(t, feed, 10, "a")
	s.change(func() { s.gone = true })
	gapOnce(t, feed)
	if _, err := feed.Changes(t.Context(), 10); err == nil || errors.Is(err, table.ErrUnavailable) {
		t.Errorf("a stream that is no more: %v, want an error that no repetition changes", err)
	}
	s.change(func() {
		s.gone, s.arns, s.shards = false, append(s.arns, "arn/2026-01-03"), []*part{{id: "new", records: []string{"n"}}}
	})
	mustRead(t, feed, 10, "n")
}

func TestATableWithoutAStreamIsAWrongConfiguration(t *testing.T) {
	s := newStream(t)
	s.arns = nil
	_, err := streams.NewFeed(s, "the-table").Changes(t.Context(), 1)
	if err == nil || errors.Is(err, table.ErrUnavailable) || !strings.Contains(err.Error(), "the-table") {
		t.Errorf("error = %v, want one that names the table", err)
	}
}

func TestWhatPassesIsUnavailableAndLosesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		passing bool
	}{
		"a throttle":    {&types.LimitExceededException{}, true},
		"their failure": {&types.InternalServerError{}, true},
		"no connection": {errors.New("connection refused"), true},
		"no permission": {&smithy.GenericAPIError{Code: "AccessDeniedException"}, false},
	} {
		root := &part{id: "root", records: []string{"a", "b", "c", "d"}, closed: true}
		s := newStream(t, root, &part{id: "child", parent: "root", records: []string{"e"}})
		feed := streams.NewFeed(s, "t")
		var got []string
		// Every call fails once before it succeeds.
		for failed := false; ; failed = !failed {
			if !failed {
				s.change(func() { s.fails = c.err })
			}
			changes, err := feed.Changes(t.Context(), 1)
			if err != nil {
				if errors.Is(err, table.ErrUnavailable) != c.passing || errors.Is(err, table.ErrGap) {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			s.change(func() { s.fails = nil })
			if len(changes) == 0 {
				break
			}
			got = append(got, changes[0].Key.SK)
			if err := feed.Acknowledge(t.Context(), changes[0]); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Join(got, "") != "abcde" {
			t.Errorf("%s: read %v", name, got)
		}
	}
}

func TestADamagedRecordStandsInTheWayUntilItIsGivenUp(t *testing.T) {
	s := newStream(t, &part{id: "root", records: []string{"a", "damaged", "b"}})
	feed := streams.NewFeed(s, "t")
	changes, err := feed.Changes(t.Context(), 10)
	if err != nil || len(changes) != 1 {
		t.Fatalf("changes %v, %v; want the first", changes, err)
	}
	if err := feed.Acknowledge(t.Context(), changes[0]); err != nil {
		t.Fatal(err)
	}
	var damaged *table.ChangeError
	if _, err := feed.Changes(t.Context(), 10); !errors.As(err, &damaged) || damaged.Sequence != "1" || damaged.ID != "root.1" {
		t.Fatalf("error = %v, want one that names the record", err)
	}
	if err := feed.Acknowledge(t.Context(), table.Change{ID: damaged.ID}); err != nil {
		t.Fatal(err)
	}
	mustRead(t, feed, 10, "b")
}

func TestChangesThatNobodyAcknowledgesAreNotPiledUp(t *testing.T) {
	root := &part{id: "root", records: slices.Repeat([]string{"a"}, 100)}
	s := newStream(t, root)
	feed := streams.NewFeed(s, "t")
	for range 10 {
		if changes, err := feed.Changes(t.Context(), 5); err != nil || len(changes) != 5 {
			t.Fatal(len(changes), err)
		}
	}
	if root.read > 6 {
		t.Errorf("%d records were read for 5", root.read)
	}
}
