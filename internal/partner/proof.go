package partner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A step-up is for one action on one object: for the request that was shown when
// presence was asked for, with all that its form says, and for that once.

// RequestOf names a request, with the fields that say what is done, as the object
// of a step-up. Another object, another choice or another reason is another
// request.
func RequestOf(method, uri, fields string) string {
	sum := sha256.Sum256([]byte("siaga request v1\x00" + method + "\x00" + uri + "\x00" + fields))
	return hex.EncodeToString(sum[:])
}

// AnyRequest is the object of the proof that signing in itself is, for someone
// who has no key yet to prove anything with: it serves to add one.
const AnyRequest = "*"

// proofLife is how long a proof waits for its request, which follows at once.
const proofLife = time.Minute

// prove writes a proof into the session, in place of what was there.
func (ses *Session) prove(at time.Time, do access.Action, object string, life time.Duration) {
	ses.StepUp, ses.For, ses.Object, ses.Until = at.UTC(), do, object, at.Add(life).UTC()
	if do == "" {
		ses.StepUp, ses.Until = time.Time{}, time.Time{}
	}
}

// waits reports whether there is a proof for one request that did not come yet.
func (ses *Session) waits(now time.Time) bool {
	return ses.For != "" && ses.Object != "" && ses.Object != AnyRequest && now.Before(ses.Until)
}

// Proof says how a member proves presence for a step-up.
type Proof struct {
	Passkey *Ceremony // touch one of the member's passkeys; nil if there is none
	Code    bool      // enter a fresh code of the authenticator: only without a passkey
}

// Prove says how the holder of a session proves presence anew for one action on
// one object: see RequestOf.
func (s *Service) Prove(ctx context.Context, key string, do access.Action, object string) (Proof, error) {
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
			p.Passkey, err = s.askPasskey(r, ses.Account, keys, stepUpBinding(key, do, object))
			return err
		}
		c, err := loadCredential(r, ses.Account)
		p.Code = c.Seed != nil
		return err
	})
	return p, err
}

// stepUpBinding ties a touch to one session, one action and one object.
func stepUpBinding(key string, do access.Action, object string) string {
	return "step-up " + hashSecret(key) + " " + string(do) + " " + object
}

// StepUpPasskey takes the touch that Prove asked for.
func (s *Service) StepUpPasskey(ctx context.Context, key string, do access.Action, object, token, response string) error {
	if !access.NeedsStepUp(do) {
		return problem.New(problem.Invalid, "this action needs no step-up", "go back and send the form")
	}
	err := s.changeSession(ctx, key, func(tx *journal.Tx, ses *Session) error {
		account, err := s.takePasskey(tx, token, response, stepUpBinding(key, do, object))
		if err != nil {
			return err
		}
		if account != ses.Account {
			return errPasskey
		}
		ses.prove(s.o.Now(), do, object, proofLife)
		return nil
	})
	if err != nil {
		s.failed(ctx, "step-up by passkey", err)
	}
	return err
}

// StepUpCode takes a fresh code of the authenticator, from a member who has no
// passkey.
func (s *Service) StepUpCode(ctx context.Context, key string, do access.Action, object, onetime string) error {
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
		ses.prove(now, do, object, proofLife)
		return nil
	})
	if problem.KindOf(err) == problem.Invalid {
		s.failures.count(who)
		s.failed(ctx, "step-up by code", err)
	}
	return err
}

// Carry lets a proof that the actor has just given serve once more, for the
// object with which an errand that began here comes back: a sign-in elsewhere.
func (s *Service) Carry(ctx context.Context, key string, by access.Actor, do access.Action, object string) error {
	now := s.o.Now()
	if err := access.Allow(by, do, now); err != nil {
		return err
	}
	return s.changeSession(ctx, key, func(_ *journal.Tx, ses *Session) error {
		if ses.For == access.AnyAction || ses.Object == AnyRequest {
			return nil // serves already
		}
		ses.prove(now, do, object, access.StepUpFresh)
		return nil
	})
}

// failed logs an attempt that failed: what was tried and the kind of failure,
// and nothing about who or with what.
func (s *Service) failed(ctx context.Context, what string, err error) {
	s.o.Logger.WarnContext(ctx, "sign-in failed", "what", what, "kind", problem.KindOf(err))
}
