package bus_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/bus"
	"github.com/siaga-crp/siaga/internal/porttest"
	"github.com/siaga-crp/siaga/internal/problem"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// NATS's server leaves these for a while after its shutdown.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).startGoRoutine.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"))
}

var pin = strings.Repeat("0123456789abcdef", 4)

// nats starts a real server.
func nats(t *testing.T, dir string, port int, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, SyncAlways: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("NATS does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", porttest.Addr(t))
	if err != nil {
		t.Fatal(err)
	}
	return addr.Port
}

// box collects what a bus delivers.
type box struct {
	mu  sync.Mutex
	got []string
}

func (b *box) deliver(chain string, wire []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, chain+" "+string(wire))
}

func (b *box) all() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.got, ", ")
}

func start(t *testing.T, o bus.Options) *bus.Bus {
	t.Helper()
	o.Pin = pin
	b, err := bus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.Close()
	})
	return b
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestTwoNodesAndARelay(t *testing.T) {
	s := nats(t, t.TempDir(), -1, nil)
	var one, two, relay, beats box
	a := start(t, bus.Options{URL: s.ClientURL(), Deliver: one.deliver})
	b := start(t, bus.Options{URL: s.ClientURL(), Deliver: two.deliver})
	eventually(t, "both are up", func() bool { return a.Up() && b.Up() })
	for i := range 5 {
		wire := fmt.Appendf(nil, "op%d", i)
		a.Send(edge.SharedChain, uint64(i+1), wire)
		b.Send(edge.SharedChain, uint64(i+1), wire) // kept once, whoever sends it
	}
	a.Send(edge.OwnChain("nusa.id"), 1, []byte("own"))
	a.Send(edge.OwnChain("suara"), 1, []byte("other"))
	eventually(t, "all arrived", func() bool { return strings.Count(two.all(), ",") == 6 && strings.Count(one.all(), ",") == 6 })
	for _, want := range []string{"partners op0, ", "partner:nusa.id own", "partner:suara other"} {
		if got := two.all(); !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	// A relay comes later, asks for one partner's part, and gets what was before.
	r := start(t, bus.Options{URL: s.ClientURL(), Deliver: relay.deliver, Beat: beats.deliver, Partner: "nusa.id", ReadOnly: true, Since: func() time.Time { return time.Now().Add(-time.Minute) }})
	eventually(t, "the relay is up", r.Up)
	eventually(t, "the relay has it", func() bool { return strings.Count(relay.all(), ",") == 5 })
	if got := relay.all(); strings.Contains(got, "suara") || !strings.Contains(got, "partner:nusa.id own") {
		t.Errorf("the relay has %s", got)
	}
	a.Beat("suara", []byte("not ours"))
	a.Beat("nusa.id", []byte("beat"))
	eventually(t, "the heartbeat arrived", func() bool { return beats.all() != "" })
	if got := beats.all(); got != "nusa.id beat" {
		t.Errorf("heartbeats: %s", got)
	}
}

// The server is killed and comes back with an empty folder: the bus says that
// it is away, makes its stream anew, and goes on.
func TestServerComesBackEmpty(t *testing.T) {
	port := freePort(t)
	s := nats(t, t.TempDir(), port, nil)
	var got box
	var mu sync.Mutex
	var changes []bool
	b := start(t, bus.Options{URL: s.ClientURL(), Deliver: got.deliver, Changed: func(up bool) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, up)
	}})
	eventually(t, "it is up", b.Up)
	b.Send(edge.SharedChain, 1, []byte("one"))
	eventually(t, "one arrived", func() bool { return got.all() == "partners one" })
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "it is down", func() bool { return !b.Up() })
	eventually(t, "it says why", func() bool { return strings.Contains(b.Status().Problem, "no NATS server answers") })
	b.Send(edge.SharedChain, 2, []byte("two"))
	if st := b.Status(); st.Dropped != 1 || st.Up {
		t.Errorf("while away: %+v", st)
	}
	nats(t, t.TempDir(), port, nil)
	eventually(t, "it is up again", b.Up)
	b.Send(edge.SharedChain, 3, []byte("three"))
	eventually(t, "three arrived", func() bool { return got.all() == "partners one, partners three" })
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(changes) != "[true false true]" {
		t.Errorf("changes: %v", changes)
	}
}

