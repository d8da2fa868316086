package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/internal/problem"
)

func paymentCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "payment",
		Short: "Share payment handles as keyed hashes",
		Long: `Makes keyed hashes of payment handles, for lists whose readers may recognise a
handle that they meet, and learn none that they do not. Whoever has the list's
key can test handles, so it goes to the platforms of that list alone, by a way
of its own and never through a node.`,
		Example: "  siaga payment key seahub-2026 --out seahub-2026.key\n  siaga payment hash --key seahub-2026.key < handles.txt",
		Args:    cobra.NoArgs, RunE: needsCommand,
	}
	c.AddCommand(paymentKeyCommand(), paymentHashCommand())
	return c
}

func paymentKeyCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "key ID",
		Short: "Make the key of a list",
		Long: `Makes a new random key and writes it to a file that only you can read. Its ID
is public: it stands in every keyed hash.`,
		Example: "  siaga payment key seahub-2026 --out seahub-2026.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return useError{errors.New("name the key's file with --out")}
			}
			secret := make([]byte, payment.MinSecret)
			_, _ = rand.Read(secret) // it never fails
			if _, err := payment.NewKey(args[0], secret); err != nil {
				return useError{err}
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, os.ErrExist) {
				return problem.Newf(problem.Conflict, "%s is there already", out).WithFix("name another file: a key that is lost cannot be made again")
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(f, "%s:%s\n", args[0], hex.EncodeToString(secret))
			return errors.Join(err, f.Sync(), f.Close())
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write; it must not be there yet")
	return c
}

func paymentHashCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "hash",
		Short: "Make keyed hashes of payment handles",
		Long: `Reads payment handles from its input, one a line, checks them, and prints the
keyed hash of each, to be proposed as a fingerprint of kind payment. Handles are
not taken as arguments, which others on the machine can see.`,
		Example: "  siaga payment hash --key seahub-2026.key < handles.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if key == "" {
				return useError{errors.New("name the list's key with --key")}
			}
			keys, err := readPaymentKeys([]string{key})
			if err != nil {
				return err
			}
			return hashHandles(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), keys[0])
		},
	}
	c.Flags().StringVar(&key, "key", "", "file with the list's key")
	return c
}

// hashHandles prints the keyed hash of each line. What it cannot read it names
// by its line alone, and goes on.
func hashHandles(in io.Reader, out, errs io.Writer, key payment.Key) error {
	failed := 0
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" {
			continue
		}
		h, err := payment.Parse(lines.Text())
		if err == nil {
			h, err = key.Hash(h)
		}
		if err != nil {
			failed++
			fmt.Fprintf(errs, "siaga: line %d: %s\n", n, oneLine(err.Error()))
			continue
		}
		if _, err := fmt.Fprintln(out, h.Reveal()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading handles: %w", err)
	}
	if failed > 0 {
		return exitError{code: exitFailed}
	}
	return nil
}

// readPaymentKeys reads keys from their files.
func readPaymentKeys(files []string) ([]payment.Key, error) {
	var keys []payment.Key
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, problem.Newf(problem.NotFound, "there is no key file %s", name).WithFix("name a file that siaga payment key made")
		}
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(f, 4096))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		k, err := payment.ParseKey(string(b))
		if err != nil {
			return nil, problem.Newf(problem.Invalid, "%s is not the key of a list: %v", name, err).WithFix("name a file that siaga payment key made")
		}
		keys = append(keys, k)
	}
	return keys, nil
}
