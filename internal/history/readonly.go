package history

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// readOnly is a transaction that writes private data alone.
type readOnly struct {
	journal.StoreTx
	why *problem.Error
}

func (t readOnly) PutRow(journal.Row, []tlog.Hash) error { return t.why }
func (t readOnly) EraseRow(int64) error                  { return t.why }
func (t readOnly) PutCheckpoint([]byte, int64) error     { return t.why }
func (t readOnly) PutObject(journal.Object) error        { return t.why }
func (t readOnly) DeleteObject(journal.Ref) error        { return t.why }
func (t readOnly) Next(string) (int64, error)            { return 0, t.why }
func (t readOnly) SetCounter(string, int64) error        { return t.why }
func (t readOnly) PutFeed(journal.FeedRow) error         { return t.why }
func (t readOnly) MendFeed(journal.FeedRow) error        { return t.why }
