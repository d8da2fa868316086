package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/health"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	diskFail     = 500 << 20 // below this, writes are about to be refused
	diskWarn     = 4 << 30
	soonEnds     = 14 * 24 * time.Hour // certificates and tokens that end within this are named
	oldTimes     = 3                   // intervals after which a scheduled backup is old
	rehearsalOld = 100 * 24 * time.Hour
	lateJobs     = time.Minute
	lateEdges    = 30 * time.Second // for which an edge that reports may be behind
	shedLately   = 5 * time.Minute
)

// Health says how the node is, to those who may read it.
func (n *Node) Health(ctx context.Context, by access.Actor) (health.Report, error) {
	now := n.o.Now()
	if err := access.Allow(by, access.ReadHealth, now); err != nil {
		return health.Report{}, err
	}
	return n.health(ctx, now)
}

// health is Health, for who has the right to it.
func (n *Node) health(ctx context.Context, now time.Time) (health.Report, error) {
	r := health.Report{Ready: true, At: now.UTC(), Version: Version(), Store: "sqlite"}
	if n.o.Database != "" {
		r.Store = "postgres"
	}
	add := func(p health.Part) { r.Parts = append(r.Parts, p) }
	num := func(v int64) *int64 { return &v }
	at := func(t time.Time) *time.Time { t = t.UTC(); return &t }

	writes := health.Part{Name: health.Writes, State: health.OK}
	if err := n.writable(ctx); err != nil {
		r.Ready, writes.State = false, health.Fail
		r.Reason = "the store cannot be written to"
		if p, ok := errors.AsType[*problem.Error](err); ok {
			r.Reason = p.Error()
		}
		if n.ReadOnly() != nil {
			writes.Detail = "read_only"
		}
	}
	add(writes)

	disk := health.Part{Name: health.Disk, State: health.Unknown}
	if free, err := freeBytes(n.o.Data); err == nil {
		disk.Bytes, disk.State = num(int64(min(free, 1<<62))), health.OK //nolint:gosec // bounded
		switch {
		case free < diskFail:
			disk.State, disk.Detail = health.Fail, "low"
		case free < diskWarn:
			disk.State, disk.Detail = health.Warn, "low"
		}
	}
	add(disk)

	check := health.Part{Name: health.Checkpoint, State: health.Unknown}
	tokens := health.Part{Name: health.Tokens, State: health.Unknown}
	if err := n.Log.View(ctx, func(v journal.StoreReader) (err error) {
		if r.Entries, err = v.Size(); err != nil {
			return err
		}
		_, signed, err := v.Checkpoint()
		if err != nil {
			return err
		}
		var ending int64
		var first time.Time
		if err := journal.Each(v, journal.ObjectQuery{Kind: partner.KindToken, States: []string{"active"}}, func(t partner.Token, _ journal.Object) error {
			if t.State(now) == "active" && t.Expires.Sub(now) < soonEnds {
				ending++
				if first.IsZero() || t.Expires.Before(first) {
					first = t.Expires
				}
			}
			return nil
		}); err != nil {
			return err
		}
		check.State, check.Count = health.OK, num(r.Entries-signed)
		if r.Entries-signed > 0 && n.unsignedSince(r.Entries-signed, now) > 15*time.Second {
			check.State, check.Detail = health.Fail, "unsigned"
		}
		tokens.State, tokens.Count = health.OK, num(ending)
		if ending > 0 {
			tokens.State, tokens.Detail, tokens.At = health.Warn, "ending", at(first)
		}
		return nil
	}); err != nil && ctx.Err() != nil {
		return r, err
	}
	add(check)

	silent, behind := health.Part{Name: health.EdgesSilent, State: health.Unknown}, health.Part{Name: health.EdgesBehind, State: health.Unknown}
	if states, err := n.Hub.Edges(ctx); err == nil {
		var s, b int64
		var since time.Time
		for _, e := range states {
			switch e.State(now) {
			case "silent":
				s++
				continue
			case "behind":
				b++
			}
			if !e.Since.IsZero() && (since.IsZero() || e.Since.Before(since)) {
				since = e.Since
			}
		}
		silent.State, silent.Count, behind.State, behind.Count = health.OK, num(s), health.OK, num(b)
		if s > 0 {
			silent.State, silent.Detail = health.Warn, "silent"
		}
		if b > 0 && !since.IsZero() && now.Sub(since) > lateEdges {
			behind.State, behind.Detail, behind.At = health.Warn, "late", at(since)
		}
	}
	add(silent)
	add(behind)

	chains := health.Part{Name: health.Feed, State: health.OK, Count: num(0)}
	if d := n.Hub.Damaged(); len(d) > 0 {
		chains.State, chains.Detail, chains.Count = health.Fail, "damaged", num(int64(len(d)))
	}
	add(chains)

	if n.bus != nil {
		s := n.bus.Status()
		p := health.Part{Name: health.Bus, State: health.OK, At: at(s.Since)}
		if !s.Up {
			p.State, p.Detail = health.Warn, "away"
		}
		add(p)
	}

	js := health.Part{Name: health.Jobs, State: health.Unknown}
	if c, err := n.Jobs.Counts(ctx, now.Add(-lateJobs)); err == nil {
		js.State, js.Count = health.OK, num(c.Late)
		switch {
		case c.Late > 0:
			js.State, js.Detail = health.Fail, "late"
		case c.Failing > 0:
			js.State, js.Detail, js.Count = health.Warn, "failing", num(c.Failing)
		}
	}
	add(js)

	last, tried := health.Part{Name: health.Backup, State: health.Unknown}, health.Part{Name: health.Rehearsal, State: health.Unknown}
	if b, err := n.Backups(ctx); err == nil {
		switch {
		case b.Last.At.IsZero():
			last.State, last.Detail = health.Warn, "never"
		case b.Failure.At.After(b.Last.At):
			last.State, last.Detail, last.At = health.Fail, "failed", at(b.Last.At)
		case n.o.BackupEvery > 0 && now.Sub(b.Last.At) > oldTimes*n.o.BackupEvery:
			last.State, last.Detail, last.At = health.Fail, "old", at(b.Last.At)
		default:
			last.State, last.At = health.OK, at(b.Last.At)
		}
		switch done := b.Rehearsed.At; {
		case b.Restored.At.After(done):
			tried.State, tried.At = health.OK, at(b.Restored.At)
		case done.IsZero():
			tried.State, tried.Detail = health.Warn, "never"
		case now.Sub(done) > rehearsalOld:
			tried.State, tried.Detail, tried.At = health.Warn, "old", at(done)
		default:
			tried.State, tried.At = health.OK, at(done)
		}
	}
	add(last)
	add(tried)

	if p, ok := n.certificate.look(ctx, n.URL, now); ok {
		add(p)
	}
	add(n.metrics.lanes(now))
	add(tokens)
	r.Sort()
	return r, nil
}

