package relay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/problem"
)

// link follows the node for one partner, with that partner's token.
type link struct {
	r     *Relay
	token string
	pin   string

	// Owned by run's goroutine.
	url int // of Options.Upstream
	big time.Time

	mu     sync.Mutex
	keys   *edge.Keys
	st     linkState
	cert   edge.Certificate
	grants map[string]edge.EdgeGrant // by hash
	beatAt time.Time                 // node's time of the newest heartbeat
	heads  edge.Cursor               // that it names
	up     string                    // address of the node; "" while away
	heard  time.Time                 // local
	ended  bool                      // the node refuses the token
	why    string                    // the last thing that went wrong
	offset time.Duration             // node's clock minus ours
}

// linkState is what is kept of a link on disk.
type linkState struct {
	Token   string `json:"token"` // edge.TokenHash
	Partner string `json:"partner"`
	Epoch   uint64 `json:"epoch"`
	BeatMS  int64  `json:"beat_ms"` // interval of heartbeats
	Keys    string `json:"keys"`    // each as the node signed it
	Cert    string `json:"certificate"`
	Grant   string `json:"grant"`
	Beat    string `json:"heartbeat"`
	Note    string `json:"checkpoint"`
}

func (l *link) chains() []string {
	return []string{edge.SharedChain, edge.OwnChain(l.partner())}
}

// restore takes what was kept, checking each signature.
func (l *link) restore(st linkState) error {
	keys, err := edge.ParseKeys([]byte(st.Keys), l.pin)
	if err != nil {
		return err
	}
	cert, err := keys.ParseCertificate([]byte(st.Cert))
	if err != nil {
		return err
	}
	grant, err := keys.ParseGrant([]byte(st.Grant))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st, l.keys = st, keys
	if !bytes.Equal(cert.Relay, l.r.key.Public()) {
		// Of a key that this relay no longer has: no edge is served until the
		// node has certified the new one.
		l.st.Cert, l.st.Grant = "", ""
		return nil
	}
	l.cert, l.grants = cert, byHash(grant)
	if beat, err := keys.ParseHeartbeat([]byte(st.Beat)); err == nil {
		l.beatAt, l.heads = beat.At, beat.Heads
	}
	return nil
}

func byHash(g edge.Grant) map[string]edge.EdgeGrant {
	m := make(map[string]edge.EdgeGrant, len(g.Edges))
	for _, e := range g.Edges {
		m[e.Hash] = e
	}
	return m
}

const (
	sayAgain     = time.Minute      // for how long the same reason is not logged again
	refusedPause = 20 * time.Second // until a refused token is tried again
)

// run follows the node until ctx ends.
func (l *link) run(ctx context.Context) {
	pause := time.Duration(0)
	said, saidAt := "", time.Time{}
	for ctx.Err() == nil {
		began := time.Now()
		err := l.connect(ctx)
		l.mu.Lock()
		l.up = ""
		if err != nil {
			l.why = err.Error()
		}
		refused := l.ended
		l.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if why := fmt.Sprint(edge.Reason(err)); why != said || time.Since(saidAt) > sayAgain {
			l.r.o.Log.WarnContext(ctx, "the relay's link is down", "upstream", l.r.o.Upstream[l.url], "err", why)
			said, saidAt = why, time.Now()
		}
		if time.Since(began) > 5*time.Second {
			pause = 0
		}
		l.url = (l.url + 1) % len(l.r.o.Upstream)
		if pause = min(750*time.Millisecond, max(50*time.Millisecond, 2*pause)); refused {
			pause = refusedPause // only a person can change that
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // not a secret
		}
	}
}

func (l *link) get(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	u := strings.TrimRight(l.r.o.Upstream[l.url], "/") + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("User-Agent", "siaga-relay/"+l.r.o.Version)
	resp, err := l.r.o.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // only for the message
	_ = resp.Body.Close()                                // read
	var p struct{ Detail, Fix string }
	_ = json.Unmarshal(b, &p) // only for the message
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		l.end()
	}
	return nil, refusedError{resp.Header.Get("Siaga-Feed"), fmt.Sprintf("the node answers %s: %s; %s", resp.Status, p.Detail, p.Fix)}
}

type refusedError struct{ reason, text string }

func (e refusedError) Error() string { return e.text }

// end: the node refuses our token, so no edge may be served by it.
func (l *link) end() {
	l.mu.Lock()
	l.ended, l.grants = true, nil
	l.mu.Unlock()
	if h := l.r.current(); h != nil {
		h.Recheck()
	}
}

