package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
)

// partnerCommand is the directory of partners at the operator's shell.
func partnerCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "partner", Short: "Add, list, deactivate and activate partners",
		Example: "  siaga partner add --name Lensa --kind platform --country ID",
		Args:    cobra.NoArgs, RunE: needsCommand,
	}
	var o app.Options
	var by, kind string
	var n partner.NewPartner
	add := &cobra.Command{
		Use: "add", Short: "Add a partner",
		Long: `Adds a partner at the operator's shell, which counts as the second person as
long as the partner that it acts for has fewer than two administrators who have
signed in. From then on two of them add partners, on the page Partners. The
journal says which of the two it was.`,
		Example: `  siaga partner add --name Lensa --kind platform --country ID --zone Asia/Jakarta
  siaga partner add --name "Warga Foundation" --id warga --kind civil_society --country ID --languages id,en`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shellOf(cmd, &o, by, func(s *partner.Service, p partner.Partner) error {
				n.Kind = access.PartnerKind(kind)
				made, err := s.Add(cmd.Context(), partner.Shell(p), n)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s added\n", made.ID)
				}
				return err
			})
		},
	}
	f := add.Flags()
	f.StringVar(&by, "by", "", "short name of the partner that adds it (default: the first one)")
	f.StringVar(&n.Name, "name", "", "its name")
	f.StringVar(&n.ID, "id", "", "its short name (default: made from the name)")
	f.StringVar(&kind, "kind", "", "its kind: government, intergovernmental, platform, civil_society or research")
	f.StringVar(&n.Country, "country", "", "its country, two letters")
	f.StringVar(&n.Zone, "zone", "", "its time zone, for example Asia/Jakarta (default: UTC)")
	f.StringSliceVar(&n.Languages, "languages", nil, "its languages by their codes, for example id,en (default: en)")
	f.StringVar(&n.Contact, "contact", "", "its duty desk, as text for the directory")
	disable, enable := leavingCommand(&o, true), leavingCommand(&o, false)
	list := &cobra.Command{
		Use: "list", Short: "List the partners", Example: "  siaga partner list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shellOf(cmd, &o, "", func(s *partner.Service, p partner.Partner) error {
				all, err := s.List(cmd.Context(), partner.Shell(p))
				for _, p := range all {
					state := ""
					if p.Disabled {
						state = "\tdeactivated"
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\t%s\t%s%s\n", p.ID, p.Name, p.Kind, p.Country, p.Zone, state)
				}
				return err
			})
		},
	}
	for _, sub := range []*cobra.Command{add, list, disable, enable} {
		nodeFlags(sub.Flags(), &o)
	}
	c.AddCommand(add, list, disable, enable)
	return c
}

// leavingCommand deactivates a partner, or activates it again.
func leavingCommand(o *app.Options, off bool) *cobra.Command {
	var by, why string
	c := &cobra.Command{
		Use: "enable ID", Short: "Let a deactivated partner act again",
		Long: `Activates a partner again: its members sign in as before. Tokens were ended for
good; it makes new ones. Who may do it is as for siaga partner disable.`,
		Example: `  siaga partner enable lensa --reason "The accounts were cleaned and checked"`,
	}
	did := "activated"
	if off {
		did = "deactivated"
		c.Use, c.Short = "disable ID", "End all that lets a partner act, at once"
		c.Long = `Deactivates a partner: ends every session, code and token of its people and
edges, and with them their streams. Its votes in open ballots count no more. Its
signals stay as they are; its page lists them for a decision. The partner that
added it or the node's first one decides. The operator's shell counts as the
second person as long as that partner has fewer than two administrators who have
signed in; from then on two of them decide, on the partner's page.`
		c.Example = `  siaga partner disable lensa --reason "Its accounts were taken over on 3 March"`
	}
	c.Args = cobra.ExactArgs(1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return shellOf(cmd, o, by, func(s *partner.Service, p partner.Partner) error {
			left, err := s.Disable(cmd.Context(), partner.Shell(p), args[0], off, why)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", left.ID, did)
			}
			return err
		})
	}
	c.Flags().StringVar(&by, "by", "", "short name of the partner that decides (default: the first one)")
	c.Flags().StringVar(&why, "reason", "", "why, in one sentence of 10 to 500 characters")
	return c
}

// twoPeople is said where a command can be about an administrator.
const twoPeople = `Where it makes someone administrator, takes that
role, or opens the way into an administrator's account, two people must agree.
The operator's shell counts as the second person as long as the partner has
fewer than two other administrators who have signed in; from then on two of them
decide, on the page Members. The journal says which of the two it was.`

