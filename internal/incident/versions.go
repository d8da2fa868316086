package incident

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// KindVersion is a proposal to adopt a version of a protocol. Its ID is the
// file's SHA-256.
const KindVersion = "protocol_version"

// VersionState is where a proposed version stands.
type VersionState string

// The states of a proposed version.
const (
	Voted     VersionState = "voting"
	Adopted   VersionState = "adopted"
	Replaced  VersionState = "replaced" // another version was adopted after it
	Lapsed    VersionState = "lapsed"   // the vote closed without a quorum, or another version was adopted meanwhile
	Retracted VersionState = "withdrawn"
)

// AdoptionOpen is how long partners may vote on a new version.
const AdoptionOpen = 14 * 24 * time.Hour

// MaxDefinition is the greatest size of a protocol's file, in bytes.
const MaxDefinition = 128 << 10

// Version is a version of a protocol that was proposed to the partnership.
type Version struct {
	Protocol string          `json:"protocol"`
	Version  string          `json:"version"`
	Hash     string          `json:"hash"`
	Replaces string          `json:"replaces,omitempty"` // version that was current when it was proposed
	State    VersionState    `json:"state"`
	Reason   string          `json:"reason"`
	By       Act             `json:"by"`
	Closes   time.Time       `json:"closes"`
	Rule     protocol.Rule   `json:"rule"` // the quorum of the version that it replaces
	Votes    []protocol.Vote `json:"votes"`
	Decided  time.Time       `json:"decided,omitzero"`
}

// Tally counts the votes on the version.
func (v Version) Tally() protocol.Tally { return v.Rule.Count(v.Votes) }

type versionProposed struct {
	recorded
	Replaces string        `json:"replaces,omitempty"`
	Closes   time.Time     `json:"closes"`
	Rule     protocol.Rule `json:"rule"`
}

type versionVoted struct {
	Vote protocol.Vote `json:"vote"`
}

func foldVersion() journal.Fold {
	return journal.FoldOf(KindVersion, func(v *Version, e journal.Entry) error {
		switch e.Type {
		case "protocol.proposed":
			var p versionProposed
			if err := e.Decode(&p); err != nil {
				return err
			}
			*v = Version{
				Protocol: p.ID, Version: p.recorded.Version, Hash: e.About[0].ID, Replaces: p.Replaces, State: Voted, Reason: e.Why,
				By: Act{Partner: e.Partner, Member: e.Member, At: e.At, Entry: e.Number}, Closes: p.Closes, Rule: p.Rule,
			}
		case "protocol.voted":
			var b versionVoted
			if err := e.Decode(&b); err != nil {
				return err
			}
			v.Votes = append(slices.DeleteFunc(slices.Clone(v.Votes), func(o protocol.Vote) bool { return o.Partner == e.Partner }), b.Vote)
		case "protocol.adopted":
			if e.About[0].ID != v.Hash { // its successor was adopted
				v.State = Replaced
				return nil
			}
			v.State, v.Decided = Adopted, e.At
		case "protocol.lapsed":
			v.State, v.Decided = Lapsed, e.At
		case "protocol.withdrawn":
			v.State, v.Decided = Retracted, e.At
		}
		return nil
	}, func(v *Version) journal.Keys {
		k := journal.Keys{State: string(v.State), Parent: v.Protocol, Partner: v.By.Partner, Sort: sortable(v.Version), Text: v.Protocol}
		if v.State == Voted {
			k.DueMS = v.Closes.UnixMilli()
		}
		return k
	})
}

// sortable writes "1.10.0" so that versions are ordered as numbers are.
func sortable(version string) string {
	var out []string
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // a definition's version is three numbers
		out = append(out, fmt.Sprintf("%09d", n))
	}
	return strings.Join(out, ".")
}

// ProtocolView is a protocol as the partnership has it.
type ProtocolView struct {
	Current  *protocol.Definition
	Builtin  bool      // no version was adopted: Current comes with the program
	Versions []Version // proposed ones, newest first
}

