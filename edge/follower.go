package edge

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FollowerOptions configure a Follower. Upstream and Token are needed.
type FollowerOptions struct {
	// Upstream is the node's address, for example "https://node.example". With
	// several (nodes of one partnership), the next is tried when one fails.
	Upstream []string
	// Token is the text of the edge's token. It pins the node's key.
	Token string
	// Dir is the folder for the edge's state; "" keeps it in memory only: the
	// edge starts cold then and acknowledges what no disk has.
	Dir string

	HTTP    *http.Client // must have no Timeout, as a stream stays open; nil: one with sane limits
	Log     *slog.Logger // nil: none
	Now     func() time.Time
	Version string // of the program, for the node's page of edges

	// Retry is the longest pause between two attempts to connect; 0 means 750 ms.
	Retry time.Duration
	// OnChange is called after signals changed, by the goroutine of Run. It
	// must not block. Nil: nobody.
	OnChange func(ops []Sealed)
	// Few is the least count of matches that is told to the node as a number;
	// smaller ones are told as "few". 0 tells all.
	Few int64
}

// Follower keeps a Matcher up to date with a node's feed.
type Follower struct {
	o    FollowerOptions
	m    *Matcher
	pin  string
	dir  *folder
	url  int // of Upstream, that is used now; owned by Run
	boot time.Time

	// Owned by Run's goroutine.
	keys     *Keys
	sealed   string // keys as they came
	partner  string
	name     string
	epoch    uint64 // of the node's history; 0: not known yet
	gone     map[string][]goneAt
	lastBeat time.Time // node's time of the newest heartbeat or hello
	newest   time.Time // node's time of the newest thing that it signed and we accepted
	noteText string    // newest checkpoint
	seen     sight     // what SeenHeader tells
	want     Cursor    // heads that the node named …
	wantAt   time.Time // … and the local moment at which they were
	sent     time.Time // when the stream was asked for
	nodeAt   time.Time // node's time in its hello
	ackEvery time.Duration
	beat     time.Duration
	ping     time.Duration // interval of the node's signs of life; 0: it sends none
	cert     *Certificate  // of the relay that we are connected to; nil: the node itself
	freshPut time.Time
	line     line

	ledger     *ledger
	noVerdicts time.Time // until then the node is not asked to take verdicts; owned by the reporter

	report chan struct{} // capacity 1: the node should be told
	saves  chan save     // capacity 1: a state to be written

	mu        sync.Mutex
	alarms    map[AlarmKind]*Alarm
	connected string // address of the node; "" while away
	durable   Cursor // on disk
	skew      time.Duration
	writable  bool
	stats     FollowerStats
	heard     time.Time // local moment of the last valid heartbeat
	tried     time.Time // when a state was last handed to the saver
	ackMS     time.Duration
}

// FollowerStats counts what arrived since the follower was made.
type FollowerStats struct {
	Applied    int64 // operations
	Duplicates int64 // operations that arrived again and were ignored
	Snapshots  int64
	Connects   int64
	Refused    int64 // operations, events and snapshots that were not accepted
}

// save is a state to be written.
type save struct {
	t   *table
	m   meta
	gen uint64 // of folder.begin
}

// NewFollower opens the folder, loads what is there into the matcher and
// returns the follower, which does nothing until Run. An error says what is
// wrong with the options or that the folder cannot be used at all; a damaged
// state is no error: it is named in an alarm and fetched again.
func NewFollower(m *Matcher, o FollowerOptions) (*Follower, error) {
	pin, err := PinOf(o.Token)
	if err != nil {
		return nil, err
	}
	if len(o.Upstream) == 0 {
		return nil, fmt.Errorf("%w: no upstream is named; give the node's address, such as https://node.example", ErrSyntax)
	}
	for _, u := range o.Upstream {
		if p, err := url.Parse(u); err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" {
			return nil, fmt.Errorf("%w: upstream %q is not an address such as https://node.example", ErrSyntax, u)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Retry == 0 {
		o.Retry = 750 * time.Millisecond
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 15 * time.Second, IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 2,
			WriteBufferSize: 4 << 10, ReadBufferSize: 4 << 10,
		}}
	}
	f := &Follower{o: o, m: m, pin: pin, boot: o.Now(), gone: map[string][]goneAt{}, report: make(chan struct{}, 1), saves: make(chan save, 1),
		line: line{log: o.Log}, alarms: map[AlarmKind]*Alarm{}, durable: Cursor{}, ackEvery: 200 * time.Millisecond, ackMS: 200 * time.Millisecond, beat: 5 * time.Second}
	if o.Dir == "" {
		f.ledger, _ = openLedger(nil, &m.tally)
		return f, nil
	}
	if f.dir, err = openFolder(o.Dir, strings.TrimSpace(o.Token)); err != nil {
		return nil, err
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	whole := false
	if f.ledger, whole = openLedger(f.dir, &m.tally); !whole {
		f.alarm(AlarmDamaged, "a part of the stored counts of matches and verdicts could not be read; what came before it is told. Check the disk if the machine did not stop suddenly")
	}
	return f, nil
}

