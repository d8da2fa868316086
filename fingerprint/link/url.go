package link

import (
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"github.com/siaga-crp/siaga/fingerprint/paste"
)

// URL is an address in canonical form. The zero value is no address. Two are
// equal (==) exactly when they name one thing by the rules of this package.
type URL struct{ text string }

// String returns the canonical text, or "" for the zero value.
func (u URL) String() string { return u.text }

// IsZero reports whether u is the zero value.
func (u URL) IsZero() bool { return u.text == "" }

// Host returns the host: a name in lower case and punycode, an IPv4 address, an
// IPv6 address in brackets, or "" for an address without one (magnet:).
func (u URL) Host() string {
	_, rest, ok := strings.Cut(u.text, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	host, _ := cutPort(rest)
	return host
}

// Domains returns the domains that cover the address, from its host up to its
// registrable domain: what to look up among domain fingerprints. It is empty for
// an address without a host.
func (u URL) Domains() []Domain {
	host := u.Host()
	if host == "" {
		return nil
	}
	return domainsOf(host)
}

// Reading is what one address says.
type Reading struct {
	URL     URL
	Channel Channel // the account, channel or group that it belongs to, if it says so; else the zero value
}

// ParseURL reads an address in any usual spelling. It accepts one without
// https:// in front if its host has dots and ends in a known top-level domain.
// The errors are sentences that wrap ErrSyntax.
func ParseURL(text string) (URL, error) {
	r, err := Read(text)
	return r.URL, err
}

// Read is ParseURL and says the channel, too. The canonical address may no
// longer name the channel (a post is found by its number alone on some
// services), so the channel is read from text as it was entered.
func Read(text string) (Reading, error) {
	if canonical(text) {
		// A canonical address is common on the path that matches; see canonical.
		return Reading{URL: URL{text}}, nil
	}
	text, err := clean(text)
	if err != nil {
		return Reading{}, err
	}
	a, err := parse(text)
	if err != nil {
		return Reading{}, err
	}
	ch := settleService(&a)
	// A forwarding address inside a forwarding address is real (a link in a
	// mail in a chat), a long chain of them is not.
	for chain := 0; ; chain++ {
		inner, ok := forwarded(&a)
		if !ok {
			break
		}
		if chain == maxChain {
			return Reading{}, errChain
		}
		b, err := parse(inner)
		if err != nil {
			break // then the forwarding page itself is what was shared
		}
		a = b
		ch = settleService(&a)
	}
	s := a.String()
	if len(s) > MaxLength { // percent-encoding made it longer
		return Reading{}, clothe(paste.ErrLong)
	}
	return Reading{URL: URL{s}, Channel: ch}, nil
}

// canonical reports whether text is an address of the simplest kind that is in
// canonical form: https, a host without special rules, and a path of ordinary
// characters without a query or fragment. It is right when it says yes, and may
// say no to a canonical address; it saves the URL parser's work, and all
// allocation, on most addresses that were canonical already.
func canonical(text string) bool {
	rest, ok := strings.CutPrefix(text, "https://")
	if !ok || len(text) > MaxLength {
		return false
	}
	end := strings.IndexByte(rest, '/')
	if end < 0 || end > 253 {
		return false
	}
	host := rest[:end]
	label := 0 // where the label began
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if i == label || i-label > 63 {
				return false
			}
			label = i + 1
		case c == '-':
			if strings.HasPrefix(host[label:i], "xn") { // punycode must be decoded to be checked
				return false
			}
		case c != '_' && !isDigit(c) && !(c >= 'a' && c <= 'z'):
			return false
		}
	}
	if n := len(host) - label; label == 0 || n < 2 || n > 63 || !(host[label] >= 'a' && host[label] <= 'z') {
		return false // no dot, a dot at the end, or perhaps an IPv4 address
	}
	seg := end + 1 // where the segment began
	for i := seg; i <= len(rest); i++ {
		if i == len(rest) || rest[i] == '/' {
			if s := rest[seg:i]; s == "." || s == ".." {
				return false
			}
			seg = i + 1
		} else if !isUnreserved(rest[i]) {
			return false
		}
	}
	return lookup(host) == nil && !mayForward(host)
}

// maxChain is how many forwarding pages are followed.
const maxChain = 8

// clean takes away what people put around and into an address.
func clean(text string) (string, error) {
	text, err := paste.Clean(text, MaxLength)
	if err != nil {
		if err == paste.ErrLines {
			return "", syntaxError("There is more than one line. Enter one address a line")
		}
		return "", clothe(err)
	}
	for {
		n := len(text)
		for _, w := range wrappers {
			if inner, ok := strings.CutPrefix(text, w[0]); ok {
				if inner, ok := strings.CutSuffix(inner, w[1]); ok {
					text = strings.TrimSpace(inner)
				}
			}
		}
		if len(text) > 4 && strings.EqualFold(text[:4], "url:") { // RFC 3986, appendix C
			text = strings.TrimSpace(text[4:])
		}
		if len(text) == n {
			break
		}
	}
	text = refang(text)
	if strings.Contains(text, " ") {
		return "", errSpace
	}
	if text == "" {
		return "", errAddress
	}
	return text, nil
}

