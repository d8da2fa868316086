package link

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// lower is the fold of names in which case does not count.
func lower(s string) string { return norm.NFC.String(strings.ToLower(s)) }

// classes are the classes of variables in services.go. A comment names where the
// rule is from; the rest is what the services' own pages accept.
var classes = map[string]class{
	"num":   chars(1, 20, isNumeral, nil),
	"id":    chars(1, 128, inASCII("_-"), nil),
	"idl":   chars(1, 128, inASCII("_-"), lower),
	"file":  chars(1, 255, func(r rune) bool { return r == ' ' || visible(r) }, nil),
	"any":   chars(1, 255, visible, nil),
	"name":  chars(1, 100, inASCII("_.-"), lower), // a name of no more special rule
	"named": chars(1, 100, visible, lower),        // the same in any script

	// core.telegram.org/method/account.updateUsername: 5 to 32 of a-z, 0-9 and
	// underscores, case-insensitive; 4 where bought. The words are those of
	// core.telegram.org/api/links that stand where a name does.
	"tg": except(startsWith(isAlpha, chars(4, 32, inASCII("_"), lower)),
		`addemoji addlist addstickers addstyle addtheme auction auth boost call confirmphone
		 contact giftcode invoice joinchat login proxy setlanguage share socks iv stickers`),
	"tginvite": chars(12, 64, inASCII("_-"), nil),
	"tgchat":   prefixed("-100", chars(5, 20, isNumeral, nil)),

	// support.google.com/youtube/answer/11585688: a handle has 3 to 30 letters
	// of any script, digits, and _ - . ·; case does not count.
	"ytvideo": chars(11, 11, inASCII("_-"), nil),
	"ytid":    startsWithText("UC", chars(24, 24, inASCII("_-"), nil)),
	"ythandle": chars(3, 30, func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.·", r)
	}, lower),
	"ytplaylist": chars(12, 64, inASCII("_-"), nil),

	// help.x.com/en/managing-your-account/x-username-rules: 4 to 15 letters,
	// digits and underscores; older names are shorter.
	"x": except(chars(1, 15, inASCII("_"), lower),
		`i home search explore hashtag settings intent share messages notifications login logout signup
		 tos privacy jobs compose about account download help who_to_follow personalization oauth widgets`),

	// facebook.com/help/105399436216001: letters, digits and periods, at least
	// five; periods and capitals do not count.
	"fb": except(chars(1, 64, inASCII(".-"), func(s string) string { return strings.ReplaceAll(lower(s), ".", "") }),
		`watch reel reels groups events pages people profilephp photophp photo photos videos videophp story
		 storyphp stories permalinkphp share sharer sharerphp dialog plugins help login loginphp marketplace
		 gaming hashtag search public media ads business messages notes policies privacy settings home homephp
		 lphp live legal careers about terms games fundraisers donate lite commerce p video`),

	// help.instagram.com/583107688369069 and the signup form: 1 to 30 letters,
	// digits, periods and underscores; always lower case.
	"ig": except(chars(1, 30, inASCII("_."), lower),
		`p reel reels tv stories explore accounts direct about legal developer web channel share s emails
		 challenge press api graphql data oauth privacy terms directory`),
	"threads": chars(1, 30, inASCII("_."), lower),

	// The signup form: 2 to 24 letters, digits, underscores and periods.
	"tiktok": chars(1, 24, inASCII("_."), lower),

	"discord":   chars(2, 32, inASCII("_."), lower), // support.discord.com, new usernames
	"snowflake": chars(15, 20, isNumeral, nil),      // discord.com/developers/docs/reference

	"whatsapp": chars(16, 40, inASCII("_-"), nil), // codes of channels and groups
	"phone":    phone,

	// reddithelp.com: communities 3 to 21, users 3 to 20 letters, digits,
	// underscores; users also hyphens.
	"sub":      chars(2, 24, inASCII("_"), lower),
	"redditor": chars(3, 24, inASCII("_-"), lower),
	"base36":   chars(1, 13, inASCII(""), lower),

	"twitch": except(chars(3, 25, inASCII("_"), lower), `videos directory downloads jobs turbo settings search store prime wallet friends inventory subscriptions drops`),
	"twitchvideo": func(s string) (string, bool) {
		return chars(1, 20, isNumeral, nil)(strings.TrimPrefix(s, "v"))
	},
	"kick":   except(chars(3, 32, inASCII("_-"), lower), `video browse following categories category search privacy-policy terms-of-service dashboard`),
	"uuid":   chars(36, 36, inASCII("-"), lower),
	"rumble": rumbleVideo,
	"bsky":   bskyActor,
	"vk": except(chars(3, 64, inASCII("_."), lower),
		`video videos feed wall photo photos album albums audio audios music clips market docs apps login groups friends im search away.php share.php widget_community.php video_ext.php artist about terms`),
	"vkvideo": vkID("video", "clip"),
	"vkwall":  vkID("wall"),
	"vkphoto": vkID("photo"),
	"acct":    fediverseAccount,
	"mxid":    matrixID,
	"line":    prefixed("~", chars(1, 32, inASCII("_.-"), lower)),
	"steam64": startsWithText("7656119", chars(17, 17, isNumeral, nil)),
	"imgur": func(s string) (string, bool) { // a page, or the picture itself
		s, _, _ = strings.Cut(s, ".")
		return chars(5, 7, inASCII(""), nil)(s)
	},
	"vimeo": except(chars(1, 64, inASCII("_-"), lower), `channels groups ondemand categories watch video videos search upgrade log_in join features blog help site_map album showcase event manage settings stock solutions`),
	"dm":    except(chars(1, 64, inASCII("_.-"), lower), `video embed playlist search signin library explore legal about feed partner`),
	"pin":   except(chars(3, 30, inASCII("_"), lower), `pin ideas search today explore settings business categories topics`),
	"ok":    except(chars(1, 64, inASCII("_.-"), lower), `video videoembed live group profile music games feed dk help search gifts market`),
	"gab":   except(chars(1, 30, inASCII("_"), lower), `about groups auth login home explore search news trends marketplace settings tv voice api`),
	"gdocid": func(s string) (string, bool) { // /d/e/ is a published copy, with another number
		return s, len(s) > 1 && chars2(s, "_-")
	},
	"slug":     chars(1, 255, inASCII("_-.~%"), nil),
	"spotlang": startsWithText("intl-", chars(7, 12, inASCII("-"), nil)),
	"spot":     oneOf("track album artist playlist episode show user"),
	"gtype":    oneOf("document spreadsheets presentation forms drawings"),
	"fbgroup":  chars(1, 64, inASCII("._-"), func(s string) string { return strings.ReplaceAll(lower(s), ".", "") }),
	"igcode":   except(chars(5, 64, inASCII("_-"), nil), `audio`),
	"tiktokv": func(s string) (string, bool) {
		return chars(1, 20, isNumeral, nil)(strings.TrimSuffix(s, ".html"))
	},
	"discordserver": func(s string) (string, bool) { // name-number
		return chars(15, 20, isNumeral, nil)(s[strings.LastIndexByte(s, '-')+1:])
	},
	"ytattribution": func(s string) (string, bool) { // the value is /watch?v=ID&…
		_, id, ok := strings.Cut(s, "v=")
		id, _, _ = strings.Cut(id, "&")
		return id, ok && len(id) == 11 && chars2(id, "_-")
	},
}

