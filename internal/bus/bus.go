// Package bus carries signed operations of the feed between nodes, and to
// relays, over NATS JetStream.
//
// It is transport and nothing else: what is true is the signature and the
// number that each operation carries. What the bus loses is found by its
// number, in the database or at the node; what it repeats is known; what
// somebody puts into it is refused by whoever reads it. So the bus may be away,
// be emptied, or acknowledge what it then loses.
//
//	siaga.FEED.op.CHAIN      operations, kept in the stream SIAGA_FEED
//	siaga.FEED.beat.PARTNER  heartbeats, not kept
//
// FEED is the first 16 digits of the pin of the feed's root key, CHAIN is
// "shared" or "own.PARTNER". Dots of a partner's ID become "=", which no ID has.
// An account that is to see one partner's part is allowed to subscribe to
// op.shared, op.own.PARTNER and beat.PARTNER.
//
// # Promises
//
//   - Send never blocks. What does not fit into the queue is dropped, and
//     counted.
//   - A stream that exists already is used as it is: replicas, limits and
//     retention are the operator's then.
//   - When the bus is away or refuses the account, Status says so in words, once
//     in the log, and Run goes on trying.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Options of New. URL and Pin are needed.
type Options struct {
	// URL is "nats://user@host:4222" (also tls://, several separated by commas),
	// "embedded" for a server within this process that no other one reaches, or
	// "embedded://user:password@127.0.0.1:4222" for one that others reach.
	URL string
	Dir string // folder of the embedded server
	Pin string // edge.Pin of the feed's root key

	// Deliver is called with each operation, in the order of each chain, by one
	// goroutine at a time. Nil: none is asked for.
	Deliver func(chain string, wire []byte)
	// Beat is called with each heartbeat. Nil: none is asked for.
	Beat func(partner string, sealed []byte)
	// Partner restricts what is asked for to what one partner's edges follow.
	Partner string
	// Since is from when on operations are asked for; zero: from now.
	Since func() time.Time
	// ReadOnly never makes the stream and sends nothing: for relays.
	ReadOnly bool
	// Changed is called when the bus became usable or unusable. Nil: nobody.
	Changed func(up bool)

	Log *slog.Logger
}

// Status is how the bus is.
type Status struct {
	Up      bool
	Since   time.Time // of this state
	Problem string    // why it is not up, for people
	Server  string    // host and port, without secrets
	Sent    int64     // operations that were handed to NATS; one that it does not acknowledge ends the connection, with Problem
	Got     int64     // operations that arrived
	Dropped int64     // operations that were not sent, as the bus was away or slow
}

// queue is how many operations wait for the bus; more are dropped, as they are
// in the database.
const queue = 4096

// Bus is a connection to NATS that is made again whenever it ends. All methods
// may be called concurrently.
type Bus struct {
	o      Options
	out    chan message
	beats  chan message
	prefix string
	stream string
	server *embedded // nil: somewhere else

	up                 atomic.Bool
	sent, got, dropped atomic.Int64

	mu     sync.Mutex
	status Status
}

type message struct {
	subject string
	id      string
	data    []byte
}

// New returns a bus that Run connects. An error says what is wrong with the
// address; that nothing answers there is none. With an embedded server, it is
// started here and stopped by Close.
func New(o Options) (*Bus, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Pin) < 16 {
		return nil, errors.New("bus: Options need the pin of the feed's root key")
	}
	name := o.Pin[:16]
	b := &Bus{o: o, out: make(chan message, queue), beats: make(chan message, 256), prefix: "siaga." + name, stream: "SIAGA_" + strings.ToUpper(name)}
	b.status = Status{Since: time.Now(), Problem: "not connected yet"}
	if o.URL == "embedded" || strings.HasPrefix(o.URL, "embedded:") {
		var err error
		if b.server, err = startEmbedded(o.URL, o.Dir); err != nil {
			return nil, err
		}
		b.status.Server = "embedded"
		return b, nil
	}
	var hosts []string
	for part := range strings.SplitSeq(o.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Host == "" || (u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss") {
			// The address may have a password: it is not repeated.
			return nil, problem.New(problem.Invalid, "the address of NATS cannot be read", "write it as nats://user@host:4222, and the password in a file (--nats-file); or use embedded")
		}
		hosts = append(hosts, u.Host)
	}
	b.status.Server = strings.Join(hosts, ", ")
	return b, nil
}

