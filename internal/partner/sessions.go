package partner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Session is a signed-in browser, as it is stored. Its key has 160 random
// bits and is kept as a digest. What its holder may do is not in it: the
// member is read anew at each request.
type Session struct {
	Account string        `json:"account"`
	Member  string        `json:"member"` // the membership it acts as
	Began   time.Time     `json:"began"`
	Seen    time.Time     `json:"seen"`
	StepUp  time.Time     `json:"step_up,omitzero"`
	For     access.Action `json:"for,omitempty"`    // what the step-up was for
	Object  string        `json:"object,omitempty"` // and the very request: see Request; AnyRequest for none in particular
	Until   time.Time     `json:"until,omitzero"`   // end of the step-up
	How     string        `json:"how,omitempty"`    // passkey, password, recovery, oidc, invitation or demo
	Browser string        `json:"browser,omitempty"`
}

// How someone signed in.
const (
	byPasskey    = "passkey"
	byPassword   = "password"
	byRecovery   = "recovery"
	byOIDC       = "oidc"
	byInvitation = "invitation"
	byDemo       = "demo"
)

// Client is the browser that asks.
type Client struct {
	Addr   string // network address, for counting failures; not kept
	Agent  string // User-Agent, of which browser and system are kept with the session
	Device string // key that an earlier sign-in gave this browser; may be ""
}

// SignedIn is what a sign-in gives the browser to keep.
type SignedIn struct {
	Key    string // of the session
	Device string // tells this browser from one never seen before; kept 90 days
}

// DeviceLife is how long a browser stays known that is not used to sign in.
const DeviceLife = 90 * 24 * time.Hour

// begin makes a session with a key of its own for a membership. prove is the
// one action that the sign-in itself is a step-up for, or "". A browser from
// which the account never signed in is told to its owner, but the first.
func (s *Service) begin(tx *journal.Tx, m Member, c Client, how string, prove access.Action) (SignedIn, error) {
	now := s.o.Now().UTC()
	out := SignedIn{Key: random(32), Device: c.Device}
	known, first, err := s.device(tx, m.Account(), c.Device)
	if err != nil {
		return out, err
	}
	if !known {
		out.Device = random(32)
	}
	d := journal.Private{Kind: privateDevice, ID: hashSecret(out.Device), Owner: m.Account(), Doc: []byte("{}"), Expires: now.Add(DeviceLife)}
	if err := tx.PutPrivate(d); err != nil {
		return out, err
	}
	if (!known && !first) || how == byRecovery {
		by := access.Actor{Partner: m.Partner, Member: m.ID}
		what, notice := "browser", NoticeSignIn
		if how == byRecovery {
			what, notice = byRecovery, NoticeRecovery
			// The member's administrators know whom to ask whether it was them.
			if err := s.tellAdministrators(tx, by, m, NoticeRecovered); err != nil {
				return out, err
			}
		}
		if err := s.tellOwner(tx, by, m, "member.signed_in", what, notice); err != nil {
			return out, err
		}
	}
	ses := Session{Account: m.Account(), Member: m.ID, Began: now, Seen: now, How: how, Browser: browser(c.Agent)}
	if prove != "" {
		ses.prove(now, prove, AnyRequest, access.StepUpFresh)
	}
	return out, putSession(tx, out.Key, ses, now.Add(s.o.SessionMax))
}

func (s *Service) device(tx *journal.Tx, account, key string) (known, first bool, err error) {
	ds, err := tx.Privates(privateDevice, account)
	if err != nil {
		return false, false, err
	}
	id := hashSecret(key)
	for len(ds) >= maxDevices { // the one that was not used for longest makes room
		i := slices.IndexFunc(ds, func(d journal.Private) bool {
			return !slices.ContainsFunc(ds, func(o journal.Private) bool { return o.Expires.Before(d.Expires) })
		})
		if err := tx.DeletePrivate(privateDevice, ds[i].ID); err != nil {
			return false, false, err
		}
		ds = slices.Delete(ds, i, i+1)
	}
	known = key != "" && slices.ContainsFunc(ds, func(d journal.Private) bool { return d.ID == id && s.o.Now().Before(d.Expires) })
	return known, len(ds) == 0, nil
}

