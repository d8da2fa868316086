package edge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Limits of what an edge takes in one request.
const (
	MaxUpload  = 512 << 20 // bytes of a file
	MaxQueries = 65_536    // values, or hashes, in one request
	maxJSON    = 8 << 20   // bytes of a JSON body
)

// Fingerprinter computes the fingerprints of a file. It is called
// concurrently, must not keep r, and should stop when ctx ends. A file that
// cannot be decoded is no error: Set.Unknown says so. An error means that the
// fingerprinter itself could not do its work.
type Fingerprinter interface {
	Fingerprint(ctx context.Context, r io.Reader) (fingerprint.Set, error)
}

// ServerOptions configure a Server.
type ServerOptions struct {
	Matcher       *Matcher      // needed
	Follower      *Follower     // for ages, cursor and alarms; nil: a matcher without a feed
	Fingerprinter Fingerprinter // nil: files are refused
	Lookback      *Lookback     // keeps uploads that have a reference; nil: nothing is kept
	Version       string
	// Values chooses what of a file is proposed as a variant; nil: its SHA-256
	// and a picture's PDQ hash.
	Values func(*fingerprint.Set) []VariantValue
	// Uploads is the number of files that are worked on at once; 0 means 16.
	// Sixteen times as many wait for their turn; beyond that a file is refused
	// at once with 503 and Retry-After, unread.
	Uploads int
	// Patience is how long a body may keep the edge waiting beside its pace of 256
	// KiB a second; 0 means five seconds. A slower one is refused with 408.
	Patience time.Duration
	// MaxUpload is the most bytes of a file; 0, and more than the constant
	// MaxUpload, mean the constant. A longer one is refused with 413.
	MaxUpload int64
}

// Server is the local HTTP interface of an edge: it answers the platform's own
// programs, which need no password, so it should listen on loopback or on a
// Unix socket. Make it with NewServer. A body that comes more slowly than 256 KiB
// a second, five seconds aside, is refused with 408.
//
//	POST /v1/match       JSON {"kind":…,"value":…} or an array of them; or a file, raw or multipart
//	POST /v1/match/pdq   application/octet-stream, n × 32 bytes
//	POST /v1/verdict     JSON {"signal":…,"verdict":…,"id":…} or an array of them
//	POST /v1/variant     ?group=NAME; a file: its fingerprints go to the node as a variant of the group
//	GET  /v1/lookback    ?after=N&wait=SECONDS; earlier uploads that match later signals
//	GET  /v1/status      what it knows, how old that is, and what is wrong
type Server struct {
	o     ServerOptions
	mux   *http.ServeMux
	files chan struct{} // places of those that are worked on
	room  chan struct{} // of those that are, or wait
	pool  sync.Pool     // of *answering
}

// answering is what one request works with.
type answering struct {
	r   Result
	out []byte
	in  []byte
}

