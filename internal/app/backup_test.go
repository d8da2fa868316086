package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// ageKey makes a pair; it returns the public key and the file of the secret one.
func ageKey(t *testing.T) (public, file string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("# a comment\n"+id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), file
}

// TestBackupAndRestore backs a serving node up, writes on, rehearses, restores,
// and recovers; the node is served in a new epoch and knows its backups.
func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	data, out, restored := filepath.Join(dir, "data"), filepath.Join(dir, "a"+BackupSuffix), filepath.Join(dir, "restored")
	if _, err := Init(t.Context(), InitOptions{Data: data}); err != nil {
		t.Fatal(err)
	}
	public, secret := ageKey(t)
	n := runNode(t, data, "127.0.0.1:0")
	for i := uint64(1); i <= 30; i++ {
		if err := n.publish(t, edge.Add, i); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	wrote := make(chan error, 1)
	go func() {
		for i := uint64(100); ; i++ {
			select {
			case <-stop:
				wrote <- nil
				return
			default:
			}
			if err := n.publish(t, edge.Add, i); err != nil {
				wrote <- err
				return
			}
		}
	}()
	// What is not whole yet never has the name of a backup.
	watched, early := false, false
	done, err := Backup(t.Context(), BackupOptions{Data: data, To: []string{public}, Out: out, WithKeys: true, Progress: func(journal.Progress) {
		_, err := os.Lstat(out)
		watched, early = true, early || err == nil
	}})
	close(stop)
	if werr := <-wrote; err != nil || werr != nil {
		t.Fatal(err, werr)
	}
	if !watched || early {
		t.Errorf("progress was told: %v; the backup had its name before it was whole: %v", watched, early)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.part")); err != nil || len(left) > 0 {
		t.Errorf("the backup left %v, %v", left, err)
	}
	if done.Entries < 32 || !done.Keys {
		t.Errorf("%+v", done)
	}
	if b, err := n.Backups(t.Context()); err != nil || b.Last.Backup != done.Backup || !b.Restored.At.IsZero() {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := Backup(t.Context(), BackupOptions{Data: data, To: []string{public}, Out: out}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a second backup into the same file: %v", err)
	}
	if st, err := os.Stat(out); err != nil || st.Size() != done.Bytes {
		t.Errorf("%v %v: the first backup was touched", st, err)
	}
	r, err := Restore(t.Context(), RestoreOptions{From: out, Identities: []string{secret}, Data: data, Rehearse: true})
	if err != nil || r.Entries != done.Entries {
		t.Fatalf("%+v, %v", r, err)
	}
	if left, err := filepath.Glob(filepath.Join(data, "rehearsal-*")); err != nil || len(left) > 0 {
		t.Errorf("the rehearsal left %v, %v", left, err)
	}
	if b, err := n.Backups(t.Context()); err != nil || b.Rehearsed.Backup != done.Backup {
		t.Errorf("%+v, %v", b, err)
	}
	n.stop()

	if _, err := Restore(t.Context(), RestoreOptions{From: out, Identities: []string{secret}, Data: data}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("over a node: %v", err)
	}
	_, other := ageKey(t)
	if _, err := Restore(t.Context(), RestoreOptions{From: out, Identities: []string{other}, Data: restored}); problem.KindOf(err) != problem.Denied {
		t.Errorf("with another key: %v", err)
	}
	r, err = Restore(t.Context(), RestoreOptions{From: out, Identities: []string{secret}, Data: restored})
	if err != nil || r.Report.Root != r.Root || !r.Report.OK() {
		t.Fatalf("%+v, %v", r, err)
	}
	n = runNode(t, restored, "127.0.0.1:0")
	if err := n.publish(t, edge.Add, 999); problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "restored from the backup") {
		t.Errorf("before siaga recover a write gave %v", err)
	}
	n.stop()
	rec, err := Recover(t.Context(), RecoverOptions{Data: restored, Why: "a drill"})
	if err != nil || rec.Epoch != 2 || rec.Backup != done.Backup {
		t.Fatalf("%+v, %v", rec, err)
	}
	n = runNode(t, restored, "127.0.0.1:0")
	if err := n.publish(t, edge.Add, 999); err != nil {
		t.Error(err)
	}
	if b, err := n.Backups(t.Context()); err != nil || b.Restored.Backup != done.Backup {
		t.Errorf("%+v, %v", b, err)
	}
	report, err := n.Log.Verify(t.Context(), journal.VerifyOptions{Feed: VerifyFeed()})
	if err != nil || !report.OK() {
		t.Errorf("%v %v", report.Faults, err)
	}
}