func (l *link) connect(ctx context.Context) error {
	if l.keys == nil {
		resp, err := l.get(ctx, "/api/v1/feed/keys", nil)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		_ = resp.Body.Close() // read
		if err != nil {
			return err
		}
		if err := l.takeKeys(b); err != nil {
			return err
		}
	}
	if l.st.Partner == "" || len(l.r.store.heads(l.chains()...)) < 2 {
		if err := l.fetch(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	nonce := newNonce()
	patience := 5 * time.Second
	if len(l.r.o.Upstream) > 1 {
		patience = 2 * time.Second
	}
	mute := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no answer within %s", patience)) })
	defer mute.Stop()
	sent := time.Now()
	resp, err := l.get(ctx, "/api/v1/feed", url.Values{
		"cursor": {l.r.store.heads(l.chains()...).String()}, "nonce": {nonce}, "features": {edge.FeatureGrant + "," + edge.FeaturePing},
		"relay": {base64.RawURLEncoding.EncodeToString(l.r.key.Public())},
	})
	if err != nil {
		if e, ok := errors.AsType[refusedError](err); ok && e.reason != "" {
			return errors.Join(err, l.fetch(ctx))
		}
		return because(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	mute.Stop()
	return because(ctx, l.stream(ctx, resp.Body, nonce, sent, cancel))
}

// because returns why a stream was given up, if it was us who did so.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *link) takeKeys(wire []byte) error {
	k, err := edge.ParseKeys(wire, l.pin)
	if err != nil {
		return err
	}
	l.mu.Lock()
	older := l.keys != nil && k.Serial <= l.keys.Serial
	if !older {
		l.keys, l.st.Keys = k, string(wire)
	}
	l.mu.Unlock()
	if !older {
		l.r.keysChanged(wire)
	}
	return nil
}

// maxSnapshot bounds a snapshot: some 25 million signals.
const maxSnapshot = 1 << 30

// fetch takes the node's snapshots, if they are of our history and not older,
// or of a new epoch.
func (l *link) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	mine := edge.Cursor{}
	if l.st.Partner != "" {
		mine = l.r.store.heads(l.chains()...)
	}
	nonce := newNonce()
	resp, err := l.get(ctx, "/api/v1/feed/snapshot", url.Values{"cursor": {mine.String()}, "nonce": {nonce}})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	sealed, err := base64.RawURLEncoding.DecodeString(resp.Header.Get("Siaga-Hello"))
	if err != nil {
		return fmt.Errorf("%w: the snapshot has no header Siaga-Hello", edge.ErrSyntax)
	}
	h, err := l.keys.ParseHello(sealed)
	if err != nil {
		return err
	}
	if h.Nonce != nonce {
		return fmt.Errorf("%w: an old snapshot was replayed", edge.ErrRollback)
	}
	newEpoch, known := h.Epoch > l.st.Epoch && l.st.Epoch > 0, true
	if h.Epoch < l.st.Epoch {
		return fmt.Errorf("%w: the node is in epoch %d, it was in %d", edge.ErrRollback, h.Epoch, l.st.Epoch)
	}
	for name, p := range mine {
		known = known && h.Known[name] == p
		if !newEpoch && h.Heads[name].Seq < p.Seq {
			return fmt.Errorf("%w: the node's chain %s is at %d, ours at %d", edge.ErrRollback, name, h.Heads[name].Seq, p.Seq)
		}
	}
	if !known && !newEpoch {
		return fmt.Errorf("%w: the node does not know this relay's history", edge.ErrFork)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSnapshot))
	if err != nil {
		return err
	}
	parts, err := edge.ParseSnapshots(body, l.keys)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Position != h.Heads[p.Chain] {
			return fmt.Errorf("%w: the snapshot of chain %s is another one than announced", edge.ErrSignature, p.Chain)
		}
	}
	if len(parts) != len(h.Heads) {
		return fmt.Errorf("%w: %d snapshots, %d announced", edge.ErrSyntax, len(parts), len(h.Heads))
	}
	l.mu.Lock()
	l.st.Partner, l.st.Epoch = h.Partner, h.Epoch
	l.mu.Unlock()
	l.setClock(h.At, time.Now())
	again := newEpoch
	for _, p := range parts {
		same, err := l.r.store.adopt(p, newEpoch)
		if err != nil {
			return fmt.Errorf("storing a snapshot: %w", err)
		}
		again = again || !same
	}
	l.r.store.observe(h.Checkpoint)
	l.r.save()
	if again {
		l.r.rebuild()
	}
	return nil
}

func (l *link) setClock(node, local time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offset = node.Sub(local)
}

