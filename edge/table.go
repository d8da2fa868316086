package edge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Name is a text like "S-0418" kept as its parts, so that a million of them
// need no memory of their own. The zero value is "".
type Name struct {
	form *nameForm
	n    uint64
	text string // if form is nil
}

type nameForm struct {
	prefix string
	width  int // least number of digits
}

// String returns the text.
func (n Name) String() string {
	if n.form == nil {
		return n.text
	}
	return string(n.Append(nil))
}

// Append appends the text to dst.
func (n Name) Append(dst []byte) []byte {
	if n.form == nil {
		return append(dst, n.text...)
	}
	dst = append(dst, n.form.prefix...)
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], n.n, 10)
	for range n.form.width - len(d) {
		dst = append(dst, '0')
	}
	return append(dst, d...)
}

// MarshalText implements encoding.TextMarshaler.
func (n Name) MarshalText() ([]byte, error) { return n.Append(nil), nil }

// splitName cuts s into a prefix and a number that Name.Append turns back into
// exactly s; ok is false if there is no such form.
func splitName(s string) (f nameForm, n uint64, ok bool) {
	i := len(s)
	for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' {
		i--
	}
	digits := s[i:]
	if digits == "" || len(digits) > 19 {
		return f, 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return f, 0, false
	}
	f = nameForm{prefix: s[:i], width: 1}
	if digits[0] == '0' && len(digits) > 1 {
		f.width = len(digits)
	}
	return f, n, true
}

// class is what many signals have in common. Classes are interned.
type class struct {
	Kind        fingerprint.Kind `json:"kind,omitempty"`
	List        string           `json:"list,omitempty"`
	Labels      []string         `json:"labels,omitempty"`
	Producer    string           `json:"producer,omitempty"`
	Action      Action           `json:"action,omitempty"`
	MaxDistance int              `json:"max_distance,omitempty"`
	Exercise    bool             `json:"exercise,omitempty"`
	Incident    string           `json:"incident,omitempty"`
	MaxStale    int64            `json:"max_stale_s,omitempty"`
	Mask        bool             `json:"mask,omitempty"` // a removal in an own chain
	// How signal and group are written. Forms have a width and a prefix ("#4
	// S-": S-0418) and begin with "@" if the number is the signal's own, with
	// "#" if the record has it; "=" means a text of the record's own, "" none.
	ID    string `json:"id_form,omitempty"`
	Group string `json:"group_form,omitempty"`

	id, group *nameForm // parsed forms; nil for "=" and ""
}

const ownText = "="

const (
	ownNumber = "@"
	anyNumber = "#"
)

func (f nameForm) text(first string) string { return first + strconv.Itoa(f.width) + " " + f.prefix }

func parseForm(s string) (*nameForm, error) {
	switch {
	case s == "" || s == ownText:
		return nil, nil //nolint:nilnil // no form
	case s[0] != '#' && s[0] != '@':
		return nil, fmt.Errorf("%w: a name's form is %q", ErrSyntax, s)
	}
	w, prefix, ok := strings.Cut(s[1:], " ")
	n, err := strconv.Atoi(w)
	if !ok || err != nil || n < 1 || n > 20 {
		return nil, fmt.Errorf("%w: a name's form is %q", ErrSyntax, s)
	}
	return &nameForm{prefix: prefix, width: n}, nil
}

// check refuses what no operation may say.
func (c *class) check() error {
	if c.Mask {
		return nil
	}
	op := Operation{Chain: SharedChain, Epoch: 1, Seq: 1, Do: Add, Signal: Signal{Number: 1, ID: "1", Kind: c.Kind, Value: "0", List: c.List, Labels: c.Labels,
		Producer: c.Producer, Action: c.Action, MaxDistance: c.MaxDistance, Incident: c.Incident, MaxStale: c.MaxStale}}
	return op.Check()
}

func (c *class) key() string {
	var b strings.Builder
	for _, s := range []string{string(c.Kind), c.List, c.Producer, string(c.Action), c.Incident, c.ID, c.Group} {
		b.WriteString(strconv.Quote(s))
	}
	for _, l := range c.Labels {
		b.WriteString(strconv.Quote(l))
	}
	fmt.Fprintf(&b, "%d %d %t %t", c.MaxDistance, c.MaxStale, c.Exercise, c.Mask)
	return b.String()
}

