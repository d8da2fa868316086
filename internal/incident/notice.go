package incident

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Notice is what somebody who saw something first can say of it. Unknown is
// an answer to everything but Description and Exercise.
type Notice struct {
	Title        string    `json:"title,omitempty"` // made from Description if empty
	Description  string    `json:"description"`
	Where        string    `json:"where,omitempty"`
	Country      string    `json:"country,omitempty"` // ISO 3166-1 alpha-2; empty: not known
	SeenAt       time.Time `json:"seen_at,omitzero"`  // zero: now
	URLs         []string  `json:"urls,omitempty"`    // addresses or names of channels
	Live         Truth     `json:"live,omitempty"`
	MoreExpected Truth     `json:"more_expected,omitempty"`
	Exercise     *bool     `json:"exercise,omitempty"` // must be chosen; nil is a mistake
	TLP          string    `json:"tlp,omitempty"`      // empty: amber
	Partners     []string  `json:"partners,omitempty"` // the readers, for amber+strict and red
}

// Truth is yes, no or unknown. Decoded from JSON, true and false mean yes and
// no.
type Truth protocol.Truth

// UnmarshalJSON implements json.Unmarshaler.
func (t *Truth) UnmarshalJSON(b []byte) error {
	switch s := strings.Trim(string(b), `"`); s {
	case "true":
		*t = Truth(protocol.Yes)
	case "false":
		*t = Truth(protocol.No)
	case "null":
	default:
		*t = Truth(s)
	}
	return nil
}

type notified struct {
	ID           string                 `json:"id"`
	Title        string                 `json:"title"`
	Description  string                 `json:"description"`
	Where        string                 `json:"where,omitempty"`
	Country      string                 `json:"country,omitempty"`
	SeenAt       time.Time              `json:"seen_at"`
	URLs         []string               `json:"urls"`
	Live         protocol.Truth         `json:"live"`
	MoreExpected protocol.Truth         `json:"more_expected"`
	Called       []string               `json:"called"`
	Event        protocol.IncidentEvent `json:"event"`
}

// Limits of what people write.
const (
	MaxTitle = 160
	MaxText  = 8000
	maxURLs  = 50
)

func line(s string) string { return strings.Join(strings.Fields(strip(s)), " ") }

// strip removes control and bidirectional characters, but not line feeds.
func strip(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if (r < 0x20 && r != '\n') || r == 0x7f || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) || r == 0xfeff {
			return -1
		}
		return r
	}, s))
}

func (s *Service) checkNotice(n Notice, now time.Time) (notified, access.TLP, error) {
	var f problem.InvalidFields
	out := notified{
		Title: line(n.Title), Description: strip(n.Description), Where: line(n.Where),
		Country: strings.ToUpper(strings.TrimSpace(n.Country)), SeenAt: n.SeenAt.UTC().Truncate(time.Millisecond), URLs: []string{},
		Live: protocol.Truth(cmp.Or(n.Live, Truth(protocol.Unknown))), MoreExpected: protocol.Truth(cmp.Or(n.MoreExpected, Truth(protocol.Unknown))),
	}
	if n.Exercise == nil {
		f.Add("exercise", "choose whether this is real or an exercise")
	}
	if out.Description == "" && out.Title == "" {
		f.Add("description", "enter what is happening, in one or two sentences")
	}
	if len([]rune(out.Description)) > MaxText {
		f.Add("description", "the text has %d characters, the limit is %d", len([]rune(out.Description)), MaxText)
	}
	if out.Title == "" {
		out.Title = firstSentence(out.Description)
	}
	if len([]rune(out.Title)) > MaxTitle {
		f.Add("title", "the title has %d characters, the limit is %d", len([]rune(out.Title)), MaxTitle)
	}
	if len([]rune(out.Where)) > 200 {
		f.Add("where", "enter the place in up to 200 characters")
	}
	if out.Country != "" && (len(out.Country) != 2 || strings.Trim(out.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		f.Add("country", "enter the country's two letters, for example ID, or leave it empty if it is not known")
	}
	if !n.SeenAt.IsZero() && n.SeenAt.Year() < 2000 {
		f.Add("seen_at", `"seen at" must not be before the year 2000`)
	}
	if n.SeenAt.IsZero() {
		out.SeenAt = now.UTC().Truncate(time.Millisecond)
	}
	if out.SeenAt.After(now.Add(2 * time.Minute)) { // clocks differ a little
		f.Add("seen_at", `"seen at" must be in the past. It is now %s UTC`, now.UTC().Format("15:04"))
	}
	for _, u := range n.URLs {
		u = line(u)
		if u == "" {
			continue
		}
		u, err := address(u)
		if err != nil {
			f.Add("urls", "%s", err.Error())
			continue
		}
		if !slices.Contains(out.URLs, u) {
			out.URLs = append(out.URLs, u)
		}
	}
	if len(out.URLs) > maxURLs {
		f.Add("urls", "enter up to %d addresses; add the others to the incident later", maxURLs)
	}
	for name, t := range map[string]protocol.Truth{"live": out.Live, "more_expected": out.MoreExpected} {
		if t != protocol.Yes && t != protocol.No && t != protocol.Unknown {
			f.Add(name, "answer yes, no or unknown; %q is none of them", t)
		}
	}
	tlp, err := access.ParseTLP(cmp.Or(n.TLP, string(access.Amber)))
	if err != nil {
		f.Add("tlp", "use clear, green, amber, amber+strict or red; %q is none of them", n.TLP)
	}
	return out, tlp, f.Err()
}

// address accepts what people paste: an address with a scheme, also defanged,
// or the name of a channel.
func address(s string) (string, error) {
	r := strings.NewReplacer("[.]", ".", "(.)", ".", "[:]", ":", "hxxps://", "https://", "hxxp://", "http://")
	s = r.Replace(s)
	if len(s) > 2000 {
		return "", fmt.Errorf("the address has %d characters, the limit is 2000", len(s))
	}
	if strings.HasPrefix(s, "@") || (!strings.ContainsAny(s, "/") && !strings.Contains(s, ".")) {
		return s, nil // a channel's name
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("enter the address as the browser shows it, starting with https://")
	}
	return s, nil
}

func firstSentence(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if i := strings.IndexAny(s, ".!?\n"); i > 10 {
		s = s[:i]
	}
	if r := []rune(s); len(r) > 100 {
		cut := string(r[:100])
		if i := strings.LastIndexByte(cut, ' '); i > 50 {
			cut = cut[:i]
		}
		s = cut + "…"
	}
	return s
}
