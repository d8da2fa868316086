package journal

// What is stored beside the entries and follows from them: the index of
// entries by object, checkpoints, objects and the feed.

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// scanAbout adds up the stored index of entries by object, by chunk.
func (v *verification) scanAbout(ctx context.Context, size int64, sums []uint64, outside *[]Fault) error {
	return v.log.store.View(ctx, func(r StoreReader) error {
		now, err := r.Size()
		if err != nil {
			return err
		}
		var buf []byte
		var n int
		return r.ScanAbout(func(number int64, about Ref) error {
			if n++; n%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			switch {
			case number >= 0 && number < size:
				buf = binary.BigEndian.AppendUint64(buf[:0], uint64(number))
				buf = append(append(append(buf, about.Kind...), 0), about.ID...)
				sums[number/chunkSize] += maphash.Bytes(v.seed, buf)
			case (number < 0 || number >= now) && len(*outside) < MaxFaults:
				*outside = append(*outside, indexFault(number, about, "there is no such entry"))
			}
			return nil
		})
	})
}

func indexFault(number int64, about Ref, detail string) Fault {
	return Fault{Part: PartIndex, Entry: number, Index: -1, Level: -1, Object: about, Detail: detail}
}

// locateAbout finds the pairs in which the stored index and the heads differ.
func (v *verification) locateAbout(ctx context.Context, size int64, want, have []uint64) error {
	type pair struct {
		number int64
		about  Ref
	}
	for n := range want {
		if want[n] == have[n] {
			continue
		}
		lo, hi := int64(n)*chunkSize, min(int64(n+1)*chunkSize, size)
		pairs := make(map[pair]bool)
		err := v.log.store.View(ctx, func(r StoreReader) error {
			err := r.ScanRows(lo, hi, func(row *Row) error {
				// A head that cannot be read was reported before.
				_ = headAbout(row.Head, func(kind, id []byte) {
					pairs[pair{row.Number, Ref{string(kind), string(id)}}] = true
				})
				return nil
			})
			if err != nil {
				return err
			}
			return r.ScanAbout(func(number int64, about Ref) error {
				if number < lo || number >= hi {
					return nil
				}
				p := pair{number, about}
				if !pairs[p] {
					v.fault(indexFault(number, about, "the entry's head does not name it"))
				}
				delete(pairs, p)
				return nil
			})
		})
		if err != nil {
			return err
		}
		for p := range pairs {
			v.fault(indexFault(p.number, p.about, "is missing"))
		}
	}
	return nil
}

// checkpoint compares the signed checkpoint with the tree.
func (v *verification) checkpoint(ctx context.Context, signed []byte, signedSize, size int64) error {
	if signed == nil {
		return nil
	}
	v.report.Signed = signedSize
	c, err := OpenCheckpoint(signed, v.log.origin, v.log.verifiers)
	switch {
	case err != nil:
		v.fault(checkpointFault("%s", strings.TrimPrefix(err.Error(), "journal: ")))
		return nil
	case c.Size != signedSize:
		v.fault(checkpointFault("has size %d and is stored as of size %d", c.Size, signedSize))
	}
	v.report.Signed = c.Size
	if c.Size > size {
		v.fault(checkpointFault("signs %d entries, and there are %d: the journal was rolled back", c.Size, size))
		return nil
	}
	root := v.report.Root
	if c.Size < size {
		// The stored hashes, corrected, are those that were computed.
		err := v.log.store.View(ctx, func(r StoreReader) (err error) {
			root, err = treeHash(c.Size, v.readHashes(r))
			return err
		})
		if err != nil {
			if v.report.Found > 0 {
				return nil //nolint:nilerr // a missing hash was reported
			}
			return err
		}
	}
	if root != c.Root {
		v.fault(checkpointFault("signs another root for %d entries", c.Size))
	}
	return nil
}

