package storetest

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
)

// Contents is everything that a store holds.
type Contents struct {
	Rows       []journal.Row // with About
	Hashes     []tlog.Hash
	Checkpoint []byte
	Size       int64 // of the checkpoint
	Objects    []journal.Object
	Privates   []journal.Private
	Counters   map[string]int64
	Feed       []journal.FeedRow
}

// Dump reads everything that a store holds.
func Dump(tb testing.TB, s journal.Store) (c Contents) {
	tb.Helper()
	c.Counters = make(map[string]int64)
	err := s.View(context.Background(), func(r journal.StoreReader) error {
		err := r.ScanRows(math.MinInt64, math.MaxInt64, func(row *journal.Row) error {
			one := *row
			one.Head, one.Payload, one.Salt = bytes.Clone(row.Head), bytes.Clone(row.Payload), bytes.Clone(row.Salt)
			c.Rows = append(c.Rows, one)
			return nil
		})
		if err != nil {
			return err
		}
		if err := r.ScanAbout(func(number int64, about journal.Ref) error {
			c.Rows[number].About = append(c.Rows[number].About, about)
			return nil
		}); err != nil {
			return err
		}
		for _, row := range c.Rows {
			slices.SortFunc(row.About, func(a, b journal.Ref) int { return strings.Compare(a.Kind+"\x00"+a.ID, b.Kind+"\x00"+b.ID) })
		}
		if err := r.ScanHashes(math.MinInt64, math.MaxInt64, func(_ int64, h tlog.Hash) error {
			c.Hashes = append(c.Hashes, h)
			return nil
		}); err != nil {
			return err
		}
		if c.Checkpoint, c.Size, err = r.Checkpoint(); err != nil {
			return err
		}
		if err := r.ScanObjects(func(o *journal.Object) error {
			one := *o
			one.Doc = bytes.Clone(o.Doc)
			c.Objects = append(c.Objects, one)
			return nil
		}); err != nil {
			return err
		}
		if err := r.ScanPrivates(func(p *journal.Private) error {
			one := *p
			one.Doc = bytes.Clone(p.Doc)
			c.Privates = append(c.Privates, one)
			return nil
		}); err != nil {
			return err
		}
		slices.SortFunc(c.Privates, func(a, b journal.Private) int { return strings.Compare(a.Kind+"\x00"+a.ID, b.Kind+"\x00"+b.ID) })
		if err := r.ScanCounters(func(name string, value int64) error {
			c.Counters[name] = value
			return nil
		}); err != nil {
			return err
		}
		return r.ScanFeed(func(f *journal.FeedRow) error {
			one := *f
			one.Op = bytes.Clone(f.Op)
			c.Feed = append(c.Feed, one)
			return nil
		})
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
