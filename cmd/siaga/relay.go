package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/relay"
)

const defaultRelayListen = "127.0.0.1:7426"

func relayCommand() *cobra.Command {
	var o relay.Options
	var tokenFiles []string
	var listen, level, nats, natsFile string
	c := &cobra.Command{
		Use:   "relay",
		Short: "Let a region's edges hang on one link to the node",
		Long: `Follows a node once for each partner that made a token for it, and serves the
same feed to that partner's edges, with their own tokens. It can change nothing:
what it passes on is signed by the node. While its link is down edges keep what
they have and say how old it is.`,
		Example: `  siaga token create --partner lensa --roles relay --name west > relay.token     # at the node
  siaga relay --upstream https://siaga.example --token-file relay.token --data relay-data
  siaga edge --upstream http://localhost:7426 --token-file edge.token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.Upstream) == 0 || len(tokenFiles) == 0 {
				return useError{errors.New("a relay needs --upstream and --token-file")}
			}
			for _, f := range tokenFiles {
				text, err := readToken(f)
				if err != nil {
					return err
				}
				o.Tokens = append(o.Tokens, text)
			}
			var err error
			if o.NATS, err = app.NATSAddress(nats, natsFile); err != nil {
				return err
			}
			if o.Log, err = logger(cmd, level); err != nil {
				return err
			}
			r, err := app.NewRelay(o)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				r.Close()
				return problem.Newf(problem.Unavailable, "cannot listen on %s: %v", listen, err).WithFix("stop what uses the port, or choose another with --listen")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "relay: http://localhost:%s\n", port(l.Addr().String()))
			return serveRelay(cmd.Context(), r, l)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Upstream, "upstream", nil, "address of the node; several, separated by commas, are tried in turn")
	f.StringSliceVar(&tokenFiles, "token-file", nil, "file with a relay's token; one for each partner whose edges it serves")
	f.StringVar(&listen, "listen", defaultRelayListen, "address to serve edges on")
	f.StringVar(&o.Dir, "data", "relay-data", "folder for what it was sent")
	f.StringVar(&o.Name, "name", "", "name shown at the node (default: this machine's)")
	f.StringVar(&nats, "nats", "", "NATS address to follow too, such as nats://nats.example:4222")
	f.StringVar(&natsFile, "nats-file", "", "file that holds the address of --nats, with its password")
	f.StringVar(&level, "log", "info", "least level of the log on stderr: debug, info, warn or error")
	return c
}

// serveRelay runs a relay on its listener until ctx ends.
func serveRelay(ctx context.Context, r *relay.Relay, l net.Listener) error {
	server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	})
	g.Go(func() error { return r.Run(gctx) })
	g.Go(func() error {
		<-gctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			return server.Close()
		}
		return nil
	})
	err := g.Wait()
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		err = nil
	}
	return err
}
