package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Handler serves the public part of the journal below /log/. It shows
// commitments and hashes alone, so it needs no sign-in.
//
//	GET /log/checkpoint                         signed head (C2SP tlog-checkpoint)
//	GET /log/key                                keys that sign it, newest first (C2SP signed-note), a line each
//	GET /log/tile/<L>/<N>[.p/<W>]               hashes of the tree (C2SP tlog-tiles)
//	GET /log/tile/entries/<N>[.p/<W>]           records: commitments, each after its length (tlog-tiles)
//	GET /log/proof/inclusion/<number>/<size>    JSON
//	GET /log/proof/consistency/<old>/<size>     JSON
//
// Errors are problem+json (RFC 9457). What cannot change is marked immutable.
// report, which may be nil, gets errors that are not the caller's.
func (l *Log) Handler(report func(*http.Request, error)) *http.ServeMux {
	h := &handler{log: l, report: report}
	mux := http.NewServeMux()
	mux.Handle("GET /log/checkpoint", h.serve(h.checkpoint))
	mux.Handle("GET /log/key", h.serve(h.key))
	mux.Handle("GET /log/tile/{path...}", h.serve(h.tile))
	mux.Handle("GET /log/proof/inclusion/{number}/{size}", h.serve(h.inclusion))
	mux.Handle("GET /log/proof/consistency/{old}/{size}", h.serve(h.consistency))
	mux.Handle("GET /log/", h.serve(func(*http.Request) (answer, error) {
		return answer{}, problem.New(problem.NotFound, "there is no such page of the journal",
			"ask for /log/checkpoint, /log/key, /log/tile/… or /log/proof/…")
	}))
	return mux
}

type handler struct {
	log    *Log
	report func(*http.Request, error)

	mu     sync.Mutex
	signed time.Time // when a checkpoint was last asked of the log
}

type answer struct {
	contentType string
	cache       string
	body        []byte
}

const (
	immutable = "public, max-age=31536000, immutable"
	fresh     = "no-cache"

	textType  = "text/plain; charset=utf-8"
	bytesType = "application/octet-stream"
	jsonType  = "application/json"
)

func (h *handler) serve(fn func(*http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := fn(r)
		status := http.StatusOK
		if err != nil {
			a, status = h.failure(r, err)
		}
		head := w.Header()
		head.Set("Content-Type", a.contentType)
		head.Set("Cache-Control", a.cache)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Content-Length", strconv.Itoa(len(a.body)))
		if status == http.StatusServiceUnavailable {
			head.Set("Retry-After", "5")
		}
		w.WriteHeader(status)
		_, _ = w.Write(a.body) // the client may have gone
	})
}

func (h *handler) failure(r *http.Request, err error) (answer, int) {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		p = problem.New(problem.Internal, "the journal could not be read", "tell the operator")
	}
	status := http.StatusInternalServerError
	switch p.Kind {
	case problem.Invalid:
		status = http.StatusBadRequest
	case problem.NotFound:
		status = http.StatusNotFound
	case problem.Unavailable, problem.Busy:
		status = http.StatusServiceUnavailable
	}
	if status >= 500 && h.report != nil && r.Context().Err() == nil {
		h.report(r, err)
	}
	body, _ := json.Marshal(map[string]any{ // strings and a number: cannot fail
		"title": http.StatusText(status), "status": status, "detail": p.Detail, "fix": p.Fix,
	})
	return answer{"application/problem+json", "no-store", body}, status
}

// checkpoint answers the last checkpoint, and signs a newer one at most once a
// second.
func (h *handler) checkpoint(r *http.Request) (answer, error) {
	h.mu.Lock()
	due := h.log.now().Sub(h.signed) >= time.Second
	if due {
		h.signed = h.log.now()
	}
	h.mu.Unlock()
	var signed []byte
	var err error
	if due {
		// Others may get the result, so it does not end with this request.
		signed, err = h.log.Sign(context.WithoutCancel(r.Context()))
	} else {
		signed, _, err = h.log.lastCheckpoint(r.Context())
	}
	if err != nil {
		return answer{}, err
	}
	if signed == nil {
		return answer{}, problem.New(problem.NotFound, "the journal has no signed checkpoint yet", "ask again in a moment")
	}
	return answer{textType, fresh, signed}, nil
}

