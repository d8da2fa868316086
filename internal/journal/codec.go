package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	sealDomain  = "siaga.journal.seal.v1\n"
	entryDomain = "siaga.journal.entry.v1\n"

	// SaltSize is the number of random bytes that hide a payload.
	SaltSize = 16

	// MaxPayload is the size that the payload of one entry may have, in bytes.
	MaxPayload = 1 << 20

	// Entries are of the years 1 to 9999, which all forms of time can say.
	minMillis = -62_135_596_800_000
	maxMillis = 253_402_300_799_999

	// MaxAbout is the number of objects that one entry may be about.
	MaxAbout = 256
)

// Seal returns the hash that stands for salt and payload.
func Seal(salt, payload []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(sealDomain))
	h.Write(salt)
	h.Write(payload)
	var s [32]byte
	h.Sum(s[:0])
	return s
}

// Commit returns the commitment to an entry: the record of the Merkle tree.
func Commit(seal [32]byte, head []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(entryDomain))
	h.Write(seal[:])
	h.Write(head)
	var c [32]byte
	h.Sum(c[:0])
	return c
}

// appendString appends s as a JSON string: as encoding/json does without HTML
// escapes.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return appendEscaped(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string in a buffer cannot fail
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// appendKey appends a comma if needed and the key.
func appendKey(b []byte, key string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendMember(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendKey(b, key), value)
}

func appendHead(b []byte, e *Entry) []byte {
	b = appendHeadColumns(b, e.Number, e.Type, e.At.UnixMilli(), e.Partner, e.About)
	b = appendKey(b, "audience")
	b = append(b, '{')
	b = appendMember(b, "tlp", string(e.Audience.TLP))
	if len(e.Audience.Partners) > 0 {
		b = appendKey(b, "partners")
		for i, p := range e.Audience.Partners {
			b = append(b, "[,"[min(i, 1)])
			b = appendString(b, p)
		}
		b = append(b, ']')
	}
	b = appendMember(b, "origin", e.Audience.Origin)
	b = append(b, '}')
	if e.Exercise {
		b = append(appendKey(b, "exercise"), "true"...)
	}
	return append(b, '}')
}