// load takes the state from the folder.
func (f *Follower) load() error {
	t, m, err := f.dir.load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errNewer):
		return err
	case err != nil:
		f.alarm(AlarmDamaged, "the stored signals could not be read and are fetched again; check the disk if the token is the same as before")
		f.o.Log.Warn("edge's state cannot be read; starting from the node", "err", err)
		return nil
	}
	keys, err := ParseKeys([]byte(m.Keys), f.pin)
	if err != nil {
		f.alarm(AlarmDamaged, "the stored signals are of another node and are not used")
		return nil //nolint:nilerr // told by the alarm
	}
	f.keys, f.sealed, f.partner, f.name = keys, m.Keys, m.Partner, m.Edge
	f.noteText, f.lastBeat, f.newest, f.epoch = m.Checkpoint, m.LastBeat, m.LastBeat, m.Epoch
	f.seen.read(m.Seen)
	if m.Gone != nil {
		f.gone = m.Gone
	}
	f.m.adopt(t, m.Trips)
	// What follows in the tail: each operation must follow, and the last of
	// each chain must be signed.
	var ops []Sealed
	at := f.m.Cursor()
	err = f.dir.replay(func(wire []byte) error {
		op, err := ParseOperation(wire)
		if err != nil {
			return err
		}
		p := at[op.Chain]
		if op.Seq <= p.Seq {
			return nil
		}
		if err := op.Follows(p); err != nil {
			return err
		}
		at[op.Chain] = op.Position()
		ops = append(ops, op)
		return nil
	})
	if err != nil {
		f.alarm(AlarmDamaged, "a part of the stored operations could not be read; what is missing is fetched again")
		f.o.Log.Warn("edge's tail cannot be read to its end", "err", err)
	}
	ops, _ = f.verify(ops)
	for i := range ops {
		if err := f.m.Apply(&ops[i]); err != nil && !errors.Is(err, ErrSyntax) {
			break
		}
		f.bury(&ops[i])
		f.seen.op = ops[i].Wire()
	}
	f.durable = f.m.Cursor()
	// Its age is counted from the last moment at which all was known.
	known := m.Saved
	if b, err := f.dir.get("fresh"); err == nil {
		if t, err := time.Parse(time.RFC3339Nano, string(b)); err == nil && t.After(known) {
			known = t
		}
	}
	f.m.FreshAt(known)
	f.m.NodeTime(known, f.o.Now())
	// The tail is written anew, as nobody knows what its last bytes are.
	f.persist()
	return nil
}

// verify returns the longest part of ops, which follow each other chain by
// chain, that signatures cover, and the error of what comes after it.
func (f *Follower) verify(ops []Sealed) ([]Sealed, error) {
	var firstErr error
	for {
		last := map[string]int{}
		for i := range ops {
			last[ops[i].Chain] = i
		}
		cut := len(ops)
		for _, i := range last {
			if err := f.keys.Verify(&ops[i]); err != nil {
				if i < cut {
					cut = i
				}
				firstErr = err
			}
		}
		if cut == len(ops) {
			return ops, firstErr
		}
		ops = ops[:cut]
	}
}

// Matcher returns the matcher that it keeps.
func (f *Follower) Matcher() *Matcher { return f.m }