var wrappers = [][2]string{{"<", ">"}, {`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"‘", "’"}, {"«", "»"}, {"„", "“"}}

// clothe makes an error of package paste one of this package.
func clothe(err error) error {
	if err == paste.ErrEmpty {
		return errAddress
	}
	return syntaxError(err.Error())
}

// address is an address in parts. All parts are percent-encoded in the
// canonical way except where their names say otherwise.
type address struct {
	scheme string // without the colon
	host   string
	port   string   // "" for the scheme's own
	path   []string // segments after the first slash
	query  []param
	frag   string // only where it is meaningful
	mark   string // the whole fragment, for services that put everything there
	opaque string // all after the scheme's colon, for magnet:
}

// param is one parameter of a query.
type param struct {
	name string // decoded
	text string // name=value, or name alone
}

// value returns the parameter's decoded value.
func (p param) value() string {
	_, v, _ := strings.Cut(p.text, "=")
	return unescape(strings.ReplaceAll(v, "+", " "))
}

// get returns the decoded value of the first parameter of that name.
func (a *address) get(name string) (string, bool) {
	for _, p := range a.query {
		if p.name == name {
			return p.value(), true
		}
	}
	return "", false
}

// drop removes the parameters that name says.
func (a *address) drop(name func(string) bool) {
	kept := a.query[:0]
	for _, p := range a.query {
		if !name(p.name) {
			kept = append(kept, p)
		}
	}
	a.query = kept
}

// String returns the address as text.
func (a *address) String() string {
	var b strings.Builder
	b.WriteString(a.scheme)
	if a.opaque != "" {
		b.WriteByte(':')
		b.WriteString(a.opaque)
		return b.String()
	}
	b.WriteString("://")
	b.WriteString(a.host)
	if a.port != "" {
		b.WriteByte(':')
		b.WriteString(a.port)
	}
	b.WriteByte('/')
	b.WriteString(strings.Join(a.path, "/"))
	for i, p := range a.query {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(p.text)
	}
	if a.frag != "" {
		b.WriteByte('#')
		b.WriteString(a.frag)
	}
	return b.String()
}

// parse reads a clean address by the URL Standard and rules 1 to 6 of the
// package comment, and 9 where the scheme is a service's own.
func parse(text string) (address, error) {
	scheme, ok := schemeOf(text)
	if !ok {
		var err error
		if text, err = addScheme(text); err != nil {
			return address{}, err
		}
		scheme = "https"
	}
	switch scheme {
	case "http", "https", "ftp":
		text = withoutUser(text)
	case "magnet":
		return parseMagnet(text)
	default:
		web, ok := appScheme(scheme, text)
		if !ok {
			return address{}, errScheme
		}
		text = web
	}
	u, err := parser.Parse(text)
	if err != nil {
		if portIsWrong(text) {
			return address{}, errPort
		}
		return address{}, errHost
	}
	a := address{scheme: u.Scheme(), host: u.Hostname(), port: u.Port()}
	if a.scheme == "http" && a.port == "" {
		a.scheme = "https"
	}
	if a.host, err = checkHost(a.host); err != nil {
		return address{}, err
	}
	a.path = strings.Split(normalise(strings.TrimPrefix(u.Pathname(), "/")), "/")
	a.query = parseQuery(u.Query())
	a.drop(tracking)
	a.mark = normalise(u.Fragment())
	a.frag = meaningful(a.mark)
	return a, nil
}

// withoutUser drops user name and password, as the URL parser would read them
// and rule 2 would drop them: the parser takes time by the square of their
// length.
func withoutUser(text string) string {
	start := strings.IndexByte(text, ':') + 1
	for start < len(text) && (text[start] == '/' || text[start] == '\\') {
		start++
	}
	end := start + strings.IndexAny(text[start:], `/?#\`)
	if end < start {
		end = len(text)
	}
	at := start + strings.LastIndexByte(text[start:end], '@')
	switch {
	case at < start:
		return text
	case at+1 == end:
		return text[:start] + text[at:] // no host; the parser says so
	}
	return text[:start] + text[at+1:]
}

var parser = whatwg.NewParser()

// schemeOf returns the scheme of text in lower case, and whether it has one.
// What stands before a port (example.com:8080) is none.
func schemeOf(text string) (string, bool) {
	i := strings.IndexByte(text, ':')
	if i <= 0 || !isAlpha(text[0]) {
		return "", false
	}
	for j := range i {
		if c := text[j]; !isAlnum(c) && c != '+' && c != '-' && c != '.' {
			return "", false
		}
	}
	if rest := text[i+1:]; rest != "" && isDigit(rest[0]) {
		if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end < 0 || strings.IndexByte("/?#", rest[end]) >= 0 {
			return "", false
		}
	}
	return strings.ToLower(text[:i]), true
}

// addScheme puts https:// in front of an address that people wrote without it,
// if it can be nothing else: its host ends in a known top-level domain, or is
// an IPv4 address in four parts.
func addScheme(text string) (string, error) {
	rest := strings.TrimPrefix(text, "//")
	host := rest
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		host = rest[:i]
	}
	if strings.ContainsRune(host, '@') { // a mail address, or a user name that hides the host
		return "", errAddress
	}
	raw, _ := cutPort(host)
	name, err := hostName(raw)
	if err != nil || (!knownTLD(name) && !dottedQuad(raw)) {
		return "", errAddress
	}
	return "https://" + rest, nil
}

