package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"keyvend/pkg/account"
	"keyvend/pkg/boot/boottest"
	events "keyvend/pkg/event" // one of this package has that name
	"keyvend/pkg/ident"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// history is a tenant with stored events.
type history struct {
	*boottest.World
	t             *testing.T
	tenant, token string
}

func newHistory(t *testing.T) *history {
	t.Helper()
	w := boottest.New(t, boottest.Config{})
	tenant := w.Tenant()
	return &history{w, t, tenant, w.Key(tenant, "read")}
}

// happened stores an event of that name, age ago, and returns its id.
func (h *history) happened(name events.Name, organization string, age time.Duration) string {
	h.t.Helper()
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(h.Clock.Now().Add(-age))) // in range
	a := &account.Account{
		ID: ident.AccountPrefix + id.String(), IntegrationID: ident.IntegrationPrefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV", Slug: "openai",
		Owner: account.User("u", organization), State: account.Connected,
	}
	e := events.Note(name, a, h.Clock.Now().Add(-age), events.System(), "")
	if _, err := h.Store.StoreEvent(h.t.Context(), vault.StoredEvent{Event: e, Tenant: h.tenant}); err != nil {
		h.t.Fatal(err)
	}
	return e.ID
}

type historyPage struct {
	ids           []string
	before, after string
}

func (h *history) get(query string) historyPage {
	h.t.Helper()
	a := h.Must(http.StatusOK, h.token, "GET", "/events?"+query, "")
	var out struct {
		Object   string
		Data     []events.Event
		Metadata struct{ Before, After *string } `json:"list_metadata"`
	}
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil || out.Object != "list" || out.Data == nil {
		h.t.Fatalf("%s: %v %s", query, err, a.Body)
	}
	var p historyPage
	for _, e := range out.Data {
		p.ids = append(p.ids, e.ID)
	}
	if out.Metadata.Before != nil {
		p.before = *out.Metadata.Before
	}
	if out.Metadata.After != nil {
		p.after = *out.Metadata.After
	}
	return p
}

// all follows a cursor from page to page and returns what the pages held.
func (h *history) all(query, cursor string) (ids []string, pages int) {
	h.t.Helper()
	at := ""
	for pages = 1; pages <= 100; pages++ {
		p := h.get(query + at)
		next := p.after
		if cursor == "before" {
			next = p.before
			ids = append(slices.Clone(p.ids), ids...)
		} else {
			ids = append(ids, p.ids...)
		}
		if next == "" {
			return ids, pages
		}
		at = "&" + cursor + "=" + next
	}
	h.t.Fatalf("%s: no end", query)
	return nil, 0
}

