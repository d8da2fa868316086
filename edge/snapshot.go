package edge

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	snapshotMagic = "siaga-snapshot1\n"
	maxHeader     = 64 << 10
	maxClassBytes = 16 << 10
	maxClasses    = 1 << 20
	maxSignals    = 1 << 28
)

// SnapshotHeader says what a snapshot is of. It stands at its beginning, as
// JSON.
type SnapshotHeader struct {
	Key        KeyID     `json:"key"` // of the key that signed; "" for an edge's own, which ends with a digest instead
	Chain      string    `json:"chain"`
	Position             // the snapshot is the chain's state after this operation
	Signals    int       `json:"signals"` // records that follow, masks included
	At         time.Time `json:"at"`      // node's time
	Checkpoint string    `json:"checkpoint,omitempty"`
}

// State is the folded state of one chain: what a subscriber that starts now
// would have to know. A node keeps one for each chain to make snapshots from.
// It is not safe for concurrent use. The zero value is not ready; see NewState.
type State struct {
	t *table
	c *chain
}

// NewState returns the empty state of a chain.
func NewState(chain string) *State {
	t := newTable()
	c, _ := t.chainOf(chain) // the first of a table
	return &State{t: t, c: c}
}

// Position is after the last operation applied.
func (s *State) Position() Position { return s.c.pos }

// Len is the number of signals, masks included.
func (s *State) Len() int { return len(s.c.by) }

// Apply folds the next operation, which must follow (see Sealed.Follows). A
// signal whose value is not of its kind's form, or an unknown Do, moves the
// position and leaves the signal out; the error, which wraps ErrSyntax, says so.
func (s *State) Apply(op *Sealed) error {
	if op.Chain != s.c.name {
		return fmt.Errorf("%w: an operation of chain %s for chain %s", ErrSyntax, op.Chain, s.c.name)
	}
	if err := op.Follows(s.c.pos); err != nil {
		return err
	}
	s.c.pos = op.Position()
	if slot, ok := s.c.by[op.Number]; ok {
		s.t.drop(s.c, slot)
	}
	switch op.Do {
	case Add:
		if _, err := s.t.put(s.c, &op.Signal, false); err != nil {
			return fmt.Errorf("%w: signal %s: %v", ErrSyntax, op.ID, err) //nolint:errorlint // one sentinel is enough
		}
	case Remove:
		if s.c.name != SharedChain {
			_, _ = s.t.put(s.c, &op.Signal, true) // masks have no value to be wrong
		}
	case Clear:
	default:
		return fmt.Errorf("%w: signal %s: unknown operation %q", ErrSyntax, op.ID, op.Do)
	}
	return nil
}

// WriteSnapshot writes the state in the form of docs/format/feed.md, signed.
func (s *State) WriteSnapshot(w io.Writer, signer Signer, at time.Time, checkpoint string) error {
	h := SnapshotHeader{Key: IDOf(signer.Public()), Chain: s.c.name, Position: s.c.pos, At: at.UTC().Truncate(time.Millisecond), Checkpoint: checkpoint}
	return s.t.writeChain(w, s.c, h, signer)
}

// ReadState reads a signed snapshot as a node does that keeps its own.
func ReadState(r io.Reader, keys *Keys) (*State, error) {
	t := newTable()
	br := bufio.NewReaderSize(r, 64<<10)
	_, c, err := t.readChain(br, keys, nil)
	if err != nil {
		return nil, err
	}
	return &State{t: t, c: c}, nil
}

// CheckSnapshot checks the signature over all bytes of one signed snapshot and
// returns its header; the records are not read, which takes most of the time of
// ReadState. It is for who made the snapshot: what the key has signed is taken to
// be well formed. The error wraps ErrSyntax or ErrSignature.
func CheckSnapshot(b []byte, keys *Keys) (SnapshotHeader, error) {
	var h SnapshotHeader
	body, ok := bytes.CutPrefix(b, []byte(snapshotMagic))
	if !ok {
		return h, fmt.Errorf("%w: this is not a snapshot of the feed", ErrSyntax)
	}
	n, w := binary.Uvarint(body)
	if w <= 0 || n > maxHeader || uint64(len(body)-w) < n+ed25519.SignatureSize {
		return h, fmt.Errorf("%w: the snapshot is cut off", ErrSyntax)
	}
	if err := json.Unmarshal(body[w:w+int(n)], &h); err != nil { //nolint:gosec // at most maxHeader
		return h, fmt.Errorf("%w: reading a snapshot's header: %v", ErrSyntax, err) //nolint:errorlint // one sentinel is enough
	}
	end := len(b) - ed25519.SignatureSize
	sum := sha256.Sum256(b[:end])
	if err := keys.verify(h.Key, h.At, domainSnapshot, sum[:], b[end:]); err != nil {
		return h, fmt.Errorf("snapshot of chain %s: %w", h.Chain, err)
	}
	return h, nil
}