// startsWith makes a class whose texts begin with a byte that ok accepts.
func startsWith(ok func(byte) bool, c class) class {
	return func(s string) (string, bool) {
		if s == "" || !ok(s[0]) {
			return "", false
		}
		return c(s)
	}
}

// startsWithText makes a class whose texts begin with a text.
func startsWithText(prefix string, c class) class {
	return func(s string) (string, bool) {
		if !strings.HasPrefix(s, prefix) {
			return "", false
		}
		return c(s)
	}
}

// prefixed makes a class whose texts may have a prefix that is not part of
// their one form.
func prefixed(prefix string, c class) class {
	return func(s string) (string, bool) { return c(strings.TrimPrefix(s, prefix)) }
}

// oneOf makes a class of some words.
func oneOf(words string) class {
	is := set(words)
	return func(s string) (string, bool) { return s, is[s] }
}

// phone is a telephone number with its country code, as services write it in
// addresses: 7 to 15 digits (E.164), perhaps with a plus sign.
func phone(s string) (string, bool) {
	s = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "").Replace(s)
	s = strings.TrimPrefix(s, "+")
	return chars(7, 15, isNumeral, nil)(s)
}

// rumbleVideo is a video's page: an ID that begins with v, perhaps a title, and
// .html.
func rumbleVideo(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".html")
	s, _, _ = strings.Cut(s, "-")
	if len(s) < 5 || s[0] != 'v' {
		return "", false
	}
	return chars(5, 12, inASCII(""), lower)(s)
}

