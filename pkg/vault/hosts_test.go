package vault_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/table"
)

// quarter is a clinic whose users name the hosts that a provider of the catalog is
// asked at.
type quarter struct {
	*clinic
	slug  string
	ids   map[string]string // by user
	users []string

	mu     sync.Mutex
	says   map[string]int  // status by host; all others take every key
	counts map[string]int  // questions by host
	dead   map[string]bool // users whose keys are refused
}

func newQuarter(t *testing.T, slug string) *quarter {
	t.Helper()
	q := &quarter{clinic: newClinic(t), slug: slug, ids: map[string]string{}, says: map[string]int{}, counts: map[string]int{}, dead: map[string]bool{}}
	q.Register(q.token, slug)
	q.Providers.Answer(q.answer)
	return q
}

func (q *quarter) answer(ask catalog.Ask) (health.Answer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts[ask.Host]++
	for user := range q.dead {
		if strings.Contains(string(ask.Header["PRIVATE-TOKEN"].Reveal()), "-"+user+"-") {
			return boottest.Says(http.StatusUnauthorized, `{}`), nil
		}
	}
	status := http.StatusOK
	if said, ok := q.says[ask.Host]; ok {
		status = said
	} else if said, ok := q.says["*"]; ok {
		status = said
	}
	return boottest.Says(status, `{}`), nil
}

// settle stores keys of users with a config in JSON, "" being none.
func (q *quarter) settle(users int, name string, config func(i int) string) {
	q.t.Helper()
	for i := range users {
		user := fmt.Sprint(name, i)
		more := ""
		if c := config(i); c != "" {
			more = `,"config":` + c
		}
		body := fmt.Sprintf(`{"user_id":%q,"secret":"%s0123456789-%s-us21"%s}`, user, boottest.Canary, user, more)
		q.ids[user] = q.Must(http.StatusOK, q.token, "PUT", "/data-integrations/"+q.slug+"/api-key", body).Text("id")
		q.users = append(q.users, user)
	}
	q.follow()
}

// look has a user's key looked at, and returns what is known of it.
func (q *quarter) look(user string) string {
	q.t.Helper()
	path := "/keyvend/accounts/" + q.ids[user]
	q.Must(http.StatusAccepted, q.token, "POST", path+"/check", "")
	for q.World.Check(); q.Checks.Waiting() > 0; q.World.Check() {
		q.Clock.Pass(5 * time.Second)
	}
	return q.Must(http.StatusOK, q.token, "GET", path, "").Text("health.reason")
}

// twice looks at the keys of users twice, so far apart that two refusals count.
func (q *quarter) twice(users ...string) (reasons []string) {
	q.t.Helper()
	for _, user := range users {
		q.look(user)
	}
	q.Clock.Pass(3 * time.Minute)
	for _, user := range users {
		reasons = append(reasons, q.look(user))
	}
	return reasons
}

func at(host string) func(int) string {
	return func(int) string { return `{"hostname":"` + host + `"}` }
}

func nowhereElse(int) string { return "" }

// ownHosts are settings by which each account of a provider has a host of its own.
var ownHosts = map[string]string{
	"freshdesk":  `{"subdomain":"acme%d"}`,
	"gitlab-pat": `{"hostname":"git%d.example.com"}`,
	"grafana":    `{"domain":"acme%d.grafana.net"}`,
	"mailchimp":  `{"dc":"us%d"}`,
	"sentry":     `{"hostname":"sentry%d.example.com"}`,
	"shopify":    `{"shop":"acme-%d"}`,
}

func TestF32_ABadDayOfAProviderWhoseHostsAccountsNameTurnsNoKey(t *testing.T) {
	for _, p := range catalog.All() {
		if p.Check == nil || !p.Check.AnyHost(p.ConfigFields) {
			continue
		}
		own, ok := ownHosts[p.Slug]
		if !ok {
			t.Errorf("the test has no hosts for %s", p.Slug)
			continue
		}
		hosts := map[string]func(int) string{
			"a host each":      func(i int) string { return fmt.Sprintf(own, i+1) },
			"one host for all": func(int) string { return fmt.Sprintf(own, 1) },
		}
		if f := p.ConfigFields[0]; f.Default != "" || f.DeriveFromKey != nil {
			hosts["what is assumed"] = nowhereElse
		}
		for name, config := range hosts {
			t.Run(p.Slug+" "+name, func(t *testing.T) {
				q := newQuarter(t, p.Slug)
				q.settle(8, "user", config)
				for _, user := range q.users {
					if got := q.look(user); got != "works" {
						t.Fatalf("a key %s", got)
					}
				}
				q.says["*"] = http.StatusUnauthorized
				for _, reason := range append(q.twice(q.users...), q.twice(q.users...)...) {
					if reason != "doubted" {
						t.Errorf("a key is %s", reason)
					}
				}
				delete(q.says, "*")
				for _, user := range q.users {
					if got := q.look(user); got != "works" {
						t.Errorf("after it, a key %s", got)
					}
				}
				for _, e := range q.told() {
					if e.Name != event.Connected {
						t.Errorf("%s was told of %s", e.Name, e.Data.User())
					}
				}
			})
		}
	}
}

func TestF32_OneHostsBadDayIsNoticedWhileOthersTakeAndRefuseKeys(t *testing.T) {
	q := newQuarter(t, "gitlab-pat")
	q.settle(6, "ours", at("git.example.com"))
	q.settle(8, "theirs", nowhereElse)
	for _, user := range q.users {
		q.look(user)
	}
	q.says["git.example.com"] = http.StatusUnauthorized
	for i := range 6 { // in turns, so that the provider as a whole takes keys
		q.look(fmt.Sprint("ours", i))
		q.look(fmt.Sprint("theirs", i))
	}
	q.Clock.Pass(3 * time.Minute)
	for i := range 6 {
		if got := q.look(fmt.Sprint("ours", i)); got != "doubted" {
			t.Errorf("on its host's bad day a key is %s", got)
		}
		q.look(fmt.Sprint("theirs", i))
	}
	q.dead["theirs7"] = true
	if got := q.twice("theirs7"); got[0] != "refused" {
		t.Errorf("a dead key of another host is %s", got[0])
	}
}

