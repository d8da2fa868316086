package link

import "strings"

// oddTelegram reads a name in the host (name.t.me) and Telegram's pages for
// browsers, whose route is in the fragment.
func oddTelegram(a *address) {
	if name, ok := strings.CutSuffix(a.host, ".t.me"); ok {
		if _, ok := classes["tg"](name); ok {
			a.host = "t.me"
			a.path = append([]string{name}, a.path...)
		}
		return
	}
	if a.host == "web.telegram.org" {
		mark := strings.TrimPrefix(unescape(a.mark), "/")
		if name, ok := strings.CutPrefix(mark, "@"); ok {
			*a = address{scheme: "https", host: "t.me", path: []string{escape(name)}}
		} else if tg, ok := strings.CutPrefix(mark, "?tgaddr="); ok {
			if web, ok := appScheme("tg", unescape(tg)); ok {
				if b, err := parse(web); err == nil {
					*a = b
				}
			}
		}
	}
}

// oddMega turns the old addresses of MEGA, which are all fragment, into the new
// ones, and drops the key: the file is the same under any, and a fingerprint
// need not open it.
func oddMega(a *address) {
	kind, id, ok := strings.Cut(unescape(a.mark), "!")
	id, _, _ = strings.Cut(id, "!")
	_, isID := classes["id"](id)
	switch {
	case ok && isID && kind == "": // #!ID!KEY
		a.path = []string{"file", id}
	case ok && isID && kind == "F": // #F!ID!KEY
		a.path = []string{"folder", id}
	case len(a.path) >= 2 && a.path[0] == "folder": // /folder/ID#KEY/file/ID
		if _, sub, ok := strings.Cut(a.mark, "/"); ok {
			a.path = append(a.path[:2:2], strings.Split(sub, "/")...)
		}
	}
	a.frag = ""
}

// oddFragment makes the fragment the path.
func oddFragment(a *address) {
	mark := strings.TrimPrefix(a.mark, "/")
	if mark == "" {
		return
	}
	mark, _, _ = strings.Cut(mark, "?")
	a.path = append([]string{inFragment}, strings.Split(mark, "/")...)
}
