package journal

import (
	"context"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// mostLooked bounds how many entries one call of Shown looks at.
const mostLooked = 5000

// Shown returns entries that the actor may see at the time now, newest first,
// of those that q selects by Types, Partner and Before. There are at most
// q.Limit of them (0: 100). next is the Before of the next page, 0 on the last.
// A page may be short, or empty, where an actor may see little of much: as long
// as next is not 0, there is more.
func (l *Log) Shown(ctx context.Context, by access.Actor, now time.Time, q RowQuery) (out []Entry, next int64, err error) {
	if err := access.Allow(by, access.ReadJournal, now); err != nil {
		return nil, 0, err
	}
	if q.Newest = true; q.Limit == 0 {
		q.Limit = 100
	}
	limit := q.Limit
	err = l.View(ctx, func(r StoreReader) error {
		out, next = nil, 0
		for looked := 0; looked < mostLooked; {
			page, err := l.Entries(r, q)
			if err != nil {
				return err
			}
			for _, e := range page {
				if q.Before = e.Number; !e.Audience.Sees(by) {
					continue
				}
				if out = append(out, e); len(out) == limit {
					next = e.Number // the first entry has the number 0, and none before it
					return nil
				}
			}
			if looked += len(page); len(page) < q.Limit || q.Before == 0 {
				return nil
			}
		}
		next = q.Before
		return nil
	})
	return out, next, err
}

// ShownEntry returns one entry with its row, if the actor may see it at the time
// now. One that the actor may not see answers NotFound, like one that is not there.
func (l *Log) ShownEntry(ctx context.Context, by access.Actor, now time.Time, number int64) (e Entry, row Row, err error) {
	if err := access.Allow(by, access.ReadJournal, now); err != nil {
		return e, row, err
	}
	err = l.View(ctx, func(r StoreReader) error {
		if row, err = r.Row(number); err != nil {
			return err
		}
		e, err = row.Entry()
		return err
	})
	if problem.KindOf(err) == problem.NotFound || (err == nil && !e.Audience.Sees(by)) {
		return Entry{}, Row{}, problem.New(problem.NotFound, "there is no such journal entry", "check its number")
	}
	return e, row, err
}
