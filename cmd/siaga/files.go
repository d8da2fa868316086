package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/problem"
)

// hashLine is one line of siaga hash --json.
type hashLine struct {
	File   string     `json:"file"`
	Bytes  *int64     `json:"bytes,omitempty"`
	SHA256 string     `json:"sha256,omitempty"`
	MD5    string     `json:"md5,omitempty"`
	Format string     `json:"format,omitempty"`
	PDQ    *pdqLine   `json:"pdq,omitempty"`
	VPDQ   []vpdqLine `json:"vpdq,omitempty"`
	Audio  *audioLine `json:"audio,omitempty"`
	TLSH   string     `json:"tlsh,omitempty"`
	Note   string     `json:"note,omitempty"`
	Error  string     `json:"error,omitempty"`
	Fix    string     `json:"fix,omitempty"`
}

type pdqLine struct {
	Hash    string `json:"hash"`
	Quality int    `json:"quality"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`

	// Upright is the hash of the picture as viewers show it, where its EXIF
	// orientation turns it; Hash is of the pixels as they are stored.
	Upright string `json:"upright,omitempty"`
}

type audioLine struct {
	Value   string  `json:"value"` // as docs/format/fingerprints.md has it
	Seconds float64 `json:"seconds"`
}

type vpdqLine struct {
	Frame   int     `json:"frame"`
	TimeS   float64 `json:"time_s"`
	Hash    string  `json:"hash"`
	Quality int     `json:"quality"`
}

func newHashLine(name string, set fingerprint.Set, err error) hashLine {
	l := hashLine{File: name}
	if err != nil {
		l.Error, l.Fix = explain(err)
		return l
	}
	l.Bytes, l.SHA256, l.MD5, l.Format, l.TLSH = &set.Bytes, set.SHA256.String(), set.MD5.String(), set.Format, set.TLSH
	l.Note = set.Note
	if p := set.Picture; p != nil {
		l.PDQ = &pdqLine{Hash: p.PDQ.Hash.String(), Quality: p.PDQ.Quality, Width: p.Width, Height: p.Height}
		if p.Upright != nil {
			l.PDQ.Upright = p.Upright.Hash.String()
		}
	}
	for _, f := range set.Frames {
		l.VPDQ = append(l.VPDQ, vpdqLine{f.Number, f.Seconds, f.PDQ.Hash.String(), f.PDQ.Quality})
	}
	if t := set.Audio.Shared(); t != nil {
		l.Audio = &audioLine{t.String(), math.Round(10*t.Seconds()) / 10}
	}
	if set.Unknown != "" {
		l.Error, l.Fix = set.Unknown, set.Fix
	}
	return l
}

// explain splits an error into what is wrong and what to do.
func explain(err error) (what, fix string) {
	if e, ok := errors.AsType[*media.Error](err); ok {
		return e.What, e.Fix
	}
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Detail, p.Fix
	}
	return err.Error(), "try again; if it happens again, report it"
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fingerprintAll calls each for every file, in the order of the names, while
// several are worked on at once.
func fingerprintAll(ctx context.Context, cmd *cobra.Command, verb string, names []string, local bool, each func(name string, set fingerprint.Set, err error) error) error {
	pool, err := media.New(media.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }() // ends workers; nothing is lost if that fails
	type result struct {
		set fingerprint.Set
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const ahead = 8
	pending := make([]chan result, len(names))
	for i := range pending {
		pending[i] = make(chan result, 1)
	}
	gate := make(chan struct{}, ahead)
	progress, end := bar(cmd.ErrOrStderr(), verb)
	go func() {
		for i, name := range names {
			select {
			case gate <- struct{}{}:
			case <-ctx.Done():
			}
			ch := pending[i]
			go func() {
				var r result
				if name == "-" {
					r.set, r.err = pool.Fingerprint(ctx, cmd.InOrStdin(), media.Want{Name: "-", Local: local})
				} else {
					r.set, r.err = pool.Path(ctx, name, media.Want{Name: name, Local: local})
				}
				ch <- r
			}()
		}
	}()
	defer end()
	for i, name := range names {
		r := <-pending[i]
		<-gate
		if ctx.Err() != nil {
			return fmt.Errorf("stopped after %d of %d files; run it again for the others", i, len(names))
		}
		progress(int64(i+1), int64(len(names)))
		if err := each(name, r.set, r.err); err != nil {
			return err
		}
	}
	return nil
}

// bar shows progress on a terminal for work that takes over two seconds, and a
// plain line every ten seconds elsewhere.
func bar(w io.Writer, verb string) (progress func(done, total int64), end func()) {
	f, isFile := w.(*os.File)
	tty := isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "" //nolint:gosec // a descriptor
	start, last, drawn := time.Now(), time.Now(), false
	progress = func(done, total int64) {
		every := 10 * time.Second
		if tty {
			every = 200 * time.Millisecond
		}
		if time.Since(start) < 2*time.Second || time.Since(last) < every {
			return
		}
		last, drawn = time.Now(), true
		rate := float64(done) / time.Since(start).Seconds()
		left := "?"
		if rate > 0 {
			left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second).String()
		}
		if tty {
			const width = 18
			full := int(width * done / max(total, 1))
			fmt.Fprintf(w, "\r%s  %s%s  %d/%d  %.0f/s  %s left ", verb, strings.Repeat("#", full), strings.Repeat(".", width-full), done, total, rate, left)
			return
		}
		fmt.Fprintf(w, "%s %d/%d, %.0f/s, %s left\n", verb, done, total, rate, left)
	}
	return progress, func() {
		if drawn && tty {
			fmt.Fprintln(w)
		}
	}
}

func hashCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "hash FILE|- ...",
		Short: "Print the fingerprints of files",
		Long: `Prints SHA-256 and MD5 of every file; PDQ of pictures; vPDQ of videos and the
fingerprint of their sound; TLSH of texts and documents. A note says where only
the exact bytes can be found again, as of an archive. Files are decoded in a
confined process of their own.
Exit code 1 if any file could not be read, or claims by its name to be a
picture, video or sound and is none; the others are printed all the same.`,
		Example: `  siaga hash photo.jpg
  siaga hash --json *.mp4 > hashes.jsonl
  cat photo.jpg | siaga hash -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			failed := 0
			out := bufio.NewWriter(cmd.OutOrStdout())
			defer func() { _ = out.Flush() }() // flushed below; this is for errors
			err := fingerprintAll(cmd.Context(), cmd, "hashing", args, false, func(name string, set fingerprint.Set, err error) error {
				l := newHashLine(name, set, err)
				if l.Error != "" {
					failed++
				}
				if asJSON {
					if err := printJSON(out, l); err != nil {
						return err
					}
					return out.Flush()
				}
				printHash(out, cmd.ErrOrStderr(), l)
				return out.Flush()
			})
			if err != nil {
				return err
			}
			if failed > 0 {
				if !asJSON {
					fmt.Fprintf(cmd.ErrOrStderr(), "siaga: %d of %d files not read\n", failed, len(args))
				}
				return exitError{code: exitFailed}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a file")
	return c
}

func printHash(out, talk io.Writer, l hashLine) {
	if l.Error != "" {
		fmt.Fprintf(talk, "siaga: %s: %s; fix: %s\n", oneLine(l.File), oneLine(l.Error), oneLine(l.Fix))
	}
	if l.SHA256 == "" {
		return
	}
	fmt.Fprintf(out, "%s\n  sha256  %s\n  md5     %s\n", oneLine(l.File), l.SHA256, l.MD5)
	if l.PDQ != nil {
		fmt.Fprintf(out, "  pdq     %s  quality %d  %d×%d\n", l.PDQ.Hash, l.PDQ.Quality, l.PDQ.Width, l.PDQ.Height)
		if l.PDQ.Upright != "" {
			fmt.Fprintf(out, "  upright %s  as its EXIF orientation shows it\n", l.PDQ.Upright)
		}
	}
	if n := len(l.VPDQ); n > 0 {
		fmt.Fprintf(out, "  vpdq    %d frames, %.1f s; --json lists them\n", n, l.VPDQ[n-1].TimeS)
	}
	if l.Audio != nil {
		fmt.Fprintf(out, "  audio   %.1f s of sound, for review only; --json has it\n", l.Audio.Seconds)
	}
	if l.TLSH != "" {
		fmt.Fprintf(out, "  tlsh    %s\n", l.TLSH)
	}
	if l.Note != "" {
		fmt.Fprintf(out, "  note    %s\n", oneLine(l.Note))
	}
}

// matchLine is one line of siaga match --json.
type matchLine struct {
	File    string      `json:"file"`
	Matches []matchItem `json:"matches"`
	Note    string      `json:"note,omitempty"`
	Error   string      `json:"error,omitempty"`
	Fix     string      `json:"fix,omitempty"`
}

type matchItem struct {
	Known    string  `json:"known,omitempty"`
	Signal   string  `json:"signal,omitempty"`
	Kind     string  `json:"kind"`
	Distance int     `json:"distance"`
	Score    float64 `json:"score"`
	Pass     string  `json:"pass,omitempty"`
	Action   string  `json:"action"`
}

func matchCommand() *cobra.Command {
	var lists, known []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "match (--list FILE|URL | --known FILE|DIR) FILE ...",
		Short: "Find files again, against a list or known files",
		Long: `Compares files with a list of fingerprints, or with known files that are
