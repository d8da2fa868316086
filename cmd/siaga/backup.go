package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
)

func backupCommand() *cobra.Command {
	var node app.Options
	var o app.BackupOptions
	var out string
	c := &cobra.Command{
		Use:   "backup",
		Short: "Make an encrypted backup of a node, also while it serves",
		Long: `Writes one consistent state of the node's data into a file that only the holder
of the secret key can read (age-encryption.org), reads it back, and verifies it
against the signed checkpoint. The node may go on serving.

The node's keys are not in it unless you ask: with them, who has the backup and
its secret key can act as this node; without them, keep a copy of DIR/keys
elsewhere, or the backup cannot be restored.`,
		Example: `  age-keygen -o backup.secret            # once; keep it away from the node
  siaga backup --data /var/lib/siaga --to age1… --out /mnt/backup/monday.siaga.age`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Database, err = store(cmd, &node); err != nil {
				return err
			}
			o.Data, o.Out = node.Data, out
			if out == "" {
				o.Out = filepath.Join(".", "siaga-"+time.Now().UTC().Format("20060102T150405Z")+app.BackupSuffix)
			}
			progress, end := bar(cmd.ErrOrStderr(), "backing up")
			o.Progress = func(p journal.Progress) { progress(p.Done, p.Total) }
			d, err := app.Backup(cmd.Context(), o)
			end()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "backup file=%s id=%s entries=%d root=%s bytes=%d keys=%t verified=true took_ms=%d\n", o.Out, d.Backup, d.Entries, d.Root, d.Bytes, d.Keys, d.Took)
			if !d.Keys {
				fmt.Fprintf(cmd.ErrOrStderr(), "The node's keys are not in it: keep a copy of %s elsewhere.\n", filepath.Join(o.Data, "keys"))
			}
			return nil
		},
	}
	f := c.Flags()
	nodeFlags(f, &node)
	f.StringSliceVar(&o.To, "to", nil, "age public key (age1…) that it is encrypted to, or a file with one a line; several: each can read it")
	f.StringVar(&out, "out", "", "file to make (default: siaga-TIME"+app.BackupSuffix+" in the working folder)")
	f.BoolVar(&o.WithKeys, "with-keys", false, "put the node's keys into it")
	return c
}

func restoreCommand() *cobra.Command {
	var node app.Options
	var o app.RestoreOptions
	c := &cobra.Command{
		Use:   "restore",
		Short: "Restore a node from a backup, or rehearse it",
		Long: `Fills an empty data folder (or an empty PostgreSQL database) from a backup and
verifies it: signatures, every entry, the tree, everything folded again. Nothing
is overwritten. The folder may hold the node's keys already; without them they
must be in the backup.

What was restored takes no writes before "siaga recover" has begun a new epoch:
edges and partners have seen more than the backup, and must be told.

--rehearse does the same in a temporary folder, says how long it took, and
leaves nothing behind.`,
		Example: `  siaga restore --from monday.siaga.age --identity backup.secret --data /var/lib/siaga
  siaga restore --rehearse --from monday.siaga.age --identity backup.secret --data /var/lib/siaga`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Database, err = store(cmd, &node); err != nil {
				return err
			}
			o.Data = node.Data
			progress, end := bar(cmd.ErrOrStderr(), "restoring")
			o.Progress = func(p journal.Progress) { progress(p.Done, p.Total) }
			r, err := app.Restore(cmd.Context(), o)
			end()
			if err != nil {
				return err
			}
			what := "restored"
			if o.Rehearse {
				what = "rehearsed"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s id=%s written=%s entries=%d signed=%d root=%s verified=true read_ms=%d verify_ms=%d\n", what, r.ID, r.Written.Format(time.RFC3339),
				r.Entries, r.Signed, r.Root, r.Read.Milliseconds(), r.Verify.Milliseconds())
			if !o.Rehearse {
				fmt.Fprintf(cmd.ErrOrStderr(), "Now run: siaga recover --data %s --why \"…\"\nThen start the node and tell your partners what was lost since %s.\n", o.Data, r.Written.Format("2 January 2006 15:04 UTC"))
			}
			return nil
		},
	}
	f := c.Flags()
	nodeFlags(f, &node)
	f.StringVar(&o.From, "from", "", "backup file")
	f.StringSliceVar(&o.Identities, "identity", nil, "file with the age secret key (AGE-SECRET-KEY-…)")
	f.BoolVar(&o.Rehearse, "rehearse", false, "restore into a temporary folder, verify, and remove it")
	return c
}

func dataCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "data", Short: "Move a node's data between SQLite and PostgreSQL",
		Example: "  siaga data copy --data /var/lib/siaga --from /var/lib/siaga --to postgres://siaga@db.example/siaga", Args: cobra.NoArgs, RunE: needsCommand,
	}
	var o app.CopyOptions
	var fromFile, toFile string
	cp := &cobra.Command{
		Use:   "copy",
		Short: "Copy everything from one database to another and verify it",
		Long: `Copies every entry, object, session and feed operation of a stopped node from one
place to another and verifies the copy: the same size, the same root, everything
folded again. A place is the address of a PostgreSQL database or the data folder
of a node with SQLite. Stop every node first; a copy during which one wrote to
the source is refused. The target must be empty; if a copy is interrupted, run
the same command again and it goes on. The source is left as it is.`,
		Example: `  siaga data copy --data /var/lib/siaga --from /var/lib/siaga --to-file /etc/siaga/database
  siaga data copy --data /var/lib/siaga --from-file /etc/siaga/database --to /var/lib/siaga`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.From, err = app.DatabaseAddress(o.From, fromFile); err != nil {
				return err
			}
			if o.To, err = app.DatabaseAddress(o.To, toFile); err != nil {
				return err
			}
			if o.From == "" || o.To == "" {
				return useError{fmt.Errorf("name both places with --from and --to, or --from-file and --to-file")}
			}
			progress, end := bar(cmd.ErrOrStderr(), "copying")
			o.Progress = func(p journal.Progress) { progress(p.Done, p.Total) }
			r, err := app.CopyData(cmd.Context(), o)
			end()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "copied entries=%d root=%s objects=%d feed=%d verified=true took_ms=%d\n", r.Report.Size, r.Report.Root, r.Report.Objects, r.Report.Feed, r.Took.Milliseconds())
			next := "siaga serve --data " + o.Data
			if toFile != "" {
				next += " --database-file " + toFile
			} else if app.IsAddress(o.To) {
				next += " --database-file FILE   (a file with the address of the target)"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Start the node with: %s\nDelete the source when you have seen it work: a node that is started on it would be a second one.\n", next)
			return nil
		},
	}
	f := cp.Flags()
	f.StringVar(&o.Data, "data", defaultData, "the node's data folder, with its keys")
	f.StringVar(&o.From, "from", "", "database address or data folder that is copied")
	f.StringVar(&fromFile, "from-file", "", "file that holds the address of --from, with its password")
	f.StringVar(&o.To, "to", "", "database address or data folder that is made")
	f.StringVar(&toFile, "to-file", "", "file that holds the address of --to, with its password")
	c.AddCommand(cp)
	return c
}
