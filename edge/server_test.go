package edge_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// printer plays a fingerprinter: the digest is real, the first byte says what
// the rest is.
type printer struct{ h pdq.Hash }

func (p printer) Fingerprint(_ context.Context, r io.Reader) (fingerprint.Set, error) {
	var s fingerprint.Set
	b, err := io.ReadAll(r)
	if err != nil {
		return s, err
	}
	s.SHA256, s.MD5, s.Bytes, err = digest.Sum(bytes.NewReader(b))
	if err != nil || len(b) == 0 {
		return s, err
	}
	switch b[0] {
	case 'P':
		s.Format, s.Picture = "jpeg", &fingerprint.Picture{PDQ: pdq.Result{Hash: p.h, Quality: 100}}
	case 'U':
		s.Unknown, s.Fix = "the picture is damaged", "send the original"
	case 'E':
		return s, errors.New("worker died")
	case 'N': // noise
	default:
		s.Format = "text"
	}
	return s, nil
}

func newServer(t *testing.T) (*httptest.Server, *edge.Matcher, *writer, pdq.Hash) {
	t.Helper()
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	h := hash(newRand(1))
	w.apply(m, edge.SharedChain, edge.Add, signal(418, h))
	ex := signal(419, h)
	ex.Exercise, ex.Group = true, ""
	w.apply(m, edge.SharedChain, edge.Add, ex)
	s := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: m, Fingerprinter: printer{near(newRand(2), h, 12)}, Version: "test"}))
	t.Cleanup(s.Close)
	return s, m, w, h
}

type answer struct {
	Answer  string
	Results []struct {
		Kind, Value              string
		Matches, ExerciseMatches []struct {
			Signal, List, Kind, Group, Action, Pass, Why string
			Labels                                       []string
			Distance                                     int
			Score                                        float64
			Entry                                        int64
		}
	}
	Feed struct {
		AgeMS  int64 `json:"age_ms"`
		Cursor string
		Stale  bool
	}
	Unknown, Note       string
	Title, Detail, Fix  string
	Status              int
	ExerciseMatchesNull bool
}

func post(t *testing.T, url, contentType string, body io.Reader) (int, answer, string) {
	t.Helper()
	resp, err := http.Post(url, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(b), "exercise_matches", "ExerciseMatches")))
	if err := d.Decode(&a); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return resp.StatusCode, a, string(b)
}

// curl --data-binary names a form if it is told nothing else.
func TestMatchOfAFormIsWhatItHolds(t *testing.T) {
	m := edge.NewMatcher(edge.MatcherOptions{})
	m.FreshAt(time.Now())
	srv := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: m}))
	defer srv.Close()
	post := func(body string) (int, string) {
		resp, err := http.Post(srv.URL+"/v1/match", "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, b := post(`{"kind":"md5","value":"d41d8cd98f00b204e9800998ecf8427e"}`); code != http.StatusOK || !strings.Contains(b, `"no_match"`) {
		t.Errorf("a value: %d %s", code, b)
	}
	if code, b := post("\xff\xd8\xff a file"); code == http.StatusOK || !strings.Contains(b, "fix") {
		t.Errorf("a file at an edge that reads none: %d %s", code, b)
	}
}

