package notify

import (
	"cmp"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/problem"
)

// KindChannel is the kind of the object that a channel is.
const KindChannel = "channel"

// Kinds of channels.
const (
	Email   = "email"
	Webhook = "webhook"
	Push    = "push" // web push to a browser

	Telegram  = "telegram"
	PagerDuty = "pagerduty" // sends SMS and calls phones, as each person has set it there
)

// services are those of shoutrrr with a fixed host: it dials by itself.
var services = []string{Telegram, "slack", "discord", "pushover", "pushbullet", PagerDuty}

// pagerHosts are the regions of PagerDuty's Events API v2.
var pagerHosts = []string{"events.pagerduty.com", "events.eu.pagerduty.com"}

// ServiceHosts are the hosts of the services. The library that speaks to most of
// them dials by itself: see outbound.StayAt.
func ServiceHosts() []string {
	hosts := []string{"api.telegram.org", "hooks.slack.com", "discord.com", "api.pushover.net", "api.pushbullet.com"}
	for _, h := range pagerHosts {
		hosts = append(hosts, h, h+":443") // the library writes the port
	}
	return hosts
}

// Kinds lists the kinds of channels.
func Kinds() []string { return append([]string{Email, Push, Webhook}, services...) }

// States of a message.
const (
	StateSent      = "sent"
	StateDelivered = "delivered" // the receiving end said so
	StateFailed    = "failed"
)

// Why a message failed, for people; never the other side's words.
const (
	ReasonPassword    = "password"    // user or password is refused
	ReasonRecipient   = "recipient"   // the receiver is not known there (any more)
	ReasonRefused     = "refused"     // the address is not allowed
	ReasonRedirect    = "redirect"    // the address sends elsewhere
	ReasonTimeout     = "timeout"     // no answer in time
	ReasonUnreachable = "unreachable" // no connection
	ReasonTLS         = "tls"         // no trustworthy encryption
	ReasonAnswer      = "answer"      // an answer that means failure
	ReasonSetup       = "setup"       // the node is not set up for this kind
	ReasonGone        = "gone"        // the browser's address has ended for good: the channel ends with it
)

