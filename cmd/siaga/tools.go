package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/bench"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func protocolCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "protocol", Short: "Check and read protocol definitions",
		Example: "  siaga protocol show sea-crp", Args: cobra.NoArgs, RunE: needsCommand,
	}
	var asJSON bool
	var lang string
	read := func(name string) ([]byte, error) {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			def, lerr := protocol.Lookup(name)
			if lerr != nil {
				return nil, problem.Newf(problem.NotFound, "there is no file and no built-in protocol %q", name).Because(lerr).WithFix("name a file, or one of: %s", builtinNames())
			}
			return def.Source, nil
		}
		if err != nil {
			return nil, problem.Newf(problem.Invalid, "%s cannot be read: %v", name, err).WithFix("name a regular file")
		}
		return b, nil
	}
	check := &cobra.Command{
		Use: "check FILE|NAME ...", Short: "Explain every mistake of a definition with its line and fix",
		Example: "  siaga protocol check our-protocol.yaml", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			wrong := 0
			for _, name := range args {
				b, err := read(name)
				if err != nil {
					return err
				}
				checked := protocol.CheckFile(name, b)
				if asJSON {
					err = checked.PrintJSON(cmd.OutOrStdout())
				} else {
					err = checked.Print(cmd.OutOrStdout(), lang)
				}
				if err != nil {
					return err
				}
				if !checked.OK {
					wrong++
				}
			}
			if wrong > 0 {
				return exitError{code: exitFailed}
			}
			return nil
		},
	}
	show := &cobra.Command{
		Use: "show FILE|NAME", Short: "Print a definition as a person reads it",
		Example: "  siaga protocol show sea-crp --lang id", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := read(args[0])
			if err != nil {
				return err
			}
			def, mistakes := protocol.Parse(b)
			if len(mistakes) > 0 {
				return problem.Newf(problem.Invalid, "%s:%s", args[0], mistakes[0]).WithFix("see all mistakes with siaga protocol check %s", args[0])
			}
			if asJSON {
				return protocol.ShowJSON(cmd.OutOrStdout(), def)
			}
			return protocol.Show(cmd.OutOrStdout(), def, lang)
		},
	}
	check.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a mistake")
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	show.Flags().StringVar(&lang, "lang", "en", "language: en or id")
	c.AddCommand(check, show)
	return c
}