// stream follows the node until the stream ends.
func (l *link) stream(ctx context.Context, body io.Reader, nonce string, sent time.Time, stop context.CancelCauseFunc) error {
	in := edge.NewEventReader(body)
	beat := 5 * time.Second
	dead := time.AfterFunc(3*beat, func() { stop(errors.New("nothing was heard from the node for the time of three heartbeats")) })
	defer dead.Stop()
	// As an edge does: a node that sends signs of life is left sooner, if there
	// is another one.
	silence := time.Hour
	silent := time.AfterFunc(silence, func() { stop(errors.New("the node sends no sign of life any more")) })
	defer silent.Stop()
	in.Heard = func() { silent.Reset(silence) }
	greeted := false
	var ops []edge.Sealed
	for {
		silent.Reset(silence)
		name, data, err := in.Next()
		silent.Stop() // what we do ourselves is not the node's silence
		if err != nil {
			return err
		}
		switch string(name) {
		case "keys":
			if err := l.takeKeys(bytes.Clone(data)); err != nil {
				return err
			}
		case "hello":
			h, err := l.keys.ParseHello(data)
			if err != nil {
				return err
			}
			if h.Nonce != nonce {
				return fmt.Errorf("%w: an old greeting was replayed", edge.ErrRollback)
			}
			if h.Epoch < l.st.Epoch {
				return fmt.Errorf("%w: the node is in epoch %d, it was in %d", edge.ErrRollback, h.Epoch, l.st.Epoch)
			}
			if !slices.Contains(h.Features, edge.FeatureGrant) {
				return errors.New("the node is of a release that knows no relays: update it")
			}
			if h.HeartbeatMS >= 10 && h.HeartbeatMS <= 600_000 {
				beat = time.Duration(h.HeartbeatMS) * time.Millisecond
			}
			if h.PingMS >= 10 && h.PingMS <= 60_000 && len(l.r.o.Upstream) > 1 {
				silence = 3 * time.Duration(h.PingMS) * time.Millisecond
			}
			for chain, p := range l.r.store.heads(l.chains()...) {
				if at := h.Heads[chain]; at.Seq < p.Seq || (at.Seq == p.Seq && at != p) {
					return fmt.Errorf("%w: the node's chain %s is at %d, ours at %d", edge.ErrRollback, chain, at.Seq, p.Seq)
				}
			}
			l.setClock(h.At, sent.Add(time.Since(sent)/2))
			l.mu.Lock()
			changed := l.st.Epoch != h.Epoch || l.st.BeatMS != beat.Milliseconds()
			l.st.Epoch, l.st.BeatMS = h.Epoch, beat.Milliseconds()
			l.up, l.heard, l.ended, l.why = l.r.o.Upstream[l.url], time.Now(), false, ""
			l.mu.Unlock()
			greeted = true
			if changed {
				l.r.rebuild()
			}
		case "op":
			if !greeted {
				return fmt.Errorf("%w: the stream does not begin with a hello", edge.ErrSyntax)
			}
			ops = ops[:0]
			for {
				op, err := edge.ParseOperation(bytes.Clone(data))
				if err != nil {
					return err
				}
				ops = append(ops, op)
				if len(ops) >= 512 || !in.More() {
					break
				}
				if name, data, err = in.Next(); err != nil {
					return err
				}
				if string(name) != "op" {
					break
				}
			}
			if err := l.take(ops); err != nil {
				return err
			}
			if string(name) != "op" {
				if err := l.other(ctx, string(name), data); err != nil {
					return err
				}
			}
		default:
			if err := l.other(ctx, string(name), data); err != nil {
				return err
			}
		}
		dead.Reset(3 * beat)
		l.mu.Lock()
		l.heard = time.Now()
		l.mu.Unlock()
		if l.r.store.kept(l.chains()...) > l.r.o.Keep && time.Since(l.big) > time.Minute {
			l.big = time.Now()
			if err := l.fetch(ctx); err != nil {
				l.r.o.Log.WarnContext(ctx, "no fresh snapshot from the node", "err", edge.Reason(err))
			}
		}
	}
}