// bskyActor is a handle, which is a domain name, or a DID (atproto.com/specs).
func bskyActor(s string) (string, bool) {
	if strings.HasPrefix(s, "did:") {
		return s, chars2(s, ":._-%") && len(s) <= 256
	}
	s = strings.ToLower(s)
	host, err := hostName(s)
	return s, err == nil && host == s && strings.Contains(s, ".") && !isIP(s)
}

// chars2 reports whether s is letters and digits of ASCII and some others.
func chars2(s, more string) bool {
	ok := inASCII(more)
	for _, r := range s {
		if !ok(r) {
			return false
		}
	}
	return s != ""
}

// vkID is the number of a post or a video: type, owner (a group's is negative),
// an underscore, number. The access key that may follow is dropped.
func vkID(kinds ...string) class {
	return func(s string) (string, bool) {
		s, _, _ = strings.Cut(s, "/")
		for _, k := range kinds {
			rest, ok := strings.CutPrefix(s, k)
			if !ok {
				continue
			}
			owner, n, ok := strings.Cut(rest, "_")
			n, _, _ = strings.Cut(n, "_")
			if ok && chars2(strings.TrimPrefix(owner, "-"), "") && chars2(n, "") &&
				strings.Trim(strings.TrimPrefix(owner, "-")+n, "0123456789") == "" {
				return owner + "_" + n, true
			}
		}
		return "", false
	}
}

// fediverseAccount is user@host (docs.joinmastodon.org/spec/webfinger).
func fediverseAccount(s string) (string, bool) {
	user, host, ok := strings.Cut(strings.TrimPrefix(s, "@"), "@")
	if !ok || !chars2(user, "_.-") || len(user) > 64 {
		return "", false
	}
	host, err := hostName(host)
	if err != nil || !knownTLD(host) {
		return "", false
	}
	return strings.ToLower(user) + "@" + host, true
}

// matrixSigils are the types of a matrix: URI (Matrix specification, appendix
// "URIs").
var matrixSigils = map[string]string{"u": "@", "r": "#", "roomid": "!"}

// matrixID is @user:host, #room:host or !room:host (Matrix specification,
// appendix "Identifier grammar"). Room IDs of room version 12 have no host. The
// local part keeps its case, the host does not.
func matrixID(s string) (string, bool) {
	for kind, sigil := range matrixSigils {
		if rest, ok := strings.CutPrefix(s, kind+"/"); ok { // as in a matrix: URI
			s = sigil + rest
		}
	}
	if s == "" || strings.IndexByte("@#!", s[0]) < 0 || len(s) > 255 || strings.ContainsAny(s, "/? ") {
		return "", false
	}
	local, host, ok := strings.Cut(s, ":")
	if len(local) < 2 {
		return "", false
	}
	if !ok {
		return s, s[0] == '!' && chars2(local[1:], "_-")
	}
	name, port := cutPort(host)
	name, err := hostName(name)
	if err != nil {
		return "", false
	}
	if port != "" {
		if strings.Trim(port, "0123456789") != "" || len(port) > 5 {
			return "", false
		}
		name += ":" + port
	}
	if s[0] == '@' {
		local = strings.ToLower(local)
	}
	return local + ":" + name, true
}
