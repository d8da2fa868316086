// Package admit decides which requests a node takes on when it cannot take all.
//
// # Lanes
//
// Each request is in one lane, by method and path alone (Lane). A lane has
// places, which bound how many of its requests are worked on at once, and a
// queue of stated length and patience for those that wait. So a flood in one
// lane takes no place of another:
//
//	emergency   declare, assess, vote, activate, approve, suspend, withdraw,
//	            acknowledge
//	sign_in     passwords, passkeys, one-time codes and their pages' answers:
//	            a password costs tens of milliseconds of a processor and 19 MiB
//	feed        operations, snapshots and acknowledgements of edges
//	read        pages and API calls that change nothing, and all other writes
//	statistics  what is lost most cheaply: counts of matches, search, exports,
//	            the public pages
//	probe       what machines ask about the node itself: healthz, readyz, metrics;
//	            a balancer takes a node out that does not answer them
//
// Streams (the feed's and the pages') hold no place while they are open: their
// own packages bound them.
//
// # Bodies
//
// A request asks for a place when its body has come whole (Bodies), so who
// sends slowly, or never, holds none. A body has five seconds, and more only
// while it comes with 16 KiB a second. Bodies under way are bounded by address,
// where the oldest gives way to the newest, and all that are larger than 16 KiB
// by their bytes in memory.
//
// # Budgets
//
// Beside its place each caller has a budget of requests a second: a token, a
// session, or, for those who show neither, an address; a refused sign-in costs
// an address ten times as much. Made-up tokens buy new budgets, but no places;
// and an address that showed too many refused ones has no other new one looked
// at for a while, whereas those that were taken before go on. The feed has no
// budget by address, since a platform's edges may stand behind one. Budgets are
// kept for a bounded number of callers; the ones unused for longest are
// forgotten first.
//
// # Promises
//
// A request that is not taken on is answered at once with a problem of kind
// Busy, 429 or 503, and Retry-After in seconds; nothing of it was done. One
// that is taken on is never dropped. Nothing here looks at what a request says,
// and no path, address or token is logged or counted.
package admit

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Lane is a class of requests that share places.
type Lane string

// The lanes, the dearest first.
const (
	Emergency  Lane = "emergency"
	SignIn     Lane = "sign_in"
	Feed       Lane = "feed"
	Read       Lane = "read"
	Statistics Lane = "statistics"
	Probe      Lane = "probe"
)

// Lanes lists them all.
func Lanes() []Lane { return []Lane{Emergency, SignIn, Feed, Read, Statistics, Probe} }

// Limits of one lane. All are greater than zero.
type Limits struct {
	Places int           // requests worked on at once
	Queue  int           // requests that wait for a place
	Wait   time.Duration // how long one waits before it is refused
}

// Defaults are the limits of a node on two cores. The store writes one
// transaction at a time, so more places would only lengthen its queue: the
// statistics' few places are what keeps them from filling it, and an emergency
// request from sharing two processors with many of them. Sign-ins have one
// place, so that made-up passwords take one processor at most; who waits for it
// is served in order, within seconds after a flood.
func Defaults() map[Lane]Limits {
	return map[Lane]Limits{
		Emergency:  {Places: 64, Queue: 1024, Wait: 10 * time.Second},
		SignIn:     {Places: 1, Queue: 48, Wait: 3 * time.Second},
		Feed:       {Places: 256, Queue: 8192, Wait: 15 * time.Second},
		Read:       {Places: 32, Queue: 256, Wait: 3 * time.Second},
		Statistics: {Places: 2, Queue: 64, Wait: 2 * time.Second},
		Probe:      {Places: 8, Queue: 64, Wait: 5 * time.Second},
	}
}

// Budget is a caller's requests a second, and how many it may save up.
type Budget struct {
	PerSecond float64
	Burst     int
}

// Options configures a Gate. Refuse is required.
type Options struct {
	Limits map[Lane]Limits // what is missing is as in Defaults
	Caller Budget          // of a token or session; zero: 100 a second, 400 saved
	Anyone Budget          // of an address that shows neither; zero: 50 a second, 200 saved
	MadeUp Budget          // refused tokens of an address; zero: 5 a second, 100 saved
	// Proxies are the networks whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	Now     func() time.Time // nil: time.Now
	// Cookie is the name of the session's cookie.
	Cookie string
	// Refuse answers a request that is not taken on. Retry-After is set.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Done, if set, is told of each request when it ends.
	Done func(lane Lane, status int, took time.Duration)
	// Shed, if set, is told of each request that was refused.
	Shed func(lane Lane, why string)
}