// memberCommand is the members of one partner at the operator's shell.
func memberCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "member", Short: "Invite, list, change and disable members",
		Example: "  siaga member invite --partner lensa --name Bima --email bima@lensa.example --roles officer",
		Args:    cobra.NoArgs, RunE: needsCommand,
	}
	var o app.Options
	var of string
	var roles []string
	var n partner.NewMember
	invite := &cobra.Command{
		Use: "invite", Short: "Invite a person and print the one-time code of the first sign-in",
		Long:    "Invites a person. " + twoPeople,
		Example: "  siaga member invite --partner lensa --name Bima --email bima@lensa.example --roles officer,analyst",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shellOf(cmd, &o, of, func(s *partner.Service, p partner.Partner) error {
				n.Partner = p.ID
				for _, r := range roles {
					n.Roles = append(n.Roles, access.Role(strings.TrimSpace(r)))
				}
				m, code, err := s.AddMember(cmd.Context(), partner.Shell(p), n)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), code)
				fmt.Fprintf(cmd.ErrOrStderr(), "member %s of %s; the person opens the page /first/ with this code at its end, within 72 hours; it is shown this once\n", m.ID, m.Partner)
				return nil
			})
		},
	}
	f := invite.Flags()
	f.StringVar(&n.Name, "name", "", "the person's name")
	f.StringVar(&n.Email, "email", "", "e-mail address with which the person signs in")
	f.StringSliceVar(&roles, "roles", nil, "roles, separated by commas: administrator, officer, analyst, approver, reviewer, observer, operator")
	f.StringVar(&n.Language, "language", "", "the person's language by its code (default: en)")
	list := &cobra.Command{
		Use: "list", Short: "List a partner's members", Example: "  siaga member list --partner lensa", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shellOf(cmd, &o, of, func(s *partner.Service, p partner.Partner) error {
				ms, err := s.Roster(cmd.Context(), partner.Shell(p))
				for _, m := range ms {
					fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\t%s\t%s\n", m.ID, m.Name, m.Email, m.State(time.Now()), joinRoles(m.Roles))
				}
				return err
			})
		},
	}
	var edges bool
	disable := &cobra.Command{
		Use: "disable ID", Short: "End all that lets a member act, at once", Example: "  siaga member disable m3 --partner lensa", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return shellOf(cmd, &o, of, func(s *partner.Service, p partner.Partner) error {
				m, err := s.ChangeMember(cmd.Context(), partner.Shell(p), args[0], partner.Change{Disable: true, Edges: edges})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s disabled\n", m.ID)
				}
				return err
			})
		},
	}
	enable := &cobra.Command{
		Use: "enable ID", Short: "Let a disabled member act again", Long: "Enables a member. " + twoPeople,
		Example: "  siaga member enable m3 --partner lensa", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return shellOf(cmd, &o, of, func(s *partner.Service, p partner.Partner) error {
				m, err := s.ChangeMember(cmd.Context(), partner.Shell(p), args[0], partner.Change{Enable: true})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s enabled\n", m.ID)
				}
				return err
			})
		},
	}
	change := &cobra.Command{
		Use: "roles ID", Short: "Change what a member may do", Long: "Sets all roles of a member. " + twoPeople,
		Example: "  siaga member roles m3 --partner lensa --roles officer,approver", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return shellOf(cmd, &o, of, func(s *partner.Service, p partner.Partner) error {
				c := partner.Change{Roles: []access.Role{}}
				for _, r := range roles {
					c.Roles = append(c.Roles, access.Role(strings.TrimSpace(r)))
				}
				m, err := s.ChangeMember(cmd.Context(), partner.Shell(p), args[0], c)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\n", m.ID, joinRoles(m.Roles))
				}
				return err
			})
		},
	}
	change.Flags().StringSliceVar(&roles, "roles", nil, "all roles that the member has then, separated by commas")
	again := &cobra.Command{
		Use: "code ID", Short: "Print a new one-time code for a member who lost the old one, or every key",
		Long:    "Makes a new one-time code, which voids the one before. " + twoPeople,
		Example: "  siaga member code m3 --partner lensa", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return shellOf(cmd, &o, of, func(s *partner.Service, p partner.Partner) error {
				code, err := s.Invite(cmd.Context(), partner.Shell(p), args[0])
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), code)
				}
				return err
			})
		},
	}
	disable.Flags().BoolVar(&edges, "edges", false, "also end the edges' tokens that the member made, which takes protection off those platforms")
	for _, sub := range []*cobra.Command{invite, list, change, again, disable, enable} {
		sub.Flags().StringVar(&of, "partner", "", "short name of the partner (default: the first one)")
		nodeFlags(sub.Flags(), &o)
	}
	c.AddCommand(invite, list, change, again, disable, enable)
	return c
}

// shellOf runs fn for a partner of the node's data folder.
func shellOf(cmd *cobra.Command, o *app.Options, id string, fn func(*partner.Service, partner.Partner) error) error {
	address, err := store(cmd, o)
	if err != nil {
		return err
	}
	return withPartners(cmd, o.Data, address, id, fn)
}
