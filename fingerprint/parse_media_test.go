package fingerprint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint"
)

func TestParseOfVideosAndTexts(t *testing.T) {
	digits := strings.Repeat("0123456789", 7)
	hash := strings.Repeat("ab", 32)
	for _, c := range []struct {
		kind     fingerprint.Kind
		in, want string
	}{
		{fingerprint.TLSH, digits, "T1" + digits},
		{fingerprint.TLSH, " tlsh: t1" + digits + "\n", "T1" + digits},
		{fingerprint.TLSH, "T1" + digits + "0", ""},
		{fingerprint.TLSH, "", ""},
		{fingerprint.VPDQ, "7,100," + hash + ",0.25\n", `["` + hash + `,100,0.250"]`},
		{fingerprint.VPDQ, `[ "` + strings.ToUpper(hash) + `,100,0.25" ]`, `["` + hash + `,100,0.250"]`},
		{fingerprint.VPDQ, hash, ""},
		{fingerprint.VPDQ, strings.Repeat(" ", 3<<20), ""},
	} {
		got, err := fingerprint.Parse(c.kind, c.in)
		if c.want == "" {
			if s, ok := errors.AsType[*fingerprint.SyntaxError](err); !ok || s.Kind != c.kind {
				t.Errorf("Parse(%s, %.40q) = %v, %v, want a SyntaxError", c.kind, c.in, got, err)
			}
			continue
		}
		if err != nil || got.Text != c.want {
			t.Errorf("Parse(%s, %.40q) = %q, %v, want %q", c.kind, c.in, got.Text, err, c.want)
		}
		if again, err := fingerprint.Parse(c.kind, got.Text); err != nil || again != got {
			t.Errorf("Parse(%s) of its canonical form = %q, %v", c.kind, again.Text, err)
		}
	}
}
