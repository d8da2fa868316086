package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/config"
)

const (
	defaultData = "data"
	// settingsFile is read if it is in the working folder and no other is named.
	settingsFile = "siaga.yaml"
)

// nodeFlags are those by which every command finds the node: settings file, data
// folder and database.
func nodeFlags(f *pflag.FlagSet, o *app.Options) {
	f.String("config", "", "settings file (default: "+settingsFile+", if it is in the working folder)")
	f.StringVar(&o.Data, "data", defaultData, "the node's data folder")
	f.StringVar(&o.Database, "database", "", "PostgreSQL address (default: SQLite in the data folder)")
	f.StringVar(&o.DatabaseFile, "database-file", "", "file that holds the address of --database, with its password")
}

// load completes o from the settings file and the environment: what a flag has
// set stays. It returns the file's name, "" for none.
func load(cmd *cobra.Command, o *app.Options) (string, *config.Report, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", nil, err
	}
	if file == "" {
		if _, err := os.Stat(settingsFile); err == nil {
			file = settingsFile
		}
	}
	r, err := config.Load(config.Sources{File: file, Env: os.LookupEnv, Flag: func(key string) (string, bool) {
		f := cmd.Flags().Lookup(config.FlagName(key))
		if f == nil || !f.Changed {
			return "", false
		}
		if _, variable := f.Annotations[fromVariable]; variable {
			return "", false
		}
		return "--" + f.Name, true
	}}, o)
	if err != nil {
		return file, nil, err
	}
	r.Add(o.Check()...)
	if config.HasPassword(o.Database) && r.Origin("database") != config.Variable("database") {
		r.Add(config.Mistakef("database", "move the address into a file that only the node can read, and name it with database_file", "the address of the database holds its password, which others can read there"))
	}
	return file, r, nil
}

// settings is load for a command that goes on only if all of it is right.
func settings(cmd *cobra.Command, o *app.Options) error {
	_, r, err := load(cmd, o)
	if err != nil {
		return err
	}
	if err = r.Err(); err == nil {
		return nil
	}
	for _, m := range r.Mistakes {
		if !strings.HasPrefix(m.Where, "--") {
			return err
		}
	}
	return useError{errors.New(message(err))} // the command line alone is wrong
}

// store is settings for a command that opens the node's store only; it returns
// the database's address.
func store(cmd *cobra.Command, o *app.Options) (string, error) {
	if err := settings(cmd, o); err != nil {
		return "", err
	}
	return app.DatabaseAddress(o.Database, o.DatabaseFile)
}

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Check a node's settings",
		Example: "  siaga config check", Args: cobra.NoArgs, RunE: needsCommand,
	}
	o := app.Options{Listen: app.DefaultListen, Level: "info"}
	var asJSON bool
	check := &cobra.Command{
		Use: "check", Short: "Explain every mistake in the settings, or show where each comes from",
		Long: `Reads the settings file and the environment as "siaga serve" does and opens
nothing. It prints every mistake with its place and fix, exit code 1, or else
each setting with its value and what set it.`,
		Example: `  siaga config check
  siaga config check --config /etc/siaga/siaga.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, r, err := load(cmd, &o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, m := range r.Mistakes {
				if asJSON {
					err = printJSON(out, m)
				} else {
					_, err = fmt.Fprintln(out, oneLine(m.String()))
				}
				if err != nil {
					return err
				}
			}
			if len(r.Mistakes) > 0 {
				return exitError{code: exitFailed}
			}
			for _, s := range r.Settings(&o) {
				if asJSON {
					err = printJSON(out, s)
				} else {
					_, err = fmt.Fprintf(out, "%s: %s  (%s)\n", s.Key, oneLine(s.Value), s.Origin)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	nodeFlags(check.Flags(), &o)
	check.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	c.AddCommand(check)
	return c
}
