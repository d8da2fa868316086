package api

import (
	"context"
	"net/http"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/search"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Numbered names a question, a hand-over or a statement of an incident.
type Numbered struct {
	IDInput
	Number int `path:"number" minimum:"1" doc:"From 1 in the incident"`
}

// togetherRoutes is what partners do in an incident besides deciding:
// questions, hand-overs, drafts, what becomes of the signals.
func (s *server) togetherRoutes() {
	const base = "/api/v1/incidents/{id}"
	add(s, op{"ask-question", http.MethodPost, base + "/questions", "Ask partners something, or note what is not known", access.Ask, http.StatusCreated},
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Text string   `json:"text"`
				To   []string `json:"to,omitempty" maxItems:"100" doc:"Partners; none: whoever knows"`
			}
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Ask(ctx, actor(ctx), in.ID, in.Body.To, in.Body.Text)
			return s.one(ctx, i, err)
		})
	add(s, op{"answer-question", http.MethodPost, base + "/questions/{number}/answers", "Answer a question", access.Ask, http.StatusCreated},
		func(ctx context.Context, in *struct {
			Numbered
			Body struct {
				Text    string `json:"text"`
				Settles bool   `json:"settles,omitempty" doc:"Nothing of it is open any more"`
			}
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.Answer(ctx, actor(ctx), in.ID, in.Number, in.Body.Text, in.Body.Settles)
			return s.one(ctx, i, err)
		})
	add(s, op{"offer-handover", http.MethodPost, base + "/handovers", "Offer the lead of a protocol to a partner, or the shift to a colleague", access.PostUpdate, http.StatusCreated},
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Protocol string `json:"protocol,omitempty" doc:"Empty: the shift, to a colleague of your partner"`
				To       string `json:"to,omitempty" doc:"Partner that shall lead"`
				Note     string `json:"note" doc:"What the next one must know"`
			}
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.OfferHandover(ctx, actor(ctx), in.ID, in.Body.Protocol, in.Body.To, in.Body.Note)
			return s.one(ctx, i, err)
		})
	for _, v := range []struct {
		name, summary string
		back          bool
	}{{"accept", "Accept a hand-over: from now on you hold it", false}, {"take-back", "Take back a hand-over that nobody has accepted", true}} {
		add(s, op{v.name + "-handover", http.MethodPost, base + "/handovers/{number}/" + v.name, v.summary, access.PostUpdate, http.StatusOK},
			func(ctx context.Context, in *Numbered) (*incidentOutput, error) {
				i, err := s.Incidents.AnswerHandover(ctx, actor(ctx), in.ID, in.Number, v.back)
				return s.one(ctx, i, err)
			})
	}
	add(s, op{"confirm-statement", http.MethodPost, base + "/statements/{number}/confirm", "Publish a public statement as its second person", access.PostUpdate, http.StatusOK},
		func(ctx context.Context, in *Numbered) (*incidentOutput, error) {
			i, err := s.Incidents.ConfirmStatement(ctx, actor(ctx), in.ID, in.Number)
			return s.one(ctx, i, err)
		})
	add(s, op{"refuse-statement", http.MethodPost, base + "/statements/{number}/refuse", "Refuse a public statement of your partner, or take back your own", access.PostUpdate, http.StatusOK},
		func(ctx context.Context, in *struct {
			Numbered
			Body Reason
		},
		) (*incidentOutput, error) {
			i, err := s.Incidents.RefuseStatement(ctx, actor(ctx), in.ID, in.Number, in.Body.Reason)
			return s.one(ctx, i, err)
		})
	add(s, op{"get-draft", http.MethodGet, base + "/draft", "Read your partner's draft of an update", access.PostUpdate, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body incident.Draft }, error) {
			d, ok, err := s.Incidents.Draft(ctx, actor(ctx), in.ID)
			if err == nil && !ok {
				err = problem.New(problem.NotFound, "your partner has no draft on this incident", "save one with PUT")
			}
			return &struct{ Body incident.Draft }{d}, err
		})
	add(s, op{"save-draft", http.MethodPut, base + "/draft", "Keep a draft of an update for your partner; without texts it is removed", access.PostUpdate, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body incident.NewUpdate
		},
		) (*struct{ Body incident.Draft }, error) {
			d, err := s.Incidents.SaveDraft(ctx, actor(ctx), in.ID, in.Body)
			return &struct{ Body incident.Draft }{d}, err
		})
	add(s, op{"settle-signals", http.MethodPost, base + "/settlement", "Renew or withdraw signals of an incident, all of them or none", access.Decide, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Signals []signal.Settlement `json:"signals" maxItems:"500"`
				Reason  string              `json:"reason"`
			}
		},
		) (*struct{ Body Page[Signal] }, error) {
			list, err := s.Signals.Settle(ctx, actor(ctx), in.ID, in.Body.Signals, in.Body.Reason)
			if err != nil {
				return nil, err
			}
			out := &struct{ Body Page[Signal] }{Page[Signal]{Items: []Signal{}}}
			for _, sig := range list {
				out.Body.Items = append(out.Body.Items, signalView(sig, actor(ctx)))
			}
			return out, nil
		})
	add(s, op{"incident-matches", http.MethodGet, base + "/matches", "Matches of the incident's signals by minute, partner and action", access.ReadSignals, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Minutes int `query:"minutes" minimum:"1" maximum:"1440" default:"60" doc:"How far back"`
		},
		) (*struct{ Body Page[signal.Count] }, error) {
			inc, err := s.Incidents.Get(ctx, actor(ctx), in.ID)
			if err != nil {
				return nil, err
			}
			counts, err := s.Signals.CountsOf(ctx, actor(ctx), inc.ID, s.Now().Add(-time.Duration(in.Minutes)*time.Minute))
			return &struct{ Body Page[signal.Count] }{Page[signal.Count]{Items: counts}}, err
		})
	add(s, op{"search", http.MethodGet, "/api/v1/search", "Find things by number, name or exact fingerprint", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, in *struct {
			Q string `query:"q" maxLength:"300" required:"true"`
		},
		) (*struct{ Body Page[search.Hit] }, error) {
			if err := handleInAddress(in.Q); err != nil {
				return nil, err
			}
			return s.find(ctx, in.Q)
		})
	add(s, op{"search-by-content", http.MethodPost, "/api/v1/search", "Find things, as GET does, by what must not stand in an address: a payment handle", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, in *struct{ Body SearchInput }) (*struct{ Body Page[search.Hit] }, error) {
			return s.find(ctx, in.Body.Q)
		})
}

