package catalog

import ("slices"; "strings")

// Judge stub.
func (c Check) Judge(status int, contentType string, body []byte) (Verdict, bool) {
	if strings.Contains(contentType, "html") { return "", false }
	switch { case slices.Contains(c.Valid, status): return Valid, true
	case slices.Contains(c.Limited, status): return Limited, true
	case slices.Contains(c.Invalid, status): return Invalid, true }
	return "", false }

// PerMinute stub.
func (p Provider) PerMinute() int { return 60 }
