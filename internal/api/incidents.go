package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Incident is an incident as partners read it.
type Incident struct {
	ID           string                 `json:"id" example:"IDN-2026-0007"`
	Title        string                 `json:"title"`
	Description  string                 `json:"description"`
	Where        string                 `json:"where"`
	Country      string                 `json:"country"`
	SeenAt       time.Time              `json:"seen_at"`
	URLs         []string               `json:"urls"`
	Live         protocol.Truth         `json:"live" enum:"yes,no,unknown"`
	MoreExpected protocol.Truth         `json:"more_expected" enum:"yes,no,unknown"`
	Exercise     bool                   `json:"exercise"`
	State        protocol.IncidentPhase `json:"state" enum:"notified,assessing,open,closed"`
	ThreatToLife protocol.ThreatToLife  `json:"threat_to_life,omitempty"`
	TLP          access.TLP             `json:"tlp"`
	Partners     []string               `json:"partners,omitempty" doc:"The readers, where only some may read"`
	NotifiedBy   string                 `json:"notified_by"`
	NotifiedAt   time.Time              `json:"notified_at"`
	Answers      []protocol.Answer      `json:"answers"`
	Advice       protocol.Advice        `json:"advice" doc:"Computed from the answers; the authority decides"`
	Activations  []protocol.Activation  `json:"activations"`
	Acknowledged []string               `json:"acknowledged"`
	Missing      []string               `json:"not_acknowledged"`
	Updates      []incident.Update      `json:"updates"`
	Statements   []incident.Statement   `json:"statements" doc:"Public ones that wait or waited for a second person"`
	Assets       []incident.Asset       `json:"assets"`
	Questions    []incident.Question    `json:"questions"`
	Handovers    []incident.Offer       `json:"handovers"`
	Version      int64                  `json:"version" doc:"Number of the latest entry about it; send it as If-Match to be refused if somebody decided meanwhile"`
}

func (s *server) incidentView(ctx context.Context, i incident.Incident) Incident {
	v := Incident{
		ID: i.ID, Title: i.Title, Description: i.Description, Where: i.Where, Country: i.Country, SeenAt: i.SeenAt,
		URLs: i.URLs, Live: i.Live, MoreExpected: i.MoreExpected, Exercise: i.Exercise, State: i.Status.Phase,
		ThreatToLife: i.Status.Threat, TLP: i.Audience.TLP, Partners: i.Audience.Partners,
		NotifiedBy: i.Notified.Partner, NotifiedAt: i.Notified.At, Answers: i.Status.Answers,
		Activations: []protocol.Activation{}, Acknowledged: i.Seen(), Missing: i.Missing(),
		Updates: i.Updates, Assets: i.Assets, Version: i.Last.Entry,
	}
	v.Answers, v.Missing = list(v.Answers), list(v.Missing)
	v.Statements = list(i.Statements)
	v.Questions, v.Handovers = list(i.Questions), list(i.Offers)
	v.Updates, v.Assets, v.URLs = list(v.Updates), list(v.Assets), list(v.URLs)
	v.Advice, _ = s.Incidents.Advice(ctx, i, "") // of the default protocol, which is always there
	for _, p := range slices.Sorted(maps.Keys(i.Activations)) {
		v.Activations = append(v.Activations, i.Activations[p])
	}
	return v
}

// list makes an empty list of none, so that JSON says [] and never null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

type incidentOutput struct{ Body Incident }

// one answers with an incident.
func (s *server) one(ctx context.Context, i incident.Incident, err error) (*incidentOutput, error) {
	if err != nil {
		return nil, err
	}
	return &incidentOutput{s.incidentView(ctx, i)}, nil
}

// Entry is a journal entry as a timeline shows it.
type Entry struct {
	Number   int64           `json:"number"`
	Type     string          `json:"type"`
	At       time.Time       `json:"at"`
	Partner  string          `json:"partner"`
	Member   string          `json:"member,omitempty"`
	Under    string          `json:"under,omitempty" doc:"Authority used"`
	Why      string          `json:"why,omitempty"`
	About    []journal.Ref   `json:"about"`
	TLP      access.TLP      `json:"tlp"`
	Exercise bool            `json:"exercise"`
	Erased   bool            `json:"erased"`
	Body     json.RawMessage `json:"body,omitempty" doc:"The type's own data"`
}