// SearchInput is what is looked for.
type SearchInput struct {
	Q string `json:"q" maxLength:"300" doc:"A number, a name or the exact value of a fingerprint"`
}

func (s *server) find(ctx context.Context, q string) (*struct{ Body Page[search.Hit] }, error) {
	if err := access.Allow(actor(ctx), access.ReadPartners, s.Now()); err != nil {
		return nil, err
	}
	hits, err := search.New(search.Options{Partners: s.Partners, Incidents: s.Incidents, Signals: s.Signals, Journal: s.Journal}).Find(ctx, actor(ctx), q)
	return &struct{ Body Page[search.Hit] }{Page[search.Hit]{Items: hits}}, err
}

// Protocol is a protocol as the partnership has it.
type Protocol struct {
	Current  *protocol.Definition `json:"current"`
	Builtin  bool                 `json:"builtin" doc:"No version was adopted: the current one comes with the program"`
	Versions []incident.Version   `json:"versions" doc:"Proposed ones, newest first"`
}

// Check is what is wrong with a protocol's file.
type Check struct {
	Valid    bool               `json:"valid"`
	Mistakes []protocol.Mistake `json:"mistakes"`
}

type versionOutput struct{ Body incident.Version }

// FileInput names a protocol's file by its SHA-256.
type FileInput struct {
	ID string `path:"id" maxLength:"64" doc:"SHA-256 of the file, 64 hex digits"`
}

// ProtocolSource is a protocol file.
type ProtocolSource struct {
	Source string `json:"source" maxLength:"131072" doc:"The file, YAML"`
}

// ProtocolFile is the file of one version.
type ProtocolFile struct {
	Protocol string `json:"protocol"`
	Version  string `json:"version"`
	SHA256   string `json:"sha256"`
	ProtocolSource
}

