package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// MaxVariantBytes bounds the body in which a variant is sent to the node.
const MaxVariantBytes = 1 << 20

// VariantValue is one fingerprint of an altered copy.
type VariantValue struct {
	Kind        fingerprint.Kind `json:"kind"`
	Value       string           `json:"value"`
	Quality     *int             `json:"quality,omitempty"`      // PDQ's, of the picture that the value is of, 0 to 100
	MaxDistance *int             `json:"max_distance,omitempty"` // nil: the kind's own
}

// VariantBody is what an edge sends to POST /api/v1/feed/variants: an altered
// copy of a group's asset, by its fingerprints.
type VariantBody struct {
	Group  string         `json:"group"`
	Values []VariantValue `json:"values"`
	Note   string         `json:"note,omitempty"`
}

// ErrRefused is wrapped by the error of a request that the node refused; its
// text says why and what to do.
var ErrRefused = errors.New("edge: the node refuses")

// refusedByNode carries the node's status.
type refusedByNode struct {
	status      int
	after       time.Duration // Retry-After; 0: not said
	detail, fix string
}

func (e *refusedByNode) Error() string { return e.detail + "; " + e.fix }

// Unwrap implements errors.Unwrap.
func (*refusedByNode) Unwrap() error { return ErrRefused }

// errAway says that the node cannot be asked now.
var errAway = errors.New("edge: the node is away; send it again when the edge is connected")

// SendVariant proposes an altered copy to the node as a variant of a group and
// returns the node's answer, JSON with the new signals. It may be called
// concurrently with Run. The error wraps ErrRefused if the node said no.
func (f *Follower) SendVariant(ctx context.Context, v VariantBody) (json.RawMessage, error) {
	up := f.Connected()
	if up == "" {
		return nil, errAway
	}
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(body) > MaxVariantBytes {
		return nil, fmt.Errorf("%w: the fingerprints have %d bytes, the limit is %d", ErrSyntax, len(body), MaxVariantBytes)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(up, "/")+"/api/v1/feed/variants", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	f.head(req)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", newID())
	resp, err := f.o.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		var p problemJSON
		if json.Unmarshal(b, &p) != nil || p.Detail == "" {
			p.Detail, p.Fix = "the node answers "+resp.Status, "look into the node's log"
		}
		return nil, &refusedByNode{resp.StatusCode, retryAfter(resp), p.Detail, p.Fix}
	}
	return b, nil
}

// valuesOf is what is proposed of a file unless ServerOptions.Values says more.
func valuesOf(s *fingerprint.Set) []VariantValue {
	var out []VariantValue
	if s.SHA256 != (digest.SHA256{}) {
		out = append(out, VariantValue{Kind: fingerprint.SHA256, Value: s.SHA256.String()})
	}
	if p := s.Picture; p != nil && !pdq.Degenerate(p.PDQ.Hash) {
		q := p.PDQ.Quality
		out = append(out, VariantValue{Kind: fingerprint.PDQ, Value: p.PDQ.Hash.String(), Quality: &q})
	}
	return out
}

// variant is POST /v1/variant?group=NAME: a file, or its fingerprints as a
// VariantBody.
func (s *Server) variant(a *answering, w http.ResponseWriter, r *http.Request) error {
	if s.o.Follower == nil {
		return &refusal{http.StatusNotImplemented, "this edge follows no node", "run siaga edge with --upstream"}
	}
	v := VariantBody{Group: r.URL.Query().Get("group"), Note: r.URL.Query().Get("note")}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if err := a.read(http.MaxBytesReader(w, r.Body, MaxVariantBytes)); err != nil {
			return bodyError(err, MaxVariantBytes)
		}
		var in VariantBody
		if err := json.Unmarshal(a.in, &in); err != nil {
			return &refusal{http.StatusBadRequest, "the body is not the JSON that is expected: " + err.Error(), `send {"group":"G-12","values":[{"kind":"pdq","value":"…"}]}, or the file itself`}
		}
		if in.Group == "" {
			in.Group = v.Group
		}
		v = in
	} else {
		set, err := s.fingerprints(w, r)
		if err != nil {
			return err
		}
		if v.Values = s.o.Values(set); len(v.Values) == 0 {
			return &refusal{http.StatusUnprocessableEntity, "nothing of this file can be shared: " + set.Unknown, set.Fix}
		}
	}
	if v.Group == "" {
		return &refusal{http.StatusBadRequest, "no group is named", "add ?group=NAME: the member group of a match, or the name on the group's page"}
	}
	b, err := s.o.Follower.SendVariant(r.Context(), v)
	if ref, ok := errors.AsType[*refusedByNode](err); ok {
		return &refusal{ref.status, ref.detail, ref.fix}
	}
	if _, ok := errors.AsType[*url.Error](err); ok || errors.Is(err, errAway) {
		return &refusal{http.StatusServiceUnavailable, "the node cannot be reached", "send it again when GET /v1/status says connected"}
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(b) // the caller may be gone
	return nil
}
