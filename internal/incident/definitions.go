package incident

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// recorded is a definition file as the journal keeps it.
type recorded struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Hash    string `json:"hash"`
	Source  string `json:"source"`
}

// definitions finds definitions by hash and keeps what it has parsed.
type definitions struct {
	mu     sync.Mutex
	parsed map[string]*protocol.Definition // by hash; guarded by mu
}

func newDefinitions() *definitions {
	return &definitions{parsed: make(map[string]*protocol.Definition)}
}

// current returns the definition under which a new activation begins.
func (d *definitions) current(id string) (*protocol.Definition, error) {
	return protocol.Lookup(strings.TrimSpace(id))
}

// of returns the definition that an activation began with.
func (d *definitions) of(r journal.StoreReader, a protocol.Activation) (*protocol.Definition, error) {
	if def, err := protocol.Lookup(a.Protocol); err == nil && def.Hash == a.Hash {
		return def, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if def, ok := d.parsed[a.Hash]; ok {
		return def, nil
	}
	rec, _, err := journal.Load[recorded](r, KindDefinition, a.Hash)
	if err != nil {
		return nil, fmt.Errorf("finding the definition %s of an activation: %w", a.Hash, err)
	}
	def, err := protocol.Recall([]byte(rec.Source))
	if err != nil {
		return nil, fmt.Errorf("reading the recorded definition %s@%s: %w", rec.ID, rec.Version, err)
	}
	d.parsed[a.Hash] = def
	return def, nil
}

// record keeps the definition's file in the journal, once.
func (d *definitions) record(tx *journal.Tx, by access.Actor, def *protocol.Definition, now time.Time) error {
	ref := journal.Ref{Kind: KindDefinition, ID: def.Hash}
	_, err := tx.Object(ref)
	if problem.KindOf(err) != problem.NotFound {
		return err
	}
	e := journal.New("protocol.recorded", by, now, recorded{def.ID, def.Version, def.Hash, string(def.Source)}, ref)
	e.Audience = access.Audience{TLP: access.Green, Origin: by.Partner}
	_, err = tx.Append(e)
	return err
}

func foldDefinition() journal.Fold {
	return journal.FoldOf(KindDefinition, func(r *recorded, e journal.Entry) error {
		if e.Type == "protocol.recorded" {
			return e.Decode(r)
		}
		return nil
	}, func(r *recorded) journal.Keys {
		return journal.Keys{Parent: r.ID, Sort: r.ID + "@" + r.Version}
	})
}