// SnapshotPart is one of the snapshots in the answer to a request for them: a
// chain's.
type SnapshotPart struct {
	SnapshotHeader
	Bytes []byte // as they were signed; part of what was parsed
}

// ParseSnapshots reads snapshots that stand one after the other, as a node
// sends them, and checks their form and signatures. The error wraps ErrSyntax
// or ErrSignature.
func ParseSnapshots(b []byte, keys *Keys) ([]SnapshotPart, error) {
	var out []SnapshotPart
	r := bytes.NewReader(b)
	br := bufio.NewReaderSize(r, 64<<10)
	for at := 0; at < len(b); {
		if len(out) >= maxChains {
			return nil, fmt.Errorf("%w: more than %d snapshots", ErrSyntax, maxChains)
		}
		h, _, err := newTable().readChain(br, keys, nil)
		if err != nil {
			return nil, err
		}
		end := len(b) - r.Len() - br.Buffered()
		out = append(out, SnapshotPart{h, b[at:end:end]})
		at = end
	}
	return out, nil
}

// hashWriter writes to both.
type hashWriter struct {
	w *bufio.Writer
	h hash.Hash
}

func (w hashWriter) Write(p []byte) (int, error) {
	_, _ = w.h.Write(p) // a hash never fails
	return w.w.Write(p)
}

// writeChain writes one chain. With a nil signer it ends with the digest alone.
func (t *table) writeChain(dst io.Writer, c *chain, h SnapshotHeader, signer Signer) error {
	w := hashWriter{bufio.NewWriterSize(dst, 64<<10), sha256.New()}
	slots := t.slots(c)
	h.Signals = len(slots)
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	// Only the classes in use, the most frequent first, so that their numbers
	// take one byte.
	uses := map[uint32]int{}
	for _, slot := range slots {
		uses[t.recs[slot].class]++
	}
	order := make([]uint32, 0, len(uses))
	for k := range uses {
		order = append(order, k)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if d := uses[b] - uses[a]; d != 0 {
			return d
		}
		return cmpUint(uint64(a), uint64(b))
	})
	local := make(map[uint32]uint64, len(order))

	buf := append([]byte(snapshotMagic), binary.AppendUvarint(nil, uint64(len(head)))...)
	buf = append(buf, head...)
	buf = binary.AppendUvarint(buf, uint64(len(order)))
	for i, k := range order {
		local[k] = uint64(i) //nolint:gosec // a count
		cj, err := json.Marshal(t.classes[k])
		if err != nil {
			return fmt.Errorf("writing a snapshot: %w", err)
		}
		buf = binary.AppendUvarint(buf, uint64(len(cj)))
		buf = append(buf, cj...)
	}
	if _, err := w.Write(buf); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	var last record
	for _, slot := range slots {
		r := &t.recs[slot]
		cl := t.classes[r.class]
		buf = binary.AppendUvarint(buf[:0], r.num-last.num)
		buf = binary.AppendUvarint(buf, local[r.class])
		buf = binary.AppendVarint(buf, r.entry-last.entry)
		buf = binary.AppendVarint(buf, r.expires-last.expires)
		switch {
		case strings.HasPrefix(cl.ID, ownNumber):
		case cl.id != nil:
			buf = binary.AppendVarint(buf, int64(r.idNum-r.num)) //nolint:gosec // wraps both ways
		case cl.ID == ownText:
			buf = appendText(buf, t.own[slot].id)
		}
		switch {
		case cl.group != nil:
			buf = binary.AppendVarint(buf, int64(r.group-last.group)) //nolint:gosec // wraps both ways
		case cl.Group == ownText:
			buf = appendText(buf, t.own[slot].group)
		}
		switch {
		case cl.Mask:
		case r.size > 0:
			buf = append(buf, r.value[:r.size]...)
		default:
			buf = appendText(buf, t.texts[slot])
		}
		group := last.group
		if cl.group != nil {
			group = r.group
		}
		last = *r
		last.group = group
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("writing a snapshot: %w", err)
		}
	}
	end := w.h.Sum(nil)
	if signer != nil {
		if end, err = signer.SignFeed(append([]byte(domainSnapshot), end...)); err != nil {
			return fmt.Errorf("signing a snapshot: %w", err)
		}
	}
	if _, err := w.w.Write(end); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	return nil
}

