package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/event"
	"keyvend/pkg/feed"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

// world is a keyvend whose changes are followed, step by step.
type world struct {
	*boottest.World
	t             *testing.T
	tenant, token string
	memory        *tabletest.Memory
	feed          table.Feed
	bus           *bus
	aside         *aside
	outbox        *feed.Outbox
}

func newWorld(t *testing.T) *world {
	t.Helper()
	memory := tabletest.NewMemory()
	w := &world{World: boottest.New(t, boottest.Config{Engine: memory}), t: t, memory: memory, feed: memory.Feed(), bus: &bus{}, aside: &aside{}}
	memory.Now = w.Clock.Now
	w.tenant = w.Tenant()
	w.token = w.Key(w.tenant, "manage")
	w.outbox = w.App.Outbox(w.bus, w.aside)
	return w
}

// follow works through the feed until nothing is left, and fails when that
// takes more than a few failures.
func (w *world) follow() (failures int) {
	w.t.Helper()
	for {
		n, err := w.outbox.Step(w.t.Context(), w.feed)
		switch {
		case err != nil && failures == 5:
			w.t.Fatalf("the feed does not get on: %v", err)
		case err != nil:
			failures++
		case n == 0:
			return failures
		}
	}
}

type listed struct {
	Data     []event.Event
	Metadata struct{ Before, After *string } `json:"list_metadata"`
}

// events is GET /events, oldest first, once all have settled.
func (w *world) events() []event.Event {
	w.t.Helper()
	w.Clock.Pass(6 * time.Second)
	var out listed
	a := w.Must(http.StatusOK, w.token, "GET", "/events?order=asc&limit=100", "")
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil {
		w.t.Fatal(err)
	}
	return out.Data
}

func (w *world) expect(want ...event.Name) []event.Event {
	w.t.Helper()
	events := w.events()
	var names []event.Name
	for _, e := range events {
		names = append(names, e.Name)
	}
	if !slices.Equal(names, want) {
		w.t.Errorf("GET /events tells %v, want %v", names, want)
	}
	return events
}

// sentOnce fails unless the bus took each of the events, and each once.
func (w *world) sentOnce(events []event.Event) {
	w.t.Helper()
	for _, e := range events {
		if n := w.bus.count(e.ID); n != 1 {
			w.t.Errorf("%s %s was sent %d times", e.Name, e.ID, n)
		}
	}
	if len(w.bus.sent) != len(events) {
		w.t.Errorf("sent %d of %d", len(w.bus.sent), len(events))
	}
}

// flow takes an account through its life.
func (w *world) flow(user string) {
	w.t.Helper()
	path := "/user_management/users/" + user + "/connected_accounts/openai"
	w.Clock.Pass(time.Second)
	w.Upsert(w.token, "openai", user, boottest.Canary+"1111")
	w.Clock.Pass(time.Second)
	w.Upsert(w.token, "openai", user, boottest.Canary+"2222")
	w.Clock.Pass(time.Second)
	w.Must(http.StatusOK, w.token, "PUT", path, `{"state":"needs_reauthorization"}`)
	w.Clock.Pass(time.Second)
	w.Must(http.StatusOK, w.token, "PUT", path, `{"state":"connected"}`)
	w.Clock.Pass(time.Second)
	w.Must(http.StatusNoContent, w.token, "DELETE", path, "")
}

var life = []event.Name{event.Connected, event.Rotated, event.ReauthorizationNeeded, event.Recovered, event.Disconnected}

// bus is an event bus that refuses what a test says.
type bus struct {
	mu     sync.Mutex
	sent   []string
	refuse func(event.Event) bool
	hook   func() // after each Put
}

func (b *bus) Put(_ context.Context, events []vault.StoredEvent) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(events))
	for i, e := range events {
		if b.refuse != nil && b.refuse(e.Event) {
			errs[i] = errors.New("refused by the test")
			continue
		}
		b.sent = append(b.sent, e.Event.ID)
	}
	if b.hook != nil {
		b.hook()
	}
	return errs
}

func (b *bus) count(id string) (n int) {
	for _, sent := range b.sent {
		if sent == id {
			n++
		}
	}
	return n
}

// aside keeps what was set aside.
type aside struct {
	kept []feed.Poison
	fail error
}

func (a *aside) SetAside(_ context.Context, p feed.Poison) error {
	if a.fail != nil {
		return a.fail
	}
	a.kept = append(a.kept, p)
	return nil
}

