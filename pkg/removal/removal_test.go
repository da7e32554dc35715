package removal_test

import (
	"testing"
	"time"

	"keyvend/pkg/removal"
)

var removed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestF50_ARemovalEndsAfterTwoEmptyPassesTheLastLongAfterIt(t *testing.T) {
	const settle = 15 * time.Minute
	for name, c := range map[string]struct {
		passes []int
		at     time.Duration
		done   bool
	}{
		"no pass":                               {nil, time.Hour, false},
		"one empty pass":                        {[]int{0}, time.Hour, false},
		"two empty passes":                      {[]int{0, 0}, time.Hour, true},
		"two empty passes too early":            {[]int{0, 0}, settle - time.Millisecond, false},
		"two empty passes just late enough":     {[]int{0, 0}, settle, true},
		"many empty passes too early":           {[]int{0, 0, 0, 0, 0}, settle - 1, false},
		"an empty pass before a full one":       {[]int{0, 7, 0}, time.Hour, false},
		"two empty passes before a full one":    {[]int{0, 0, 1}, time.Hour, false},
		"two empty passes behind a full one":    {[]int{5, 0, 0}, time.Hour, true},
		"a clock that was set back says no end": {[]int{0, 0}, -time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := removal.Job{RemovedAt: removed}
			for _, n := range c.passes {
				r.Pass(n)
			}
			if got := r.Done(removed.Add(c.at)); got != c.done {
				t.Errorf("done %v", got)
			}
		})
	}
}

func TestF50_APassOfManyTurnsCountsFromWhenItBegan(t *testing.T) {
	const settle = 15 * time.Minute
	for name, c := range map[string]struct {
		began time.Duration // of the last pass
		done  bool
	}{
		"too early":         {settle - time.Millisecond, false},
		"just late enough":  {settle, true},
		"a whole day later": {24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := removal.Job{RemovedAt: removed, EmptyPasses: 1}
			for n := range 3 {
				r.Begin(removed.Add(c.began + time.Duration(n)*time.Minute))
			}
			if got := r.End(); got != c.done || r.UnderWay() {
				t.Errorf("done %v", got)
			}
		})
	}
}
