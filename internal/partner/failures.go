package partner

import (
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	failuresFree   = 5               // failures before one has to wait
	failuresWindow = 5 * time.Minute // after the last failure the count starts anew
	failuresMost   = 10_000          // entries kept; the oldest window goes first
)

// failures counts wrong sign-ins by account and by address. Nobody is locked
// out: after five failures one waits, at most until the window ends.
type failures struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[string]failure // guarded by mu
}

type failure struct {
	n    int
	last time.Time
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, seen: make(map[string]failure)}
}

func (f *failures) check(keys ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for _, k := range keys {
		v, ok := f.seen[k]
		if !ok || now.Sub(v.last) > failuresWindow {
			continue
		}
		limit := failuresFree
		if strings.HasPrefix(k, "addr ") {
			limit *= 6 // an office shares one address
		}
		if v.n >= limit {
			left := (failuresWindow - now.Sub(v.last)).Round(time.Second)
			return problem.Of(problem.Busy, problem.Say("too many wrong attempts"), problem.Say("wait %s and try again", left))
		}
	}
	return nil
}

func (f *failures) count(keys ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if len(f.seen) >= failuresMost {
		for k, v := range f.seen {
			if now.Sub(v.last) > failuresWindow {
				delete(f.seen, k)
			}
		}
		if len(f.seen) >= failuresMost {
			clear(f.seen)
		}
	}
	for _, k := range keys {
		v := f.seen[k]
		if now.Sub(v.last) > failuresWindow {
			v.n = 0
		}
		f.seen[k] = failure{v.n + 1, now}
	}
}

func (f *failures) clear(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.seen, key)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Digits returns the ASCII form of the digits in s; it accepts the digits of any script, and spaces between them.
func Digits(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return r
		case unicode.IsDigit(r):
			for zero := r; ; zero-- { // digits of a script are ten in a row
				if !unicode.IsDigit(zero-1) || r-zero == 9 {
					return '0' + (r - zero)
				}
			}
		}
		return -1
	}, s)
}

func decodeSecret(s string) ([]byte, error) {
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("reading a TOTP secret: %w", err)
	}
	return b, nil
}
