package link

import (
	"encoding/base32"
	"encoding/hex"
	"net/url"
	"strings"
)

// appScheme returns the web address of what an app's own scheme names.
func appScheme(scheme, text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return "", false
	}
	what := u.Host + u.Path // tg://resolve?… and tg:resolve?… are the same
	if u.Opaque != "" {
		what = u.Opaque
	}
	what = strings.Trim(strings.ToLower(what), "/")
	q := u.Query()
	seg := func(name string) string { return url.PathEscape(q.Get(name)) }
	switch scheme {
	case "tg":
		switch {
		case what == "resolve" && q.Has("domain") && q.Has("post"):
			web := "https://t.me/" + seg("domain") + "/" + seg("post")
			if q.Has("comment") {
				web += "?comment=" + url.QueryEscape(q.Get("comment"))
			}
			return web, true
		case what == "resolve" && q.Has("domain"):
			return "https://t.me/" + seg("domain"), true
		case what == "resolve" && q.Has("phone"):
			return "https://t.me/+" + seg("phone"), true
		case what == "join" && q.Has("invite"):
			return "https://t.me/+" + seg("invite"), true
		case what == "privatepost" && q.Has("channel") && q.Has("post"):
			return "https://t.me/c/" + seg("channel") + "/" + seg("post"), true
		case what == "addstickers" && q.Has("set"):
			return "https://t.me/addstickers/" + seg("set"), true
		}
	case "whatsapp":
		switch {
		case what == "send" && q.Has("phone"):
			return "https://wa.me/" + seg("phone"), true
		case what == "chat" && q.Has("code"):
			return "https://chat.whatsapp.com/" + seg("code"), true
		}
	case "matrix":
		kind, id, _ := strings.Cut(strings.TrimPrefix(u.Opaque+u.Host+u.Path, "//"), "/")
		if sigil, ok := matrixSigils[kind]; ok {
			return "https://matrix.to/#/" + sigil + id, true
		}
	}
	return "", false
}

// parseMagnet reads a magnet link and keeps the torrent's hash: version 1
// (BEP 9, 40 hex digits or 32 of base 32) before version 2 (BEP 52, a SHA-256
// multihash), as version 1 is what most copies of a link carry.
func parseMagnet(text string) (address, error) {
	_, q, ok := strings.Cut(text, "?")
	if !ok {
		return address{}, errMagnet
	}
	q, _, _ = strings.Cut(q, "#")
	var v1, v2 string
	for _, p := range parseQuery(q) {
		if p.name != "xt" && !strings.HasPrefix(p.name, "xt.") {
			continue
		}
		value := strings.ToLower(p.value())
		if h, ok := strings.CutPrefix(value, "urn:btih:"); ok && v1 == "" {
			switch len(h) {
			case 40:
				if isHex(h) {
					v1 = h
				}
			case 32:
				if b, err := base32.StdEncoding.DecodeString(strings.ToUpper(h)); err == nil {
					v1 = hex.EncodeToString(b)
				}
			}
		}
		if h, ok := strings.CutPrefix(value, "urn:btmh:"); ok && v2 == "" && len(h) == 68 && strings.HasPrefix(h, "1220") && isHex(h) {
			v2 = h
		}
	}
	switch {
	case v1 != "":
		return address{scheme: "magnet", opaque: "?xt=urn:btih:" + v1}, nil
	case v2 != "":
		return address{scheme: "magnet", opaque: "?xt=urn:btmh:" + v2}, nil
	}
	return address{}, errMagnet
}

func isHex(s string) bool {
	for i := range len(s) {
		if _, ok := hexValue(s[i]); !ok {
			return false
		}
	}
	return s != ""
}
