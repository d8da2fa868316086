package link

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/siaga-crp/siaga/fingerprint/paste"
)

// Channel is an account, channel, group or page of a service, in canonical form.
// The zero value is none. Two are equal (==) exactly when the service treats
// them as one, as far as names tell.
type Channel struct{ service, name string }

// String returns service:name, or "" for the zero value.
func (c Channel) String() string {
	if c.service == "" {
		return ""
	}
	return c.service + ":" + c.name
}

// Service returns the ID of the service, one of Services, or the host of a
// service that this package does not know.
func (c Channel) Service() string { return c.service }

// Name returns the name on the service, in canonical form.
func (c Channel) Name() string { return c.name }

// IsZero reports whether c is the zero value.
func (c Channel) IsZero() bool { return c.service == "" }

// Service is one of the services whose channel names this package knows.
type Service struct {
	ID   string // in the text form of a channel
	Name string // for people
}

// Services lists the services whose channel names this package knows, in the
// order of the table, which has the most used ones first.
func Services() []Service {
	var list []Service
	for _, s := range services {
		if len(s.names) > 0 {
			list = append(list, Service{ID: s.id, Name: s.name})
		}
	}
	return list
}

// maxName is the length of the longest name of a channel in bytes.
const maxName = 256

const (
	errChannel     = syntaxError("Enter the channel as service:name, for instance telegram:name, or its address as the browser shows it")
	errWhich       = syntaxError("Say which service the account is on, for instance telegram:name, x:name or youtube:@name")
	errNoChannel   = syntaxError("This address does not say which channel or account it belongs to. Enter the channel as service:name, for instance telegram:name")
	errChannelName = syntaxError("This service has no names like that. Check the spelling, or enter the channel's address as the browser shows it")
	errService     = syntaxError("This service is not known. Enter its host name instead, for instance social.example.org:name")
)

// ParseChannel reads a channel from service:name, from a service and a handle
// (telegram @name), from a fediverse handle (@name@host) or from an address of
// the channel or of something in it. A service that is not known is named by its
// host: social.example.org:name; its names are compared as they are. The errors
// are sentences that wrap ErrSyntax.
func ParseChannel(text string) (Channel, error) {
	text, err := paste.Clean(text, MaxLength)
	if err != nil {
		if err == paste.ErrEmpty {
			return Channel{}, errChannel
		}
		return Channel{}, syntaxError(err.Error())
	}
	text = refang(text)
	if svc, name, ok := cutService(text); ok {
		return channelOf(svc, name)
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		if strings.Contains(name, "@") {
			return channelOf(serviceByID["fediverse"], name)
		}
		return Channel{}, errWhich
	}
	if host, name, ok := strings.Cut(text, ":"); ok && strings.Contains(host, ".") && !strings.HasPrefix(name, "//") && (name == "" || strings.Trim(firstSegment(name), "0123456789") != "") {
		return channelAt(host, name)
	}
	if _, ok := schemeOf(text); !ok && !strings.Contains(text, ".") {
		if strings.Contains(text, ":") {
			return Channel{}, errService
		}
		return Channel{}, errWhich
	}
	r, err := Read(text)
	switch {
	case err != nil:
		if s, _ := schemeOf(text); s != "" && !strings.Contains(text, "//") {
			return Channel{}, errService
		}
		return Channel{}, err
	case r.Channel.IsZero():
		return Channel{}, errNoChannel
	}
	return r.Channel, nil
}

// ParseChannelOn reads the name of a channel on a service, which is one of
// Services or a host. The errors are sentences that wrap ErrSyntax.
func ParseChannelOn(service, name string) (Channel, error) {
	service, err := paste.Clean(service, MaxLength)
	if err != nil {
		return Channel{}, errService
	}
	name, err = paste.Clean(name, MaxLength)
	if err != nil {
		if err == paste.ErrEmpty {
			return Channel{}, errChannel
		}
		return Channel{}, syntaxError(err.Error())
	}
	if svc := serviceByID[squash(service)]; svc != nil {
		return channelOf(svc, name)
	}
	if strings.Contains(service, ".") {
		return channelAt(service, name)
	}
	return Channel{}, errService
}

// cutService separates a known service's ID or name from the channel's name.
func cutService(text string) (*service, string, bool) {
	i := strings.IndexAny(text, ":/@")
	if i <= 0 || strings.HasPrefix(text[i:], "://") {
		return nil, "", false
	}
	svc := serviceByID[squash(text[:i])]
	if svc == nil {
		return nil, "", false
	}
	name := text[i:]
	if name[0] != '@' {
		name = name[1:]
	}
	return svc, strings.TrimLeft(name, " "), true
}

// squash makes "Truth Social" and "truthsocial" one.
func squash(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

// serviceByID finds a service by its ID or its name.
var serviceByID = func() map[string]*service {
	m := make(map[string]*service)
	for i := range services {
		if s := &services[i]; len(s.names) > 0 {
			m[s.id] = s
			m[squash(s.name)] = s
		}
	}
	m["twitter"] = m["x"]
	m["mastodon"] = m["fediverse"]
	m["ig"] = m["instagram"]
	m["fb"] = m["facebook"]
	return m
}()

// channelOf reads a name on a known service.
func channelOf(svc *service, text string) (Channel, error) {
	if len(text) > maxName {
		return Channel{}, errChannelName
	}
	text = norm.NFC.String(text)
	if name, ok := svc.name1(text); ok {
		return Channel{svc.id, name}, nil
	}
	// People write the @ where the service has none, and leave it out where it
	// has one.
	if rest, ok := strings.CutPrefix(text, "@"); ok {
		text = rest
	} else {
		text = "@" + text
	}
	if name, ok := svc.name1(text); ok {
		return Channel{svc.id, name}, nil
	}
	return Channel{}, errChannelName
}

// name1 returns the one form of a name, by the first of the service's forms that
// fits.
func (s *service) name1(text string) (string, bool) {
	for _, f := range nameForms[s.id] {
		var vars values
		if f.from.match(text, &vars) {
			return expand(f.to, &vars, func(s string) string { return s }), true
		}
	}
	return "", false
}

// nameForms holds each service's compiled names.
var nameForms = func() map[string][]nameForm {
	m := make(map[string][]nameForm)
	for _, s := range services {
		for _, n := range s.names {
			from, to, ok := strings.Cut(n, " ")
			f := nameForm{from: compileSegment("", from), to: to}
			if !ok {
				f.to = f.from.prefix + "{" + f.from.name + "}"
			}
			m[s.id] = append(m[s.id], f)
		}
	}
	return m
}()

// nameForm is a compiled form of a name.
type nameForm struct {
	from segment
	to   string
}

// channelAt reads a name on a service that is named by its host.
func channelAt(host, text string) (Channel, error) {
	host, err := hostName(host)
	if err != nil || !knownTLD(host) {
		return Channel{}, errService
	}
	if e := lookup(host); e != nil && len(e.svc.names) > 0 {
		return channelOf(e.svc, text)
	}
	text = strings.TrimPrefix(norm.NFC.String(text), "@")
	name, ok := otherName(text)
	if !ok {
		return Channel{}, errChannelName
	}
	return Channel{string(withoutWWW(host)), name}, nil
}

// otherName is the class of names on services that are not known.
var otherName = chars(1, maxName, visible, nil)

func firstSegment(s string) string {
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		return s[:i]
	}
	return s
}
