package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// usage is what operators are told of how keys are used.
func usage() []guarantee {
	return []guarantee{
		{"who_read_a_key_and_how_often_is_told_exactly", readsOfAnAccount},
	}
}

func readsOfAnAccount(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	secret := newSecret()
	id := shop.upsert("openai", m{"user_id": "ada|1", "secret": secret}).text("id")
	idle := shop.upsert("openai", m{"user_id": "bo", "secret": newSecret()}).text("id")
	reads := func() (n int, rows []map[string]any) {
		rows = shop.do("GET", "/keyvend/accounts/"+id+"/reads", nil).is(200).rows()
		for _, row := range rows {
			n += int(row["count"].(float64))
		}
		return n, rows
	}
	hours := func() (vended, refused int) {
		for _, row := range shop.do("GET", "/keyvend/integrations/openai/usage?hours=2", nil).is(200).rows() {
			vended += int(row["vended"].(float64))
			refused += int(row["refused"].(float64))
		}
		return vended, refused
	}
	other := k.issue(t, shop.tenant, "vend")
	begun := time.Now().Add(-time.Second)
	for range 3 {
		shop.vends("openai", m{"user_id": "ada|1"}, secret)
	}
	client{t: t, target: k, key: other.Token}.vends("openai", m{"user_id": "ada|1"}, secret)
	shop.vends("openai", m{"user_id": "nobody"}, "")
	// More than that must not come, though deliveries are repeated: a second wave
	// shows what the first had become by then.
	for wave, want := range []int{4, 7} {
		if wave > 0 {
			for range 3 {
				shop.vends("openai", m{"user_id": "ada|1"}, secret)
			}
		}
		await(t, fmt.Sprintf("%d reads are told", want), func() bool {
			n, rows := reads()
			vended, refused := hours()
			if n > want || vended > want || refused > 1 {
				t.Fatalf("%v, %d vended, %d refused", rows, vended, refused)
			}
			return n == want && vended == want && refused == 1
		})
	}
	keys := map[any]bool{}
	_, rows := reads()
	for _, row := range rows {
		keys[row["api_key_id"]] = true
		if last, err := time.Parse(time.RFC3339, fmt.Sprint(row["last_read_at"])); err != nil || last.Before(begun) || last.After(time.Now().Add(time.Second)) {
			t.Errorf("%v %v", row, err)
		}
	}
	if len(keys) != 2 || !keys[other.APIKey.ID] {
		t.Errorf("read with %v", keys)
	}
	used := map[any]any{}
	for _, row := range shop.do("GET", "/keyvend/accounts", nil).is(200).rows() {
		used[row["id"]] = row["last_used_at"]
	}
	if last, err := time.Parse(time.RFC3339, fmt.Sprint(used[id])); err != nil || last.Before(begun) || used[idle] != nil {
		t.Errorf("last used %v", used)
	}
	if one := shop.do("GET", "/keyvend/accounts/"+id, nil).is(200); one.field("last_used_at") != used[id] {
		t.Errorf("%s, the list has %v", one.body, used[id])
	}
	shop.with("vend").do("GET", "/keyvend/accounts/"+id+"/reads", nil).is(403, "insufficient_scope")
	k.newShop(t).do("GET", "/keyvend/accounts/"+id+"/reads", nil).is(404, "not_found")
	shop.do("DELETE", connected("ada|1", "openai", ""), nil).is(204)
	shop.do("GET", "/keyvend/accounts/"+id+"/reads", nil).is(404, "not_found")
}

// TestAKilledProcessCountsEachVendOnce kills infra/local with SIGKILL while it
// vends, again and again, and compares its counts with its audit log.
func TestAKilledProcessCountsEachVendOnce(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	p := startLocal(t, dir)
	shop := p.demo(t)
	shop.register("openai")
	secret := newSecret()
	shop.upsert("openai", m{"user_id": "ada", "secret": secret})
	for round := range 3 {
		if round > 0 {
			p = startLocal(t, dir)
			shop = p.demo(t)
		}
		var vending sync.WaitGroup
		for worker := range 3 {
			vending.Go(func() {
				for range 40 {
					asked := request{method: "POST", path: "/data-integrations/openai/credentials", body: m{"user_id": "ada"}, header: http.Header{"Authorization": {"Bearer " + shop.key}}}
					if _, err := shop.try(asked); err != nil {
						return // it is dead
					}
				}
				if worker == 0 {
					p.kill()
				}
			})
		}
		vending.Wait()
		p.kill()
	}
	p = startLocal(t, dir)
	vended := bytes.Count(file(t, filepath.Join(dir, "audit.log")), []byte(`"outcome":"vended"`))
	if vended < 120 {
		t.Fatalf("only %d vends: this test sees nothing", vended)
	}
	told := func() (n int) {
		for _, row := range p.demo(t).do("GET", "/keyvend/integrations/openai/usage?hours=2", nil).is(200).rows() {
			n += int(row["vended"].(float64))
		}
		return n
	}
	await(t, fmt.Sprintf("%d vends are told", vended), func() bool { return told() >= vended })
	p.interrupt()
	p = startLocal(t, dir) // which takes up what was counted last, and then what is new
	p.demo(t).vends("openai", m{"user_id": "ada"}, secret)
	await(t, "one more vend is told", func() bool { return told() > vended })
	if n := told(); n != vended+1 {
		t.Errorf("%d vends are told of %d", n, vended+1)
	}
	p.interrupt()
	noCanary(t, p.target())
}