const maxDevices = 20

func putSession(tx *journal.Tx, key string, ses Session, expires time.Time) error {
	return putSessionAt(tx, hashSecret(key), ses, expires)
}

func putSessionAt(tx *journal.Tx, id string, ses Session, expires time.Time) error {
	doc, err := json.Marshal(ses)
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	return tx.PutPrivate(journal.Private{Kind: privateSession, ID: id, Owner: ses.Account, Doc: doc, Expires: expires})
}

// browser names browser and system of a User-Agent, for the list of sessions;
// all else in it is left out.
func browser(agent string) string {
	pick := func(names ...string) string {
		for _, n := range names {
			token, name, _ := strings.Cut(n, "=")
			if strings.Contains(agent, token) {
				return cmp.Or(name, token)
			}
		}
		return ""
	}
	b := pick("Edg/=Edge", "OPR/=Opera", "Firefox", "SamsungBrowser=Samsung Internet", "Chrome", "Safari")
	system := pick("Android", "iPhone", "iPad", "Windows", "Mac OS X=macOS", "CrOS=ChromeOS", "Linux")
	return strings.Trim(b+", "+system, ", ")
}

var errSession = problem.New(problem.SignIn, "you are not signed in, or the session has ended", "sign in again")

// readSession returns a session that is not over.
func (s *Service) readSession(r journal.StoreReader, key string) (Session, error) {
	var ses Session
	if key == "" {
		return ses, errSession
	}
	p, err := r.Private(privateSession, hashSecret(key))
	if problem.KindOf(err) == problem.NotFound {
		return ses, errSession
	}
	if err != nil {
		return ses, err
	}
	if err := json.Unmarshal(p.Doc, &ses); err != nil {
		return ses, fmt.Errorf("reading a session: %w", err)
	}
	ses.Account = cmp.Or(ses.Account, ses.Member)
	now := s.o.Now()
	if !now.Before(p.Expires) || now.Sub(ses.Seen) > s.o.SessionIdle {
		return ses, errSession
	}
	return ses, nil
}

// acting returns who a session acts as.
func (s *Service) acting(r journal.StoreReader, ses Session) (access.Actor, Member, error) {
	m, _, err := journal.Load[Member](r, KindMember, ses.Member)
	if err != nil {
		return access.Actor{}, m, err
	}
	if m.Disabled {
		return access.Actor{}, m, errSession
	}
	pa, err := Load(r, m.Partner)
	if err != nil {
		return access.Actor{}, m, err
	}
	if pa.Disabled {
		return access.Actor{}, m, errSession
	}
	a := access.Actor{
		Partner: pa.ID, Kind: pa.Kind, Country: pa.Country, Member: m.ID, Name: m.Name,
		Roles: m.Roles,
	}
	if ses.For == access.AnyAction || ses.Object == AnyRequest && s.o.Now().Before(ses.Until) {
		a.StepUp, a.For = ses.StepUp, ses.For
	}
	a.Glass, err = s.glass(r, m.ID)
	return a, m, err
}

// seenEvery bounds how often a session's last use is written.
const seenEvery = time.Minute

// BySession returns who is signed in with this key, and that member. It counts
// as use: the idle time begins anew. A step-up for one request is not in what it
// returns: ByRequest.
func (s *Service) BySession(ctx context.Context, key string) (access.Actor, Member, error) {
	a, m, _, err := s.bySession(ctx, key, true)
	return a, m, err
}

// ByRequest is BySession for a request that may have been proved: object says
// which it is. A proof that was for this very request is in what it returns,
// and is used up by that, whatever becomes of the request.
func (s *Service) ByRequest(ctx context.Context, key string, object func() string) (access.Actor, Member, error) {
	a, m, ses, err := s.bySession(ctx, key, true)
	if err != nil || !ses.waits(s.o.Now()) || ses.Object != object() {
		return a, m, err
	}
	err = s.changeSession(ctx, key, func(_ *journal.Tx, ses *Session) error {
		if ses.waits(s.o.Now()) && ses.Object == object() { // another request may have used it since
			a.StepUp, a.For = ses.StepUp, ses.For
			ses.prove(time.Time{}, "", "", 0)
		}
		return nil
	})
	if err != nil {
		return access.Actor{}, Member{}, err
	}
	return a, m, nil
}