// maxStale is how old the feed may be for the class to block.
func (c *class) maxStale() time.Duration {
	if c.MaxStale == 0 {
		return DefaultMaxStale
	}
	return time.Duration(c.MaxStale) * time.Second
}

// record is one signal of one chain, without pointers: a million of them cost
// the garbage collector nothing.
type record struct {
	num     uint64 // signal's number
	group   uint64 // number in the group's form
	idNum   uint64 // number in the ID's form
	entry   int64
	expires int64 // Unix seconds; 0: never
	value   [32]byte
	class   uint32
	gen     uint32 // counts the uses of this slot; part of the index's id
	next    uint32 // next slot with the same exact value, plus 1
	chain   uint8
	size    uint8 // bytes of value in use; 0: the value is in table.texts
	flags   uint8
}

const (
	flagLive    = 1 << iota // the slot is in use
	flagMasked              // another chain has the last word on this signal
	flagTripped             // the circuit breaker made it review
	flagCapped              // degenerate value: review at most
	flagOwnText             // table.own has its ID or group
	flagEpoch               // a restored node forgot that it was removed
	flagUnfit               // no index here could take its value
)

type ownNames struct{ id, group string }

// table holds the signals of several chains. It does not lock.
type table struct {
	recs    []record
	free    []uint32
	classes []*class
	classOf map[string]uint32
	texts   map[uint32]string // values that do not fit into a record
	own     map[uint32]ownNames
	chains  []*chain
	gen     uint32 // first generation of a slot: tables differ, so that one's slots are never taken for another's
}

// chain is one chain's part of a table.
type chain struct {
	name  string
	index uint8
	pos   Position
	by    map[uint64]uint32 // slot by signal number
}

var generations atomic.Uint32

func newTable() *table {
	return &table{gen: generations.Add(1 << 16), classOf: map[string]uint32{}, texts: map[uint32]string{}, own: map[uint32]ownNames{}}
}

// chainOf returns the chain with this name, new if need be.
func (t *table) chainOf(name string) (*chain, error) {
	for _, c := range t.chains {
		if c.name == name {
			return c, nil
		}
	}
	if len(t.chains) >= maxChains {
		return nil, fmt.Errorf("%w: more than %d chains", ErrSyntax, maxChains)
	}
	c := &chain{name: name, index: uint8(len(t.chains)), by: map[uint64]uint32{}} //nolint:gosec // at most maxChains
	t.chains = append(t.chains, c)
	return c, nil
}

func (t *table) intern(c class) uint32 {
	k := c.key()
	if i, ok := t.classOf[k]; ok {
		return i
	}
	c.Labels = slices.Clone(c.Labels)
	// Forms come from splitName or were checked by the snapshot's reader.
	c.id, _ = parseForm(c.ID)
	c.group, _ = parseForm(c.Group)
	i := uint32(len(t.classes)) //nolint:gosec // bounded by the number of records
	t.classes = append(t.classes, &c)
	t.classOf[k] = i
	return i
}

// slot returns a free slot.
func (t *table) slot() uint32 {
	if n := len(t.free); n > 0 {
		s := t.free[n-1]
		t.free = t.free[:n-1]
		return s
	}
	t.recs = append(t.recs, record{gen: t.gen})
	return uint32(len(t.recs) - 1) //nolint:gosec // four billion signals do not fit in memory
}

