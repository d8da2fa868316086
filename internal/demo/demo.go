// Package demo plays the opening of the scenario on a real node with real
// edges: a node over SQLite, edges with listeners of their own that follow its
// feed over sockets, people who act through the JSON API with tokens of their
// own, a real photograph, altered copies of it, and benign photographs.
//
// Nothing is simulated but the people. What it prints was measured in that run.
package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

//go:embed photos/bridge.jpg photos/benign/*.jpg
var photos embed.FS

// Options of a run. The zero value is complete.
type Options struct {
	Data   string // folder for the node and its edges; "": a temporary one, removed at the end
	Listen string // of the node; "": a free port on loopback
	Once   bool   // end by itself with figures
	Edges  int    // 0: 12
	Image  string // the user's own picture; "": a photograph of a bridge
	Out    io.Writer
	Log    *slog.Logger
}

// MaxEdges bounds the edges of one demo.
const MaxEdges = 200

// person is somebody of the scenario.
type person struct {
	Name, Partner, Role string // Role is how the person is called in open-as
	Email, Language     string
	Roles               []access.Role

	id    string
	token string
}

var partners = []partner.NewPartner{
	{Name: "Nusa", Kind: access.Government, Country: "ID", Zone: "Asia/Jakarta", Languages: []string{"id", "en"}, Contact: "Duty desk, day and night"},
	{Name: "Tasman", Kind: access.Government, Country: "NZ", Zone: "Pacific/Auckland", Languages: []string{"en"}, Contact: "Duty desk, day and night"},
	{Name: "Lensa", Kind: access.Platform, Country: "ID", Zone: "Asia/Jakarta", Languages: []string{"id", "en"}, Contact: "Trust and safety, three people"},
	{Name: "Suara", Kind: access.Platform, Country: "MY", Zone: "Asia/Kuala_Lumpur", Languages: []string{"ms", "en"}, Contact: "Moderators on call"},
	{Name: "Gema", Kind: access.Platform, Country: "SG", Zone: "Asia/Singapore", Languages: []string{"en", "id"}, Contact: "Trust and safety, day and night"},
	{Name: "Kabar", Kind: access.Platform, Country: "PH", Zone: "Asia/Manila", Languages: []string{"fil", "en"}, Contact: "Newsroom"},
	{Name: "Warga", Kind: access.CivilSociety, Country: "ID", Zone: "Asia/Jakarta", Languages: []string{"id", "en"}, Contact: "Office hours"},
}

func people() []*person {
	all := []access.Role{access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}
	return []*person{
		{Name: "Ayu", Partner: "nusa", Role: "duty officer", Email: "ayu@nusa.example", Language: "en", Roles: all},
		{Name: "Sari", Partner: "lensa", Role: "reviewer", Email: "sari@lensa.example", Language: "id", Roles: []access.Role{access.Officer, access.Analyst, access.Reviewer, access.Administrator}},
		{Name: "Dewi", Partner: "gema", Role: "trust and safety", Email: "dewi@gema.example", Language: "en", Roles: all},
		{Name: "Farid", Partner: "suara", Role: "analyst", Email: "farid@suara.example", Language: "en", Roles: []access.Role{access.Analyst, access.Reviewer}},
		{Name: "Lestari", Partner: "secretariat", Role: "secretariat", Email: "lestari@secretariat.example", Language: "en", Roles: append(slices.Clone(all), access.Administrator)},
		{Name: "Rani", Partner: "warga", Role: "observer", Email: "rani@warga.example", Language: "en", Roles: []access.Role{access.Observer}},
		{Name: "Putu", Partner: "secretariat", Role: "operator", Email: "putu@secretariat.example", Language: "en", Roles: []access.Role{access.Operator}},
	}
}

// Run plays the demo. With Once it returns nil only if all that it promises
// held; without, it goes on until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	if o.Edges == 0 {
		o.Edges = 12
	}
	if o.Edges < 1 || o.Edges > MaxEdges {
		return problem.Newf(problem.Invalid, "%d edges are not from 1 to %d", o.Edges, MaxEdges).WithFix("choose another number with --edges")
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if err := onLoopback(o.Listen); err != nil {
		return err
	}
	if o.Data == "" {
		dir, err := os.MkdirTemp("", "siaga-demo-")
		if err != nil {
			return fmt.Errorf("making a folder for the demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		o.Data = filepath.Join(dir, "data")
	}
	d := &demo{o: o, out: o.Out, people: people()}
	ctx, cancel := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		werr := g.Wait()
		if d.pool != nil {
			werr = errors.Join(werr, d.pool.Close())
		}
		if !errors.Is(werr, context.Canceled) {
			err = errors.Join(err, werr)
		}
	}()
	if err := d.prepare(gctx, g); err != nil {
		return d.stopped(ctx, err)
	}
	if o.Once {
		return d.stopped(ctx, d.once(gctx))
	}
	return d.stopped(ctx, d.live(gctx))
}

// stopped turns the end by Ctrl-C into no error.
func (d *demo) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// onLoopback refuses other addresses: the demo's links sign people in without
// a password.
func onLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return problem.Newf(problem.Invalid, "%q is not an address such as 127.0.0.1:7424", listen).WithFix("correct --listen")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return problem.Newf(problem.Invalid, "the demo listens on this machine alone, not on %s: its links sign people in without a password", host).WithFix("use 127.0.0.1")
	}
	return nil
}

