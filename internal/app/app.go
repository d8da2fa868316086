// Package app wires a node: it opens the store and the keys, makes the
// services, binds the listener, and runs everything until it is told to stop.
// It is the only package that imports all the others.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/admit"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/bus"
	"github.com/siaga-crp/siaga/internal/config"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
	"github.com/siaga-crp/siaga/internal/store/group"
	"github.com/siaga-crp/siaga/internal/web"
)

// DefaultListen is where a node listens unless told otherwise: on this machine
// alone, on the keys that spell SIAG.
const DefaultListen = "127.0.0.1:7424"

// databaseFile is the SQLite database in the data folder.
const databaseFile = "siaga.db"

// Options are the settings of a node. The zero value of each but Data is
// complete. A field with a yaml tag can stand in the settings file, in the
// environment and on the command line (internal/config); its comment is its line
// in docs/operate/settings.md, which a test keeps so.
type Options struct {
	Data         string `yaml:"data"`            // folder made by siaga init; "data" unless set
	Database     string `yaml:"database"`        // address of a PostgreSQL database, without its password; SQLite in the data folder unless set
	DatabaseFile string `yaml:"database_file"`   // file that holds the address of the database, with its password
	NATS         string `yaml:"nats"`            // address of NATS between several nodes, without its password, or "embedded"; none unless set
	NATSFile     string `yaml:"nats_file"`       // file that holds the address of NATS, with its password
	Listen       string `yaml:"listen"`          // address to listen on; 127.0.0.1:7424 unless set
	PublicURL    string `yaml:"public_url"`      // address by which people and edges reach the node; from listen unless set
	Proxies      string `yaml:"trusted_proxies"` // networks whose X-Forwarded-For is believed, such as 10.0.0.0/8, separated by commas; none unless set
	Traces       string `yaml:"traces"`          // address of an OpenTelemetry collector that takes OTLP over HTTP, such as http://localhost:4318; none unless set
	Level        string `yaml:"log"`             // least level of the log on stderr: debug, info, warn or error; info unless set

	SignIn SignIn `yaml:"sign_in"`
	OIDC   OIDC   `yaml:"oidc"`

	InternalHosts []string    `yaml:"internal_hosts"` // hosts with their port, such as relay.nusa.internal:25, that messages may be sent to although they are not public
	Mail          MailOptions `yaml:"mail"`

	BackupDir   string        `yaml:"backup_dir"`   // folder for scheduled backups; none are made unless set
	BackupTo    string        `yaml:"backup_to"`    // age public key that scheduled backups are encrypted to, or a file with one a line
	BackupEvery time.Duration `yaml:"backup_every"` // how often one is made, such as 6h
	BackupKeep  int           `yaml:"backup_keep"`  // how many are kept, the newest; 1 unless set
	BackupKeys  bool          `yaml:"backup_keys"`  // the node's keys are in them too

	Log    *slog.Logger // nil: none
	Now    func() time.Time
	Notice string // a line on every page
	Cost   partner.Cost
}

// Node is an assembled node. Its parts are ready to use before Run.
type Node struct {
	Partners  *partner.Service
	Incidents *incident.Service
	Signals   *signal.Service
	Log       *journal.Log
	Hub       *feed.Hub
	Keys      *keys.Set
	Duty      *duty.Service
	Notify    *notify.Service
	Jobs      *jobs.Jobs
	URL       string // by which people reach it

	store       journal.Store  // by way of the guard
	guard       *history.Guard // nil before New
	epoch       uint64         // of the history that this node went on with
	edgeKeys    *edge.Keys     // with which edges prove what they saw
	dial        *outbound.Guard
	o           Options
	listener    net.Listener
	handler     http.Handler
	tokens      tokenCache
	metrics     *metrics
	unsigned    unsigned
	tried       tried
	certificate certificate
	drafts      *feed.Drafts
	bus         *bus.Bus // nil: none
}

// Version is the program's version, from the build.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "1.0.0-dev"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

// Folds returns the folds of all services.
func Folds() []journal.Fold {
	var f []journal.Fold
	f = append(f, history.Folds()...)
	f = append(f, partner.Folds()...)
	f = append(f, incident.Folds()...)
	f = append(f, duty.Folds()...)
	f = append(f, notify.Folds()...)
	return append(f, signal.Folds()...)
}

