package usage

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// vends are n entries of one API key, from a time on.
func vends(key string, at time.Time, n int) []Entry {
	var entries []Entry
	for i := range n {
		entries = append(entries, Entry{RequestID: fmt.Sprintf("req_%s_%d_%d", key, at.UnixMilli(), i), APIKey: key, At: at, Vended: true})
	}
	return entries
}

// again is v after a way through its stored form.
func again[T any](t interface{ Fatal(...any) }, v *T) *T {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	read := new(T)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestReadsAreTheNewestTwentyWhateverTheOrderAndTheRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []Part
		counts := map[string]map[int64]Read{}
		for i := range rapid.IntRange(1, 40).Draw(t, "parts") {
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			at := start.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minute")) * time.Minute).Add(time.Duration(i) * time.Millisecond)
			entries := vends(key, at, rapid.IntRange(1, 3).Draw(t, "n"))
			parts = append(parts, NewPart(entries))
			if counts[key] == nil {
				counts[key] = map[int64]Read{}
			}
			window := at.Truncate(Window)
			read := counts[key][window.Unix()]
			if at.After(read.LastAt) {
				read.LastAt = at
			}
			counts[key][window.Unix()] = Read{key, window, read.Count + len(entries), read.LastAt}
		}
		var want []Read
		for _, windows := range counts {
			for _, read := range windows {
				want = append(want, read)
			}
		}
		slices.SortFunc(want, func(a, b Read) int {
			if c := b.Start.Compare(a.Start); c != 0 {
				return c
			}
			return int(a.APIKey[0]) - int(b.APIKey[0])
		})
		want = want[:min(20, len(want))]

		r := &Reads{}
		for _, p := range rapid.Permutation(append(slices.Clone(parts), parts...)).Draw(t, "deliveries") {
			before := len(r.Applied)
			if changed := r.Add(p, start); changed == (len(r.Applied) == before) {
				t.Fatal("it does not say what it did")
			}
			r = again(t, r)
		}
		if !reflect.DeepEqual(r.List, want) {
			t.Fatalf("%v\nwant %v", r.List, want)
		}
	})
}

func TestAPartIsTheSameInAnyOrderAndNoOther(t *testing.T) {
	entries := vends("a", start, 3)
	turned := slices.Clone(entries)
	slices.Reverse(turned)
	if NewPart(entries).digest != NewPart(turned).digest || NewPart(entries).Shard() != NewPart(turned).Shard() {
		t.Error("the order matters")
	}
	h := &Hour{}
	for i, p := range []Part{NewPart(entries), NewPart(entries[:2]), NewPart(entries[1:]), NewPart(vends("b", start, 3))} {
		if !h.Add(p, start) {
			t.Errorf("part %d is taken for another", i)
		}
	}
	if shard := NewPart(entries).Shard(); shard < 0 || shard >= Shards {
		t.Errorf("shard %d", shard)
	}
}

func TestAnHourCountsVendedAndRefusedOnce(t *testing.T) {
	entries := vends("a", start, 5)
	entries[1].Vended, entries[4].Vended = false, false
	h := &Hour{}
	for range 3 {
		h.Add(NewPart(entries), start)
		h = again(t, h)
	}
	if h.Vended != 3 || h.Refused != 2 {
		t.Errorf("%+v", h)
	}
}

func TestARepeatIsRecognizedForAnHourAnd255OtherParts(t *testing.T) {
	p := NewPart(vends("a", start, 1))
	other := func(i int) Part { return NewPart(vends("b", start.Add(time.Duration(i)*time.Second), 1)) }

	h := &Hour{}
	h.Add(p, start)
	for i := range Most - 1 {
		h.Add(other(i), start)
	}
	if h.Add(p, start) {
		t.Error("forgotten after 255 others")
	}
	h.Add(other(Most), start)
	if !h.Add(p, start) {
		t.Error("remembered after 256 others: the row grows")
	}
	if len(h.Applied) != Most*recordSize {
		t.Errorf("%d bytes", len(h.Applied))
	}

	late := &Hour{}
	late.Add(p, start)
	late.Add(other(1), start.Add(Remembers))
	if late.Add(p, start.Add(Remembers)) {
		t.Error("forgotten within the hour")
	}
	late.Add(other(2), start.Add(Remembers+time.Second))
	if len(late.Applied) != 2*recordSize {
		t.Errorf("%d bytes", len(late.Applied))
	}
}

func TestUseIsNotedOnceInAWindow(t *testing.T) {
	u := &Used{}
	noted := 0
	for at := start; at.Before(start.Add(time.Hour)); at = at.Add(20 * time.Second) {
		if u.Note(at) {
			noted++
		}
		if behind := at.Sub(u.At); behind < 0 || behind >= Window {
			t.Fatalf("%v behind", behind)
		}
	}
	if noted != 12 {
		t.Errorf("noted %d times within an hour", noted)
	}
	if last := u.At; u.Note(start) || !u.At.Equal(last) {
		t.Error("an older vend is noted")
	}
}

// A row that is written with every delivery should cost one write unit, which is
// a kilobyte with its key.
func TestBudget_TheReadsOfAnAccountWithOneAPIKeyAreUnderAKilobyte(t *testing.T) {
	r := &Reads{}
	for i := range 50 {
		at := start.Add(time.Duration(i) * Window)
		r.Add(NewPart(vends("api_key_01ARZ3NDEKTSV4RRFFQ69G5FAV", at, 100)), at)
	}
	text, err := json.Marshal(r)
	if err != nil || len(text) > 900 || len(r.List) != Newest {
		t.Errorf("%d bytes, %d reads, %v", len(text), len(r.List), err)
	}
}