// put stores the signal (or, with mask, its removal) and returns its slot. The
// number must not be in the chain yet.
func (t *table) put(c *chain, s *Signal, mask bool) (uint32, error) {
	cl := class{Kind: s.Kind, List: s.List, Labels: s.Labels, Producer: s.Producer, Action: s.Action, MaxDistance: s.MaxDistance,
		Exercise: s.Exercise, Incident: s.Incident, MaxStale: s.MaxStale}
	if mask {
		cl = class{Mask: true}
	}
	r := record{num: s.Number, entry: s.Entry, chain: c.index, flags: flagLive}
	if !s.Expires.IsZero() {
		r.expires = s.Expires.Unix()
	}
	var own ownNames
	if f, n, ok := splitName(s.ID); ok {
		cl.ID, r.idNum = f.text(anyNumber), n
		if n == s.Number {
			cl.ID = f.text(ownNumber)
		}
	} else {
		cl.ID, own.id = ownText, s.ID
	}
	if s.Group != "" && !mask {
		if f, n, ok := splitName(s.Group); ok {
			cl.Group, r.group = f.text(anyNumber), n
		} else {
			cl.Group, own.group = ownText, s.Group
		}
	}
	text := ""
	if !mask {
		var err error
		if r.value, r.size, text, err = packValue(s.Kind, s.Value); err != nil {
			return 0, err
		}
	}
	r.class = t.intern(cl)
	return t.place(c, r, text, own), nil
}

func (t *table) place(c *chain, r record, text string, own ownNames) uint32 {
	slot := t.slot()
	r.gen = t.recs[slot].gen + 1
	if own != (ownNames{}) {
		r.flags |= flagOwnText
		t.own[slot] = own
	}
	if text != "" {
		t.texts[slot] = text
	}
	t.recs[slot] = r
	c.by[r.num] = slot
	return slot
}

// drop frees the slot of a signal of the chain.
func (t *table) drop(c *chain, slot uint32) {
	r := &t.recs[slot]
	delete(c.by, r.num)
	delete(t.texts, slot)
	delete(t.own, slot)
	*r = record{gen: r.gen}
	t.free = append(t.free, slot)
}

// packValue turns the fixed-size kinds into bytes; others stay text. A value
// that is not of its kind's form is refused.
func packValue(kind fingerprint.Kind, text string) (v [32]byte, size uint8, rest string, err error) {
	switch kind {
	case fingerprint.PDQ:
		h, err := pdq.Parse(text)
		return h, 32, "", err
	case fingerprint.SHA256:
		d, err := digest.ParseSHA256(text)
		return d, 32, "", err
	case fingerprint.MD5:
		d, err := digest.ParseMD5(text)
		return [32]byte(append(d[:], make([]byte, 16)...)), 16, "", err
	}
	return v, 0, text, nil
}

func unpackValue(kind fingerprint.Kind, v *[32]byte) string {
	switch kind {
	case fingerprint.PDQ:
		return pdq.Hash(*v).String()
	case fingerprint.MD5:
		return digest.MD5(v[:16]).String()
	}
	return digest.SHA256(*v).String()
}

// id returns how people write the signal's number.
func (t *table) id(slot uint32) Name {
	r := &t.recs[slot]
	if f := t.classes[r.class].id; f != nil {
		return Name{form: f, n: r.idNum}
	}
	return Name{text: t.own[slot].id}
}

// groupName returns the signal's group.
func (t *table) groupName(slot uint32) Name {
	r := &t.recs[slot]
	if f := t.classes[r.class].group; f != nil {
		return Name{form: f, n: r.group}
	}
	if r.flags&flagOwnText == 0 {
		return Name{}
	}
	return Name{text: t.own[slot].group}
}

// signal returns all that the table knows of a slot.
func (t *table) signal(slot uint32) Signal {
	r := &t.recs[slot]
	c := t.classes[r.class]
	s := Signal{Number: r.num, ID: t.id(slot).String(), Kind: c.Kind, List: c.List, Labels: c.Labels, Producer: c.Producer, Action: c.Action,
		MaxDistance: c.MaxDistance, Group: t.groupName(slot).String(), Exercise: c.Exercise, Incident: c.Incident, MaxStale: c.MaxStale, Entry: r.entry}
	if r.expires != 0 {
		s.Expires = time.Unix(r.expires, 0).UTC()
	}
	if c.Mask {
		return s
	}
	s.Value = t.texts[slot]
	if r.size > 0 {
		s.Value = unpackValue(c.Kind, &r.value)
	}
	return s
}

// valueSize is the number of bytes of a fixed-size kind's value, 0 for text.
func valueSize(kind fingerprint.Kind) uint8 {
	switch kind {
	case fingerprint.PDQ, fingerprint.SHA256:
		return 32
	case fingerprint.MD5:
		return 16
	}
	return 0
}
