package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// tx reads and writes within one transaction. It implements journal.StoreTx.
type tx struct {
	conn    *pgx.Conn       // nil once the transaction has ended
	ctx     context.Context // of a view; nil for an update
	db      *DB             // of an update; nil for a view
	pending *pgx.Batch      // what is sent with the next read, or at the end
	sent    bool            // something was sent
	erased  bool            // a payload
	fault   error           // first error of the server: nothing of the transaction may be kept
	heads   map[string]journal.FeedRow
}

var _ journal.StoreTx = (*tx)(nil)

var errEnded = errors.New("postgres: the transaction has ended; fn may not keep it")

func (t *tx) failed(query string, err error) error {
	err = fmt.Errorf("%s: %w", strings.SplitN(query, "\n", 2)[0], err)
	if t.fault == nil {
		t.fault = err
	}
	return err
}

func (t *tx) context() (context.Context, context.CancelFunc) {
	if t.ctx != nil {
		return t.ctx, func() {}
	}
	return background()
}

// flush sends what is pending.
func (t *tx) flush() error { return t.query("", nil, nil) }

// query sends what is pending and the query with it, and calls scan for each
// row.
func (t *tx) query(query string, args []any, scan func(rows pgx.Rows) error) error {
	if t.conn == nil {
		return errEnded
	}
	if t.fault != nil {
		return t.fault // the server would refuse it, or the connection is gone
	}
	ctx, cancel := t.context()
	defer cancel()
	t.sent = true
	if t.pending.Len() == 0 {
		if query == "" {
			return nil
		}
		rows, err := t.conn.Query(ctx, query, args...)
		if err != nil {
			return t.failed(query, err)
		}
		return t.scan(query, rows, scan)
	}
	pending := t.pending
	t.pending = new(pgx.Batch)
	writes := pending.Len()
	if query != "" {
		pending.Queue(query, args...)
	}
	res := t.conn.SendBatch(ctx, pending)
	for i := range writes {
		if _, err := res.Exec(); err != nil {
			_ = res.Close() // it repeats the error
			return t.failed(pending.QueuedQueries[i].SQL, err)
		}
	}
	if query != "" {
		rows, err := res.Query()
		if err != nil {
			_ = res.Close() // it repeats the error
			return t.failed(query, err)
		}
		if err := t.scan(query, rows, scan); err != nil {
			_ = res.Close() // the error is known
			return err
		}
	}
	if err := res.Close(); err != nil {
		return t.failed("closing", err)
	}
	return nil
}

func (t *tx) scan(query string, rows pgx.Rows, scan func(rows pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return t.failed(query, err)
	}
	return nil
}

// row reads one row into dest and reports whether there is one.
func (t *tx) row(query string, args []any, dest ...any) (found bool, err error) {
	err = t.query(query, args, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(dest...)
	})
	return found, err
}

// write queues a statement. Its error comes with the next read, or at the end.
func (t *tx) write(query string, args ...any) error {
	if t.conn == nil {
		return errEnded
	}
	if t.fault != nil {
		return t.fault
	}
	t.pending.Queue(query, args...)
	// Large batches would fill the buffers of both sides.
	if t.pending.Len() >= 256 {
		return t.flush()
	}
	return nil
}

func notFound(format string, args ...any) error {
	return problem.Newf(problem.NotFound, format, args...).WithFix("check the number or reload the page")
}

// storable reports whether the server could hold the text. What it could not
// hold is not looked for: it would only refuse the query.
func storable(list ...string) bool {
	for _, s := range list {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return false
		}
	}
	return true
}

// Size implements journal.StoreReader.
func (t *tx) Size() (int64, error) {
	if t.conn == nil {
		return 0, errEnded
	}
	if t.db != nil && t.db.batch.size >= 0 {
		return t.db.batch.size, nil
	}
	var n int64
	_, err := t.row(`SELECT coalesce(max(number) + 1, 0) FROM entries`, nil, &n)
	if err == nil && t.db != nil {
		t.db.batch.size = n
	}
	return n, err
}

const rowColumns = `entries.number, type, at_ms, partner, head, payload, salt, seal, commitment`