// OpenLog opens the journal of a data folder beside a running node, for short
// commands. With readOnly it writes nothing.
func OpenLog(ctx context.Context, data, database string, readOnly bool) (*journal.Log, *keys.Set, journal.Store, error) {
	set, err := keys.Load(filepath.Join(data, "keys"))
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := openStore(ctx, StoreOptions{Data: data, Database: database, Shared: true, ReadOnly: readOnly})
	if err != nil {
		return nil, nil, nil, err
	}
	log, err := newLog(db, set, time.Now, nil, nil)
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return log, set, db, nil
}

// OpenPartners opens the directory of a data folder beside a running node.
func OpenPartners(ctx context.Context, data, database string) (*partner.Service, *journal.Log, func() error, error) {
	log, set, db, err := OpenLog(ctx, data, database, false)
	if err != nil {
		return nil, nil, nil, err
	}
	p := partner.New(partner.Options{Log: log, Now: time.Now, Seal: set, NodeKey: edge.Pin(set.NodePublic()), Tell: notify.Teller(time.Now)})
	return p, log, db.Close, nil
}

func newLog(store journal.Store, set *keys.Set, now func() time.Time, follow func(journal.StoreTx, journal.Entry) error, observe func(context.Context, time.Time, error)) (*journal.Log, error) {
	return journal.NewLog(journal.Options{
		Store: store, Folds: Folds(), Origin: set.Origin, Signer: set.Signer, VerifierKeys: []string{set.VKey}, Now: now, Follow: follow, Observe: observe,
	})
}

// assemble makes the services over a store.
func assemble(store journal.Store, set *keys.Set, o Options) (*Node, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := newMetrics()
	if o.Traces != "" {
		if err := m.trace(o.Traces, set.Origin); err != nil {
			return nil, err
		}
	}
	log, err := newLog(store, set, o.Now, follow, m.update)
	if err != nil {
		return nil, err
	}
	n := &Node{Log: log, Keys: set, store: store, o: o, metrics: m}
	if o.NATS != "" {
		n.drafts = &feed.Drafts{}
	}
	n.Partners = partner.New(partner.Options{
		Log: log, Now: o.Now, Seal: set, NodeKey: edge.Pin(set.NodePublic()), Cost: o.Cost, Logger: o.Log,
		SessionIdle: o.SignIn.SessionIdle, SessionMax: o.SignIn.SessionMax, CodeLife: o.SignIn.Invitation, GlassLife: o.SignIn.BreakGlass,
		Tell: notify.Teller(o.Now),
	})
	n.Incidents = incident.New(incident.Options{Log: log, Now: o.Now})
	n.Signals = signal.New(signal.Options{
		Log: log, Now: o.Now, Incidents: n.Incidents, Feed: publisher{feed.Publisher{Signer: edge.KeySigner(set.Feed), Drafts: n.drafts}},
	})
	n.Incidents.SetSignals(n.Signals)
	return n, nil
}

// New opens the data folder and binds the address; it serves nothing yet.
func New(ctx context.Context, o Options) (_ *Node, err error) {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if err := config.Problem(o.Check()); err != nil {
		return nil, err
	}
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	if o.Database, err = DatabaseAddress(o.Database, o.DatabaseFile); err != nil {
		return nil, err
	}
	if o.NATS, err = NATSAddress(o.NATS, o.NATSFile); err != nil {
		return nil, err
	}
	if err := ownFolder(o.Data, &aNode); err != nil {
		return nil, err
	}
	set, err := keys.Load(filepath.Join(o.Data, "keys"))
	if err != nil {
		return nil, err
	}
	db, err := openStore(ctx, StoreOptions{Data: o.Data, Database: o.Database})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	guard := history.NewGuard(db, o.Data)
	n, err := assemble(guard, set, o)
	if err != nil {
		return nil, err
	}
	if err := n.beginHistory(ctx, guard); err != nil {
		return nil, err
	}
	if err := n.newMessages(); err != nil {
		return nil, err
	}
	if n.Jobs, err = n.newJobs(); err != nil {
		return nil, err
	}
	n.listener, err = net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, problem.Newf(problem.Unavailable, "cannot listen on %s: %v", o.Listen, cause(err)).
			WithFix("stop what uses the port, or choose another with --listen").Because(err)
	}
	n.URL = o.PublicURL
	if n.URL == "" {
		n.URL = localURL(n.listener.Addr())
	}
	if err := n.startBus(); err != nil {
		return nil, errors.Join(err, n.listener.Close())
	}
	if err := n.Partners.SetPublicURL(n.URL); err != nil {
		return nil, errors.Join(err, n.listener.Close())
	}
	if err := n.mount(); err != nil {
		n.stopBus()
		return nil, errors.Join(err, n.listener.Close())
	}
	return n, nil
}

