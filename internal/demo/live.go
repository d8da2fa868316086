package demo

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
)

// live plays the story and goes on: copies arrive at the edges until ctx ends.
func (d *demo) live(ctx context.Context) error {
	if err := d.links(ctx); err != nil {
		return err
	}
	var f figures
	if err := d.exercise(ctx); err != nil {
		return err
	}
	inc, err := d.main(ctx, &f)
	if err != nil {
		return err
	}
	// Something is left for the visitor to decide.
	if err := d.post(ctx, "Dewi", "/signals", map[string]any{
		"incident": inc, "kind": "url", "value": "https://suara.example/thread/4418", "producer": "unknown", "labels": []string{"propaganda"},
		"note": "a thread that collects copies", "confidence": "medium",
	}, nil); err != nil {
		return err
	}
	if err := d.post(ctx, "Lestari", "/incidents/"+inc+"/activations", map[string]any{"protocol": "cc-crp", "level": "shared_picture", "reason": "copies reach services outside the region"}, nil); err != nil {
		fmt.Fprintf(d.out, "   (cc-crp was not proposed: %v)\n", err)
	}
	fmt.Fprintf(d.out, "Copies go on arriving at all edges, and something happens every %s. Look at %s/incidents/%s. Ctrl-C ends the demo.\n", sceneEvery, d.node.URL, inc)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.stream(ctx) })
	g.Go(func() error { return d.scenes(ctx, inc) })
	return g.Wait()
}

// Of the running demo.
const (
	uploadEvery = 400 * time.Millisecond // one upload, each time at the next edge
	sceneEvery  = 40 * time.Second
	hasteWhile  = 8 * time.Second // long enough to be seen on the pages
)

// pause waits, and reports false if ctx ended first.
func pause(ctx context.Context, t time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(t):
		return true
	}
}

// stream sends uploads to the edges in turn until ctx ends: three copies, and
// then a benign picture. Each edge meets every copy.
func (d *demo) stream(ctx context.Context) error {
	tick := time.NewTicker(uploadEvery)
	defer tick.Stop()
	said := map[string]bool{}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, file := d.sites[i%len(d.sites)], upload(i, len(d.sites), d.copies, d.benign)
		if _, err := d.send(ctx, s, file); err != nil && ctx.Err() == nil && !said[s.name] {
			said[s.name] = true
			fmt.Fprintf(d.out, "   edge %s did not answer: %v\n", s.name, err)
		}
	}
}

// upload is the i-th file that is sent, to the edges in turn.
func upload(i, edges int, copies, benign []copyOf) copyOf {
	round := i/edges + i%edges
	if round%4 == 3 {
		return benign[round/4%len(benign)]
	}
	return copies[(round-round/4)%len(copies)]
}

// scenes lets something happen now and then, for ever: a new edit comes up and
// is blocked, a mistake is made and withdrawn, an update is written. What
// visitors have decided meanwhile may stand in the way of a scene; then it is
// left out.
func (d *demo) scenes(ctx context.Context, inc string) error {
	var f figures
	updates := 0
	list := []func() error{
		func() error { return d.variant(ctx, &f) },
		func() error {
			_, _, err := d.haste(ctx, inc, d.logoHash, hasteWhile)
			return err
		},
		func() error {
			return d.told("update", func() (string, error) {
				updates++
				return fmt.Sprintf("situation update %d", updates+1), d.post(ctx, "Lestari", "/incidents/"+inc+"/updates", map[string]any{"audience": "partners", "texts": map[string]string{
					"en": fmt.Sprintf("Update %d. Copies still arrive on Lensa, Suara and Gema and are blocked. Nothing new from Kota Seroja.", updates+1),
					"id": fmt.Sprintf("Pembaruan %d. Salinan masih masuk di Lensa, Suara, dan Gema dan diblokir. Belum ada kabar baru dari Kota Seroja.", updates+1),
				}}, nil)
			})
		},
	}
	for i := 0; pause(ctx, sceneEvery); i++ {
		if err := list[i%len(list)](); err != nil && ctx.Err() == nil {
			fmt.Fprintf(d.out, "   (left out: %v)\n", err)
		}
	}
	return nil
}

// duty puts each partner's officers on duty at all hours, so that no board asks
// for a roster, and gives them an e-mail address that this process receives.
func (d *demo) duty(ctx context.Context) error {
	all, err := d.node.Partners.List(ctx, partner.Shell(d.first))
	if err != nil {
		return err
	}
	every := []time.Weekday{time.Sunday, time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday}
	for _, p := range all {
		shell := partner.Shell(p)
		var on []string
		for _, who := range d.people {
			if who.Partner != p.ID {
				continue
			}
			if _, err := d.node.Notify.Add(ctx, shell, notify.NewChannel{Kind: notify.Email, Target: who.Email, Member: who.id}); err != nil {
				return fmt.Errorf("adding a channel of %s: %w", who.Name, err)
			}
			if !slices.Equal(who.Roles, []access.Role{access.Operator}) {
				on = append(on, who.id)
			}
		}
		if len(on) == 0 {
			continue
		}
		if _, err := d.node.Duty.Set(ctx, shell, duty.Pattern{Zone: cmp.Or(p.Zone, "UTC"), Shifts: []duty.Shift{{Days: every, Members: on}}}); err != nil {
			return fmt.Errorf("writing the roster of %s: %w", p.Name, err)
		}
	}
	return nil
}

// mailbox is the mail server of the demo: it takes every message and keeps
// none, so that duty desks have a channel that works. RFC 5321.
type mailbox struct{ l net.Listener }

func newMailbox() (*mailbox, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the demo's mailbox: %w", err)
	}
	return &mailbox{l}, nil
}

func (m *mailbox) port() int {
	a, _ := m.l.Addr().(*net.TCPAddr)
	return a.Port
}

// run takes messages until ctx ends.
func (m *mailbox) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.l.Close() })
	defer stop()
	var g errgroup.Group
	for {
		c, err := m.l.Accept()
		if err != nil {
			return errors.Join(g.Wait(), ignoreClosed(err))
		}
		g.Go(func() error {
			end := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer end()
			take(c)
			return nil
		})
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// take speaks with one sender.
func take(c net.Conn) {
	defer func() { _ = c.Close() }() // nothing is kept
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	say := func(s string) bool {
		_, err := c.Write([]byte(s + "\r\n"))
		return err == nil
	}
	if !say("220 localhost demo") {
		return
	}
	sc := bufio.NewScanner(c)
	for inData := false; sc.Scan(); {
		line, answer := sc.Text(), "250 ok"
		switch {
		case inData && line != ".":
			continue
		case inData:
			inData = false
		case strings.EqualFold(line, "DATA"):
			inData, answer = true, "354 go on"
		case strings.EqualFold(line, "QUIT"):
			say("221 bye")
			return
		}
		if !say(answer) {
			return
		}
	}
}
