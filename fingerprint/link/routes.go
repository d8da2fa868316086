package link

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A service is one platform: its hosts, and which of its addresses are one.
type service struct {
	id    string // in the text form of a channel
	name  string // for people
	hosts string // hosts that show the same pages; the first is canonical
	sub   bool   // so does every other host under the registrable domains of hosts
	drop  string // query parameters that mean nothing on this service
	// odd turns spellings that no pattern can hold (a name in the host, a
	// route in the fragment) into ordinary ones. Nil if there are none.
	odd    func(*address)
	routes []route

	// names are the forms of a channel's name, the commonest first: text and
	// a variable as in a route's segment, and after a space the name that it
	// stands for, if that is another.
	names []string
}

// A route says that addresses of the form from are, in canonical form, to, and
// belong to the channel.
//
// from is a path on the service's hosts, or a host and a path. A segment or the
// value of a parameter is text, or {name:class}, perhaps after text; /... at the
// end stands for any further segments. Parameters that from does not name, the
// fragment and a slash at the end do not matter.
//
// to is a path on the canonical host, or a whole address; "" leaves the address
// as it is. channel is the name of the channel, "" for none.
type route struct{ from, to, channel string }

// A class says which texts a variable stands for and returns the text's one
// form, for instance in lower case where case does not count.
type class func(string) (string, bool)

// pattern is a compiled from.
type pattern struct {
	segs  []segment
	more  bool // /... at the end
	query []segment
}

// segment is one segment of a path or parameter of a query.
type segment struct {
	param  string // name of the parameter
	prefix string // text before the variable, or all of it
	name   string // of the variable, "" for none
	class  class
}

// compiled is a compiled route.
type compiled struct {
	from    pattern
	to      string
	channel string
	svc     *service
}

// entry is what is known about one host.
type entry struct {
	svc    *service
	host   string // canonical host when no route matches, "" to keep the host
	routes []compiled
}

// hosts maps each host of each service to what is known about it, and under
// each domain of a service to what is known about the hosts under it.
var hosts, under = compileServices(services)

// compileServices panics on a mistake in the table, which the first test of any
// kind then shows.
func compileServices(list []service) (hosts, under map[string]*entry) {
	hosts, under = make(map[string]*entry), make(map[string]*entry)
	add := func(host string, e *entry) {
		if hosts[host] != nil {
			panic("link: host twice in the table: " + host)
		}
		hosts[host] = e
	}
	for i := range list {
		svc := &list[i]
		names := strings.Fields(svc.hosts)
		own := &entry{svc: svc}
		subs := &entry{svc: svc}
		others := make(map[string]*entry)
		for _, r := range svc.routes {
			host, path, _ := strings.Cut(r.from, "/")
			c := compiled{from: compilePattern("/" + path), to: r.to, channel: r.channel, svc: svc}
			if strings.HasPrefix(c.to, "/") {
				c.to = "https://" + names[0] + c.to
			}
			if host == "" {
				own.routes = append(own.routes, c)
				continue
			}
			if others[host] == nil {
				others[host] = &entry{svc: svc, host: host}
				add(host, others[host])
			}
			others[host].routes = append(others[host].routes, c)
		}
		if len(names) == 0 {
			continue
		}
		own.host = names[0]
		subs.routes = own.routes
		for _, h := range names {
			add(h, own)
			if svc.sub {
				under[string(registrable(h))] = subs
			}
		}
	}
	return hosts, under
}

func compilePattern(s string) pattern {
	var p pattern
	s, query, _ := strings.Cut(s, "?")
	s, p.more = strings.CutSuffix(s, "/...")
	for part := range strings.SplitSeq(strings.TrimPrefix(s, "/"), "/") {
		p.segs = append(p.segs, compileSegment("", part))
	}
	if s == "" || s == "/" {
		p.segs = nil
	}
	if query != "" {
		for part := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(part, "=")
			p.query = append(p.query, compileSegment(name, value))
		}
	}
	return p
}

func compileSegment(param, s string) segment {
	prefix, rest, ok := strings.Cut(s, "{")
	g := segment{param: param, prefix: prefix}
	if !ok {
		return g
	}
	rest, ok = strings.CutSuffix(rest, "}")
	name, cl, ok2 := strings.Cut(rest, ":")
	g.name, g.class = name, classes[cl]
	if !ok || !ok2 || g.class == nil {
		panic("link: bad variable in the table: " + s)
	}
	return g
}

// values are the values of a pattern's variables. No pattern has more.
type values struct {
	name, value [4]string
	n           int
}

func (v *values) set(name, value string) {
	v.name[v.n], v.value[v.n] = name, value
	v.n++
}

func (v *values) get(name string) (string, bool) {
	for i := range v.n {
		if v.name[i] == name {
			return v.value[i], true
		}
	}
	return "", false
}

// match sets the variable's value. Text is decoded.
func (g segment) match(text string, vars *values) bool {
	if g.name == "" {
		return text == g.prefix
	}
	text, ok := strings.CutPrefix(text, g.prefix)
	if !ok {
		return false
	}
	v, ok := g.class(text)
	if ok {
		vars.set(g.name, v)
	}
	return ok
}