func TestEachChangeIsToldOnceThoughTheFeedDeliversItTwice(t *testing.T) {
	w := newWorld(t)
	w.feed = tabletest.Repeat(t, w.feed)
	w.Register(w.token, "openai")
	w.flow("u")
	if failures := w.follow(); failures > 0 {
		t.Errorf("%d failures", failures)
	}
	w.sentOnce(w.expect(life...))
}

func TestChangesThatTellNothingMakeNoEvent(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	w.Must(http.StatusOK, w.token, "PUT", "/data-integrations/openai", `{"description":"why"}`)
	w.Must(http.StatusOK, w.token, "PUT", "/keyvend/settings", `{}`)
	w.follow()
	w.sentOnce(w.expect())
}

// F23: the client's repeat of a request whose answer was lost.
func TestF23_ARepeatedUpsertIsOneEvent(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	body := `{"user_id":"u","secret":"` + boottest.Canary + `1"}`
	for range 2 {
		w.Must(http.StatusOK, w.token, "PUT", "/data-integrations/openai/api-key", body, "Idempotency-Key", "k")
		w.Clock.Pass(time.Second)
	}
	w.follow()
	w.sentOnce(w.expect(event.Connected))
}

func ofEvents(c tabletest.Call) bool {
	return c.Method == tabletest.Write && strings.HasPrefix(c.Ops[0].Item.PK, "E#")
}

// storing chooses the write that stores an event, marking the one that notes
// that it was sent.
func storing(c tabletest.Call) bool { return ofEvents(c) && c.Ops[0].If == table.Absent }
func marking(c tabletest.Call) bool { return ofEvents(c) && c.Ops[0].If != table.Absent }

// F27: between state and event, between storing and sending, between sending and
// noting so.
func TestF27_EachWriteOfAnEventMayFailOrBeStoredWithoutAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*tabletest.Faulty)
		sent  int // times that the event goes out
	}{
		"not stored":                    {func(f *tabletest.Faulty) { f.Fail(storing) }, 1},
		"stored without an answer":      {func(f *tabletest.Faulty) { f.FailStored(storing) }, 1},
		"sent and not noted":            {func(f *tabletest.Faulty) { f.Fail(marking) }, 2},
		"sent and noted without answer": {func(f *tabletest.Faulty) { f.FailStored(marking) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Register(w.token, "openai")
			w.Upsert(w.token, "openai", "u", boottest.Canary+"1")
			c.fault(w.Table)
			if w.follow() == 0 {
				t.Error("nobody met the fault")
			}
			events := w.expect(event.Connected)
			if n := w.bus.count(events[0].ID); n != c.sent {
				t.Errorf("sent %d times, want %d", n, c.sent)
			}
		})
	}
}

func TestAnOutboxThatIsStoppedAnywhereIsGoneOnFromThere(t *testing.T) {
	for _, where := range []struct {
		name string
		when tabletest.When
	}{{"before an event is stored", storing}, {"between sending and noting it", marking}} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, write done: %v", where.name, after), func(t *testing.T) {
				w := newWorld(t)
				w.Register(w.token, "openai")
				w.flow("u")
				ctx, stop := context.WithCancel(t.Context())
				if after {
					w.Table.After(where.when, stop)
				} else {
					w.Table.Before(where.when, stop)
				}
				if _, err := w.outbox.Step(ctx, w.feed); err == nil {
					t.Error("it was not stopped")
				}
				w.follow()
				events := w.expect(life...)
				for _, e := range events {
					if n := w.bus.count(e.ID); n < 1 || n > 2 {
						t.Errorf("%s was sent %d times", e.Name, n)
					}
				}
			})
		}
	}
}

func TestF28_WhatTheBusRefusesIsSentAgainWithWhatFollowsOfItsAccountAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	w.flow("u")
	w.flow("v")
	refused := 0
	w.bus.refuse = func(e event.Event) bool {
		if e.Data.User() == "u" && e.Name == event.ReauthorizationNeeded && refused < 2 {
			refused++
			return true
		}
		return false
	}
	if failures := w.follow(); failures != 2 {
		t.Errorf("%d failures", failures)
	}
	events := w.expect(append(slices.Clone(life), life...)...)
	for _, e := range events {
		later := e.Data.User() == "u" && (e.Name == event.Recovered || e.Name == event.Disconnected)
		if n := w.bus.count(e.ID); n != 1 && !later {
			t.Errorf("%s of %s was sent %d times", e.Name, e.Data.User(), n)
		}
	}
	// Whatever came too early came again in the right place.
	var last []event.Name
	for _, id := range w.bus.sent[len(w.bus.sent)-3:] {
		i := slices.IndexFunc(events, func(e event.Event) bool { return e.ID == id })
		last = append(last, events[i].Name)
	}
	if !slices.Equal(last, life[2:]) {
		t.Errorf("in the end came %v", last)
	}
}