// Protocols lists the protocols, the default first.
func (s *Service) Protocols(ctx context.Context, by access.Actor) ([]ProtocolView, error) {
	if err := access.Allow(by, access.ReadIncidents, s.o.Now()); err != nil {
		return nil, err
	}
	var out []ProtocolView
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		var names []string
		for _, d := range protocol.Builtin() {
			names = append(names, d.ID)
		}
		versions := map[string][]Version{}
		err := journal.Each(r, journal.ObjectQuery{Kind: KindVersion, Newest: true}, func(v Version, _ journal.Object) error {
			versions[v.Protocol] = append(versions[v.Protocol], v)
			if !slices.Contains(names, v.Protocol) {
				names = append(names, v.Protocol)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range names {
			def, err := s.defs.current(r, id)
			if problem.KindOf(err) == problem.NotFound { // proposed and not adopted yet
				if def, err = s.defs.byHash(r, versions[id][0].Hash); err == nil {
					out = append(out, ProtocolView{Current: def, Versions: versions[id]})
					continue
				}
			}
			if err != nil {
				return err
			}
			_, err = protocol.Lookup(id)
			adopted := slices.ContainsFunc(versions[id], func(v Version) bool { return v.State == Adopted })
			out = append(out, ProtocolView{Current: def, Builtin: err == nil && !adopted, Versions: versions[id]})
		}
		return nil
	})
	return out, err
}

// Startable returns the definitions under which a new activation may begin,
// the default first.
func (s *Service) Startable(ctx context.Context, by access.Actor) ([]*protocol.Definition, error) {
	views, err := s.Protocols(ctx, by)
	if err != nil {
		return nil, err
	}
	var out []*protocol.Definition
	for _, v := range views {
		if v.Builtin || slices.ContainsFunc(v.Versions, func(x Version) bool { return x.State == Adopted }) {
			out = append(out, v.Current)
		}
	}
	return out, nil
}

// Protocol returns one protocol; NotFound names the nearest.
func (s *Service) Protocol(ctx context.Context, by access.Actor, id string) (ProtocolView, error) {
	all, err := s.Protocols(ctx, by)
	if err != nil {
		return ProtocolView{}, err
	}
	for _, v := range all {
		if v.Current.ID == id {
			return v, nil
		}
	}
	_, err = protocol.Lookup(id)
	return ProtocolView{}, err
}

// Text returns a version's definition: by the file's SHA-256, or by its
// version among the built-in and the proposed ones.
func (s *Service) Text(ctx context.Context, by access.Actor, id, version string) (*protocol.Definition, error) {
	view, err := s.Protocol(ctx, by, id)
	if err != nil {
		return nil, err
	}
	if version == "" || version == view.Current.Version || version == view.Current.Hash {
		return view.Current, nil
	}
	if def, err := protocol.Lookup(id); err == nil && (def.Version == version || def.Hash == version) {
		return def, nil
	}
	hash := ""
	for _, v := range view.Versions {
		if v.Version == version || v.Hash == version {
			hash = v.Hash
			break
		}
	}
	none := problem.Newf(problem.NotFound, "there is no version %q of %s", version, id).WithFix("open the protocol's page: it lists its versions")
	if hash == "" {
		return nil, none
	}
	var def *protocol.Definition
	err = s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		def, err = s.defs.byHash(r, hash)
		return err
	})
	return def, err
}

