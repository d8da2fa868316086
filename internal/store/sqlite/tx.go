package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// tx reads and writes within one transaction. It implements journal.StoreTx.
type tx struct {
	*conn                           // nil once the transaction has ended
	inserter *river.Client[*sql.Tx] // of an update
	appended bool                   // an entry or a feed operation
	erased   bool                   // a payload
	fault    error                  // first error of SQLite: nothing of the transaction may be kept
}

var _ journal.StoreTx = (*tx)(nil)

var errEnded = errors.New("sqlite: the transaction has ended; fn may not keep it")

var background = context.Background() //nolint:gochecknoglobals // see conn.prepared

func (t *tx) failed(query string, err error) error {
	err = fmt.Errorf("%s: %w", strings.SplitN(query, "\n", 2)[0], err)
	if t.fault == nil {
		t.fault = err
	}
	return err
}

// query calls scan for each row.
func (t *tx) query(query string, args []any, scan func(rows *sql.Rows) error) error {
	if t.conn == nil {
		return errEnded
	}
	s, err := t.prepared(query)
	if err != nil {
		return t.failed(query, err)
	}
	rows, err := s.QueryContext(background, args...)
	if err != nil {
		return t.failed(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return t.failed(query, err)
	}
	return nil
}

// row reads one row into dest; sql.ErrNoRows if there is none.
func (t *tx) row(query string, args []any, dest ...any) error {
	found := false
	err := t.query(query, args, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(dest...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

func (t *tx) write(query string, args ...any) (int64, error) {
	if t.conn == nil {
		return 0, errEnded
	}
	s, err := t.prepared(query)
	if err != nil {
		return 0, t.failed(query, err)
	}
	res, err := s.ExecContext(background, args...)
	if err != nil {
		return 0, t.failed(query, err)
	}
	return res.RowsAffected()
}

func notFound(format string, args ...any) error {
	return problem.Newf(problem.NotFound, format, args...).WithFix("check the number or reload the page")
}

// Size implements journal.StoreReader.
func (t *tx) Size() (int64, error) {
	var n int64
	err := t.row(`SELECT coalesce(max(number) + 1, 0) FROM entries`, nil, &n)
	return n, err
}

const rowColumns = `number, type, at_ms, partner, head, payload, salt, seal, commitment`

func scanRow(rows *sql.Rows, r *journal.Row) error {
	var seal, commitment sql.RawBytes
	err := rows.Scan(&r.Number, &r.Type, &r.AtMillis, &r.Partner, &r.Head, &r.Payload, &r.Salt, &seal, &commitment)
	if err != nil {
		return err
	}
	r.Seal, r.Commitment = hash32(seal), hash32(commitment)
	return nil
}

// hash32 returns a stored hash. One of another length was tampered with; it
// becomes zero, which is the hash of nothing, and verification finds it.
func hash32(b []byte) (h [32]byte) {
	if len(b) == len(h) {
		copy(h[:], b)
	}
	return h
}

// Row implements journal.StoreReader.
func (t *tx) Row(number int64) (journal.Row, error) {
	var r journal.Row
	found := false
	err := t.query(`SELECT `+rowColumns+` FROM entries WHERE number = ?`, []any{number}, func(rows *sql.Rows) error {
		found = true
		return scanRow(rows, &r)
	})
	if err == nil && !found {
		err = notFound("there is no entry %d", number)
	}
	return r, err
}

// Rows implements journal.StoreReader.
func (t *tx) Rows(q journal.RowQuery) ([]journal.Row, error) {
	var where []string
	var args []any
	cond := func(c string, a ...any) { where, args = append(where, c), append(args, a...) }
	from := `SELECT ` + rowColumns + ` FROM entries`
	number := "number"
	if q.About != (journal.Ref{}) {
		// The index of objects drives the search and gives the order.
		from = `SELECT entries.number, type, at_ms, partner, head, payload, salt, seal, commitment FROM entry_about CROSS JOIN entries ON entries.number = entry_about.number`
		number = "entry_about.number"
		cond("entry_about.kind = ?", q.About.Kind)
		cond("entry_about.id = ?", q.About.ID)
	}
	if len(q.Types) > 0 {
		args2 := make([]any, len(q.Types))
		for i, typ := range q.Types {
			args2[i] = typ
		}
		cond("type IN ("+placeholders(len(q.Types))+")", args2...)
	}
	if q.Partner != "" {
		cond("partner = ? AND partner <> ''", q.Partner)
	}
	if q.From > 0 {
		cond(number+" >= ?", q.From)
	}
	if q.Before > 0 {
		cond(number+" < ?", q.Before)
	}
	query := from
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY " + number
	if q.Newest {
		query += " DESC"
	}
	query += " LIMIT ?"
	args = append(args, limit(q.Limit))
	var out []journal.Row
	err := t.query(query, args, func(rows *sql.Rows) error {
		var r journal.Row
		if err := scanRow(rows, &r); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

func limit(n int) int {
	if n <= 0 {
		return journal.DefaultLimit
	}
	return n
}

// Hashes implements journal.StoreReader.
func (t *tx) Hashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, 0, len(indexes))
	for len(indexes) > 0 {
		// One query for up to 256 of them; few different statements, since the
		// last index is repeated to fill one.
		n, slots := min(len(indexes), 256), 1
		for slots < n {
			slots *= 4
		}
		args := make([]any, slots)
		for i := range args {
			args[i] = indexes[min(i, n-1)]
		}
		found := make(map[int64]tlog.Hash, n)
		var index int64
		var b sql.RawBytes
		err := t.query(`SELECT idx, hash FROM tree_hashes WHERE idx IN (`+placeholders(slots)+`)`, args, func(rows *sql.Rows) error {
			if err := rows.Scan(&index, &b); err != nil {
				return err
			}
			found[index] = hash32(b)
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, index := range indexes[:n] {
			h, ok := found[index]
			if !ok {
				return nil, fmt.Errorf("the tree's hash %d is missing", index)
			}
			out = append(out, h)
		}
		indexes = indexes[n:]
	}
	return out, nil
}

// Checkpoint implements journal.StoreReader.
func (t *tx) Checkpoint() (note []byte, size int64, err error) {
	err = t.row(`SELECT note, size FROM checkpoint WHERE id = 1`, nil, &note, &size)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	return note, size, err
}

// PutRow implements journal.StoreTx.
func (t *tx) PutRow(row journal.Row, hashes []tlog.Hash) error {
	size, err := t.Size()
	if err != nil {
		return err
	}
	if row.Number != size {
		return t.failed("appending", fmt.Errorf("entry %d does not follow the last one, %d", row.Number, size-1))
	}
	t.appended = true
	if _, err := t.write(`INSERT INTO entries (number, type, at_ms, partner, head, payload, salt, seal, commitment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		row.Number, row.Type, row.AtMillis, row.Partner, row.Head, row.Payload, row.Salt, row.Seal[:], row.Commitment[:]); err != nil {
		return err
	}
	for _, ref := range row.About {
		if _, err := t.write(`INSERT INTO entry_about (kind, id, number) VALUES (?, ?, ?)`, ref.Kind, ref.ID, row.Number); err != nil {
			return err
		}
	}
	first := tlog.StoredHashIndex(0, row.Number)
	for i := range hashes {
		if _, err := t.write(`INSERT INTO tree_hashes (idx, hash) VALUES (?, ?)`, first+int64(i), hashes[i][:]); err != nil {
			return err
		}
	}
	return nil
}

// EraseRow implements journal.StoreTx.
func (t *tx) EraseRow(number int64) error {
	t.erased = true
	n, err := t.write(`UPDATE entries SET payload = NULL, salt = NULL WHERE number = ?`, number)
	if err == nil && n == 0 {
		err = notFound("there is no entry %d", number)
	}
	return err
}

// PutCheckpoint implements journal.StoreTx.
func (t *tx) PutCheckpoint(note []byte, size int64) error {
	_, err := t.write(`INSERT INTO checkpoint (id, size, note) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note`, size, note)
	return err
}

const objectColumns = `id, version, doc, coalesce(state, ''), coalesce(partner, ''), coalesce(parent, ''), coalesce(uniq, ''), sort, coalesce(text, ''), coalesce(due_ms, 0)`

func scanObject(rows *sql.Rows, o *journal.Object, doc any) error {
	k := &o.Keys
	return rows.Scan(&o.ID, &o.Version, doc, &k.State, &k.Partner, &k.Parent, &k.Unique, &k.Sort, &k.Text, &k.DueMS)
}

// Object implements journal.StoreReader.
func (t *tx) Object(ref journal.Ref) (journal.Object, error) {
	o := journal.Object{Ref: ref}
	found := false
	err := t.query(`SELECT `+objectColumns+` FROM objects WHERE kind = ? AND id = ?`, []any{ref.Kind, ref.ID}, func(rows *sql.Rows) error {
		found = true
		return scanObject(rows, &o, &o.Doc)
	})
	if err == nil && !found {
		err = notFound("there is no %s %s", ref.Kind, ref.ID)
	}
	return o, err
}

// Objects implements journal.StoreReader.
func (t *tx) Objects(q journal.ObjectQuery) ([]journal.Object, error) {
	where := []string{"kind = ?"}
	args := []any{q.Kind}
	cond := func(c string, a ...any) { where, args = append(where, c), append(args, a...) }
	if len(q.States) > 0 {
		states := make([]any, len(q.States))
		for i, s := range q.States {
			states[i] = s
		}
		cond("state IN ("+placeholders(len(states))+")", states...)
	}
	for _, eq := range []struct{ column, value string }{{"partner", q.Partner}, {"parent", q.Parent}, {"uniq", q.Unique}} {
		if eq.value != "" {
			cond(eq.column+" = ?", eq.value)
		}
	}
	if q.Text != "" {
		cond("instr(text, ?) > 0", q.Text)
	}
	order := "sort, id"
	switch {
	case q.DueBy > 0:
		cond("due_ms <= ?", q.DueBy)
		order = "due_ms, id"
	case q.Newest:
		order = "sort DESC, id DESC"
	}
	if q.After != "" && q.DueBy <= 0 {
		i := strings.LastIndexByte(q.After, 0)
		if i < 0 {
			return nil, problem.New(problem.Invalid, "the cursor is not one of ours", "start again without a cursor")
		}
		if q.Newest {
			cond("(sort, id) < (?, ?)", q.After[:i], q.After[i+1:])
		} else {
			cond("(sort, id) > (?, ?)", q.After[:i], q.After[i+1:])
		}
	}
	query := `SELECT ` + objectColumns + ` FROM objects WHERE ` + strings.Join(where, " AND ") + ` ORDER BY ` + order + ` LIMIT ?`
	args = append(args, limit(q.Limit))
	var out []journal.Object
	err := t.query(query, args, func(rows *sql.Rows) error {
		o := journal.Object{Ref: journal.Ref{Kind: q.Kind}}
		if err := scanObject(rows, &o, &o.Doc); err != nil {
			return err
		}
		out = append(out, o)
		return nil
	})
	return out, err
}

// ScanObjects implements journal.StoreReader.
func (t *tx) ScanObjects(fn func(o *journal.Object) error) error {
	var o journal.Object
	var doc sql.RawBytes
	return t.query(`SELECT kind, `+objectColumns+` FROM objects ORDER BY kind, id`, nil, func(rows *sql.Rows) error {
		k := &o.Keys
		if err := rows.Scan(&o.Kind, &o.ID, &o.Version, &doc, &k.State, &k.Partner, &k.Parent, &k.Unique, &k.Sort, &k.Text, &k.DueMS); err != nil {
			return err
		}
		o.Doc = doc
		return fn(&o)
	})
}

func nullString(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func nullInt(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n != 0} }

// PutObject implements journal.StoreTx.
func (t *tx) PutObject(o journal.Object) error {
	k := &o.Keys
	_, err := t.write(`INSERT INTO objects (kind, id, version, doc, state, partner, parent, uniq, sort, text, due_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, doc = excluded.doc, state = excluded.state,
			partner = excluded.partner, parent = excluded.parent, uniq = excluded.uniq, sort = excluded.sort,
			text = excluded.text, due_ms = excluded.due_ms`,
		o.Kind, o.ID, o.Version, o.Doc, nullString(k.State), nullString(k.Partner), nullString(k.Parent), nullString(k.Unique),
		k.Sort, nullString(k.Text), nullInt(k.DueMS))
	return err
}

// DeleteObject implements journal.StoreTx.
func (t *tx) DeleteObject(ref journal.Ref) error {
	_, err := t.write(`DELETE FROM objects WHERE kind = ? AND id = ?`, ref.Kind, ref.ID)
	return err
}

const privateColumns = `kind, id, owner, doc, coalesce(expires_ms, 0), sum`

func (t *tx) scanPrivates(fn func(p *journal.Private) error, query string, args ...any) error {
	return t.query(query, args, func(rows *sql.Rows) error {
		var p journal.Private
		var expires int64
		var sum []byte // none: of a release that knew none
		if err := rows.Scan(&p.Kind, &p.ID, &p.Owner, &p.Doc, &expires, &sum); err != nil {
			return err
		}
		if sum != nil && !bytes.Equal(sum, sumOf(p.Kind, p.ID, p.Owner, p.Doc, expires)) {
			return errRottenPrivate
		}
		if expires != 0 {
			p.Expires = time.UnixMilli(expires).UTC()
		}
		return fn(&p)
	})
}

func (t *tx) privates(query string, args ...any) (out []journal.Private, err error) {
	err = t.scanPrivates(func(p *journal.Private) error {
		out = append(out, *p)
		return nil
	}, query, args...)
	return out, err
}

// ScanPrivates implements journal.StoreReader.
func (t *tx) ScanPrivates(fn func(p *journal.Private) error) error {
	return t.scanPrivates(fn, `SELECT `+privateColumns+` FROM private`)
}

// ScanCounters implements journal.StoreReader.
func (t *tx) ScanCounters(fn func(counter string, value int64) error) error {
	var name string
	var value int64
	var mirror sql.NullInt64
	return t.query(`SELECT name, value, mirror FROM counters`, nil, func(rows *sql.Rows) error {
		if err := rows.Scan(&name, &value, &mirror); err != nil {
			return err
		}
		if mirror.Valid && mirror.Int64 != ^value {
			return errRottenCounter
		}
		return fn(name, value)
	})
}

// Private implements journal.StoreReader.
func (t *tx) Private(kind, id string) (journal.Private, error) {
	list, err := t.privates(`SELECT `+privateColumns+` FROM private WHERE kind = ? AND id = ?`, kind, id)
	if err != nil {
		return journal.Private{}, err
	}
	if len(list) == 0 {
		return journal.Private{}, notFound("there is no such %s", kind) // the ID may be made from a secret
	}
	return list[0], nil
}

// Privates implements journal.StoreReader.
func (t *tx) Privates(kind, owner string) ([]journal.Private, error) {
	return t.privates(`SELECT `+privateColumns+` FROM private WHERE kind = ? AND owner = ? ORDER BY id`, kind, owner)
}

// PutPrivate implements journal.StoreTx.
func (t *tx) PutPrivate(p journal.Private) error {
	var expires int64
	if !p.Expires.IsZero() {
		expires = p.Expires.UnixMilli()
	}
	_, err := t.write(`INSERT INTO private (kind, id, owner, doc, expires_ms, sum) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner, doc = excluded.doc, expires_ms = excluded.expires_ms, sum = excluded.sum`,
		p.Kind, p.ID, p.Owner, notNil(p.Doc), nullInt(expires), sumOf(p.Kind, p.ID, p.Owner, p.Doc, expires))
	return err
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// DeletePrivate implements journal.StoreTx.
func (t *tx) DeletePrivate(kind, id string) error {
	_, err := t.write(`DELETE FROM private WHERE kind = ? AND id = ?`, kind, id)
	return err
}

// DeleteExpired implements journal.StoreTx.
func (t *tx) DeleteExpired(at time.Time) (int64, error) {
	return t.write(`DELETE FROM private WHERE expires_ms <= ?`, at.UnixMilli())
}

// Next implements journal.StoreTx.
func (t *tx) Next(counter string) (int64, error) {
	var n int64
	var mirror sql.NullInt64
	// Each is counted by itself, so that damage to one shows.
	err := t.row(`INSERT INTO counters (name, value, mirror) VALUES (?, 1, -2)
		ON CONFLICT (name) DO UPDATE SET value = value + 1, mirror = mirror - 1 RETURNING value, mirror`, []any{counter}, &n, &mirror)
	if err == nil && mirror.Valid && mirror.Int64 != ^n {
		err = errRottenCounter
	}
	return n, err
}

// SetCounter implements journal.StoreTx.
func (t *tx) SetCounter(counter string, value int64) error {
	_, err := t.write(`INSERT INTO counters (name, value, mirror) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value, mirror = excluded.mirror`, counter, value, ^value)
	return err
}

func scanFeed(rows *sql.Rows, f *journal.FeedRow) error {
	var seq int64
	err := rows.Scan(&f.Chain, &seq, &f.Entry, &f.Op)
	f.Seq = uint64(seq)
	return err
}

// Feed implements journal.StoreReader.
func (t *tx) Feed(chain string, after uint64, n int) ([]journal.FeedRow, error) {
	if after >= math.MaxInt64 {
		return nil, nil
	}
	var out []journal.FeedRow
	err := t.query(`SELECT chain, seq, entry, op FROM feed WHERE chain = ? AND seq > ? ORDER BY seq LIMIT ?`, []any{chain, int64(after), limit(n)}, func(rows *sql.Rows) error {
		var f journal.FeedRow
		if err := scanFeed(rows, &f); err != nil {
			return err
		}
		out = append(out, f)
		return nil
	})
	return out, err
}

// FeedHead implements journal.StoreReader.
func (t *tx) FeedHead(chain string) (head journal.FeedRow, ok bool, err error) {
	err = t.query(`SELECT chain, seq, entry, op FROM feed WHERE chain = ? ORDER BY seq DESC LIMIT 1`, []any{chain}, func(rows *sql.Rows) error {
		ok = true
		return scanFeed(rows, &head)
	})
	return head, ok, err
}

// ScanFeed implements journal.StoreReader.
func (t *tx) ScanFeed(fn func(row *journal.FeedRow) error) error {
	var f journal.FeedRow
	var seq int64
	var op sql.RawBytes
	return t.query(`SELECT chain, seq, entry, op FROM feed ORDER BY chain, seq`, nil, func(rows *sql.Rows) error {
		if err := rows.Scan(&f.Chain, &seq, &f.Entry, &op); err != nil {
			return err
		}
		f.Seq, f.Op = uint64(seq), op
		return fn(&f)
	})
}

// MendFeed implements journal.StoreTx.
func (t *tx) MendFeed(row journal.FeedRow) error {
	n, err := t.write(`UPDATE feed SET entry = ?, op = ? WHERE chain = ? AND seq = ?`, row.Entry, notNil(row.Op), row.Chain, int64(min(row.Seq, math.MaxInt64))) //nolint:gosec // bounded
	if err == nil && n == 0 {
		return problem.Newf(problem.NotFound, "chain %s has no operation %d", row.Chain, row.Seq).WithFix("restore a backup")
	}
	return err
}

// PutFeed implements journal.StoreTx.
func (t *tx) PutFeed(row journal.FeedRow) error {
	head, _, err := t.FeedHead(row.Chain)
	if err != nil {
		return err
	}
	if row.Seq != head.Seq+1 || row.Seq > math.MaxInt64 {
		return problem.Newf(problem.Conflict, "operation %d does not follow %d, the last one of its chain", row.Seq, head.Seq).
			WithFix("read the head of the chain again")
	}
	t.appended = true
	_, err = t.write(`INSERT INTO feed (chain, seq, entry, op) VALUES (?, ?, ?, ?)`, row.Chain, int64(row.Seq), row.Entry, notNil(row.Op))
	return err
}
