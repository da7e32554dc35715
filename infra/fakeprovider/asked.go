package fakeprovider

import (
	"encoding/hex"
	"slices"
	"time"

	"keyvend/pkg/secret"
)

// Asked is what a fake was asked.
type Asked struct {
	Count int        // of all asks, whatever came of them
	Odd   int        // of those that were not the request that the check describes
	Keys  []AskedKey // in the order of their first ask

	times []time.Time
}

// AskedKey is a key that was sent to a fake.
type AskedKey struct {
	Hash  string `json:"hash"`   // SHA-256, in hexadecimal digits
	Last4 string `json:"last_4"` // "" for keys shorter than 8 bytes
	Count int    `json:"count"`
}

// Of is how often the key was sent.
func (a Asked) Of(key string) int {
	d := digestOf(key)
	for _, k := range a.Keys {
		if k.Hash == hex.EncodeToString(d[:]) {
			return k.Count
		}
	}
	return 0
}

// Peak is the most asks that fell into a window of that length, wherever it
// began.
func (a Asked) Peak(window time.Duration) int {
	times := slices.SortedFunc(slices.Values(a.times), time.Time.Compare)
	most, first := 0, 0
	for i, t := range times {
		for t.Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func (a Asked) clone() Asked {
	a.Keys, a.times = slices.Clone(a.Keys), slices.Clone(a.times)
	return a
}

// record counts an ask; key is "" when none was sent.
func (s *fakeState) record(now time.Time, key string, fits bool) {
	s.asked.Count++
	s.asked.times = append(s.asked.times, now)
	if !fits {
		s.asked.Odd++
	}
	if key == "" {
		return
	}
	d := digestOf(key)
	i, known := s.keys[d]
	if !known {
		i = len(s.asked.Keys)
		s.keys[d] = i
		s.asked.Keys = append(s.asked.Keys, AskedKey{Hash: hex.EncodeToString(d[:]), Last4: secret.FromString(key).Last4()})
	}
	s.asked.Keys[i].Count++
}
