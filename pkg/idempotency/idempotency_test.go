package idempotency_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/idempotency"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func request(key, content string, at time.Time) idempotency.Request {
	return idempotency.Request{Key: []byte(key), Content: []byte(content), At: at}
}

func TestF23_ARepeatIsKnownForADay(t *testing.T) {
	m := idempotency.Memory(nil).Remember(request("k", "c", start))
	for after, want := range map[time.Duration]bool{
		0: true, time.Second: true, 24*time.Hour - time.Nanosecond: true, 24 * time.Hour: false, 48 * time.Hour: false,
		-time.Minute: true, // the clock of another process is behind
	} {
		seen, same := m.Recall(request("k", "c", start.Add(after)))
		if seen != want || same != want {
			t.Errorf("after %v: seen %v, same %v", after, seen, same)
		}
	}
}

func TestF24_AnotherContentUnderTheSameKeyIsTold(t *testing.T) {
	m := idempotency.Memory(nil).Remember(request("k", "c", start))
	if seen, same := m.Recall(request("k", "other", start)); !seen || same {
		t.Errorf("seen %v, same %v", seen, same)
	}
	if seen, _ := m.Recall(request("other", "c", start)); seen {
		t.Error("another key is known")
	}
	if seen, _ := (idempotency.Memory)(nil).Recall(request("k", "c", start)); seen {
		t.Error("an empty memory knows something")
	}
}

func TestTheNewestFourAreRemembered(t *testing.T) {
	var m idempotency.Memory
	for i := range 10 {
		m = m.Remember(request(fmt.Sprint(i), "c", start))
	}
	for i := range 10 {
		if seen, _ := m.Recall(request(fmt.Sprint(i), "c", start)); seen != (i >= 6) {
			t.Errorf("request %d: %v", i, seen)
		}
	}
}

func TestRememberingDoesNotChangeTheMemoryItBeganFrom(t *testing.T) {
	m := idempotency.Memory(nil).Remember(request("a", "c", start))
	_ = m.Remember(request("b", "c", start))
	if len(m) != 1 || string(m[0].Key) != "a" {
		t.Errorf("%v", m)
	}
}

// The model: a list of all requests ever remembered.
func TestMemoryBehavesLikeTheListOfAllRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			m   idempotency.Memory
			all []idempotency.Request
			at  = start
		)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			at = at.Add(rapid.SampledFrom([]time.Duration{0, time.Hour, 13 * time.Hour}).Draw(t, "pass"))
			r := request(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "key"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "content"), at)
			seen, same := m.Recall(r)
			wantSeen, wantSame := recall(all, r)
			if seen != wantSeen || same != wantSame {
				t.Fatalf("recall of %s: %v %v, want %v %v", r.Key, seen, same, wantSeen, wantSame)
			}
			if seen {
				continue // what is known is not remembered again
			}
			m, all = m.Remember(r), append(all, r)
			if len(m) > 4 {
				t.Fatalf("remembers %d", len(m))
			}
			doc, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			m = nil
			if err := json.Unmarshal(doc, &m); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// recall looks through the four newest of all requests for one less than a day old.
func recall(all []idempotency.Request, r idempotency.Request) (seen, same bool) {
	for i := len(all) - 1; i >= 0 && i >= len(all)-4; i-- {
		if string(all[i].Key) == string(r.Key) && r.At.Sub(all[i].At) < 24*time.Hour {
			return true, string(all[i].Content) == string(r.Content)
		}
	}
	return false, false
}