func TestRemovingAnIntegrationTellsOfEachAccountAsTheSweepDeletesIt(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	for i := range 3 {
		w.Upsert(w.token, "openai", fmt.Sprint("u", i), boottest.Canary+"1")
	}
	w.Must(http.StatusNoContent, w.token, "DELETE", "/data-integrations/openai", "")
	w.Clock.Pass(time.Minute)
	if _, err := w.App.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.follow()
	c, d := event.Connected, event.Disconnected
	w.sentOnce(w.expect(c, c, c, d, d, d))
}

// F6: what the events say when a provider is removed and registered again.
func TestF6_AKeyUnderANewRegistrationTellsOfTheOldAccountsEndFirst(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	w.Upsert(w.token, "openai", "u", boottest.Canary+"1")
	w.Must(http.StatusNoContent, w.token, "DELETE", "/data-integrations/openai", "")
	w.Clock.Pass(time.Second)
	w.Register(w.token, "openai")
	w.Upsert(w.token, "openai", "u", boottest.Canary+"2")
	w.follow()
	events := w.expect(event.Connected, event.Disconnected, event.Connected)
	if events[0].Data.Account.ID != events[1].Data.Account.ID || events[1].Data.Account.ID == events[2].Data.Account.ID {
		t.Errorf("%+v", events)
	}
	w.sentOnce(events)
}

func TestARemarkBecomesTheEventThatItIsOnceAndItsEndNone(t *testing.T) {
	w := newWorld(t)
	reason := "The provider refused this key."
	failed := event.Fail(event.Failure{
		DataIntegrationID: "data_integration_01KJMBRG2V0000000000000001", ProviderSlug: "openai", UserID: "u", ErrorCode: "key_refused", ErrorReason: &reason,
	}, w.Clock.Now(), event.System())
	for range 2 {
		if err := w.Store.SaveRemark(t.Context(), w.tenant, failed); err != nil {
			t.Fatal(err)
		}
	}
	w.follow()
	events := w.expect(event.ConnectionFailed)
	if events[0].Data.Failure == nil || events[0].ID != failed.ID {
		t.Errorf("%+v", events[0])
	}
	w.sentOnce(events)
	w.Clock.Pass(3 * 24 * time.Hour)
	if err := w.memory.Reap(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.sentOnce(w.expect(event.ConnectionFailed))
}

// spoil writes a row as a stranger would.
func (w *world) spoil(k table.Key, doc string) {
	w.t.Helper()
	if err := w.Engine.Write(w.t.Context(), table.Put(table.Item{Key: k, Revision: 7, Doc: []byte(doc)}, table.Absent)); err != nil {
		w.t.Fatal(err)
	}
}

func TestF31_WhatCannotBeReadIsSetAsideWithItsKeyAndRevisionAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	w.Upsert(w.token, "openai", "u", boottest.Canary+"1")
	canary := `"` + boottest.Canary + `pasted"`
	broken := map[table.Key]string{
		boottest.AccountRow(w.tenant, "a", "openai", ""): canary,
		boottest.AccountRow(w.tenant, "b", "openai", ""): `{}`,
		boottest.AccountRow(w.tenant, "c", "openai", ""): `{"id":` + canary + `}`,
		boottest.AccountRow(w.tenant, "d", "openai", ""): `{"created_at":` + canary + `}`,
		{PK: "U#x", SK: "ACCOUNT#openai#"}:               `{}`,
		{PK: "R#" + w.tenant + "#u", SK: "x"}:            `{"data":{}}`,
		{PK: "R#" + w.tenant + "#u", SK: "y"}:            `{"id":"y"}`,
	}
	for k, doc := range broken {
		w.spoil(k, doc)
	}
	w.Upsert(w.token, "openai", "v", boottest.Canary+"1")
	if failures := w.follow(); failures > 0 {
		t.Errorf("%d failures", failures)
	}
	w.sentOnce(w.expect(event.Connected, event.Connected))
	if len(w.aside.kept) != len(broken) {
		t.Errorf("set aside %d of %d: %+v", len(w.aside.kept), len(broken), w.aside.kept)
	}
	for _, p := range w.aside.kept {
		if _, ok := broken[table.Key{PK: p.PK, SK: p.SK}]; !ok || p.Revision != 7 || p.Sequence == "" || p.ChangeID == "" {
			t.Errorf("%+v", p)
		}
		if text := fmt.Sprintf("%+v", p); strings.Contains(text, boottest.Canary) {
			t.Errorf("F45: %s", text)
		}
	}
	if alarms := w.Log.Alarms(); len(alarms) != len(broken) || alarms[0] != "poison" {
		t.Errorf("alarms %v", alarms)
	}
}