// Channel is a way to reach a member. Its secrets are elsewhere.
type Channel struct {
	ID      string    `json:"id"`
	Member  string    `json:"member"`
	Partner string    `json:"partner"`
	Kind    string    `json:"kind"`
	Shown   string    `json:"shown"`           // enough to recognise it, never the secret
	Phone   bool      `json:"phone,omitempty"` // rings: used for the step "phone"
	Order   int       `json:"order"`           // channels of a member are tried in this order
	Added   time.Time `json:"added"`
	Removed bool      `json:"removed,omitempty"`
	Ended   time.Time `json:"ended,omitzero"` // nothing is sent by it any more; it is shown until it is removed

	Checked time.Time `json:"checked,omitzero"` // last known to work or not
	How     string    `json:"how,omitempty"`    // from what: message, test (by hand), selftest
	Failing bool      `json:"failing,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// State is untested, works, failing or ended.
func (c Channel) State() string {
	switch {
	case !c.Ended.IsZero():
		return "ended"
	case c.Checked.IsZero():
		return "untested"
	case c.Failing:
		return "failing"
	}
	return "works"
}

type channelChecked struct {
	Failing bool   `json:"failing,omitempty"`
	Reason  string `json:"reason,omitempty"`
	How     string `json:"how"`            // message, test, selftest
	News    bool   `json:"news,omitempty"` // it did not fail before
}

func applyChannel(c *Channel, e journal.Entry) error {
	switch e.Type {
	case "channel.added":
		if err := e.Decode(c); err != nil {
			return err
		}
		c.ID, c.Added = e.About[0].ID, e.At
		c.Removed = e.Erased
	case "channel.removed":
		c.Removed = true
	case "channel.ended":
		c.Ended = e.At
	case "channel.checked":
		var b channelChecked
		if err := e.Decode(&b); err != nil {
			return err
		}
		c.Checked, c.Failing, c.Reason, c.How = e.At, b.Failing, b.Reason, b.How
	}
	return nil
}

// Folds returns the folds of calls, notices and channels.
func Folds() []journal.Fold {
	return []journal.Fold{
		journal.FoldOf(KindCall, applyCall, func(c *Call) journal.Keys {
			k := journal.Keys{State: c.State, Partner: c.Partner, Parent: c.Incident, Sort: c.Begun.UTC().Format("2006-01-02T15:04:05.000")}
			if c.State == Calling && !c.Next.IsZero() {
				k.DueMS = c.Next.UnixMilli()
			}
			return k
		}),
		journal.FoldOf(KindNotice, applyNotice, noticeKeys),
		journal.FoldOf(KindChannel, applyChannel, func(c *Channel) journal.Keys {
			state := "active"
			switch {
			case c.Removed:
				state = "removed"
			case !c.Ended.IsZero():
				state = "ended"
			}
			return journal.Keys{State: state, Partner: c.Partner, Parent: c.Member, Sort: itoa(1000+c.Order) + c.Added.UTC().Format(time.RFC3339Nano)}
		}),
	}
}

// secret is what a channel needs to send, sealed at rest.
type secret struct {
	Address string `json:"address,omitempty"` // of e-mail
	URL     string `json:"url,omitempty"`     // webhook's, shoutrrr's, or the push endpoint
	Key     string `json:"key,omitempty"`     // webhook's signing key, "whsec_…"
	P256dh  string `json:"p256dh,omitempty"`  // push
	Auth    string `json:"auth,omitempty"`    // push
}

// NewChannel is a channel to be added.
type NewChannel struct {
	Kind   string `json:"kind"`
	Target string `json:"target"`           // e-mail address, https address, or the service's address as shoutrrr writes it
	Member string `json:"member,omitempty"` // default: oneself
	Phone  bool   `json:"phone,omitempty"`  // it rings
	Label  string `json:"label,omitempty"`  // push: what the browser is called
	P256dh string `json:"p256dh,omitempty"` // push: from the browser
	Auth   string `json:"auth,omitempty"`
}

// check returns the secret and how the channel is shown.
func (n *NewChannel) check(guard *outbound.Guard) (secret, string, error) {
	var f problem.InvalidFields
	var s secret
	shown := ""
	n.Target, n.Label = strings.TrimSpace(n.Target), strings.TrimSpace(n.Label)
	switch {
	case n.Kind == Email:
		a, err := mail.ParseAddress(n.Target)
		if err != nil || a.Name != "" || strings.ContainsAny(a.Address, "\r\n") || len(a.Address) > 254 || !strings.Contains(a.Address[strings.LastIndexByte(a.Address, '@'):], ".") {
			f.Add("target", "enter an e-mail address, for example duty@nusa.example")
			break
		}
		s.Address = a.Address
		user, domain, _ := strings.Cut(a.Address, "@")
		shown = string([]rune(user)[:1]) + "…@" + domain
	case n.Kind == Webhook:
		u, err := guard.CheckURL(n.Target)
		if err != nil {
			f.Add("target", "%s", detail(err))
			break
		}
		s.URL, shown = u.String(), u.Host
	case n.Kind == Push:
		u, err := guard.CheckURL(n.Target)
		if err != nil || len(n.P256dh) > 200 || len(n.Auth) > 100 || n.P256dh == "" || n.Auth == "" {
			f.Add("target", "this browser gave no address for push messages; try again, or use another browser")
			break
		}
		s.URL, s.P256dh, s.Auth, shown = u.String(), n.P256dh, n.Auth, n.Label
		if len([]rune(shown)) > 60 {
			f.Add("label", "enter up to 60 characters")
		}
	case slices.Contains(services, n.Kind):
		u, err := url.Parse(n.Target)
		if err != nil || u.Scheme != n.Kind {
			f.Add("target", "enter the address that begins with %s://", n.Kind)
			break
		}
		if n.Kind == PagerDuty {
			// Its address can name a host: no other is asked than its own. What
			// each message is stays ours to say.
			host := cmp.Or(strings.TrimSuffix(u.Host, ":443"), pagerHosts[0])
			if u.User != nil || u.RawQuery != "" || !slices.Contains(pagerHosts, host) {
				f.Add("target", "this is not an address of %s; see its form in the help", n.Kind)
				break
			}
			u.Host = host + ":443" // the library takes 0 for a port that is left out
		}
		if err := newService(n.Kind, u); err != nil {
			f.Add("target", "this is not an address of %s; see its form in the help", n.Kind)
			break
		}
		s.URL, shown = u.String(), n.Kind
	default:
		f.Add("kind", "choose one of %s", strings.Join(Kinds(), ", "))
	}
	return s, shown, f.Err()
}

func detail(err error) string {
	if p, ok := err.(*problem.Error); ok { //nolint:errorlint // CheckURL returns it bare
		return p.Detail + "; " + p.Fix
	}
	return "enter an address that begins with https://"
}

// ReasonText says a reason in English, for the command line; pages have it in
// the catalogue.
func ReasonText(reason string) string {
	text := map[string]string{
		ReasonPassword: "user or password is refused", ReasonRecipient: "the receiver is not known there", ReasonRefused: "the address is not allowed",
		ReasonRedirect: "the address sends elsewhere", ReasonTimeout: "no answer in time", ReasonUnreachable: "no connection",
		ReasonTLS: "no trustworthy encryption", ReasonAnswer: "the other side answered with a failure", ReasonSetup: "the node is not set up for this kind",
		ReasonGone: "the browser's address has ended",
	}[reason]
	if text == "" {
		return reason
	}
	return text
}
