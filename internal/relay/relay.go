package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/admit"
	"github.com/siaga-crp/siaga/internal/bus"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Options of New. Upstream, Tokens, Dir and Error are needed.
type Options struct {
	Upstream []string // addresses of the node, or of several of one partnership
	Tokens   []string // texts of the relay's tokens, one of each partner whose edges it serves
	Dir      string   // folder of its state
	NATS     string   // address of NATS; "": none
	Name     string   // shown at the node; "": the host's name
	Version  string
	Log      *slog.Logger
	HTTP     *http.Client // nil: one with sane limits
	Keep     int          // operations kept after a snapshot before a fresh one is taken; 0 means 5,000

	// Error answers a request with a problem.
	Error func(w http.ResponseWriter, r *http.Request, err error)
}

// Relay follows a node and serves edges. Make one with New, run it with Run and
// mount its Handler.
type Relay struct {
	o     Options
	key   edge.KeySigner
	store *store
	links []*link
	buses []*bus.Bus
	lock  *os.File

	again chan struct{} // capacity 1: make the hub anew
	tell  chan struct{} // capacity 1: reports wait

	mu      sync.Mutex
	hub     *feed.Hub          // nil until there is something to serve
	reports map[string]*report // waiting for the node, by edge's token
	saving  sync.Mutex         // of the state's file
}

type report struct {
	auth string
	body []byte
}

// maxReports bounds the edges whose reports wait for the node.
const maxReports = 20_000

