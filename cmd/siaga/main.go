// Command siaga runs a crisis response protocol between partners: as a node,
// as a platform's edge, and as the tools around them.
//
// Exit codes: 0 done; 1 failed; 2 wrong use; for "siaga match" 3 means at
// least one match. Results go to stdout; everything else to stderr, errors as
// one line that says what is wrong and what to do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/siaga-crp/siaga/internal/config"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/problem"
)

func main() {
	if media.IsWorker() {
		media.WorkerMain()
		return
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUse    = 2
	exitMatch  = 3
)

// exitError ends the program with a code; err may be nil when all was said.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// useError is a wrong use of the command line.
type useError struct{ error }

func (e useError) Unwrap() error { return e.error }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	var lost *helpless
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if rest := cmd.Flags().Args(); cmd.HasSubCommands() && len(rest) > 0 {
			lost = &helpless{cmd, noCommand(cmd, rest[0])}
			return
		}
		help(cmd, args)
	})
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && lost != nil {
		cmd, err = lost.cmd, lost.err
	}
	if err == nil {
		return exitDone
	}
	code := exitFailed
	if e, ok := errors.AsType[exitError](err); ok {
		if code = e.code; e.err == nil {
			return code
		}
		err = e.err
	}
	if _, ok := errors.AsType[useError](err); ok || isUse(err) {
		code = exitUse
		about := cmd
		if cmd.Name() == "help" {
			about = root
		}
		fmt.Fprintf(stderr, "siaga: %s; see %s --help\n", oneLine(wrongUse(cmd, err)), about.CommandPath())
		return code
	}
	fmt.Fprintf(stderr, "siaga: %s\n", oneLine(message(err)))
	return code
}

// helpless is help that was asked for about what there is not.
type helpless struct {
	cmd *cobra.Command
	err error
}

// noCommand says that a command is not there, and which one may be meant: one
// that is a slip or two away and shares more than it lacks.
func noCommand(of *cobra.Command, name string) error {
	s := fmt.Sprintf("unknown command %q for %q", name, of.CommandPath())
	var names []string
	for _, c := range of.Commands() {
		if c.IsAvailableCommand() && (len(name) > 3 || len(c.Name()) <= len(name)+1 && strings.ContainsAny(name[:1], c.Name()[:1])) {
			names = append(names, c.Name())
		}
	}
	if near, ok := problem.Nearest(name, names); ok {
		s += fmt.Sprintf("; did you mean %s %s?", of.CommandPath(), near)
	}
	return useError{errors.New(s)}
}

// fields marks what is wrong with named fields as a wrong use, since at the
// command line they are its flags.
func fields(err error) error {
	if p, ok := errors.AsType[*problem.Error](err); ok && len(p.Fields) > 0 {
		return useError{err}
	}
	return err
}

// wrongUse puts cobra's and pflag's complaints into our words: what is wrong,
// and what to write instead.
func wrongUse(cmd *cobra.Command, err error) string {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := e.GetFlag()
		what := map[string]string{
			"int": "a whole number, such as %s", "int64": "a whole number, such as %s", "duration": "a time such as 30s or 5m", "bool": "true or false",
		}[f.Value.Type()]
		if what == "" {
			return fmt.Sprintf("--%s cannot be %q: %v", f.Name, e.GetValue(), e.Unwrap())
		}
		if strings.Contains(what, "%s") {
			example := f.DefValue
			if example == "0" || example == "-1" {
				example = "10"
			}
			what = fmt.Sprintf(what, example)
		}
		from := "--" + f.Name
		if _, ok := f.Annotations[fromVariable]; ok {
			from = "the environment's " + config.Variable(strings.ReplaceAll(f.Name, "-", "_"))
		}
		return fmt.Sprintf("%s is %q; give it %s", from, e.GetValue(), what)
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Sprintf("--%s needs a value: %s", e.GetFlag().Name, e.GetFlag().Usage)
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok && e.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near, ok := problem.Nearest(e.GetSpecifiedName(), names); ok {
			return fmt.Sprintf("there is no flag --%s; did you mean --%s?", e.GetSpecifiedName(), near)
		}
		return fmt.Sprintf("there is no flag --%s", e.GetSpecifiedName())
	}
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return message(err)
	}
	s := err.Error()
	if rest := cmd.Flags().Args(); strings.HasPrefix(s, "unknown command") && cmd.HasSubCommands() && len(rest) > 0 {
		return noCommand(cmd, rest[0]).Error()
	}
	if strings.HasPrefix(s, "accepts ") || strings.HasPrefix(s, "requires ") {
		form := strings.TrimSuffix(cmd.UseLine(), " [flags]")
		if len(cmd.Flags().Args()) == 0 {
			return "what to work on is missing: " + form
		}
		return fmt.Sprintf("%d words are too few or too many here: %s", len(cmd.Flags().Args()), form)
	}
	return s
}