func TestMatchValue(t *testing.T) {
	s, m, _, h := newServer(t)
	q := near(newRand(3), h, 9)
	code, _, raw := post(t, s.URL+"/v1/match", "application/json", strings.NewReader(`{"kind":"pdq","value":"`+strings.ToUpper(q.String())+`"}`))
	want := `{"answer":"match","results":[{"kind":"pdq","value":"` + strings.ToUpper(q.String()) + `","matches":[{"signal":"S-0418","list":"sea-crp","kind":"pdq","labels":["terrorism"],"producer":"perpetrator","distance":9,"score":0.930,"group":"A-0418","incident":"","entry":1000,"pass":"pdq","action":"block"}],` +
		`"exercise_matches":[{"signal":"S-0419","list":"sea-crp","kind":"pdq","labels":["terrorism"],"producer":"perpetrator","distance":9,"score":0.930,"group":"","incident":"","entry":1001,"pass":"pdq","action":"review","why":"exercise"}]}],` +
		`"feed":{"age_ms":0,"cursor":"` + m.Cursor().String() + `","stale":false}}` + "\n"
	if code != 200 || raw != want {
		t.Errorf("%d\n got %s\nwant %s", code, raw, want)
	}

	code, a, raw := post(t, s.URL+"/v1/match", "application/json; charset=utf-8", strings.NewReader(`[{"kind":"url","value":"https://example.org/"},{"kind":"pdq","value":"`+h.String()+`","quality":20},{"kind":"sha256","value":"`+strings.Repeat("ab", 32)+`"}]`))
	if code != 200 || a.Answer != "match" || len(a.Results) != 3 || len(a.Results[0].Matches) != 0 || a.Results[1].Matches[0].Action != "review" || a.Results[1].Matches[0].Why != "quality" {
		t.Errorf("%d %s", code, raw)
	}
	// A payment handle that was asked about does not come back whole.
	if _, _, raw := post(t, s.URL+"/v1/match", "application/json", strings.NewReader(`{"kind":"payment","value":"GB29 NWBK 6016 1331 9268 19"}`)); strings.Contains(raw, "6016") || !strings.Contains(raw, `"value":"iban:GB…6819"`) {
		t.Errorf("a payment handle: %s", raw)
	}
	if _, a, raw := post(t, s.URL+"/v1/match", "application/json", strings.NewReader(`{"kind":"url","value":"https://example.org/"}`)); a.Answer != "no_match" || !strings.Contains(raw, `"matches":[],"ExerciseMatches":[]`) && !strings.Contains(raw, `"matches":[],"exercise_matches":[]`) {
		t.Errorf("%s", raw)
	}
}

func TestMatchPDQBatch(t *testing.T) {
	s, _, _, h := newServer(t)
	r := newRand(9)
	var body []byte
	for i := range 100 {
		q := hash(r)
		if i%10 == 0 {
			q = near(r, h, i%30)
		}
		body = append(body, q[:]...)
	}
	code, a, raw := post(t, s.URL+"/v1/match/pdq", "application/octet-stream", bytes.NewReader(body))
	if code != 200 || a.Answer != "match" || len(a.Results) != 100 {
		t.Fatalf("%d %.300s", code, raw)
	}
	for i, x := range a.Results {
		if (len(x.Matches) == 1) != (i%10 == 0) || x.Value != pdq.Hash(body[32*i:32*i+32]).String() {
			t.Errorf("result %d: %+v", i, x)
		}
	}
}