// tryEvery is the least time between two writes that only show that the store
// takes them: whoever asks more often gets the last one's answer.
const tryEvery = 500 * time.Millisecond

// tried is the last such write.
type tried struct {
	mu  sync.Mutex // held over the write, so that those who ask meanwhile share it
	at  time.Time
	err error
}

// writable tries a write, or says how the last try went.
func (n *Node) writable(ctx context.Context) error {
	if why := n.ReadOnly(); why != nil {
		return why
	}
	n.tried.mu.Lock()
	defer n.tried.mu.Unlock()
	if !n.tried.at.IsZero() && time.Since(n.tried.at) < tryEvery {
		return n.tried.err
	}
	// Another one's answer, too: it does not end with who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	n.tried.err = n.tryWrite(ctx)
	n.tried.at = time.Now() // a time that passes, whatever the node's clock says
	return n.tried.err
}

func (n *Node) tryWrite(ctx context.Context) error {
	return n.store.Update(ctx, func(tx journal.StoreTx) error {
		return tx.PutPrivate(journal.Private{Kind: "health", ID: "write", Doc: []byte("{}"), Expires: n.o.Now().Add(time.Hour)})
	})
}

// unsigned remembers since when there have been entries without a checkpoint.
type unsigned struct {
	mu    sync.Mutex
	since time.Time
	look  time.Time
}

// unsignedSince returns for how long each look, with less than a minute between
// them, found entries that no checkpoint covers.
func (n *Node) unsignedSince(count int64, now time.Time) time.Duration {
	u := &n.unsigned
	u.mu.Lock()
	defer u.mu.Unlock()
	if count == 0 || u.since.IsZero() || now.Sub(u.look) > time.Minute {
		u.since = now
	}
	u.look = now
	return now.Sub(u.since)
}

// certificate remembers when the certificate of the public address ends.
type certificate struct {
	mu   sync.Mutex
	at   time.Time // of the last look
	part health.Part
}

// look returns how the certificate of the public address is, looked at once an
// hour; false where there is none, as nodes behind http have.
func (c *certificate) look(ctx context.Context, address string, now time.Time) (health.Part, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return health.Part{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.at) < time.Hour && now.After(c.at) {
		return c.part, true
	}
	c.at, c.part = now, health.Part{Name: health.Certificate, State: health.Unknown, Detail: "unreachable"}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// What is asked is the node's own address; the chain is judged by clients.
	d := tls.Dialer{Config: &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // only the end is read
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return c.part, true
	}
	defer func() { _ = conn.Close() }() // it was only looked at
	certs := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return c.part, true
	}
	ends := certs[0].NotAfter.UTC()
	c.part = health.Part{Name: health.Certificate, State: health.OK, At: &ends}
	switch {
	case ends.Before(now):
		c.part.State, c.part.Detail = health.Fail, "ended"
	case ends.Sub(now) < soonEnds:
		c.part.State, c.part.Detail = health.Warn, "ending"
	}
	return c.part, true
}