// maxCallers bounds the budgets that are kept.
const maxCallers = 50_000

// Gate admits requests. Its methods may be called concurrently.
type Gate struct {
	o     Options
	lanes map[Lane]*lane

	mu      sync.Mutex
	callers map[[16]byte]*caller // guarded by mu
	oldest  *caller              // ends of the list by last use, guarded by mu
	newest  *caller
}

type lane struct {
	Limits
	places chan struct{} // holds one value a request that is worked on
	queue  chan struct{} // holds one value a request that waits
}

type caller struct {
	key        [16]byte
	budget     *rate.Limiter
	known      bool // it was taken for who it says; guarded by the Gate's mu
	prev, next *caller
}

// New returns a Gate.
func New(o Options) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Caller == (Budget{}) {
		o.Caller = Budget{100, 400}
	}
	if o.Anyone == (Budget{}) {
		o.Anyone = Budget{50, 200}
	}
	if o.MadeUp == (Budget{}) {
		o.MadeUp = Budget{5, 100}
	}
	g := &Gate{o: o, lanes: map[Lane]*lane{}, callers: map[[16]byte]*caller{}}
	for name, l := range Defaults() {
		if given, ok := o.Limits[name]; ok {
			l = given
		}
		g.lanes[name] = &lane{Limits: l, places: make(chan struct{}, l.Places), queue: make(chan struct{}, l.Queue)}
	}
	return g
}

// Of returns the lane of a request and whether it is a stream.
func Of(method, path string) (l Lane, stream bool) {
	write := method != http.MethodGet && method != http.MethodHead
	switch {
	case path == "/live" || (path == "/api/v1/feed" && !write):
		return Feed, true
	case path == "/api/v1/feed/tallies" || path == "/api/v1/feed/verdicts":
		return Statistics, false
	case strings.HasPrefix(path, "/api/v1/feed"), strings.HasPrefix(path, "/log/"):
		return Feed, false
	case path == "/healthz" || path == "/readyz" || path == "/metrics":
		return Probe, false
	case path == "/search", path == "/public" || strings.HasPrefix(path, "/public/"), strings.HasSuffix(path, ".csv"), strings.HasSuffix(path, ".atom"):
		return Statistics, false
	case strings.HasPrefix(path, "/a/"):
		return Emergency, false
	case !write:
		return Read, false
	}
	for _, p := range []string{"/incidents", "/signals", "/groups", "/api/v1/incidents", "/api/v1/signals", "/api/v1/groups", "/api/v1/asks", "/asks"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return Emergency, false
		}
	}
	for _, p := range []string{"/sign-in", "/step-up", "/first", "/passkey"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return SignIn, false
		}
	}
	return Read, false
}

// Handler admits requests to next.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, stream := Of(r.Method, r.URL.Path)
		start := g.o.Now()
		if wait, ok := g.spend(r, name); !ok {
			g.refuse(w, r, name, "budget", wait, "you have sent more requests than this node takes from one caller")
			return
		}
		if !stream {
			done, why := g.enter(r.Context(), g.lanes[name])
			switch why {
			case "":
				defer done()
			case "gone": // the client left while it waited
				return
			default:
				g.refuse(w, r, name, why, 2*time.Second, "this node has more to do than it can")
				return
			}
		}
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		switch token := r.Header.Get("Authorization"); {
		case token != "" && rec.status == http.StatusUnauthorized:
			g.madeUp(r).AllowN(g.o.Now(), 1)
			g.know(token, false)
		case token != "":
			g.know(token, true)
		case rec.status == http.StatusUnauthorized || (name == SignIn && rec.status == http.StatusUnprocessableEntity):
			g.fine(r)
		}
		if g.o.Done != nil && !stream {
			g.o.Done(name, rec.status, g.o.Now().Sub(start))
		}
	})
}

// enter waits for a place.
func (g *Gate) enter(ctx context.Context, l *lane) (done func(), why string) {
	leave := func() { <-l.places }
	select {
	case l.places <- struct{}{}:
		return leave, ""
	default:
	}
	select {
	case l.queue <- struct{}{}:
	default:
		return nil, "queue"
	}
	defer func() { <-l.queue }()
	patience := time.NewTimer(l.Wait)
	defer patience.Stop()
	select {
	case l.places <- struct{}{}:
		return leave, ""
	case <-patience.C:
		return nil, "wait"
	case <-ctx.Done():
		return nil, "gone"
	}
}

