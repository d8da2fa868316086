package partner

import (
	"context"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Proof says how a member proves presence for a step-up.
type Proof struct {
	Passkey *Ceremony // touch one of the member's passkeys; nil if there is none
	Code    bool      // enter a fresh code of the authenticator: only without a passkey
}

// Prove says how the holder of a session proves presence anew for one action.
func (s *Service) Prove(ctx context.Context, key string, do access.Action) (Proof, error) {
	if !access.NeedsStepUp(do) {
		return Proof{}, problem.New(problem.Invalid, "this action needs no step-up", "go back and send the form")
	}
	var p Proof
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		ses, err := s.readSession(r, key)
		if err != nil {
			return err
		}
		keys, err := s.passkeys(r, ses.Account)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			p.Passkey, err = s.askPasskey(r, ses.Account, keys, stepUpBinding(key, do))
			return err
		}
		c, err := loadCredential(r, ses.Account)
		p.Code = c.Seed != nil
		return err
	})
	return p, err
}

// stepUpBinding ties a touch to one session and one action.
func stepUpBinding(key string, do access.Action) string {
	return "step-up " + hashSecret(key) + " " + string(do)
}

// StepUpPasskey takes the touch that Prove asked for.
func (s *Service) StepUpPasskey(ctx context.Context, key string, do access.Action, token, response string) error {
	if !access.NeedsStepUp(do) {
		return problem.New(problem.Invalid, "this action needs no step-up", "go back and send the form")
	}
	err := s.changeSession(ctx, key, func(tx *journal.Tx, ses *Session) error {
		account, err := s.takePasskey(tx, token, response, stepUpBinding(key, do))
		if err != nil {
			return err
		}
		if account != ses.Account {
			return errPasskey
		}
		ses.StepUp, ses.For = s.o.Now().UTC(), do
		return nil
	})
	if err != nil {
		s.failed(ctx, "step-up by passkey", err)
	}
	return err
}

// StepUpCode takes a fresh code of the authenticator, from a member who has no
// passkey.
func (s *Service) StepUpCode(ctx context.Context, key string, do access.Action, onetime string) error {
	if !access.NeedsStepUp(do) {
		return problem.New(problem.Invalid, "this action needs no step-up", "go back and send the form")
	}
	var account string
	if err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		ses, err := s.readSession(r, key)
		account = ses.Account
		return err
	}); err != nil {
		return err
	}
	who := "step-up " + account
	if err := s.failures.check(who); err != nil {
		return err
	}
	err := s.changeSession(ctx, key, func(tx *journal.Tx, ses *Session) error {
		keys, err := s.passkeys(tx, ses.Account)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return problem.New(problem.Conflict, "you have a passkey, which is asked for here", "touch your passkey")
		}
		c, err := loadCredential(tx, ses.Account)
		if err != nil {
			return err
		}
		if c.Seed == nil {
			return problem.New(problem.Conflict, "you have neither a passkey nor an authenticator", "sign in anew and add a passkey on the page Your keys")
		}
		now := s.o.Now()
		if c.LastStep, err = s.onetime(c, ses.Account, onetime, now); err != nil {
			return err
		}
		if err := putCredential(tx, ses.Account, c); err != nil {
			return err
		}
		ses.StepUp, ses.For = now.UTC(), do
		return nil
	})
	if problem.KindOf(err) == problem.Invalid {
		s.failures.count(who)
		s.failed(ctx, "step-up by code", err)
	}
	return err
}

// failed logs an attempt that failed: what was tried and the kind of failure,
// and nothing about who or with what.
func (s *Service) failed(ctx context.Context, what string, err error) {
	s.o.Logger.WarnContext(ctx, "sign-in failed", "what", what, "kind", problem.KindOf(err))
}
