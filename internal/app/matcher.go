package app

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
)

// ListEntry is one line of a list of fingerprints.
type ListEntry struct {
	Kind        string   `json:"kind"`
	Value       string   `json:"value"`
	Signal      string   `json:"signal,omitempty"`
	Labels      []string `json:"labels,omitempty"`
	MaxDistance *int     `json:"max_distance,omitempty"`
	Action      string   `json:"action,omitempty"`
}

// Matched is one thing that a file matched.
type Matched struct {
	Known, Signal, Kind, Pass, Action string
	Distance                          int
	Score                             float64
}

// Matcher compares files with lists and known files, in the very matcher that
// an edge runs, fed with operations that it signs itself. It is used by one
// goroutine.
type Matcher struct {
	m      *edge.Matcher
	signer edge.KeySigner
	pos    edge.Position
	known  map[string]string // signal's ID → known file
	result edge.Result
}

// NewMatcher returns a Matcher without fingerprints.
func NewMatcher() *Matcher {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("app: no randomness: " + err.Error())
	}
	// Files are compared one by one and nothing is published, so the circuit
	// breaker, which guards a stream of uploads, has nothing to guard here.
	m := edge.NewMatcher(edge.MatcherOptions{BreakerMatches: 1 << 30})
	m.FreshAt(time.Now())
	return &Matcher{m: m, signer: edge.KeySigner(key), known: map[string]string{}}
}

// Len is the number of fingerprints.
func (m *Matcher) Len() int { return m.m.Len() }

func (m *Matcher) add(s edge.Signal) error {
	s.Number = m.pos.Seq + 1
	op := edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: m.pos.Seq + 1, Prev: m.pos.Hash, Do: edge.Add, At: time.Now(), Signal: s}
	wire, _, err := op.Seal(m.signer)
	if err != nil {
		return err
	}
	sealed, err := edge.ParseOperation(wire)
	if err != nil {
		return err
	}
	m.pos = sealed.Position()
	return m.m.Apply(&sealed)
}

// Add adds one entry of a list. Without a maximum distance a PDQ hash matches
// up to 31 bits; without an action it is for review.
func (m *Matcher) Add(e ListEntry) error {
	v, err := fingerprint.Parse(fingerprint.Kind(e.Kind), e.Value)
	if err != nil {
		return err
	}
	s := edge.Signal{ID: e.Signal, Kind: v.Kind, Value: v.Text, Labels: e.Labels, Action: edge.Action(e.Action), List: "list"}
	if s.ID == "" {
		s.ID = fmt.Sprintf("line-%d", m.pos.Seq+1)
	}
	if s.Action == "" {
		s.Action = edge.Review
	}
	if !slices.Contains([]edge.Action{edge.Block, edge.Review, edge.Monitor}, s.Action) {
		return fmt.Errorf("the action is %q: use block, review or monitor", e.Action)
	}
	if v.Kind == fingerprint.PDQ || v.Kind == fingerprint.VPDQ {
		s.MaxDistance = pdq.MatchDistance
	}
	if e.MaxDistance != nil {
		if *e.MaxDistance < 0 || *e.MaxDistance > pdq.MatchDistance {
			return fmt.Errorf("max_distance is %d: use 0 to %d", *e.MaxDistance, pdq.MatchDistance)
		}
		s.MaxDistance = *e.MaxDistance
	}
	return m.add(s)
}

// AddKnown adds all fingerprints of a known file, as a proposal of it would.
func (m *Matcher) AddKnown(name string, set *fingerprint.Set) error {
	group := fmt.Sprintf("known-file-%d", m.pos.Seq+1)
	for _, p := range ProposalsOf(set) {
		id := fmt.Sprintf("known-%d", m.pos.Seq+1)
		m.known[id] = name
		action := edge.Block
		if p.Quality != nil && *p.Quality < pdq.MinQuality || p.Value.Kind == fingerprint.Audio {
			action = edge.Review
		}
		if err := m.add(edge.Signal{ID: id, Kind: p.Value.Kind, Value: p.Value.Text, MaxDistance: p.MaxDistance, Action: action, List: "known", Group: group}); err != nil {
			return fmt.Errorf("adding %s of %s: %w", p.Value.Kind, name, err)
		}
	}
	return nil
}

// Proposed is a fingerprint of a file as it would be proposed.
type Proposed struct {
	Value       fingerprint.Value
	MaxDistance int
	Quality     *int // PDQ's, of the picture that the value is of, 0 to 100; nil for other kinds
}