func (h *history) same(what string, got []string, want ...string) {
	h.t.Helper()
	if !slices.Equal(got, want) {
		h.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// month are events of many days, oldest first.
func (h *history) month() (ids []string) {
	for day := 29; day >= 0; day -= 3 {
		for second := 40; second >= 10; second -= 10 {
			ids = append(ids, h.happened(events.Connected, "", time.Duration(day)*24*time.Hour+time.Duration(second)*time.Second))
		}
	}
	return ids
}

func TestEventsArePagedInEveryOrderAndFromBothEnds(t *testing.T) {
	h := newHistory(t)
	ids := h.month()
	reversed := slices.Clone(ids)
	slices.Reverse(reversed)
	for _, limit := range []int{1, 3, 4, 7, 100} {
		for _, c := range []struct {
			query, cursor string
			want          []string
		}{
			{"order=asc", "after", ids}, {"order=desc", "after", reversed}, {"", "after", reversed},
			{"order=normal", "before", nil},
		} {
			query := fmt.Sprintf("limit=%d&%s", limit, c.query)
			if c.want == nil { // normal: before fetches older ones
				var got []string
				for at := ""; ; {
					p := h.get(query + at)
					got = append(got, p.ids...)
					if p.before == "" {
						break
					}
					at = "&before=" + p.before
				}
				h.same(query, got, reversed...)
				continue
			}
			got, _ := h.all(query, c.cursor)
			h.same(query, got, c.want...)
		}
		// Backwards from behind the end.
		last := events.Floor(h.Clock.Now())
		p := h.get(fmt.Sprintf("order=asc&limit=%d&before=%s", limit, last))
		got := p.ids
		for p.before != "" {
			p = h.get(fmt.Sprintf("order=asc&limit=%d&before=%s", limit, p.before))
			got = append(slices.Clone(p.ids), got...)
		}
		h.same(fmt.Sprint("backwards by ", limit), got, ids...)
	}
}

func TestAPagesCursorsLeadToWhatIsAroundIt(t *testing.T) {
	h := newHistory(t)
	ids := h.month()
	first := h.get("order=asc&limit=5")
	second := h.get("order=asc&limit=5&after=" + first.after)
	back := h.get("order=asc&limit=5&before=" + second.before)
	h.same("the second page", second.ids, ids[5:10]...)
	h.same("back to the first", back.ids, ids[:5]...)
	if first.before != "" || back.after != ids[4] {
		t.Errorf("%+v %+v", first, back)
	}
	end := h.get("order=asc&limit=5&after=" + ids[len(ids)-1])
	if len(end.ids) > 0 || end.after != "" {
		t.Errorf("behind the end: %+v", end)
	}
}

func TestACursorIsComparedAndNeedNotBeAnEventOfThisTenant(t *testing.T) {
	h := newHistory(t)
	ids := h.month()
	at, _ := events.Time(ids[7])
	p := h.get("order=asc&limit=2&after=" + events.Floor(at))
	h.same("from a place between", p.ids, ids[7:9]...)
}

func TestFiltersOfEvents(t *testing.T) {
	h := newHistory(t)
	old := h.happened(events.Connected, "", 48*time.Hour)
	org := h.happened(events.Connected, "org|1", 25*time.Hour)
	rotated := h.happened(events.Rotated, "", time.Hour)
	gone := h.happened(events.Disconnected, "org|1", time.Minute)
	iso := func(age time.Duration) string {
		return url.QueryEscape(h.Clock.Now().Add(-age).Format(time.RFC3339Nano))
	}
	day := h.Clock.Now().Format(time.DateOnly)
	for query, want := range map[string][]string{
		"":                                 {old, org, rotated, gone},
		"events=" + string(events.Rotated): {rotated},
		"events=" + string(events.Rotated) + "," + string(events.Disconnected):                {rotated, gone},
		"events=" + string(events.Rotated) + "&events=" + string(events.Disconnected):         {rotated, gone},
		"events%5B%5D=" + string(events.Rotated) + "&events[]=" + string(events.Disconnected): {rotated, gone},
		"events=dsync.user.created":                           nil,
		"events=dsync.user.created," + string(events.Rotated): {rotated},
		"events=":                 {old, org, rotated, gone},
		"organization_id=org%7C1": {org, gone},
		"organization_id=org_2":   nil,
		"organization_id=org%7C1&events=" + string(events.Disconnected):         {gone},
		"range_start=" + iso(time.Hour):                                         {rotated, gone},
		"range_end=" + iso(time.Hour):                                           {old, org},
		"range_start=" + iso(26*time.Hour) + "&range_end=" + iso(2*time.Minute): {org, rotated},
		"range_start=" + iso(time.Minute) + "&range_end=" + iso(time.Hour):      nil,
		"range_start=" + day:                                                    {rotated, gone},
		"range_end=" + day + "T00:00:00":                                        {old, org},
		"range_start=2020-01-01T00:00:00Z":                                      {old, org, rotated, gone},
		"range_end=1970-01-01T00:00:00Z":                                        nil,
		"range_start=2100-01-01":                                                nil,
		"range_start=":                                                          {old, org, rotated, gone},
	} {
		h.same(query, h.get("order=asc&"+query).ids, want...)
	}
}

func TestWhatAsksForEventsWronglyIs422(t *testing.T) {
	h := newHistory(t)
	for query, field := range map[string]string{
		"range_start=yesterday": "range_start", "range_end=2026-13-01": "range_end", "range_start=1700000000": "range_start",
		"range_start=2026-03-01T12:00:00+02:00": "range_start", // the plus sign is a space
		"range_start=2026-03-01T9:00:00Z":       "range_start", "range_end=2026-03-01T9:00:00": "range_end", "range_end=2026-03-01T12:00:00,5": "range_end",
		"limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "order=up": "order",
		"after=event_1": "after", "before=data_installation_01KJMBRG2V0000000000000001": "before",
		"after=" + events.Floor(h.Clock.Now()) + "&before=" + events.Floor(h.Clock.Now()): "before",
		"organization_id=": "organization_id", "organization_id=a%20b": "organization_id", "organization_id=a%25%32": "organization_id",
	} {
		a := h.Do(h.token, "GET", "/events?"+query, "")
		if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
}

func TestEventsAreKeptBackUntilTheyHaveSettledAndForThirtyDays(t *testing.T) {
	h := newHistory(t)
	kept := h.happened(events.Connected, "", events.Lasts-time.Minute)
	young := h.happened(events.Rotated, "", 0)
	h.same("at once", h.get("order=asc").ids, kept)
	h.Clock.Pass(4 * time.Second)
	h.same("after 4 seconds", h.get("order=asc").ids, kept)
	h.Clock.Pass(2 * time.Second)
	h.same("after 6 seconds", h.get("order=asc").ids, kept, young)
	h.Clock.Pass(time.Minute)
	// DynamoDB may take days to delete it.
	h.same("after 30 days", h.get("order=asc").ids, young)
}

func TestEventsNeedAKeyThatReadsAndAreOfOneTenantOnly(t *testing.T) {
	h := newHistory(t)
	id := h.happened(events.Connected, "", time.Minute)
	other := h.Tenant()
	for scope, want := range map[string]int{"read": 200, "manage": 200, "vend": 403, "widget": 403} {
		a := h.Do(h.Key(other, scope), "GET", "/events", "")
		if a.Status != want || strings.Contains(a.Body, id) {
			t.Errorf("F1: %s: %d %s", scope, a.Status, a.Body)
		}
	}
	if a := h.Do("", "GET", "/events", ""); a.Status != 401 {
		t.Errorf("without a key: %d", a.Status)
	}
}

func TestF31_DamagedEventsAreLeftOutWithAnAlarmAndKeepNobodyFromTheOthers(t *testing.T) {
	for name, damaged := range map[string][]int{"first": {0}, "in the middle": {3}, "last": {6}, "in a row": {2, 3, 4}} {
		for _, order := range []string{"asc", "desc"} {
			t.Run(name+" "+order, func(t *testing.T) {
				h := newHistory(t)
				var want []string
				for i := range 7 {
					id := h.happened(events.Connected, "", time.Duration(7-i)*time.Minute)
					if !slices.Contains(damaged, i) {
						want = append(want, id)
						continue
					}
					at, _ := events.Time(id)
					h.WriteDoc(table.Key{PK: "E#" + h.tenant + "#" + at.Format(time.DateOnly), SK: id}, []byte(`{"event":1}`))
				}
				if order == "desc" {
					slices.Reverse(want)
				}
				for _, limit := range []string{"1", "2", "3", "10"} {
					got, _ := h.all("order="+order+"&limit="+limit, "after")
					h.same("pages of "+limit, got, want...)
				}
				if alarms := h.Log.Alarms(); len(alarms) == 0 || slices.Compact(alarms)[0] != "poison" {
					t.Errorf("alarms %v", alarms)
				}
			})
		}
	}
}
