package edge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/index"
)

// LookbackOptions configure a Lookback. Dir and Secret are needed.
type LookbackOptions struct {
	// Dir is a folder of its own.
	Dir string
	// Secret is the edge's token: files are sealed with a key derived from it.
	Secret string

	MaxAge     time.Duration // of an upload; 0 means 7 days
	MaxBytes   int64         // of all uploads on disk; 0 means 512 MiB
	MaxUploads int           // at hand; 0 means 100,000

	Now func() time.Time
	Log *slog.Logger // nil: none
}

// Lookback keeps the fingerprints of a platform's recent uploads and tells
// which of them match a signal that came later: the first copies are up before
// the first fingerprint is shared. Content is never kept, only fingerprints,
// sealed on disk (of keypoints with a likeness of 32 pixels, as in the form
// that is shared), and the caller's own reference.
//
// An upload is kept before it is matched, and a signal is looked back for after
// it is applied, so that between the two no upload is missed. What was told
// survives a restart; so does every upload whose Keep has returned, except that
// a power cut may take the last second.
//
// All methods may be called concurrently.
type Lookback struct {
	o      LookbackOptions
	m      *Matcher
	secret []byte
	lock   *os.File

	pdq    *index.Index // pictures and what is left of them when trimmed, by upload
	frames *index.Index // frames of videos, by upload
	points local.Sieve  // keypoints of pictures and of key frames, by upload

	changes chan change   // signals that changed; when it is full, all are looked at
	kick    chan struct{} // capacity 1: a change waits that changes could not take

	mu      sync.Mutex // guards what follows; held over short writes
	uploads map[uint64]*kept
	order   []uint64 // ids, oldest first
	exact   map[exactKey][]uint64
	lastSeg int64 // number of the newest file of uploads, ever
	segs    []*segment
	cur     *appender // of the last of segs; nil: to be made
	bytes   int64

	events  []LookbackEvent // that can be asked for, oldest first
	seq     uint64          // of the newest
	told    map[uint64]map[uint64]outcome
	log     *appender
	mark    int64 // all entries up to here were looked back for
	reached int64 // entries up to here were, but for rest
	rest    []rest
	wake    chan struct{}
	compact int64 // size of log when it was written anew
	stats   LookbackStats
}

// change is a signal that changed, with the entry that it follows from.
type change struct {
	num   uint64 // 0: any
	entry int64
}

// kept is an upload at hand; the rest is on disk.
type kept struct {
	ref   string
	at    time.Time
	place place
	exact []exactKey // under which it is found
	told  []uint64   // signals that were told of it
}

// outcome is what was told of one upload and one signal.
type outcome struct {
	signal   string
	action   Action
	why      string // as in Match
	exercise bool
	back     bool // what is kept matched; else the answer at the upload alone says so
}

// rest is a signal of which older uploads are still to be checked.
type rest struct {
	change
	before uint64 // upload that was checked last
}

// The closed list of what an event says.
const (
	LookbackMatch   = "match"   // an earlier upload matches a signal
	LookbackChanged = "changed" // it matched before; the action is another now
	LookbackVoid    = "void"    // what was told of it, then or at its upload, holds no more
)

// Records of the event file that are no events.
const (
	lookbackAnswered = "answered" // the answer at the upload told it
	lookbackMark     = "mark"
)

// LookbackEvent tells of one upload and one signal.
type LookbackEvent struct {
	Seq       uint64    `json:"seq"`  // from 1, rising
	What      string    `json:"what"` // LookbackMatch, LookbackChanged or LookbackVoid
	At        time.Time `json:"at"`
	Reference string    `json:"reference"` // the caller's
	Uploaded  time.Time `json:"uploaded_at"`

	Signal   string           `json:"signal"`
	Kind     fingerprint.Kind `json:"kind,omitempty"`
	List     string           `json:"list,omitempty"`
	Labels   []string         `json:"labels,omitempty"`
	Producer string           `json:"producer,omitempty"`
	Group    string           `json:"group,omitempty"`
	Incident string           `json:"incident,omitempty"`
	Entry    int64            `json:"entry,omitempty"`
	Distance int              `json:"distance"`
	Score    float64          `json:"score"`
	Pass     string           `json:"pass,omitempty"`
	Action   Action           `json:"action,omitempty"`
	Why      string           `json:"why,omitempty"`
	Exercise bool             `json:"exercise,omitempty"`

	// For the file alone.
	Number uint64 `json:"n,omitempty"`
	Upload uint64 `json:"upload,omitempty"`
	Spent  bool   `json:"spent,omitempty"` // kept to be asked for; what holds is told apart
	Back   bool   `json:"back,omitempty"`  // what is kept matched; else the answer at the upload alone says so
}

