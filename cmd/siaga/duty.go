package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// dutyCommand shows who would be called, and tries whether they would be
// reached: before the crisis.
func dutyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "duty", Short: "Show who is on duty, and test the channels of messages",
		Example: "  siaga duty show\n  siaga duty test --partner nusa",
		Args:    cobra.NoArgs, RunE: needsCommand,
	}
	var o app.Options
	var only string
	var asJSON bool
	show := &cobra.Command{
		Use: "show", Short: "Show who is on duty now and next, and gaps of the coming days",
		Long: `Prints a line for each partner: who is on duty now and until when, who is next
and from when, how many channels reach those who are on duty, and the gaps of
the next seven days. A partner without a roster has all its officers called.
Exit code 1 if somebody on duty cannot be reached or a roster has a gap.`,
		Example: "  siaga duty show\n  siaga duty show --partner nusa --json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDesk(cmd, &o, func(d app.Desk) error { return showDuty(cmd, d, only, asJSON) })
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	var member string
	test := &cobra.Command{
		Use: "test [CHANNEL]", Short: "Send a test message by each channel, or by one, and say the answer",
		Long: `Sends a real message that says it is a test, now, by the channels of a partner's
members, of one member, or by one channel, and prints what came of it: works, or
failing with the reason. The page Messages then shows the same. Exit code 1 if
one of them does not work. It wakes people: tell them before.`,
		Example: "  siaga duty test --partner nusa\n  siaga duty test --partner nusa --member m3\n  siaga duty test 5f0c2a91d3e84b7706aa", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDesk(cmd, &o, func(d app.Desk) error { return testChannels(cmd, d, only, member, args) })
		},
	}
	test.Flags().StringVar(&member, "member", "", "only the channels of this member")
	for _, sub := range []*cobra.Command{show, test} {
		sub.Flags().StringVar(&only, "partner", "", "short name of the partner (default: all)")
		nodeFlags(sub.Flags(), &o)
	}
	c.AddCommand(show, test)
	return c
}

func withDesk(cmd *cobra.Command, o *app.Options, fn func(app.Desk) error) error {
	address, err := store(cmd, o)
	if err != nil {
		return err
	}
	o.Now = time.Now
	d, done, err := app.OpenDesk(cmd.Context(), *o, address)
	if err != nil {
		return err
	}
	return errors.Join(fn(d), done())
}

// someone is a person as these commands print it.
type someone struct {
	Member   string `json:"member"`
	Name     string `json:"name"`
	Channels int    `json:"channels"` // that are not known to fail
}

type dutyLine struct {
	Partner string      `json:"partner"`
	Roster  bool        `json:"roster"` // false: all officers are called
	Now     []someone   `json:"now"`
	Until   time.Time   `json:"until,omitzero"`
	Next    []someone   `json:"next"`
	From    time.Time   `json:"from,omitzero"`
	Gaps    []duty.Span `json:"gaps"`
}