// Alive is BySession for what a page does by itself: event streams and the
// regions that they refresh do not keep an unused session open.
func (s *Service) Alive(ctx context.Context, key string) (access.Actor, Member, error) {
	a, m, _, err := s.bySession(ctx, key, false)
	return a, m, err
}

func (s *Service) bySession(ctx context.Context, key string, use bool) (a access.Actor, m Member, ses Session, err error) {
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		if ses, err = s.readSession(r, key); err != nil {
			return err
		}
		a, m, err = s.acting(r, ses)
		return err
	})
	if err != nil {
		return access.Actor{}, Member{}, Session{}, err
	}
	if now := s.o.Now().UTC(); use && now.Sub(ses.Seen) > seenEvery {
		err = s.changeSession(ctx, key, func(_ *journal.Tx, ses *Session) error {
			ses.Seen = now
			return nil
		})
		if problem.KindOf(err) == problem.SignIn {
			return access.Actor{}, m, Session{}, errSession
		}
	}
	return a, m, ses, err
}

// changeSession alters a session that is not over, in one transaction: one
// that ended meanwhile is not brought back.
func (s *Service) changeSession(ctx context.Context, key string, change func(tx *journal.Tx, ses *Session) error) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		ses, err := s.readSession(tx, key)
		if err != nil {
			return err
		}
		if err := change(tx, &ses); err != nil {
			return err
		}
		return putSession(tx, key, ses, ses.Began.Add(s.o.SessionMax))
	})
}

// SignOut ends a session. A key that is not known is no error.
func (s *Service) SignOut(ctx context.Context, key string) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		return tx.DeletePrivate(privateSession, hashSecret(key))
	})
}

// Memberships returns what the account of a member may act as: every
// membership that was taken up and is not disabled, the first one first.
func (s *Service) Memberships(ctx context.Context, member string) ([]Member, error) {
	var out []Member
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		m, _, err := journal.Load[Member](r, KindMember, member)
		if err != nil {
			return err
		}
		out, err = memberships(r, m.Account())
		return err
	})
	return out, err
}

func memberships(r journal.StoreReader, account string) ([]Member, error) {
	var out []Member
	add := func(m Member, _ journal.Object) error {
		left, err := Left(r, m.Partner)
		if err == nil && !left && !m.Disabled && m.Enrolled {
			out = append(out, m)
		}
		return err
	}
	m, _, err := journal.Load[Member](r, KindMember, account)
	if err != nil {
		return nil, err
	}
	if err := add(m, journal.Object{}); err != nil {
		return nil, err
	}
	err = journal.Each(r, journal.ObjectQuery{Kind: KindMember, Parent: account}, add)
	return out, err
}

// Switch lets a session act as another membership of its account, and returns
// its new key; the old one ends.
func (s *Service) Switch(ctx context.Context, key, member string) (string, error) {
	next := random(32)
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		ses, err := s.readSession(tx, key)
		if err != nil {
			return err
		}
		all, err := memberships(tx, ses.Account)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(m Member) bool { return m.ID == member }) {
			return problem.New(problem.NotFound, "you are not a member there", "choose one of the partners that the page lists")
		}
		ses.Member, ses.Seen = member, s.o.Now().UTC()
		ses.prove(time.Time{}, "", "", 0)
		if err := tx.DeletePrivate(privateSession, hashSecret(key)); err != nil {
			return err
		}
		return putSession(tx, next, ses, ses.Began.Add(s.o.SessionMax))
	})
	return next, err
}

// SessionInfo is a session as its owner sees it.
type SessionInfo struct {
	ID      string    `json:"id"` // not its key
	Began   time.Time `json:"began"`
	Seen    time.Time `json:"seen"` // to the minute
	Ends    time.Time `json:"ends"` // at the latest
	How     string    `json:"how"`
	Browser string    `json:"browser,omitempty"`
	Partner string    `json:"partner"` // it acts for
	Current bool      `json:"current,omitempty"`
}

const shortID = 16 // digits of a digest that name a session, a passkey or a link

