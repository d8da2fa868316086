package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/siaga-crp/siaga/internal/backup"
	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// BackupSuffix ends the names of backups.
const BackupSuffix = ".siaga.age"

// partSuffix ends the names of backups that are being made.
const partSuffix = ".part"

// BackupOptions say what to back up and where to.
type BackupOptions struct {
	Data     string
	Database string
	To       []string // age public keys, or files with one a line
	Out      string   // file to make; it may not be there
	WithKeys bool     // the node's keys too
	Progress func(journal.Progress)
	Now      func() time.Time
}

// Recipients reads age public keys: each text is one, or a file with one a line.
func Recipients(list []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, text := range list {
		in := text
		if !strings.HasPrefix(text, "age1") {
			b, err := os.ReadFile(text)
			if err != nil {
				return nil, problem.Newf(problem.Invalid, "%q is neither an age public key nor a file with one", text).WithFix("write it as age1…, or name the file that holds it").Because(err)
			}
			in = string(b)
		}
		rs, err := age.ParseRecipients(strings.NewReader(in))
		if err != nil {
			return nil, problem.Newf(problem.Invalid, "%q holds no age public key", text).WithFix("make a pair with age-keygen and name its public half, age1…").Because(err)
		}
		out = append(out, rs...)
	}
	if len(out) == 0 {
		return nil, problem.New(problem.Invalid, "a backup needs a public key to be encrypted to", "make a pair with age-keygen and name its public half with --to")
	}
	return out, nil
}

// Identities reads age secret keys from files.
func Identities(files []string) ([]age.Identity, error) {
	var out []age.Identity
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, problem.Newf(problem.Invalid, "the secret key %s cannot be read", file).WithFix("name the file that age-keygen made").Because(err)
		}
		ids, err := age.ParseIdentities(bytes.NewReader(b))
		if err != nil {
			return nil, problem.Newf(problem.Invalid, "%s holds no age secret key", file).WithFix("name the file that age-keygen made").Because(err)
		}
		out = append(out, ids...)
	}
	if len(out) == 0 {
		return nil, problem.New(problem.Invalid, "a backup is read with its secret key", "name the file that age-keygen made with --identity")
	}
	return out, nil
}

// Backup makes a backup of a node, which may be running, reads it back and
// records it.
func Backup(ctx context.Context, o BackupOptions) (history.Done, error) {
	_, set, store, err := OpenLog(ctx, o.Data, o.Database, false)
	if err != nil {
		return history.Done{}, err
	}
	done, err := backupStore(ctx, store, set, o)
	return done, errors.Join(err, store.Close())
}

// backupStore makes a backup of an open store.
func backupStore(ctx context.Context, store journal.Store, set *keys.Set, o BackupOptions) (done history.Done, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	to, err := Recipients(o.To)
	if err != nil {
		return done, err
	}
	begun := time.Now()
	b := backup.Options{Recipients: to, Progress: o.Progress, Header: backup.Header{
		ID: rand.Text(), Written: o.Now().UTC().Truncate(time.Second), Version: Version(), Origin: set.Origin, VKey: set.VKey,
	}}
	if o.WithKeys {
		if b.Keys, err = readKeys(filepath.Join(o.Data, "keys")); err != nil {
			return done, err
		}
	}
	if err := store.View(ctx, func(r journal.StoreReader) error {
		state, err := history.Load(r)
		b.Header.Epoch = state.Epoch
		return err
	}); err != nil {
		return done, err
	}
	exists := problem.Newf(problem.Conflict, "%s exists already", o.Out).WithFix("name a new file with --out")
	if _, err := os.Lstat(o.Out); err == nil {
		return done, exists
	}
	// It gets its name when it is whole and was read back: what a killed backup
	// leaves is no backup to anyone.
	f, err := os.CreateTemp(filepath.Dir(o.Out), filepath.Base(o.Out)+"-*"+partSuffix)
	if err != nil {
		return done, problem.Newf(problem.Invalid, "%s cannot be made: %v", o.Out, err).WithFix("name another file with --out")
	}
	at := f.Name()
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(at) // half a backup is none
		}
	}()
	w, err := backup.Write(ctx, store, f, b)
	if err != nil {
		return done, fullDisk(o.Out, err)
	}
	if err := f.Sync(); err != nil {
		return done, fullDisk(o.Out, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return done, err
	}
	c, err := backup.Check(ctx, f, backup.ReadOptions{Identities: []age.Identity{w.Identity}, VKey: set.VKey})
	if err != nil {
		return done, fmt.Errorf("reading the backup back: %w", err)
	}
	if c.SHA256 != w.SHA256 || c.Root != w.Root {
		return done, problem.New(problem.Internal, "what was read back is not what was written", "check the disk that the backup is on, then make another one")
	}
	if _, err := os.Lstat(o.Out); err == nil {
		return done, exists // made meanwhile
	}
	if err := os.Rename(at, o.Out); err != nil {
		return done, fullDisk(o.Out, err)
	}
	at = o.Out
	if err := history.SyncDir(filepath.Dir(o.Out)); err != nil {
		return done, fullDisk(o.Out, err)
	}
	done = history.Done{
		Backup: c.ID, At: o.Now().UTC(), Written: c.Written, Entries: c.Entries, Root: c.Root.String(), Bytes: size,
		Place: filepath.Base(o.Out), Took: time.Since(begun).Milliseconds(), Keys: c.Keys,
	}
	return done, store.Update(ctx, func(tx journal.StoreTx) error { return history.PutDone(tx, history.LastBackup, done) })
}