func (h *handler) key(*http.Request) (answer, error) {
	return answer{textType, fresh, []byte(strings.Join(h.log.keys, "\n") + "\n")}, nil
}

const tileHeight = 8

func (h *handler) tile(r *http.Request) (answer, error) {
	path, entries := r.PathValue("path"), false
	if rest, ok := strings.CutPrefix(path, "entries/"); ok {
		path, entries = "0/"+rest, true
	}
	bad := problem.New(problem.Invalid, "this is not the path of a tile",
		"use /log/tile/<level>/<index> or /log/tile/entries/<index>, index in groups of three digits (x001/234), .p/<width> for a part (C2SP tlog-tiles)")
	if len(path) > 64 {
		return answer{}, bad
	}
	t, err := tlog.ParseTilePath("tile/8/" + path)
	if err != nil || t.L < 0 || t.L > 7 || t.N < 0 || t.W < 1 || t.W > 1<<tileHeight {
		return answer{}, bad.Because(err)
	}
	var body []byte
	err = h.log.store.View(r.Context(), func(reader StoreReader) error {
		size, err := reader.Size()
		if err != nil {
			return err
		}
		available := size >> (tileHeight * t.L) // hashes at the tile's level
		if t.N > available>>tileHeight || t.N<<tileHeight+int64(t.W) > available {
			return problem.New(problem.NotFound, "the journal is not that long yet", "read /log/checkpoint for its size")
		}
		if entries {
			body, err = entryBundle(reader, t.N<<tileHeight, t.W)
			return err
		}
		body, err = tlog.ReadTileData(t, hashReader(reader))
		return err
	})
	return answer{bytesType, immutable, body}, err
}

// entryBundle returns records, each after its length as a big-endian uint16.
func entryBundle(r StoreReader, first int64, n int) ([]byte, error) {
	body := make([]byte, 0, n*34)
	err := r.ScanRows(first, first+int64(n), func(row *Row) error {
		body = binary.BigEndian.AppendUint16(body, uint16(len(row.Commitment)))
		body = append(body, row.Commitment[:]...)
		return nil
	})
	if err == nil && len(body) != n*34 {
		err = problem.New(problem.Internal, "an entry of the journal is missing", "tell the operator to run \"siaga log verify\"")
	}
	return body, err
}

// pathNumber reads a number in canonical form.
func pathNumber(r *http.Request, name string) (int64, error) {
	s := r.PathValue(name)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, problem.Newf(problem.Invalid, "the %s is not a whole number", name).WithFix("use digits alone, without leading zeros")
	}
	return n, nil
}

func pathNumbers(r *http.Request, first string) (a, size int64, err error) {
	if a, err = pathNumber(r, first); err != nil {
		return 0, 0, err
	}
	if size, err = pathNumber(r, "size"); err != nil {
		return 0, 0, err
	}
	if size == 0 {
		err = problem.New(problem.Invalid, "nothing can be proved in a journal of size 0", "give the size of a checkpoint")
	}
	return a, size, err
}

func (h *handler) inclusion(r *http.Request) (answer, error) {
	number, size, err := pathNumbers(r, "number")
	if err != nil {
		return answer{}, err
	}
	p, err := h.log.InclusionProof(r.Context(), number, size)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(p)
}

func (h *handler) consistency(r *http.Request) (answer, error) {
	old, size, err := pathNumbers(r, "old")
	if err != nil {
		return answer{}, err
	}
	p, err := h.log.ConsistencyProof(r.Context(), old, size)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(p)
}

func jsonAnswer(v any) (answer, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(io.Writer(&b))
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return answer{}, err
	}
	return answer{jsonType, immutable, b.Bytes()}, nil
}