func showDuty(cmd *cobra.Command, d app.Desk, only string, asJSON bool) error {
	ps, err := partnersOf(cmd, d, only)
	if err != nil {
		return err
	}
	wrong := 0
	for _, p := range ps {
		by := partner.Shell(p)
		v, err := d.Duty.Get(cmd.Context(), by)
		if err != nil {
			return err
		}
		rows, err := d.Notify.Rows(cmd.Context(), by)
		if err != nil {
			return err
		}
		channels := map[string]int{}
		for _, r := range rows {
			if r.Partner == p.ID && !r.Failing {
				channels[r.Member]++
			}
		}
		people := func(ids []string) []someone {
			out := []someone{}
			for _, id := range ids {
				x := someone{Member: id, Name: id, Channels: channels[id]}
				if i := slices.IndexFunc(v.Members, func(m partner.Member) bool { return m.ID == id }); i >= 0 {
					x.Name = v.Members[i].Name
				}
				out = append(out, x)
			}
			return out
		}
		line := dutyLine{Partner: p.ID, Roster: len(v.Pattern.Shifts) > 0, Now: people(v.Now.Members), Next: []someone{}, Gaps: []duty.Span{}}
		if line.Roster {
			line.Until, line.Gaps = v.Now.Until, v.Gaps
		} else {
			err := d.Log.View(cmd.Context(), func(r journal.StoreReader) error {
				order, _, _, err := duty.Order(r, p.ID, time.Now())
				line.Now = people(order)
				return err
			})
			if err != nil {
				return err
			}
		}
		if v.Next != nil {
			line.Next, line.From = people(v.Next.Members), v.Next.From
		}
		reached := slices.ContainsFunc(line.Now, func(x someone) bool { return x.Channels > 0 })
		if !reached || len(line.Gaps) > 0 {
			wrong++
		}
		if asJSON {
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(line); err != nil {
				return err
			}
			continue
		}
		printDuty(cmd.OutOrStdout(), line)
	}
	if wrong > 0 {
		return problem.Newf(problem.Conflict, "%d of %d partners have nobody on duty who can be reached, or a gap", wrong, len(ps)).
			WithFix("add channels on the page Messages, and fill the roster on the page Duty")
	}
	return nil
}

func printDuty(w io.Writer, line dutyLine) {
	names := func(list []someone) string {
		var out []string
		for _, x := range list {
			out = append(out, fmt.Sprintf("%s (%d channels)", x.Name, x.Channels))
		}
		if len(out) == 0 {
			return "nobody"
		}
		return strings.Join(out, ", ")
	}
	at := func(word string, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return " " + word + " " + t.UTC().Format("2006-01-02T15:04Z")
	}
	why := ""
	if !line.Roster {
		why = " (no roster: all officers)"
	}
	fmt.Fprintf(w, "%s\tnow\t%s%s%s\n", line.Partner, names(line.Now), at("until", line.Until), why)
	if !line.From.IsZero() {
		fmt.Fprintf(w, "%s\tnext\t%s%s\n", line.Partner, names(line.Next), at("from", line.From))
	}
	for _, g := range line.Gaps {
		fmt.Fprintf(w, "%s\tgap\t%s%s\n", line.Partner, strings.TrimSpace(at("from", g.From)), at("until", g.Until))
	}
}

func testChannels(cmd *cobra.Command, d app.Desk, only, member string, args []string) error {
	ps, err := partnersOf(cmd, d, only)
	if err != nil {
		return err
	}
	tested, failing := 0, 0
	for _, p := range ps {
		by := partner.Shell(p)
		rows, err := d.Notify.Rows(cmd.Context(), by)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Partner != p.ID || (member != "" && r.Member != member) || (len(args) > 0 && r.ID != args[0]) {
				continue
			}
			c, err := d.Notify.Test(cmd.Context(), by, r.ID)
			if err != nil {
				return err
			}
			tested++
			answer := c.State()
			if c.Failing {
				failing++
				answer += ": " + notify.ReasonText(c.Reason)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, r.ID, r.Name, c.Kind, c.Shown, answer)
		}
	}
	switch {
	case tested == 0:
		return problem.New(problem.NotFound, "there is no such channel", "add one on the page Messages; siaga duty show counts them")
	case failing > 0:
		return problem.Newf(problem.Unavailable, "%d of %d channels do not work", failing, tested).WithFix("correct or remove them on the page Messages")
	}
	return nil
}

// partnersOf returns one partner, or all.
func partnersOf(cmd *cobra.Command, d app.Desk, only string) (out []partner.Partner, err error) {
	err = d.Log.View(cmd.Context(), func(r journal.StoreReader) error {
		if only != "" {
			p, err := partner.Load(r, only)
			out = []partner.Partner{p}
			return err
		}
		out, err = partner.All(r)
		return err
	})
	return out, err
}
