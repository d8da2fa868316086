package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/problem"
)

const defaultEdgeListen = "127.0.0.1:7425"

func edgeCommand() *cobra.Command {
	var upstream, paymentKeys []string
	var tokenFile, listen, socket, data, level string
	var few int64
	var look app.LookbackOptions
	var lookMB int64
	var lookAge string
	c := &cobra.Command{
		Use:   "edge",
		Short: "Run a matcher beside a platform's upload path",
		Long: `Follows a node's feed and answers match queries on this machine. It keeps its
own snapshot in the data folder, goes on when the node is away, and says how old
it is. Content never leaves the machine: only fingerprints travel.`,
		Example: `  siaga edge --upstream https://siaga.example --token-file edge.token
  curl --data-binary @photo.jpg http://localhost:7425/v1/match
  siaga edge --upstream https://siaga.example --token-file edge.token --lookback
  curl 'http://localhost:7425/v1/lookback?after=0&wait=30'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(upstream) == 0 || tokenFile == "" {
				return useError{errors.New("an edge needs --upstream and --token-file")}
			}
			for _, u := range upstream {
				if a, err := url.Parse(u); err != nil || a.Scheme != "http" && a.Scheme != "https" || a.Host == "" {
					return useError{fmt.Errorf("--upstream %q is not an address; give the node's, such as https://siaga.example", u)}
				}
			}
			token, err := readToken(tokenFile)
			if err != nil {
				return err
			}
			look.MaxBytes = lookMB << 20
			if look.MaxAge, err = parseAge(lookAge); err != nil {
				return err
			}
			if lookMB < 1 {
				return useError{errors.New("--lookback-size is at least 1")}
			}
			log, err := logger(cmd, level)
			if err != nil {
				return err
			}
			keys, err := readPaymentKeys(paymentKeys)
			if err != nil {
				return err
			}
			e, err := app.NewEdge(app.EdgeOptions{Upstream: upstream, Token: token, Data: data, Log: log, Few: few, Lookback: look, PaymentKeys: keys})
			if err != nil {
				return err
			}
			var listeners []net.Listener
			tcp, err := net.Listen("tcp", listen)
			if err != nil {
				return errors.Join(problem.Newf(problem.Unavailable, "cannot listen on %s: %v", listen, err).WithFix("stop what uses the port, or choose another with --listen"), e.Close())
			}
			listeners = append(listeners, tcp)
			if socket != "" {
				unix, err := listenUnix(socket)
				if err != nil {
					return errors.Join(err, tcp.Close(), e.Close())
				}
				listeners = append(listeners, unix)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "edge: http://localhost:%s\nsignals: %d\n", port(tcp.Addr().String()), e.Matcher.Len())
			if !strings.HasPrefix(listen, "127.") && !strings.HasPrefix(listen, "localhost") && !strings.HasPrefix(listen, "[::1]") {
				fmt.Fprintln(cmd.ErrOrStderr(), "Everyone who reaches this address can ask it: keep it behind a firewall.")
			}
			return serveEdge(cmd.Context(), e, listeners)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&upstream, "upstream", nil, "address of the node; several, separated by commas, are tried in turn")
	f.StringVar(&tokenFile, "token-file", "", "file with the edge's token")
	f.StringVar(&listen, "listen", defaultEdgeListen, "address to answer on")
	f.StringVar(&socket, "socket", "", "also answer on this Unix socket, which the edge's user and group may use")
	f.StringVar(&data, "data", "edge-data", "folder for the edge's own snapshot")
	f.Int64Var(&few, "few", 0, "report counts under this as \"few\"")
	f.BoolVar(&look.On, "lookback", false, "keep fingerprints of uploads that have a reference, and tell which match later signals")
	f.StringVar(&lookAge, "lookback-age", "7d", "how long an upload's fingerprints are kept")
	f.Int64Var(&lookMB, "lookback-size", 512, "megabytes that they may take on disk")
	f.StringVar(&look.Notify, "lookback-notify", "", "address of a program of yours that is told of what was found; without it, ask GET /v1/lookback")
	f.StringSliceVar(&paymentKeys, "payment-key", nil, "file with the key of a list whose payment handles are keyed hashes (siaga payment key); several with commas")
	f.StringVar(&level, "log", "info", "least level of the log on stderr: debug, info, warn or error")
	return c
}

// parseAge reads a time such as 12h or 7d.
func parseAge(s string) (time.Duration, error) {
	bad := useError{fmt.Errorf("--lookback-age %q is not a time from 1m to 90d, such as 12h or 7d", s)}
	d, err := time.ParseDuration(s)
	if n, ok := strings.CutSuffix(s, "d"); ok {
		var days int
		if days, err = strconv.Atoi(n); err == nil && days <= 90 {
			d = time.Duration(days) * 24 * time.Hour
		}
	}
	if err != nil || d < time.Minute || d > 90*24*time.Hour {
		return 0, bad
	}
	return d, nil
}

// serveEdge runs an edge on its listeners until ctx ends.
func serveEdge(ctx context.Context, e *app.Edge, listeners []net.Listener) error {
	server := &http.Server{Handler: e.Handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 32 << 10}
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-gctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(drain)
	})
	g.Go(func() error { return e.Run(gctx) })
	err := g.Wait()
	if errors.Is(err, edge.ErrToken) {
		err = problem.New(problem.Denied, "the node refuses this edge's token, and the edge has no signals to answer from", "make a token on the node with siaga token create --roles edge, put it into the token file, and start the edge again").Because(err)
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		err = nil
	}
	return errors.Join(err, e.Close())
}

// socketMode lets the edge's user and group connect to its socket, and nobody else.
const socketMode = 0o660

// listenUnix listens on a Unix socket, of mode socketMode. One that a program left behind gives way;
// one that is answered, and a file that is no socket, do not.
func listenUnix(path string) (net.Listener, error) {
	refuse := func(err error) error {
		return problem.Newf(problem.Unavailable, "cannot listen on %s: %v", path, err).WithFix("name another path with --socket")
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, refuse(err)
	case info.Mode().Type() != os.ModeSocket:
		return nil, refuse(errors.New("there is a file that is no socket"))
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = c.Close() // nothing was said
			return nil, refuse(errors.New("another program answers there"))
		}
		if err := os.Remove(path); err != nil {
			return nil, refuse(err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, refuse(err)
	}
	// Who connects can ask what is blocked, and report about it: the umask of
	// whoever started the edge does not decide about that.
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(refuse(err), l.Close())
	}
	return l, nil
}