func TestMatchFile(t *testing.T) {
	s, m, w, _ := newServer(t)
	sum, _, _, err := digest.Sum(strings.NewReader("a manifesto"))
	if err != nil {
		t.Fatal(err)
	}
	x := signal(7, pdq.Hash{})
	x.Kind, x.Value = fingerprint.SHA256, sum.String()
	w.apply(m, edge.SharedChain, edge.Add, x)
	form := func(field, body string) (string, io.Reader) {
		var b bytes.Buffer
		mw := multipart.NewWriter(&b)
		_ = mw.WriteField("note", "not the file")
		f, err := mw.CreateFormFile(field, "x.jpg")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, body)
		_ = mw.Close()
		return mw.FormDataContentType(), &b
	}
	for _, ct := range []string{"", "image/jpeg", "application/octet-stream", "multipart"} {
		send := func(body string) (int, answer, string) {
			if ct == "multipart" {
				ct, r := form("file", body)
				return post(t, s.URL+"/v1/match", ct, r)
			}
			return post(t, s.URL+"/v1/match", ct, strings.NewReader(body))
		}
		if code, a, raw := send("P a picture"); code != 200 || a.Answer != "match" || len(a.Results) != 3 || a.Results[2].Kind != "pdq" || a.Results[2].Matches[0].Signal != "S-0418" || a.Results[2].Matches[0].Distance != 12 {
			t.Errorf("%s: picture: %d %s", ct, code, raw)
		}
		if code, a, raw := send("a manifesto"); code != 200 || a.Answer != "match" || a.Results[0].Matches[0].Signal != "S-0007" || a.Results[0].Matches[0].Pass != "digest" {
			t.Errorf("%s: digest: %d %s", ct, code, raw)
		}
		// A text that is named or sent as a picture was not looked at as one.
		want, says := "no_match", ""
		switch ct {
		case "image/jpeg":
			want, says = "unknown", "it was sent as image/jpeg, but this is a text"
		case "multipart":
			want, says = "unknown", "the name ends in .jpg, but this is a text"
		}
		if code, a, raw := send("nothing known"); code != 200 || a.Answer != want || !strings.Contains(a.Unknown, says) || (a.Fix == "") != (says == "") || (a.Note == "") == (says == "") {
			t.Errorf("%s: a text: %d %s", ct, code, raw)
		}
		if code, a, raw := send("N noise"); code != 200 || a.Answer != "unknown" || a.Unknown == "" || a.Fix == "" {
			t.Errorf("%s: noise: %d %s", ct, code, raw)
		}
		if code, a, raw := send("U damaged"); code != 200 || a.Answer != "unknown" || a.Unknown != "the picture is damaged" {
			t.Errorf("%s: damaged: %d %s", ct, code, raw)
		}
		if code, a, raw := send("E"); code != 500 || a.Fix == "" {
			t.Errorf("%s: broken worker: %d %s", ct, code, raw)
		}
		if code, a, raw := send(""); code != 400 || a.Detail != "the file is empty" {
			t.Errorf("%s: empty: %d %s", ct, code, raw)
		}
	}
}

func TestBadRequestsGetOneClearLine(t *testing.T) {
	s, _, _, _ := newServer(t)
	for _, x := range []struct {
		name, path, ct, body string
		code                 int
		detail               string
	}{
		{"not JSON", "/v1/match", "application/json", "{", 400, "the body is not the JSON that is expected"},
		{"empty array", "/v1/match", "application/json", "[]", 400, "0 values were sent"},
		{"kind", "/v1/match", "application/json", `{"kind":"face","value":"x"}`, 400, "value 1: fingerprint: unknown kind"},
		{"alphabet", "/v1/match", "application/json", `[{"kind":"url","value":"https://a.org"},{"kind":"pdq","value":"` + strings.Repeat("z", 64) + `"}]`, 400, "value 2: "},
		{"NUL", "/v1/match", "application/json", `{"kind":"sha256","value":"\u0000"}`, 400, "value 1: "},
		{"local by value", "/v1/match", "application/json", `{"kind":"local","value":"x"}`, 400, "upload the file instead"},
		{"type", "/v1/match", "//", "a", 415, "the Content-Type cannot be read"},
		{"no file", "/v1/match", "multipart/form-data; boundary=x", "--x--\r\n", 400, "the form has no file"},
		{"31 bytes", "/v1/match/pdq", "application/octet-stream", strings.Repeat("x", 31), 400, "the body has 31 bytes"},
		{"no bytes", "/v1/match/pdq", "application/octet-stream", "", 400, "the body has 0 bytes"},
		{"too many", "/v1/match/pdq", "application/octet-stream", strings.Repeat("x", 32*edge.MaxQueries+1), 413, "the body is larger than"},
		{"elsewhere", "/v1/march", "", "", 404, "there is nothing here"},
	} {
		code, a, raw := post(t, s.URL+x.path, x.ct, strings.NewReader(x.body))
		if code != x.code || !strings.Contains(a.Detail, x.detail) || a.Fix == "" || a.Title == "" || a.Status != code || strings.Count(raw, "\n") != 1 {
			t.Errorf("%s: %d %s", x.name, code, raw)
		}
	}
}