func TestWhatCannotEvenBeSetAsideComesAgain(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	w.spoil(boottest.AccountRow(w.tenant, "a", "openai", ""), `{}`)
	w.Upsert(w.token, "openai", "u", boottest.Canary+"1")
	w.aside.fail = errors.New("the queue is away")
	if _, err := w.outbox.Step(t.Context(), w.feed); err == nil {
		t.Error("the change is done with")
	}
	w.sentOnce(w.expect(event.Connected)) // the others need not wait
	w.aside.fail = nil
	w.follow()
	w.sentOnce(w.expect(event.Connected))
	if len(w.aside.kept) != 1 {
		t.Errorf("%+v", w.aside.kept)
	}
}

// failing is a feed whose first answers are errors.
type failing struct {
	table.Feed
	errs []error
	done []string
}

func (f *failing) Changes(ctx context.Context, limit int) ([]table.Change, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		if !errors.As(err, new(*table.ChangeError)) || slices.Contains(f.done, "bad") {
			f.errs = f.errs[1:]
		}
		if !slices.Contains(f.done, "bad") || !errors.As(err, new(*table.ChangeError)) {
			return nil, err
		}
	}
	return f.Feed.Changes(ctx, limit)
}

func (f *failing) Acknowledge(ctx context.Context, last table.Change) error {
	f.done = append(f.done, last.ID)
	if last.ID == "bad" {
		return nil
	}
	return f.Feed.Acknowledge(ctx, last)
}

func TestF31_AChangeThatTheEngineCannotReadIsSetAsideAndAGapIsAnAlarm(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	w.Upsert(w.token, "openai", "u", boottest.Canary+"1")
	w.feed = &failing{Feed: w.feed, errs: []error{
		table.ErrUnavailable, table.ErrGap, &table.ChangeError{ID: "bad", Sequence: "9", Key: table.Key{PK: "U#x", SK: "y"}, Err: table.ErrCorrupt},
	}}
	w.follow()
	w.sentOnce(w.expect(event.Connected))
	if len(w.aside.kept) != 1 || w.aside.kept[0].Sequence != "9" || w.aside.kept[0].PK != "U#x" {
		t.Errorf("%+v", w.aside.kept)
	}
	if alarms := w.Log.Alarms(); !slices.Equal(alarms, []string{"feed_gap", "poison"}) {
		t.Errorf("alarms %v", alarms)
	}
}

func TestFollowGoesOnUntilItsContextEnds(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.outbox.Follow(ctx, w.feed) }()
	w.Upsert(w.token, "openai", "u", boottest.Canary+"1")
	for end := time.Now().Add(time.Minute); len(w.events()) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // between looks
	}
	stop()
	<-ended
	w.sentOnce(w.expect(event.Connected))
}

func TestAFollowerThatIsEndedInTheMiddleOfAStepFinishesItAndCallsNothingAFault(t *testing.T) {
	w := newWorld(t)
	w.Register(w.token, "openai")
	for i := range 5 {
		w.Upsert(w.token, "openai", fmt.Sprint("user", i), boottest.Canary+"1")
	}
	ctx, stop := context.WithCancel(t.Context())
	w.bus.hook = stop
	w.outbox.Follow(ctx, w.feed)
	if len(w.bus.sent) != 5 {
		t.Errorf("sent %v", w.bus.sent)
	}
	if log := w.Log.String(); strings.Contains(log, `"level":"ERROR"`) || strings.Contains(log, "cancel") {
		t.Error(log)
	}
	w.follow()
	w.sentOnce(w.expect(event.Connected, event.Connected, event.Connected, event.Connected, event.Connected))
}
