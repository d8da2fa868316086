package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
)

// maxVerdictBody bounds the body of POST /v1/verdict.
const maxVerdictBody = 1 << 20

const verdictForm = `send {"signal":"S-0418","verdict":"true_positive","id":"your name for the decision"} or an array of them; a verdict is true_positive, false_positive or disputed`

// verdict is POST /v1/verdict: the platform says what it found about matches.
func (s *Server) verdict(a *answering, w http.ResponseWriter, r *http.Request) error {
	if s.o.Follower == nil {
		return &refusal{http.StatusNotImplemented, "this matcher has no node that could be told", "run siaga edge, which has one"}
	}
	if err := a.read(http.MaxBytesReader(w, r.Body, maxVerdictBody)); err != nil {
		return bodyError(err, maxVerdictBody)
	}
	var js []Judgement
	body := bytes.TrimSpace(a.in)
	var err error
	if len(body) > 0 && body[0] == '[' {
		err = json.Unmarshal(body, &js)
	} else {
		js = make([]Judgement, 1)
		err = json.Unmarshal(body, &js[0])
	}
	if err != nil {
		return &refusal{http.StatusBadRequest, "the body is not the JSON that is expected: " + err.Error(), verdictForm}
	}
	taken, err := s.o.Follower.Judge(js)
	switch {
	case errors.Is(err, ErrSyntax):
		return &refusal{http.StatusBadRequest, err.Error(), verdictForm}
	case errors.Is(err, errLedgerFull):
		return &refusal{http.StatusServiceUnavailable, "more verdicts wait for the node than this edge keeps", "send it again when GET /v1/status says connected"}
	case err != nil:
		return &refusal{http.StatusServiceUnavailable, "the verdict could not be stored: " + err.Error(), "free space or check the disk, then send it again"}
	}
	b, err := json.Marshal(taken)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the caller may be gone
	return nil
}