// message is what a person reads: a problem's own words, or the whole chain.
func message(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		if len(p.Fields) > 1 {
			var all []string
			for _, f := range p.Fields {
				all = append(all, f.Name+": "+f.Detail)
			}
			return strings.Join(all, "; ") + "; fix: " + p.Fix
		}
		if p.Fix != "" {
			return p.Detail + "; fix: " + p.Fix
		}
		return p.Detail
	}
	if e, ok := errors.AsType[*media.Error](err); ok {
		return e.What + "; fix: " + e.Fix
	}
	return err.Error()
}

// oneLine keeps an error on one line and control characters off the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069):
			return '\ufffd'
		}
		return r
	}, strings.TrimSpace(s))
}

// isUse recognises cobra's own complaints about the command line.
func isUse(err error) bool {
	s := err.Error()
	for _, p := range []string{"unknown command", "unknown flag", "unknown shorthand", "flag needs an argument", "invalid argument", "required flag", "accepts ", "requires "} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "siaga",
		Short: "Run a crisis response protocol together",
		Long: `Siaga runs a crisis response protocol between governments, platforms and
civil society: a partner notifies, a quorum activates, fingerprints of the
perpetrator's content reach every platform's edge in under a second, mistakes
are withdrawn as fast, and everyone can prove afterwards what was done.`,
		Example: `  siaga demo                       watch copies being blocked on twelve edges
  siaga hash photo.jpg             fingerprints of a file
  siaga init && siaga serve        a node of your own
  siaga edge --upstream https://siaga.example --token-file edge.token`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]...", Short: "Say how a command is used", Example: "  siaga help token create",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || about.HasSubCommands() && len(rest) > 0 {
				if len(rest) == 0 {
					rest = args
				}
				return noCommand(about, rest[0])
			}
			return about.Help()
		},
	})
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return useError{err} })
	root.AddCommand(
		initCommand(), serveCommand(), demoCommand(), hashCommand(), matchCommand(), edgeCommand(), relayCommand(),
		protocolCommand(), logCommand(), benchCommand(), tokenCommand(), partnerCommand(), memberCommand(), dutyCommand(), configCommand(), versionCommand(),
		recoverCommand(), backupCommand(), restoreCommand(), dataCommand(), paymentCommand(),
	)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) }
	return root
}

// fromVariable marks a flag that the environment set.
const fromVariable = "environment"

// fromEnvironment sets each flag that the command line left from SIAGA_NAME.
func fromEnvironment(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := config.Variable(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && v != "" && !f.Changed && f.Name != "help" && err == nil {
			if e := cmd.Flags().Set(f.Name, v); e != nil {
				_ = cmd.Flags().SetAnnotation(f.Name, fromVariable, nil) // for the words of the error
				err = useError{e}
				return
			}
			err = cmd.Flags().SetAnnotation(f.Name, fromVariable, nil)
		}
	})
	return err
}