func builtinNames() string {
	s := ""
	for i, d := range protocol.Builtin() {
		if i > 0 {
			s += ", "
		}
		s += d.ID
	}
	return s
}

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "bench", Short: "Measure this machine, to compare with other systems",
		Example: "  siaga bench index --entries 1000000", Args: cobra.NoArgs, RunE: needsCommand,
	}
	var io bench.IndexOptions
	index := &cobra.Command{
		Use: "index", Short: "Exact range search over 256-bit hashes",
		Example: `  siaga bench index --entries 1000000 --queries 2000
  siaga bench index --haystack known.txt --needles queries.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.Index(cmd.Context(), cmd.OutOrStdout(), io) },
	}
	f := index.Flags()
	f.IntVar(&io.Entries, "entries", 1_000_000, "hashes in the index")
	f.IntVar(&io.Queries, "queries", 2_000, "queries")
	f.IntVar(&io.MaxDistance, "max-distance", 31, "greatest distance, in bits")
	f.IntVar(&io.Threads, "threads", 1, "threads that search")
	f.StringVar(&io.Haystack, "haystack", "", "file with the hashes of the index, one of 64 hex digits a line")
	f.StringVar(&io.Needles, "needles", "", "file with the hashes to look for")
	f.BoolVar(&io.JSON, "json", false, "print JSON")
	c.AddCommand(index, benchPDQCommand(), benchEdgeCommand(), benchFeedCommand(), benchCopiesCommand())
	return c
}

func benchEdgeCommand() *cobra.Command {
	var o bench.EdgeOptions
	c := &cobra.Command{
		Use: "edge", Short: "Answers of an edge over HTTP on loopback",
		Example: `  siaga bench edge --signals 1000000 --batch 1000`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return bench.Edge(cmd.Context(), cmd.OutOrStdout(), o) },
	}
	f := c.Flags()
	f.IntVar(&o.Signals, "signals", 1_000_000, "signals that the edge holds")
	f.IntVar(&o.Batch, "batch", 1_000, "hashes in one request")
	f.IntVar(&o.Batches, "batches", 100, "requests with batches")
	f.IntVar(&o.Clients, "clients", 2, "clients that send batches at the same time")
	f.IntVar(&o.Singles, "singles", 5_000, "requests with one hash")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
	return c
}

func benchFeedCommand() *cobra.Command {
	var o bench.FeedOptions
	c := &cobra.Command{
		Use: "feed", Short: "Delivery of the feed to real edges over real sockets",
		Example: `  siaga bench feed --edges 1000 --operations 200
  siaga bench feed --edges 200 --soak 10m
  siaga bench feed --edges 1000 --nodes 3 --database postgres://siaga@localhost/bench --nats embedded`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.Feed(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Edges, "edges", 100, "edges")
	f.IntVar(&o.Operations, "operations", 50, "operations that are published")
	f.IntVar(&o.Nodes, "nodes", 1, "nodes that the edges are spread over, and that publish in turn")
	f.StringVar(&o.Database, "database", "", "address of an empty PostgreSQL database, for several nodes (default: SQLite)")
	f.StringVar(&o.NATS, "nats", "", "address of NATS between the nodes, or embedded")
	f.DurationVar(&o.Every, "every", 0, "time between two operations (default: 20ms, or 0.1ms an edge if that is more)")
	f.IntVar(&o.Light, "light", -1, "edges that are mere sockets and check no signatures (default: all beyond 2,000)")
	f.BoolVar(&o.Stored, "stored", false, "edges keep folders and sync each operation")
	f.DurationVar(&o.Soak, "soak", 0, "go on for this long, with percentiles every ten seconds")
	f.BoolVar(&o.Idle, "idle", false, "measure the node's memory for an idle edge too")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
	return c
}

func benchCopiesCommand() *cobra.Command {
	var o bench.CopiesOptions
	var gather string
	c := &cobra.Command{
		Use: "copies DIR", Short: "How many altered copies of your photos are found again",
		Long: "Alters the photos of a folder in many ways and looks for the copies: half of the\n" +
			"photos are known, the other half are not and should match nothing.",
		Example: "  siaga bench copies ~/Pictures\n  siaga bench copies --assets 10000 --edits crop20,screenshot-dark ~/Pictures",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Dir = args[0]; gather != "" {
				err = bench.Gather(cmd.Context(), cmd.OutOrStdout(), o.Dir, gather, o.Pixels, o.Workers)
			} else {
				err = bench.Copies(cmd.Context(), cmd.OutOrStdout(), o)
			}
			if e, ok := errors.AsType[bench.UseError](err); ok {
				return useError{e}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Edits, "edits", nil, "edits to apply, by name; all unless given")
	f.IntVar(&o.Assets, "assets", 0, "fill the index up to so many known pictures")
	f.IntVar(&o.Workers, "workers", 1, "pictures worked on at once; the times are for 1")
	f.IntVar(&o.Each, "each", 0, "apply so many edits to each photo, drawn by its name; all unless given")
	f.StringVar(&o.Misses, "misses", "", "write copies that were missed or taken for others into this folder")
	f.StringVar(&gather, "gather", "", "measure nothing: make a set of distinct, reduced pictures of DIR in this folder, a third of them apart")
	f.IntVar(&o.Pixels, "pixels", 1_000_000, "reduce photos to so many pixels first")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
	return c
}

func benchPDQCommand() *cobra.Command {
	var o bench.PDQOptions
	c := &cobra.Command{
		Use: "pdq FILE ...", Short: "PDQ hashing, decoding apart",
		Example: "  siaga bench pdq photo.jpg", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Files = args
			return bench.PDQ(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	c.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	c.Flags().IntVar(&o.Rounds, "rounds", 9, "times that each picture is hashed; the median counts")
	return c
}
