package journal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
)

func TestCommitmentIsAsDocumented(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, journal.SaltSize)
	payload := []byte(`{"member":"m1","why":"checked","body":{"a":1}}`)
	head := []byte(`{"number":7,"type":"signal.approved","at_ms":1763925592123,"partner":"p1","about":[{"kind":"signal","id":"s1"}],"audience":{"tlp":"amber","origin":"p1"}}`)
	seal := sha256.Sum256([]byte("siaga.journal.seal.v1\n" + string(salt) + string(payload)))
	commitment := sha256.Sum256([]byte("siaga.journal.entry.v1\n" + string(seal[:]) + string(head)))
	leaf := sha256.Sum256(append([]byte{0}, commitment[:]...))
	equal(t, "seal", journal.Seal(salt, payload), seal)
	equal(t, "commitment", journal.Commit(seal, head), commitment)
	equal(t, "leaf", tlog.RecordHash(commitment[:]), tlog.Hash(leaf))
	format, err := os.ReadFile("../../docs/format/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		fmt.Sprintf("salt        %x\n", salt), fmt.Sprintf("head        %s\n", head), fmt.Sprintf("payload     %s\n", payload),
		fmt.Sprintf("seal        %x\n", seal), fmt.Sprintf("commitment  %x\n", commitment), fmt.Sprintf("leaf        %x\n", leaf),
	} {
		if !strings.Contains(string(format), line) {
			t.Errorf("docs/format/journal.md does not have the line %s", line)
		}
	}

	e, err := journal.ParseEntry(head, payload)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "entry", e, journal.Entry{
		Number: 7, Type: "signal.approved", At: time.UnixMilli(1763925592123).UTC(), Partner: "p1", Member: "m1", Why: "checked",
		About: []journal.Ref{{Kind: "signal", ID: "s1"}}, Audience: access.Audience{TLP: "amber", Origin: "p1"}, Body: json.RawMessage(`{"a":1}`),
	})
}

func drawEntry(t *rapid.T) journal.Entry {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", `"`, `\`, "<&>", "\u2028", "é", "\n", "\x7f", "\U0001f6a8", "},{", `"],"audience":{`, `","id":"`}), rapid.String())
	id := rapid.Custom(func(t *rapid.T) string { return strings.ReplaceAll("x"+text.Draw(t, "id"), "\x00", "") })
	e := journal.Entry{
		Type: id.Draw(t, "type"), At: time.UnixMilli(rapid.Int64Range(-62_135_596_800_000, 253_402_300_799_999).Draw(t, "at")).UTC(), Partner: strings.ReplaceAll(text.Draw(t, "partner"), "\x00", ""),
		Member: text.Draw(t, "member"), Token: text.Draw(t, "token"), Under: text.Draw(t, "under"), Why: text.Draw(t, "why"),
		Audience: access.Audience{TLP: access.TLP(text.Draw(t, "tlp")), Origin: text.Draw(t, "origin"), Partners: rapid.SliceOfN(text, 0, 3).Draw(t, "partners")},
		Exercise: rapid.Bool().Draw(t, "exercise"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "objects") {
		e.About = append(e.About, journal.Ref{Kind: id.Draw(t, "kind"), ID: id.Draw(t, "id")})
	}
	switch rapid.IntRange(0, 3).Draw(t, "body kind") {
	case 1:
		b, err := json.Marshal(map[string]any{text.Draw(t, "key"): text.Draw(t, "value"), "n": rapid.Float64Range(-1e9, 1e9).Draw(t, "n")})
		if err != nil {
			t.Fatal(err)
		}
		e.Body = b
	case 2:
		e.Body = json.RawMessage(" [ 1 ,\n{ \"a\" : \"<\" } ] ")
	case 3:
		e.Body = json.RawMessage("null")
	}
	return e
}

// TestEntriesComeBackAsTheyWereStored also checks that every form is
// canonical, that the verification reads each of them, and that two entries
// never have the same bytes.
func TestEntriesComeBackAsTheyWereStored(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	rapid.Check(t, func(rt *rapid.T) {
		var stored []journal.Entry
		err := l.Update(background, func(tx *journal.Tx) error {
			stored = nil
			for range rapid.IntRange(1, 3).Draw(rt, "entries") {
				e, err := tx.Append(drawEntry(rt))
				if err != nil {
					return err
				}
				stored = append(stored, e)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		err = l.View(background, func(r journal.StoreReader) error {
			for _, want := range stored {
				row, err := r.Row(want.Number)
				if err != nil {
					return err
				}
				got, err := journal.ParseEntry(row.Head, row.Payload)
				if err != nil {
					return err
				}
				if compact(t, got) != compact(t, want) || got.Number != want.Number {
					rt.Errorf("got %s, want %s", compact(t, got), compact(t, want))
				}
				if !json.Valid(row.Head) || !json.Valid(row.Payload) {
					rt.Errorf("not JSON: %s %s", row.Head, row.Payload)
				}
				erased, err := journal.ParseEntry(row.Head, nil)
				if err != nil || !erased.Erased || erased.Why != "" || erased.Type != want.Type {
					rt.Errorf("without payload: %+v, %v", erased, err)
				}
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
	r := wantOK(t, l)
	t.Logf("%d entries", r.Size)
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(`{"number":7,"type":"a.b","at_ms":1763925592123,"partner":"p1","about":[{"kind":"signal","id":"s1"}],"audience":{"tlp":"amber","origin":"p1"},"exercise":true}`), []byte(`{"member":"m1","body":{"a":[1,2]}}`))
	f.Add([]byte(`{"number":0,"type":"","at_ms":0,"audience":{}}`), []byte(`{}`))
	f.Add([]byte(`{"number":1e3,"type":"a","at_ms":0,"audience":{"partners":["é"]}}`), []byte(`{"body":"\u2028"}`))
	f.Fuzz(func(t *testing.T, head, payload []byte) {
		e, err := journal.ParseEntry(head, payload)
		if err != nil {
			return
		}
		// What is accepted has one form: changing any byte gives another
		// entry or none.
		for i := 0; i < len(head); i += 7 {
			other := bytes.Clone(head)
			other[i] ^= 1
			if again, err := journal.ParseEntry(other, payload); err == nil && compact(t, again) == compact(t, e) && again.Number == e.Number {
				t.Errorf("%q and %q are the same entry", head, other)
			}
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("example.com/log\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	f.Add("a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n")
	f.Add("a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := journal.ParseCheckpoint(text)
		if err != nil {
			return
		}
		if c.Size < 0 || !strings.HasPrefix(text, c.Text()) {
			t.Errorf("%q is read as %+v", text, c)
		}
	})
}
