package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/erasure"
	"github.com/siaga-crp/siaga/internal/partner"
)

// eraseCommand is "siaga log erase", on the node that o names.
func eraseCommand(o *app.Options) *cobra.Command {
	var reason, digits string
	c := &cobra.Command{
		Use: "erase ENTRY", Short: "Erase the payload of an entry for good",
		Long: `Erases what an entry says, where a law asks for it; that it was written, when
and by which partner stays, and the journal still verifies. There is no way back.

It takes two people: administrators of the entry's partner, each on a line of
stdin with e-mail address and the six digits that the authenticator shows now.
While the partner has one administrator, the operator at this shell is the
second. Without --digits nothing is erased: it says what would be, and how.`,
		Example: `  siaga log erase 41 --reason "GDPR article 17, request of 2 March"
  echo "ayu@nusa.example 123456" | siaga log erase 41 --reason "GDPR article 17" --digits 0041`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 0 {
				return useError{fmt.Errorf("%q is not the number of an entry", args[0])}
			}
			address, err := store(cmd, o)
			if err != nil {
				return err
			}
			ps, log, done, err := app.OpenPartners(cmd.Context(), o.Data, address)
			if err != nil {
				return err
			}
			s, by := erasure.New(erasure.Options{Log: log, Partners: ps, Now: time.Now}), partner.Shell(partner.Partner{ID: "operator"})
			return errors.Join(erase(cmd, s, by, n, reason, digits), done())
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "legal ground; kept for good, so repeat nothing of what goes")
	c.Flags().StringVar(&digits, "digits", "", "last four digits of the entry's number, with zeros before it")
	return c
}

func erase(cmd *cobra.Command, s *erasure.Service, by access.Actor, n int64, reason, digits string) error {
	sub, err := s.Look(cmd.Context(), by, n)
	if err != nil {
		return err
	}
	talk := cmd.ErrOrStderr()
	fmt.Fprintf(talk, "entry %d, %s, %s, of %s\n", n, sub.Entry.Type, sub.Entry.At.Format(time.RFC3339), sub.Partner)
	if digits == "" {
		return useError{fmt.Errorf("nothing was erased: to erase it for good, add --digits %s --reason TEXT, and on stdin the e-mail address and six-digit code of %d of: %s",
			sub.Digits, sub.People, strings.Join(sub.Administrators, ", "))}
	}
	order := erasure.Order{Entry: n, Digits: digits, Reason: reason}
	in := bufio.NewScanner(cmd.InOrStdin())
	for len(order.Proofs) < sub.People && in.Scan() {
		email, code, _ := strings.Cut(strings.TrimSpace(in.Text()), " ")
		if email != "" {
			order.Proofs = append(order.Proofs, erasure.Proof{Email: email, Code: code})
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("reading e-mail addresses and codes: %w", err)
	}
	said, err := s.Erase(cmd.Context(), by, order)
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "erased %d; entry %d says so\n", n, said.Number)
	}
	return err
}