// match reports whether an address has the pattern's form.
func (p pattern) match(a *address, vars *values) bool {
	path := a.path
	if n := len(path); n > 0 && path[n-1] == "" { // a slash at the end
		path = path[:n-1]
	}
	if len(path) < len(p.segs) || (len(path) > len(p.segs) && !p.more) {
		return false
	}
	for i, g := range p.segs {
		text := unescape(path[i])
		if !utf8.ValidString(text) || !g.match(text, vars) {
			return false
		}
	}
	for _, g := range p.query {
		text, ok := a.get(g.param)
		if !ok || !utf8.ValidString(text) || !g.match(text, vars) {
			return false
		}
	}
	return true
}

// expand fills a template with the variables' values, each through f.
func expand(template string, vars *values, f func(string) string) string {
	var b strings.Builder
	for {
		text, rest, ok := strings.Cut(template, "{")
		b.WriteString(text)
		if !ok {
			return b.String()
		}
		name, rest, _ := strings.Cut(rest, "}")
		v, ok := vars.get(name)
		if !ok {
			panic(fmt.Sprintf("link: no variable %q for a template of the table", name))
		}
		b.WriteString(f(v))
		template = rest
	}
}

// lookup returns what is known about a host, or nil.
func lookup(host string) *entry {
	if e := hosts[host]; e != nil {
		return e
	}
	for _, p := range [...]string{"www.", "m.", "mobile."} {
		if rest, ok := strings.CutPrefix(host, p); ok {
			if e := hosts[rest]; e != nil {
				return e
			}
		}
	}
	for rest := host; ; {
		_, r, ok := strings.Cut(rest, ".")
		if !ok {
			return nil
		}
		rest = r
		if e := under[rest]; e != nil {
			return e
		}
	}
}

// settleService applies the service's routes until they change nothing: what a
// route makes of an odd spelling may be an ordinary one of another route.
func settleService(a *address) Channel {
	ch := applyService(a)
	for range 3 {
		before := a.String()
		again := applyService(a)
		if ch.IsZero() {
			ch = again
		}
		if a.String() == before {
			break
		}
	}
	return ch
}

// applyService changes an address of a known service to its canonical form and
// returns the channel that it belongs to, if it says so.
func applyService(a *address) Channel {
	if a.scheme != "https" || a.port != "" {
		return Channel{}
	}
	e := lookup(a.host)
	if e == nil {
		return Channel{}
	}
	before := *a
	if e.svc.odd != nil {
		e.svc.odd(a)
		if e = lookup(a.host); e == nil {
			return Channel{}
		}
	}
	var vars values
	for i := range e.routes {
		c := &e.routes[i]
		vars.n = 0
		if !c.from.match(a, &vars) {
			continue
		}
		var ch Channel
		if c.channel != "" {
			// What a pattern lets through may still not be a name; the
			// address is then known and the channel is not.
			ch, _ = channelOf(c.svc, expand(c.channel, &vars, func(s string) string { return s }))
		}
		if c.to != "" {
			to := expand(c.to, &vars, escape)
			if b, err := parse(to); err == nil {
				_, b.frag, _ = strings.Cut(to, "#")
				*a = b
			}
		} else {
			a.settle(e)
		}
		return ch
	}
	if len(a.path) > 0 && a.path[0] == inFragment {
		*a = before
	}
	a.settle(e)
	return Channel{}
}

// inFragment is the first segment of the path that an odd function makes of a
// fragment; such a path is never part of an address.
const inFragment = "#"

// settle is what happens to an address of a service that has no other form.
func (a *address) settle(e *entry) {
	if e.host != "" {
		a.host = e.host
	}
	if e.svc.drop != "" {
		a.drop(func(name string) bool { return containsWord(e.svc.drop, name) })
	}
}

// containsWord reports whether word is one of the words of list.
func containsWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// chars makes a class of texts of min to max characters that ok accepts; fold
// gives the text its one form and may be nil.
func chars(min, max int, ok func(rune) bool, fold func(string) string) class {
	return func(s string) (string, bool) {
		n := 0
		for _, r := range s {
			if n++; !ok(r) {
				return "", false
			}
		}
		if n < min || n > max || s == "." || s == ".." {
			return "", false // the dots would be segments of a path
		}
		if fold != nil {
			s = fold(s)
		}
		return s, s != ""
	}
}

// except makes a class without some words, which are compared in the class's
// one form.
func except(c class, words string) class {
	not := set(words)
	return func(s string) (string, bool) {
		s, ok := c(s)
		return s, ok && !not[s]
	}
}

func inASCII(more string) func(rune) bool {
	return func(r rune) bool {
		return r < utf8.RuneSelf && (isAlnum(byte(r)) || strings.ContainsRune(more, r))
	}
}

func isNumeral(r rune) bool { return r >= '0' && r <= '9' }

// visible accepts what can stand in a name of any script.
func visible(r rune) bool {
	return r != utf8.RuneError && r != ' ' && unicode.IsGraphic(r) && !unicode.IsSpace(r)
}