// Close stops the embedded server.
func (b *Bus) Close() {
	if b.server != nil {
		b.server.stop()
	}
}

// Address is where others reach the embedded server; "" if there is none or
// nobody can.
func (b *Bus) Address() string {
	if b.server == nil {
		return ""
	}
	return b.server.address
}

// Up implements feed.Line.
func (b *Bus) Up() bool { return b.up.Load() }

// Status says how the bus is.
func (b *Bus) Status() Status {
	b.mu.Lock()
	s := b.status
	b.mu.Unlock()
	s.Sent, s.Got, s.Dropped = b.sent.Load(), b.got.Load(), b.dropped.Load()
	return s
}

func (b *Bus) set(up bool, why string) {
	b.mu.Lock()
	was := b.status
	b.status.Up, b.status.Problem = up, why
	if was.Up != up {
		b.status.Since = time.Now()
	}
	b.mu.Unlock()
	b.up.Store(up)
	switch {
	case up && !was.Up:
		b.o.Log.Info("NATS carries the feed", "server", was.Server)
	case !up && was.Problem != why:
		b.o.Log.Warn("NATS is away; the feed goes on without it, slower", "server", was.Server, "problem", why)
	}
	if up != was.Up && b.o.Changed != nil {
		b.o.Changed(up)
	}
}

func chainToken(chain string) string {
	if id, ok := strings.CutPrefix(chain, "partner:"); ok {
		return "own." + partnerToken(id)
	}
	return "shared"
}

func partnerToken(id string) string { return strings.ReplaceAll(id, ".", "=") }

func chainOf(token string) string {
	if id, ok := strings.CutPrefix(token, "own."); ok {
		return edge.OwnChain(strings.ReplaceAll(id, "=", "."))
	}
	return edge.SharedChain
}

// Send implements feed.Line.
func (b *Bus) Send(chain string, seq uint64, wire []byte) {
	if !b.up.Load() {
		b.dropped.Add(1)
		return
	}
	select {
	case b.out <- message{b.prefix + ".op." + chainToken(chain), "", wire}:
	default:
		b.dropped.Add(1)
	}
	_ = seq
}

// Beat implements feed.Line.
func (b *Bus) Beat(partner string, sealed []byte) {
	if !b.up.Load() {
		return
	}
	select {
	case b.beats <- message{subject: b.prefix + ".beat." + partnerToken(partner), data: sealed}:
	default: // the next one follows in seconds
	}
}

// Run keeps the connection until ctx ends, and then returns nil.
func (b *Bus) Run(ctx context.Context) error {
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := b.session(ctx)
		if ctx.Err() != nil {
			break
		}
		b.set(false, explain(err))
		if time.Since(began) > 10*time.Second {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 3*time.Second)
	}
	b.up.Store(false)
	return nil
}

// explain puts what is wrong into words that a person can act on.
func explain(err error) string {
	s := err.Error()
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return "this account lacks rights (" + permission(s) + "); give it rights on siaga.> and $JS.API.>, or another account"
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || strings.Contains(strings.ToLower(s), "authorization violation"):
		return "NATS refuses the user or password; correct them in --nats-file"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders):
		return "this NATS server or account has no JetStream; turn it on"
	case errors.Is(err, nats.ErrNoServers):
		return "no NATS server answers"
	}
	return s
}

// permission is the part of NATS's message that names the subject.
func permission(s string) string {
	if _, after, ok := strings.Cut(strings.ToLower(s), "permissions violation for "); ok {
		return after
	}
	return "permissions violation"
}