// A host in trouble is left alone, and it alone.
func TestF32_AHostInTroubleIsAskedLessAndLessAndOthersAsEver(t *testing.T) {
	for _, slug := range []string{"gitlab-pat", "mailchimp"} {
		t.Run(slug, func(t *testing.T) {
			q := newQuarter(t, slug)
			bad := map[string]string{"gitlab-pat": "git1.example.com", "mailchimp": "us21.api.mailchimp.com"}[slug]
			q.settle(40, "theirs", func(int) string {
				if slug == "gitlab-pat" {
					return fmt.Sprintf(ownHosts[slug], 1)
				}
				return "" // the key says it
			})
			q.settle(5, "ours", func(int) string { return fmt.Sprintf(ownHosts[slug], 2) })
			q.Must(http.StatusOK, q.token, "PATCH", "/keyvend/integrations/"+slug, `{"check_interval":"15m"}`)
			q.says[bad] = http.StatusServiceUnavailable
			q.rounds(10) // every key is looked at a first time
			first := q.counts[bad]
			q.rounds(60)
			if asked := q.counts[bad] - first; asked > 40 {
				t.Errorf("a host in trouble was asked %d times in an hour for 40 keys", asked)
			}
			for i := range 5 {
				a := q.Must(http.StatusOK, q.token, "GET", "/keyvend/accounts/"+q.ids[fmt.Sprint("ours", i)], "")
				at, err := time.Parse(time.RFC3339, a.Text("health.checked_at"))
				if err != nil || q.Clock.Now().Sub(at) > 25*time.Minute || a.Text("health.verdict") != "valid" {
					t.Errorf("a key of another host was looked at %s: %s", at, a.Text("health.reason"))
				}
			}
			delete(q.says, bad)
			q.Clock.Pass(2 * time.Hour)
			q.rounds(60)
			for _, user := range q.users {
				if a := q.Must(http.StatusOK, q.token, "GET", "/keyvend/accounts/"+q.ids[user], ""); a.Text("health.verdict") != "valid" {
					t.Errorf("after the trouble the key of %s is %s", user, a.Text("health.reason"))
				}
			}
		})
	}
}

func TestF32_HostsInTroubleThatOneAccountEachNamesKeepNoOthersKeyFromBeingLookedAt(t *testing.T) {
	q := newQuarter(t, "gitlab-pat")
	q.settle(30, "theirs", func(i int) string { return fmt.Sprintf(ownHosts["gitlab-pat"], i) })
	q.settle(1, "ours", nowhereElse)
	q.rounds(3)
	q.Clock.Pass(30 * time.Hour) // so that all are due
	q.says["*"], q.says["gitlab.com"] = http.StatusServiceUnavailable, http.StatusOK
	for i := range 90 {
		q.look(fmt.Sprint("theirs", i%30))
		q.Clock.Pass(time.Minute)
	}
	before := q.counts["gitlab.com"]
	q.rounds(5)
	if q.counts["gitlab.com"] == before {
		t.Error("a good host is not asked")
	}
	q.says["gitlab.com"] = http.StatusUnauthorized
	if got := q.twice("ours0"); got[0] != "refused" {
		t.Errorf("a dead key of another host is %s", got[0])
	}
}

func TestWhateverHostsAccountsNameRowsOfThemAreFewAndExpireWithinHours(t *testing.T) {
	q := newQuarter(t, "gitlab-pat")
	hosts := 0
	next := func() string {
		hosts++
		body := fmt.Sprintf(`{"user_id":"mallory","secret":"%s0123456789","config":{"hostname":"git%d.example.com"}}`, boottest.Canary, hosts)
		q.ids["mallory"] = q.Must(http.StatusOK, q.token, "PUT", "/data-integrations/gitlab-pat/api-key", body).Text("id")
		q.follow()
		return q.look("mallory")
	}
	for range 20 {
		if got := next(); got != "works" {
			t.Fatalf("the key %s", got)
		}
	}
	if rows := q.breakers(); len(rows) != 0 {
		t.Errorf("%d rows of hosts that take every key", len(rows))
	}
	q.says["*"] = http.StatusServiceUnavailable
	for range 20 {
		if got := next(); got != "provider_trouble" {
			t.Fatalf("the key %s", got)
		}
	}
	rows := q.breakers()
	if len(rows) != 20 {
		t.Errorf("%d rows of 20 hosts in trouble", len(rows))
	}
	for _, row := range rows {
		if left := row.ExpiresAt.Sub(q.Clock.Now()); row.ExpiresAt.IsZero() || left > 2*time.Hour+time.Second {
			t.Errorf("%s is kept for %s", row.SK, left)
		}
		if len(row.Doc) > 300 {
			t.Errorf("%s has %d bytes", row.SK, len(row.Doc))
		}
	}
}

// breakers are the rows of the provider and its hosts but for its pace.
func (q *quarter) breakers() []table.Item {
	q.t.Helper()
	page, err := q.Engine.Query(q.t.Context(), table.Query{PK: "S#PROVIDER#" + q.slug, Limit: table.MaxPage})
	if err != nil {
		q.t.Fatal(err)
	}
	return slices.DeleteFunc(page.Items, func(i table.Item) bool { return !strings.HasPrefix(i.SK, "BREAKER") })
}
