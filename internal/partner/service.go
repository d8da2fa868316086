package partner

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/text/language"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Sealer encrypts small secrets at rest with the node's data key. The label
// binds a ciphertext to its place.
type Sealer interface {
	Seal(plain []byte, label string) []byte
	Open(sealed []byte, label string) ([]byte, error)
}

// Options configures a Service. Log, Now and Seal are required.
type Options struct {
	Log  *journal.Log
	Now  func() time.Time
	Seal Sealer
	Cost Cost // zero: DefaultCost

	// NodeKey is the text that edge tokens carry to pin the node's feed key.
	NodeKey string

	SessionIdle time.Duration // zero: 30 minutes
	SessionMax  time.Duration // zero: 12 hours
	CodeLife    time.Duration // of an invitation; zero: 72 hours
	GlassLife   time.Duration // of a broken glass; zero: 60 minutes

	// Logger gets one line for each sign-in that failed, without whose. nil: none.
	Logger *slog.Logger
	// Tell sends members a message, in the transaction of what it is about, so
	// that one is never without the other. nil: nobody is sent anything; the
	// journal and the pages say it all the same.
	Tell func(tx *journal.Tx, n Notice) error
}

// Notice is something that members are to be told of.
type Notice struct {
	Kind    string      // of the list below
	Members []string    // IDs of whom to tell
	About   journal.Ref // the member whose keys these are, the broken glass, or the request
	Path    string      // of the page that says more

	Exercise bool // it is about an exercise, and the message says so first
}

// Kinds of notices.
const (
	NoticeKeys      = "keys_changed"     // one's keys were changed
	NoticeSignIn    = "odd_sign_in"      // one signed in from a browser not seen before
	NoticeRecovery  = "recovery_used"    // one signed in with a recovery code
	NoticeRoles     = "roles_changed"    // one's roles were changed
	NoticeGlass     = "glass_broken"     // somebody reads beyond their scope
	NoticeRequest   = "request_made"     // a colleague asks for a second person
	NoticeAdmin     = "admin_changed"    // somebody was made administrator, is none any more, or was disabled
	NoticeWayBack   = "way_back"         // a new one-time code was made for somebody who had keys
	NoticeRecovered = "member_recovered" // somebody at the partner used a recovery code
)

// Service is the directory. Its methods may be called concurrently, but
// SetPublicURL, which comes before all others.
type Service struct {
	o        Options
	failures *failures
	used     sync.Map           // token's ID → time.Time: when its last use was written
	rp       *webauthn.WebAuthn // nil: the node's address has no name that passkeys could be bound to
}