// other handles what is neither an operation nor a greeting.
func (l *link) other(ctx context.Context, name string, data []byte) error {
	switch name {
	case "heartbeat":
		return l.takeBeat(data)
	case "relay":
		c, err := l.keys.ParseCertificate(data)
		if err != nil {
			return err
		}
		if !bytes.Equal(c.Relay, l.r.key.Public()) || c.Partner != l.st.Partner {
			return fmt.Errorf("%w: a certificate for another relay", edge.ErrSignature)
		}
		l.mu.Lock()
		l.cert, l.st.Cert = c, string(data)
		l.mu.Unlock()
	case "grant":
		g, err := l.keys.ParseGrant(data)
		if err != nil {
			return err
		}
		if g.Partner != l.st.Partner {
			return fmt.Errorf("%w: a grant for another partner", edge.ErrSignature)
		}
		l.mu.Lock()
		l.grants, l.st.Grant = byHash(g), string(data)
		l.mu.Unlock()
		l.r.save()
		l.r.ready()
		if h := l.r.current(); h != nil {
			h.Recheck() // whoever is not in it any more ends at once
		}
	case "reset":
		return errors.Join(errors.New("the node sends us to the snapshot"), l.fetch(ctx))
	case "bye":
		var p struct{ Reason, Detail string }
		_ = json.Unmarshal(data, &p) // only for the message
		if p.Reason == "revoked" {
			l.end()
		}
		return fmt.Errorf("the node ended the stream: %.200s", p.Detail)
	}
	return nil
}

// take checks and stores operations that arrived together.
func (l *link) take(ops []edge.Sealed) error {
	for len(ops) > 0 {
		n := 1
		for n < len(ops) && ops[n].Chain == ops[0].Chain {
			n++
		}
		if !slices.Contains(l.chains(), ops[0].Chain) {
			return fmt.Errorf("%w: an operation of chain %q, which is not ours", edge.ErrSyntax, ops[0].Chain)
		}
		for i := 1; i < n; i++ {
			if err := ops[i].Follows(ops[i-1].Position()); err != nil {
				return err
			}
		}
		l.mu.Lock()
		keys := l.keys
		l.mu.Unlock()
		if err := keys.Verify(&ops[n-1]); err != nil {
			return err
		}
		if _, err := l.r.store.append(ops[:n]); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

// takeBeat keeps the node's newest heartbeat. If it names operations that did
// not arrive, the stream begins again.
func (l *link) takeBeat(data []byte) error {
	l.mu.Lock()
	keys := l.keys
	l.mu.Unlock()
	h, err := keys.ParseHeartbeat(data)
	if err != nil {
		return err
	}
	mine := l.r.store.heads(l.chains()...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !h.At.After(l.beatAt) || h.Epoch != l.st.Epoch {
		return nil // an old one proves nothing
	}
	for chain, p := range mine {
		at := h.Heads[chain]
		switch {
		case at.Seq > p.Seq:
			return fmt.Errorf("%w: %d to %d of chain %s", edge.ErrGap, p.Seq+1, at.Seq, chain)
		case at.Seq == p.Seq && at != p:
			return fmt.Errorf("%w: operation %d of chain %s", edge.ErrFork, p.Seq, chain)
		case at.Seq < p.Seq:
			// By NATS an operation may be here before a heartbeat that was made
			// earlier: that one is of no use to edges.
			return nil
		}
	}
	l.beatAt, l.heads, l.st.Beat = h.At, h.Heads, string(data)
	l.r.store.observe(h.Checkpoint)
	l.r.refresh()
	return nil
}

// deliver takes an operation from NATS. A gap is left to the link.
func (l *link) deliver(chain string, wire []byte) {
	op, err := edge.ParseOperation(bytes.Clone(wire))
	l.mu.Lock()
	ready := l.keys != nil && l.st.Partner != "" && op.Epoch == l.st.Epoch
	l.mu.Unlock()
	if err != nil || op.Chain != chain || !ready {
		return
	}
	if err := l.take([]edge.Sealed{op}); err != nil {
		l.r.o.Log.Debug("operation from NATS not used", "chain", chain, "seq", op.Seq, "err", err)
	}
}

func (l *link) beat(_ string, sealed []byte) {
	l.mu.Lock()
	ready := l.keys != nil && l.st.Partner != ""
	l.mu.Unlock()
	if !ready {
		return
	}
	if err := l.takeBeat(bytes.Clone(sealed)); err != nil {
		l.r.o.Log.Debug("heartbeat from NATS not used", "err", err)
	}
}

// find returns the edge that a token's hash belongs to.
func (l *link) find(hash string, now time.Time) (edge.EdgeGrant, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, ok := l.grants[hash]
	return g, ok && (g.Until.IsZero() || now.Before(g.Until))
}

var errNotYet = problem.New(problem.Unavailable, "this relay has not heard from its node yet", "try again in a few seconds")

func newKey(seed []byte) edge.KeySigner { return edge.KeySigner(ed25519.NewKeyFromSeed(seed)) }