// Notice notifies an incident. Unknown is an answer to everything but what is
// happening and whether it is real.
type Notice struct {
	Title        string     `json:"title,omitempty" doc:"Default: the description's first sentence"`
	Description  string     `json:"description,omitempty"`
	Where        string     `json:"where,omitempty"`
	Country      string     `json:"country,omitempty" doc:"ISO 3166-1 alpha-2"`
	SeenAt       *time.Time `json:"seen_at,omitempty" doc:"Default: now"`
	URLs         []string   `json:"urls,omitempty" doc:"Addresses or names of channels"`
	Live         Truth      `json:"live,omitempty"`
	MoreExpected Truth      `json:"more_expected,omitempty" doc:"Does anyone say that more will follow?"`
	Exercise     *bool      `json:"exercise,omitempty" doc:"Must be chosen: true for practice"`
	TLP          string     `json:"tlp,omitempty" doc:"Default: amber"`
	Partners     []string   `json:"partners,omitempty" doc:"The readers, for amber+strict and red"`
}

// Truth is yes, no or unknown; true and false are understood.
type Truth incident.Truth

// Schema implements huma.SchemaProvider.
func (Truth) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: "string", Enum: []any{"yes", "no", "unknown", ""}}, {Type: "boolean"}}, Description: "yes, no or unknown; true and false are understood"}
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Truth) UnmarshalJSON(b []byte) error { return (*incident.Truth)(t).UnmarshalJSON(b) }

// Activate proposes an activation, or uses emergency authority.
type Activate struct {
	Protocol  string `json:"protocol,omitempty" doc:"Default: sea-crp"`
	Level     string `json:"level,omitempty" doc:"Default: the level that the answers advise"`
	Reason    string `json:"reason"`
	Emergency bool   `json:"emergency,omitempty" doc:"Emergency authority: review only, ends by itself unless confirmed"`
}

// Vote is a partner's vote.
type Vote struct {
	Vote   protocol.VoteValue `json:"vote" enum:"yes,no,abstain"`
	Reason string             `json:"reason,omitempty"`
}

// Reason is a reason alone.
type Reason struct {
	Reason string `json:"reason,omitempty"`
}

// ActivationInput names one activation of an incident.
type ActivationInput struct {
	IDInput
	Protocol string `path:"protocol" maxLength:"60"`
}