func scanRow(rows pgx.Rows, r *journal.Row) error {
	var seal, commitment pgtype.DriverBytes
	err := rows.Scan(&r.Number, &r.Type, &r.AtMillis, &r.Partner, &r.Head, &r.Payload, &r.Salt, &seal, &commitment)
	r.Seal, r.Commitment = hash32(seal), hash32(commitment)
	return err
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
	err := t.query(`SELECT `+rowColumns+` FROM entries WHERE number = $1`, []any{number}, func(rows pgx.Rows) error {
		found = true
		return scanRow(rows, &r)
	})
	if err == nil && !found {
		err = notFound("there is no entry %d", number)
	}
	return r, err
}

// conditions builds a WHERE clause.
type conditions struct {
	where []string
	args  []any
}

// add adds a condition whose $ stand for the arguments, in order.
func (c *conditions) add(condition string, args ...any) {
	var b strings.Builder
	for _, r := range condition {
		b.WriteRune(r)
		if r == '$' {
			c.args = append(c.args, args[0])
			args = args[1:]
			b.WriteString(strconv.Itoa(len(c.args)))
		}
	}
	c.where = append(c.where, b.String())
}

func (c *conditions) sql() string {
	if len(c.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.where, " AND ")
}

// limit adds the limit as an argument and returns its clause.
func (c *conditions) limit(n int) string {
	if n <= 0 {
		n = journal.DefaultLimit
	}
	c.args = append(c.args, n)
	return " LIMIT $" + strconv.Itoa(len(c.args))
}