// Run follows the feed until ctx ends. It returns nil then; everything else
// that can go wrong is tried again, shown as an alarm, and logged: once when it
// begins, once a minute while it lasts, once when it is over. Only an edge that
// has nothing to answer from, and whose token every upstream refuses, ends
// with ErrToken: trying again cannot help it.
func (f *Follower) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	rctx, cancel := context.WithCancel(ctx)
	wg.Go(func() { f.reporter(rctx) })
	wg.Go(func() { f.saver(rctx) })
	wg.Go(func() { f.keeper(rctx) })
	defer func() {
		cancel()
		wg.Wait()
		if f.dir != nil {
			if err := f.ledger.close(); err != nil {
				f.o.Log.Error("counts of matches could not be stored", "err", err)
			}
			f.dir.close()
		}
	}()
	pause := time.Duration(0)
	for ctx.Err() == nil {
		began := f.o.Now()
		err := f.connect(ctx)
		connected := f.Connected() != ""
		f.setConnected("")
		if ctx.Err() != nil {
			return nil
		}
		now := f.o.Now()
		f.line.lost(ctx, now, f.o.Upstream[f.url], err, connected)
		if f.line.deny >= len(f.o.Upstream) && len(f.m.Cursor()) == 0 {
			return err
		}
		if now.Sub(began) > 5*time.Second {
			pause = 0
		}
		f.url = (f.url + 1) % len(f.o.Upstream)
		// Jitter, so that a thousand edges do not come back as one.
		pause = min(f.line.pause(now, f.o.Retry), max(50*time.Millisecond, 2*pause))
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + mrand.N(pause/2)): //nolint:gosec // not a secret
		}
	}
	return nil
}

// get asks the node. The body must be closed.
func (f *Follower) get(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	u := strings.TrimRight(f.o.Upstream[f.url], "/") + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	f.head(req)
	if seen := f.seen.text(); seen != "" && path != "/api/v1/feed/keys" {
		req.Header.Set(SeenHeader, seen)
	}
	return f.o.HTTP.Do(req)
}

func (f *Follower) head(req *http.Request) {
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(f.o.Token))
	if f.o.Version != "" {
		req.Header.Set("User-Agent", "siaga-edge/"+f.o.Version)
	}
}