// Waiting returns how many requests of a lane wait now.
func (g *Gate) Waiting(l Lane) int { return len(g.lanes[l].queue) }

// Working returns how many requests of a lane are worked on now.
func (g *Gate) Working(l Lane) int { return len(g.lanes[l].places) }

func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, l Lane, why string, wait time.Duration, detail string) {
	if g.o.Shed != nil {
		g.o.Shed(l, why)
	}
	s := int(min(max(wait.Round(time.Second), time.Second), time.Minute) / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(s))
	g.o.Refuse(w, r, problem.New(problem.Busy, detail, "").WithFix("try again in %d s; nothing of this request was done", s))
}

// spend takes a request off the caller's budget. It returns how long to wait
// until there is enough again.
func (g *Gate) spend(r *http.Request, l Lane) (time.Duration, bool) {
	name, budget := r.Header.Get("Authorization"), g.o.Caller
	if name == "" && g.o.Cookie != "" {
		if c, err := r.Cookie(g.o.Cookie); err == nil {
			name = c.Value
		}
	}
	now := g.o.Now()
	switch {
	case name == "" && l == Feed:
		return 0, true
	case name == "" && l == Probe: // a balancer may stand where the visitors come from
		name, budget = "probe "+g.anyone(r), g.o.Anyone
	case name == "":
		name, budget = g.anyone(r), g.o.Anyone
	case r.Header.Get("Authorization") != "" && !g.knows(name):
		if b := g.madeUp(r); b.TokensAt(now) < 1 {
			return time.Duration(float64(time.Second) / g.o.MadeUp.PerSecond), false
		}
	}
	res := g.budget(name, budget).ReserveN(now, 1)
	if d := res.DelayFrom(now); d > 0 {
		res.CancelAt(now)
		return d, false
	}
	return 0, true
}

// fine takes nine requests more off an address whose sign-in was refused, as
// far as it has them.
func (g *Gate) fine(r *http.Request) {
	now := g.o.Now()
	b := g.budget(g.anyone(r), g.o.Anyone)
	b.AllowN(now, min(9, int(max(b.TokensAt(now), 0))))
}

// madeUp is the budget of refused tokens of the address.
func (g *Gate) madeUp(r *http.Request) *rate.Limiter {
	return g.budget("made up "+g.anyone(r), g.o.MadeUp)
}

// know notes whether a token was taken.
func (g *Gate) know(token string, taken bool) {
	key := keyOf(token)
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.callers[key]; c != nil {
		c.known = taken
	}
}

func (g *Gate) knows(token string) bool {
	key := keyOf(token)
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.callers[key]
	return c != nil && c.known
}

// anyone names the caller that is known by its address alone.
func (g *Gate) anyone(r *http.Request) string { return "address " + g.Address(r).String() }

// Address returns the address that a request comes from, past the proxies that
// are believed.
func (g *Gate) Address(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{} // a Unix socket: all its callers are one
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && g.believed(at); i-- {
		before, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = before
	}
	return at.Unmap()
}

func (g *Gate) believed(a netip.Addr) bool {
	for _, p := range g.o.Proxies {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

func keyOf(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:16])
}

// budget returns the budget of a caller, and makes it the newest.
func (g *Gate) budget(name string, b Budget) *rate.Limiter {
	key := keyOf(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.callers[key]
	switch {
	case c != nil:
		g.unlink(c)
	case len(g.callers) >= maxCallers:
		c = g.oldest
		g.unlink(c)
		delete(g.callers, c.key)
		fallthrough
	default:
		c = &caller{key: key, budget: rate.NewLimiter(rate.Limit(b.PerSecond), b.Burst)}
		g.callers[key] = c
	}
	c.prev, c.next = g.newest, nil
	if g.newest != nil {
		g.newest.next = c
	}
	g.newest = c
	if g.oldest == nil {
		g.oldest = c
	}
	return c.budget
}

// unlink takes a caller out of the list. The caller holds g.mu.
func (g *Gate) unlink(c *caller) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		g.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		g.newest = c.prev
	}
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote && status >= 200 {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