// ProposalsOf lists the fingerprints of a file that are worth sharing. A
// picture with so little detail that its PDQ hash is degenerate gives no such
// hash. Keypoints carry the quality of their picture: with too little detail
// they are for review, as the hash is.
func ProposalsOf(set *fingerprint.Set) []Proposed {
	out := []Proposed{{Value: fingerprint.Value{Kind: fingerprint.SHA256, Text: set.SHA256.String()}}}
	if p := set.Picture; p != nil {
		if !pdq.Degenerate(p.PDQ.Hash) {
			q := p.PDQ.Quality
			out = append(out, Proposed{fingerprint.Value{Kind: fingerprint.PDQ, Text: p.PDQ.Hash.String()}, pdq.MatchDistance, &q})
		}
	}
	return append(out, richer(set)...)
}

// Match returns what a file matches, the best of each known file or signal,
// strongest first.
func (m *Matcher) Match(set *fingerprint.Set) []Matched {
	m.m.FreshAt(time.Now())
	m.m.Set(&m.result, set)
	out := []Matched{}
	seen := map[string]bool{}
	for _, x := range m.result.Matches {
		id := x.Signal.String()
		key := id
		if k, ok := m.known[id]; ok {
			key = k
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		action := x.Action
		if action == edge.Monitor {
			action = edge.Review
		}
		d := Matched{Signal: id, Kind: string(x.Kind), Pass: x.Pass, Action: string(action), Distance: x.Distance, Score: x.Score}
		if k, ok := m.known[id]; ok {
			d.Known, d.Signal = k, ""
		}
		out = append(out, d)
	}
	return out
}

// VerifyFeed checks the operations of a node's own feed as Verify meets them.
func VerifyFeed() func(prev, row *journal.FeedRow) error { return verifyFeed(nil) }

// VerifySignedFeed is VerifyFeed with every signature, some 10,000 a second: a
// changed one would be sent to edges, which refuse it.
func VerifySignedFeed(set *keys.Set) func(prev, row *journal.FeedRow) error {
	return verifyFeed(&edge.Keys{Feed: []edge.FeedKey{{Public: set.FeedPublic()}}})
}

func verifyFeed(signers *edge.Keys) func(prev, row *journal.FeedRow) error {
	return func(prev, row *journal.FeedRow) error {
		op, err := edge.ParseOperation(row.Op)
		if err != nil {
			return err
		}
		if op.Chain != row.Chain || op.Seq != row.Seq || op.Entry != row.Entry {
			return errors.New("the operation is of another place")
		}
		pos := edge.Position{}
		if prev.Seq > 0 {
			before, err := edge.ParseOperation(prev.Op)
			if err != nil {
				return err
			}
			pos = before.Position()
		}
		if signers != nil {
			if err := signers.Verify(&op); err != nil {
				return err
			}
		}
		return op.Follows(pos)
	}
}

// richer lists the fingerprints that find altered copies: a video's frames
// and sound, a text's shape, a picture's keypoints.
func richer(set *fingerprint.Set) []Proposed {
	var out []Proposed
	if set.TLSH != "" {
		out = append(out, Proposed{Value: fingerprint.Value{Kind: fingerprint.TLSH, Text: set.TLSH}})
	}
	if len(set.Frames) > 0 {
		v := set.VPDQ(0).Thin(pdq.MinQuality, 10)
		if slices.ContainsFunc(v, func(f vpdq.Frame) bool { return !pdq.Degenerate(f.PDQ.Hash) }) { // else no edge could match it
			out = append(out, Proposed{Value: fingerprint.Value{Kind: fingerprint.VPDQ, Text: v.String()}, MaxDistance: pdq.MatchDistance})
		}
	}
	if t := set.Audio.Shared(); t != nil {
		out = append(out, Proposed{Value: fingerprint.Value{Kind: fingerprint.Audio, Text: t.String()}})
	}
	keypoints := func(b []byte, quality int) {
		if f, err := local.Decode(b); err == nil && len(b) > 0 {
			out = append(out, Proposed{Value: fingerprint.Value{Kind: fingerprint.Local, Text: f.Asset().String()}, Quality: &quality})
		}
	}
	if set.Picture != nil {
		keypoints(set.Picture.Local, set.Picture.PDQ.Quality)
		return out
	}
	// Of a video, keypoints of key frames, evenly spread over it.
	var keys []*fingerprint.Frame
	for i := range set.Frames {
		if f := &set.Frames[i]; len(f.Local) > 0 {
			keys = append(keys, f)
		}
	}
	n := min(len(keys), maxKeyProposals)
	for i := range n {
		f := keys[i*len(keys)/n]
		keypoints(f.Local, f.PDQ.Quality)
	}
	return out
}

// maxKeyProposals bounds the key frames of a video that are proposed: a copy
// that only keypoints find is found if it shows one of them.
const maxKeyProposals = 32