// refused turns an answer other than 200 into an error.
func (f *Follower) refused(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // only for the message
	var p struct{ Detail, Fix string }
	_ = json.Unmarshal(b, &p) // only for the message
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		f.alarm(AlarmToken, "the node refuses this edge's token; make a new one on the node with siaga token create --roles edge")
	}
	err := fmt.Errorf("the node answers %s: %w", resp.Status, &refusedByNode{resp.StatusCode, retryAfter(resp), p.Detail, p.Fix})
	if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("Retry-After") != "" {
		// A relay, which may not have heard of a new token yet.
		return fmt.Errorf("%w: %w: %w", ErrToken, errLater, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	return err
}

// retryAfter is how long the node asks to wait, up to a day (RFC 9110, section
// 10.2.3, in seconds); 0 if it does not.
func retryAfter(resp *http.Response) time.Duration {
	s, err := strconv.ParseInt(resp.Header.Get("Retry-After"), 10, 64)
	if err != nil || s < 0 {
		return 0
	}
	return min(time.Duration(min(s, 1<<30))*time.Second, 24*time.Hour)
}

// errLater is in the chain of a refusal that may pass by itself.
var errLater = errors.New("try again later")

// features are those that this package understands (see FeaturePing).
const features = FeaturePing + "," + FeatureRelay

// errAgain means: connect again at once, as something was mended.
var errAgain = errors.New("connecting again")

// connect opens one stream and follows it to its end.
func (f *Follower) connect(ctx context.Context) error {
	if f.keys == nil {
		if err := f.fetchKeys(ctx); err != nil {
			return err
		}
	}
	if len(f.m.Cursor()) == 0 {
		if err := f.fetchSnapshot(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nonce := newID()
	f.sent = f.o.Now()
	f.cert, f.ping = nil, 0
	// A node answers at once; a line that swallows the question is left, sooner
	// if there is another one.
	patience := 5 * time.Second
	if len(f.o.Upstream) > 1 {
		patience = 2 * time.Second
	}
	mute := time.AfterFunc(patience, cancel)
	defer mute.Stop()
	resp, err := f.get(ctx, "/api/v1/feed", url.Values{"cursor": {f.m.Cursor().String()}, "nonce": {nonce}, "features": {features}})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		err := f.refused(resp)
		switch resp.Header.Get("Siaga-Feed") {
		case "behind", "future", "foreign", "garbage":
			// It says that we are far behind, or that it does not know our
			// history. What it signs tells which, and whether it went back or
			// began a new epoch.
			return errors.Join(err, f.fetchSnapshot(ctx))
		}
		return err
	}
	if !mute.Stop() {
		return context.DeadlineExceeded
	}
	f.mu.Lock()
	f.stats.Connects++
	f.mu.Unlock()
	return f.stream(ctx, resp.Body, nonce, cancel)
}

func (f *Follower) fetchKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	resp, err := f.get(ctx, "/api/v1/feed/keys", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return f.refused(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	return f.takeKeys(b)
}

func (f *Follower) takeKeys(wire []byte) error {
	k, err := ParseKeys(wire, f.pin)
	if err != nil {
		f.alarm(AlarmSignature, "the node does not have the key that this edge's token names; is the address right? Nothing from it is used")
		return err
	}
	if f.keys != nil && k.Serial <= f.keys.Serial {
		return nil
	}
	before := f.keys
	f.keys, f.sealed = k, string(wire)
	if before != nil {
		f.persist()
	}
	return nil
}

// take stores and applies operations that arrived together.
func (f *Follower) take(ops []Sealed) error {
	var fail error
	at := f.m.Cursor()
	good := ops[:0]
	for i := range ops {
		op := &ops[i]
		p := at[op.Chain]
		if op.Seq <= p.Seq {
			f.mu.Lock()
			f.stats.Duplicates++
			f.mu.Unlock()
			continue
		}
		if _, ok := at[op.Chain]; !ok {
			fail = f.refuse(AlarmSignature, fmt.Errorf("%w: an operation of chain %q, which is not ours", ErrSyntax, op.Chain), "the node sent an operation for somebody else")
			break
		}
		if err := op.Follows(p); err != nil {
			kind, text := AlarmGap, "operations did not arrive; they were asked for again"
			if errors.Is(err, ErrFork) {
				kind, text = AlarmFork, "an operation follows another history than this edge's; it was refused, and asked for again"
			}
			fail = f.refuse(kind, err, text)
			break
		}
		at[op.Chain] = op.Position()
		good = append(good, *op)
	}
	good, err := f.verify(good)
	if err != nil {
		fail = f.refuse(AlarmSignature, err, "an operation was not signed by the node; it was refused, and asked for again")
	}
	if len(good) == 0 {
		return fail
	}
	stored := f.dir != nil
	if f.dir != nil {
		if err := f.dir.append(good); err != nil {
			// Protection goes on from memory; nothing is acknowledged.
			stored = false
			f.setWritable(false)
			f.alarm(AlarmDisk, "the edge's folder cannot be written to; it goes on from memory and acknowledges nothing. Free space or check the disk")
			f.o.Log.Error("edge's folder cannot be written to", "err", err)
		}
	}
	for i := range good {
		if err := f.m.Apply(&good[i]); err != nil {
			if !errors.Is(err, ErrSyntax) {
				return f.refuse(AlarmFork, err, "an operation does not follow; it was asked for again")
			}
			f.alarm(AlarmSignal, fmt.Sprintf("signal %s cannot be used by this edge: is it older than its node?", good[i].ID))
			f.o.Log.Warn("signal cannot be used", "signal", good[i].ID, "err", err)
		}
		f.bury(&good[i])
	}
	f.seen.op = good[len(good)-1].Wire()
	if f.o.OnChange != nil {
		f.o.OnChange(good)
	}
	f.mu.Lock()
	f.stats.Applied += int64(len(good))
	if f.dir == nil || (stored && f.writable) {
		f.durable = f.m.Cursor()
	}
	f.mu.Unlock()
	f.reached()
	f.tell()
	if stored && f.dir.length() > max(2000, f.m.Len()/4) {
		f.persist()
	}
	return fail
}

// maxGone bounds the removed signals that are remembered for a chain.
const maxGone = 50_000

// bury remembers a removal, in case that the node forgets it.
func (f *Follower) bury(op *Sealed) {
	if op.Do == Add {
		return
	}
	g := append(f.gone[op.Chain], goneAt{op.Number, op.Seq})
	if len(g) > maxGone {
		g = slices.Clone(g[len(g)-maxGone/2:])
	}
	f.gone[op.Chain] = g
}

// refuse counts and alarms, and returns the error.
func (f *Follower) refuse(kind AlarmKind, err error, text string) error {
	f.mu.Lock()
	f.stats.Refused++
	f.mu.Unlock()
	if text == "" {
		text = err.Error()
	}
	f.alarm(kind, text)
	return err
}

// fetchSnapshot replaces the state by the node's, if that is of our history and
// not older, or of a new epoch.
func (f *Follower) fetchSnapshot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	mine := f.m.Cursor()
	nonce := newID()
	sent := f.o.Now()
	resp, err := f.get(ctx, "/api/v1/feed/snapshot", url.Values{"cursor": {mine.String()}, "nonce": {nonce}, "features": {features}})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return f.refused(resp)
	}
	sealed, err := base64.RawURLEncoding.DecodeString(resp.Header.Get("Siaga-Hello"))
	if err != nil {
		return fmt.Errorf("%w: the snapshot has no header Siaga-Hello", ErrSyntax)
	}
	f.cert = nil
	if text := resp.Header.Get("Siaga-Relay"); text != "" {
		wire, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("%w: the header Siaga-Relay cannot be read", ErrSyntax)
		}
		if f.cert, err = f.certificate(wire); err != nil {
			return err
		}
	}
	h, err := f.greeter().ParseHello(sealed)
	if err != nil {
		return f.refuse(AlarmSignature, err, "the node's greeting is not signed by it")
	}
	if h.Nonce != nonce {
		return f.refuse(AlarmSignature, fmt.Errorf("%w: the hello answers another request", ErrRollback), "an old snapshot was replayed; it was refused")
	}
	newEpoch, known := h.Epoch > f.epoch && f.epoch > 0, true
	if newEpoch && f.cert != nil {
		// That a node was restored is for the node itself to say.
		return f.refuse(AlarmRollback, fmt.Errorf("%w: a relay speaks of epoch %d, this edge is in %d", ErrFork, h.Epoch, f.epoch),
			"the relay says that the node began a new epoch; this edge keeps what it has until it can ask the node: let it follow the node once")
	}
	if h.Epoch < f.epoch {
		return f.refuse(AlarmRollback, fmt.Errorf("%w: the node is in epoch %d, it was in %d", ErrRollback, h.Epoch, f.epoch), "the node went back to an earlier epoch; this edge keeps what it has. Tell the node's operator")
	}
	for name, p := range mine {
		at := h.Heads[name]
		known = known && h.Known[name] == p
		if !newEpoch && at.Seq < p.Seq {
			return f.refuse(AlarmRollback, fmt.Errorf("%w: the node's snapshot of chain %s is at %d, ours at %d", ErrRollback, name, at.Seq, p.Seq),
				fmt.Sprintf("the node went back: its chain %s ends at operation %d, this edge has %d. It may have been restored from a backup; this edge keeps what it has", name, at.Seq, p.Seq))
		}
	}
	// The node must know where we stand, or have begun a new epoch: else this
	// is another history, however well it is signed.
	if !known && !newEpoch {
		return f.refuse(AlarmFork, fmt.Errorf("%w: the node does not know this edge's history", ErrFork),
			"the node does not know this edge's history and has not begun a new epoch; this edge keeps what it has. Tell the node's operator and an observer")
	}
	t := newTable()
	br := bufio.NewReaderSize(resp.Body, 64<<10)
	asOf := h.At
	for range h.Heads {
		head, _, err := t.readChain(br, f.keys, nil)
		if err == nil && head.Position != h.Heads[head.Chain] {
			err = fmt.Errorf("%w: the snapshot of chain %s is another one than announced", ErrSignature, head.Chain)
		}
		switch {
		case errors.Is(err, ErrSignature):
			return f.refuse(AlarmSignature, err, "a snapshot is not what the node signed; it was refused, and asked for again")
		case err != nil:
			return fmt.Errorf("reading a snapshot: %w", err) // cut off or damaged on the way
		}
		if head.At.Before(asOf) {
			asOf = head.At
		}
	}
	for name := range mine {
		if _, ok := h.Heads[name]; !ok {
			return f.refuse(AlarmRollback, fmt.Errorf("%w: the snapshot lacks chain %s", ErrRollback, name), fmt.Sprintf("the node's snapshot lacks chain %s, which this edge follows; it was refused", name))
		}
	}
	if len(t.chains) == 0 {
		return fmt.Errorf("%w: the snapshot is empty", ErrSyntax)
	}
	if !known {
		f.noteText = "" // of the epoch that ended
	}
	if err := f.checkpoint(h.Checkpoint); err != nil {
		return err
	}
	trips := f.m.Trips()
	if !known {
		trips = append(trips, f.newEpoch(t)...)
	}
	f.m.adopt(t, trips)
	f.mu.Lock()
	f.stats.Snapshots++
	f.mu.Unlock()
	f.partner, f.name, f.lastBeat, f.epoch = h.Partner, h.Edge, h.At, h.Epoch
	f.seen = sight{}
	if f.cert == nil {
		f.seen = sight{form: seenHello, told: sealed}
	}
	if f.cert == nil {
		f.m.NodeTime(h.At, f.o.Now())
		f.newest = laterTime(f.newest, h.At)
	}
	f.m.FreshAt(sent.Add(asOf.Sub(h.At)))
	if f.dir == nil {
		f.mu.Lock()
		f.durable = f.m.Cursor()
		f.mu.Unlock()
		f.tell()
	}
	f.persist()
	return nil
}