// An account without rights, a wrong password, a server without JetStream: each
// is named, in words, and no password is.
func TestRefusals(t *testing.T) {
	deny := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}}}
	s := nats(t, t.TempDir(), -1, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "full", Password: "right"},
			{Username: "none", Password: "right", Permissions: deny},
			{Username: "reads", Password: "right", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"siaga.>"}}}},
		}
	})
	plain := nats(t, t.TempDir(), -1, func(o *server.Options) { o.JetStream = false })
	at := func(user, password string) string {
		return strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":"+password+"@", 1)
	}
	full := start(t, bus.Options{URL: at("full", "right")})
	eventually(t, "the account with all rights is up", full.Up)
	for _, c := range []struct{ name, url, want string }{
		{"no rights", at("none", "right"), "this account lacks rights (publish to \"$js.api"},
		{"wrong password", at("full", "secretword"), "refuses the user or password"},
		{"no JetStream", plain.ClientURL(), "no JetStream"},
	} {
		b := start(t, bus.Options{URL: c.url, Deliver: func(string, []byte) {}})
		eventually(t, c.name, func() bool {
			return strings.Contains(b.Status().Problem, c.want) || t.Failed() || (b.Status().Problem != "not connected yet" && !strings.Contains(b.Status().Problem, c.want) && func() bool { t.Errorf("%s: %q", c.name, b.Status().Problem); return true }())
		})
		if b.Up() || strings.Contains(b.Status().Problem+b.Status().Server, "secretword") {
			t.Errorf("%s: %+v", c.name, b.Status())
		}
	}
	// Rights enough to follow and none to send: it is noticed with the first
	// operation.
	b := start(t, bus.Options{URL: at("reads", "right"), Deliver: func(string, []byte) {}})
	eventually(t, "it follows", b.Up)
	b.Send(edge.SharedChain, 1, []byte("one"))
	eventually(t, "it says what is missing", func() bool { return strings.Contains(b.Status().Problem, "lacks rights (publish to \"siaga.") })
}

func TestEmbedded(t *testing.T) {
	dir := t.TempDir()
	var got, far box
	b := start(t, bus.Options{URL: "embedded://siaga:pass@127.0.0.1:0", Dir: dir, Deliver: got.deliver})
	eventually(t, "it is up", b.Up)
	b.Send(edge.SharedChain, 1, []byte("one"))
	eventually(t, "one arrived", func() bool { return got.all() == "partners one" })
	other := start(t, bus.Options{URL: "nats://siaga:pass@" + b.Address(), Deliver: far.deliver})
	eventually(t, "another node is up", other.Up)
	other.Send(edge.SharedChain, 2, []byte("two"))
	eventually(t, "two arrived", func() bool { return got.all() == "partners one, partners two" && far.all() == "partners two" })
	wrong := start(t, bus.Options{URL: "nats://siaga:other@" + b.Address()})
	eventually(t, "a wrong password is refused", func() bool { return strings.Contains(wrong.Status().Problem, "refuses") })
}

func TestBadAddresses(t *testing.T) {
	for _, u := range []string{"", "nats.example:4222", "http://nats.example", "nats://user:secretword@", "embedded://0.0.0.0:4222", "embedded://u:secretword@0.0.0.0:4222", "embedded://127.0.0.1:4222", "embedded://u:p@127.0.0.1", "embeddedx"} {
		_, err := bus.New(bus.Options{URL: u, Pin: pin, Dir: t.TempDir()})
		if problem.KindOf(err) != problem.Invalid || strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: %v", u, err)
		}
	}
}