// FirstWaits reports whether nobody of the first partner has taken up an
// invitation yet, so that the link of "siaga init" is the only way in.
func (n *Node) FirstWaits(ctx context.Context) (bool, error) {
	var first partner.Partner
	err := n.Log.View(ctx, func(r journal.StoreReader) error {
		all, err := partner.All(r)
		for _, p := range all {
			if first.ID == "" || p.AddedAt.Before(first.AddedAt) {
				first = p
			}
		}
		return err
	})
	if err != nil || first.ID == "" {
		return false, err
	}
	members, err := n.Partners.Roster(ctx, partner.Shell(first))
	return err == nil && !slices.ContainsFunc(members, func(m partner.MemberInfo) bool { return m.Enrolled }), err
}

func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// localURL names a listener as people should type it: passkeys refuse numeric
// hosts.
func localURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// mount makes the handler of everything that the node serves.
func (n *Node) mount() error {
	o := n.o
	sealed, err := edge.Keys{Serial: 1, Feed: []edge.FeedKey{{Public: n.Keys.FeedPublic()}}, At: o.Now()}.Seal(edge.KeySigner(n.Keys.Node))
	if err != nil {
		return fmt.Errorf("certifying the feed's key: %w", err)
	}
	var line feed.Line
	if n.bus != nil {
		line = n.bus
	}
	if n.edgeKeys, err = edge.ParseKeys(sealed, edge.Pin(n.Keys.NodePublic())); err != nil {
		return fmt.Errorf("reading the feed's keys: %w", err)
	}
	var share feed.Sharer // SQLite serves one node
	if o.Database != "" {
		share = newSharedEdges(n.store, o.Now)
	}
	n.Hub = feed.New(feed.Options{
		Line: line, Drafts: n.drafts, Share: share, Keep: filepath.Join(o.Data, "snapshots"),
		Store: n.store, Epoch: n.epoch, Signer: edge.KeySigner(n.Keys.Feed), Keys: sealed, Log: o.Log, Now: o.Now,
		Authenticate: n.authenticateEdge, Valid: n.validEdges, Grants: n.grants, Error: api.WriteProblem(o.Log),
		Known: n.knownEdges, Tallies: tallies{n.Signals, n.Partners}, Verdicts: tallies{n.Signals, n.Partners}, Tripped: n.tripped,
	})
	mux := http.NewServeMux()
	edges := edgeDirectory{n}
	api.Install(mux, api.Options{Partners: n.Partners, Incidents: n.Incidents, Signals: n.Signals, Edges: edges, Health: n, Duty: n.Duty, Notify: n.Notify, Journal: n.Log, Log: o.Log, Now: o.Now})
	toEdges := n.Hub.Handler()
	toEdges.Handle("POST /api/v1/feed/variants", api.EdgeVariants(n.Partners, n.Signals, api.WriteProblem(o.Log)))
	mux.Handle("/api/v1/feed", api.Strict(toEdges, o.Log))
	mux.Handle("/api/v1/feed/", api.Strict(toEdges, o.Log))
	mux.Handle("/log/", api.Strict(n.Log.Handler(func(r *http.Request, err error) {
		o.Log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "err", err)
	}), o.Log))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", n.ready)
	mux.Handle("GET /metrics", n.serveMetrics())
	n.metrics.registry.MustRegister(n.Hub, journalCollector{n})
	provider, err := n.provider()
	if err != nil {
		return err
	}
	site, err := web.New(web.Options{
		OIDC:     provider,
		Partners: n.Partners, Incidents: n.Incidents, Signals: n.Signals, Journal: n.Log, Edges: edges, Health: n, Sign: n.Keys.Signer.Sign, VKey: n.Keys.VKey, Log: o.Log, Now: o.Now,
		Duty: n.Duty, Notify: n.Notify,
		Secure: strings.HasPrefix(n.URL, "https://"), PublicURL: n.URL, Node: "Siaga", Notice: o.Notice,
	})
	if err != nil {
		return err
	}
	mux.Handle("/", site.Handler())
	proxies, err := networks(o.Proxies)
	if err != nil {
		return err
	}
	refuse := func(w http.ResponseWriter, r *http.Request, err error) {
		if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/log/") {
			api.WriteProblem(o.Log)(w, r, err)
			return
		}
		site.Refuse(w, r, err)
	}
	gate := n.metrics.admitted(admit.Options{Proxies: proxies, Cookie: web.SessionCookie, Now: time.Now, Refuse: refuse})
	bodies := n.metrics.bodies(gate, refuse)
	// Outermost, as it copies the request: the route is read off the copy that
	// the mux was given.
	n.handler = urgent(n.panics(interrupted(n.metrics.traced(bodies.Handler(gate.Handler(mux))))))
	return nil
}

