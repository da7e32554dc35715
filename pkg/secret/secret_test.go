package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keyvend/pkg/secret"
)

const canary = "sk-canary-0123456789abcdef"

// holder carries a secret where package fmt can reach no method of it.
type holder struct {
	hidden secret.Text
	Shown  secret.Text
	list   []secret.Text
	named  map[string]secret.Text
	any    any
}

func hold(text secret.Text) holder {
	return holder{text, text, []secret.Text{text}, map[string]secret.Text{"key": text}, text}
}

func TestNoVerbReachesASecretWhereverItIsHeld(t *testing.T) {
	text := secret.FromString(canary)
	h := hold(text)
	for _, verb := range "vsdqxXoObcgGeEfFUtTpw" {
		for _, flags := range []string{"", "+", "#", "-20", " ", "010"} {
			format := "%" + flags + string(verb)
			for _, value := range []any{text, &text, h, &h, []any{text}, map[string]any{"a": h}, struct{ x any }{text}} {
				silent(t, canary, fmt.Sprintf(format, value), "Sprintf "+format)
				silent(t, canary, fmt.Errorf(format, value).Error(), "Errorf "+format) //nolint:err113 // the format is what is tested
			}
		}
	}
}

func TestNoEncoderReachesASecret(t *testing.T) {
	text := secret.FromString(canary)
	h := hold(text)
	encoded, err := json.Marshal(map[string]any{"text": text, "pointer": &text, "holder": h, "list": []secret.Text{text}})
	if err != nil {
		t.Fatal(err)
	}
	silent(t, canary, string(encoded), "JSON")
	if want := `"text":"[redacted]"`; !strings.Contains(string(encoded), want) {
		t.Errorf("%s does not hold %s", encoded, want)
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Error("x", "text", text, "pointer", &text, "holder", h, "error", fmt.Errorf("with %v", text), slog.Group("g", "text", text))
	}
	silent(t, canary, log.String(), "slog")
}

func TestAPanicWithASecretTellsItsTypeOnly(t *testing.T) {
	defer func() {
		silent(t, canary, fmt.Sprintf("%v %+v %#v", recover(), hold(secret.FromString(canary)), errors.New("x")), "panic")
	}()
	panic(secret.FromString(canary))
}

func TestOnlyRevealTellsTheContent(t *testing.T) {
	text := secret.FromString(canary)
	if got := string(text.Reveal()); got != canary {
		t.Errorf("Reveal = %q", got)
	}
	if text.Len() != len(canary) {
		t.Errorf("Len = %d", text.Len())
	}
	var zero secret.Text
	if zero.Len() != 0 || len(zero.Reveal()) != 0 || zero.Last4() != "" {
		t.Error("the zero value is not empty")
	}
	zero.Wipe()
	if !zero.Equal(secret.FromString("")) {
		t.Error("two empty secrets differ")
	}
}

func TestEqualComparesContent(t *testing.T) {
	a := secret.FromString(canary)
	if !a.Equal(secret.New([]byte(canary))) {
		t.Error("equal contents differ")
	}
	for _, other := range []string{"", canary[1:], canary + "x", strings.ToUpper(canary)} {
		if a.Equal(secret.FromString(other)) {
			t.Errorf("equals %q", other)
		}
	}
}

func TestATailIsToldOnlyOfLongSecrets(t *testing.T) {
	for text, want := range map[string]string{"": "", "abcd": "", "abcdefg": "", "abcdefgh": "efgh", canary: "cdef"} {
		if got := secret.FromString(text).Last4(); got != want {
			t.Errorf("Last4 of %q = %q, want %q", text, got, want)
		}
	}
}

func TestWipeLeavesNothingInAnyCopyOfTheValue(t *testing.T) {
	b := []byte(canary)
	text := secret.New(b)
	copied := text
	text.Wipe()
	if !bytes.Equal(b, make([]byte, len(b))) || !bytes.Equal(copied.Reveal(), make([]byte, len(b))) {
		t.Error("content is left after Wipe")
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("0123456789abcdef", "%v")
	f.Add("x", "%p")
	f.Add("\x00\xff", "%#[1]x %w")
	f.Fuzz(func(t *testing.T, tail, format string) {
		text := secret.FromString("sk-canary-" + tail)
		h := hold(text)
		silent(t, "sk-canary-"+tail, fmt.Sprintf(format, text), format)
		silent(t, "sk-canary-"+tail, fmt.Sprintf(format, h, &text), format)
		silent(t, "sk-canary-"+tail, fmt.Errorf(format, text, h).Error(), format) //nolint:err113 // the format is what is tested
		encoded, err := json.Marshal([]any{text, h})
		if err != nil {
			t.Fatal(err)
		}
		silent(t, "sk-canary-"+tail, string(encoded), "JSON")
	})
}

// silent fails the test if out holds the canary's beginning in any spelling that
// a printer might choose.
func silent(t *testing.T, content, out, how string) {
	t.Helper()
	head := []byte(content[:10])
	for _, spelling := range []string{
		string(head),
		hex.EncodeToString(head),
		strings.ToUpper(hex.EncodeToString(head)),
		base64.StdEncoding.EncodeToString(head[:9]),
		strings.Trim(fmt.Sprint(head), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", head), "[]byte{"), "}"),
		strings.Trim(fmt.Sprintf("%o", head), "[]"),
		strings.Trim(fmt.Sprintf("%x", []int{'s', 'k', '-', 'c'}), "[]"),
	} {
		if strings.Contains(out, spelling) {
			t.Errorf("%s tells the secret: %q", how, out)
			return
		}
	}
}
