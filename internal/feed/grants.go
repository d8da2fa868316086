package feed

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A relay follows like an edge and is told two things more, in events that the
// feature "grant" asks for: a certificate, by which edges accept its
// greetings, and which edges of its partner it may serve. Both come again when
// they change; the certificate also every hour.

const (
	certificateLife  = 24 * time.Hour
	certificateRenew = time.Hour
)

var errNoGrant = problem.New(problem.Denied, "this token is not one for a relay", "make one with siaga token create --roles relay")

// relayStream is what a relay's stream has besides.
type relayStream struct {
	key     ed25519.PublicKey
	at      time.Time // of the certificate
	edges   []byte    // the grant's edges, as JSON
	current *frame    // to be sent; owned by Hub.mu
	sent    *frame    // owned by Hub.mu
}

// relayRequest reads what a relay asks with; nil for an edge.
func (h *Hub) relayRequest(r *http.Request, who Subscriber, granted []string) (*relayStream, error) {
	for _, f := range granted {
		if f != edge.FeatureGrant {
			continue
		}
		if !who.Relay {
			return nil, errNoGrant
		}
		key, err := base64.RawURLEncoding.Strict().DecodeString(r.URL.Query().Get("relay"))
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, problem.New(problem.Invalid, "a relay names its key in the parameter relay", "send the 32 bytes of its Ed25519 key in base64url")
		}
		rs := &relayStream{key: key}
		if err := h.grant(r.Context(), who, rs); err != nil {
			return nil, err
		}
		return rs, nil
	}
	if who.Relay {
		return nil, problem.New(problem.Invalid, "this token is one for a relay", "make one for an edge with siaga token create --roles edge")
	}
	return nil, nil
}

// grant makes the frame with certificate and grant, if either is due. It
// returns with rs.current unchanged if not.
func (h *Hub) grant(ctx context.Context, who Subscriber, rs *relayStream) error {
	edges, err := h.o.Grants(ctx, who)
	if err != nil {
		return err
	}
	now := h.o.Now()
	text, err := json.Marshal(edges)
	if err != nil {
		return err
	}
	if rs.current != nil && bytes.Equal(text, rs.edges) && now.Sub(rs.at) < certificateRenew {
		return nil
	}
	cert, err := edge.Certificate{Relay: rs.key, Partner: who.Partner, Name: who.Edge, At: now, Until: now.Add(certificateLife)}.Seal(h.o.Signer)
	if err != nil {
		return err
	}
	grant, err := edge.Grant{Partner: who.Partner, At: now, Edges: edges}.Seal(h.o.Signer)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	rs.at, rs.edges = now, text
	rs.current = &frame{wire: append(event("relay", cert), event("grant", grant)...)}
	return nil
}

// regrant tells relays what changed.
func (h *Hub) regrant(ctx context.Context) {
	h.mu.Lock()
	var relays []*subscriber
	for s := range h.subs {
		if s.relay != nil {
			relays = append(relays, s)
		}
	}
	h.mu.Unlock()
	for _, s := range relays {
		if err := h.grant(ctx, s.who, s.relay); err != nil && ctx.Err() == nil {
			h.o.Log.WarnContext(ctx, "a relay could not be told which edges it may serve", "relay", s.who.Edge, "err", err)
			continue
		}
		s.notify()
	}
}
