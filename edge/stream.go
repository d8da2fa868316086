package edge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// stream reads events until the stream ends. stop aborts the request.
func (f *Follower) stream(ctx context.Context, body io.Reader, nonce string, stop func()) error {
	r := NewEventReader(body)
	// Three missed heartbeats end a stream that may be cut without our being
	// told.
	dead := time.AfterFunc(3*f.beat, stop)
	defer dead.Stop()
	// A node that sends signs of life is left sooner, if there is another one.
	// Any byte counts as one.
	var silent *time.Timer
	defer func() {
		if silent != nil {
			silent.Stop()
		}
	}()
	r.Heard = func() {
		if silent != nil {
			silent.Reset(3 * f.ping)
		}
	}
	var (
		name, data []byte
		err        error
		ops        []Sealed
		have       bool // name and data are still to be handled
		greeted    bool
	)
	for {
		if !have {
			if silent != nil {
				silent.Reset(3 * f.ping)
			}
			name, data, err = r.Next()
			if silent != nil {
				silent.Stop() // what we do ourselves is not the node's silence
			}
			if err != nil {
				return err
			}
		}
		have = false
		switch {
		case bytes.Equal(name, []byte("keys")):
			if err := f.takeKeys(bytes.Clone(data)); err != nil {
				return err
			}
			continue
		case bytes.Equal(name, []byte("hello")):
			if err := f.hello(ctx, data, nonce); err != nil {
				return err
			}
			greeted = true
			if f.ping > 0 && len(f.o.Upstream) > 1 && silent == nil {
				silent = time.AfterFunc(time.Hour, stop)
			}
		case bytes.Equal(name, []byte("relay")) && !greeted:
			if f.cert, err = f.certificate(data); err != nil {
				return err
			}
			continue
		case !greeted:
			return f.refuse(AlarmSignature, fmt.Errorf("%w: the stream does not begin with a hello", ErrSyntax), "")
		case bytes.Equal(name, []byte("op")):
			// All that has arrived is taken together: one signature and one
			// sync for many operations.
			var bad, cut error
			ops = ops[:0]
			for {
				op, err := ParseOperation(bytes.Clone(data))
				if err != nil {
					bad = f.refuse(AlarmSignature, err, "an operation from the node cannot be read; it was refused, and asked for again")
					break
				}
				ops = append(ops, op)
				if len(ops) >= 512 || !r.More() {
					break
				}
				if name, data, cut = r.Next(); cut != nil {
					break
				}
				if have = !bytes.Equal(name, []byte("op")); have {
					break
				}
			}
			if err := cmp.Or(f.take(ops), bad, cut); err != nil {
				return err
			}
		case bytes.Equal(name, []byte("heartbeat")):
			fresh, err := f.heartbeat(data)
			if err != nil {
				return err
			}
			if !fresh {
				continue
			}
		default:
			if err := f.other(ctx, name, data); err != nil {
				return err
			}
			continue
		}
		dead.Reset(3 * f.beat)
	}
}

// other handles the events that are not signed: they can do no more than make
// the edge ask again.
func (f *Follower) other(ctx context.Context, name, data []byte) error {
	switch string(name) {
	case "reset":
		if err := f.fetchSnapshot(ctx); err != nil {
			return err
		}
		return errAgain
	case "bye":
		var p struct{ Reason, Detail string }
		_ = json.Unmarshal(data, &p) // only for the message
		if p.Reason == "revoked" {
			f.alarm(AlarmToken, "the node ended the stream: this edge's token was revoked or has expired; make a new one on the node")
			return fmt.Errorf("%w: the node ended the stream: %.200s", ErrToken, p.Detail)
		}
		return fmt.Errorf("the node ended the stream: %.200s", p.Detail)
	}
	return nil // of a later version
}

// hello checks the first event: it answers our nonce, so it is of now.
func (f *Follower) hello(ctx context.Context, data []byte, nonce string) error {
	h, err := f.greeter().ParseHello(data)
	if err != nil {
		return f.refuse(AlarmSignature, err, "the node's greeting is not signed by it")
	}
	if h.Nonce != nonce {
		return f.refuse(AlarmSignature, fmt.Errorf("%w: the hello answers another request", ErrRollback), "an old greeting was replayed")
	}
	f.partner, f.name = h.Partner, h.Edge
	if slices.Contains(h.Features, FeaturePing) && h.PingMS >= 10 && h.PingMS <= 60_000 {
		f.ping = time.Duration(h.PingMS) * time.Millisecond
	}
	if h.HeartbeatMS >= 10 && h.HeartbeatMS <= 600_000 {
		f.beat = time.Duration(h.HeartbeatMS) * time.Millisecond
	}
	if h.AckMS >= 0 && h.AckMS <= 60_000 {
		f.ackEvery = time.Duration(h.AckMS) * time.Millisecond
	}
	now := f.o.Now()
	f.nodeAt = h.At
	local := f.sent
	if f.cert == nil {
		f.m.NodeTime(h.At, now)
		// This answer is of now, so its time is the one to count from, even if
		// the node's clock was set back.
		f.lastBeat = h.At
	} else {
		// A relay's word moves no clock and proves nothing to be fresh: the
		// node's heartbeats, which it passes on, do.
		f.lastBeat, local = time.Time{}, time.Time{}
	}
	skew := now.Round(0).Sub(h.At) // wall clocks
	f.mu.Lock()
	f.skew, f.heard, f.ackMS = skew, now, f.ackEvery
	f.mu.Unlock()
	if max(skew, -skew) > 30*time.Second+now.Sub(f.sent) {
		f.alarm(AlarmClock, fmt.Sprintf("this machine's clock differs from the node's by %s; set it", skew.Round(time.Second)))
	}
	if err := f.heads(h.Epoch, h.Heads, h.Checkpoint, h.At, local, false); err != nil {
		return err
	}
	f.epoch = h.Epoch // it took our cursor, so nothing of ours is lost there
	if f.cert == nil {
		f.seen.form, f.seen.told = seenHello, bytes.Clone(data)
		f.newest = laterTime(f.newest, h.At)
	}
	f.setConnected(f.o.Upstream[f.url])
	f.line.back(ctx, now, f.o.Upstream[f.url])
	f.tell()
	return nil
}

