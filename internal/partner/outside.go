package partner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Identity is who an OpenID provider says that someone is. Issuer and Subject
// together name the person for ever; the address is trusted only if verified.
type Identity struct {
	Issuer   string
	Subject  string
	Email    string
	Verified bool
}

// Link is an identity elsewhere that signs in an account here.
type Link struct {
	ID     string    `json:"id"`
	Issuer string    `json:"issuer"`
	Added  time.Time `json:"added"`
	Used   time.Time `json:"used,omitzero"`
}

type linkDoc struct {
	Issuer string    `json:"issuer"`
	Added  time.Time `json:"added"`
	Used   time.Time `json:"used,omitzero"`
}

func (i Identity) id() string { return hashSecret("oidc " + i.Issuer + "\x00" + i.Subject) }

func links(r journal.StoreReader, account string) ([]Link, error) {
	ps, err := r.Privates(privateLink, account)
	if err != nil {
		return nil, err
	}
	var out []Link
	for _, p := range ps {
		var d linkDoc
		if err := json.Unmarshal(p.Doc, &d); err != nil {
			return nil, fmt.Errorf("reading a link: %w", err)
		}
		out = append(out, Link{ID: p.ID[:shortID], Issuer: d.Issuer, Added: d.Added, Used: d.Used})
	}
	return out, nil
}

func putLink(tx *journal.Tx, id, account string, d linkDoc) error {
	doc, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("writing a link: %w", err)
	}
	return tx.PutPrivate(journal.Private{Kind: privateLink, ID: id, Owner: account, Doc: doc})
}

var errIdentity = problem.New(problem.Denied, "no account here belongs to this identity", "ask an administrator of your partner for an invitation, or sign in another way and link it on the page Your keys")

// SignInOIDC signs in with an identity that a provider vouched for. It finds
// an account that was linked to it, or else takes up an invitation for its
// verified e-mail address. It makes no account and gives no rights: an
// identity that nobody invited is refused, in the same words whatever the
// reason.
func (s *Service) SignInOIDC(ctx context.Context, who Identity, client Client) (SignedIn, error) {
	var out SignedIn
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		now := s.o.Now().UTC()
		p, err := tx.Private(privateLink, who.id())
		if err == nil {
			all, err := memberships(tx, p.Owner)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return errIdentity
			}
			var d linkDoc
			if err := json.Unmarshal(p.Doc, &d); err != nil {
				return fmt.Errorf("reading a link: %w", err)
			}
			d.Used = now
			if err := putLink(tx, p.ID, p.Owner, d); err != nil {
				return err
			}
			out, err = s.begin(tx, all[0], client, byOIDC, s.firstKey(tx, p.Owner))
			return err
		}
		if problem.KindOf(err) != problem.NotFound {
			return err
		}
		email := strings.ToLower(strings.TrimSpace(who.Email))
		if !who.Verified || email == "" {
			return errIdentity
		}
		m, ok, err := byAddress(tx, email)
		if err != nil {
			return err
		}
		// Only an invitation that stands and was not taken up: an account that is
		// in use is linked by its owner, signed in, and by nobody else.
		if !ok || m.Disabled || m.Enrolled || m.Person != "" {
			return errIdentity
		}
		codes, err := tx.Privates(privateCode, m.ID)
		if err != nil {
			return err
		}
		open := false
		for _, c := range codes {
			var d codeDoc
			if err := json.Unmarshal(c.Doc, &d); err != nil {
				return fmt.Errorf("reading a one-time code: %w", err)
			}
			open = open || (d.Purpose == purposeFirst && now.Before(c.Expires))
		}
		if !open {
			return errIdentity
		}
		if err := deleteOwned(tx, privateCode, m.ID); err != nil {
			return err
		}
		if err := putLink(tx, who.id(), m.Account(), linkDoc{Issuer: who.Issuer, Added: now, Used: now}); err != nil {
			return err
		}
		if err := s.enrolled(tx, m, byOIDC); err != nil {
			return err
		}
		out, err = s.begin(tx, m, client, byOIDC, access.ChangeKeys)
		return err
	})
	if err != nil {
		s.failed(ctx, "oidc", err)
		return SignedIn{}, err
	}
	return out, nil
}

// firstKey is what a sign-in elsewhere proves presence for: adding the first
// key of one's own, as long as there is none to touch.
func (s *Service) firstKey(r journal.StoreReader, account string) access.Action {
	k, err := s.keys(r, account)
	if err != nil || len(k.Passkeys) > 0 || k.TOTP {
		return ""
	}
	return access.ChangeKeys
}

// LinkOIDC links an identity to the account of the actor, who is signed in and
// proved presence for it.
func (s *Service) LinkOIDC(ctx context.Context, by access.Actor, who Identity) error {
	return s.changeKeys(ctx, by, "link_added", func(tx *journal.Tx, m Member) error {
		if _, err := tx.Private(privateLink, who.id()); err == nil {
			return problem.New(problem.Conflict, "this identity is linked already", "sign in with it, or remove the link where it is")
		} else if problem.KindOf(err) != problem.NotFound {
			return err
		}
		return putLink(tx, who.id(), m.Account(), linkDoc{Issuer: who.Issuer, Added: s.o.Now().UTC()})
	})
}

// Unlink removes one of the actor's links by the ID of the list.
func (s *Service) Unlink(ctx context.Context, by access.Actor, id string) error {
	return s.changeKeys(ctx, by, "link_removed", func(tx *journal.Tx, m Member) error {
		ps, err := tx.Privates(privateLink, m.Account())
		if err != nil {
			return err
		}
		for _, p := range ps {
			if p.ID[:shortID] == id {
				if err := tx.DeletePrivate(privateLink, p.ID); err != nil {
					return err
				}
				return s.wayIn(tx, m.Account())
			}
		}
		return problem.New(problem.NotFound, "there is no such link", "reload the page: it may have been removed already")
	})
}
