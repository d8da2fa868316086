package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// CommittedEntry is an entry with its record in the Merkle tree.
type CommittedEntry struct {
	Entry
	Commitment string `json:"commitment" doc:"64 hex digits; siaga log prove shows that the tree has it"`
}

// journalRoutes reads the journal as its pages do. Checkpoint, tiles and proofs
// stand under /log/, without a token.
func (s *server) journalRoutes() {
	add(s, op{"list-journal", http.MethodGet, "/api/v1/journal", "Read the journal's entries that you may see, newest first", access.ReadJournal, http.StatusOK},
		func(ctx context.Context, in *struct {
			Limit   int      `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many entries at most; a page may have fewer, and go on, where you may see few"`
			Cursor  string   `query:"cursor" maxLength:"500" doc:"The member next of the page before"`
			Partner string   `query:"partner" maxLength:"60" doc:"Only what this partner did"`
			Type    []string `query:"type" maxItems:"20" doc:"Only these types, for example signal.proposed"`
		},
		) (*struct{ Body Page[Entry] }, error) {
			before, err := number(in.Cursor)
			if err != nil {
				return nil, err
			}
			entries, next, err := s.Journal.Shown(ctx, actor(ctx), s.Now(), journal.RowQuery{Partner: in.Partner, Types: in.Type, Before: before, Limit: in.Limit})
			out := &struct{ Body Page[Entry] }{Page[Entry]{Items: []Entry{}}}
			for _, e := range entries {
				out.Body.Items = append(out.Body.Items, entryView(e))
			}
			if next > 0 {
				out.Body.Next = cursor(strconv.FormatInt(next, 10))
			}
			return out, err
		})
	add(s, op{"get-journal-entry", http.MethodGet, "/api/v1/journal/{number}", "Read one entry with its commitment", access.ReadJournal, http.StatusOK},
		func(ctx context.Context, in *struct {
			Number int64 `path:"number" minimum:"0"`
		},
		) (*struct{ Body CommittedEntry }, error) {
			e, row, err := s.Journal.ShownEntry(ctx, actor(ctx), s.Now(), in.Number)
			return &struct{ Body CommittedEntry }{CommittedEntry{entryView(e), hex.EncodeToString(row.Commitment[:])}}, err
		})
}

// number reads the cursor of a list of entries; 0: from the newest on.
func number(text string) (int64, error) {
	after, err := PageInput{Cursor: text}.after()
	if err != nil || after == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(after, 10, 64)
	if err != nil {
		return 0, problem.New(problem.Invalid, "the cursor is not one that this list gave", "start again without a cursor")
	}
	return n, nil
}
