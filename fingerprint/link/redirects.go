package link

import "strings"

// A forwarder is a page that sends its reader on to the address in one of its
// parameters. Sharing its address is sharing the other one.
type forwarder struct{ host, path, params string }

// forwarders are the pages that big services put in front of outside links.
// Services that keep the other address on their side (t.co, bit.ly) cannot be
// read without asking them, and are not here.
var forwarders = []forwarder{
	{"l.facebook.com", "/l.php", "u"},
	{"lm.facebook.com", "/l.php", "u"},
	{"l.messenger.com", "/l.php", "u"},
	{"l.instagram.com", "/", "u"},
	{"l.threads.com", "/", "u"},
	{"l.threads.net", "/", "u"},
	{"l.wl.co", "/l", "u"},
	{"www.youtube.com", "/redirect", "q"},
	{"m.youtube.com", "/redirect", "q"},
	{"out.reddit.com", "", "url"},
	{"vk.com", "/away.php", "to"},
	{"away.vk.com", "/away.php", "to"},
	{"m.vk.com", "/away.php", "to"},
	{"vk.ru", "/away.php", "to"},
	{"t.me", "/iv", "url"},
	{"steamcommunity.com", "/linkfilter", "u url"},
	{"www.linkedin.com", "/redir/redirect", "url"},
	{"duckduckgo.com", "/l", "uddg"},
	{"slack-redir.net", "/link", "url"},
	{"exit.sc", "/", "url"},
	{"www.tiktok.com", "/link/v2", "target"},
	{"www.tiktok.com", "/redirect", "u url"},
	{"*.safelinks.protection.outlook.com", "", "url"},
	{"*.translate.goog", "", ""}, // see translated
}

// mayForward reports whether a host has forwarding pages.
func mayForward(host string) bool {
	if forwarderHosts[host] || strings.HasPrefix(host, "www.google.") || strings.HasSuffix(host, ".cdn.ampproject.org") {
		return true
	}
	for _, f := range forwarders {
		if f.host[0] == '*' && strings.HasSuffix(host, f.host[1:]) {
			return true
		}
	}
	return false
}

// forwarderHosts are the hosts of forwarders.
var forwarderHosts = func() map[string]bool {
	m := make(map[string]bool)
	for _, f := range forwarders {
		m[f.host] = true
	}
	return m
}()

// forwarded returns the address that a forwarding page leads to.
func forwarded(a *address) (string, bool) {
	if !mayForward(a.host) {
		return "", false
	}
	path := strings.TrimSuffix("/"+strings.Join(a.path, "/"), "/")
	if u, ok := ofGoogle(a, path); ok {
		return u, true
	}
	for _, f := range forwarders {
		if !hostIs(a.host, f.host) || (f.path != "" && path != strings.TrimSuffix(f.path, "/")) {
			continue
		}
		if f.params == "" {
			return translated(a)
		}
		for name := range strings.FieldsSeq(f.params) {
			if u, ok := a.get(name); ok && isWeb(u) {
				return u, true
			}
		}
	}
	return "", false
}

// ofGoogle reads Google's pages, which stand under the domains of many
// countries: /url?q=, and pages that were copied for phones (AMP).
func ofGoogle(a *address, path string) (string, bool) {
	if domain, ok := strings.CutPrefix(a.host, "www.google."); ok && len(domain) <= len("com.xx") {
		if path == "/url" {
			for _, name := range [...]string{"q", "url"} {
				if u, ok := a.get(name); ok && isWeb(u) {
					return u, true
				}
			}
		}
		if page, ok := strings.CutPrefix(path, "/amp/s/"); ok {
			return "https://" + page + a.queryString(), true
		}
	}
	if strings.HasSuffix(a.host, ".cdn.ampproject.org") {
		for _, p := range [...]string{"/c/s/", "/v/s/", "/i/s/"} {
			if page, ok := strings.CutPrefix(path, p); ok {
				return "https://" + page + a.queryString(), true
			}
		}
	}
	return "", false
}

// translated reads the host of a page under Google Translate, where a dot is
// written - and a hyphen --.
func translated(a *address) (string, bool) {
	label, ok := strings.CutSuffix(a.host, ".translate.goog")
	if !ok || strings.Contains(label, ".") {
		return "", false
	}
	host := strings.NewReplacer("--", "-", "-", ".").Replace(label)
	a.drop(func(name string) bool { return strings.HasPrefix(name, "_x_tr_") })
	u := "https://" + host + "/" + strings.Join(a.path, "/") + a.queryString()
	if !knownTLD(host) {
		return "", false
	}
	return u, true
}

// queryString returns the query with its question mark, or "".
func (a *address) queryString() string {
	var b strings.Builder
	for i, p := range a.query {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(p.text)
	}
	return b.String()
}

// hostIs reports whether host is name or, if name is *.domain, under domain.
func hostIs(host, name string) bool {
	if domain, ok := strings.CutPrefix(name, "*"); ok {
		return strings.HasSuffix(host, domain)
	}
	return host == name
}

// isWeb reports whether a parameter holds a whole web address.
func isWeb(s string) bool {
	scheme, ok := schemeOf(s)
	return ok && (scheme == "http" || scheme == "https") && strings.Contains(s, "//")
}