// NewServer returns a handler.
func NewServer(o ServerOptions) *Server {
	if o.Uploads == 0 {
		o.Uploads = 16
	}
	if o.MaxUpload <= 0 || o.MaxUpload > MaxUpload {
		o.MaxUpload = MaxUpload
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	s := &Server{o: o, mux: http.NewServeMux(), files: make(chan struct{}, o.Uploads), room: make(chan struct{}, o.Uploads*(1+waitingEach))}
	if s.o.Values == nil {
		s.o.Values = valuesOf
	}
	s.pool.New = func() any { return new(answering) }
	s.mux.HandleFunc("POST /v1/match", s.serve(s.match))
	s.mux.HandleFunc("POST /v1/match/pdq", s.serve(s.matchPDQ))
	s.mux.HandleFunc("POST /v1/variant", s.serve(s.variant))
	s.mux.HandleFunc("POST /v1/verdict", s.serve(s.verdict))
	s.mux.HandleFunc("GET /v1/lookback", s.serve(s.lookback))
	s.mux.HandleFunc("GET /v1/status", s.serve(s.status))
	s.mux.HandleFunc("/", s.serve(s.nothing))
	return s
}

// nothing answers what is not here, or not with this method.
func (s *Server) nothing(_ *answering, w http.ResponseWriter, r *http.Request) error {
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		probe := http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(&probe); pattern != "/" {
			allow = append(allow, m)
		}
	}
	if len(allow) > 0 {
		methods := strings.Join(allow, ", ")
		w.Header().Set("Allow", methods)
		return &refusal{http.StatusMethodNotAllowed, r.URL.Path + " does not take " + r.Method, "use " + methods}
	}
	return &refusal{http.StatusNotFound, "there is nothing here", "use POST /v1/match, POST /v1/match/pdq, POST /v1/verdict, POST /v1/variant, GET /v1/lookback or GET /v1/status"}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// refusal is an error that the caller sees.
type refusal struct {
	status      int
	detail, fix string
}

func (e *refusal) Error() string { return e.detail + "; " + e.fix }

// problemJSON is RFC 9457's form with our member fix.
type problemJSON struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

func (s *Server) serve(fn func(a *answering, w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, _ := s.pool.Get().(*answering)
		defer s.pool.Put(a)
		done := paced(w, r, s.o.Patience)
		err := fn(a, w, r)
		done()
		if err == nil {
			return
		}
		ref, ok := errors.AsType[*refusal](err)
		if !ok {
			if r.Context().Err() != nil {
				return // the caller is gone
			}
			ref = &refusal{http.StatusInternalServerError, "this broke on our side: " + err.Error(), "send it again; if it stays, look into the edge's log"}
		}
		if ref.status == http.StatusRequestTimeout {
			w.Header().Set("Connection", "close")
		}
		b, _ := json.Marshal(problemJSON{http.StatusText(ref.status), ref.status, ref.detail, ref.fix}) // plain strings
		w.Header().Set("Content-Type", "application/problem+json")
		if ref == errBusy {
			w.Header().Set("Retry-After", "1")
		}
		w.WriteHeader(ref.status)
		_, _ = w.Write(append(b, '\n')) // the caller may be gone
	}
}

// waitingEach is how many files wait for each that is worked on.
const waitingEach = 16

var errBusy = &refusal{http.StatusServiceUnavailable, "more files wait to be looked at than this edge takes", "send it again in a second, or run one more edge"}

var errCold = &refusal{http.StatusServiceUnavailable, "this edge has no signals yet: it has not reached its node since it was set up", "see GET /v1/status; treat the content as not checked"}

// query is one value that is asked for.
type query struct {
	Kind    fingerprint.Kind `json:"kind"`
	Value   string           `json:"value"`
	Quality *int             `json:"quality"` // of a PDQ hash; absent: good
}

func (q *query) quality() int {
	if q.Quality == nil {
		return 100
	}
	return *q.Quality
}

// match is POST /v1/match.
func (s *Server) match(a *answering, w http.ResponseWriter, r *http.Request) error {
	ct := r.Header.Get("Content-Type")
	if ct == "application/json" { // nearly always
		return s.matchValues(a, w, r)
	}
	ct, _, err := mime.ParseMediaType(ct)
	if err != nil && r.Header.Get("Content-Type") != "" {
		return &refusal{http.StatusUnsupportedMediaType, "the Content-Type cannot be read", "send application/json for values; for a file, its own type, application/octet-stream or multipart/form-data"}
	}
	switch {
	case ct == "application/json":
		return s.matchValues(a, w, r)
	case ct == "application/x-www-form-urlencoded":
		// What curl --data-binary sends if it is told nothing else: a value in
		// JSON, or a file as it is.
		body := bufio.NewReader(http.MaxBytesReader(w, r.Body, s.o.MaxUpload))
		if head, _ := body.Peek(1); len(head) == 1 && (head[0] == '{' || head[0] == '[') {
			r.Body = io.NopCloser(body)
			return s.matchValues(a, w, r)
		}
		return s.matchFile(a, w, r, sent{Reader: body})
	default:
		file, err := s.upload(w, r, ct)
		if err != nil {
			return err
		}
		return s.matchFile(a, w, r, file)
	}
}

// sent is a file with what its sender calls it.
type sent struct {
	io.Reader
	name, mediaType string // "" where nothing was said
}

// upload returns the file in the body, raw or in a form.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, ct string) (sent, error) {
	if ct != "multipart/form-data" {
		return sent{http.MaxBytesReader(w, r.Body, s.o.MaxUpload), "", ct}, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.o.MaxUpload+64<<10)
	mr, err := r.MultipartReader()
	if err != nil {
		return sent{}, &refusal{http.StatusBadRequest, "the multipart body cannot be read", "send one file as multipart/form-data, as curl -F file=@NAME does"}
	}
	for {
		part, err := mr.NextPart()
		if err == io.EOF { //nolint:errorlint // as multipart returns it
			return sent{}, &refusal{http.StatusBadRequest, "the form has no file", "send one file as multipart/form-data, as curl -F file=@NAME does"}
		}
		if err != nil {
			return sent{}, bodyError(err, s.o.MaxUpload)
		}
		if part.FileName() != "" {
			return sent{part, part.FileName(), part.Header.Get("Content-Type")}, nil
		}
	}
}