// slots returns the slots of a chain in order of their signals' numbers.
func (t *table) slots(c *chain) []uint32 {
	slots := make([]uint32, 0, len(c.by))
	for slot := range t.recs {
		if r := &t.recs[slot]; r.chain == c.index && r.flags&flagLive != 0 {
			slots = append(slots, uint32(slot)) //nolint:gosec // a slot
		}
	}
	slices.SortFunc(slots, func(a, b uint32) int {
		return cmpUint(t.recs[a].num, t.recs[b].num)
	})
	return slots
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func appendText(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// hashReader reads from a buffered reader and hashes what was read. It reads
// ahead within the reader's own buffer; flush gives back what it did not take.
type hashReader struct {
	r   *bufio.Reader
	h   hash.Hash
	win []byte // what r has buffered
	at  int    // how much of that was taken
}

// flush hashes what was taken and leaves r behind it.
func (r *hashReader) flush() {
	_, _ = r.h.Write(r.win[:r.at]) // a hash never fails
	_, _ = r.r.Discard(r.at)       // it is buffered
	r.win, r.at = nil, 0
}

// more makes at least one byte available.
func (r *hashReader) more() error {
	if r.at < len(r.win) {
		return nil
	}
	r.flush()
	if _, err := r.r.Peek(1); err != nil {
		return err
	}
	r.win, _ = r.r.Peek(r.r.Buffered()) // it is buffered
	return nil
}

func (r *hashReader) ReadByte() (byte, error) {
	if err := r.more(); err != nil {
		return 0, err
	}
	r.at++
	return r.win[r.at-1], nil
}

func (r *hashReader) full(p []byte) error {
	for len(p) > 0 {
		if err := r.more(); err != nil {
			return err
		}
		n := copy(p, r.win[r.at:])
		r.at += n
		p = p[n:]
	}
	return nil
}

// uvarint reads a number.
func (r *hashReader) uvarint() (uint64, error) {
	if v, n := binary.Uvarint(r.win[r.at:]); n > 0 {
		r.at += n
		return v, nil
	}
	return binary.ReadUvarint(r) // across the buffer's end, or wrong
}

// varint reads a number that may be negative.
func (r *hashReader) varint() (int64, error) {
	u, err := r.uvarint()
	return int64(u>>1) ^ -int64(u&1), err //nolint:gosec // as binary.ReadVarint
}

// bytes reads a length and that many bytes; it allocates as bytes arrive.
func (r *hashReader) bytes(limit uint64) ([]byte, error) {
	n, err := r.uvarint()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: a part of %d bytes, the limit is %d", ErrSyntax, n, limit)
	}
	out := make([]byte, 0, min(n, 512))
	for uint64(len(out)) < n {
		if err := r.more(); err != nil {
			return nil, err
		}
		part := r.win[r.at:]
		part = part[:min(uint64(len(part)), n-uint64(len(out)))]
		out = append(out, part...)
		r.at += len(part)
	}
	return out, nil
}

// errCut says that a snapshot ends early.
func errCut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // as io.ReadFull returns them
		return fmt.Errorf("%w: the snapshot is cut off", ErrSyntax)
	}
	return err
}

// readChain reads one chain into the table, which must not have it yet. A
// snapshot that names a key is checked against keys; one that names none only
// against its digest, and only if keys is nil. On error the table is unusable.
// accept, if not nil, sees the header before the rest is read.
func (t *table) readChain(br *bufio.Reader, keys *Keys, accept func(SnapshotHeader) error) (h SnapshotHeader, c *chain, err error) {
	r := &hashReader{r: br, h: sha256.New()}
	magic := make([]byte, len(snapshotMagic))
	if err := r.full(magic); err != nil {
		return h, nil, errCut(err)
	}
	if string(magic) != snapshotMagic {
		return h, nil, fmt.Errorf("%w: this is not a snapshot of the feed", ErrSyntax)
	}
	head, err := r.bytes(maxHeader)
	if err != nil {
		return h, nil, errCut(err)
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return h, nil, fmt.Errorf("%w: reading a snapshot's header: %v", ErrSyntax, err) //nolint:errorlint // one sentinel is enough
	}
	if !validChain(h.Chain) || h.Signals < 0 || h.Signals > maxSignals {
		return h, nil, fmt.Errorf("%w: a snapshot of chain %q with %d signals", ErrSyntax, h.Chain, h.Signals)
	}
	if (h.Key == "") != (keys == nil) {
		return h, nil, fmt.Errorf("%w: the snapshot of chain %s is not signed", ErrSignature, h.Chain)
	}
	if accept != nil {
		if err := accept(h); err != nil {
			return h, nil, err
		}
	}
	if c, err = t.chainOf(h.Chain); err != nil {
		return h, nil, err
	}
	if len(c.by) > 0 || c.pos != (Position{}) {
		return h, nil, fmt.Errorf("%w: two snapshots of chain %s", ErrSyntax, h.Chain)
	}
	if err := t.readRecords(r, c, h.Signals, keys == nil); err != nil {
		return h, nil, errCut(err)
	}
	r.flush()
	sum := r.h.Sum(nil)
	end := make([]byte, ed25519.SignatureSize)
	if keys == nil {
		end = end[:sha256.Size]
	}
	if _, err := io.ReadFull(br, end); err != nil {
		return h, nil, errCut(err)
	}
	if keys == nil {
		if !bytes.Equal(end, sum) {
			return h, nil, fmt.Errorf("%w: the snapshot of chain %s is damaged", ErrSyntax, h.Chain)
		}
	} else if err := keys.verify(h.Key, h.At, domainSnapshot, sum, end); err != nil {
		return h, nil, fmt.Errorf("snapshot of chain %s: %w", h.Chain, err)
	}
	c.pos = h.Position
	return h, c, nil
}