// LookbackStats says how much is kept.
type LookbackStats struct {
	Uploads int       `json:"uploads"`
	Bytes   int64     `json:"bytes"` // on disk
	Oldest  time.Time `json:"oldest,omitzero"`
	Events  uint64    `json:"events"`  // told since the folder was begun
	Waiting int       `json:"waiting"` // signals that are still looked back for, also those of which older uploads are
	Failed  int64     `json:"failed"`  // uploads and events that could not be written
}

const (
	maxEventBytes     = 16 << 20 // of the event file before it is written anew
	maxLookbackEvents = 20_000   // at hand
	lookbackBatch     = 200      // hits that are told together
	lookbackVain      = 150      // of which so many in a row may turn out to be others, likeliest first
	turnedSlack       = 16       // bits by which a hash that was turned may be off
	keptSample        = 128      // frames of a video by which it is found
)

// lookbackFound is how many uploads are checked for one signal before others
// have their turn; of keypoints, at all. Tests make it less.
var lookbackFound = 5_000

// ErrReference is returned for a reference that cannot be kept.
var ErrReference = fmt.Errorf("%w: a reference has 1 to %d bytes, without control characters", ErrSyntax, maxReference)

// OpenLookback opens the folder and loads what is there. It begins to watch the
// matcher's signals; Run tells of them.
func OpenLookback(m *Matcher, o LookbackOptions) (*Lookback, error) {
	if o.MaxAge == 0 {
		o.MaxAge = 7 * 24 * time.Hour
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 512 << 20
	}
	if o.MaxUploads == 0 {
		o.MaxUploads = 100_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the folder of look-back: %w", err)
	}
	lock, err := lockFolder(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte("siaga edge lookback v1\n" + o.Secret))
	l := &Lookback{
		o: o, m: m, secret: sum[:], lock: lock, pdq: index.New(index.Options{}), frames: index.New(index.Options{}),
		changes: make(chan change, 4096), kick: make(chan struct{}, 1),
		uploads: map[uint64]*kept{}, exact: map[exactKey][]uint64{}, told: map[uint64]map[uint64]outcome{}, wake: make(chan struct{}),
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	changed := func(num uint64, entry int64) {
		select {
		case l.changes <- change{num, entry}:
		default:
			select {
			case l.kick <- struct{}{}:
			default:
			}
		}
	}
	m.changed.Store(&changed)
	changed(0, 0)
	return l, nil
}

// load reads the folder.
func (l *Lookback) load() error {
	ups, err := numbered(l.o.Dir, "up-")
	if err != nil {
		return fmt.Errorf("opening the folder of look-back: %w", err)
	}
	for _, n := range ups {
		s := &segment{number: n}
		s.size, err = readPieces(filepath.Join(l.o.Dir, s.name()), l.secret, func(off int64, piece uint64, sealed int, plain []byte) error {
			ref, at, set, err := parseUpload(plain)
			if err != nil {
				return err
			}
			l.add(ref, at, &set, place{n, off, int32(sealed), piece}, s) //nolint:gosec // at most maxPiece
			return nil
		})
		if errors.Is(err, errNewer) {
			return err
		}
		if err != nil {
			// Another token's, or damaged: nothing in it can be told any more.
			l.o.Log.Warn("a file of look-back cannot be read and is removed", "file", s.name(), "err", err)
			l.forget(s.number)
			if err := os.Remove(filepath.Join(l.o.Dir, s.name())); err != nil {
				return fmt.Errorf("opening the folder of look-back: %w", err)
			}
			continue
		}
		l.segs, l.bytes = append(l.segs, s), l.bytes+s.size
	}
	if err := l.loadEvents(); err != nil {
		return err
	}
	l.expire(l.o.Now())
	l.reached = l.mark
	return nil
}

func (l *Lookback) eventFile(n int64) string {
	return filepath.Join(l.o.Dir, fmt.Sprintf("ev-%010d", n))
}

// loadEvents reads what was told and writes what is kept of it into a new file.
func (l *Lookback) loadEvents() error {
	files, err := numbered(l.o.Dir, "ev-")
	if err != nil {
		return fmt.Errorf("opening the folder of look-back: %w", err)
	}
	for _, n := range files {
		_, err := readPieces(l.eventFile(n), l.secret, func(_ int64, _ uint64, _ int, plain []byte) error {
			var e LookbackEvent
			if err := json.Unmarshal(plain, &e); err != nil {
				return err
			}
			l.take(e)
			return nil
		})
		if err != nil {
			l.o.Log.Warn("a file of look-back cannot be read", "file", filepath.Base(l.eventFile(n)), "err", err)
		}
	}
	if err := l.rewrite(); err != nil {
		return fmt.Errorf("opening the folder of look-back: %w", err)
	}
	return nil
}

// rewrite writes what is kept of the events into a new file and removes those
// before it. A crash on the way leaves both, which say the same. The caller
// holds l.mu, or is alone.
func (l *Lookback) rewrite() error {
	files, err := numbered(l.o.Dir, "ev-")
	if err != nil {
		return err
	}
	next := int64(1)
	if n := len(files); n > 0 {
		next = files[n-1] + 1
	}
	a, err := newAppender(l.o.Dir, filepath.Base(l.eventFile(next)), l.secret)
	if err != nil {
		return err
	}
	old := l.log
	l.log = a
	// First what holds of the uploads that are kept, then the events that can
	// still be asked for.
	for num, of := range l.told {
		for id, x := range of {
			u := l.uploads[id]
			l.write(LookbackEvent{What: lookbackAnswered, Number: num, Upload: id, Signal: x.signal, Reference: u.ref, Uploaded: u.at, Action: x.action, Why: x.why, Exercise: x.exercise, Back: x.back})
		}
	}
	for _, e := range l.events {
		e.Spent = true // what holds stands above
		l.write(e)
	}
	l.writeMark()
	if err := a.sync(); err != nil {
		return err
	}
	l.compact = a.size
	if old != nil {
		_ = old.f.Close() // its file goes
	}
	for _, n := range files {
		if err := os.Remove(l.eventFile(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(l.o.Dir)
}

// writeMark writes how far was looked back. The caller holds l.mu.
func (l *Lookback) writeMark() {
	l.write(LookbackEvent{What: lookbackMark, Entry: l.mark, Seq: l.seq, Upload: uint64(l.lastSeg) << 32}) //nolint:gosec // small numbers
}

// take adds an event to the state. The caller holds l.mu, or is alone.
func (l *Lookback) take(e LookbackEvent) {
	l.seq = max(l.seq, e.Seq)
	l.lastSeg = max(l.lastSeg, int64(e.Upload>>32)) //nolint:gosec // small numbers
	switch {
	case e.What == lookbackMark:
		l.mark = e.Entry
		return
	case e.Spent:
	case e.What == LookbackVoid:
		delete(l.told[e.Number], e.Upload)
		if len(l.told[e.Number]) == 0 {
			delete(l.told, e.Number)
		}
	default:
		if u := l.uploads[e.Upload]; u != nil {
			of := l.told[e.Number]
			if of == nil {
				of = map[uint64]outcome{}
				l.told[e.Number] = of
			}
			if _, ok := of[e.Upload]; !ok {
				u.told = append(u.told, e.Number)
			}
			of[e.Upload] = outcome{e.Signal, e.Action, e.Why, e.Exercise, e.Back || e.What == LookbackMatch}
		}
	}
	if e.What != lookbackAnswered {
		l.events = append(l.events, e)
		if n := len(l.events); n > maxLookbackEvents {
			l.events = slices.Clone(l.events[n-maxLookbackEvents/2:])
		}
	}
}

// write appends to the event file. The caller holds l.mu.
func (l *Lookback) write(e LookbackEvent) {
	b, err := json.Marshal(e)
	if err == nil {
		_, err = l.log.put(b)
	}
	if err != nil {
		l.stats.Failed++
		l.o.Log.Error("look-back cannot write", "err", err)
	}
}

// add makes an upload findable. The caller holds l.mu, or is alone.
func (l *Lookback) add(ref string, at time.Time, s *fingerprint.Set, p place, seg *segment) uint64 {
	// An id is the same after a restart, and none is used twice.
	id := uint64(p.segment)<<32 | p.piece //nolint:gosec // small numbers
	l.lastSeg = max(l.lastSeg, p.segment)
	u := &kept{ref: ref, at: at, place: p}
	under := func(kind fingerprint.Kind, value [32]byte, text string) {
		k := exactKeyOf(kind, &value, text)
		u.exact = append(u.exact, k)
		l.exact[k] = append(l.exact[k], id)
	}
	if s.SHA256 != (digest.SHA256{}) {
		under(fingerprint.SHA256, s.SHA256, "")
	}
	if s.MD5 != (digest.MD5{}) {
		var v [32]byte
		copy(v[:], s.MD5[:])
		under(fingerprint.MD5, v, "")
	}
	if s.TLSH != "" {
		under(fingerprint.TLSH, [32]byte{}, s.TLSH)
	}
	if pic := s.Picture; pic != nil {
		_ = l.pdq.Insert(id, pic.PDQ.Hash, index.MaxDistance) // the distance is in range
		for i := range pic.Trims {
			_ = l.pdq.Insert(id, pic.Trims[i].PDQ.Hash, index.MaxDistance) // as above
		}
	}
	for _, f := range evenly(telling(s.VPDQ(0)), keptSample) {
		_ = l.frames.Insert(id, f.PDQ.Hash, index.MaxDistance) // as above
	}
	for i := range s.Frames {
		for k := range s.Frames[i].Trims {
			if t := &s.Frames[i].Trims[k]; counts(&t.PDQ) {
				_ = l.frames.Insert(id, t.PDQ.Hash, index.MaxDistance) // as above
			}
		}
	}
	points := func(b []byte) {
		if f, err := local.Decode(b); err == nil && len(b) > 0 { // an upload without them is found by its hashes
			l.points.Add(id, f)
		}
	}
	if s.Picture != nil {
		points(s.Picture.Local)
	}
	for i := range s.Frames {
		points(s.Frames[i].Local)
	}
	l.uploads[id], l.order = u, append(l.order, id)
	if at.After(seg.newest) {
		seg.newest = at
	}
	seg.count++
	return id
}

// drop makes an upload unfindable. The caller holds l.mu, or is alone.
func (l *Lookback) drop(id uint64) {
	u := l.uploads[id]
	if u == nil {
		return
	}
	delete(l.uploads, id)
	l.pdq.Delete(id)
	l.frames.Delete(id)
	l.points.Remove(id)
	for _, k := range u.exact {
		if l.exact[k] = slices.DeleteFunc(l.exact[k], func(x uint64) bool { return x == id }); len(l.exact[k]) == 0 {
			delete(l.exact, k)
		}
	}
	for _, num := range u.told {
		if delete(l.told[num], id); len(l.told[num]) == 0 {
			delete(l.told, num)
		}
	}
}

// forget drops all uploads of a segment.
func (l *Lookback) forget(number int64) {
	for len(l.order) > 0 {
		u := l.uploads[l.order[0]]
		if u != nil && u.place.segment > number {
			break
		}
		l.drop(l.order[0])
		l.order = l.order[1:]
	}
}

// expire keeps the bounds. The caller holds l.mu, or is alone.
func (l *Lookback) expire(now time.Time) {
	oldest := now.Add(-l.o.MaxAge)
	for len(l.order) > 0 {
		u := l.uploads[l.order[0]]
		if u != nil && u.at.After(oldest) && len(l.uploads) <= l.o.MaxUploads {
			break
		}
		l.drop(l.order[0])
		l.order = l.order[1:]
	}
	for len(l.segs) > 0 {
		s := l.segs[0]
		if s.newest.After(oldest) && l.bytes <= l.o.MaxBytes {
			break
		}
		if l.cur != nil && len(l.segs) == 1 {
			_ = l.cur.close() // it goes
			l.cur = nil
		}
		l.forget(s.number)
		if err := os.Remove(filepath.Join(l.o.Dir, s.name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.o.Log.Error("a file of look-back cannot be removed", "file", s.name(), "err", err)
		}
		l.segs, l.bytes = l.segs[1:], l.bytes-s.size
	}
}

// Keep keeps an upload's fingerprints under the caller's reference and returns
// a number for Answered. It must come before the upload is matched. The error
// is ErrReference, or says that the folder cannot be written to; the upload is
// not looked back for then.
func (l *Lookback) Keep(ref string, s *fingerprint.Set) (uint64, error) {
	if !validReference(ref) {
		return 0, ErrReference
	}
	now := l.o.Now()
	b := appendUpload(nil, ref, now, s)
	if len(b) > maxPiece-64 {
		return 0, fmt.Errorf("%w: the fingerprints of an upload have %d bytes", ErrSyntax, len(b))
	}
	// What is found later is found in what was written.
	_, at, thin, err := parseUpload(b)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id, err := l.keep(ref, at, &thin, b)
	if err != nil {
		l.stats.Failed++
		return 0, fmt.Errorf("keeping an upload's fingerprints: %w", err)
	}
	if len(l.uploads) > l.o.MaxUploads || l.bytes > l.o.MaxBytes {
		l.expire(now)
	}
	return id, nil
}

func (l *Lookback) keep(ref string, at time.Time, s *fingerprint.Set, record []byte) (uint64, error) {
	if l.cur != nil {
		seg := l.segs[len(l.segs)-1]
		if seg.size > max(1<<16, l.o.MaxBytes/16) || seg.count > 0 && at.Sub(l.uploadedAt(seg)) > l.o.MaxAge/16 {
			if err := l.cur.close(); err != nil {
				l.o.Log.Error("a file of look-back cannot be written to its end", "err", err)
			}
			l.cur = nil
		}
	}
	if l.cur == nil {
		l.lastSeg++
		seg := &segment{number: l.lastSeg}
		a, err := newAppender(l.o.Dir, seg.name(), l.secret)
		if err != nil {
			return 0, err
		}
		seg.size = a.size
		l.cur, l.segs, l.bytes = a, append(l.segs, seg), l.bytes+seg.size
	}
	seg := l.segs[len(l.segs)-1]
	p, err := l.cur.put(record)
	if err != nil {
		// Nobody knows what the file's last bytes are: the next one is new.
		_ = l.cur.f.Close()
		l.cur = nil
		return 0, err
	}
	p.segment = seg.number
	l.bytes += l.cur.size - seg.size
	seg.size = l.cur.size
	return l.add(ref, at, s, p, seg), nil
}

// uploadedAt is the moment of a segment's first upload.
func (l *Lookback) uploadedAt(seg *segment) time.Time {
	if u := l.uploads[uint64(seg.number)<<32]; u != nil { //nolint:gosec // small numbers
		return u.at
	}
	return seg.newest
}

func validReference(ref string) bool {
	if ref == "" || len(ref) > maxReference {
		return false
	}
	for i := range len(ref) {
		if ref[i] < 0x20 || ref[i] == 0x7f {
			return false
		}
	}
	return true
}

// Answered notes what the answer to an upload told, so that it is not told
// again, and is told to be void when a signal is withdrawn.
func (l *Lookback) Answered(id uint64, r *Result) {
	if len(r.Matches)+len(r.Exercise) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.uploads[id]
	if u == nil {
		return
	}
	for k, ms := range [][]Match{r.Matches, r.Exercise} {
		for i := range ms {
			if _, ok := l.told[ms[i].Number][id]; ok {
				continue // looked back for meanwhile
			}
			e := LookbackEvent{What: lookbackAnswered, Number: ms[i].Number, Upload: id, Signal: ms[i].Signal.String(), Reference: u.ref, Uploaded: u.at, Action: ms[i].Action, Why: ms[i].Why, Exercise: k == 1}
			l.take(e)
			l.write(e)
		}
	}
}

// Events returns what was told after the event with this number, at most limit,
// and the number to ask with next. lost says that older events than can be
// given came after it.
func (l *Lookback) Events(after uint64, limit int) (events []LookbackEvent, next uint64, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.events, after, func(e LookbackEvent, n uint64) int { return cmp.Compare(e.Seq, n+1) })
	events = slices.Clone(l.events[i:min(len(l.events), i+limit)])
	if next = min(after, l.seq); len(events) > 0 {
		next = events[len(events)-1].Seq
		lost = events[0].Seq > after+1
	}
	for k := range events {
		events[k].Number, events[k].Upload, events[k].Spent, events[k].Back = 0, 0, false, false
	}
	return events, next, lost
}

// Wait waits until there are events after the one with this number, or ctx
// ends.
func (l *Lookback) Wait(ctx context.Context, after uint64) {
	for {
		l.mu.Lock()
		have, wake := l.seq > after, l.wake
		l.mu.Unlock()
		if have {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
	}
}

// Stats says how much is kept.
func (l *Lookback) Stats() LookbackStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Uploads, s.Bytes, s.Events, s.Waiting = len(l.uploads), l.bytes, l.seq, len(l.changes)+len(l.rest)
	if len(l.order) > 0 {
		if u := l.uploads[l.order[0]]; u != nil {
			s.Oldest = u.at
		}
	}
	return s
}

// Close closes the files, for a Lookback whose Run has ended or never began.
func (l *Lookback) Close() error {
	l.m.changed.Store(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.cur.close(), l.log.close(), l.lock.Close())
}