fingerprinted first exactly as a proposal would be. A list is JSON Lines
{"kind":…,"value":…,"signal":…,"labels":[…],"max_distance":n,"action":…} or
plain text with one PDQ hash a line.
Exit code 0 means that nothing matched, 3 at least one match, and 1 that some
answer is missing: a file could not be read, or a known file could not be
fingerprinted, so that its copies are not found. The others are answered all the
same.`,
		Example: `  siaga match --known originals/ --json uploads/*.jpg
  siaga match --list hashes.txt photo.jpg`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(lists) == 0 && len(known) == 0 {
				return useError{errors.New("name what to compare with: --list or --known")}
			}
			m := app.NewMatcher()
			for _, l := range lists {
				if err := loadList(cmd.Context(), m, l); err != nil {
					return err
				}
			}
			lost, err := loadKnown(cmd, m, known)
			if err != nil {
				return err
			}
			if m.Len() == 0 {
				return problem.New(problem.Invalid, "there is no fingerprint to compare with", "check what --list and --known name")
			}
			found, failed := false, false
			err = fingerprintAll(cmd.Context(), cmd, "matching", args, true, func(name string, set fingerprint.Set, err error) error {
				l := matchLine{File: name, Matches: []matchItem{}}
				if err != nil {
					l.Error, l.Fix = explain(err)
				} else {
					for _, x := range m.Match(&set) {
						l.Matches = append(l.Matches, matchItem{x.Known, x.Signal, x.Kind, x.Distance, x.Score, x.Pass, x.Action})
					}
					if len(l.Matches) == 0 {
						l.Error, l.Fix, l.Note = set.Unknown, set.Fix, set.Note
					}
				}
				found, failed = found || len(l.Matches) > 0, failed || l.Error != ""
				if asJSON {
					return printJSON(cmd.OutOrStdout(), l)
				}
				printMatch(cmd.OutOrStdout(), cmd.ErrOrStderr(), l)
				return nil
			})
			switch {
			case err != nil:
				return err
			case failed:
				return exitError{code: exitFailed}
			case lost > 0:
				return exitError{exitFailed, problem.Newf(problem.Invalid, "%s could not be fingerprinted, so the answers above may lack matches", knownFiles(lost)).WithFix("replace what is named above, or take it out of --known")}
			case found:
				return exitError{code: exitMatch}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&lists, "list", nil, "file or address of a list of fingerprints; may be given several times")
	c.Flags().StringArrayVar(&known, "known", nil, "known file or folder of files; may be given several times")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a file")
	return c
}

func printMatch(out, talk io.Writer, l matchLine) {
	if l.Error != "" {
		fmt.Fprintf(talk, "siaga: %s: %s; fix: %s\n", oneLine(l.File), oneLine(l.Error), oneLine(l.Fix))
		if len(l.Matches) == 0 {
			return
		}
	}
	if len(l.Matches) == 0 {
		fmt.Fprintf(out, "%s: no match%s\n", oneLine(l.File), inBrackets(l.Note))
		return
	}
	for _, m := range l.Matches {
		what := m.Signal
		if m.Known != "" {
			what = m.Known
		}
		fmt.Fprintf(out, "%s: %s matches %s (%s, distance %d, score %.2f)\n", oneLine(l.File), m.Action, oneLine(what), m.Pass, m.Distance, m.Score)
	}
}

func inBrackets(note string) string {
	if note == "" {
		return ""
	}
	return " (" + oneLine(note) + ")"
}

// maxList is the longest list that is read, in bytes.
var maxList int64 = 1 << 30

// loadList reads a list into the matcher. Every line must be right: a list
// that is read by half protects by half.
func loadList(ctx context.Context, m *app.Matcher, name string) error {
	var r io.ReadCloser
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
		if err != nil {
			return useError{fmt.Errorf("--list %q is not an address", name)}
		}
		resp, err := (&http.Client{Timeout: 5 * time.Minute}).Do(req)
		if err != nil {
			return problem.Newf(problem.Unavailable, "the list %s cannot be fetched: %v", name, err).WithFix("check the address and the network")
		}
		if resp.StatusCode != http.StatusOK {
			_ = resp.Body.Close() // the status says what is wrong
			return problem.Newf(problem.Unavailable, "the list %s answers %s", name, resp.Status).WithFix("check the address")
		}
		r = resp.Body
	} else {
		f, err := media.Open(name)
		if err != nil {
			return err
		}
		r = f
	}
	defer func() { _ = r.Close() }() // read only
	limited := &io.LimitedReader{R: r, N: maxList + 1}
	sc := bufio.NewScanner(limited)
	sc.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for n := 1; sc.Scan(); n++ {
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		bad := func(err error) error {
			return problem.Newf(problem.Invalid, "%s, line %d: %v", name, n, err).WithFix("correct the line, or take it out")
		}
		e := app.ListEntry{Kind: string(fingerprint.PDQ)}
		if line[0] == '{' {
			dec := json.NewDecoder(bytes.NewReader(line))
			dec.DisallowUnknownFields()
			e.Kind = ""
			if err := dec.Decode(&e); err != nil {
				return bad(err)
			}
		} else {
			if _, err := pdq.Parse(string(line)); err != nil {
				return bad(err)
			}
			e.Value = string(line)
		}
		if err := m.Add(e); err != nil {
			return bad(err)
		}
	}
	if err := sc.Err(); err != nil {
		return problem.Newf(problem.Invalid, "reading %s: %v", name, err).WithFix("a list has one entry a line, each under 1 MiB")
	}
	if limited.N == 0 {
		return problem.Newf(problem.TooLarge, "%s is longer than %d MiB", name, maxList>>20).WithFix("split the list, and match against each part")
	}
	return nil
}

func knownFiles(n int) string {
	if n == 1 {
		return "1 known file"
	}
	return fmt.Sprintf("%d known files", n)
}

// loadKnown fingerprints known files. A folder gives all its files; one that
// cannot be fingerprinted is told and counted as lost, since the others can
// still be found.
func loadKnown(cmd *cobra.Command, m *app.Matcher, known []string) (lost int, err error) {
	var files []string
	for _, k := range known {
		info, err := os.Stat(k)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, problem.Newf(problem.NotFound, "there is no file or folder %q", k).WithFix("check the name after --known")
		}
		if err != nil {
			return 0, problem.Newf(problem.Invalid, "%q cannot be read: %v", k, err).WithFix("check its rights")
		}
		if !info.IsDir() {
			files = append(files, k)
			continue
		}
		err = filepath.WalkDir(k, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return 0, problem.Newf(problem.Invalid, "the folder %q cannot be read: %v", k, err).WithFix("check its rights")
		}
	}
	slices.Sort(files)
	if len(files) == 0 {
		return 0, nil
	}
	err = fingerprintAll(cmd.Context(), cmd, "fingerprinting known files", files, true, func(name string, set fingerprint.Set, err error) error {
		if err == nil && set.Unknown != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "siaga: known file %s: %s; only its exact bytes will be found\n", oneLine(name), oneLine(set.Unknown))
			lost++
		}
		if err != nil {
			what, fix := explain(err)
			if lost++; len(files) == 1 {
				return problem.New(problem.Invalid, what, fix)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "siaga: known file left out: %s; fix: %s\n", oneLine(what), oneLine(fix))
			return nil
		}
		return m.AddKnown(name, &set)
	})
	return lost, err
}