// appendHeadColumns appends the part of the head that stores keep as columns.
func appendHeadColumns(b []byte, number int64, typ string, atMillis int64, partner string, about []Ref) []byte {
	b = append(b, `{"number":`...)
	b = strconv.AppendInt(b, number, 10)
	b = appendString(appendKey(b, "type"), typ)
	b = strconv.AppendInt(appendKey(b, "at_ms"), atMillis, 10)
	b = appendMember(b, "partner", partner)
	if len(about) > 0 {
		b = appendKey(b, "about")
		for i, r := range about {
			b = append(b, "[,"[min(i, 1)])
			b = append(b, `{"kind":`...)
			b = appendString(b, r.Kind)
			b = append(b, `,"id":`...)
			b = appendString(b, r.ID)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return b
}

func appendPayload(b []byte, e *Entry) []byte {
	b = append(b, '{')
	b = appendMember(b, "member", e.Member)
	b = appendMember(b, "token", e.Token)
	b = appendMember(b, "under", e.Under)
	b = appendMember(b, "why", e.Why)
	if len(e.Body) > 0 {
		b = append(appendKey(b, "body"), e.Body...)
	}
	return append(b, '}')
}

// canonical checks the entry and brings it into the form that its bytes stand
// for: whole milliseconds, compact body, every object named once.
func (e *Entry) canonical() error {
	if e.Type == "" {
		return problem.New(problem.Invalid, "the entry has no type", "tell the operator: this is a fault of the program")
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	if ms := e.At.UnixMilli(); ms < minMillis || ms > maxMillis {
		return problem.Newf(problem.Invalid, "the entry %s has a time outside the years 1 to 9999", e.Type)
	}
	e.Erased = false
	var about []Ref
	seen := make(map[Ref]bool, len(e.About))
	for _, r := range e.About {
		if r.Kind == "" || r.ID == "" {
			return problem.Newf(problem.Invalid, "the entry %s is about an object without kind or ID", e.Type)
		}
		if !seen[r] {
			seen[r] = true
			about = append(about, r)
		}
	}
	e.About = about
	if len(about) > MaxAbout {
		return problem.Newf(problem.TooLarge, "the entry %s is about %d objects, and %d are allowed", e.Type, len(about), MaxAbout)
	}
	if len(e.Audience.Partners) == 0 {
		e.Audience.Partners = nil
	}
	if len(e.Body) > 0 {
		var buf bytes.Buffer
		if err := json.Compact(&buf, e.Body); err != nil {
			return problem.Newf(problem.Invalid, "the body of the entry %s is not JSON", e.Type).Because(err)
		}
		e.Body = buf.Bytes()
		if string(e.Body) == "null" {
			e.Body = nil
		}
	} else {
		e.Body = nil
	}
	if !e.validText() {
		return problem.Newf(problem.Invalid, "the entry %s has text that is not UTF-8, or a NUL in an identifier", e.Type).WithFix("send UTF-8 text")
	}
	return nil
}

func (e *Entry) validText() bool {
	for _, s := range []string{e.Member, e.Token, e.Under, e.Why, string(e.Audience.TLP), e.Audience.Origin} {
		if !utf8.ValidString(s) {
			return false
		}
	}
	for _, p := range e.Audience.Partners {
		if !utf8.ValidString(p) {
			return false
		}
	}
	for _, r := range e.About {
		if !validID(r.Kind) || !validID(r.ID) {
			return false
		}
	}
	return validID(e.Type) && validID(e.Partner) && utf8.Valid(e.Body)
}

// validID reports whether every store can keep s as text.
func validID(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// storable returns keys that every store can keep as text.
func (k Keys) storable() Keys {
	for _, s := range []*string{&k.State, &k.Partner, &k.Parent, &k.Unique, &k.Sort, &k.Text} {
		if !validID(*s) {
			*s = strings.ReplaceAll(strings.ToValidUTF8(*s, "\uFFFD"), "\x00", "")
		}
	}
	return k
}

type headJSON struct {
	Number   int64           `json:"number"`
	Type     string          `json:"type"`
	AtMillis int64           `json:"at_ms"`
	Partner  string          `json:"partner"`
	About    []Ref           `json:"about"`
	Audience access.Audience `json:"audience"`
	Exercise bool            `json:"exercise"`
}

type payloadJSON struct {
	Member string          `json:"member"`
	Token  string          `json:"token"`
	Under  string          `json:"under"`
	Why    string          `json:"why"`
	Body   json.RawMessage `json:"body"`
}

// ParseEntry reads the canonical bytes of an entry. A nil payload is one that
// was erased. Bytes that are not canonical are an error: each entry has one
// form.
func ParseEntry(head, payload []byte) (Entry, error) {
	e, err := parseEntry(head, payload)
	if err != nil {
		return Entry{}, err
	}
	if again := appendHead(nil, &e); !bytes.Equal(again, head) {
		return Entry{}, fmt.Errorf("journal: head of entry %d is not in canonical form", e.Number)
	}
	if !e.Erased {
		if again := appendPayload(nil, &e); !bytes.Equal(again, payload) {
			return Entry{}, fmt.Errorf("journal: payload of entry %d is not in canonical form", e.Number)
		}
	}
	return e, nil
}

func parseEntry(head, payload []byte) (Entry, error) {
	var h headJSON
	if err := json.Unmarshal(head, &h); err != nil {
		return Entry{}, fmt.Errorf("journal: reading the head of an entry: %w", err)
	}
	if h.AtMillis < minMillis || h.AtMillis > maxMillis {
		return Entry{}, fmt.Errorf("journal: entry %d has a time out of range", h.Number)
	}
	e := Entry{
		Number: h.Number, Type: h.Type, At: time.UnixMilli(h.AtMillis).UTC(), Partner: h.Partner,
		About: h.About, Audience: h.Audience, Exercise: h.Exercise,
	}
	if payload == nil {
		e.Erased = true
		return e, nil
	}
	var p payloadJSON
	if err := json.Unmarshal(payload, &p); err != nil {
		return Entry{}, fmt.Errorf("journal: reading the payload of entry %d: %w", h.Number, err)
	}
	e.Member, e.Token, e.Under, e.Why, e.Body = p.Member, p.Token, p.Under, p.Why, p.Body
	return e, nil
}

// Entry returns the entry that the row stores.
func (r *Row) Entry() (Entry, error) { return parseEntry(r.Head, r.Payload) }

// RowOf returns the row of an entry from its head, payload, salt and seal, with
// all that follows from them. It is an error if head or payload is not in
// canonical form or does not fit the seal. An erased entry has neither payload
// nor salt.
func RowOf(head, payload, salt []byte, seal [32]byte) (Row, error) {
	e, err := ParseEntry(head, payload)
	if err != nil {
		return Row{}, err
	}
	if payload == nil != (salt == nil) || salt != nil && (len(salt) != SaltSize || Seal(salt, payload) != seal) {
		return Row{}, fmt.Errorf("journal: entry %d does not fit its seal", e.Number)
	}
	return Row{
		Number: e.Number, Type: e.Type, AtMillis: e.At.UnixMilli(), Partner: e.Partner, About: e.About,
		Head: head, Payload: payload, Salt: salt, Seal: seal, Commitment: Commit(seal, head),
	}, nil
}