// ProposeVersion proposes a protocol's file to the partnership. The proposal
// counts as the yes of the proposer's partner. Who may decide, and how many,
// says the version that it would replace; for a new protocol, the default one.
func (s *Service) ProposeVersion(ctx context.Context, by access.Actor, source []byte, reason string) (Version, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Vote, now); err != nil {
		return Version{}, err
	}
	var f problem.InvalidFields
	reason = strip(reason)
	switch c := len([]rune(reason)); {
	case c == 0:
		f.Add("reason", "enter why, in one sentence. It is kept in the journal and shown in the review")
	case c > signal.MaxReason:
		f.Add("reason", "the reason has %d characters, the limit is %d", c, signal.MaxReason)
	}
	if len(source) > MaxDefinition {
		f.Add("source", "the file has %d bytes, the limit is %d", len(source), MaxDefinition)
		return Version{}, f.Err()
	}
	def, wrong := protocol.Parse(source)
	for _, m := range wrong {
		f.Add("source", "%s", m.String())
	}
	if err := f.Err(); err != nil {
		return Version{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "protocol.propose", now, func(tx *journal.Tx) (Version, error) {
		replaces, rule := "", def.Authority.Activate
		cur, err := s.defs.current(tx, def.ID)
		switch {
		case err == nil:
			replaces, rule = cur.Version, cur.Authority.Activate
			if cur.Hash == def.Hash {
				return Version{}, problem.Newf(problem.Conflict, "%s is this very text already", cur.Ref()).WithFix("change it and give it a higher version")
			}
			if sortable(def.Version) <= sortable(cur.Version) {
				return Version{}, fieldError("source", fmt.Sprintf("version: %s is not higher than %s, which is current; write for example %s", def.Version, cur.Version, higher(cur.Version)))
			}
		case problem.KindOf(err) == problem.NotFound:
			base, err := s.defs.current(tx, s.o.Protocol)
			if err != nil {
				return Version{}, err
			}
			rule = base.Authority.Activate
		default:
			return Version{}, err
		}
		if !slices.Contains(rule.Kinds, by.Kind) {
			return Version{}, problem.Newf(problem.Denied, "a partner of kind %s may not decide on %s", by.Kind, def.ID).WithFix("ask a partner that may vote to propose it")
		}
		if v, _, err := journal.Load[Version](tx, KindVersion, def.Hash); err == nil && v.State == Voted {
			return Version{}, problem.Newf(problem.Conflict, "this text of %s is proposed already", def.Ref()).WithFix("vote on it")
		}
		rec := recorded{def.ID, def.Version, def.Hash, string(def.Source)}
		e := versionEntry("protocol.proposed", by, now, versionProposed{rec, replaces, now.Add(AdoptionOpen).UTC().Truncate(time.Millisecond), rule}, def.Hash)
		e.Why, e.About = reason, append(e.About, journal.Ref{Kind: KindDefinition, ID: def.Hash})
		if _, err := tx.Append(e); err != nil {
			return Version{}, err
		}
		return s.voteVersion(tx, by, def.Hash, protocol.VoteYes, reason, now)
	})
}

// higher is the next version after a correction.
func higher(v string) string {
	i := strings.LastIndexByte(v, '.')
	n, _ := strconv.Atoi(v[i+1:])
	return fmt.Sprintf("%s.%d", v[:max(i, 0)], n+1)
}

func versionEntry(typ string, by access.Actor, now time.Time, body any, hash string) journal.Entry {
	e := journal.New(typ, by, now, body, journal.Ref{Kind: KindVersion, ID: hash})
	e.Audience = access.Audience{TLP: access.Green, Origin: by.Partner}
	return e
}

func loadVersion(r journal.StoreReader, hash string) (Version, error) {
	v, _, err := journal.Load[Version](r, KindVersion, hash)
	if problem.KindOf(err) == problem.NotFound {
		return v, problem.New(problem.NotFound, "there is no such proposal", "open the protocol's page: it lists them")
	}
	if err == nil && v.State == Voted {
		v.Votes, err = standing(r, v.Votes)
	}
	return v, err
}

// VoteVersion votes on a proposed version. The yes that completes the quorum
// adopts it; activations that run keep the version that they began with.
func (s *Service) VoteVersion(ctx context.Context, by access.Actor, hash string, vote protocol.VoteValue, reason string) (Version, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Vote, now); err != nil {
		return Version{}, err
	}
	if !slices.Contains(protocol.VoteValues(), vote) {
		return Version{}, fieldError("vote", "choose yes, no or abstain")
	}
	reason, err := shortReason(reason)
	if err != nil {
		return Version{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "protocol.vote "+hash, now, func(tx *journal.Tx) (Version, error) {
		return s.voteVersion(tx, by, hash, vote, reason, now)
	})
}

