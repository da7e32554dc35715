package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what a run found, as tables in Markdown.
type report struct {
	title string
	facts [][]string
	pages [][]string
}

func (r *report) fact(name, format string, args ...any) {
	r.facts = append(r.facts, []string{name, fmt.Sprintf(format, args...)})
}

func (r *report) print(out io.Writer) {
	_, _ = fmt.Fprintln(out, markdown([]string{r.title, ""}, r.facts))
	if len(r.pages) == 0 {
		return
	}
	_, _ = fmt.Fprint(out, markdown([]string{"a page of 100, median and worst of " + strconv.Itoa(samples), "first", "middle", "last"}, r.pages))
}

func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	for _, row := range append([][]string{head, slices.Repeat([]string{"---"}, len(head))}, rows...) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

// samples is how often a page is asked for.
const samples = 9

// timing says the median and the worst of some times.
func timing(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%s, %s", round(times[len(times)/2]), round(times[len(times)-1]))
}

// round cuts a time to three digits or so.
func round(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
}

// number writes 1234567 as 1,234,567.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
