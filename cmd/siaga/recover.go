package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/app"
)

func recoverCommand() *cobra.Command {
	var o app.RecoverOptions
	var node app.Options
	c := &cobra.Command{
		Use:   "recover",
		Short: "Go on from a restored journal in a new epoch",
		Long: `Begins a new epoch in the journal of a node that was restored from a backup, or
whose disk went back. What was written after the backup is lost here; the entry
"journal.recovered" says so, with the last checkpoint that is known of the
history that was left. Edges then follow the new epoch; what they know to be
withdrawn and the restored node still has is for review there.

Stop the node first. The operator's shell counts as the second person.`,
		Example: `  siaga recover --data /var/lib/siaga --why "disk lost, restored from Sunday's backup"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Database, err = store(cmd, &node); err != nil {
				return err
			}
			o.Data = node.Data
			r, err := app.Recover(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "recovered epoch=%d entries=%d root=%s\n", r.Epoch, r.Entries, r.Root)
			fmt.Fprintf(cmd.ErrOrStderr(), "Start the node, tell your partners, and make again what was decided since the backup: withdrawals first.\n")
			return nil
		},
	}
	f := c.Flags()
	nodeFlags(f, &node)
	f.StringVar(&o.Why, "why", "", "what happened; it is kept in the journal")
	f.BoolVar(&o.Anyway, "anyway", false, "also when nothing says that the journal went back")
	return c
}
