package protocol

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Languages are those in which a definition must say everything.
func Languages() []string { return []string{"en", "id"} }

// Text is one text in several languages, by BCP 47 language tag.
type Text map[string]string

// In returns the text in the language, else in its base language ("id" for
// "id-ID"), else in English, else "".
func (t Text) In(lang string) string {
	if s, ok := t[lang]; ok {
		return s
	}
	if base, _, ok := strings.Cut(lang, "-"); ok {
		if s, ok := t[base]; ok {
			return s
		}
	}
	return t["en"]
}

// Duration is a length of time as definitions write it: whole numbers with s,
// m, h, d (24 hours) or w (7 days), joined from the largest to the smallest,
// such as 90s, 1h30m or 14d. In JSON it is that text.
type Duration time.Duration

// errDuration is returned for text that is not a duration.
var errDuration = errors.New("write a whole number and s, m, h, d or w, such as 30m, 24h or 14d")

// maxDuration bounds durations; nothing in a crisis is planned for longer.
const maxDuration = Duration(2 * 366 * 24 * time.Hour)

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
}

// ParseDuration reads a positive duration of at most two years.
func ParseDuration(s string) (Duration, error) {
	var sum time.Duration
	rest, last := s, -1
	for rest != "" {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if n == 0 || n > 6 || n == len(rest) {
			return 0, errDuration
		}
		unit := slices.IndexFunc(durationUnits, func(u struct {
			name string
			unit time.Duration
		},
		) bool {
			return u.name == rest[n:n+1]
		})
		if unit < 0 || unit <= last {
			return 0, errDuration
		}
		v, err := strconv.Atoi(rest[:n])
		if err != nil {
			return 0, errDuration
		}
		if sum += time.Duration(v) * durationUnits[unit].unit; Duration(sum) > maxDuration {
			return 0, errors.New("at most two years")
		}
		rest, last = rest[n+1:], unit
	}
	if sum <= 0 {
		return 0, errDuration
	}
	return Duration(sum), nil
}

// String returns the shortest text that ParseDuration reads as d; days only
// from two on, so that 24h stays 24h. It returns "0s" for zero.
func (d Duration) String() string {
	rest := time.Duration(d)
	if rest <= 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits[1:] {
		if u.name == "d" && rest < 48*time.Hour {
			continue
		}
		if n := rest / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest -= n * u.unit
		}
	}
	return b.String()
}

// In returns the duration in words: "30 minutes", "24 jam". English is used
// for a language without words here.
func (d Duration) In(lang string) string {
	var parts []string
	rest := time.Duration(d)
	for i, u := range durationUnits[1:] {
		if u.name == "d" && rest < 48*time.Hour {
			continue
		}
		n := rest / u.unit
		if n == 0 {
			continue
		}
		rest -= n * u.unit
		if base, _, _ := strings.Cut(lang, "-"); base == "id" {
			parts = append(parts, fmt.Sprintf("%d %s", n, []string{"hari", "jam", "menit", "detik"}[i]))
			continue
		}
		word := []string{"day", "hour", "minute", "second"}[i]
		if n != 1 {
			word += "s"
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
	}
	return strings.Join(parts, " ")
}

// MarshalText returns String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote; "" and "0s" are zero.
func (d *Duration) UnmarshalText(b []byte) error {
	if s := string(b); s == "" || s == "0s" {
		*d = 0
		return nil
	}
	v, err := ParseDuration(string(b))
	*d = v
	return err
}

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// sortedKeys returns the keys of m in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