// TestScheduledBackups: a node makes them by itself and keeps the newest.
func TestScheduledBackups(t *testing.T) {
	dir := t.TempDir()
	data, to := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	if _, err := Init(t.Context(), InitOptions{Data: data}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	public, _ := ageKey(t)
	now := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	n, err := New(t.Context(), Options{Data: data, Listen: "127.0.0.1:0", BackupDir: to, BackupTo: public, BackupEvery: time.Hour, BackupKeep: 2, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // a test
	for range 4 {
		for range 3 { // the second and third find nothing to do
			if mine, err := n.claimBackup(t.Context()); err != nil {
				t.Fatal(err)
			} else if mine {
				n.scheduledBackup(t.Context())
			}
		}
		now = now.Add(time.Hour)
	}
	list, err := os.ReadDir(to)
	if err != nil || len(list) != 2 || list[1].Name() != "siaga-20261129T060000Z"+BackupSuffix {
		t.Fatalf("%v, %v", list, err)
	}
	// A clock that was set back names a backup before the others: it stays all
	// the same. What a killed backup left is none, and goes after a day.
	part := filepath.Join(to, "siaga-20261129T070000Z"+BackupSuffix+"-1.part")
	fresh := filepath.Join(to, "siaga-20261129T070000Z"+BackupSuffix+"-2.part")
	for _, f := range []string{part, fresh} {
		if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(part, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	was := now
	now, n.o.BackupKeep = now.Add(-48*time.Hour), 1
	n.scheduledBackup(t.Context())
	left, err := filepath.Glob(filepath.Join(to, "*"))
	if want := []string{filepath.Join(to, "siaga-20261127T070000Z"+BackupSuffix), fresh}; err != nil || !slices.Equal(left, want) {
		t.Errorf("after a backup with the clock set back there are %v, %v; want %v", left, err, want)
	}
	now, n.o.BackupKeep = was, 2
	n.o.BackupDir = filepath.Join(dir, "gone")
	if mine, err := n.claimBackup(t.Context()); err != nil || !mine {
		t.Fatal(mine, err)
	}
	n.scheduledBackup(t.Context())
	if b, err := n.Backups(t.Context()); err != nil || b.Failure.Error == "" || b.Last.Place != "siaga-20261127T070000Z"+BackupSuffix {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestDataCopy moves a node to PostgreSQL and back, once after an interruption.
func TestDataCopy(t *testing.T) {
	server := pgtest.Own(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if _, err := Init(t.Context(), InitOptions{Data: data}); err != nil {
		t.Fatal(err)
	}
	n := runNode(t, data, "127.0.0.1:0")
	for i := uint64(1); i <= 40; i++ {
		if err := n.publish(t, edge.Add, i); err != nil {
			t.Fatal(err)
		}
	}
	url := server.Database(t)
	if _, err := CopyData(t.Context(), CopyOptions{From: data, To: url, Data: data}); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "open") {
		t.Errorf("while the node runs: %v", err)
	}
	n.stop()
	// An interruption in the middle leaves a target that no node serves.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := CopyData(ctx, CopyOptions{From: data, To: url, Data: data, Progress: func(p journal.Progress) { cancel() }})
	if err == nil {
		t.Fatal("an interrupted copy succeeded")
	}
	if _, err := New(t.Context(), Options{Data: data, Database: url, Listen: "127.0.0.1:0"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a half copy was served: %v", err)
	}
	c, err := CopyData(t.Context(), CopyOptions{From: data, To: url, Data: data})
	if err != nil || c.Report.Root != c.Head.Root || c.Head.Size < 42 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := CopyData(t.Context(), CopyOptions{From: data, To: url, Data: data}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("into a target that has a journal: %v", err)
	}
	n2, err := New(t.Context(), Options{Data: data, Database: url, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Node: n2}
	if err := r.publish(t, edge.Remove, 3); err != nil {
		t.Error(err)
	}
	if err := n2.Close(); err != nil {
		t.Error(err)
	}
	// What leaves no entry, as a session of a node that serves on, must not be
	// lost: the copy is refused, not served, and goes on when asked again.
	back := filepath.Join(dir, "back")
	_, _, beside, err := OpenLog(t.Context(), data, url, false)
	if err != nil {
		t.Fatal(err)
	}
	session := journal.Private{Kind: "session", ID: "s1", Owner: "m1", Doc: []byte("{}")}
	wrote := false
	_, err = CopyData(t.Context(), CopyOptions{From: url, To: back, Data: data, Progress: func(journal.Progress) {
		if wrote {
			return
		}
		wrote = true
		if err := beside.Update(t.Context(), func(tx journal.StoreTx) error { return tx.PutPrivate(session) }); err != nil {
			t.Error(err)
		}
	}})
	if err := beside.Close(); err != nil {
		t.Error(err)
	}
	if problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "was written to") || !wrote {
		t.Errorf("a copy during which a session was written: %v", err)
	}
	if err := os.Symlink(filepath.Join(data, "keys"), filepath.Join(back, "keys")); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Options{Data: back, Listen: "127.0.0.1:0"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a copy that lacks a session was served: %v", err)
	}
	c2, err := CopyData(t.Context(), CopyOptions{From: url, To: back, Data: data})
	if err != nil || c2.Head.Size != c.Head.Size+1 || !c2.Report.OK() {
		t.Fatalf("%+v, %v", c2, err)
	}
	_, _, copied, err := OpenLog(t.Context(), back, "", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := copied.View(t.Context(), func(r journal.StoreReader) error {
		_, err := r.Private(session.Kind, session.ID)
		return err
	}); err != nil {
		t.Errorf("the session after the second copy: %v", err)
	}
	if err := copied.Close(); err != nil {
		t.Error(err)
	}
	// PostgreSQL backs up and restores by the same commands.
	public, secret := ageKey(t)
	out := filepath.Join(dir, "pg"+BackupSuffix)
	if _, err := Backup(t.Context(), BackupOptions{Data: data, Database: url, To: []string{public}, Out: out}); err != nil {
		t.Fatal(err)
	}
	other := server.Database(t)
	restored, err := Restore(t.Context(), RestoreOptions{From: out, Identities: []string{secret}, Data: data, Database: other})
	if err != nil || restored.Root != c2.Head.Root {
		t.Fatalf("%+v, %v", restored, err)
	}
	if _, err := Recover(t.Context(), RecoverOptions{Data: data, Database: other, Why: "a drill"}); err != nil {
		t.Error(err)
	}
}
