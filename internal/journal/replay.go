package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
)

// headAbout calls fn for every object that the head names. The bytes given to
// fn are valid during the call only. It reads canonical heads without
// allocating and falls back on encoding/json for escaped strings.
func headAbout(head []byte, fn func(kind, id []byte)) error {
	const key, sep, end = `"about":[{"kind":"`, `","id":"`, `"}`
	i := bytes.Index(head, []byte(`,"audience":{`))
	if i < 0 {
		return fmt.Errorf("journal: the head has no audience")
	}
	part := head[:i]
	if bytes.IndexByte(part, '\\') < 0 {
		j := bytes.Index(part, []byte(key))
		if j < 0 {
			return nil
		}
		part = part[j+len(key):]
		for {
			k := bytes.IndexByte(part, '"')
			if k < 0 || !bytes.HasPrefix(part[k:], []byte(sep)) {
				return fmt.Errorf("journal: the head's objects are not in canonical form")
			}
			kind := part[:k]
			part = part[k+len(sep):]
			if k = bytes.IndexByte(part, '"'); k < 0 || !bytes.HasPrefix(part[k:], []byte(end)) {
				return fmt.Errorf("journal: the head's objects are not in canonical form")
			}
			fn(kind, part[:k])
			part = part[k+len(end):]
			if !bytes.HasPrefix(part, []byte(`,{"kind":"`)) {
				return nil
			}
			part = part[len(`,{"kind":"`):]
		}
	}
	var h headJSON
	if err := json.Unmarshal(head, &h); err != nil {
		return fmt.Errorf("journal: reading a head: %w", err)
	}
	for _, r := range h.About {
		fn([]byte(r.Kind), []byte(r.ID))
	}
	return nil
}

// replay folds all entries again.
type replay struct {
	folds       map[string]Fold
	part, parts uint64 // of the objects: those whose hash falls into part
	seed        maphash.Seed
	objects     map[Ref]*Object
	refused     func(number int64, ref Ref, err error) error // a fold refused an entry
}

func (p *replay) mine(kind, id []byte) bool {
	if _, ok := p.folds[string(kind)]; !ok {
		return false
	}
	return p.parts == 1 || (maphash.Bytes(p.seed, kind)^maphash.Bytes(p.seed, id))%p.parts == p.part
}

// run leaves the state of all objects of the part in p.objects. An object
// without Doc does not exist.
func (p *replay) run(ctx context.Context, r StoreReader) error {
	p.objects = make(map[Ref]*Object)
	return r.ScanRows(0, math.MaxInt64, func(row *Row) error {
		if row.Number%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		concerned := false
		if err := headAbout(row.Head, func(kind, id []byte) { concerned = concerned || p.mine(kind, id) }); err != nil {
			return p.refused(row.Number, Ref{}, err)
		}
		if !concerned {
			return nil
		}
		e, err := row.Entry()
		if err != nil {
			return p.refused(row.Number, Ref{}, err)
		}
		// The row's bytes are used again for the next one.
		e.Body = bytes.Clone(e.Body)
		for _, ref := range e.About {
			if !p.mine([]byte(ref.Kind), []byte(ref.ID)) {
				continue
			}
			o := p.objects[ref]
			if o == nil {
				o = &Object{Ref: ref}
				p.objects[ref] = o
			}
			if _, err := p.folds[ref.Kind].apply(o, e); err != nil {
				if err := p.refused(row.Number, ref, err); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// differences compares the stored objects of the part with what the replay
// gave. Want is nil for one that should not exist, have for one that is
// missing.
func (p *replay) differences(r StoreReader, fn func(want, have *Object) error) error {
	err := r.ScanObjects(func(have *Object) error {
		if !p.mine([]byte(have.Kind), []byte(have.ID)) {
			return nil
		}
		want := p.objects[have.Ref]
		delete(p.objects, have.Ref)
		switch {
		case want == nil || want.Doc == nil:
			return fn(nil, have)
		case want.Version != have.Version || want.Keys != have.Keys || !bytes.Equal(want.Doc, have.Doc):
			return fn(want, have)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, want := range p.objects {
		if want.Doc != nil {
			if err := fn(want, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// partSize is about the number of objects that a replay holds in memory.
const partSize = 400_000

// countObjects returns the number of stored objects.
func countObjects(r StoreReader) (n uint64, err error) {
	err = r.ScanObjects(func(*Object) error { n++; return nil })
	return n, err
}

// Rebuild folds all objects again from the journal and stores those that
// differ from what is stored; it returns how many did. It is one transaction:
// on a large journal, other writes wait for minutes.
func (l *Log) Rebuild(ctx context.Context) (changed int64, err error) {
	err = l.store.Update(ctx, func(tx StoreTx) error {
		changed = 0
		n, err := countObjects(tx)
		if err != nil {
			return err
		}
		p := replay{folds: l.folds, parts: n/partSize + 1, seed: maphash.MakeSeed()}
		p.refused = func(number int64, ref Ref, err error) error {
			return fmt.Errorf("folding entry %d into %s %s: %w", number, ref.Kind, ref.ID, err)
		}
		for ; p.part < p.parts; p.part++ {
			if err := p.run(ctx, tx); err != nil {
				return err
			}
			var put []Object
			var remove []Ref
			err := p.differences(tx, func(want, have *Object) error {
				if want == nil {
					remove = append(remove, have.Ref)
				} else {
					put = append(put, *want)
				}
				return nil
			})
			if err != nil {
				return err
			}
			for _, ref := range remove {
				if err := tx.DeleteObject(ref); err != nil {
					return err
				}
			}
			for _, o := range put {
				if err := tx.PutObject(o); err != nil {
					return err
				}
			}
			changed += int64(len(put) + len(remove))
		}
		return nil
	})
	return changed, err
}

// keysDiffer names the first key that differs.
func keysDiffer(a, b Keys) string {
	for _, k := range []struct{ name, a, b string }{
		{"state", a.State, b.State}, {"partner", a.Partner, b.Partner}, {"parent", a.Parent, b.Parent},
		{"unique", a.Unique, b.Unique}, {"sort", a.Sort, b.Sort}, {"text", a.Text, b.Text},
		{"due", strconv.FormatInt(a.DueMS, 10), strconv.FormatInt(b.DueMS, 10)},
	} {
		if k.a != k.b {
			return k.name
		}
	}
	return ""
}