// matchValues answers a JSON body.
func (s *Server) matchValues(a *answering, w http.ResponseWriter, r *http.Request) error {
	if err := a.read(http.MaxBytesReader(w, r.Body, maxJSON)); err != nil {
		return bodyError(err, maxJSON)
	}
	ref, err := s.reference(r)
	if err != nil {
		return err
	}
	var qs []query
	body := bytes.TrimSpace(a.in)
	const form = `send {"kind":"pdq","value":"…"} or an array of them`
	if len(body) > 0 && body[0] == '[' {
		err = json.Unmarshal(body, &qs)
	} else {
		qs = make([]query, 1)
		err = json.Unmarshal(body, &qs[0])
	}
	if err != nil {
		return &refusal{http.StatusBadRequest, "the body is not the JSON that is expected: " + err.Error(), form}
	}
	if len(qs) == 0 || len(qs) > MaxQueries {
		return &refusal{http.StatusBadRequest, fmt.Sprintf("%d values were sent", len(qs)), fmt.Sprintf("send 1 to %d", MaxQueries)}
	}
	b := newAnswer(a)
	for i := range qs {
		q := &qs[i]
		kept := uint64(0)
		if ref != "" {
			if set := setOf(q.Kind, q.Value, q.quality()); set != nil {
				kept = s.remember(ref, set)
			}
		}
		ready, err := s.o.Matcher.Value(&a.r, fingerprint.Value{Kind: q.Kind, Text: q.Value}, q.quality())
		if err != nil {
			return &refusal{http.StatusBadRequest, fmt.Sprintf("value %d: %v", i+1, err), form}
		}
		if !ready {
			return errCold
		}
		s.answered(kept, &a.r)
		b.result(q.Kind, fingerprint.Value{Kind: q.Kind, Text: q.Value}.Shown(), &a.r)
	}
	return s.send(w, b, nil)
}

// matchPDQ is POST /v1/match/pdq.
func (s *Server) matchPDQ(a *answering, w http.ResponseWriter, r *http.Request) error {
	const limit = MaxQueries * 32
	if err := a.read(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		return bodyError(err, limit)
	}
	if len(a.in) == 0 || len(a.in)%32 != 0 {
		return &refusal{http.StatusBadRequest, fmt.Sprintf("the body has %d bytes", len(a.in)), "send hashes of 32 bytes each, one after the other"}
	}
	// A large batch is cut into parts that are looked up at the same time.
	parts := min(runtime.GOMAXPROCS(0), len(a.in)/(32*batchPart), 64)
	if parts < 2 {
		b := newAnswer(a)
		if !s.pdqs(&b, a.in) {
			return errCold
		}
		return s.send(w, b, nil)
	}
	each := (len(a.in)/32 + parts - 1) / parts * 32
	workers := make([]*answering, parts)
	answers := make([]answer, parts)
	cold := make([]bool, parts)
	var g sync.WaitGroup
	for i := range parts {
		workers[i], _ = s.pool.Get().(*answering)
		g.Go(func() {
			answers[i] = newAnswer(workers[i])
			cold[i] = !s.pdqs(&answers[i], a.in[i*each:min((i+1)*each, len(a.in))])
		})
	}
	g.Wait()
	b := newAnswer(a)
	for i, x := range workers {
		b.join(&answers[i])
		s.pool.Put(x)
	}
	if slices.Contains(cold, true) {
		return errCold
	}
	return s.send(w, b, nil)
}

// batchPart is the least number of hashes that a processor of its own is worth:
// some milliseconds with a million signals.
const batchPart = 128

// pdqs adds the results of hashes; false while the matcher never had a state.
func (s *Server) pdqs(b *answer, hashes []byte) bool {
	for p := hashes; len(p) > 0; p = p[32:] {
		h := (*pdq.Hash)(p)
		if !s.o.Matcher.PDQ(&b.a.r, h, 100) {
			return false
		}
		b.pdqResult(h, &b.a.r)
	}
	return true
}