// Sessions lists the open sessions of the actor's account, the newest first.
// current is the key of the one that asks; may be "".
func (s *Service) Sessions(ctx context.Context, by access.Actor, current string) ([]SessionInfo, error) {
	var out []SessionInfo
	err := s.own(ctx, by, func(r journal.StoreReader, m Member) (err error) {
		out, err = s.sessions(r, m.Account(), current)
		return err
	})
	return out, err
}

func (s *Service) sessions(r journal.StoreReader, account, current string) ([]SessionInfo, error) {
	out := []SessionInfo{}
	ps, err := r.Privates(privateSession, account)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	for _, p := range ps {
		var ses Session
		if err := json.Unmarshal(p.Doc, &ses); err != nil {
			return nil, fmt.Errorf("reading a session: %w", err)
		}
		if !now.Before(p.Expires) || now.Sub(ses.Seen) > s.o.SessionIdle {
			continue
		}
		i := SessionInfo{ID: p.ID[:shortID], Began: ses.Began, Seen: ses.Seen, Ends: p.Expires, How: ses.How, Browser: ses.Browser, Current: current != "" && p.ID == hashSecret(current)}
		if m, _, err := journal.Load[Member](r, KindMember, ses.Member); err == nil {
			i.Partner = m.Partner
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return b.Began.Compare(a.Began) })
	return out, nil
}

// own runs fn for the member who asks; a machine's token has none.
func (s *Service) own(ctx context.Context, by access.Actor, fn func(r journal.StoreReader, m Member) error) error {
	if by.Member == "" {
		return problem.New(problem.Denied, "this is about a person, and a machine's token asks", "sign in, or use a token of your own")
	}
	return s.o.Log.View(ctx, func(r journal.StoreReader) error {
		m, _, err := journal.Load[Member](r, KindMember, by.Member)
		if err != nil {
			return err
		}
		return fn(r, m)
	})
}

// EndSession ends one session of the actor's account by the ID of its list; ""
// ends all but the one with the key except.
func (s *Service) EndSession(ctx context.Context, by access.Actor, id, except string) error {
	if err := access.Allow(by, access.OwnProfile, s.o.Now()); err != nil {
		return err
	}
	if by.Member == "" {
		return s.own(ctx, by, nil)
	}
	_, err := journal.Do(ctx, s.o.Log, by, "session.end "+id, s.o.Now(), func(tx *journal.Tx) (none struct{}, err error) {
		m, _, err := journal.Load[Member](tx, KindMember, by.Member)
		if err != nil {
			return none, err
		}
		n, err := endSessions(tx, m.Account(), func(p journal.Private, _ Session) bool {
			if id != "" {
				return p.ID[:shortID] == id
			}
			return except == "" || p.ID != hashSecret(except)
		})
		if err == nil && n == 0 && id != "" {
			err = problem.New(problem.NotFound, "this session has ended already", "nothing more is needed")
		}
		return none, err
	})
	return err
}

// endSessions ends an account's sessions that are chosen, and says how many.
func endSessions(tx *journal.Tx, account string, choose func(journal.Private, Session) bool) (int, error) {
	ps, err := tx.Privates(privateSession, account)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range ps {
		var ses Session
		if err := json.Unmarshal(p.Doc, &ses); err != nil {
			return n, fmt.Errorf("reading a session: %w", err)
		}
		if !choose(p, ses) {
			continue
		}
		if err := tx.DeletePrivate(privateSession, p.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Around is what stands around every page of someone who is signed in.
type Around struct {
	Alert       bool     // something happened to the keys: see Seen
	Memberships []Member // what the account may act as, if that is more than one
}

// Around returns the actor's own.
func (s *Service) Around(ctx context.Context, by access.Actor) (Around, error) {
	var out Around
	err := s.own(ctx, by, func(r journal.StoreReader, m Member) error {
		switch _, err := r.Private(privateAlert, m.Account()); {
		case err == nil:
			out.Alert = true
		case problem.KindOf(err) != problem.NotFound:
			return err
		}
		all, err := memberships(r, m.Account())
		if len(all) > 1 {
			out.Memberships = all
		}
		return err
	})
	return out, err
}