// objects folds all entries again and compares with what is stored.
func (v *verification) objects(ctx context.Context) error {
	var objects uint64
	var total int64
	err := v.log.store.View(ctx, func(r StoreReader) (err error) {
		if total, err = r.Size(); err != nil {
			return err
		}
		objects, err = countObjects(r)
		if err != nil {
			return err
		}
		extra := func(index int64, _ tlog.Hash) error {
			v.fault(hashFault(index, "belongs to no entry"))
			return nil
		}
		if err := r.ScanHashes(math.MinInt64, 0, func(index int64, _ tlog.Hash) error {
			v.fault(Fault{Part: PartHash, Entry: -1, Index: index, Level: -1, Detail: "belongs to no entry"})
			return nil
		}); err != nil {
			return err
		}
		if err := r.ScanHashes(tlog.StoredHashCount(total), math.MaxInt64, extra); err != nil {
			return err
		}
		return r.ScanRows(math.MinInt64, 0, func(row *Row) error {
			v.fault(entryFault(row.Number, "", "has a number below 0"))
			return nil
		})
	})
	if err != nil || len(v.log.folds) == 0 {
		return err
	}
	v.done = 0
	parts := max(uint64(v.o.Workers), objects/partSize+1)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.o.Workers)
	for part := range parts {
		g.Go(func() error {
			p := replay{folds: v.log.folds, part: part, parts: parts, seed: v.seed}
			p.refused = func(number int64, ref Ref, err error) error {
				v.fault(Fault{Part: PartObject, Entry: number, Index: -1, Level: -1, Object: ref, Detail: err.Error()})
				return nil
			}
			return v.log.store.View(ctx, func(r StoreReader) error {
				if err := p.run(ctx, r); err != nil {
					return err
				}
				v.mu.Lock()
				for _, o := range p.objects {
					if o.Doc != nil {
						v.report.Objects++
					}
				}
				v.mu.Unlock()
				err := p.differences(r, func(want, have *Object) error {
					v.fault(objectFault(want, have))
					return nil
				})
				v.progress("objects", total/int64(parts), total)
				return err
			})
		})
	}
	return g.Wait()
}

func objectFault(want, have *Object) Fault {
	f := Fault{Part: PartObject, Entry: -1, Index: -1, Level: -1}
	switch {
	case have == nil:
		f.Object, f.Detail = want.Ref, "is missing"
	case want == nil:
		f.Object, f.Detail = have.Ref, "follows from no entry"
	default:
		f.Object = want.Ref
		switch key := keysDiffer(want.Keys, have.Keys); {
		case !bytes.Equal(want.Doc, have.Doc):
			f.Column, f.Detail = "doc", "is not what the entries give"
		case key != "":
			f.Column, f.Detail = key, "is not what the entries give"
		default:
			f.Column, f.Detail = "version", fmt.Sprintf("is %d, and the entries give %d", have.Version, want.Version)
		}
	}
	return f
}

// feed checks the sequence of every chain.
func (v *verification) feed(ctx context.Context) error {
	return v.log.store.View(ctx, func(r StoreReader) error {
		size, err := r.Size()
		if err != nil {
			return err
		}
		var prev FeedRow
		return r.ScanFeed(func(row *FeedRow) error {
			v.report.Feed++
			if v.report.Feed%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if row.Chain != prev.Chain {
				prev = FeedRow{Chain: row.Chain}
			}
			fault := func(column, detail string) {
				v.fault(Fault{Part: PartFeed, Entry: row.Entry, Index: int64(row.Seq), Level: -1, Chain: row.Chain, Column: column, Detail: detail})
			}
			if row.Seq != prev.Seq+1 {
				fault("seq", fmt.Sprintf("follows operation %d", prev.Seq))
			}
			if row.Entry < 0 || row.Entry >= size {
				fault("entry", fmt.Sprintf("entry %d does not exist", row.Entry))
			}
			if v.o.Feed != nil {
				if err := v.o.Feed(&prev, row); err != nil {
					fault("op", err.Error())
				}
			}
			prev.Seq, prev.Entry = row.Seq, row.Entry
			prev.Op = append(prev.Op[:0], row.Op...)
			return nil
		})
	})
}
