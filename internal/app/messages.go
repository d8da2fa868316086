package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/web"
)

// MailOptions say how the node sends e-mail. The zero value sends none.
type MailOptions struct {
	Host         string `yaml:"host"`          // mail server that messages to duty contacts go through; without one, no e-mail is sent
	Port         int    `yaml:"port"`          // its port; 587 unless set, or 465 with tls: implicit
	User         string `yaml:"user"`          // user to sign in there as; none unless set
	PasswordFile string `yaml:"password_file"` // file that holds the password
	From         string `yaml:"from"`          // address that messages come from, such as siaga@nusa.example
	TLS          string `yaml:"tls"`           // starttls, implicit, or none for a relay on this machine; starttls unless set
}

func (m MailOptions) check(add func(key, fix, format string, args ...any)) {
	if m.Host == "" {
		return
	}
	if strings.ContainsAny(m.Host, ": /@") {
		add("mail.host", "write the name alone, and the port as mail.port", "%q is not the name of a mail server", m.Host)
	}
	if m.Port < 0 || m.Port > 65535 {
		add("mail.port", "use 587, 465 or 25", "%d is not a port", m.Port)
	}
	if !strings.Contains(m.From, "@") || strings.ContainsAny(m.From, "<> ,") {
		add("mail.from", "write an address such as siaga@nusa.example", "%q is not an e-mail address", m.From)
	}
	if m.PasswordFile != "" && m.User == "" {
		add("mail.user", "name the user that the password belongs to", "there is a password and no user")
	}
	switch m.TLS {
	case "", "starttls", "implicit":
	case "none":
		if ip := net.ParseIP(m.Host); m.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			add("mail.tls", "use starttls or implicit", "without TLS only a relay on this machine is used, and %s is none", m.Host)
		}
	default:
		add("mail.tls", "use starttls, implicit or none", "%q is none of them", m.TLS)
	}
}

// checkHosts checks the list of internal hosts.
func checkHosts(list []string, add func(key, fix, format string, args ...any)) {
	for _, h := range list {
		if host, port, err := net.SplitHostPort(h); err != nil || host == "" || !isPort(port) {
			add("internal_hosts", "write each as relay.nusa.internal:25", "%q is not a host with a port", h)
		}
	}
}

// follow leaves work for later with each entry that asks for it.
func follow(tx journal.StoreTx, e journal.Entry) error {
	return errors.Join(incident.Follow(tx, e), notify.Follow(tx, e))
}

// newMessages makes the rosters and what tells duty contacts.
func (n *Node) newMessages() error {
	o := n.o
	words, err := web.Speaker()
	if err != nil {
		return err
	}
	m := notify.Mail{Host: o.Mail.Host, Port: o.Mail.Port, User: o.Mail.User, From: o.Mail.From, TLS: o.Mail.TLS}
	if o.Mail.PasswordFile != "" {
		b, err := os.ReadFile(o.Mail.PasswordFile)
		if errors.Is(err, fs.ErrNotExist) {
			return problem.Newf(problem.NotFound, "there is no file %s", o.Mail.PasswordFile).WithFix("write the mail server's password into it")
		}
		if err != nil {
			return fmt.Errorf("reading the mail server's password: %w", err)
		}
		m.Password = strings.TrimRight(string(b), "\r\n")
	}
	internal := o.InternalHosts
	if m.Host != "" {
		internal = append([]string{m.Address()}, internal...) // the operator named it
	}
	n.dial = outbound.New(outbound.Options{Internal: internal})
	outbound.StayAt(notify.ServiceHosts()...)
	var vapid notify.Vapid
	if k := n.Keys.Push; k != nil {
		vapid = notify.Vapid{Public: base64.RawURLEncoding.EncodeToString(k.PublicKey().Bytes()), Private: base64.RawURLEncoding.EncodeToString(k.Bytes())}
	}
	n.Duty = duty.New(duty.Options{Log: n.Log, Now: o.Now})
	n.Notify = notify.New(notify.Options{
		Log: n.Log, Now: o.Now, Seal: n.Keys, Guard: n.dial, Incidents: n.Incidents, Words: words, URL: func() string { return n.URL },
		Mail: m, Vapid: vapid, Logger: o.Log,
	})
	return nil
}

// jobSilent looks for edges that people are to be told of.
const jobSilent = "edges.silent"

// silentFor is how long an edge may say nothing until people are told; ours. It
// is longer than until the board shows it (feed.SilentAfter): a restart wakes
// nobody.
const silentFor = 2 * time.Minute

// silentEdges tells partners of their edges that were heard from and are not
// any more. An edge that never came is being set up.
func (n *Node) silentEdges(ctx context.Context, _ struct{}) error {
	states, err := n.Hub.Edges(ctx)
	if err != nil {
		return err
	}
	now := n.o.Now()
	for _, s := range states {
		if s.LastSeen.IsZero() || s.Attached(now) || now.Sub(s.LastSeen) < silentFor {
			continue
		}
		if err := n.Notify.EdgeSilent(ctx, s.Partner, s.Edge, s.LastSeen); err != nil {
			return fmt.Errorf("telling of the silent edge %s of %s: %w", s.Edge, s.Partner, err)
		}
	}
	return nil
}

// newJobs returns the runner of what the services leave for later.
func (n *Node) newJobs() (*jobs.Jobs, error) {
	selfTest := jobs.Handle(notify.JobSelfTest, n.Notify.SelfTest)
	selfTest.Timeout = notify.SelfTestTime
	return jobs.New(jobs.Options{
		Store: n.guard.Store, Log: n.o.Log,
		Handlers: []jobs.Handler{
			jobs.Handle(incident.JobClock, n.Incidents.Clock),
			jobs.Handle(duty.JobGaps, n.Duty.WarnOfGaps),
			jobs.Handle(notify.JobIncident, n.Notify.Incident),
			jobs.Handle(notify.JobCall, n.Notify.Call),
			jobs.Handle(notify.JobNotice, n.Notify.Notice),
			jobs.Handle(notify.JobTell, n.Notify.TellOf),
			jobs.Handle(jobSilent, n.silentEdges),
			selfTest,
		},
		Periodic: []jobs.Periodic{
			{Kind: duty.JobGaps, Next: jobs.Daily(1, 0)},
			{Kind: jobSilent, Next: jobs.Every(30 * time.Second)},
			{Kind: notify.JobSelfTest, Next: jobs.Daily(20, 30)}, // night in Southeast Asia
		},
	})
}