// Rows implements journal.StoreReader.
func (t *tx) Rows(q journal.RowQuery) ([]journal.Row, error) {
	if !storable(q.Types...) || !storable(q.Partner, q.About.Kind, q.About.ID) {
		return nil, nil
	}
	var c conditions
	from, number := ` FROM entries`, "entries.number"
	if q.About != (journal.Ref{}) {
		from, number = ` FROM entry_about JOIN entries ON entries.number = entry_about.number`, "entry_about.number"
		c.add("entry_about.kind = $ AND entry_about.id = $", q.About.Kind, q.About.ID)
	}
	if len(q.Types) > 0 {
		c.add("type = ANY($)", q.Types)
	}
	if q.Partner != "" {
		c.add("partner = $ AND partner <> ''", q.Partner)
	}
	if q.From > 0 {
		c.add(number+" >= $", q.From)
	}
	if q.Before > 0 {
		c.add(number+" < $", q.Before)
	}
	query := `SELECT ` + rowColumns + from + c.sql() + " ORDER BY " + number
	if q.Newest {
		query += " DESC"
	}
	query += c.limit(q.Limit)
	var out []journal.Row
	err := t.query(query, c.args, func(rows pgx.Rows) error {
		var r journal.Row
		if err := scanRow(rows, &r); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// ScanRows implements journal.StoreReader.
func (t *tx) ScanRows(from, before int64, fn func(row *journal.Row) error) error {
	var r journal.Row
	var head, payload, salt, seal, commitment pgtype.DriverBytes
	return t.query(`SELECT `+rowColumns+` FROM entries WHERE number >= $1 AND number < $2 ORDER BY number`, []any{from, before}, func(rows pgx.Rows) error {
		if err := rows.Scan(&r.Number, &r.Type, &r.AtMillis, &r.Partner, &head, &payload, &salt, &seal, &commitment); err != nil {
			return err
		}
		r.Head, r.Payload, r.Salt = head, payload, salt
		r.Seal, r.Commitment = hash32(seal), hash32(commitment)
		return fn(&r)
	})
}

// ScanAbout implements journal.StoreReader.
func (t *tx) ScanAbout(fn func(number int64, about journal.Ref) error) error {
	var number int64
	var ref journal.Ref
	return t.query(`SELECT kind, id, number FROM entry_about`, nil, func(rows pgx.Rows) error {
		if err := rows.Scan(&ref.Kind, &ref.ID, &number); err != nil {
			return err
		}
		return fn(number, ref)
	})
}

// Hashes implements journal.StoreReader.
func (t *tx) Hashes(indexes []int64) ([]tlog.Hash, error) {
	if t.conn == nil {
		return nil, errEnded
	}
	var known map[int64]tlog.Hash // of the batch, read or written under the lock
	if t.db != nil {
		known = t.db.batch.hashes
	} else {
		known = make(map[int64]tlog.Hash, len(indexes))
	}
	var missing []int64
	for _, index := range indexes {
		if _, ok := known[index]; !ok {
			missing = append(missing, index)
		}
	}
	if len(missing) > 0 {
		var index int64
		var b pgtype.DriverBytes
		err := t.query(`SELECT idx, hash FROM tree_hashes WHERE idx = ANY($1)`, []any{missing}, func(rows pgx.Rows) error {
			if err := rows.Scan(&index, &b); err != nil {
				return err
			}
			known[index] = hash32(b)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := known[index]
		if !ok {
			return nil, fmt.Errorf("the tree's hash %d is missing", index)
		}
		out[i] = h
	}
	return out, nil
}

// ScanHashes implements journal.StoreReader.
func (t *tx) ScanHashes(from, before int64, fn func(index int64, h tlog.Hash) error) error {
	var index int64
	var b pgtype.DriverBytes
	return t.query(`SELECT idx, hash FROM tree_hashes WHERE idx >= $1 AND idx < $2 ORDER BY idx`, []any{from, before}, func(rows pgx.Rows) error {
		if err := rows.Scan(&index, &b); err != nil {
			return err
		}
		return fn(index, hash32(b))
	})
}

// Checkpoint implements journal.StoreReader.
func (t *tx) Checkpoint() (note []byte, size int64, err error) {
	_, err = t.row(`SELECT note, size FROM checkpoint WHERE id = 1`, nil, &note, &size)
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
	err = t.write(`INSERT INTO entries (number, type, at_ms, partner, head, payload, salt, seal, commitment) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		row.Number, row.Type, row.AtMillis, row.Partner, row.Head, row.Payload, row.Salt, row.Seal[:], row.Commitment[:])
	for _, ref := range row.About {
		if err == nil {
			err = t.write(`INSERT INTO entry_about (kind, id, number) VALUES ($1, $2, $3)`, ref.Kind, ref.ID, row.Number)
		}
	}
	first := tlog.StoredHashIndex(0, row.Number)
	indexes, values := make([]int64, len(hashes)), make([][]byte, len(hashes))
	for i := range hashes {
		indexes[i], values[i] = first+int64(i), hashes[i][:]
	}
	if err == nil && len(hashes) > 0 {
		err = t.write(`INSERT INTO tree_hashes (idx, hash) SELECT * FROM unnest($1::BIGINT[], $2::BYTEA[])`, indexes, values)
	}
	if err != nil {
		return err
	}
	b := &t.db.batch
	for i, h := range hashes {
		b.hashes[indexes[i]] = h
	}
	b.size, b.appended = size+1, true
	return nil
}

// EraseRow implements journal.StoreTx.
func (t *tx) EraseRow(number int64) error {
	found, err := t.row(`UPDATE entries SET payload = NULL, salt = NULL WHERE number = $1 RETURNING number`, []any{number}, &number)
	if err == nil && !found {
		err = notFound("there is no entry %d", number)
	}
	t.erased = true
	return err
}

// PutCheckpoint implements journal.StoreTx.
func (t *tx) PutCheckpoint(note []byte, size int64) error {
	return t.write(`INSERT INTO checkpoint (id, size, note) VALUES (1, $1, $2)
		ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note`, size, note)
}

const objectColumns = `id, version, doc, coalesce(state, ''), coalesce(partner, ''), coalesce(parent, ''), coalesce(uniq, ''), sort, coalesce(text, ''), coalesce(due_ms, 0)`

func scanObject(rows pgx.Rows, o *journal.Object, before ...any) error {
	k := &o.Keys
	return rows.Scan(append(before, &o.ID, &o.Version, &o.Doc, &k.State, &k.Partner, &k.Parent, &k.Unique, &k.Sort, &k.Text, &k.DueMS)...)
}

// Object implements journal.StoreReader.
func (t *tx) Object(ref journal.Ref) (journal.Object, error) {
	o := journal.Object{Ref: ref}
	found := false
	if !storable(ref.Kind, ref.ID) {
		return o, notFound("there is no such object")
	}
	err := t.query(`SELECT `+objectColumns+` FROM objects WHERE kind = $1 AND id = $2`, []any{ref.Kind, ref.ID}, func(rows pgx.Rows) error {
		found = true
		return scanObject(rows, &o)
	})
	if err == nil && !found {
		err = notFound("there is no %s %s", ref.Kind, ref.ID)
	}
	return o, err
}

// Objects implements journal.StoreReader.
func (t *tx) Objects(q journal.ObjectQuery) ([]journal.Object, error) {
	if !storable(q.States...) || !storable(q.Kind, q.Partner, q.Parent, q.Unique, q.Text) {
		return nil, nil
	}
	var c conditions
	c.add("kind = $", q.Kind)
	if len(q.States) > 0 {
		c.add("state = ANY($)", q.States)
	}
	for _, eq := range []struct{ column, value string }{{"partner", q.Partner}, {"parent", q.Parent}, {"uniq", q.Unique}} {
		if eq.value == "" {
			continue
		}
		c.add(eq.column+" = $", eq.value)
		if eq.column == "uniq" { // by the index, which has the beginning
			c.add("left(uniq, 200) = left($, 200)", eq.value)
		}
	}
	if q.Text != "" {
		c.add("strpos(text, $) > 0", q.Text)
	}
	order := "sort, id"
	switch {
	case q.DueBy > 0:
		c.add("due_ms <= $", q.DueBy)
		order = "due_ms, id"
	case q.Newest:
		order = "sort DESC, id DESC"
	}
	if q.After != "" && q.DueBy <= 0 {
		i := strings.LastIndexByte(q.After, 0)
		if i < 0 || !storable(q.After[:i], q.After[i+1:]) {
			return nil, problem.New(problem.Invalid, "the cursor is not one of ours", "start again without a cursor")
		}
		if q.Newest {
			c.add("(sort, id) < ($, $)", q.After[:i], q.After[i+1:])
		} else {
			c.add("(sort, id) > ($, $)", q.After[:i], q.After[i+1:])
		}
	}
	query := `SELECT ` + objectColumns + ` FROM objects` + c.sql() + ` ORDER BY ` + order + c.limit(q.Limit)
	var out []journal.Object
	err := t.query(query, c.args, func(rows pgx.Rows) error {
		o := journal.Object{Ref: journal.Ref{Kind: q.Kind}}
		if err := scanObject(rows, &o); err != nil {
			return err
		}
		out = append(out, o)
		return nil
	})
	return out, err
}

// ScanObjects implements journal.StoreReader.
func (t *tx) ScanObjects(fn func(o *journal.Object) error) error {
	return t.query(`SELECT kind, `+objectColumns+` FROM objects ORDER BY kind, id`, nil, func(rows pgx.Rows) error {
		var o journal.Object
		if err := scanObject(rows, &o, &o.Kind); err != nil {
			return err
		}
		return fn(&o)
	})
}

func nullString(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func nullInt(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// PutObject implements journal.StoreTx.
func (t *tx) PutObject(o journal.Object) error {
	k := &o.Keys
	return t.write(`INSERT INTO objects (kind, id, version, doc, state, partner, parent, uniq, sort, text, due_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, doc = excluded.doc, state = excluded.state,
			partner = excluded.partner, parent = excluded.parent, uniq = excluded.uniq, sort = excluded.sort,
			text = excluded.text, due_ms = excluded.due_ms`,
		o.Kind, o.ID, o.Version, notNil(o.Doc), nullString(k.State), nullString(k.Partner), nullString(k.Parent), nullString(k.Unique),
		k.Sort, nullString(k.Text), nullInt(k.DueMS))
}

// DeleteObject implements journal.StoreTx.
func (t *tx) DeleteObject(ref journal.Ref) error {
	return t.write(`DELETE FROM objects WHERE kind = $1 AND id = $2`, ref.Kind, ref.ID)
}

const privateColumns = `kind, id, owner, doc, coalesce(expires_ms, 0)`

func (t *tx) scanPrivates(fn func(p *journal.Private) error, query string, args ...any) error {
	return t.query(query, args, func(rows pgx.Rows) error {
		var p journal.Private
		var expires int64
		if err := rows.Scan(&p.Kind, &p.ID, &p.Owner, &p.Doc, &expires); err != nil {
			return err
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

// Private implements journal.StoreReader.
func (t *tx) Private(kind, id string) (journal.Private, error) {
	if !storable(kind, id) {
		return journal.Private{}, notFound("there is no such private data")
	}
	list, err := t.privates(`SELECT `+privateColumns+` FROM private WHERE kind = $1 AND id = $2`, kind, id)
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
	if !storable(kind, owner) {
		return nil, nil
	}
	return t.privates(`SELECT `+privateColumns+` FROM private WHERE kind = $1 AND owner = $2 ORDER BY id`, kind, owner)
}

// PutPrivate implements journal.StoreTx.
func (t *tx) PutPrivate(p journal.Private) error {
	var expires int64
	if !p.Expires.IsZero() {
		expires = p.Expires.UnixMilli()
	}
	return t.write(`INSERT INTO private (kind, id, owner, doc, expires_ms) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner, doc = excluded.doc, expires_ms = excluded.expires_ms`,
		p.Kind, p.ID, p.Owner, notNil(p.Doc), nullInt(expires))
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// DeletePrivate implements journal.StoreTx.
func (t *tx) DeletePrivate(kind, id string) error {
	return t.write(`DELETE FROM private WHERE kind = $1 AND id = $2`, kind, id)
}

// DeleteExpired implements journal.StoreTx.
func (t *tx) DeleteExpired(at time.Time) (int64, error) {
	var n int64
	_, err := t.row(`WITH gone AS (DELETE FROM private WHERE expires_ms <= $1 RETURNING 1) SELECT count(*) FROM gone`, []any{at.UnixMilli()}, &n)
	return n, err
}

// Next implements journal.StoreTx.
func (t *tx) Next(counter string) (int64, error) {
	var n int64
	_, err := t.row(`INSERT INTO counters (name, value) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`, []any{counter}, &n)
	return n, err
}

// SetCounter implements journal.StoreTx.
func (t *tx) SetCounter(counter string, value int64) error {
	return t.write(`INSERT INTO counters (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, counter, value)
}

// ScanCounters implements journal.StoreReader.
func (t *tx) ScanCounters(fn func(counter string, value int64) error) error {
	var name string
	var value int64
	return t.query(`SELECT name, value FROM counters`, nil, func(rows pgx.Rows) error {
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		return fn(name, value)
	})
}

func scanFeed(rows pgx.Rows, f *journal.FeedRow) error {
	var seq int64
	err := rows.Scan(&f.Chain, &seq, &f.Entry, &f.Op)
	f.Seq = uint64(seq)
	return err
}

// Feed implements journal.StoreReader.
func (t *tx) Feed(chain string, after uint64, n int) ([]journal.FeedRow, error) {
	if after >= math.MaxInt64 || !storable(chain) {
		return nil, nil
	}
	if n <= 0 {
		n = journal.DefaultLimit
	}
	var out []journal.FeedRow
	err := t.query(`SELECT chain, seq, entry, op FROM feed WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT $3`, []any{chain, int64(after), n}, func(rows pgx.Rows) error {
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
	if t.conn == nil {
		return head, false, errEnded
	}
	if head, ok := t.heads[chain]; ok && t.fault == nil { // written in this transaction
		head.Op = append([]byte(nil), head.Op...)
		return head, true, nil
	}
	err = t.query(`SELECT chain, seq, entry, op FROM feed WHERE chain = $1 ORDER BY seq DESC LIMIT 1`, []any{chain}, func(rows pgx.Rows) error {
		ok = true
		return scanFeed(rows, &head)
	})
	if err == nil && ok && t.db != nil {
		t.heads[chain] = head
	}
	return head, ok, err
}

// ScanFeed implements journal.StoreReader.
func (t *tx) ScanFeed(fn func(row *journal.FeedRow) error) error {
	return t.query(`SELECT chain, seq, entry, op FROM feed ORDER BY chain, seq`, nil, func(rows pgx.Rows) error {
		var f journal.FeedRow
		if err := scanFeed(rows, &f); err != nil {
			return err
		}
		return fn(&f)
	})
}

// MendFeed implements journal.StoreTx.
func (t *tx) MendFeed(row journal.FeedRow) error {
	delete(t.heads, row.Chain)
	var n int64
	_, err := t.row(`WITH mended AS (UPDATE feed SET entry = $1, op = $2 WHERE chain = $3 AND seq = $4 RETURNING 1) SELECT count(*) FROM mended`,
		[]any{row.Entry, append([]byte{}, row.Op...), row.Chain, int64(min(row.Seq, math.MaxInt64))}, &n) //nolint:gosec // bounded
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
	row.Op = append([]byte{}, row.Op...)
	if err := t.write(`INSERT INTO feed (chain, seq, entry, op) VALUES ($1, $2, $3, $4)`, row.Chain, int64(row.Seq), row.Entry, row.Op); err != nil {
		return err
	}
	t.heads[row.Chain] = row
	t.db.batch.appended = true
	return nil
}