// heartbeat: nothing may be missing, and its time may not be one we had. It
// returns false for an old one, which proves nothing.
func (f *Follower) heartbeat(data []byte) (fresh bool, err error) {
	h, err := f.keys.ParseHeartbeat(data)
	if err != nil {
		return false, f.refuse(AlarmSignature, err, "a heartbeat is not signed by the node")
	}
	if !h.At.After(f.lastBeat) {
		f.mu.Lock()
		f.stats.Refused++
		f.mu.Unlock()
		return false, nil
	}
	if f.cert != nil && !h.At.After(f.newest) && f.older(&h) {
		// A relay has not heard yet what we have: that is not the node's fault.
		f.mu.Lock()
		f.stats.Refused++
		f.mu.Unlock()
		return false, nil
	}
	// The local moment at which the node said so. Its delay since the hello is
	// known whatever the clocks say.
	at := f.sent.Add(h.At.Sub(f.nodeAt))
	if now := f.o.Now(); at.After(now) {
		at = now
	}
	if err := f.heads(h.Epoch, h.Heads, h.Checkpoint, h.At, at, true); err != nil {
		return false, err
	}
	f.seen.form, f.seen.told = seenBeat, bytes.Clone(data)
	f.newest = laterTime(f.newest, h.At)
	now := f.o.Now()
	f.m.NodeTime(h.At, now)
	f.mu.Lock()
	f.heard = now
	retry := f.dir != nil && !f.writable && now.Sub(f.tried) > 10*time.Second
	f.mu.Unlock()
	if retry {
		f.persist()
	}
	f.tell()
	return true, nil
}

// older reports whether the heartbeat knows less than this edge.
func (f *Follower) older(h *Heartbeat) bool {
	if h.Epoch < f.epoch {
		return true
	}
	for chain, p := range f.m.Cursor() {
		if h.Heads[chain].Seq < p.Seq {
			return true
		}
	}
	_, had, _, ok := readNote(f.noteText)
	_, has, _, ok2 := readNote(h.Checkpoint)
	return ok && ok2 && has < had
}

func laterTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// heads compares what the node says its newest operations are with ours.
func (f *Follower) heads(epoch uint64, heads Cursor, note string, nodeAt, local time.Time, all bool) error {
	mine := f.m.Cursor()
	if epoch < f.epoch {
		return f.refuse(AlarmRollback, fmt.Errorf("%w: the node is in epoch %d, it was in %d", ErrRollback, epoch, f.epoch), "the node went back to an earlier epoch; this edge keeps what it has. Tell the node's operator")
	}
	for chain, p := range mine {
		h := heads[chain]
		switch {
		case h.Seq < p.Seq:
			return f.refuse(AlarmRollback, fmt.Errorf("%w: the node's chain %s is at %d, ours at %d", ErrRollback, chain, h.Seq, p.Seq),
				fmt.Sprintf("the node went back: its chain %s ends at operation %d, this edge has %d. It may have been restored from a backup; this edge keeps what it has", chain, h.Seq, p.Seq))
		case h.Seq == p.Seq && h.Hash != p.Hash:
			return f.refuse(AlarmFork, fmt.Errorf("%w: operation %d of chain %s", ErrFork, p.Seq, chain),
				fmt.Sprintf("the node shows another history: its operation %d of chain %s is not the one that this edge has. This edge keeps what it has; tell the node's operator and an observer", p.Seq, chain))
		case all && h.Seq > p.Seq:
			return f.refuse(AlarmGap, fmt.Errorf("%w: %d to %d of chain %s", ErrGap, p.Seq+1, h.Seq, chain), "operations did not arrive; they were asked for again")
		}
	}
	if err := f.checkpoint(note); err != nil {
		return err
	}
	if local.IsZero() {
		return nil // of a relay
	}
	if nodeAt.After(f.lastBeat) {
		f.lastBeat = nodeAt
	}
	f.want, f.wantAt = heads, local
	f.reached()
	return nil
}

// reached notes how fresh the matcher is, once it has all that the node named.
func (f *Follower) reached() {
	if f.want == nil {
		return
	}
	mine := f.m.Cursor()
	for chain, h := range f.want {
		if p := mine[chain]; p.Seq < h.Seq || (p.Seq == h.Seq && p != h) {
			return
		}
	}
	f.m.FreshAt(f.wantAt)
	f.want = nil
	if now := f.o.Now(); f.dir != nil && now.Sub(f.freshPut) > 30*time.Second {
		f.freshPut = now
		if err := f.dir.put("fresh", []byte(f.wantAt.UTC().Round(0).Format(time.RFC3339Nano))); err != nil {
			f.alarm(AlarmDisk, "the edge's folder cannot be written to; it goes on from memory. Free space or check the disk")
		}
	}
}