// A file is looked at whole or not at all, however it is sent, and wherever a
// reader on its way cuts it.
func TestFileThatIsTooLong(t *testing.T) {
	const limit = 70_000
	m, _ := ready(t, edge.MatcherOptions{})
	s := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: m, Fingerprinter: printer{}, MaxUpload: limit}))
	t.Cleanup(s.Close)
	form := func(body string) (string, string) {
		var b strings.Builder
		mw := multipart.NewWriter(&b)
		f, err := mw.CreateFormFile("file", "x.zip")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, body)
		_ = mw.Close()
		return mw.FormDataContentType(), b.String()
	}
	for _, ct := range []string{"application/octet-stream", "application/zip", "application/x-www-form-urlencoded", "multipart"} {
		for _, x := range []struct{ bytes, code int }{{limit - 1, 200}, {limit, 200}, {limit + 1, 413}, {limit + 9_000, 413}, {limit + 300_000, 413}} {
			ct, body := ct, strings.Repeat("x", x.bytes)
			if ct == "multipart" {
				ct, body = form(body)
			}
			// A reader without a length, as of an endless stream.
			code, a, raw := post(t, s.URL+"/v1/match", ct, io.MultiReader(strings.NewReader(body)))
			if code != x.code || code == 413 && (!strings.Contains(a.Detail, "larger than 70000 bytes") || a.Fix == "" || a.Answer != "") {
				t.Errorf("%s, %d bytes: %d %s", ct, x.bytes, code, raw)
			}
		}
	}
}

// TestMethodNotAllowed wants the methods that a path takes to be named.
func TestMethodNotAllowed(t *testing.T) {
	s, _, _, _ := newServer(t)
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodGet, "/v1/match", "POST"}, {http.MethodDelete, "/v1/match/pdq", "POST"}, {http.MethodPost, "/v1/status", "GET, HEAD"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		err = json.NewDecoder(resp.Body).Decode(&a)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != c.allow || resp.Header.Get("Content-Type") != "application/problem+json" || a.Fix != "use "+c.allow {
			t.Errorf("%s %s: %v, %s, Allow %q, %+v", c.method, c.path, err, resp.Status, resp.Header.Get("Allow"), a)
		}
	}
}

func TestColdEdgeRefuses(t *testing.T) {
	s := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: edge.NewMatcher(edge.MatcherOptions{})}))
	defer s.Close()
	code, a, raw := post(t, s.URL+"/v1/match/pdq", "", bytes.NewReader(make([]byte, 32)))
	if code != 503 || !strings.Contains(a.Detail, "no signals yet") {
		t.Errorf("%d %s", code, raw)
	}
	if code, a, _ := post(t, s.URL+"/v1/match", "image/png", strings.NewReader("x")); code != 501 || a.Fix == "" {
		t.Errorf("no fingerprinter: %d %+v", code, a)
	}
}