// New opens the folder and checks what is kept there; it connects to nothing.
func New(o Options) (_ *Relay, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Keep == 0 {
		o.Keep = 5000
	}
	if o.Name == "" {
		o.Name, _ = os.Hostname() // only shown
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 16,
		}}
	}
	if len(o.Upstream) == 0 || len(o.Tokens) == 0 {
		return nil, problem.New(problem.Invalid, "a relay needs the node's address and a token", "name them with --upstream and --token-file")
	}
	for _, u := range o.Upstream {
		if p, err := url.Parse(u); err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" {
			return nil, problem.Newf(problem.Invalid, "upstream %q is not an address such as https://node.example", u).WithFix("correct --upstream")
		}
	}
	r := &Relay{o: o, again: make(chan struct{}, 1), tell: make(chan struct{}, 1), reports: map[string]*report{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, problem.Newf(problem.Invalid, "the relay's folder %s cannot be made: %v", o.Dir, err).WithFix("name another one with --data")
	}
	if r.lock, err = lockFolder(filepath.Join(o.Dir, "lock")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.key, err = loadKey(filepath.Join(o.Dir, "relay.key")); err != nil {
		return nil, err
	}
	r.store = newStore(o.Dir)
	for _, text := range o.Tokens {
		text = strings.TrimSpace(text)
		pin, err := edge.PinOf(text)
		if err != nil {
			return nil, problem.New(problem.Invalid, strings.TrimPrefix(err.Error(), edge.ErrSyntax.Error()+": "), "make a token with siaga token create --roles relay and put it into the token file").Because(err)
		}
		if len(r.links) > 0 && pin != r.links[0].pin {
			return nil, problem.New(problem.Invalid, "the tokens are of two nodes", "run a relay for each node")
		}
		r.links = append(r.links, &link{r: r, token: text, pin: pin})
	}
	r.load()
	if o.NATS != "" {
		if strings.HasPrefix(o.NATS, "embedded") {
			return nil, problem.New(problem.Invalid, "a relay follows a NATS server and embeds none", "name the server's address, such as nats://nats.example:4222")
		}
		if _, err := r.newBus(r.links[0]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// newBus prepares the way over NATS for a link.
func (r *Relay) newBus(l *link) (*bus.Bus, error) {
	return bus.New(bus.Options{
		URL: r.o.NATS, Pin: l.pin, Log: r.o.Log, ReadOnly: true, Deliver: l.deliver, Beat: l.beat, Partner: l.partner(),
		// A little before what we have; what is known is skipped.
		Since: func() time.Time { return time.Now().Add(-10 * time.Minute) },
	})
}

// runBus follows NATS as soon as it is known for which partner.
func (r *Relay) runBus(ctx context.Context, l *link) {
	for l.partner() == "" {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	b, err := r.newBus(l)
	if err != nil {
		r.o.Log.ErrorContext(ctx, "NATS is not used", "err", err)
		return
	}
	r.mu.Lock()
	r.buses = append(r.buses, b)
	r.mu.Unlock()
	_ = b.Run(ctx) // nil
}

// Close releases the folder of a relay that is not run.
func (r *Relay) Close() {
	if r.store != nil {
		r.store.close()
	}
	if r.lock != nil {
		_ = r.lock.Close() // which unlocks
	}
}

func loadKey(path string) (edge.KeySigner, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// A relay's key is worth nothing without the node's certificate, so a
		// new one may be made at any time.
		seed := make([]byte, 32)
		if _, err := rand.Read(seed); err != nil {
			return nil, err
		}
		if err := writeFile(path, []byte(hex.EncodeToString(seed)+"\n")); err != nil {
			return nil, err
		}
		return newKey(seed), nil
	}
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != 32 {
		return nil, problem.Newf(problem.Invalid, "%s is not a relay's key", path).WithFix("remove it: the relay makes another one")
	}
	return newKey(seed), nil
}

// load takes what is on disk, link by link, as far as it is whole. What is not
// is fetched again.
func (r *Relay) load() {
	b, err := os.ReadFile(filepath.Join(r.o.Dir, "state.json"))
	if err != nil {
		return
	}
	var all []linkState
	if err := json.Unmarshal(b, &all); err != nil {
		r.o.Log.Warn("the relay's state cannot be read; it is fetched again")
		return
	}
	for _, l := range r.links {
		for _, st := range all {
			if st.Token != edge.TokenHash(l.token) {
				continue
			}
			err := l.restore(st)
			for _, name := range l.chains() {
				if err == nil && r.store.chainOf(name) == nil {
					err = r.store.load(name, l.keys)
				}
			}
			if err != nil {
				r.o.Log.Warn("a part of the relay's state cannot be read; it is fetched again", "partner", st.Partner, "err", err)
				l.mu.Lock()
				l.st, l.grants, l.keys = linkState{}, nil, nil
				l.mu.Unlock()
				continue
			}
			r.store.observe(st.Note)
		}
	}
	r.ready()
}

// save writes the state of all links.
func (r *Relay) save() {
	r.saving.Lock()
	defer r.saving.Unlock()
	var all []linkState
	for _, l := range r.links {
		l.mu.Lock()
		st := l.st
		l.mu.Unlock()
		if st.Grant == "" {
			continue
		}
		st.Token = edge.TokenHash(l.token)
		r.store.mu.Lock()
		st.Note = r.store.note
		r.store.mu.Unlock()
		all = append(all, st)
	}
	b, err := json.Marshal(all)
	if err == nil {
		err = writeFile(filepath.Join(r.o.Dir, "state.json"), b)
	}
	if err != nil {
		r.o.Log.Error("the relay's folder cannot be written to: after a restart it has to ask the node again", "err", err)
	}
}

// now is the node's time, as far as it is known.
func (r *Relay) now() time.Time {
	l := r.links[0]
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.offset)
}

// ready makes a hub if there is none yet.
func (r *Relay) ready() {
	r.mu.Lock()
	none := r.hub == nil
	r.mu.Unlock()
	if none {
		r.rebuild()
	}
}

// rebuild makes the hub anew: the history or its epoch is another one. Streams
// end and begin again.
func (r *Relay) rebuild() {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

func (r *Relay) current() *feed.Hub {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hub
}

func (r *Relay) refresh() {
	if h := r.current(); h != nil {
		h.Refresh()
	}
}

func (r *Relay) keysChanged(wire []byte) {
	if h := r.current(); h != nil {
		h.SetKeys(wire)
	}
}

// makeHub returns a hub over what the links have, or nil if none has all that
// edges need.
func (r *Relay) makeHub() *feed.Hub {
	for _, l := range r.links {
		l.mu.Lock()
		keys, epoch, beat, whole := l.st.Keys, l.st.Epoch, time.Duration(l.st.BeatMS)*time.Millisecond, l.st.Cert != "" && l.st.Grant != ""
		l.mu.Unlock()
		if !whole {
			continue
		}
		return feed.New(feed.Options{
			Store: r.store, Signer: r.key, Epoch: epoch, Keys: []byte(keys), Log: r.o.Log, Now: r.now, Heartbeat: beat,
			Authenticate: r.authenticate, Valid: r.valid, Error: r.refuse,
			Relayed: &feed.Relayed{
				Base: r.store.base, Snapshot: r.store.snapshot, Certificate: r.certificate, Beat: r.beat,
				Above: http.HandlerFunc(r.above), Tell: r.keepReport,
			},
		})
	}
	return nil
}

// of returns the link of a partner; nil if there is none.
func (r *Relay) of(partner string) *link {
	for _, l := range r.links {
		l.mu.Lock()
		p := l.st.Partner
		l.mu.Unlock()
		if p == partner {
			return l
		}
	}
	return nil
}

func (r *Relay) certificate(partner string) []byte {
	l := r.of(partner)
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return []byte(l.st.Cert)
}

func (r *Relay) beat(partner string) ([]byte, edge.Cursor, bool) {
	l := r.of(partner)
	if l == nil {
		return nil, nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return []byte(l.st.Beat), l.heads, l.st.Beat != ""
}

func bearer(r *http.Request) string {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(text)
}

func (r *Relay) authenticate(req *http.Request) (feed.Subscriber, error) {
	text := bearer(req)
	if text == "" {
		return feed.Subscriber{}, problem.New(problem.SignIn, "the feed needs an edge's token", `send it as "Authorization: Bearer siaga_edge_…"`)
	}
	hash := edge.TokenHash(text)
	who, ok, up := r.edge(hash)
	switch {
	case ok:
		return who, nil
	case !up:
		return who, problem.New(problem.Unavailable, "this relay does not know the token, and cannot ask its node now", "try again later, or follow the node itself")
	}
	return who, problem.New(problem.SignIn, "this token is not known, was revoked or has expired, or its partner has not asked this relay to serve its edges",
		"use the token of an edge of a partner that made a token for this relay")
}

// refuse answers an error. A token that is refused here may be one that the
// relay has not heard of yet: Retry-After tells an edge that has nothing yet
// not to give up.
func (r *Relay) refuse(w http.ResponseWriter, req *http.Request, err error) {
	if problem.KindOf(err) == problem.SignIn {
		w.Header().Set("Retry-After", "1")
	}
	r.o.Error(w, req, err)
}

// edge finds the edge of a token's hash. up tells whether the node would have
// told of a new one, whichever partner's it is.
func (r *Relay) edge(hash string) (who feed.Subscriber, ok, up bool) {
	now := r.now()
	up = true
	for _, l := range r.links {
		if g, ok := l.find(hash, now); ok {
			return feed.Subscriber{Partner: l.partner(), Edge: g.Edge, Token: hash}, true, true
		}
		l.mu.Lock()
		up = up && (l.ended || (l.up != "" && l.grants != nil))
		l.mu.Unlock()
	}
	return who, false, up
}

func (l *link) partner() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.st.Partner
}

func (r *Relay) valid(_ context.Context, subs []feed.Subscriber) ([]feed.Validity, error) {
	out := make([]feed.Validity, len(subs))
	for i, s := range subs {
		if _, ok, _ := r.edge(s.Token); !ok {
			out[i].Err = problem.New(problem.SignIn, "the token was revoked or has expired", "make a new one")
		}
		out[i].Until = r.now().Add(tokenLook) // what the node says comes without a commit here
	}
	return out, nil
}

// tokenLook is how often the tokens of open streams are looked up.
const tokenLook = 250 * time.Millisecond

// above passes a request on to the node.
func (r *Relay) above(w http.ResponseWriter, req *http.Request) {
	up := ""
	for _, l := range r.links {
		l.mu.Lock()
		if l.up != "" {
			up = l.up
		}
		l.mu.Unlock()
	}
	if up == "" {
		r.o.Error(w, req, problem.New(problem.Unavailable, "the relay's link to the node is down, and the node alone can answer this", "try again later; the edge goes on with what it has"))
		return
	}
	target, err := url.Parse(up)
	if err != nil {
		r.o.Error(w, req, err)
		return
	}
	p := &httputil.ReverseProxy{
		Transport: r.o.HTTP.Transport,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			pr.Out.Header.Set("Siaga-Via", r.o.Name)
		},
		ErrorHandler: func(w http.ResponseWriter, req *http.Request, err error) {
			r.o.Error(w, req, problem.New(problem.Unavailable, "the relay's link to the node broke", "try again").Because(err))
		},
	}
	p.ServeHTTP(w, req)
}

// keepReport keeps an edge's newest report until it can be passed on.
func (r *Relay) keepReport(req *http.Request, body []byte) {
	auth := req.Header.Get("Authorization")
	r.mu.Lock()
	if _, ok := r.reports[auth]; ok || len(r.reports) < maxReports {
		r.reports[auth] = &report{auth, body}
	}
	r.mu.Unlock()
	select {
	case r.tell <- struct{}{}:
	default:
	}
}

// reporter passes reports on, the newest of each edge, at most once a second.
func (r *Relay) reporter(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case <-r.tell:
		default:
			continue
		}
		r.mu.Lock()
		batch := r.reports
		r.reports = map[string]*report{}
		r.mu.Unlock()
		work := make(chan *report)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for p := range work {
					if !r.pass(ctx, p) {
						r.mu.Lock()
						if _, newer := r.reports[p.auth]; !newer {
							r.reports[p.auth] = p
						}
						r.mu.Unlock()
						select {
						case r.tell <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		for _, p := range batch {
			work <- p
		}
		close(work)
		wg.Wait()
	}
}

// pass sends one report. It returns false if it is to be tried again.
func (r *Relay) pass(ctx context.Context, p *report) bool {
	up := ""
	for _, l := range r.links {
		l.mu.Lock()
		if l.up != "" {
			up = l.up
		}
		l.mu.Unlock()
	}
	if up == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(up, "/")+"/api/v1/feed/status", bytes.NewReader(p.body))
	if err != nil {
		return true
	}
	req.Header.Set("Authorization", p.auth)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Siaga-Via", r.o.Name)
	resp, err := r.o.HTTP.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // nothing in it
	return resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
}

// Run follows the node until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	defer r.Close()
	var wg sync.WaitGroup
	for _, l := range r.links {
		wg.Go(func() { l.run(ctx) })
	}
	if r.o.NATS != "" {
		for _, l := range r.links {
			wg.Go(func() { r.runBus(ctx, l) })
		}
	}
	wg.Go(func() { r.reporter(ctx) })
	defer wg.Wait()
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			r.save()
			return nil
		case <-r.again:
		}
		h := r.makeHub()
		if h == nil {
			continue
		}
		stop()
		hctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = h.Run(hctx) // nil
		}()
		stop = func() { cancel(); <-done }
		r.mu.Lock()
		r.hub = h
		r.mu.Unlock()
	}
}

