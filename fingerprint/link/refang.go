package link

import "strings"

// refang undoes what people do to an address so that it cannot be followed by
// accident: hxxp and h**p for http; [.] (.) {.} [dot] (dot) and \. for the dots
// of the host; [:] [://] and [/] for what stands between. In the path, dots are
// only restored if the host was disguised, too, as [.] may be meant there.
func refang(s string) string {
	if !strings.ContainsAny(s, "[({\\*_ ") && strings.IndexByte(s[:min(len(s), 4)], 'x') < 0 && strings.IndexByte(s[:min(len(s), 4)], 'X') < 0 {
		return s
	}
	before := s
	s = strings.ReplaceAll(s, "[/]", "/")
	scheme, rest := splitScheme(s)
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host := dots.Replace(rest[:end])
	tail := rest[end:]
	if before != scheme+host+tail {
		tail = pathDots.Replace(tail)
	}
	return scheme + host + tail
}

// Old and new, in the order in which they are tried at each place.
var (
	dots = strings.NewReplacer(
		"[.]", ".", "(.)", ".", "{.}", ".",
		"[dot]", ".", "(dot)", ".", "{dot}", ".",
		"[DOT]", ".", "(DOT)", ".", "{DOT}", ".",
		"[:]", ":", "(:)", ":",
		"[.", ".", ".]", ".",
		`\.`, ".",
	)
	pathDots = strings.NewReplacer("[.]", ".", "[dot]", ".", "[DOT]", ".", "[:]", ":")
)

// splitScheme returns the scheme with "://" and what follows, both undisguised;
// the scheme is "" if s has none that this package would read.
func splitScheme(s string) (scheme, rest string) {
	i := 0
	for i < len(s) && (isAlpha(s[i]) || s[i] == '*' || s[i] == '_') {
		i++
	}
	switch word := strings.ToLower(s[:i]); word {
	case "http", "hxxp", "hxtp", "htxp", "h**p", "h__p":
		scheme = "http"
	case "https", "hxxps", "hxtps", "htxps", "h**ps", "h__ps":
		scheme = "https"
	case "ftp", "fxp", "f**p":
		scheme = "ftp"
	default:
		return "", s
	}
	// The colon and slashes, each perhaps in brackets: [:]// [://] [:/]/ :[//]
	open, colon, slashes := 0, false, 0
	for ; i < len(s) && slashes < 2; i++ {
		switch c := s[i]; {
		case (c == '[' || c == '(' || c == '{') && i+1 < len(s) && (s[i+1] == ':' || s[i+1] == '/' || s[i+1] == '\\'):
			open++
		case (c == ']' || c == ')' || c == '}') && open > 0:
			open--
		case c == ':' && !colon && slashes == 0:
			colon = true
		case (c == '/' || c == '\\') && colon:
			slashes++
		case c == ' ' && colon:
		default:
			return "", s
		}
	}
	for i < len(s) && (open > 0 && (s[i] == ']' || s[i] == ')' || s[i] == '}') || s[i] == ' ') {
		if s[i] != ' ' {
			open--
		}
		i++
	}
	if slashes < 2 || open > 0 {
		return "", s
	}
	return scheme + "://", s[i:]
}