func (s *Service) voteVersion(tx *journal.Tx, by access.Actor, hash string, vote protocol.VoteValue, reason string, now time.Time) (Version, error) {
	v, err := loadVersion(tx, hash)
	if err != nil {
		return v, err
	}
	if !slices.Contains(v.Rule.Kinds, by.Kind) {
		return v, problem.Newf(problem.Denied, "a partner of kind %s may not decide on %s", by.Kind, v.Protocol).WithFix("ask a partner that may vote")
	}
	if v.State != Voted || !now.Before(v.Closes) {
		when := v.Decided
		if when.IsZero() {
			when = v.Closes
		}
		return v, problem.Newf(problem.Conflict, "voting on %s@%s ended %s", v.Protocol, v.Version, when.UTC().Format("2 January 2006, 15:04 UTC")).WithFix("propose the text anew with a higher version")
	}
	switch cur, err := s.defs.current(tx, v.Protocol); {
	case err != nil && problem.KindOf(err) != problem.NotFound:
		return v, err
	case err == nil && cur.Version != v.Replaces:
		return v, problem.Newf(problem.Conflict, "%s is current now, and %s was proposed in place of another version", cur.Ref(), v.Version).WithFix("propose the text anew with a higher version")
	}
	e := versionEntry("protocol.voted", by, now, versionVoted{protocol.Vote{Partner: by.Partner, Kind: by.Kind, Member: by.Member, Vote: vote, Reason: reason, At: now.UTC().Truncate(time.Millisecond)}}, hash)
	e.Why = reason
	if _, err := tx.Append(e); err != nil {
		return v, err
	}
	if v, err = loadVersion(tx, hash); err != nil || !v.Tally().Reached {
		return v, err
	}
	before, err := tx.Objects(journal.ObjectQuery{Kind: KindVersion, Parent: v.Protocol, States: []string{string(Adopted)}})
	if err != nil {
		return v, err
	}
	done := versionEntry("protocol.adopted", by, now, map[string]string{"protocol": v.Protocol, "version": v.Version, "replaces": v.Replaces}, hash)
	done.Under = v.Protocol + "@" + v.Replaces + " authority.activate"
	if v.Replaces == "" {
		done.Under = s.o.Protocol + " authority.activate"
	}
	for _, o := range before {
		done.About = append(done.About, o.Ref)
	}
	if _, err := tx.Append(done); err != nil {
		return v, err
	}
	if err := lapseOthers(tx, v, now); err != nil {
		return v, err
	}
	return loadVersion(tx, hash)
}

// lapseOthers ends the votes on other versions of a protocol of which one was
// adopted: they were proposed in place of what is no longer current, and counted
// by its rule.
func lapseOthers(tx *journal.Tx, adopted Version, now time.Time) error {
	var open []string
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindVersion, Parent: adopted.Protocol, States: []string{string(Voted)}}, func(v Version, _ journal.Object) error {
		open = append(open, v.Hash)
		return nil
	})
	if err != nil {
		return err
	}
	for _, hash := range open {
		e := versionEntry("protocol.lapsed", access.Actor{System: true}, now, map[string]string{"adopted": adopted.Version}, hash)
		if _, err := tx.Append(e); err != nil {
			return err
		}
	}
	return nil
}

// WithdrawVersion takes a proposal back; only the partner that made it may.
func (s *Service) WithdrawVersion(ctx context.Context, by access.Actor, hash, reason string) (Version, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Vote, now); err != nil {
		return Version{}, err
	}
	reason, err := shortReason(reason)
	if err != nil {
		return Version{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "protocol.withdraw "+hash, now, func(tx *journal.Tx) (Version, error) {
		v, err := loadVersion(tx, hash)
		if err != nil {
			return v, err
		}
		if v.By.Partner != by.Partner {
			return v, problem.Newf(problem.Denied, "only %s may withdraw its proposal", v.By.Partner).WithFix("vote no")
		}
		if v.State != Voted {
			return v, problem.Newf(problem.Conflict, "the proposal is %s", v.State).WithFix("nothing is left to withdraw")
		}
		e := versionEntry("protocol.withdrawn", by, now, nil, hash)
		e.Why = reason
		if _, err := tx.Append(e); err != nil {
			return v, err
		}
		return loadVersion(tx, hash)
	})
}

// tickVersions closes votes whose time is over.
func (s *Service) tickVersions(ctx context.Context, now time.Time) error {
	var due []string
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		list, err := r.Objects(journal.ObjectQuery{Kind: KindVersion, DueBy: now.UnixMilli(), Limit: 100})
		for _, o := range list {
			due = append(due, o.ID)
		}
		return err
	})
	if err != nil || len(due) == 0 {
		return err
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		for _, hash := range due {
			v, err := loadVersion(tx, hash)
			if err != nil {
				return err
			}
			if v.State != Voted || now.Before(v.Closes) {
				continue // decided meanwhile
			}
			e := versionEntry("protocol.lapsed", access.Actor{System: true}, now, nil, hash)
			if _, err := tx.Append(e); err != nil {
				return err
			}
		}
		return nil
	})
}