// Handler serves the feed to edges, and /healthz and /readyz.
func (r *Relay) Handler() http.Handler {
	mux := http.NewServeMux()
	serve := func(w http.ResponseWriter, req *http.Request) {
		h := r.current()
		if h == nil {
			r.o.Error(w, req, errNotYet)
			return
		}
		h.Handler().ServeHTTP(w, req)
	}
	for _, p := range []string{"GET /api/v1/feed", "GET /api/v1/feed/", "POST /api/v1/feed/"} {
		mux.HandleFunc(p, serve)
	}
	// A variant is a proposal, which the node alone can take.
	mux.HandleFunc("POST /api/v1/feed/variants", func(w http.ResponseWriter, req *http.Request) {
		if _, err := r.authenticate(req); err != nil {
			r.refuse(w, req, err)
			return
		}
		req.Body = http.MaxBytesReader(w, req.Body, edge.MaxVariantBytes+1) // one more, so that the node refuses in its words
		r.above(w, req)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", r.readyz)
	// Who sends a body slowly holds nothing of the hub meanwhile.
	return admit.NewBodies(admit.BodyOptions{Refuse: r.o.Error}).Handler(mux)
}

// readyz: a relay that has something to serve is ready, also without its link.
func (r *Relay) readyz(w http.ResponseWriter, _ *http.Request) {
	if r.current() == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, "not ready: nothing was heard from the node yet")
	} else {
		_, _ = fmt.Fprintln(w, "ready")
	}
	for _, s := range r.Status() {
		switch {
		case s.Ended:
			_, _ = fmt.Fprintf(w, "note: %s: the node refuses the relay's token\n", s.Partner)
		case s.Node == "":
			_, _ = fmt.Fprintf(w, "note: %s: the link is down; edges get what came until then\n", s.Partner)
		}
	}
	r.mu.Lock()
	buses := slices.Clone(r.buses)
	r.mu.Unlock()
	for _, b := range buses {
		if s := b.Status(); !s.Up {
			_, _ = fmt.Fprintf(w, "note: NATS (%s) is away: %s; the link alone carries the feed\n", s.Server, s.Problem)
		}
	}
}

// LinkStatus is how one partner's link is.
type LinkStatus struct {
	Partner string
	Node    string      // address; "" while the link is down
	Beat    time.Time   // node's time of its newest heartbeat
	Heads   edge.Cursor // what is stored
	Edges   int         // that may be served
	Ended   bool        // the node refuses the relay's token
	Problem string
}

// Status says how the links are.
func (r *Relay) Status() []LinkStatus {
	var out []LinkStatus
	for _, l := range r.links {
		l.mu.Lock()
		s := LinkStatus{Partner: l.st.Partner, Node: l.up, Beat: l.beatAt, Edges: len(l.grants), Ended: l.ended, Problem: l.why}
		l.mu.Unlock()
		s.Heads = r.store.heads(edge.SharedChain, edge.OwnChain(s.Partner))
		out = append(out, s)
	}
	return out
}

func newNonce() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand, since Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b)
}