// matchFile answers a file.
func (s *Server) matchFile(a *answering, w http.ResponseWriter, r *http.Request, file sent) error {
	ref, err := s.reference(r)
	if err != nil {
		return err
	}
	set, err := s.fingerprint(r, file)
	if err != nil {
		return err
	}
	kept := s.remember(ref, set) // before it is matched, so that no signal falls between
	ready := s.o.Matcher.Set(&a.r, set)
	if !ready {
		return errCold
	}
	s.answered(kept, &a.r)
	b := newAnswer(a)
	b.setResult(set, &a.r)
	return s.send(w, b, set)
}

// fingerprints reads the file in the body, whatever its type, and fingerprints
// it.
func (s *Server) fingerprints(w http.ResponseWriter, r *http.Request) (*fingerprint.Set, error) {
	ct, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // what cannot be read is taken as a file
	file, err := s.upload(w, r, ct)
	if err != nil {
		return nil, err
	}
	return s.fingerprint(r, file)
}

// fingerprint computes a file's fingerprints when it is its turn.
func (s *Server) fingerprint(r *http.Request, file sent) (*fingerprint.Set, error) {
	if s.o.Fingerprinter == nil {
		return nil, &refusal{http.StatusNotImplemented, "this edge was started without a fingerprinter", "send fingerprints, or run siaga edge, which has one"}
	}
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	default:
		return nil, errBusy
	}
	select {
	case s.files <- struct{}{}:
		defer func() { <-s.files }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	in := &limited{r: file.Reader, n: s.o.MaxUpload}
	set, err := s.o.Fingerprinter.Fingerprint(r.Context(), in)
	switch {
	case in.over:
		return nil, bodyError(&http.MaxBytesError{Limit: s.o.MaxUpload}, s.o.MaxUpload)
	case in.err != nil:
		return nil, bodyError(in.err, s.o.MaxUpload)
	case err != nil:
		return nil, fmt.Errorf("fingerprinting: %w", err)
	case set.Bytes == 0:
		return nil, &refusal{http.StatusBadRequest, "the file is empty", "send the file's bytes as the body"}
	}
	set.Claimed(file.name, file.mediaType)
	if set.Unknown == "" && !set.Looked() {
		// In an upload path, bytes that nobody knows may be media of a kind that
		// we do not know: "no match" would promise that we had looked.
		set.Unknown, set.Fix = "the format of this file is not known here, so only its exact bytes were looked up", "treat it as you treat a file that nobody has looked at; if a viewer shows it, tell the node's operator its format"
	}
	return &set, nil
}

// limited reads at most n bytes and remembers how it ended.
type limited struct {
	r    io.Reader
	n    int64
	over bool
	err  error // of the client's connection
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		// What follows decides whether this was the whole file. Its end alone says
		// so: a body that a reader below cuts at the same place ends with an error.
		var one [1]byte
		n, err := io.ReadFull(l.r, one[:])
		if n > 0 {
			l.over = true
			return 0, io.ErrUnexpectedEOF
		}
		return 0, l.note(err)
	}
	if int64(len(p)) > l.n {
		p = p[:l.n]
	}
	n, err := l.r.Read(p)
	l.n -= int64(n)
	return n, l.note(err)
}

// note remembers an error that is not the end.
func (l *limited) note(err error) error {
	if err != nil && err != io.EOF { //nolint:errorlint // as readers return it
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			l.over = true
		}
		l.err = err
	}
	return err
}

