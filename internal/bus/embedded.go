package bus

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/siaga-crp/siaga/internal/problem"
)

// embedded is a NATS server in this process, for one machine. It syncs each
// message: by default NATS acknowledges up to two minutes before it does.
type embedded struct {
	s        *server.Server
	address  string // host and port; "" if nobody else reaches it
	user     string
	password string
}

func startEmbedded(text, dir string) (*embedded, error) {
	o := &server.Options{
		ServerName: "siaga", JetStream: true, StoreDir: dir, SyncAlways: true, SyncInterval: time.Second,
		NoSigs: true, NoLog: true, DontListen: true, MaxPayload: 512 << 10, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 2 << 30,
	}
	e := &embedded{}
	if text != "embedded" {
		bad := problem.New(problem.Invalid, "the address of the embedded NATS cannot be read", "write embedded, or embedded://user:password@127.0.0.1:4222 in --nats-file")
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "embedded" || u.Hostname() == "" {
			return nil, bad
		}
		p, err := strconv.Atoi(u.Port())
		if err != nil {
			return nil, bad
		}
		e.user = u.User.Username()
		e.password, _ = u.User.Password()
		if e.user == "" || e.password == "" {
			return nil, problem.New(problem.Invalid, "an embedded NATS that others reach needs a user and a password", "write embedded://user:password@127.0.0.1:4222 in --nats-file, or embedded alone")
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, problem.New(problem.Invalid, "an embedded NATS listens on this machine alone", "use 127.0.0.1, or run a NATS server with TLS for other machines")
		}
		if p == 0 {
			p = server.RANDOM_PORT
		}
		o.DontListen, o.Host, o.Port, o.Username, o.Password = false, u.Hostname(), p, e.user, e.password
	}
	if dir == "" {
		return nil, errors.New("bus: an embedded server needs a folder")
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, problem.Newf(problem.Unavailable, "the embedded NATS cannot be started: %v", err).WithFix("check its folder %s", dir).Because(err)
	}
	s.Start()
	if !s.ReadyForConnections(15 * time.Second) {
		s.Shutdown()
		return nil, problem.New(problem.Unavailable, "the embedded NATS does not start", "is its port in use, or its folder damaged? Name another port, or move the folder away: it holds nothing that is not in the database")
	}
	e.s = s
	if !o.DontListen {
		if a, ok := s.Addr().(*net.TCPAddr); ok {
			e.address = net.JoinHostPort(o.Host, port(a.Port))
		}
	}
	return e, nil
}

func (e *embedded) options() []nats.Option {
	opts := []nats.Option{nats.InProcessServer(e.s)}
	if e.user != "" {
		opts = append(opts, nats.UserInfo(e.user, e.password))
	}
	return opts
}

func (e *embedded) stop() {
	e.s.Shutdown()
	e.s.WaitForShutdown()
}