func fullDisk(path string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return problem.Newf(problem.Unavailable, "the backup %s cannot be written: %v", path, errors.Unwrap(err)).WithFix("free space there, or name another place with --out").Because(err)
	}
	return err
}

func readKeys(dir string) ([]backup.Key, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the node's keys: %w", err)
	}
	var out []backup.Key
	for _, e := range list {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the node's keys: %w", err)
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, backup.Key{Name: e.Name(), Mode: uint32(info.Mode().Perm()), Data: b})
	}
	return out, nil
}

// RestoreOptions say which backup to restore, and where to.
type RestoreOptions struct {
	From       string
	Identities []string // files with age secret keys
	Data       string   // folder; it may hold keys alone
	Database   string
	// Rehearse restores into a temporary folder, verifies, and removes it. If
	// Data is a node's, its key is what the backup is verified with, and the
	// node remembers the rehearsal.
	Rehearse bool
	Progress func(journal.Progress)
	Now      func() time.Time
}

// Restored is what a restore found.
type Restored struct {
	backup.Content
	Report journal.Report
	Read   time.Duration // reading, decrypting and storing
	Verify time.Duration
}

// Restore fills an empty data folder or database from a backup and verifies it.
// The node that is in it then needs "siaga recover" before it takes writes.
func Restore(ctx context.Context, o RestoreOptions) (out Restored, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	ids, err := Identities(o.Identities)
	if err != nil {
		return out, err
	}
	f, err := os.Open(o.From)
	if err != nil {
		return out, problem.Newf(problem.NotFound, "the backup %s cannot be opened", o.From).WithFix("name a file that siaga backup made with --from").Because(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if o.Rehearse {
		return rehearse(ctx, o, f, ids)
	}
	if o.Database == "" {
		if _, err := os.Lstat(filepath.Join(o.Data, databaseFile)); err == nil {
			return out, problem.Newf(problem.Conflict, "%s holds a database already", o.Data).WithFix("name an empty folder with --data; a restore overwrites nothing")
		}
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return out, problem.Newf(problem.Invalid, "the data folder %s cannot be made: %v", o.Data, err).WithFix("name another folder with --data")
	}
	return restoreInto(ctx, o, f, ids)
}

func restoreInto(ctx context.Context, o RestoreOptions, f io.Reader, ids []age.Identity) (out Restored, err error) {
	dir := filepath.Join(o.Data, "keys")
	_, err = os.Lstat(dir)
	had := err == nil
	vkey := ""
	if had {
		set, err := keys.Load(dir)
		if err != nil {
			return out, err
		}
		vkey = set.VKey
	}
	begun := time.Now()
	store, err := openStore(ctx, StoreOptions{Data: o.Data, Database: o.Database, Create: true})
	if err != nil {
		return out, err
	}
	defer func() {
		err = errors.Join(err, store.Close())
		if err == nil {
			return
		}
		if o.Database == "" {
			for _, n := range []string{"", "-wal", "-shm", ".lock"} {
				_ = os.Remove(filepath.Join(o.Data, databaseFile+n)) // half a restore is none
			}
		}
		if !had {
			_ = os.RemoveAll(dir)
		}
	}()
	out.Content, err = backup.Restore(ctx, f, store, backup.ReadOptions{
		Identities: ids, VKey: vkey, Progress: o.Progress, Skip: partner.Passing(),
		Header: func(h backup.Header) error {
			if had || h.Keys {
				return nil
			}
			return problem.Newf(problem.NotFound, "this backup was made without the node's keys, and there are none in %s", dir).
				WithFix("put the node's keys there first; without them it would be another node")
		},
		Keys: func(k backup.Key) error {
			if had {
				return nil // those of the folder fit, as VKey says
			}
			return writeKey(dir, k)
		},
	})
	if err != nil {
		return out, err
	}
	out.Read = time.Since(begun)
	set, err := keys.Load(dir)
	if err != nil {
		return out, err
	}
	log, err := newLog(store, set, o.Now, nil, nil)
	if err != nil {
		return out, err
	}
	begun = time.Now()
	if out.Report, err = log.Verify(ctx, journal.VerifyOptions{Feed: VerifyFeed(), Progress: o.Progress}); err != nil {
		return out, err
	}
	out.Verify = time.Since(begun)
	if !out.Report.OK() || out.Report.Root != out.Root {
		return out, problem.Newf(problem.Internal, "the restored journal does not verify: %d faults, the first: %s", out.Report.Found, firstFault(out.Report)).
			WithFix("use another backup, and keep this one as evidence")
	}
	return out, store.Update(ctx, func(tx journal.StoreTx) error {
		return history.PutDone(tx, history.LastRestore, out.done(o.Now()))
	})
}

func (r *Restored) done(now time.Time) history.Done {
	return history.Done{Backup: r.ID, At: now.UTC(), Written: r.Written, Entries: r.Entries, Root: r.Root.String(), Took: (r.Read + r.Verify).Milliseconds(), Keys: r.Keys}
}

func firstFault(r journal.Report) string {
	if len(r.Faults) == 0 {
		return "its root is not that of the backup"
	}
	return r.Faults[0].String()
}

func writeKey(dir string, k backup.Key) error {
	if filepath.Base(k.Name) != k.Name || strings.HasPrefix(k.Name, ".") || k.Name == "" {
		return problem.Newf(problem.Invalid, "the backup has a key with the name %q", k.Name).WithFix("use another backup")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of keys: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, k.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(k.Mode)&0o644)
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	_, err = f.Write(k.Data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// rehearse restores into a temporary folder beside the data.
func rehearse(ctx context.Context, o RestoreOptions, f io.Reader, ids []age.Identity) (out Restored, err error) {
	node := filepath.Join(o.Data, "keys")
	_, err = os.Lstat(node)
	known := err == nil
	parent := os.TempDir()
	if known {
		parent = o.Data
	}
	dir, err := os.MkdirTemp(parent, "rehearsal-")
	if err != nil {
		return out, fmt.Errorf("making a folder for the rehearsal: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if known {
		list, err := readKeys(node)
		if err != nil {
			return out, err
		}
		for _, k := range list {
			if err := writeKey(filepath.Join(dir, "keys"), k); err != nil {
				return out, err
			}
		}
	}
	in := o
	in.Data, in.Database = dir, ""
	if out, err = restoreInto(ctx, in, f, ids); err != nil || !known {
		return out, err
	}
	_, _, store, err := OpenLog(ctx, o.Data, o.Database, false)
	if err != nil {
		return out, err
	}
	return out, errors.Join(store.Update(ctx, func(tx journal.StoreTx) error {
		return history.PutDone(tx, history.LastRehearsal, out.done(o.Now()))
	}), store.Close())
}

// Backups is what a node knows of its backups, for those who watch over it.
// A zero At means never.
type Backups struct {
	Last, Failure, Restored, Rehearsed history.Done
}

// Backups returns what the node knows of its backups.
func (n *Node) Backups(ctx context.Context) (b Backups, err error) {
	err = n.store.View(ctx, func(r journal.StoreReader) error {
		for what, into := range map[string]*history.Done{
			history.LastBackup: &b.Last, history.LastFailure: &b.Failure, history.LastRestore: &b.Restored, history.LastRehearsal: &b.Rehearsed,
		} {
			d, _, err := history.GetDone(r, what)
			if err != nil {
				return err
			}
			*into = d
		}
		return nil
	})
	return b, err
}

// backupEvery makes scheduled backups until ctx ends: one when the last is
// older than the interval, by one of the nodes over a database.
func (n *Node) backupEvery(ctx context.Context) error {
	o := n.o
	if o.BackupDir == "" || o.BackupEvery <= 0 {
		return nil
	}
	tick := time.NewTicker(min(o.BackupEvery/4, time.Minute))
	defer tick.Stop()
	for {
		if mine, err := n.claimBackup(ctx); err != nil && ctx.Err() == nil {
			o.Log.WarnContext(ctx, "no backup was begun", "err", err)
		} else if mine {
			n.scheduledBackup(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// claimBackup reports whether a backup is due and this node makes it.
func (n *Node) claimBackup(ctx context.Context) (mine bool, err error) {
	now := n.o.Now()
	err = n.store.Update(ctx, func(tx journal.StoreTx) error {
		mine = false
		for _, what := range []string{history.LastBackup, history.LastFailure, "claim"} {
			d, ok, err := history.GetDone(tx, what)
			wait := n.o.BackupEvery
			if what != history.LastBackup {
				wait = min(wait, 15*time.Minute)
			}
			if err != nil || ok && now.Sub(d.At) < wait {
				return err
			}
		}
		mine = true
		return history.PutDone(tx, "claim", history.Done{At: now.UTC()})
	})
	return mine, err
}

func (n *Node) scheduledBackup(ctx context.Context) {
	o := n.o
	name := "siaga-" + o.Now().UTC().Format("20060102T150405Z") + BackupSuffix
	done, err := backupStore(ctx, n.guard.Store, n.Keys, BackupOptions{
		Data: o.Data, To: []string{o.BackupTo}, Out: filepath.Join(o.BackupDir, name), WithKeys: o.BackupKeys, Now: o.Now,
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		o.Log.ErrorContext(ctx, "the scheduled backup failed", "err", err)
		reason := "see the node's log"
		if p, ok := errors.AsType[*problem.Error](err); ok {
			reason = p.Detail
		}
		err := n.store.Update(ctx, func(tx journal.StoreTx) error {
			return history.PutDone(tx, history.LastFailure, history.Done{At: o.Now().UTC(), Place: name, Error: reason})
		})
		if err != nil {
			o.Log.WarnContext(ctx, "the failure was not recorded", "err", err)
		}
		return
	}
	o.Log.InfoContext(ctx, "backup made and read back", "place", done.Place, "entries", done.Entries, "bytes", done.Bytes, "took_ms", done.Took)
	if err := prune(o.BackupDir, max(o.BackupKeep, 1), name); err != nil {
		o.Log.WarnContext(ctx, "old backups were not deleted", "err", err)
	}
}

// prune deletes scheduled backups besides the newest by name. The one that was
// just made stays, whatever the clock says; it counts as one of those kept.
// Parts that a killed backup left go after a day: a younger one may be another
// node's at work.
func prune(dir string, keep int, made string) error {
	list, err := filepath.Glob(filepath.Join(dir, "siaga-*Z"+BackupSuffix))
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(path string) bool { return filepath.Base(path) == made })
	slices.Sort(list) // by time
	old := list[:max(len(list)-(keep-1), 0)]
	parts, err := filepath.Glob(filepath.Join(dir, "siaga-*Z"+BackupSuffix+"-*"+partSuffix))
	if err != nil {
		return err
	}
	for _, path := range parts {
		if st, err := os.Lstat(path); err == nil && time.Since(st.ModTime()) > 24*time.Hour {
			old = append(old, path)
		}
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
