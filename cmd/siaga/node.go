package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

func initCommand() *cobra.Command {
	var o app.InitOptions
	var node app.Options
	var kind string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a node: keys, database, first administrator",
		Long: `Makes the node's keys and its database in the data folder, the first partner,
and its first administrator, whose one-time link it prints. Nothing is made
twice: a folder that holds a node is left as it is.`,
		Example: `  siaga init
  siaga init --data /var/lib/siaga --partner "Nusa" --country ID --kind government`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := store(cmd, &node)
			if err != nil {
				return err
			}
			o.Data, o.Database, o.Partner.Kind = node.Data, address, access.PartnerKind(kind)
			done, err := app.Init(cmd.Context(), o)
			if err != nil {
				return fields(err)
			}
			listen := strings.TrimSuffix(node.PublicURL, "/")
			if listen == "" {
				listen = "http://localhost:" + port(cmp.Or(node.Listen, app.DefaultListen))
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "data: %s\n", o.Data)
			fmt.Fprintf(out, "partner: %s (%s, %s)\n", done.Partner.ID, done.Partner.Kind, done.Partner.Country)
			fmt.Fprintf(out, "journal: %s\n", done.Origin)
			fmt.Fprintf(out, "first: %s/first/%s\n", listen, done.Code)
			database := ""
			switch {
			case node.DatabaseFile != "":
				database = " --database-file " + node.DatabaseFile
			case node.Database != "":
				database = " --database " + node.Database
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Start the node with: siaga serve --data %s%s\nThen open the link after \"first:\" within 72 hours to make a passkey or choose a password.\n", o.Data, database)
			return nil
		},
	}
	f := c.Flags()
	nodeFlags(f, &node)
	f.StringVar(&o.Partner.Name, "partner", "Secretariat", "name of the first partner, whose node this is")
	f.StringVar(&o.Partner.Country, "country", "ID", "its country, two letters")
	f.StringVar(&kind, "kind", "intergovernmental", "its kind: government, intergovernmental, platform, civil_society or research")
	f.StringVar(&o.Partner.Zone, "zone", "", "its time zone, for example Asia/Jakarta")
	f.StringVar(&o.Admin.Name, "admin", "First administrator", "name of the first administrator")
	f.StringVar(&o.Admin.Email, "email", "admin@siaga.local", "e-mail address with which the first administrator signs in")
	f.StringVar(&o.Origin, "origin", "", "name of the journal, for example nusa.example/siaga (default: siaga.local/ and random digits)")
	return c
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func logger(cmd *cobra.Command, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, useError{fmt.Errorf("--log %q is not a level: use debug, info, warn or error", level)}
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: l})), nil
}

func serveCommand() *cobra.Command {
	var o app.Options
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Runs the node whose data folder "siaga init" made: pages, API, edge feed and
journal on one address. It stops at Ctrl-C, after answering what it has begun.`,
		Example: `  siaga serve
  siaga serve --data /var/lib/siaga --listen 127.0.0.1:7424 --public-url https://siaga.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings(cmd, &o); err != nil {
				return err
			}
			log, err := logger(cmd, o.Level)
			if err != nil {
				return err
			}
			o.Log = log
			n, err := app.New(cmd.Context(), o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "address: %s\ndata: %s\nopen: %s/sign-in\n", n.URL, o.Data, n.URL)
			if waiting, err := n.FirstWaits(cmd.Context()); err == nil && waiting { // a courtesy
				fmt.Fprintf(out, "first: %s/first/ with the code at the end of the link that siaga init printed\n", n.URL)
			}
			return n.Run(cmd.Context())
		},
	}
	f := c.Flags()
	nodeFlags(f, &o)
	f.StringVar(&o.Listen, "listen", app.DefaultListen, "address to listen on")
	f.StringVar(&o.PublicURL, "public-url", "", "address by which people and edges reach the node (default: from --listen)")
	f.StringVar(&o.NATS, "nats", "", "NATS address for several nodes, such as nats://nats.example:4222; or embedded")
	f.StringVar(&o.NATSFile, "nats-file", "", "file that holds the address of --nats, with its password")
	f.StringVar(&o.Level, "log", "info", "least level of the log on stderr: debug, info, warn or error")
	return c
}

func tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Make, list and revoke API tokens",
		Example: "  siaga token create --partner lensa --roles edge --name lensa-upload-1 > edge.token",
		Args:    cobra.NoArgs, RunE: needsCommand,
	}
	var o app.Options
	var partnerID, name, expires string
	withPartners := func(cmd *cobra.Command, id string, fn func(*partner.Service, partner.Partner) error) error {
		address, err := store(cmd, &o)
		if err != nil {
			return err
		}
		return withPartners(cmd, o.Data, address, id, fn)
	}
	var roles, scopes []string
	create := &cobra.Command{
		Use: "create", Short: "Make a token and print it alone on stdout",
		Example: `  siaga token create --partner secretariat --roles officer,analyst,approver
  siaga token create --partner lensa --roles edge --name lensa-upload-1 --expires 365d > edge.token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			life, err := parseLife(expires)
			if err != nil {
				return err
			}
			if len(roles) == 0 {
				return useError{errors.New("what the token may do is missing: name its roles, such as --roles officer,analyst, or --roles edge for an edge")}
			}
			return withPartners(cmd, partnerID, func(s *partner.Service, p partner.Partner) error {
				n := partner.NewToken{Partner: p.ID, Name: name, Life: life}
				for _, r := range roles {
					n.Roles = append(n.Roles, access.Role(strings.TrimSpace(r)))
				}
				for _, sc := range scopes {
					n.Scopes = append(n.Scopes, access.TokenScope(strings.TrimSpace(sc)))
				}
				t, text, err := s.CreateToken(cmd.Context(), partner.Shell(p), n)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), text)
				warnTwins(cmd, s, p, t)
				fmt.Fprintf(cmd.ErrOrStderr(), "token %s of %s, %s, until %s; it is shown this once\n", t.ID, t.Partner, t.Name, t.Expires.Format(time.RFC3339))
				return nil
			})
		},
	}
	f := create.Flags()
	f.StringVar(&partnerID, "partner", "", "short name of the partner (default: the first one)")
	f.StringSliceVar(&roles, "roles", nil, "roles, separated by commas: officer, analyst, approver, reviewer, observer, administrator, operator; or edge alone; or relay alone")
	f.StringSliceVar(&scopes, "scopes", nil, "scopes, separated by commas: read, propose, decide, admin, feed (default: what the roles can use)")
	f.StringVar(&name, "name", "", "name; for an edge, the edge's name")
	f.StringVar(&expires, "expires", "30d", "how long it lives: 12h, 30d; at most 400d")
	list := &cobra.Command{
		Use: "list", Short: "List a partner's tokens", Example: "  siaga token list --partner lensa", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPartners(cmd, partnerID, func(s *partner.Service, p partner.Partner) error {
				ts, err := s.Tokens(cmd.Context(), partner.Shell(p))
				for _, t := range ts {
					fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.State(time.Now()), joinRoles(t.Roles), t.Expires.Format(time.RFC3339))
				}
				return err
			})
		},
	}
	list.Flags().StringVar(&partnerID, "partner", "", "short name of the partner (default: the first one)")
	revoke := &cobra.Command{
		Use: "revoke ID", Short: "End a token at once", Example: "  siaga token revoke t3", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPartners(cmd, partnerID, func(s *partner.Service, p partner.Partner) error {
				t, err := s.RevokeToken(cmd.Context(), partner.Shell(p), args[0])
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s revoked\n", t.ID)
				}
				return err
			})
		},
	}
	revoke.Flags().StringVar(&partnerID, "partner", "", "short name of the partner (default: the first one)")
	for _, sub := range []*cobra.Command{create, list, revoke} {
		nodeFlags(sub.Flags(), &o)
	}
	c.AddCommand(create, list, revoke)
	return c
}

// warnTwins says which other tokens of a machine have the name of t: on the
// pages their edges cannot be told apart.
func warnTwins(cmd *cobra.Command, s *partner.Service, p partner.Partner, t partner.Token) {
	all, err := s.Tokens(cmd.Context(), partner.Shell(p))
	if err != nil || !slices.ContainsFunc(t.Roles, access.Role.Machine) {
		return // the token is made; the warning is a courtesy
	}
	for _, o := range all {
		if o.ID != t.ID && o.Name == t.Name && o.State(time.Now()) == "active" && slices.ContainsFunc(o.Roles, access.Role.Machine) {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: token %s is named %s, too, and two edges of one name cannot be told apart; if this one replaces it, run: siaga token revoke %s --partner %s\n", o.ID, o.Name, o.ID, o.Partner)
		}
	}
}

// needsCommand answers a command that only groups others.
func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return noCommand(cmd, args[0])
	}
	return useError{fmt.Errorf("%s needs a command", cmd.CommandPath())}
}

func joinRoles(roles []access.Role) string {
	s := make([]string, len(roles))
	for i, r := range roles {
		s[i] = string(r)
	}
	return strings.Join(s, ",")
}

func parseLife(s string) (time.Duration, error) {
	bad := useError{fmt.Errorf("--expires %q is not a time such as 12h or 30d", s)}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); n > 0 && n <= 100_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	switch {
	case err != nil || d <= 0:
		return 0, bad
	case d > partner.MaxTokenLife:
		return 0, useError{fmt.Errorf("--expires %s is too long: a token lives for at most 400 days; give 400d or less, and make a new one in time", s)}
	}
	return d, nil
}

// withPartners opens a data folder beside a running node.
func withPartners(cmd *cobra.Command, data, database, id string, fn func(*partner.Service, partner.Partner) error) error {
	s, log, done, err := app.OpenPartners(cmd.Context(), data, database)
	if err != nil {
		return err
	}
	var p partner.Partner
	err = log.View(cmd.Context(), func(r journal.StoreReader) error {
		if id != "" {
			p, err = partner.Load(r, id)
			if problem.KindOf(err) == problem.NotFound {
				err = problem.Newf(problem.NotFound, "there is no partner %q", id).WithFix("see siaga partner list, or add it with siaga partner add")
			}
			return err
		}
		all, err := partner.All(r)
		if err != nil {
			return err
		}
		for _, o := range all {
			if p.ID == "" || o.AddedAt.Before(p.AddedAt) {
				p = o
			}
		}
		if p.ID == "" {
			return problem.New(problem.NotFound, "the node has no partner yet", "make one with siaga init")
		}
		return nil
	})
	if err == nil {
		if err = fn(s, p); problem.KindOf(err) == problem.Invalid {
			err = useError{err} // what is asked of a partner here comes from flags alone
		}
	}
	return errors.Join(err, done())
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  siaga version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "siaga %s\n", app.Version())
			fmt.Fprintf(cmd.ErrOrStderr(), "%s\n", media.Confinement())
			return nil
		},
	}
}

func logCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "log", Short: "Read and verify the journal",
		Example: "  siaga log verify --data data", Args: cobra.NoArgs, RunE: needsCommand,
	}
	var o app.Options
	var asJSON bool
	open := func(cmd *cobra.Command, fn func(*journal.Log, *keys.Set, journal.Store) error) error {
		address, err := store(cmd, &o)
		if err != nil {
			return err
		}
		l, set, db, err := app.OpenLog(cmd.Context(), o.Data, address, true)
		if err != nil {
			return err
		}
		return errors.Join(fn(l, set, db), db.Close())
	}
	head := &cobra.Command{
		Use: "head", Short: "Print the signed checkpoint", Example: "  siaga log head", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return open(cmd, func(l *journal.Log, _ *keys.Set, _ journal.Store) error {
				var signed []byte
				err := l.View(cmd.Context(), func(r journal.StoreReader) (err error) {
					signed, _, err = r.Checkpoint()
					return err
				})
				if err != nil {
					return err
				}
				if signed == nil {
					return problem.New(problem.NotFound, "no checkpoint was signed yet", "start the node once: it signs one within a second")
				}
				_, err = cmd.OutOrStdout().Write(signed)
				return err
			})
		},
	}
	verify := &cobra.Command{
		Use: "verify", Short: "Recompute everything from the stored entries",
		Long: `Recomputes every commitment, the whole Merkle tree, the signed checkpoint, all
states folded from entries and the chains of the edge feed, and says where
something was changed. Exit code 1 if anything was.`,
		Example: "  siaga log verify --data /var/lib/siaga", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return open(cmd, func(l *journal.Log, set *keys.Set, db journal.Store) error {
				if c, ok := db.(interface {
					Check(ctx context.Context) error
				}); ok {
					if err := c.Check(cmd.Context()); err != nil {
						return err
					}
				}
				progress, end := bar(cmd.ErrOrStderr(), "verifying")
				report, err := l.Verify(cmd.Context(), journal.VerifyOptions{Feed: app.VerifySignedFeed(set), Progress: func(p journal.Progress) { progress(p.Done, p.Total) }})
				end()
				if err != nil {
					return err
				}
				if asJSON {
					if err := printJSON(cmd.OutOrStdout(), report); err != nil {
						return err
					}
				} else {
					for _, f := range report.Faults {
						fmt.Fprintln(cmd.OutOrStdout(), "fault:", f)
					}
					fmt.Fprintf(cmd.OutOrStdout(), "journal entries=%d root=%s verified=%t\n", report.Size, report.Root, report.Found == 0)
				}
				if report.Found > 0 {
					return exitError{exitFailed, problem.Newf(problem.Invalid, "%s", faults(report.Found)).WithFix("keep this folder as evidence and restore a backup")}
				}
				return nil
			})
		},
	}
	verify.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	prove := &cobra.Command{
		Use: "prove ENTRY", Short: "Print the proof that an entry is in the journal",
		Example: "  siaga log prove 41", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 0 {
				return useError{fmt.Errorf("%q is not the number of an entry", args[0])}
			}
			return open(cmd, func(l *journal.Log, _ *keys.Set, _ journal.Store) error {
				var size int64
				if err := l.View(cmd.Context(), func(r journal.StoreReader) (err error) {
					if _, size, err = r.Checkpoint(); err == nil && size <= n {
						size, err = r.Size()
					}
					return err
				}); err != nil {
					return err
				}
				if n >= size {
					return problem.Newf(problem.NotFound, "there is no entry %d: the journal has %d, numbered from 0", n, size).WithFix("name one of those")
				}
				p, err := l.InclusionProof(cmd.Context(), n, size)
				if err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), p)
			})
		},
	}
	rebuild := &cobra.Command{
		Use: "rebuild", Short: "Derive everything again from the stored entries",
		Long: `Folds all entries again and stores what differs: the states of incidents,
signals, partners and everything else that follows from entries, and, in SQLite,
the indexes. Operations of the feed that are damaged are made again, byte by
byte, where the entry and the next operation prove what was there. Entries and
the tree are not touched. Stop the node first.`,
		Example: "  siaga log rebuild --data /var/lib/siaga", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := store(cmd, &o)
			if err != nil {
				return err
			}
			n, err := app.Rebuild(cmd.Context(), o.Data, address)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "rebuilt changed=%d\n", n)
			}
			return err
		},
	}
	erase := eraseCommand(&o)
	for _, sub := range []*cobra.Command{head, verify, prove, erase, rebuild} {
		nodeFlags(sub.Flags(), &o)
		c.AddCommand(sub)
	}
	return c
}

func faults[T int | int64](n T) string {
	if n == 1 {
		return "1 fault found"
	}
	return fmt.Sprintf("%d faults found", n)
}

// readToken reads a token file and refuses one that others can read.
func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", problem.Newf(problem.NotFound, "there is no token file %s", path).WithFix("make one with siaga token create --roles edge > %s", filepath.Base(path))
	}
	if err != nil {
		return "", problem.Newf(problem.Invalid, "the token file %s cannot be read: %v", path, err).WithFix("check its name and rights")
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || bytes.ContainsAny(b, " \n\t") {
		return "", problem.Newf(problem.Invalid, "the token file %s does not hold one token", path).WithFix("put the line that siaga token create printed into it")
	}
	return string(b), nil
}