func (t *table) readRecords(r *hashReader, c *chain, signals int, trusted bool) error {
	n, err := r.uvarint()
	if err != nil {
		return err
	}
	if n > maxClasses {
		return fmt.Errorf("%w: %d classes, the limit is %d", ErrSyntax, n, maxClasses)
	}
	var local []uint32
	for range n {
		b, err := r.bytes(maxClassBytes)
		if err != nil {
			return err
		}
		var cl class
		if err := json.Unmarshal(b, &cl); err != nil {
			return fmt.Errorf("%w: reading a snapshot's class: %v", ErrSyntax, err) //nolint:errorlint // one sentinel is enough
		}
		if err := cl.check(); err != nil {
			return err
		}
		for _, f := range []string{cl.ID, cl.Group} {
			if _, err := parseForm(f); err != nil {
				return err
			}
		}
		local = append(local, t.intern(cl))
	}
	// Room for what is announced, but no more than what could have been sent
	// by then; the rest grows as it arrives. What this edge wrote itself is
	// believed.
	room := min(signals, 1<<12)
	if trusted {
		room = signals
	}
	if len(c.by) == 0 {
		c.by = make(map[uint64]uint32, room)
	}
	t.recs = slices.Grow(t.recs, room)
	var last record
	for range signals {
		if err := t.readRecord(r, c, local, &last); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) readRecord(r *hashReader, c *chain, local []uint32, last *record) error {
	dn, err := r.uvarint()
	if err != nil {
		return err
	}
	k, err := r.uvarint()
	if err != nil {
		return err
	}
	de, err := r.varint()
	if err != nil {
		return err
	}
	dx, err := r.varint()
	if err != nil {
		return err
	}
	if dn == 0 || dn > math.MaxUint64-last.num || k >= uint64(len(local)) {
		return fmt.Errorf("%w: a snapshot's record is out of order or of no class", ErrSyntax)
	}
	rec := record{num: last.num + dn, entry: last.entry + de, expires: last.expires + dx, class: local[k], chain: c.index, flags: flagLive}
	if rec.expires < 0 || rec.entry < 0 {
		return fmt.Errorf("%w: a snapshot's record has a number below 0", ErrSyntax)
	}
	cl := t.classes[rec.class]
	group := last.group
	var own ownNames
	switch {
	case strings.HasPrefix(cl.ID, ownNumber):
		rec.idNum = rec.num
	case cl.id != nil:
		d, err := r.varint()
		if err != nil {
			return err
		}
		rec.idNum = rec.num + uint64(d) //nolint:gosec // wraps both ways
	case cl.ID == ownText:
		b, err := r.bytes(MaxText)
		if err != nil {
			return err
		}
		own.id = string(b)
	}
	switch {
	case cl.group != nil:
		d, err := r.varint()
		if err != nil {
			return err
		}
		group += uint64(d) //nolint:gosec // wraps both ways
		rec.group = group
	case cl.Group == ownText:
		b, err := r.bytes(MaxText)
		if err != nil {
			return err
		}
		own.group = string(b)
	}
	text := ""
	if !cl.Mask {
		if rec.size = valueSize(cl.Kind); rec.size > 0 {
			if err := r.full(rec.value[:rec.size]); err != nil {
				return err
			}
		} else {
			b, err := r.bytes(MaxValue)
			if err != nil {
				return err
			}
			text = string(b)
		}
	}
	t.place(c, rec, text, own)
	*last = rec
	last.group = group
	return nil
}

// Signals returns what the chain says, by signal number. A removal in an own
// chain has a number, an ID and an entry only.
func (s *State) Signals() map[uint64]Signal {
	out := make(map[uint64]Signal, len(s.c.by))
	for num, slot := range s.c.by {
		out[num] = s.t.signal(slot)
	}
	return out
}
