package catalog

// Judge stub.
func (c Check) Judge(status int, contentType string, body []byte) (Verdict, bool) { return "", false }

// PerMinute stub.
func (p Provider) PerMinute() int { return 60 }