// read fills a.in with the body.
func (a *answering) read(r io.Reader) error {
	a.in = a.in[:0]
	for {
		if len(a.in) == cap(a.in) {
			a.in = append(a.in, 0)[:len(a.in)]
		}
		n, err := r.Read(a.in[len(a.in):cap(a.in)])
		a.in = a.in[:len(a.in)+n]
		if err == io.EOF { //nolint:errorlint // as readers return it
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// send answers; file is nil where values were asked for.
func (s *Server) send(w http.ResponseWriter, b answer, file *fingerprint.Set) error {
	out := b.finish(s.feed(), file)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = w.Write(out) // the caller may be gone
	return nil
}

// Feed says how old an edge's knowledge is.
type Feed struct {
	AgeMS  int64  `json:"age_ms"` // since the edge last knew all that the node had; -1: never
	Cursor string `json:"cursor"`
	Stale  bool   `json:"stale"` // three heartbeats were missed
}

func (s *Server) feed() Feed {
	age, ok := s.o.Matcher.Age()
	f := Feed{AgeMS: -1, Stale: true, Cursor: s.o.Matcher.cursorText()}
	if ok {
		f.AgeMS, f.Stale = age.Milliseconds(), age > 15*time.Second
	}
	if s.o.Follower == nil {
		f.Stale = false
	} else if ok {
		f.Stale = age > s.o.Follower.staleAfter()
	}
	return f
}

// Status is what GET /v1/status answers.
type Status struct {
	Version   string    `json:"version"`
	Signals   int       `json:"signals"`
	Cursor    string    `json:"cursor"`
	Feed      Feed      `json:"feed"`
	Connected bool      `json:"connected"`
	Node      string    `json:"node"`
	Started   time.Time `json:"started,omitzero"`
	Durable   bool      `json:"durable"` // what it knows is on its disk
	Queries   int64     `json:"queries"`
	Matched   int64     `json:"matched"`
	Blocked   int64     `json:"blocked"`
	Unmatched []string  `json:"unmatched"` // kinds that it has signals of and cannot look for
	Trips     []Trip    `json:"trips"`
	Alarms    []Alarm   `json:"alarms"`

	Untold *Untold `json:"untold,omitempty"` // what the node was not told yet

	Lookback *LookbackStats `json:"lookback,omitempty"` // absent: this edge does not look back
}

// status is GET /v1/status.
func (s *Server) status(_ *answering, w http.ResponseWriter, _ *http.Request) error {
	st := Status{Version: s.o.Version, Signals: s.o.Matcher.Len(), Feed: s.feed(), Unmatched: []string{}, Trips: s.o.Matcher.Trips(), Alarms: []Alarm{}}
	if f := s.o.Follower; f != nil {
		r := f.Report()
		st.Node, st.Started, st.Durable, st.Alarms = f.Connected(), r.Started, r.Durable, r.Alarms
		st.Connected = st.Node != ""
		u := f.ledger.untold()
		st.Untold = &u
		st.Unmatched = append(st.Unmatched, r.Unmatched...)
	}
	if s.o.Lookback != nil {
		l := s.o.Lookback.Stats()
		st.Lookback = &l
	}
	st.Cursor = st.Feed.Cursor
	st.Queries, st.Matched, st.Blocked = s.o.Matcher.count.queries.Load(), s.o.Matcher.count.matched.Load(), s.o.Matcher.count.blocked.Load()
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(b, '\n')) // the caller may be gone
	return nil
}

// answer builds the JSON of an answer in a buffer that is used again.
type answer struct {
	a       *answering
	n       int
	matched bool
}

// answerHead is room for the longest beginning of an answer, which is written
// when the rest is known.
const answerHead = len(`{"answer":"no_match","results":[`)

func newAnswer(a *answering) answer {
	var head [answerHead]byte
	a.out = append(a.out[:0], head[:]...)
	return answer{a: a}
}

// join adds the results of o, which comes after b.
func (b *answer) join(o *answer) {
	if o.n == 0 {
		return
	}
	if b.n > 0 {
		b.a.out = append(b.a.out, ',')
	}
	b.a.out = append(b.a.out, o.a.out[answerHead:]...)
	b.n, b.matched = b.n+o.n, b.matched || o.matched
}

func (b *answer) begin(kind fingerprint.Kind) {
	if b.n++; b.n > 1 {
		b.a.out = append(b.a.out, ',')
	}
	b.a.out = append(b.a.out, `{"kind":`...)
	b.a.out = appendString(b.a.out, string(kind))
	b.a.out = append(b.a.out, `,"value":`...)
}

func (b *answer) result(kind fingerprint.Kind, value string, r *Result) {
	b.begin(kind)
	b.a.out = appendString(b.a.out, value)
	b.matches(r.Matches, r.Exercise)
}

const hexDigits = "0123456789abcdef"

func (b *answer) pdqResult(h *pdq.Hash, r *Result) {
	b.begin(fingerprint.PDQ)
	b.a.out = append(b.a.out, '"')
	for _, c := range h {
		b.a.out = append(b.a.out, hexDigits[c>>4], hexDigits[c&15])
	}
	b.a.out = append(b.a.out, '"')
	b.matches(r.Matches, r.Exercise)
}

// setResult writes one result for each kind that was computed, each with the
// matches of its kind, and one for any other kind that something matched.
func (b *answer) setResult(s *fingerprint.Set, r *Result) {
	var done []fingerprint.Kind
	one := func(kind fingerprint.Kind, value string) {
		done = append(done, kind)
		of := func(ms []Match) (out []Match) {
			for i := range ms {
				if ms[i].Kind == kind {
					out = append(out, ms[i])
				}
			}
			return out
		}
		b.result(kind, value, &Result{Matches: of(r.Matches), Exercise: of(r.Exercise)})
	}
	if s.SHA256 != (digest.SHA256{}) {
		one(fingerprint.SHA256, s.SHA256.String())
	}
	if s.MD5 != (digest.MD5{}) {
		one(fingerprint.MD5, s.MD5.String())
	}
	if s.Picture != nil {
		one(fingerprint.PDQ, s.Picture.PDQ.Hash.String())
	}
	if s.TLSH != "" {
		one(fingerprint.TLSH, s.TLSH)
	}
	if len(s.Frames) > 0 {
		one(fingerprint.VPDQ, "") // its frames would be longer than the answer
	}
	for _, ms := range [][]Match{r.Matches, r.Exercise} {
		for i := range ms {
			if !slices.Contains(done, ms[i].Kind) {
				one(ms[i].Kind, "")
			}
		}
	}
}

func (b *answer) matches(ms, ex []Match) {
	b.a.out = append(b.a.out, `,"matches":[`...)
	b.list(ms)
	b.a.out = append(b.a.out, `],"exercise_matches":[`...)
	b.list(ex)
	b.a.out = append(b.a.out, `]}`...)
	b.matched = b.matched || len(ms) > 0
}

func (b *answer) list(ms []Match) {
	out := b.a.out
	for i := range ms {
		m := &ms[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"signal":`...)
		out = appendName(out, m.Signal)
		out = append(out, `,"list":`...)
		out = appendString(out, m.List)
		out = append(out, `,"kind":`...)
		out = appendString(out, string(m.Kind))
		out = append(out, `,"labels":[`...)
		for j, l := range m.Labels {
			if j > 0 {
				out = append(out, ',')
			}
			out = appendString(out, l)
		}
		out = append(out, `],"producer":`...)
		out = appendString(out, m.Producer)
		out = append(out, `,"distance":`...)
		out = strconv.AppendInt(out, int64(m.Distance), 10)
		out = append(out, `,"score":`...)
		out = strconv.AppendFloat(out, m.Score, 'f', 3, 64)
		out = append(out, `,"group":`...)
		out = appendName(out, m.Group)
		out = append(out, `,"incident":`...)
		out = appendString(out, m.Incident)
		out = append(out, `,"entry":`...)
		out = strconv.AppendInt(out, m.Entry, 10)
		out = append(out, `,"pass":`...)
		out = appendString(out, m.Pass)
		out = append(out, `,"action":`...)
		out = appendString(out, string(m.Action))
		if m.Why != "" {
			out = append(out, `,"why":`...)
			out = appendString(out, m.Why)
		}
		out = append(out, '}')
	}
	b.a.out = out
}

// finish closes the answer and returns it.
func (b *answer) finish(f Feed, file *fingerprint.Set) []byte {
	word, unknown, fix, note := "no_match", "", "", ""
	if file != nil {
		unknown, fix, note = file.Unknown, file.Fix, file.Note
	}
	switch {
	case b.matched:
		word = "match"
	case unknown != "":
		word = "unknown"
	}
	out := append(b.a.out, `],"feed":{"age_ms":`...)
	out = strconv.AppendInt(out, f.AgeMS, 10)
	out = append(out, `,"cursor":`...)
	out = appendString(out, f.Cursor)
	out = append(out, `,"stale":`...)
	out = strconv.AppendBool(out, f.Stale)
	out = append(out, '}')
	if unknown != "" {
		out = append(out, `,"unknown":`...)
		out = appendString(out, unknown)
		out = append(out, `,"fix":`...)
		out = appendString(out, fix)
	} else if note != "" {
		out = append(out, `,"note":`...)
		out = appendString(out, note)
	}
	out = append(out, "}\n"...)
	b.a.out = out
	// The beginning ends where the results begin.
	var head [answerHead]byte
	h := append(append(append(head[:0], `{"answer":"`...), word...), `","results":[`...)
	out = out[answerHead-len(h):]
	copy(out, h)
	return out
}

func appendName(dst []byte, n Name) []byte {
	if n.form == nil {
		return appendString(dst, n.text)
	}
	// A form's prefix was a part of JSON once; it may need escapes.
	if !plain(n.form.prefix) {
		return appendString(dst, n.String())
	}
	return append(n.Append(append(dst, '"')), '"')
}

// plain reports whether s needs no escapes in JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	if plain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	b, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, b...)
}
