package partner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

var errProof = &problem.Error{
	Kind: problem.Invalid, Detail: "the e-mail address or the six-digit code is not right", Fix: "check both and wait for the next code",
	Fields: []problem.Field{{Name: "proofs", Detail: "check the e-mail address and the six-digit code"}},
}

// Prove checks that a member is there now, by what their authenticator shows. It
// uses the code up and counts wrong ones as signing in does. It is for acts of
// two people at one place, such as the operator's shell.
func (s *Service) Prove(ctx context.Context, email, onetime string) (Member, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	key := "email " + email
	if err := s.failures.check(key); err != nil {
		return Member{}, err
	}
	var m Member
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		os, err := tx.Objects(journal.ObjectQuery{Kind: KindMember, Unique: email, Limit: 1})
		if err != nil {
			return err
		}
		if len(os) == 0 {
			return errProof
		}
		if err := json.Unmarshal(os[0].Doc, &m); err != nil {
			return fmt.Errorf("reading member %s: %w", os[0].ID, err)
		}
		c, err := loadCredential(tx, m.ID)
		if err != nil {
			return err
		}
		if c.Seed == nil || m.Disabled {
			return errProof
		}
		if c.LastStep, err = s.onetime(c, m.ID, onetime, s.o.Now()); err != nil {
			return err
		}
		return putCredential(tx, m.ID, c)
	})
	if problem.KindOf(err) == problem.Invalid {
		s.failures.count(key)
		return Member{}, errProof
	}
	return m, err
}

// Forget deletes a member's secrets: password, second factor, sessions, codes.
func (s *Service) Forget(ctx context.Context, id string) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		for _, kind := range []string{privateCredential, privateSession, privateCode} {
			ps, err := tx.Privates(kind, id)
			if err != nil {
				return err
			}
			for _, p := range ps {
				if err := tx.DeletePrivate(kind, p.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