func TestStatusOverAUnixSocket(t *testing.T) {
	_, m, _, _ := newServer(t)
	path := filepath.Join(t.TempDir(), "edge.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: edge.NewServer(edge.ServerOptions{Matcher: m, Version: "1.2"})} //nolint:gosec // a test
	go srv.Serve(l)                                                                              //nolint:errcheck // ends with Close
	defer srv.Close()                                                                            //nolint:errcheck // a test
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://edge/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var st edge.Status
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	want := edge.Status{Version: "1.2", Signals: 2, Cursor: m.Cursor().String(), Feed: edge.Feed{Cursor: m.Cursor().String()}, Unmatched: []string{}, Trips: []edge.Trip{}, Alarms: []edge.Alarm{}}
	if d := cmp.Diff(want, st); d != "" {
		t.Error(d)
	}
}

// The whole answer to a batch is built without allocating for each hash: three
// times as many cost no more, by one processor or by several, whether they
// match or not.
func TestBatchAnswerAllocatesNothingForAHash(t *testing.T) {
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	h := hash(newRand(1))
	w.apply(m, edge.SharedChain, edge.Add, signal(1, h))
	srv := edge.NewServer(edge.ServerOptions{Matcher: m})
	pair := append(h[:len(h):len(h)], make([]byte, 32)...)
	for _, processors := range []int{1, 4} {
		allocs := func(pairs int) float64 {
			body := bytes.Repeat(pair, pairs)
			return testing.AllocsPerRun(20, func() {
				req := httptest.NewRequest(http.MethodPost, "/v1/match/pdq", bytes.NewReader(body))
				rec := &sink{h: http.Header{}}
				srv.ServeHTTP(rec, req)
				if rec.code != 0 || rec.n < 100*pairs {
					t.Fatal(rec.code, rec.n)
				}
			})
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		few, many := allocs(600), allocs(1800)
		if many > few+20 || few > 80 { // buffers grow a few times where the pool was emptied
			t.Errorf("%d processors: %v allocations for 1,200 hashes, %v for 3,600", processors, few, many)
		}
	}
}

// A batch that is cut into parts is answered in order, with each match where it
// belongs.
func TestLargeBatchIsAnsweredInOrder(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	m, _ := ready(t, edge.MatcherOptions{})
	w, r := newWriter(t), newRand(5)
	known := hash(r)
	w.apply(m, edge.SharedChain, edge.Add, signal(1, known))
	s := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: m}))
	defer s.Close()
	for _, n := range []int{255, 256, 257, 511, 513, 2051} {
		var body []byte
		for i := range n {
			h := hash(r)
			if i%100 == 99 {
				h = known
			}
			body = append(body, h[:]...)
		}
		code, a, raw := post(t, s.URL+"/v1/match/pdq", "application/octet-stream", bytes.NewReader(body))
		if code != http.StatusOK || len(a.Results) != n || a.Answer != "match" && n >= 100 {
			t.Fatalf("%d hashes: %d, %d results, %.200s", n, code, len(a.Results), raw)
		}
		for i, res := range a.Results {
			if want := hex.EncodeToString(body[32*i : 32*i+32]); res.Value != want {
				t.Fatalf("%d hashes: result %d is of %s, want %s", n, i, res.Value, want)
			}
			if got := len(res.Matches) == 1; got != (i%100 == 99) {
				t.Fatalf("%d hashes: result %d has %d matches", n, i, len(res.Matches))
			}
		}
	}
}

type sink struct {
	h       http.Header
	code, n int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(c int)           { s.code = c }
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); return len(p), nil }

func ExampleMatcher() {
	m := edge.NewMatcher(edge.MatcherOptions{})
	var res edge.Result
	var h pdq.Hash
	if !m.PDQ(&res, &h, 100) {
		fmt.Println("no signals yet")
	}
	// Output: no signals yet
}

// blocked is a fingerprinter that works until it is let go.
type blocked struct {
	begun chan struct{}
	free  chan struct{}
}

func (b blocked) Fingerprint(ctx context.Context, r io.Reader) (fingerprint.Set, error) {
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return fingerprint.Set{}, err
	}
	b.begun <- struct{}{}
	select {
	case <-b.free:
	case <-ctx.Done():
	}
	return fingerprint.Set{Format: "text", Bytes: n}, ctx.Err()
}

// Files beyond those that are worked on wait, and those beyond the ones that may
// wait are refused at once; when there is room again they are taken.
func TestFilesThatWaitAreBounded(t *testing.T) {
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	w.apply(m, edge.SharedChain, edge.Add, signal(1, hash(newRand(1))))
	b := blocked{make(chan struct{}, 100), make(chan struct{})}
	s := edge.NewServer(edge.ServerOptions{Matcher: m, Fingerprinter: b, Uploads: 1})
	answers := make(chan *httptest.ResponseRecorder, 100)
	var wg sync.WaitGroup
	send := func() {
		wg.Go(func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/match", strings.NewReader("a file"))
			r.Header.Set("Content-Type", "application/octet-stream")
			s.ServeHTTP(w, r)
			answers <- w
		})
	}
	send()
	<-b.begun
	for range 39 { // one is worked on, 16 wait
		send()
	}
	for range 40 - 17 {
		w := <-answers
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "more files wait") {
			t.Fatalf("beyond the bound: %d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	select {
	case w := <-answers:
		t.Fatalf("one that may wait was refused: %d %s", w.Code, w.Body)
	case <-time.After(20 * time.Millisecond):
	}
	close(b.free)
	for range 17 {
		if w := <-answers; w.Code != http.StatusOK {
			t.Errorf("one that waited: %d %s", w.Code, w.Body)
		}
	}
	wg.Wait()
}