// session connects once and serves until something is wrong.
func (b *Bus) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opts := []nats.Option{
		nats.Name("siaga"), nats.NoReconnect(), nats.Timeout(3 * time.Second), nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { cancel(err) }),
		nats.ClosedHandler(func(c *nats.Conn) {
			err := c.LastError()
			if err == nil {
				err = errors.New("the connection to NATS ended")
			}
			cancel(err)
		}),
	}
	address := b.o.URL
	if b.server != nil {
		address = ""
		opts = append(opts, b.server.options()...)
	}
	c, err := nats.Connect(address, opts...)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	defer func() {
		c.Close()
		<-closed
	}()
	go func() { // ends with the connection
		defer close(closed)
		for !c.IsClosed() {
			select {
			case <-ctx.Done():
				c.Close()
			case <-time.After(time.Second):
			}
		}
	}()
	err = b.serve(ctx, c, cancel)
	// A refusal that the server sent meanwhile says more than what it caused.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (b *Bus) serve(ctx context.Context, c *nats.Conn, fail func(error)) error {
	js, err := jetstream.New(c, jetstream.WithDefaultTimeout(3*time.Second), jetstream.WithPublishAsyncMaxPending(queue), jetstream.WithPublishAsyncTimeout(5*time.Second),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { fail(fmt.Errorf("sending to NATS: %w", err)) }))
	if err != nil {
		return err
	}
	if err := b.makeStream(ctx, js); err != nil {
		return err
	}
	if b.o.Deliver != nil {
		stop, err := b.consume(ctx, js, fail)
		if err != nil {
			return err
		}
		defer stop()
	}
	if b.o.Beat != nil {
		subject := b.prefix + ".beat."
		what := "*"
		if b.o.Partner != "" {
			what = partnerToken(b.o.Partner)
		}
		_, err := c.Subscribe(subject+what, func(m *nats.Msg) {
			b.o.Beat(strings.ReplaceAll(strings.TrimPrefix(m.Subject, subject), "=", "."), m.Data)
		})
		if err != nil {
			return err
		}
	}
	// The server answers this after all that was asked for, so that a refusal
	// has arrived by now.
	if err := c.FlushTimeout(3 * time.Second); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	b.set(true, "")
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-b.beats:
			if err := c.Publish(m.subject, m.data); err != nil {
				return err
			}
		case m := <-b.out:
			ack, err := js.PublishAsync(m.subject, m.data, jetstream.WithMsgID(messageID(m.data)))
			if err != nil {
				return fmt.Errorf("sending to NATS: %w", err)
			}
			_ = ack // errors come to the handler
			b.sent.Add(1)
		}
	}
}

// messageID makes the bus keep an operation once, whoever sends it: its
// signature, which ends its wire form.
func messageID(wire []byte) string { return string(wire[max(0, len(wire)-88):]) }

// makeStream makes the stream if it is not there.
func (b *Bus) makeStream(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.Stream(ctx, b.stream)
	if err == nil || b.o.ReadOnly || !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: b.stream, Description: "signed operations of a Siaga feed; transport only", Subjects: []string{b.prefix + ".op.>"},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: 7 * 24 * time.Hour, MaxBytes: 1 << 30, MaxMsgSize: edge.MaxOperation, Duplicates: 2 * time.Minute, Replicas: 1,
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // another node was faster
	}
	return err
}

// consume delivers operations until stop.
func (b *Bus) consume(ctx context.Context, js jetstream.JetStream, fail func(error)) (stop func(), err error) {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy, InactiveThreshold: time.Minute}
	if b.o.Partner != "" {
		cfg.FilterSubjects = []string{b.prefix + ".op.shared", b.prefix + ".op.own." + partnerToken(b.o.Partner)}
	}
	if b.o.Since != nil {
		if t := b.o.Since(); !t.IsZero() {
			cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &t
		}
	}
	consumer, err := js.OrderedConsumer(ctx, b.stream, cfg)
	if err != nil {
		return nil, err
	}
	cc, err := consumer.Consume(func(m jetstream.Msg) {
		if token, ok := strings.CutPrefix(m.Subject(), b.prefix+".op."); ok {
			b.got.Add(1)
			b.o.Deliver(chainOf(token), m.Data())
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		if !errors.Is(err, jetstream.ErrNoHeartbeat) {
			fail(fmt.Errorf("following NATS: %w", err))
		}
	}), jetstream.PullExpiry(30*time.Second))
	if err != nil {
		return nil, err
	}
	return func() {
		cc.Stop()
		<-cc.Closed()
	}, nil
}

// port is the number of a listener's port as text, for addresses.
func port(n int) string { return strconv.Itoa(n) }
