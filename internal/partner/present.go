package partner

import (
	"context"
	"strings"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

var errPresent = &problem.Error{
	Kind: problem.Invalid, Detail: "the e-mail address or the six-digit code is not right", Fix: "check both and wait for the next code",
	Fields: []problem.Field{{Name: "proofs", Detail: "check the e-mail address and the six-digit code"}},
}

// Present checks that a person is there now, by what their authenticator shows,
// and returns their account. It uses the code up and counts wrong ones as signing
// in does. It is for acts of two people at one place, such as the operator's shell.
func (s *Service) Present(ctx context.Context, email, onetime string) (account string, err error) {
	email = strings.ToLower(strings.TrimSpace(email))
	key := "email " + email
	if err := s.failures.check(key); err != nil {
		return "", err
	}
	err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		m, ok, err := byAddress(tx, email)
		if err != nil {
			return err
		}
		if !ok {
			return errPresent
		}
		account = m.Account()
		active, err := memberships(tx, account)
		if err != nil {
			return err
		}
		c, err := loadCredential(tx, account)
		if err != nil {
			return err
		}
		if c.Seed == nil || len(active) == 0 {
			return errPresent
		}
		if c.LastStep, err = s.onetime(c, account, onetime, s.o.Now()); err != nil {
			return err
		}
		return putCredential(tx, account, c)
	})
	if problem.KindOf(err) == problem.Invalid {
		s.failures.count(key)
		return "", errPresent
	}
	return account, err
}

// Forget deletes what signs in a person who is no partner's member any more:
// password, keys, sessions, links.
func (s *Service) Forget(ctx context.Context, account string) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		active, err := memberships(tx, account)
		if err != nil || len(active) > 0 {
			return err
		}
		for _, kind := range []string{privateCredential, privateSession, privateCode, privatePasskey, privateDevice, privateLink, privateAlert} {
			ps, err := tx.Privates(kind, account)
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