// site is one edge of the demo with its own listener.
type site struct {
	name, partner, url string
	edge               *app.Edge
}

type demo struct {
	o      Options
	out    io.Writer
	people []*person
	node   *app.Node
	pool   *media.Pool
	sites  []*site
	http   *http.Client
	image  []byte          // the perpetrator's picture
	prints fingerprint.Set // of it
	copies []copyOf        // altered copies of it
	benign []copyOf        // photographs of other things
	logo   []byte          // of the market: benign, proposed by mistake
	step   int

	logoHash    string          // PDQ of logo
	logoQuality int             // its PDQ quality
	first       partner.Partner // whose node this is
}

func (d *demo) person(name string) *person {
	for _, p := range d.people {
		if p.Name == name {
			return p
		}
	}
	panic("demo: nobody is called " + name)
}

// prepare makes the node, the partners, the people and the edges, and waits
// until every edge follows the feed.
func (d *demo) prepare(ctx context.Context, g *errgroup.Group) error {
	d.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 1024}}
	var err error
	if d.pool, err = media.New(media.Options{}); err != nil {
		return err
	}
	if err := d.pictures(ctx); err != nil {
		return err
	}
	made, err := app.Init(ctx, app.InitOptions{Data: d.o.Data, Origin: "demo.siaga.example/journal", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID", Zone: "Asia/Jakarta", Languages: []string{"en", "id"}}})
	if err != nil {
		return err
	}
	d.first = made.Partner
	options := app.Options{Data: d.o.Data, Listen: d.o.Listen, Log: d.o.Log}
	if !d.o.Once {
		options.Notice = "demo" // the pages say it in the reader's language
		box, err := newMailbox()
		if err != nil {
			return err
		}
		g.Go(func() error { return box.run(ctx) })
		options.Mail.Host, options.Mail.Port, options.Mail.From, options.Mail.TLS = "127.0.0.1", box.port(), "siaga@secretariat.example", "none"
	}
	if d.node, err = app.New(ctx, options); err != nil {
		return err
	}
	g.Go(func() error { return d.node.Run(ctx) })
	shell := partner.Shell(made.Partner)
	for _, p := range partners {
		if _, err := d.node.Partners.Add(ctx, shell, p); err != nil {
			return fmt.Errorf("adding partner %s: %w", p.Name, err)
		}
	}
	for _, p := range d.people {
		m, _, err := d.node.Partners.AddMember(ctx, shell, partner.NewMember{Partner: p.Partner, Name: p.Name, Email: p.Email, Roles: p.Roles, Language: p.Language})
		if err != nil {
			return fmt.Errorf("adding %s: %w", p.Name, err)
		}
		p.id = m.ID
		if _, p.token, err = d.node.Partners.CreateToken(ctx, shell, partner.NewToken{Partner: p.Partner, Name: p.Name + "'s program", Roles: p.Roles, Life: 24 * time.Hour}); err != nil {
			return fmt.Errorf("making a token for %s: %w", p.Name, err)
		}
	}
	if !d.o.Once {
		if err := d.duty(ctx); err != nil {
			return err
		}
	}
	platforms := []string{"lensa", "suara", "gema"}
	for i := range d.o.Edges {
		p := platforms[i%len(platforms)]
		s := &site{name: fmt.Sprintf("%s-%d", p, i/len(platforms)+1), partner: p}
		_, token, err := d.node.Partners.CreateToken(ctx, shell, partner.NewToken{Partner: p, Name: s.name, Roles: []access.Role{access.Edge}, Life: 24 * time.Hour})
		if err != nil {
			return fmt.Errorf("making a token for edge %s: %w", s.name, err)
		}
		s.edge, err = app.NewEdge(app.EdgeOptions{
			Upstream: []string{d.node.URL}, Token: token, Data: filepath.Join(d.o.Data, "edges", s.name), Log: d.o.Log, Pool: d.pool,
			Lookback: app.LookbackOptions{On: i == 0}, // Lensa's first edge keeps fingerprints of its uploads
		})
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("opening a listener for edge %s: %w", s.name, err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		s.url = "http://localhost:" + port
		server := &http.Server{Handler: s.edge.Handler, ReadHeaderTimeout: 10 * time.Second}
		g.Go(func() error { return s.edge.Run(ctx) })
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
		d.sites = append(d.sites, s)
	}
	return d.connected(ctx)
}

// connected waits until every edge follows the feed.
func (d *demo) connected(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the edges did not connect within 30 s"))
	defer cancel()
	for _, s := range d.sites {
		for s.edge.Follower.Connected() == "" {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// verify recomputes the whole journal.
func (d *demo) verify(ctx context.Context) (journal.Report, error) {
	return d.node.Log.Verify(ctx, journal.VerifyOptions{Feed: app.VerifyFeed()})
}