// New returns a Service.
func New(o Options) *Service {
	if o.Cost == (Cost{}) {
		o.Cost = DefaultCost
	}
	if o.SessionIdle == 0 {
		o.SessionIdle = 30 * time.Minute
	}
	if o.SessionMax == 0 {
		o.SessionMax = 12 * time.Hour
	}
	if o.CodeLife == 0 {
		o.CodeLife = 72 * time.Hour
	}
	if o.GlassLife == 0 {
		o.GlassLife = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{o: o, failures: newFailures(o.Now)}
}

// Shell is the operator at the node's own command line, acting for a partner.
// The journal names it, so that what it did can be told from members' acts.
func Shell(p Partner) access.Actor {
	return access.Actor{
		Partner: p.ID, Kind: p.Kind, Country: p.Country, Name: "operator's shell", Shell: true,
		Roles: []access.Role{access.Administrator, access.Operator},
	}
}

// NewPartner is what is needed to add a partner.
type NewPartner struct {
	ID        string             `json:"id,omitempty"` // made from Name if empty
	Name      string             `json:"name"`
	Kind      access.PartnerKind `json:"kind"`
	Country   string             `json:"country"`
	Zone      string             `json:"zone,omitempty"`
	Languages []string           `json:"languages,omitempty"`
	Contact   string             `json:"contact,omitempty"`
	Lead      bool               `json:"lead,omitempty"`
}

var (
	idForm      = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`)
	countryForm = regexp.MustCompile(`^[A-Z]{2}$`)
	notID       = regexp.MustCompile(`[^a-z0-9]+`)
)

// clean trims and bounds a line of text that a person typed, and removes
// control and bidirectional characters.
func clean(s string, limit int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) || r == 0xfeff {
			return -1
		}
		return r
	}, s))
	if len(s) > limit {
		return s[:limit+1] // left too long, so that the caller refuses it
	}
	return s
}

func (n *NewPartner) check() error {
	f := n.mistakes()
	return f.Err()
}

// mistakes also brings the fields into their form.
func (n *NewPartner) mistakes() (f problem.InvalidFields) {
	n.Name, n.Contact = clean(n.Name, 120), clean(n.Contact, 300)
	if n.Name == "" || len(n.Name) > 120 {
		f.Add("name", "enter the partner's name, up to 120 characters")
	}
	if n.ID == "" {
		n.ID = strings.Trim(notID.ReplaceAllString(strings.ToLower(n.Name), "-"), "-")
		n.ID = strings.Trim(n.ID[:min(len(n.ID), 40)], "-")
	}
	if !idForm.MatchString(n.ID) {
		f.Add("id", "enter a short name of lower-case letters, digits and hyphens, up to 40 characters")
	}
	if !slices.Contains(access.PartnerKinds(), n.Kind) {
		f.Add("kind", "choose government, intergovernmental, platform, civil_society or research; %q is none of them", n.Kind)
	}
	n.Country = strings.ToUpper(strings.TrimSpace(n.Country))
	if !countryForm.MatchString(n.Country) {
		f.Add("country", "enter the country's two letters, for example ID")
	} else if r, err := language.ParseRegion(n.Country); err != nil || !r.IsCountry() {
		f.Add("country", "enter the country's two letters, for example ID; %s is no country", n.Country)
	}
	if n.Zone == "" {
		n.Zone = "UTC"
	}
	if _, err := time.LoadLocation(n.Zone); err != nil {
		f.Add("zone", "enter a time zone by its name, for example Asia/Jakarta")
	}
	for _, l := range n.Languages {
		if _, err := language.Parse(l); err != nil {
			f.Add("languages", "enter languages by their codes, for example id and en; %q is none", l)
		}
	}
	if len(n.Languages) == 0 {
		n.Languages = []string{"en"}
	}
	return f
}

// Add enters a partner in the directory at the operator's shell, which counts
// as the second person until the partner that it acts for has two
// administrators who have signed in. From then on two of them decide: AskToAdd
// and Confirm. The journal says that it was the shell.
func (s *Service) Add(ctx context.Context, by access.Actor, n NewPartner) (Partner, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.AddPartner, now); err != nil {
		return Partner{}, err
	}
	if !by.Shell {
		return Partner{}, problem.New(problem.Denied, "two people of one partner add a partner", "ask for it on the page Partners, and let another administrator confirm it")
	}
	if err := n.check(); err != nil {
		return Partner{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "partner.add", now, func(tx *journal.Tx) (Partner, error) {
		if err := shellDecides(tx, by); err != nil {
			return Partner{}, err
		}
		return add(tx, by, now, partnerAdded{NewPartner: n, agreed: agreed{Shell: true}}, "")
	})
}

// agreed says who the two people were: First and who wrote the entry, or the
// operator's shell for both. The zero value is for what takes one.
type agreed struct {
	First   string `json:"first,omitempty"`   // member who asked
	Request string `json:"request,omitempty"` // by which they asked
	Shell   bool   `json:"shell,omitempty"`
}

type partnerAdded struct {
	NewPartner
	agreed
}

// free refuses the short name of a partner that is there.
func free(r journal.StoreReader, id string) error {
	_, err := r.Object(journal.Ref{Kind: KindPartner, ID: id})
	if err == nil {
		return problem.Newf(problem.Conflict, "there is already a partner %s", id).WithFix("choose another short name")
	}
	if problem.KindOf(err) != problem.NotFound {
		return err
	}
	return nil
}

func add(tx *journal.Tx, by access.Actor, now time.Time, n partnerAdded, why string) (Partner, error) {
	if err := free(tx, n.ID); err != nil {
		return Partner{}, err
	}
	e := journal.New("partner.added", by, now, n, journal.Ref{Kind: KindPartner, ID: n.ID})
	e.Audience, e.Why = access.Audience{TLP: access.Green, Origin: n.ID}, why
	if _, err := tx.Append(e); err != nil {
		return Partner{}, err
	}
	p, _, err := journal.Load[Partner](tx, KindPartner, n.ID)
	return p, err
}

// First makes the first partner of an empty directory and its first
// administrator, and returns the administrator's one-time code.
func (s *Service) First(ctx context.Context, n NewPartner, m NewMember) (Partner, Member, string, error) {
	if err := n.check(); err != nil {
		return Partner{}, Member{}, "", err
	}
	m.Partner = n.ID
	if err := m.check(); err != nil {
		return Partner{}, Member{}, "", err
	}
	var p Partner
	var mem Member
	var code string
	now := s.o.Now()
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		by := access.Actor{Partner: n.ID, Name: "operator's shell", Shell: true}
		var err error
		if p, err = add(tx, by, now, partnerAdded{NewPartner: n, agreed: agreed{Shell: true}}, ""); err != nil {
			return err
		}
		mem, code, err = s.addMember(tx, by, now, m, agreed{Shell: true})
		return err
	})
	return p, mem, code, err
}

// All returns every partner in order of ID. Callers inside the node; pages and
// interfaces use List.
func All(r journal.StoreReader) ([]Partner, error) {
	var out []Partner
	err := journal.Each(r, journal.ObjectQuery{Kind: KindPartner}, func(p Partner, _ journal.Object) error {
		out = append(out, p)
		return nil
	})
	return out, err
}

// Load returns one partner, or a problem of kind NotFound.
func Load(r journal.StoreReader, id string) (Partner, error) {
	p, _, err := journal.Load[Partner](r, KindPartner, id)
	if problem.KindOf(err) == problem.NotFound {
		return p, problem.Newf(problem.NotFound, "there is no partner %q", id).WithFix("check its short name in the directory of partners")
	}
	return p, err
}

// List returns the directory.
func (s *Service) List(ctx context.Context, by access.Actor) ([]Partner, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Partner
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		out, err = All(r)
		return err
	})
	return out, err
}

// Get returns one partner.
func (s *Service) Get(ctx context.Context, by access.Actor, id string) (Partner, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return Partner{}, err
	}
	var p Partner
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		p, err = Load(r, id)
		return err
	})
	return p, err
}
