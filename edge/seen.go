package edge

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// SeenHeader is the header in which an edge sends, with each request for the
// feed or a snapshot, the newest greeting or heartbeat that it accepted and the
// last operation that it applied. The node signed them, so they prove to a node
// that was restored from a backup how far it had come. The value is one or two
// parts, joined by a comma: "h.", "b." or "o." and the base64url (no padding) of
// the wire form of a hello, a heartbeat or an operation.
const SeenHeader = "Siaga-Seen"

const (
	seenHello = "h."
	seenBeat  = "b."
	seenOp    = "o."
	maxSeen   = 24 << 10 // characters of the header
)

// Seen is what such a header proves.
type Seen struct {
	Epoch      uint64 // of the greeting or heartbeat; 0: there was none
	Heads      Cursor
	Checkpoint string  // signed note of the journal; "" if none was signed yet
	Op         *Sealed // last operation applied; nil: none since the edge started
}

// sight is what an edge keeps for the header.
type sight struct {
	form string // of told
	told []byte // hello or heartbeat
	op   []byte
}

// text returns the header's value; "" if nothing was seen.
func (s *sight) text() string {
	var parts []string
	n := 0
	for _, p := range []struct {
		form string
		wire []byte
	}{{s.form, s.told}, {seenOp, s.op}} {
		if size := len(p.form) + base64.RawURLEncoding.EncodedLen(len(p.wire)) + 1; len(p.wire) > 0 && n+size <= maxSeen {
			n += size
			parts = append(parts, p.form+base64.RawURLEncoding.EncodeToString(p.wire))
		}
	}
	return strings.Join(parts, ",")
}

// read takes back what text returned. What cannot be read is left out.
func (s *sight) read(text string) {
	for part := range strings.SplitSeq(text, ",") {
		form := part[:min(len(part), len(seenHello))]
		wire, err := base64.RawURLEncoding.DecodeString(part[len(form):])
		switch {
		case err != nil:
		case form == seenOp:
			s.op = wire
		case form == seenHello || form == seenBeat:
			s.form, s.told = form, wire
		}
	}
}

// ParseSeen reads the header and checks the signatures. The error wraps
// ErrSyntax or ErrSignature.
func (k *Keys) ParseSeen(text string) (Seen, error) {
	var out Seen
	if len(text) > maxSeen || len(text) < len(seenHello) {
		return out, fmt.Errorf("%w: %s has %d characters", ErrSyntax, SeenHeader, len(text))
	}
	for part := range strings.SplitSeq(text, ",") {
		form := part[:min(len(part), len(seenHello))]
		wire, err := base64.RawURLEncoding.DecodeString(part[len(form):])
		if err != nil {
			return Seen{}, fmt.Errorf("%w: %s is not base64", ErrSyntax, SeenHeader)
		}
		switch form {
		case seenHello:
			var h Hello
			if h, err = k.ParseHello(wire); err == nil {
				out.Epoch, out.Heads, out.Checkpoint = h.Epoch, h.Heads, h.Checkpoint
			}
		case seenBeat:
			var h Heartbeat
			if h, err = k.ParseHeartbeat(wire); err == nil {
				out.Epoch, out.Heads, out.Checkpoint = h.Epoch, h.Heads, h.Checkpoint
			}
		case seenOp:
			var op Sealed
			if op, err = ParseOperation(wire); err == nil {
				err = k.Verify(&op)
			}
			out.Op = &op
		default:
			err = fmt.Errorf("%w: a part of %s begins with %q", ErrSyntax, SeenHeader, form)
		}
		if err != nil {
			return Seen{}, err
		}
	}
	return out, nil
}
