package keep_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/keep"
)

func TestAMapKeepsWhatWasUsedLast(t *testing.T) {
	var gone []int
	m := keep.NewMap[string](2, func(v int) { gone = append(gone, v) })
	m.Put("a", 1)
	m.Put("b", 2)
	if v, ok := m.Get("a"); !ok || v != 1 {
		t.Errorf("a: %d %v", v, ok)
	}
	m.Put("c", 3)
	if _, ok := m.Get("b"); ok || m.Len() != 2 || !slices.Equal(gone, []int{2}) {
		t.Errorf("b is there; %d entries, gone %v", m.Len(), gone)
	}
	if v, ok := m.Peek("a"); !ok || v != 1 {
		t.Errorf("a: %d %v", v, ok)
	}
	m.Put("d", 4) // a look was no use: a was used before c was put
	if _, ok := m.Peek("a"); ok || !slices.Equal(gone, []int{2, 1}) {
		t.Errorf("a is there; gone %v", gone)
	}
}

func TestAMapTellsOfEachValueThatGoesOnce(t *testing.T) {
	var gone []int
	m := keep.NewMap[string](2, func(v int) { gone = append(gone, v) })
	m.Put("a", 1)
	m.Put("a", 2)
	if v, _ := m.Get("a"); v != 2 || m.Len() != 1 {
		t.Errorf("%d of %d entries", v, m.Len())
	}
	m.Drop("a")
	m.Drop("a")
	m.Drop("never there")
	if _, ok := m.Get("a"); ok || m.Len() != 0 || !slices.Equal(gone, []int{1, 2}) {
		t.Errorf("%d entries, gone %v", m.Len(), gone)
	}
	quiet := keep.NewMap[int, int](1, nil)
	for k := range 3 {
		quiet.Put(k, k)
	}
	if quiet.Len() != 1 {
		t.Errorf("%d entries", quiet.Len())
	}
}

func TestF21_AnInstantIsExpiredByEitherClockAndWhenEitherRanBackwards(t *testing.T) {
	const ttl = time.Minute
	wall, uptime := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), time.Hour
	clock := keep.NewClock(func() time.Time { return wall }, func() time.Duration { return uptime })
	born, bornWall, bornUptime := clock.Now(), wall, uptime
	for name, c := range map[string]struct {
		wall, uptime time.Duration
		expired      bool
	}{
		"at once":                       {0, 0, false},
		"just in time":                  {ttl - 1, ttl - 1, false},
		"the time is up":                {ttl, ttl, true},
		"wall clock ahead":              {ttl, 1, true},
		"wall clock back":               {-1, 1, true},
		"monotonic clock stood still":   {ttl, 0, true},
		"wall clock stood still":        {0, ttl, true},
		"monotonic clock back":          {1, -1, true},
		"as far ahead as can be told":   {math.MaxInt64, 1, true},
		"as far back as can be told":    {math.MinInt64, 1, true},
		"both back by more than a life": {-2 * ttl, -2 * ttl, true},
	} {
		wall, uptime = bornWall.Add(c.wall), bornUptime+c.uptime
		if clock.Now().Expired(born, ttl) != c.expired {
			t.Errorf("%s: expired is %v", name, !c.expired)
		}
	}
}

func TestTheRealClockRuns(t *testing.T) {
	clock := keep.NewClock(nil, nil)
	born := clock.Now()
	if now := clock.Now(); now.Expired(born, time.Hour) || !now.Expired(born, 0) {
		t.Error("two looks at the clock are an hour apart, or less than no time")
	}
}