// urgent lets the writes of the emergency lane go before those of the others in
// the store; how many there are at a time is bounded by the lane's places.
func urgent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lane, _ := admit.Of(r.Method, r.URL.Path); lane == admit.Emergency {
			r = r.WithContext(group.Urgent(r.Context()))
		}
		next.ServeHTTP(w, r)
	})
}

// panics answers a request whose handler panicked, and tells the operator.
func (n *Node) panics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &status{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			n.o.Log.ErrorContext(r.Context(), "request panicked", "route", r.Pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if rec.code == 0 {
				http.Error(w, "This broke on our side. Nothing of this request is certain; look before you try again.", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// interrupted ends connections on which the server lost track: once a read
// between two requests has failed, net/http ends the context of every later
// request on that connection at its start. That was seen on a node that had been
// stopped for ten seconds.
func interrupted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Err() != nil {
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			http.Error(w, "this connection was interrupted; send again", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Handler serves the node, for tests that bring their own listener.
func (n *Node) Handler() http.Handler { return n.handler }

// ready says whether the node can take writes.
func (n *Node) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if why := n.ReadOnly(); why != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, "not ready: %s\n", why)
		return
	}
	if err := n.writable(ctx); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		reason := "the store cannot be written to"
		if p, ok := errors.AsType[*problem.Error](err); ok {
			reason = p.Error()
		}
		_, _ = fmt.Fprintf(w, "not ready: %s\n", reason)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
	if n.bus != nil {
		if s := n.bus.Status(); !s.Up {
			_, _ = fmt.Fprintf(w, "note: NATS (%s) is away for %s: %s; the feed goes on from the database, slower\n", s.Server, n.o.Now().Sub(s.Since).Round(time.Second), s.Problem)
		}
	}
}

// tickEvery is how often the node's clock looks for what is due.
const tickEvery = time.Second

// sweepTicks is the number of ticks between two looks for work without a job.
const sweepTicks = 30

// Run serves until ctx ends, then drains in bounded time and closes the store.
func (n *Node) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: n.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 120 * time.Second,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(n.o.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			return server.Close()
		}
		return nil
	})
	g.Go(func() error { return n.Hub.Run(gctx) })
	g.Go(func() error { return n.metrics.flush(gctx) })
	g.Go(func() error { return n.store.Watch(gctx) })
	g.Go(func() error {
		return n.Log.Run(gctx, time.Second, func(err error) {
			if n.ReadOnly() == nil { // else it was said once
				n.o.Log.WarnContext(gctx, "checkpoint not signed", "err", err)
			}
		})
	})
	g.Go(func() error { return n.keepHistory(gctx) })
	g.Go(func() error { return n.backupEvery(gctx) })
	g.Go(func() error { return n.clock(gctx) })
	if n.bus != nil {
		g.Go(func() error { return n.bus.Run(gctx) })
	}
	g.Go(func() error { return n.Jobs.Run(gctx) })
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	n.stopBus()
	return errors.Join(err, n.store.Close())
}

// clock lets time act: what is due, and what has expired.
func (n *Node) clock(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if n.ReadOnly() != nil {
			continue
		}
		due := map[string]func(context.Context) error{"signals": n.Signals.Tick}
		if i%sweepTicks == 0 {
			due["incidents"] = n.Incidents.Tick // jobs look at clocks in time; this finds those without one
			due["calls"] = n.Notify.Tick
		}
		for name, do := range due {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				n.o.Log.ErrorContext(ctx, "clock failed", "part", name, "err", err)
			}
		}
		if i%60 == 0 {
			if err := n.Partners.Expire(ctx); err != nil && ctx.Err() == nil {
				n.o.Log.WarnContext(ctx, "expired sessions not removed", "err", err)
			}
		}
	}
}

// Close releases what New opened, for a node that is never run.
func (n *Node) Close() error {
	n.stopBus()
	return errors.Join(n.listener.Close(), n.store.Close())
}