// hostName reads a bare host name or IP address by the URL Standard's host
// parser.
func hostName(s string) (string, error) {
	if s == "" || strings.ContainsAny(s, `/?#@\%`) {
		return "", errHost
	}
	u, err := parser.Parse("https://" + s + "/")
	if err != nil || u.Port() != "" || u.Pathname() != "/" {
		return "", errHost
	}
	return checkHost(u.Hostname())
}

// checkHost refuses host names that DNS cannot hold, and drops the last dot.
func checkHost(host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		return host, nil
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 { // RFC 1035, section 2.3.4
		return "", errHost
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return "", errHost
		}
		for i := range len(label) {
			if c := label[i]; !isAlnum(c) && c != '-' && c != '_' {
				return "", errHost
			}
		}
	}
	return host, nil
}

// cutPort separates host and port; the port is "" if there is none.
func cutPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// portIsWrong says whether the port explains why an address cannot be read.
func portIsWrong(text string) bool {
	_, rest, _ := strings.Cut(text, "//")
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		rest = rest[:i]
	}
	_, port := cutPort(rest)
	if port == "" {
		return false
	}
	n := 0
	for i := range len(port) {
		if !isDigit(port[i]) {
			return true
		}
		if n = 10*n + int(port[i]-'0'); n > 65535 {
			return true
		}
	}
	return false
}

// dottedQuad reports whether s is an IPv4 address in its usual form.
func dottedQuad(s string) bool {
	parts := 0
	for p := range strings.SplitSeq(s, ".") {
		if parts++; p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return parts == 4
}

// parseQuery splits a query (without its question mark) into its parameters.
func parseQuery(q string) []param {
	if q == "" {
		return nil
	}
	var ps []param
	for part := range strings.SplitSeq(normalise(q), "&") {
		for strings.HasPrefix(part, "amp;") { // &amp; copied from a page's source
			part = part[len("amp;"):]
		}
		if part == "" || part == "=" {
			continue
		}
		name, _, _ := strings.Cut(part, "=")
		ps = append(ps, param{name: unescape(name), text: part})
	}
	return ps
}

// meaningful returns the fragment, already normalised, if it is a route of a
// single-page service, else "".
func meaningful(frag string) string {
	frag, _, _ = strings.Cut(frag, ":~:") // text to highlight, not a place
	if strings.Trim(frag, "!/") == "" || (frag[0] != '/' && frag[0] != '!') {
		return ""
	}
	return frag
}

// normalise gives percent-encoding its one form (rule 4).
func normalise(s string) string {
	i := 0
	for i < len(s) && s[i] != '%' && !mustEscape(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, i, len(s)+8)
	copy(b, s)
	for ; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			v, ok := unhex(s, i)
			switch {
			case !ok:
				b = append(b, "%25"...)
				continue
			case isUnreserved(v):
				b = append(b, v)
			default:
				b = appendEscaped(b, v)
			}
			i += 2
			continue
		}
		if mustEscape(c) {
			b = appendEscaped(b, c)
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// unescape decodes all percent-encoding.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if v, ok := unhex(s, i); ok {
				b = append(b, v)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// escape encodes a segment of a path or the value of a parameter.
func escape(s string) string {
	i := 0
	for i < len(s) && isPlain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := append([]byte(nil), s[:i]...)
	for ; i < len(s); i++ {
		if isPlain(s[i]) {
			b = append(b, s[i])
		} else {
			b = appendEscaped(b, s[i])
		}
	}
	return string(b)
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// unhex returns the byte that the three characters at s[i] encode.
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := hexValue(s[i+1])
	lo, ok2 := hexValue(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func hexValue(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isAlnum(c byte) bool { return isDigit(c) || isAlpha(c) }

// isUnreserved is RFC 3986, section 2.3.
func isUnreserved(c byte) bool {
	return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// isPlain says what our own templates write without encoding.
func isPlain(c byte) bool { return isUnreserved(c) || strings.IndexByte("!+,:@", c) >= 0 }

// mustEscape says which bytes stand for nothing in an address and are always
// encoded, though the URL Standard leaves some of them in some places.
func mustEscape(c byte) bool {
	return c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0
}
