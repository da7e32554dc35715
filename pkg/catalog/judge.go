package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Judge says what a provider's answer to the check means for the key that it was
// asked about; false: nothing. First come the rules that look into the body, then
// the statuses. A web page is nobody's word about a key, whatever its status: it
// is a login, a block page or a captive portal on the way. Work and memory are in
// proportion to the body.
func (c Check) Judge(status int, contentType string, body []byte) (Verdict, bool) {
	if !telling(status) || isPage(contentType, body) {
		return "", false
	}
	if verdict, ok := c.judgeBody(status, body); ok {
		return verdict, true
	}
	return c.judgeStatus(status)
}

// JudgeStatus says what an answer means by its status alone, unless it is a web page.
func (c Check) JudgeStatus(status int, contentType string, body []byte) (Verdict, bool) {
	if !telling(status) || isPage(contentType, body) {
		return "", false
	}
	return c.judgeStatus(status)
}

// LooksInto reports whether there are rules that look into answers of a status.
func (c Check) LooksInto(status int) bool {
	return slices.ContainsFunc(c.When, func(r Rule) bool { return r.Status == status })
}

func (c Check) judgeBody(status int, body []byte) (Verdict, bool) {
	rules := slices.DeleteFunc(slices.Clone(c.When), func(r Rule) bool { return r.Status != status })
	if len(rules) == 0 {
		return "", false
	}
	answer, ok := decodeAnswer(body)
	if !ok {
		return "", false
	}
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.met(answer) })
	if i < 0 {
		return "", false
	}
	return rules[i].Verdict, true
}

// judgeStatus believes no list that Validate refuses: a row may have been edited.
func (c Check) judgeStatus(status int) (Verdict, bool) {
	switch {
	case slices.Contains(c.Valid, status):
		return Valid, true
	case slices.Contains(c.Limited, status):
		return Limited, true
	case slices.Contains(c.Invalid, status) && status >= 400:
		return Invalid, true
	}
	return "", false
}

// maxAnswer is how many bytes of JSON are looked into.
const maxAnswer = 1 << 20

// decodeAnswer reads a body that is one JSON value. encoding/json gives up on
// what is nested deeper than 10,000 levels.
func decodeAnswer(body []byte) (any, bool) {
	if len(body) > maxAnswer {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var answer any
	if err := d.Decode(&answer); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return answer, errors.Is(err, io.EOF)
}

// met reports whether an answer of the rule's status meets all conditions. A
// rule without any is met by nothing.
func (rule Rule) met(answer any) bool {
	unmet := func(c Condition) bool { return !c.met(answer) }
	return len(rule.All) > 0 && rule.Verdict.known() && !slices.ContainsFunc(rule.All, unmet)
}

func (c Condition) met(answer any) bool { return anyAt(answer, strings.Split(c.Path, "."), c.holds) }

// anyAt reports whether holds is true of one of the values at path.
func anyAt(value any, path []string, holds func(any) bool) bool {
	if len(path) == 0 {
		return holds(value)
	}
	name, each := strings.CutSuffix(path[0], "[]")
	object, _ := value.(map[string]any)
	member, ok := object[name]
	if !ok {
		return false
	}
	if !each {
		return anyAt(member, path[1:], holds)
	}
	list, _ := member.([]any)
	return slices.ContainsFunc(list, func(v any) bool { return anyAt(v, path[1:], holds) })
}

func (c Condition) holds(value any) bool {
	text, isText := value.(string)
	switch {
	case c.Equals != nil:
		return same(c.Equals, value)
	case len(c.OneOf) > 0:
		return isText && slices.Contains(c.OneOf, text)
	case c.StartsWith != "":
		return isText && strings.HasPrefix(text, c.StartsWith)
	}
	return c.Exists && value != nil
}

// same compares what a rule wants with what an answer has.
func same(want, got any) bool {
	switch want := want.(type) {
	case string, bool:
		return want == got
	case float64:
		number, ok := got.(json.Number)
		return ok && sameNumber(want, number)
	}
	return false
}

// sameNumber compares by value and exactly: 1.0 is 1, and no number is the float64
// that is next to it.
func sameNumber(want float64, got json.Number) bool {
	w, _ := readDecimal(strconv.FormatFloat(want, 'e', -1, 64))
	g, ok := readDecimal(string(got))
	return ok && w == g
}

// decimal is a number: digits, which neither begin nor end with 0, times a power
// of ten. The zero value is 0.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

func readDecimal(text string) (decimal, bool) {
	mantissa, power, hasPower := strings.Cut(strings.ToLower(text), "e")
	exponent := 0
	if hasPower {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return decimal{}, false
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	long := strings.TrimLeft(whole+fraction, "0")
	digits := strings.TrimRight(long, "0")
	if digits == "" {
		return decimal{}, true
	}
	return decimal{negative, digits, exponent - len(fraction) + len(long) - len(digits)}, true
}

// sniffed is how many bytes of a body are searched for signs of a web page.
const sniffed = 1 << 10

// isPage reports whether an answer is a web page, by its type or by its look. A
// JSON text that quotes a page counts as one: saying nothing harms nobody.
func isPage(contentType string, body []byte) bool {
	if strings.Contains(strings.ToLower(contentType), "html") {
		return true
	}
	// Without zeros UTF-16 reads like ASCII; U+FFFD stands for bytes of its mark.
	head := bytes.ReplaceAll(body[:min(len(body), sniffed)], []byte{0}, nil)
	head = bytes.ToLower(bytes.TrimLeft(head, "\ufeff\ufffd \t\r\n"))
	if bytes.Contains(head, []byte("<!doctype html")) || bytes.Contains(head, []byte("<html")) {
		return true
	}
	for _, tag := range []string{
		"<head", "<body", "<title", "<meta", "<script", "<style", "<link", "<iframe", "<!--",
		"<h1", "<p>", "<p ", "<div", "<center", "<table", "<font", "<br", "<a ", "<b>", "<pre",
	} {
		if bytes.HasPrefix(head, []byte(tag)) {
			return true
		}
	}
	return false
}