func (s *server) protocolRoutes() {
	const base = "/api/v1/protocols"
	add(s, op{"list-protocols", http.MethodGet, base, "List the protocols that can be activated", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[*protocol.Definition] }, error) {
			defs, err := s.Incidents.Startable(ctx, actor(ctx))
			return &struct{ Body Page[*protocol.Definition] }{Page[*protocol.Definition]{Items: defs}}, err
		})
	add(s, op{"get-protocol", http.MethodGet, base + "/{protocol}", "Read a protocol with its versions", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *struct {
			Protocol string `path:"protocol" maxLength:"60"`
		},
		) (*struct{ Body Protocol }, error) {
			v, err := s.Incidents.Protocol(ctx, actor(ctx), in.Protocol)
			return &struct{ Body Protocol }{Protocol{v.Current, v.Builtin, list(v.Versions)}}, err
		})
	add(s, op{"get-protocol-file", http.MethodGet, base + "/{protocol}/file", "Read the file of a protocol's version, as it was proposed", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *struct {
			Protocol string `path:"protocol" maxLength:"60"`
			Version  string `query:"version" maxLength:"64" doc:"Version or SHA-256; default: the current one"`
		},
		) (*struct{ Body ProtocolFile }, error) {
			d, err := s.Incidents.Text(ctx, actor(ctx), in.Protocol, in.Version)
			if err != nil {
				return nil, err
			}
			return &struct{ Body ProtocolFile }{ProtocolFile{d.ID, d.Version, d.Hash, ProtocolSource{string(d.Source)}}}, nil
		})
	add(s, op{"diff-protocol", http.MethodGet, base + "/{protocol}/diff", "Compare two versions of a protocol", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *struct {
			Protocol string `path:"protocol" maxLength:"60"`
			From     string `query:"from" maxLength:"64" doc:"Version or SHA-256; default: the current one"`
			To       string `query:"to" maxLength:"64" doc:"Version or SHA-256; default: the current one"`
		},
		) (*struct {
			Body Page[protocol.Difference]
		}, error) {
			a, err := s.Incidents.Text(ctx, actor(ctx), in.Protocol, in.From)
			if err != nil {
				return nil, err
			}
			b, err := s.Incidents.Text(ctx, actor(ctx), in.Protocol, in.To)
			if err != nil {
				return nil, err
			}
			return &struct {
				Body Page[protocol.Difference]
			}{Page[protocol.Difference]{Items: protocol.Diff(a, b)}}, nil
		})
	add(s, op{"check-protocol", http.MethodPost, "/api/v1/protocol-check", "Check a protocol's file; nothing is kept", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *struct{ Body ProtocolSource }) (*struct{ Body Check }, error) {
			if err := access.Allow(actor(ctx), access.ReadIncidents, s.Now()); err != nil {
				return nil, err
			}
			_, wrong := protocol.Parse([]byte(in.Body.Source))
			return &struct{ Body Check }{Check{len(wrong) == 0, list(wrong)}}, nil
		})
	const versions = "/api/v1/protocol-versions"
	add(s, op{"propose-version", http.MethodPost, versions, "Propose a version of a protocol, which counts as your yes", access.Vote, http.StatusCreated},
		func(ctx context.Context, in *struct {
			Body struct {
				ProtocolSource
				Reason string `json:"reason"`
			}
		},
		) (*versionOutput, error) {
			v, err := s.Incidents.ProposeVersion(ctx, actor(ctx), []byte(in.Body.Source), in.Body.Reason)
			return &versionOutput{v}, err
		})
	add(s, op{"vote-version", http.MethodPost, versions + "/{id}/votes", "Vote on a proposed version; the yes that completes the quorum adopts it", access.Vote, http.StatusOK},
		func(ctx context.Context, in *struct {
			FileInput
			Body Vote
		},
		) (*versionOutput, error) {
			v, err := s.Incidents.VoteVersion(ctx, actor(ctx), in.ID, in.Body.Vote, in.Body.Reason)
			return &versionOutput{v}, err
		})
	add(s, op{"withdraw-version", http.MethodPost, versions + "/{id}/withdraw", "Take back your proposal of a version", access.Vote, http.StatusOK},
		func(ctx context.Context, in *struct {
			FileInput
			Body Reason
		},
		) (*versionOutput, error) {
			v, err := s.Incidents.WithdrawVersion(ctx, actor(ctx), in.ID, in.Body.Reason)
			return &versionOutput{v}, err
		})
}
