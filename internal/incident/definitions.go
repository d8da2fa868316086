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

// current returns the definition under which a new activation begins: the
// version adopted last, or the one that comes with the program.
func (d *definitions) current(r journal.StoreReader, id string) (*protocol.Definition, error) {
	id = strings.TrimSpace(id)
	adopted, err := r.Objects(journal.ObjectQuery{Kind: KindVersion, Parent: id, States: []string{string(Adopted)}, Newest: true, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(adopted) > 0 {
		return d.byHash(r, adopted[0].ID)
	}
	return protocol.Lookup(id)
}

// of returns the definition that an activation began with.
func (d *definitions) of(r journal.StoreReader, a protocol.Activation) (*protocol.Definition, error) {
	if def, err := protocol.Lookup(a.Protocol); err == nil && def.Hash == a.Hash {
		return def, nil
	}
	def, err := d.byHash(r, a.Hash)
	if err != nil {
		return nil, fmt.Errorf("finding the definition of an activation of %s: %w", a.Protocol, err)
	}
	return def, nil
}

// byHash returns a definition that the journal has recorded.
func (d *definitions) byHash(r journal.StoreReader, hash string) (*protocol.Definition, error) {
	d.mu.Lock()
	def, ok := d.parsed[hash]
	d.mu.Unlock()
	if ok {
		return def, nil
	}
	rec, _, err := journal.Load[recorded](r, KindDefinition, hash)
	if err != nil {
		return nil, err
	}
	if def, err = protocol.Recall([]byte(rec.Source)); err != nil {
		return nil, fmt.Errorf("reading the recorded definition %s@%s: %w", rec.ID, rec.Version, err)
	}
	d.mu.Lock()
	d.parsed[hash] = def
	d.mu.Unlock()
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
		if e.Type == "protocol.recorded" || e.Type == "protocol.proposed" {
			return e.Decode(r)
		}
		return nil
	}, func(r *recorded) journal.Keys {
		return journal.Keys{Parent: r.ID, Sort: r.ID + "@" + r.Version}
	})
}
