package vault

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/tenant"
)

// SettingsStore keeps a tenant's settings.
type SettingsStore interface {
	Reader
	SaveSettings(ctx context.Context, tenantID string, s *tenant.Settings) error
}

// Settings are the tenant's own to read and change.
type Settings struct {
	Store SettingsStore
	Clock ident.Clock
}

// SettingsChange changes settings; what is nil stays as it is.
type SettingsChange struct {
	AllowedOrigins    *[]string
	SessionsNotBefore *time.Time
}

// The bounds of origins. All of them go to browsers in one header: with the rest of
// the headers it stays below the 4 KiB that nginx takes of those from who is behind
// it (proxy_buffer_size), and API Gateway's 10,240 bytes.
const (
	maxOrigins     = 50
	maxOriginBytes = 3000
)

// Set changes the tenant's settings and returns what they are then.
func (s *Settings) Set(ctx context.Context, v *Visit, change SettingsChange) (tenant.Settings, error) {
	if change.AllowedOrigins != nil {
		if err := checkOrigins(*change.AllowedOrigins); err != nil {
			return tenant.Settings{}, err
		}
	}
	var next tenant.Settings
	err := again(ctx, s.Store, v, func(v *Visit) error {
		next = v.Settings
		if change.AllowedOrigins != nil {
			next.AllowedOrigins = each(*change.AllowedOrigins)
		}
		if change.SessionsNotBefore != nil {
			from, err := notBefore(next.SessionsNotBefore, *change.SessionsNotBefore, s.Clock.Now())
			if err != nil {
				return err
			}
			next.SessionsNotBefore = from
		}
		return s.Store.SaveSettings(ctx, v.Target.Tenant, &next)
	})
	return next, err
}

const (
	lately    = time.Minute // how old the present may be that somebody sends
	lockedOut = time.Hour   // how long no session may begin, at most
)

// notBefore is when sessions may begin that were to begin after wanted. Those that
// were ended do not live again. A time that is still to come may be taken back as far
// as the present, which revives nothing.
func notBefore(before, wanted, now time.Time) (time.Time, error) {
	earliest := before
	if present := now.Add(skew); present.Before(earliest) {
		earliest = present
	}
	switch {
	case wanted.After(now.Add(lockedOut)) && !wanted.Equal(before):
		return before, wrongNotBefore("Until then no session could begin, so it is at most an hour ahead. Send the present time to end all sessions, or leave it out.")
	case !wanted.Before(earliest):
		return wanted, nil
	case wanted.Before(now.Add(-lately)):
		return before, wrongNotBefore("Sessions from before " + earliest.Format(time.RFC3339) + " have ended and stay so. Send the present time or a later one, or leave it out.")
	default:
		return earliest, nil
	}
}

func wrongNotBefore(sentence string) error {
	return wrongValues([]fault.Detail{{Code: "invalid_value", Field: "sessions_not_before", Message: sentence}})
}

func checkOrigins(origins []string) error {
	if len(origins) > maxOrigins {
		return fault.New(fault.Invalid, "unprocessable_entity", "allowed_origins has at most 50 entries.")
	}
	for i, origin := range origins {
		if !validOrigin(origin) { // it may be a key that went to the wrong place
			wrong := fault.Newf(fault.Invalid, "unprocessable_entity",
				"Entry %d of allowed_origins is not an origin like https://app.example.com: scheme, host in lower case, and a port if it is not the usual one; http only for this machine.", i+1)
			wrong.Details = []fault.Detail{{Code: "invalid_origin", Field: "allowed_origins", Message: wrong.Message}}
			return wrong
		}
	}
	if len(inOneHeader(origins)) < len(origins) {
		return wrongValues([]fault.Detail{{Code: "too_long", Field: "allowed_origins",
			Message: fmt.Sprintf("Browsers get them in one header, so they have at most %d bytes in all. List fewer, or shorter ones.", maxOriginBytes)}})
	}
	return nil
}

// inOneHeader are as many of the first origins as a header may have.
func inOneHeader(origins []string) []string {
	size := 0
	for i, origin := range origins {
		if size += len(origin) + len(" "); size > maxOriginBytes {
			return origins[:i]
		}
	}
	return origins
}

// each is every origin once, in the order in which they were written.
func each(origins []string) []string {
	once := []string{}
	for _, origin := range origins {
		if !slices.Contains(once, origin) {
			once = append(once, origin)
		}
	}
	return once
}

// notInHost reports whether a browser would not send r in an origin's host: it
// sends what is not ASCII as punycode.
func notInHost(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == ':')
}

// tooLong reports whether a host's name is one that the DNS cannot have (RFC 1035,
// section 2.3.4, as text).
func tooLong(name string) bool {
	return len(name) > 253 || slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return len(label) > 63 })
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

// validOrigin says whether a browser may send text as the Origin of a page:
// origins are compared byte for byte, so any other spelling would never match.
func validOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || text != u.Scheme+"://"+u.Host || text != strings.ToLower(text) {
		return false
	}
	name := u.Hostname()
	ip, _ := netip.ParseAddr(name)
	switch {
	case name == "" || strings.ContainsFunc(name, notInHost) || strings.HasSuffix(u.Host, ":") || tooLong(name):
		return false
	case u.Port() != "" && !validPort(u.Port()):
		return false
	case u.Scheme == "https":
		return u.Port() != "443"
	default:
		return u.Scheme == "http" && u.Port() != "80" && (name == "localhost" || ip.IsLoopback())
	}
}