func (s *server) incidentRoutes() {
	const base = "/api/v1/incidents"
	one := s.one
	add(s, op{"notify-incident", http.MethodPost, base, "Notify an incident", access.Notify, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body Notice }) (*incidentOutput, error) {
			n := in.Body
			var seen time.Time // zero: now
			if n.SeenAt != nil {
				seen = n.SeenAt.Add(1) // the beginning of the year 1 is no time at which something was seen
			}
			i, err := s.Incidents.Notify(ctx, actor(ctx), incident.Notice{
				Title: n.Title, Description: n.Description, Where: n.Where, Country: n.Country, SeenAt: seen, URLs: n.URLs,
				Live: incident.Truth(n.Live), MoreExpected: incident.Truth(n.MoreExpected), Exercise: n.Exercise, TLP: n.TLP, Partners: n.Partners,
			})
			return one(ctx, i, err)
		})
	add(s, op{"list-incidents", http.MethodGet, base, "List incidents, newest first", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *struct {
			PageInput
			State []string `query:"state" enum:"notified,assessing,open,closed"`
		},
		) (*struct{ Body Page[Incident] }, error) {
			after, err := in.object()
			if err != nil {
				return nil, err
			}
			page, next, err := s.Incidents.List(ctx, actor(ctx), incident.Query{States: in.State, Text: in.Q, Cursor: after, Limit: in.Limit})
			if err != nil {
				return nil, err
			}
			out := &struct{ Body Page[Incident] }{Page[Incident]{Items: []Incident{}, Next: cursor(next)}}
			for _, i := range page {
				out.Body.Items = append(out.Body.Items, s.incidentView(ctx, i))
			}
			return out, nil
		})
	add(s, op{"get-incident", http.MethodGet, base + "/{id}", "Read an incident", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*incidentOutput, error) {
			i, err := s.Incidents.Get(ctx, actor(ctx), in.ID)
			return one(ctx, i, err)
		})
	add(s, op{"incident-timeline", http.MethodGet, base + "/{id}/timeline", "Read the incident's entries, newest first", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			PageInput
		},
		) (*struct{ Body Page[Entry] }, error) {
			if err := handleInAddress(in.Q); err != nil {
				return nil, err
			}
			before, err := number(in.Cursor)
			if err != nil {
				return nil, err
			}
			entries, err := s.Incidents.Timeline(ctx, actor(ctx), in.ID, before, in.Limit)
			if err != nil {
				return nil, err
			}
			out := &struct{ Body Page[Entry] }{Page[Entry]{Items: []Entry{}}}
			for _, e := range entries {
				out.Body.Items = append(out.Body.Items, entryView(e))
			}
			if n := len(entries); n == in.Limit && entries[n-1].Number > 0 {
				out.Body.Next = cursor(strconv.FormatInt(entries[n-1].Number, 10))
			}
			return out, nil
		})
	add(s, op{"assess-incident", http.MethodPost, base + "/{id}/assessment", "Answer criteria of a protocol", access.Assess, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Protocol string            `json:"protocol,omitempty" doc:"Default: sea-crp"`
				Answers  []incident.Answer `json:"answers" minItems:"1" maxItems:"100"`
			}
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Assess(ctx, actor(ctx), in.ID, in.Body.Protocol, in.Body.Answers)
			return one(ctx, i, err)
		})
	add(s, op{"acknowledge-incident", http.MethodPost, base + "/{id}/acknowledgements", "Say that your partner has seen it", access.Acknowledge, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*incidentOutput, error) {
			i, err := s.Incidents.Acknowledge(ctx, actor(ctx), in.ID)
			return one(ctx, i, err)
		})
	add(s, op{"close-incident", http.MethodPost, base + "/{id}/close", "Close an incident on which nothing runs any more", access.Assess, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body Reason
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Close(ctx, actor(ctx), in.ID, in.Body.Reason)
			return one(ctx, i, err)
		})
	add(s, op{"reopen-incident", http.MethodPost, base + "/{id}/reopen", "Open a closed incident again", access.Assess, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body Reason
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Reopen(ctx, actor(ctx), in.ID, in.Body.Reason)
			return one(ctx, i, err)
		})
	add(s, op{"post-update", http.MethodPost, base + "/{id}/updates", "Post a situation update; one that everyone could read becomes a statement that waits for a second person, and needs a reason", access.PostUpdate, http.StatusCreated},
		func(ctx context.Context, in *struct {
			IDInput
			Body incident.NewUpdate
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.PostUpdate(ctx, actor(ctx), in.ID, in.Body)
			return one(ctx, i, err)
		})
	add(s, op{"add-asset", http.MethodPost, base + "/{id}/assets", "Describe a piece of content", access.AddAsset, http.StatusCreated},
		func(ctx context.Context, in *struct {
			IDInput
			Body incident.NewAsset
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.AddAsset(ctx, actor(ctx), in.ID, in.Body)
			return one(ctx, i, err)
		})
	add(s, op{"propose-activation", http.MethodPost, base + "/{id}/activations", "Propose an activation, which counts as your yes, or use emergency authority", access.Vote, http.StatusCreated},
		func(ctx context.Context, in *struct {
			IDInput
			Body Activate
		},
		) (*incidentOutput, error) {
			do := protocol.Action{Verb: protocol.Propose, Level: in.Body.Level, Reason: in.Body.Reason}
			if in.Body.Emergency {
				do.Verb = protocol.UseEmergency
			}
			if in.Body.Protocol == "" {
				in.Body.Protocol = incident.DefaultProtocol
			}
			i, err := s.Incidents.Act(ctx, actor(ctx), in.ID, in.Body.Protocol, do)
			return one(ctx, i, err)
		})
	add(s, op{"vote", http.MethodPost, base + "/{id}/activations/{protocol}/votes", "Vote on an activation", access.Vote, http.StatusOK},
		func(ctx context.Context, in *struct {
			ActivationInput
			Body Vote
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Act(ctx, actor(ctx), in.ID, in.Protocol, protocol.Action{Verb: protocol.CastVote, Vote: in.Body.Vote, Reason: in.Body.Reason})
			return one(ctx, i, err)
		})
	add(s, op{"stand-down-vote", http.MethodPost, base + "/{id}/activations/{protocol}/stand-down/votes", "Vote on standing down", access.Vote, http.StatusOK},
		func(ctx context.Context, in *struct {
			ActivationInput
			Body Vote
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Act(ctx, actor(ctx), in.ID, in.Protocol, protocol.Action{Verb: protocol.VoteStandDown, Vote: in.Body.Vote, Reason: in.Body.Reason})
			return one(ctx, i, err)
		})
	// Every other step that the state machine knows has the step's own name.
	for _, v := range []protocol.Verb{
		protocol.ProposeStandDown, protocol.Renew, protocol.Conclude, protocol.SetLevel, protocol.CallPartners,
		protocol.WithdrawProposal, protocol.EndEmergency, protocol.ReportTask, protocol.MeetClock, protocol.FileReview,
	} {
		name := strings.ReplaceAll(string(v), "_", "-")
		add(s, op{"activation-" + name, http.MethodPost, base + "/{id}/activations/{protocol}/" + name, "Activation: " + strings.ReplaceAll(string(v), "_", " "), incident.RightFor(v), http.StatusOK},
			func(ctx context.Context, in *struct {
				ActivationInput
				Body Step
			},
			) (*incidentOutput, error) {
				i, err := s.Incidents.Act(ctx, actor(ctx), in.ID, in.Protocol, in.Body.action(v))
				return one(ctx, i, err)
			})
	}
}

// Step is the input of a step of an activation; each step reads what it needs
// and says what is missing.
type Step struct {
	Reason   string                 `json:"reason,omitempty"`
	Level    string                 `json:"level,omitempty"`
	Vote     protocol.VoteValue     `json:"vote,omitempty" enum:"yes,no,abstain"`
	Partners []protocol.Participant `json:"partners,omitempty" maxItems:"500"`
	Clock    string                 `json:"clock,omitempty"`
	Task     string                 `json:"task,omitempty"`
	Progress protocol.TaskProgress  `json:"progress,omitempty" enum:"doing,done,not_applicable"`
	Answers  []incident.Answer      `json:"answers,omitempty" maxItems:"100"`
}

func (st Step) action(v protocol.Verb) protocol.Action {
	a := protocol.Action{
		Verb: v, Reason: st.Reason, Level: st.Level, Vote: st.Vote, Partners: st.Partners,
		Clock: st.Clock, Task: st.Task, Progress: st.Progress,
	}
	for _, ans := range st.Answers {
		a.Answers = append(a.Answers, protocol.Answer{ID: ans.Criterion, Answer: ans.Answer, Evidence: ans.Evidence})
	}
	return a
}

func entryView(e journal.Entry) Entry {
	return Entry{
		Number: e.Number, Type: e.Type, At: e.At, Partner: e.Partner, Member: e.Member, Under: e.Under, Why: e.Why,
		About: e.About, TLP: e.Audience.TLP, Exercise: e.Exercise, Erased: e.Erased, Body: ShownBody(e.Body),
	}
}

// ShownBody returns an entry's own data with its payment handle masked, if it
// has one: that of a signal's proposal.
func ShownBody(body json.RawMessage) json.RawMessage {
	var has struct {
		Fingerprint fingerprint.Value `json:"fingerprint"`
	}
	if json.Unmarshal(body, &has) != nil || has.Fingerprint.Kind != fingerprint.Payment {
		return body
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil
	}
	masked, err := json.Marshal(fingerprint.Value{Kind: fingerprint.Payment, Text: has.Fingerprint.Shown()})
	if err != nil {
		return nil
	}
	all["fingerprint"] = masked
	out, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return out
}
