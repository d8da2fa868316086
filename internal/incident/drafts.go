package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Draft is a situation update that is not posted yet. It belongs to one
// partner, whose members write it together; it is no statement, so it is kept
// beside the journal and goes after a week.
type Draft struct {
	NewUpdate
	Member string    `json:"member"` // who saved it last
	At     time.Time `json:"at"`
}

const (
	privateDraft = "draft" // ID "incident/partner"
	draftKept    = 7 * 24 * time.Hour
)

// SaveDraft keeps a draft of the actor's partner; an empty one removes it.
func (s *Service) SaveDraft(ctx context.Context, by access.Actor, id string, n NewUpdate) (Draft, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.PostUpdate, now); err != nil {
		return Draft{}, err
	}
	if !languages(n.Texts) {
		return Draft{}, fieldError("texts", fmt.Sprintf("use up to %d languages, each by its code, for example id", maxLanguages))
	}
	for lang, t := range n.Texts {
		if len([]rune(t)) > MaxText {
			return Draft{}, fieldError("texts", fmt.Sprintf("the text in %s has %d characters, the limit is %d", lang, len([]rune(t)), MaxText))
		}
		if strip(t) == "" {
			delete(n.Texts, lang)
		}
	}
	d := Draft{n, by.Member, now.UTC().Truncate(time.Millisecond)}
	return journal.Do(ctx, s.o.Log, by, "update.draft "+id, now, func(tx *journal.Tx) (Draft, error) {
		inc, err := visible(tx, by, id)
		if err != nil {
			return d, err
		}
		key := inc.ID + "/" + by.Partner
		if len(n.Texts) == 0 {
			return d, tx.DeletePrivate(privateDraft, key)
		}
		doc, err := json.Marshal(d)
		if err != nil {
			return d, fmt.Errorf("writing a draft: %w", err)
		}
		return d, tx.PutPrivate(journal.Private{Kind: privateDraft, ID: key, Owner: by.Partner, Doc: doc, Expires: now.Add(draftKept)})
	})
}

// Draft returns the draft of the actor's partner; ok is false if there is none.
func (s *Service) Draft(ctx context.Context, by access.Actor, id string) (d Draft, ok bool, err error) {
	if err := access.Allow(by, access.PostUpdate, s.o.Now()); err != nil {
		return d, false, err
	}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		inc, err := visible(r, by, id)
		if err != nil {
			return err
		}
		p, err := r.Private(privateDraft, inc.ID+"/"+by.Partner)
		if problem.KindOf(err) == problem.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		ok = p.Expires.After(s.o.Now())
		return json.Unmarshal(p.Doc, &d)
	})
	return d, ok, err
}
